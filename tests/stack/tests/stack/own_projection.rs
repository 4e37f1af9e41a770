//! The example of a projection of one's own, with each place for its read model.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ees_projector::{dynamodb, postgres, postgres::sqlx};
use ees_test_aws::{LocalAws, Stack};
use ees_test_postgres::TestDatabase;
use serde_json::{Value, json};

use crate::support::LONG;

/// Adds a file, through the API.
async fn add(stack: &Stack, path: &str, blob: &str) {
    let post = reqwest::Client::new().post(format!("{}/streams/{path}", stack.url()));
    let event = json!({ "type": "file_added", "mode": "100644", "blob": blob });
    let post = post.header("authorization", stack.authorization()).json(&json!({ "events": [event] }));
    assert_eq!(post.send().await.unwrap().status(), 200);
}

#[test]
fn a_copy_of_the_example_is_a_package_of_its_own() {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("files");
    let mut python = Command::new("python3");
    python.arg(repository.join("deploy/own-projection/copy.py")).arg(&copy);
    assert!(python.status().unwrap().success());
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--offline", "--format-version=1", "--manifest-path"])
        .arg(copy.join("Cargo.toml"));
    let resolved = cargo.output().unwrap();
    assert!(resolved.status.success(), "{}", String::from_utf8_lossy(&resolved.stderr));
    let resolved: Value = serde_json::from_slice(&resolved.stdout).unwrap();
    let packages = resolved["packages"].as_array().unwrap();
    assert!(["files", "ees-projector"].iter().all(|name| packages.iter().any(|it| it["name"] == *name)));
    // A file that exists is not overwritten.
    assert!(!python.status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_projection_of_ones_own_is_in_dynamodb() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let own = stack.own_projection_with(vec!["Database=dynamodb".to_owned()]).await;
    add(&stack, "README", "b1").await;

    let client = aws_sdk_dynamodb::Client::new(&account.sdk_config());
    let database = dynamodb::Database::new(client, own.output("ReadModels"));
    let deadline = Instant::now() + LONG;
    loop {
        let read = database.document::<Value>("files", "README").await;
        if let Ok((Some(file), _)) = read {
            assert_eq!(file, json!({ "mode": "100644", "blob": "b1" }));
            break;
        }
        assert!(Instant::now() < deadline, "{read:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    // Deployed again: as it is, and with a change.
    for parameters in [&["Database=dynamodb"][..], &["Database=dynamodb", "OnFailure=park"]] {
        let again = stack.own_projection_with(parameters.iter().map(ToString::to_string).collect()).await;
        assert_eq!(again.output("ReadModels"), own.output("ReadModels"));
    }
    let url = format!("{}/2015-03-31/functions", account.endpoint());
    let authorization = stack.authorization().replace("execute-api", "lambda");
    let asked = reqwest::Client::new().get(url).header("authorization", authorization).send().await.unwrap();
    let functions: Value = asked.json().await.unwrap();
    let mut functions = functions["Functions"].as_array().unwrap().iter();
    let parks = |function: &Value| function["Environment"]["Variables"]["ON_FAILURE"] == "park";
    assert!(functions.any(parks), "{functions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_of_ones_own_takes_name_and_password_from_a_secret() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let postgres = TestDatabase::new().await;
    let (user, host) = postgres.url().strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    // As RDS keeps it.
    let text = json!({ "username": username, "password": password, "engine": "postgres", "port": 5432 });
    let secrets = aws_sdk_secretsmanager::Client::new(&account.sdk_config());
    let created = secrets.create_secret().name("database").secret_string(text.to_string()).send().await;
    let secret = created.unwrap().arn.unwrap();
    stack
        .own_projection_with(vec![
            format!("DatabaseUrl=postgres://{host}"),
            format!("DatabaseSecret={secret}"),
        ])
        .await;
    add(&stack, "README", "b1").await;

    let database = postgres::Database::connect(postgres.url()).await.unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        let row = "SELECT state->>'blob' FROM files.files WHERE key = 'README'";
        let blob: Result<String, _> = sqlx::query_scalar(row).fetch_one(database.pool()).await;
        if let Ok(blob) = blob {
            assert_eq!(blob, "b1");
            break;
        }
        assert!(Instant::now() < deadline, "{blob:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

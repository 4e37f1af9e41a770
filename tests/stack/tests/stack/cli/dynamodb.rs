//! A store in DynamoDB: creating its table, inspecting it, serving it.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::dynamodb::Store;
use ees_store::{ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery};
use ees_test_aws::{Account, LocalAws};
use ees_tests::{Ran, Server, ees, run};
use serde_json::json;

async fn account() -> Account {
    LocalAws::account().await
}

fn in_account(account: &Account, arguments: &[&str]) -> Ran {
    run(ees(arguments).envs(account.environment()))
}

#[tokio::test]
async fn a_table_is_made_once_and_is_well() {
    let account = account().await;
    let create = ["dynamodb", "create-table", "log", "--json"];
    assert_eq!(in_account(&account, &create).json(), [json!({"table": "log", "made": true})]);
    assert_eq!(in_account(&account, &create).json(), [json!({"table": "log", "made": false})]);
    let checks = in_account(&account, &["dynamodb", "check", "log", "--json"]).json();
    assert!(checks.len() > 3 && checks.iter().all(|check| check["is_well"] == true), "{checks:?}");
    assert!(in_account(&account, &["dynamodb", "check", "elsewhere"]).failed(2).contains("create-table"));
    let adopted = in_account(&account, &["dynamodb", "adopt", "log", "--json"]).json();
    assert_eq!((&adopted[0]["holes"], &adopted[0]["indexed"]), (&json!(0), &json!(0)));
    let swept = in_account(&account, &["dynamodb", "sweep", "log", "--json"]).json();
    assert_eq!(swept[0]["indexed"], json!(0));
    assert!(swept[0]["calls"].as_u64() >= Some(1), "{swept:?}");
}

#[tokio::test]
async fn a_store_in_dynamodb_is_served_and_kept() {
    let account = account().await;
    in_account(&account, &["dynamodb", "create-table", "log", "--unprotected"]).ok();
    let folder = tempfile::tempdir().unwrap();
    let store = ["--store", "dynamodb://log?region=eu-central-1"];
    let mut server = Server::start_in(folder.path().join("data"), &store, &account.environment());
    let committed =
        run(&mut server.ees(&["commit", "a", "--event", r#"{"type":"opened"}"#, "--json"])).json();
    assert_eq!((&committed[0]["stream_id"], &committed[0]["changeset_id"]), (&json!("a"), &json!(1)));
    run(&mut server.ees(&["commit", "a", "--event", "1"])).failed(4);
    let next =
        ["commit", "a", "--event", "2", "--expected-last-changeset", "1", "--visible-in", "statistics"];
    run(&mut server.ees(&next)).ok();
    assert_eq!(server.get_json("/streams")["total_changesets"], 2);
    server.kill_and_restart();
    assert_eq!(run(&mut server.ees(&["read", "a", "--json"])).json().len(), 2);
    assert_eq!(run(&mut server.ees(&["tail", "--since-start", "--no-follow", "--json"])).json().len(), 2);
}

#[tokio::test]
async fn read_models_are_kept_in_a_table_wherever_the_log_is() {
    let account = account().await;
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--read-models", "dynamodb://read-models?region=eu-central-1"];
    let missing = in_account(
        &account,
        &["serve", "--listen", "127.0.0.1:0", "--store", "memory:", arguments[0], arguments[1]],
    );
    assert_eq!(missing.code, Some(6), "{missing:?}");
    assert!(missing.err.contains("`ees dynamodb create-table read-models --read-models`"), "{missing:?}");
    in_account(&account, &["dynamodb", "create-table", "read-models", "--read-models"]).ok();

    let mut server = Server::start_in(folder.path().join("data"), &arguments, &account.environment());
    for last in ["0", "1"] {
        let commit =
            ["commit", "a", "--event", "1", "--expected-last-changeset", last, "--wait-for", "statistics"];
        run(&mut server.ees(&commit)).ok();
    }
    assert_eq!(server.get_json("/streams")["total_changesets"], 2);
    assert!(!server.data().join("read-models").exists());
    server.kill_and_restart();
    assert_eq!(server.get_json("/streams")["total_changesets"], 2);
    run(&mut server.ees(&["projections", "rebuild", "statistics"])).ok();
    let next = ["commit", "a", "--event", "1", "--expected-last-changeset", "2", "--wait-for", "statistics"];
    run(&mut server.ees(&next)).ok();
    assert_eq!(server.get_json("/streams")["total_changesets"], 3);
}

#[tokio::test]
async fn read_models_are_rebuilt_by_segments_of_the_table() {
    let account = account().await;
    in_account(&account, &["dynamodb", "create-table", "log", "--unprotected"]).ok();
    let folder = tempfile::tempdir().unwrap();
    let store = ["--store", "dynamodb://log?region=eu-central-1"];
    let server = Server::start_in(folder.path().join("data"), &store, &account.environment());
    for stream in ["a", "b", "c"] {
        for last in ["0", "1"] {
            let commit = ["commit", stream, "--event", "1", "--expected-last-changeset", last];
            run(server.ees(&commit).args(["--wait-for", "stream_catalogue"])).ok();
        }
    }
    let rebuild = |projection: &str, more: &[&str]| {
        run(server.ees(&["projections", "rebuild", projection, "--by-segments"]).args(more))
    };
    let estimate = rebuild("stream_catalogue", &["--dry-run"]).ok();
    assert!(estimate.contains("6 changesets to replay"), "{estimate}");
    assert!(estimate.contains("by segments with one worker"), "{estimate}");
    assert!(estimate.contains("read units, 0.00 $ at 0.125 $ a million"), "{estimate}");
    let listed = server.get_json("/streams");
    for more in [&["--json"][..], &["--side-by-side", "--verify", "--json"]] {
        let rebuilt = rebuild("stream_catalogue", more).json().remove(0);
        assert_eq!((&rebuilt["checkpoint"], &rebuilt["rebuild"]), (&json!(6), &json!(null)), "{rebuilt}");
        assert_eq!(server.get_json("/streams"), listed);
    }
    let refused = rebuild("statistics", &[]).failed(11);
    assert!(refused.contains("Order::Log"), "{refused}");
    let refused = rebuild("stream_catalogue", &["--workers", "2"]).failed(11);
    assert!(refused.contains("PostgreSQL"), "{refused}");
}

#[tokio::test]
async fn an_order_that_is_to_be_kept_is_refused() {
    let account = account().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, "").unwrap();
    let import = ["import", "--keep-order", "--store", "dynamodb://log", file.to_str().unwrap()];
    assert!(in_account(&account, &import).failed(11).contains("afterwards"));
}

#[test]
fn what_it_costs_can_be_read_without_a_table() {
    let costs = run(&mut ees(&["dynamodb", "cost", "--bytes", "500", "--json"])).json();
    let indexing = costs.iter().find(|cost| cost["what"] == "index, in batches of 99").unwrap();
    assert!(indexing["calls"].as_u64().unwrap() <= 100);
    let ceiling = |bytes: &str, format: &[&str]| {
        let costs = ["dynamodb", "cost", "--bytes", bytes, "--json"];
        let costs = run(&mut ees(&[&costs[..], format].concat())).json();
        let batches = costs.iter().find(|it| it["what"] == "places in the order, in full batches").unwrap();
        batches["per_second"].as_u64().unwrap()
    };
    assert_eq!((ceiling("500", &[]), ceiling("3800", &[])), (3_267, 2_000));
    assert_eq!((ceiling("500", &["--format", "2"]), ceiling("3800", &["--format", "1"])), (980, 248));
    let told = run(&mut ees(&["dynamodb", "cost"])).ok();
    let line = told.lines().find(|line| line.starts_with("places in the order, in full batches")).unwrap();
    assert!(told.contains("begin a stream") && line.ends_with(" 8000    3267 to 6534"), "{told}");
}

#[tokio::test]
async fn what_it_costs_is_told_for_the_changesets_that_are_there() {
    let account = account().await;
    in_account(&account, &["dynamodb", "create-table", "log", "--unprotected"]).ok();
    let cost = ["dynamodb", "cost", "--table", "log"];
    assert!(in_account(&account, &cost).failed(2).contains("give --bytes"));

    let store = Store::open(&account.sdk_config(), "log").await.unwrap();
    for (stream, bytes) in [("a", 3_000), ("b", 4_602)] {
        let events = Events::parse(&format!("[\"{}\"]", "x".repeat(bytes - 4))).unwrap();
        let expectation = Expectation::LastChangeset(ChangesetId::NONE);
        store.commit(Commit::new(stream.parse().unwrap(), expectation, events)).await.unwrap();
    }
    let wait = LogQuery::from(Checkpoint::START, 1).with_wait(Duration::from_secs(20));
    let first = store.read(wait.clone()).await.unwrap();
    store.read(LogQuery { from: first.next, ..wait }).await.unwrap();
    let told = in_account(&account, &cost).ok();
    assert!(told.contains("1,000 changesets of 3803 bytes") && told.contains(" 2000 "), "{told}");
}

/// A changeset with half a place, as a hand may leave it.
async fn half_placed(account: &Account, stream: &str) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |digits: &str| AttributeValue::N(digits.to_owned());
    let item = [
        ("stream_id", text(stream)),
        ("changeset_id", number("1")),
        ("events", text("[1]")),
        ("metadata", text("{}")),
        ("timestamp", text("2021-04-05T06:07:08.000009")),
        ("first_event_id", number("1")),
        ("last_event_id", number("1")),
        ("page", number("0")),
    ];
    let item = item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let put = Client::new(&account.sdk_config()).put_item().table_name("log").set_item(Some(item));
    put.send().await.unwrap();
}

#[tokio::test]
async fn a_place_that_can_not_be_right_is_shown_and_then_mended() {
    let account = account().await;
    in_account(&account, &["dynamodb", "create-table", "log", "--unprotected"]).ok();
    in_account(&account, &["dynamodb", "sweep", "log"]).ok();
    half_placed(&account, "a").await;
    half_placed(&account, "b").await;
    let shown = in_account(&account, &["dynamodb", "mend", "log", "--dry-run"]);
    assert_eq!(shown.code, Some(9), "{shown:?}");
    assert!(
        shown.out.contains("changeset 1 of stream \"a\"") && shown.out.contains("2 of 2 changesets"),
        "{shown:?}"
    );
    let one = in_account(&account, &["dynamodb", "mend", "log", "--stream", "b", "--json"]).json();
    assert_eq!((&one[0]["stream_id"], &one[0]["moved_to"]), (&json!("b"), &json!(0)));
    assert_eq!((&one[1]["misplaced"], &one[1]["changesets"]), (&json!(1), &json!(1)));
    let rest = in_account(&account, &["dynamodb", "mend", "log", "--json"]).json();
    assert_eq!((&rest[0]["stream_id"], &rest[0]["moved_to"]), (&json!("a"), &json!(1)));
    in_account(&account, &["dynamodb", "mend", "log", "--dry-run"]).ok();
    let missing = in_account(&account, &["dynamodb", "mend", "elsewhere"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
}

#[tokio::test]
async fn a_table_with_a_place_that_can_not_be_right_is_not_adopted() {
    let account = account().await;
    in_account(&account, &["dynamodb", "create-table", "log", "--unprotected"]).ok();
    half_placed(&account, "a").await;
    let refused = in_account(&account, &["dynamodb", "adopt", "log", "--json"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.out.contains(r#""stream_id":"a""#) && refused.err.contains("MISPLACED"), "{refused:?}");
}

#[tokio::test]
async fn a_log_is_moved_into_another_table_and_goes_on_there() {
    let account = account().await;
    for table in ["old", "log", "other"] {
        in_account(&account, &["dynamodb", "create-table", table, "--unprotected"]).ok();
    }
    let config = account.sdk_config();
    let commit = async |table: &str, last: u64| {
        let events = Events::parse("[1]").unwrap();
        let commit = Commit::new("a".parse().unwrap(), Expectation::LastChangeset(last.into()), events);
        Store::open(&config, table).await.unwrap().commit(commit).await.unwrap()
    };
    commit("old", 0).await;
    let moved = in_account(&account, &["dynamodb", "migrate", "old", "log", "--json"]).json();
    assert_eq!((&moved[0]["changesets"], &moved[0]["is_known"]), (&json!(1), &json!(false)));
    let again = in_account(&account, &["dynamodb", "migrate", "old", "log"]).ok();
    assert!(again.contains("already"), "{again}");
    let refused = in_account(&account, &["dynamodb", "sweep", "old"]).failed(2);
    assert!(refused.contains("was moved to the table \"log\""), "{refused}");
    assert_eq!(commit("log", 1).await.changeset_id.get(), 2);
    assert!(in_account(&account, &["dynamodb", "migrate", "old", "other"]).failed(2).contains("was moved"));
    assert!(
        in_account(&account, &["dynamodb", "migrate", "old", "log", "--cancel"])
            .failed(2)
            .contains("cancelled")
    );
}

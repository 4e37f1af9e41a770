//! What operators do to projections through the URL of the stack: by the command, and as the console's page asks.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ees_projector::postgres::{self, sqlx};
use ees_test_aws::{Identity, LocalAws, Stack};
use ees_test_postgres::TestDatabase;
use ees_tests::{Killed, Ran, ees, run};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{CALLER, LONG};

/// Scopes and keys of a stack: the first may do everything.
pub(crate) const KEYS: &str = "local,read:looks,commit:commits";

fn called(url: &str, key: &str, arguments: &[&str]) -> Command {
    let mut command = ees(arguments);
    command.env("EES_URL", url).env("EES_API_KEY", key);
    command
}

fn operate(url: &str, arguments: &[&str]) -> Ran {
    run(&mut called(url, "local", arguments))
}

/// What a command shows to who may only read.
fn shown(url: &str, arguments: &[&str]) -> Value {
    run(called(url, "looks", arguments).arg("--json")).json().remove(0)
}

fn status(url: &str, name: &str) -> Value {
    shown(url, &["projections", "status", name])
}

/// Calls a function, as its schedule does. Whether it succeeded, and what it said.
async fn invoke(stack: &Stack, function: &str) -> (bool, String) {
    let url = format!("{}/2015-03-31/functions/{function}/invocations", stack.account().endpoint());
    let authorization = stack.authorization().replace("execute-api", "lambda");
    let called =
        Client::new().post(url).header("Authorization", authorization).body("{}").send().await.unwrap();
    (!called.headers().contains_key("x-amz-function-error"), called.text().await.unwrap())
}

/// A policy that allows to read and nothing else.
const READER: &str = r#"{"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*/*/GET/*"
}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_who_of_those_who_sign_may_operate() {
    let account = LocalAws::guarded_account().await;
    let stack = Stack::event_store(&account).await;
    let (ada, reader) = (account.user(CALLER).await, account.user(READER).await);
    let url = stack.url();
    let signed = |who: &Identity, arguments: &[&str]| {
        let mut command = ees(arguments);
        command.env("EES_URL", &url).env("EES_SIGV4", "true").envs(who.environment());
        run(&mut command)
    };
    let pause = ["projections", "pause", "statistics", "--reason", "lunch"];
    signed(&reader, &pause).failed(7);
    signed(&ada, &pause).ok();
    let listed = signed(&reader, &["projections", "list"]).ok();
    assert!(listed.contains("statistics") && listed.contains("paused"), "{listed}");
    signed(&ada, &["projections", "resume", "statistics"]).ok();
    // The function's own rights are enough for the rest.
    signed(
        &ada,
        &["projections", "rebuild", "statistics", "--side-by-side", "--no-wait", "--reason", "to see it"],
    )
    .ok();
    signed(&ada, &["projections", "discard", "statistics"]).ok();
    signed(&ada, &["projections", "rebuild", "statistics", "--no-wait", "--reason", "to see it"]).ok();
}

pub(crate) async fn the_statistics_are_operated(stack: &Stack) {
    let url = &stack.url();
    operate(url, &["commit", "counted", "--event", "1"]).ok();
    let (counted, said) = invoke(stack, "ees-projector").await;
    assert!(counted, "{said}");

    // Who may.
    for (key, arguments, code) in [
        ("unknown", &["projections", "list"][..], 7),
        ("commits", &["projections", "list"], 7),
        ("looks", &["projections", "pause", "statistics", "--reason", "lunch"], 7),
        ("commits", &["projections", "pause", "statistics", "--reason", "lunch"], 7),
    ] {
        run(&mut called(url, key, arguments)).failed(code);
    }
    let listed = shown(url, &["projections", "list"])["projections"].take();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("statistics"), &json!("following")));

    // What.
    operate(url, &["projections", "pause", "statistics", "--reason", "lunch"]).ok();
    assert_eq!(status(url, "statistics")["stalled"], "paused: lunch");
    let (went_on, said) = invoke(stack, "ees-projector").await;
    assert!(!went_on && said.contains("is paused"), "{said}");
    let told = operate(url, &["projections", "passed", "counted", "1"]).ok();
    assert!(told.contains("statistics"), "{told}");
    operate(url, &["projections", "resume", "statistics"]).ok();
    operate(url, &["projections", "rebuild", "statistics", "--reason", "to see it", "--no-wait"]).ok();
    assert_eq!(status(url, "statistics")["state"], "rebuilding");
    let (rebuilt, said) = invoke(stack, "ees-projector").await;
    assert!(rebuilt && said.contains("CaughtUp"), "{said}");
    let now = status(url, "statistics");
    assert_eq!((&now["state"], &now["lag_changesets"]), (&json!("following"), &json!(0)), "{now}");
    let refused = operate(url, &["projections", "verify", "statistics"]).failed(11);
    assert!(refused.contains("a process that stays"), "{refused}");
    // There are no reactors of the stack's own, and it says what there is.
    let refused = operate(url, &["effects", "list", "publish_events"]).failed(5);
    assert!(refused.contains("there are: statistics"), "{refused}");
    let audit = shown(url, &["projections", "audit", "statistics"])["audit"].take();
    let actions: Vec<_> =
        audit.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["rebuild", "resume", "pause"]);
}

/// `ees console` before these servers, and what its page asks.
struct Console {
    root: String,
    key: String,
    _process: Killed,
}

impl Console {
    fn before(urls: &[&str], key: &str) -> Self {
        let mut command = ees(&["console", "--json"]);
        command.env("EES_URL", urls.join(",")).env("EES_API_KEY", key).stdout(Stdio::piped());
        let mut process = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let (root, key) = told["console"].as_str().unwrap().split_once("/console/#key=").unwrap();
        Self { root: root.to_owned(), key: key.to_owned(), _process: process }
    }

    async fn ask(&self, method: Method, path: &str, body: &'static str) -> (u16, Value) {
        let http = Client::builder().no_proxy().build().unwrap();
        let asked = http.request(method, format!("{}/{path}", self.root)).bearer_auth(&self.key).body(body);
        let answer = asked.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: &'static str) -> Value {
        let (status, body) = self.ask(Method::POST, path, body).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

pub(crate) async fn the_console_shows_the_stack(stack: &Stack) {
    let console = Console::before(&[&stack.url()], "local");
    assert_eq!(console.get("access").await["scopes"], json!(["read", "commit", "admin"]));
    let head = "changesets?include=position&limit=1&checkpoint=9007199254740991";
    assert!(console.get(head).await["head"].as_u64() > Some(0));
    let projections = console.get("projections").await;
    assert_eq!(projections["projections"][0]["name"], "statistics", "{projections}");
    for path in [
        "version",
        "metrics",
        "streams",
        "audit",
        "projections/statistics",
        "projections/statistics/parked",
        "projections/statistics/audit",
        "projections/statistics/verification",
        "projections/statistics/estimate",
        "passed?stream_id=counted&changeset_id=1",
        "streams/counted/changesets",
    ] {
        console.get(path).await;
    }
    let explained = console.get("projections/statistics/explain?key=all").await;
    assert!(explained["steps"].is_array(), "{explained}");
    // What a function does not have is a 404, and the page leaves it away.
    for path in ["history", "stream-list"] {
        assert_eq!(console.ask(Method::GET, path, "").await.0, 404, "{path}");
    }
    // A projection that stands still is a reason not to be ready.
    let paused = console.post("projections/statistics/pause", r#"{"reason": "from the page"}"#).await;
    assert_eq!(paused["state"], "paused");
    let (_, ready) = console.ask(Method::GET, "health/ready", "").await;
    assert!(ready["reasons"][0].as_str().unwrap().contains("\"statistics\" is paused"), "{ready}");
    console.post("projections/statistics/resume", "{}").await;

    // Dead letters, as the screen of the server shows them.
    let settings = console.get("settings").await;
    let queue =
        settings["settings"].as_array().unwrap().iter().find(|it| it["name"] == "publish-dead-letters");
    assert_eq!(queue.unwrap()["value"], stack.output("DeadLetters"));
    let sqs = aws_sdk_sqs::Client::new(&stack.account().sdk_config());
    let letter = json!({
        "topic_arn": stack.output("EventsTopic"), "stream_id": "counted", "changeset_id": 1, "event_id": 1,
        "error": "refused", "at": "2026-01-01T00:00:00.000000Z",
    });
    let send = sqs.send_message().queue_url(stack.output("DeadLetters")).message_body(letter.to_string());
    send.send().await.unwrap();
    let listed = console.get("dead-letters").await;
    assert_eq!(listed["dead_letters"][0]["stream_id"], "counted", "{listed}");
    let redriven = console.post("dead-letters/redrive", "{}").await;
    assert_eq!((&redriven["published"], &redriven["left"]), (&json!(1), &json!([])), "{redriven}");
    assert_eq!(console.get("dead-letters").await["dead_letters"], json!([]));

    let reader = Console::before(&[&stack.url()], "looks");
    for path in ["settings", "dead-letters"] {
        assert_eq!(reader.ask(Method::GET, path, "").await.0, 403, "{path}");
    }
    assert_eq!(reader.ask(Method::POST, "projections/statistics/pause", "{}").await.0, 403);
}

/// A projection of one's own, whose stream can't be applied for a while.
pub(crate) async fn a_projection_of_ones_own_is_operated_at_its_own_url(stack: &Stack) {
    let postgres = TestDatabase::new().await;
    let own = stack.own_projection_with(vec![
        format!("DatabaseUrl={}", postgres.url()),
        "OnFailure=park".to_owned(),
        "Authorization=bearer".to_owned(),
        format!("ApiKeys={KEYS}"),
    ]);
    let own = own.await;
    let url = &own.url();
    let add = |path: &str, blob: &str| {
        let event = json!({ "type": "file_added", "mode": "100644", "blob": blob });
        operate(&stack.url(), &["commit", path, "--event", &event.to_string()]).ok();
    };
    add("README", "b1");
    let until = async |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        let deadline = Instant::now() + LONG;
        loop {
            let status = status(url, "files");
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not {what}: {status}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let caught_up = |status: &Value| status["state"] == "following" && status["lag_changesets"] == 0;
    until("caught up", &caught_up).await;

    // Somebody has put a rule on the table, and a changeset breaks it.
    let database = postgres::Database::connect(postgres.url()).await.unwrap();
    let rule = "ALTER TABLE files.files ADD CONSTRAINT no_b2 CHECK (state->>'blob' <> 'b2')";
    sqlx::raw_sql(rule).execute(database.pool()).await.unwrap();
    add("LICENSE", "b2");
    add("NOTICE", "b3");
    until("parked", &|status| status["parked_streams"] == 1 && caught_up(status)).await;
    let parked = shown(url, &["projections", "parked", "files"])["parked"].take();
    assert_eq!(parked[0]["stream_id"], "LICENSE");
    assert!(parked[0]["error"].as_str().unwrap().contains("no_b2"), "{parked:?}");
    run(&mut called(url, "looks", &["projections", "parked", "files", "--retry"])).failed(7);
    sqlx::raw_sql("ALTER TABLE files.files DROP CONSTRAINT no_b2").execute(database.pool()).await.unwrap();
    operate(url, &["projections", "parked", "files", "--retry", "--stream", "LICENSE"]).ok();
    assert_eq!(status(url, "files")["parked_streams"], 0);
    let blob = "SELECT state->>'blob' FROM files.files WHERE key = 'LICENSE'";
    let blob: String = sqlx::query_scalar(blob).fetch_one(database.pool()).await.unwrap();
    assert_eq!(blob, "b2");

    let explained = operate(url, &["projections", "explain", "files", "README"]).ok();
    assert!(explained.contains("b1"), "{explained}");
    operate(
        url,
        &["projections", "rebuild", "files", "--side-by-side", "--reason", "to see it", "--no-wait"],
    )
    .ok();
    let swapped = |status: &Value| caught_up(status) && status["standby"]["plan"]["role"] == "following";
    until("swapped", &swapped).await;

    // Both stacks as one list.
    let console = Console::before(&[&stack.url(), url], "local");
    assert_eq!(console.get("projections").await["projections"][0]["name"], "statistics");
    assert_eq!(console.get("servers/1/projections").await["projections"][0]["name"], "files");
    assert_eq!(console.get("servers/1/health/ready").await["status"], "ready");
    assert_eq!(console.ask(Method::GET, "servers/1/changesets", "").await.0, 404);
}

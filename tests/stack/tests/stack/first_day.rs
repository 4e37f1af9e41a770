//! The script of the first day on a real account, as far as the emulator goes.

use std::fs;
use std::process::Command;

use ees_test_aws::{LocalAws, Stack, python};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_the_first_day_answers_each_question() {
    let account = LocalAws::account().await;
    let stack = Stack::event_store(&account).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.json");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/first-day/first_day.py");
    let mut asking = Command::new(python());
    asking.arg(script).args(["--stack", "ees", "--url", &stack.url(), "--commits", "8", "--seconds", "2"]);
    asking.arg("--json").arg(&file).envs(account.environment());
    let asked = tokio::task::spawn_blocking(move || asking.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{told}{}", String::from_utf8_lossy(&asked.stderr));

    let answers: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let of = |what: &str| answers.iter().find(|answer| answer["what"] == what).unwrap()["holds"] == true;
    for question in ["paths", "commits", "order", "transactions", "keys", "pressure", "cold", "shards"] {
        assert!(answers.iter().any(|answer| answer["question"] == question), "{question}: {told}");
    }
    assert!(of("UTF-8 in a stream's id"), "{told}");
    assert!(of("from commit to its place"), "{told}");
    assert!(of("writes that are not in it"), "{told}");
    assert!(of("shards of the stream"), "{told}");
    assert!(of("a write of 500 bytes with a key"), "{told}");
    assert!(of("keys of changesets that were seen"), "{told}");
    assert!(of("local indexes of the log"), "{told}");
    // What the emulator is known to do otherwise is told as different, not passed over.
    assert!(!of("%2F in a stream's id"), "{told}");
    assert!(!of("writes that a throttled index takes"), "{told}");
}

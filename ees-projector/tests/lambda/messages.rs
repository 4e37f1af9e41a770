//! A function for a queue: what it is not past comes again, in order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ees_projector::lambda::Function;
use ees_projector::reactor::{self, Cause, Reactor, Start};
use ees_projector::{BoxError, OnDemand, sqlite};
use serde_json::Value;

use crate::support::{Bank, LONG, ReadModel, SHORT, failures, message_of, messages, within};

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_done_with_when_their_changesets_are_applied() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let (a, b) = (bank.append("a", "[1,2]").await, bank.append("b", "[1]").await);
        let function = read_model.function(&bank);
        // Repeated and out of order; the last one is in the envelope of SNS.
        let envelope = serde_json::json!({"Type": "Notification", "Message": message_of(&a).1}).to_string();
        let event = messages(&[message_of(&b), message_of(&a), message_of(&a), ("a", envelope)]);
        assert_eq!(failures(&function.on_messages(&event, within(LONG)).await), [""; 0]);
        assert_eq!(read_model.rows().await, ["a#1", "a#2", "b#1"]);
        // The same batch once more, to another instance of the function.
        let response = read_model.function(&bank).on_messages(&event, within(LONG)).await;
        assert_eq!((failures(&response).len(), read_model.rows().await.len()), (0, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_place_in_the_log_yet_is_waited_for() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        bank.end.send_replace(0);
        let a = bank.append("a", "[1]").await;
        let function = read_model.function(&bank);
        let event = messages(&[message_of(&a)]);
        let (response, ()) = tokio::join!(function.on_messages(&event, within(LONG)), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            bank.end.send_replace(u64::MAX);
        });
        assert_eq!(failures(&response), [""; 0]);
        assert_eq!(read_model.rows().await, ["a#1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_projection_does_not_get_to_comes_again_with_all_that_follows_in_its_group() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let (a1, b1) = (bank.append("a", "[1]").await, bank.append("b", "[1]").await);
        let (a2, c1) = (bank.append("a", "[2]").await, bank.append("c", "[1]").await);
        bank.end.send_replace(2);
        let event = messages(&[message_of(&a2), message_of(&b1), message_of(&a1), message_of(&c1)]);
        let response = read_model.function(&bank).on_messages(&event, within(SHORT)).await;
        // a1 is applied, but comes after a2 in the batch: its group begins again with a2.
        assert_eq!(failures(&response), ["0", "2", "3"]);
        assert_eq!(read_model.rows().await, ["a#1", "b#1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projection_gives_its_messages_back_at_once() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let a = bank.append("a", "[1]").await;
        let bad = bank.append("b", r#"["bad"]"#).await;
        let event = messages(&[message_of(&a), message_of(&bad)]);
        let began = std::time::Instant::now();
        let response = read_model.function(&bank).on_messages(&event, within(LONG)).await;
        assert_eq!(failures(&response), ["1"]);
        assert!(began.elapsed() < LONG / 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_none_of_ours_is_reported_failed() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let a = bank.append("a", "[1]").await;
        let event = messages(&[("x", "hello".to_owned()), message_of(&a)]);
        let response = read_model.function(&bank).on_messages(&event, within(LONG)).await;
        assert_eq!(failures(&response), ["0"]);
        assert_eq!(read_model.rows().await, ["a#1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_twice_at_once_is_applied_once() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let mut all = Vec::new();
        for number in 0..40 {
            all.push(bank.append(&format!("s{}", number % 5), "[1]").await);
        }
        let all: Vec<_> = all.iter().map(message_of).collect();
        let event = messages(&all);
        let functions = [read_model.function(&bank), read_model.function(&bank)];
        let (one, other) = tokio::join!(
            functions[0].on_messages(&event, within(LONG)),
            functions[1].on_messages(&event, within(LONG))
        );
        assert_eq!((failures(&one), failures(&other)), (Vec::new(), Vec::new()));
        assert_eq!(read_model.rows().await.len(), 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_killed_at_any_moment_leaves_nothing_half_done() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let mut all = Vec::new();
        for number in 0..60 {
            all.push(bank.append(&format!("s{}", number % 5), "[1,2]").await);
        }
        let all: Vec<_> = all.iter().map(message_of).collect();
        let event = messages(&all);
        for attempt in 0_u64..25 {
            let function = read_model.function(&bank);
            let killed = Duration::from_micros(200 + 900 * attempt);
            let _ = tokio::time::timeout(killed, function.on_messages(&event, within(LONG))).await;
        }
        // The killed ones may still have the lease for some seconds.
        let response = read_model.function(&bank).on_messages(&event, within(LONG)).await;
        assert_eq!(failures(&response), [""; 0]);
        let mut rows = read_model.rows().await;
        assert_eq!(rows.len(), 120);
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 120, "none twice");
    }
}

/// Notes, outside of any database, what it was called for.
#[derive(Clone, Default)]
struct Bell(Arc<Mutex<Vec<String>>>);

impl Reactor for Bell {
    type Event = Value;
    fn name(&self) -> &str {
        "bell"
    }
    async fn react(&self, cause: Cause<'_, Value>) -> Result<(), BoxError> {
        let ring = async || {
            self.0.lock().unwrap().push(format!("{}#{}", cause.stream_id(), cause.event_id));
            Ok::<_, BoxError>(())
        };
        cause.effect("ring", ring).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reactor_in_a_function_acts_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = sqlite::Database::open(folder.path().join("bell.db")).unwrap();
    let (bank, bell) = (Bank::new(), Bell::default());
    let settings = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    let function = || {
        let worker = OnDemand::reactor(bell.clone(), database.clone(), bank.clone(), settings);
        Function::new(worker.unwrap())
    };
    let (a, b) = (bank.append("a", "[1,2]").await, bank.append("b", "[1]").await);
    let event = messages(&[message_of(&a), message_of(&b)]);
    assert_eq!(failures(&function().on_messages(&event, within(LONG)).await), [""; 0]);
    // The same messages again, to another instance.
    assert_eq!(failures(&function().on_messages(&event, within(LONG)).await), [""; 0]);
    assert_eq!(*bell.0.lock().unwrap(), ["a#1", "a#2", "b#1"]);
}

//! Changesets that can't be applied, also beside a read model that is fine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ees_projector::{
    Fold, NewVersion, OnFailure, Order, Parking, Projector, ReadModel, Recorded, Running, Settings, State,
    Table,
};
use ees_store::ChangesetLog;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::support::{Bank, LONG, append, hasty, status_of};

/// A row of every kind of column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "notes", key = "stream", index(text))]
struct Note {
    text: String,
    perhaps: Option<String>,
    number: i64,
    fraction: f64,
    truth: bool,
    #[read_model(column = "timestamp")]
    at: Option<String>,
    #[read_model(column = "uuid")]
    id: Option<String>,
    #[read_model(json)]
    anything: BTreeMap<String, Value>,
    #[read_model(json)]
    order: Vec<i64>,
}

/// Keeps the newest note of a stream, and the numbers in the order they came.
#[derive(Clone)]
struct Notes {
    version: u32,
    broken: Arc<AtomicBool>,
}

impl Fold for Notes {
    type Event = Value;
    type Key = String;
    type State = Note;

    fn name(&self) -> &str {
        "notes"
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        Note::table()
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Note>, event: Recorded<'_, Value>) -> Option<Note> {
        let event = event.event;
        assert!(!(self.broken.load(SeqCst) && event["bad"] == true), "told to");
        if event["gone"] == true {
            return None;
        }
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        let mut order = row.map_or_else(Vec::new, |row| row.order);
        order.push(event["number"].as_i64().unwrap_or(0));
        Some(Note {
            text: text("text").unwrap_or_default(),
            perhaps: text("perhaps"),
            number: event["number"].as_i64().unwrap_or(0),
            fraction: event["fraction"].as_f64().unwrap_or(0.0),
            truth: event["truth"] == true,
            at: text("at"),
            id: text("id"),
            anything: BTreeMap::from([("é\"\\".to_owned(), event["anything"].clone())]),
            order,
        })
    }
}

async fn start(bank: &Bank, version: u32, settings: Settings) -> (Running, Arc<AtomicBool>) {
    let notes = Notes { version, broken: Arc::new(AtomicBool::new(true)) };
    let mut projector = Projector::new(bank.log.clone());
    projector.fold(notes.clone(), bank.connect().await, settings).unwrap();
    (projector.start(), notes.broken)
}

async fn caught_up(bank: &Bank, running: &Running) {
    let head = bank.log.head().await.unwrap().checkpoint;
    running.handle().when_reached("notes", head, LONG).await.unwrap();
}

fn parking() -> Settings {
    let parking = Parking { retry_after_min: LONG, ..Parking::default() };
    Settings { on_failure: OnFailure::Park(parking), ..hasty() }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_column_keeps_what_it_is_given() {
    let bank = Bank::new().await;
    let (running, _) = start(&bank, 1, hasty()).await;
    let full = r#"{"text":"ünï\t'\"\\💧","perhaps":"","number":-9223372036854775808,"fraction":1e-300,"truth":true,
        "at":"2026-01-02T03:04:05.123456Z","id":"67e55044-10b1-426f-9247-bb680e5fe0c8","anything":[1,null,{"a":"\u0000"}]}"#;
    append(&bank.log, "full", full).await;
    append(&bank.log, "empty", "{}").await;
    append(&bank.log, "gone", full).await;
    append(&bank.log, "gone", r#"{"gone":true}"#).await;
    caught_up(&bank, &running).await;
    let found = bank
        .number(
            "SELECT count(*) FROM notes.notes WHERE stream = 'full' AND text = E'ünï\\t''\"\\\\💧' AND perhaps = ''
                AND number = -9223372036854775808 AND fraction = 1e-300 AND truth
                AND at = '2026-01-02T03:04:05.123456Z' AND id = '67e55044-10b1-426f-9247-bb680e5fe0c8'
             OR stream = 'empty' AND perhaps IS NULL AND at IS NULL AND id IS NULL AND NOT truth",
        )
        .await;
    assert_eq!((found, bank.number("SELECT count(*) FROM notes.notes").await), (2, 2));
    // What was read back is what was written.
    append(&bank.log, "full", full).await;
    caught_up(&bank, &running).await;
    assert_eq!(
        bank.number("SELECT json_array_length(\"order\")::bigint FROM notes.notes WHERE stream = 'full'")
            .await,
        2
    );
    assert!(running.handle().verify("notes").await.unwrap().is_equal());
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_rows_go_in_one_batch() {
    let bank = Bank::new().await;
    for number in 0..5_000 {
        append(&bank.log, &format!("note-{number}"), &format!(r#"{{"text":"t{number}","number":{number}}}"#))
            .await;
    }
    let (running, _) = start(&bank, 1, hasty()).await;
    caught_up(&bank, &running).await;
    assert_eq!(bank.number("SELECT sum(number)::bigint FROM notes.notes").await, 12_497_500);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_database_can_not_hold_pauses_and_says_why() {
    let bank = Bank::new().await;
    for event in [r#"{"text":"a\u0000b"}"#, r#"{"at":"yesterday, perhaps"}"#, r#"{"id":"none"}"#] {
        append(&bank.log, "bad", event).await;
    }
    let (running, _) = start(&bank, 1, hasty()).await;
    for (place, why) in [
        (0, "column notes.text: the text has the character NUL"),
        (1, "column notes.at: \"yesterday"),
        (2, "column notes.id: \"none\""),
    ] {
        let paused = |status: &ees_projector::Status| {
            status.state == State::Paused && status.checkpoint.get() == place && status.pause.is_some()
        };
        let pause = status_of(&running, "notes", paused).await.pause.unwrap();
        assert!(pause.reason.contains(why), "{}", pause.reason);
        running.handle().skip("notes", pause.failure.unwrap().checkpoint, "it is nothing").await.unwrap();
    }
    caught_up(&bank, &running).await;
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_stream_gets_through_in_order_and_keeps_a_standby_from_being_swapped() {
    let bank = Bank::new().await;
    for number in 0..30 {
        let bad = number == 3;
        append(&bank.log, &format!("s{}", number % 3), &format!(r#"{{"number":{number},"bad":{bad}}}"#))
            .await;
    }
    let (old, mended) = start(&bank, 1, parking()).await;
    caught_up(&bank, &old).await;
    assert_eq!(old.handle().status("notes").await.unwrap().parked_streams, 1);
    let others = "SELECT count(*) FROM notes.notes WHERE json_array_length(\"order\") = 10";
    assert_eq!(bank.number(others).await, 2);

    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..parking() };
    let (new, new_mended) = start(&bank, 2, beside).await;
    let noted = |status: &ees_projector::Status| {
        status.standby.as_ref().is_some_and(|standby| standby.plan.note.is_some())
    };
    let note = status_of(&new, "notes", noted).await.standby.unwrap().plan.note.unwrap();
    assert!(note.contains("1 streams are parked"), "{note}");
    assert_eq!(bank.number("SELECT version FROM ees.projections WHERE name = 'notes'").await, 1);
    let refused = new.handle().swap("notes", false, "").await.unwrap_err();
    assert!(refused.to_string().contains("parked"), "{refused}");

    mended.store(false, SeqCst);
    old.handle().retry_parked("notes", None, "mended").await.unwrap();
    assert!(old.handle().parked("notes").await.unwrap().is_empty());
    let in_order = "SELECT count(*) FROM notes.notes WHERE \"order\"::text = '[0,3,6,9,12,15,18,21,24,27]'";
    assert_eq!(bank.number(in_order).await, 1);
    new_mended.store(false, SeqCst);
    new.handle().swap("notes", true, "all the same").await.unwrap();
    assert_eq!(bank.number("SELECT version FROM ees.projections WHERE name = 'notes'").await, 2);
    // What is parked has moved with its read model.
    let parked = "SELECT count(*) FROM ees.parked_streams WHERE projection = 'notes'";
    assert_eq!(bank.number(parked).await, 1);
    new.handle().retry_parked("notes", None, "mended").await.unwrap();
    assert_eq!(bank.number(in_order).await, 1);
    old.shut_down().await;
    new.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_fails_pauses_alone() {
    let bank = Bank::new().await;
    append(&bank.log, "a", r#"{"number":1,"bad":true}"#).await;
    let (old, mended) = start(&bank, 1, hasty()).await;
    mended.store(false, SeqCst);
    let paused = |status: &ees_projector::Status| status.pause.is_some() || status.checkpoint.get() == 1;
    if status_of(&old, "notes", paused).await.pause.is_some() {
        old.handle().resume("notes", "mended").await.unwrap();
    }
    caught_up(&bank, &old).await;
    let beside = Settings { new_version: NewVersion::SideBySide { verify: false }, ..hasty() };
    let (new, new_mended) = start(&bank, 2, beside).await;
    let paused = |status: &ees_projector::Status| {
        status.standby.as_ref().is_some_and(|standby| standby.pause.is_some())
    };
    status_of(&new, "notes", paused).await;
    append(&bank.log, "b", r#"{"number":2}"#).await;
    caught_up(&bank, &old).await;
    assert_eq!(old.handle().status("notes").await.unwrap().pause, None);
    new_mended.store(false, SeqCst);
    new.handle().discard_standby("notes", "anew").await.unwrap();
    status_of(&new, "notes", |status| status.standby.is_none() && status.checkpoint.get() == 2).await;
    assert_eq!(bank.number("SELECT version FROM ees.projections WHERE name = 'notes'").await, 2);
    old.shut_down().await;
    new.shut_down().await;
}

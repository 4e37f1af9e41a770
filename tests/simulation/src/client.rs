//! A program that commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, Commit, Error, EventStore, Events, Expectation, Refusal, StreamId};

use crate::machine;
use crate::read_models::Event;
use crate::remote_store::RemoteStore;

pub(crate) const STREAMS: usize = 8;

/// A commit that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) stream: StreamId,
    pub(crate) changeset: ChangesetId,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) body: String,
    /// When it was sent for the first time, and when the answer came.
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
}

/// A commit that was refused: somebody else was first.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) stream: StreamId,
    pub(crate) expected: ChangesetId,
    pub(crate) body: String,
}

/// What clients were told.
#[derive(Default)]
pub(crate) struct Acknowledgements {
    pub(crate) all: Vec<Acknowledged>,
    /// The last changeset of each stream that any client knows of.
    newest: BTreeMap<StreamId, ChangesetId>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) repeats: usize,
}

pub(crate) type Told = Arc<Mutex<Acknowledgements>>;

/// Commits, until it is dropped.
pub(crate) async fn run(store: RemoteStore, told: Told, is_calm: impl Fn() -> bool) {
    while !is_calm() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..600))).await;
        let stream: StreamId = format!("stream-{}", fastrand::usize(..STREAMS)).parse().expect("a valid id");
        let known = told.lock().unwrap().newest.get(&stream).copied().unwrap_or(ChangesetId::NONE);
        let tail = loop {
            match store.tail(&stream).await {
                Ok(tail) => break tail.last_changeset,
                Err(error) => wait_after(&error).await,
            }
        };
        assert!(tail >= known, "{stream}: a client knew of changeset {known}, and a later read found {tail}");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..50))).await;
        commit(&store, &told, stream, tail).await;
    }
}

async fn commit(store: &RemoteStore, told: &Told, stream: StreamId, tail: ChangesetId) {
    let (body, sent) = (events(), machine::now());
    let key = format!("{:016x}", fastrand::u64(..)).parse().expect("a valid key");
    // Another client may have committed meanwhile, and that is refused; or this one is behind anyway.
    let commit = Commit::new(
        stream.clone(),
        Expectation::LastChangeset(tail),
        Events::parse(&body).expect("valid events"),
    )
    .with_idempotency_key(key);
    loop {
        match store.commit(commit.clone()).await {
            Ok(committed) => {
                let mut told = told.lock().unwrap();
                let newest = told.newest.entry(stream.clone()).or_default();
                *newest = (*newest).max(committed.changeset_id);
                assert_eq!(committed.changeset_id.get(), tail.get() + 1, "{stream}: not what was expected");
                let checkpoint = committed.checkpoint.expect("a store in memory knows the place at once");
                let (changeset, answered) = (committed.changeset_id, machine::now());
                told.all.push(Acknowledged { stream, changeset, checkpoint, body, sent, answered });
                return;
            }
            Err(Error::Refused(Refusal::Conflict { .. })) => {
                told.lock().unwrap().refused.push(Refused { stream, expected: tail, body });
                return;
            }
            Err(error) => {
                told.lock().unwrap().repeats += 1;
                wait_after(&error).await;
            }
        }
    }
}

async fn wait_after(error: &Error) {
    assert!(error.is_transient(), "{error}");
    tokio::time::sleep(Duration::from_millis(fastrand::u64(50..1_000))).await;
}

/// One to three events; some can't be applied for a while.
fn events() -> String {
    let now = machine::now().as_secs();
    let event = || Event::Noted {
        // No two are the same, as good as never.
        value: fastrand::u64(..1 << 32),
        good_after_seconds: if fastrand::u32(..100) == 0 { now + fastrand::u64(1..15) } else { 0 },
        remind_after_seconds: if fastrand::u32(..8) == 0 { fastrand::u64(1..10) } else { 0 },
    };
    let events: Vec<_> = std::iter::repeat_with(event).take(fastrand::usize(1..4)).collect();
    serde_json::to_string(&events).expect("events are JSON")
}

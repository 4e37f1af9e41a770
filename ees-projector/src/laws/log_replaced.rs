//! A log that went back in time is noticed before anything is applied; a log that only grew is not taken for one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Expectation, Filter, LogHead, LogPage,
    LogQuery, StreamId, memory,
};

use super::Subject;
use super::explaining::Puts;
use super::support::{
    Bench, ChangingLog, Journal, LONG, Silent, append, caught_up, fresh, note, settings, start,
};
use crate::database::Database;
use crate::preview::{Preview, PreviewOptions};
use crate::reactor::Start;
use crate::{AsOf, Explain, Handle, Projector, Settings, State, Status, reactor};

/// A log with these notes, all in stream `s`, in the guise of another one.
async fn log_with(texts: &[&str]) -> memory::Store {
    let store = memory::Store::new();
    for text in texts {
        append(&store, "s", &note(text)).await;
    }
    store
}

async fn after_three<S: Subject>() -> Bench<S> {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.exchange(log_with(&["1", "2", "3"]).await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    bench.running.shut_down().await;
    bench_again(&bench.log, &bench.subject)
}

fn bench_again<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>) -> Bench<S> {
    start(log, subject, &Journal::new(), settings())
}

async fn stopped<S: Subject>(bench: &Bench<S>) -> Status {
    bench.status_when(|status| status.state == State::Stopped).await
}

/// Exchanges the log while nobody looks, and starts again.
async fn exchanged<S: Subject>(other: memory::Store) -> Bench<S> {
    let bench = after_three::<S>().await;
    bench.caught_up().await;
    bench.running.shut_down().await;
    bench.log.exchange(other);
    bench_again(&bench.log, &bench.subject)
}

/// A log with another id stops the projection before it applies anything.
pub async fn another_log_is_noticed_before_anything_is_applied<S: Subject>() {
    let bench = exchanged::<S>(log_with(&["1", "2", "3", "4"]).await).await;
    let why = stopped(&bench).await.stalled.unwrap();
    assert!(why.contains("another log") && why.contains("rebuild"), "{why}");
    assert_eq!(bench.texts("s").await.unwrap(), "1 2 3");
}

/// A log that ends before the position stops the projection.
pub async fn a_shorter_log_is_noticed<S: Subject>() {
    let bench = after_three::<S>().await;
    bench.caught_up().await;
    let id = bench.log.store();
    bench.running.shut_down().await;
    bench.log.exchange(log_with(&["1", "2"]).await.with_identity_of(&id));
    let bench = bench_again(&bench.log, &bench.subject);
    let why = stopped(&bench).await.stalled.unwrap();
    assert!(why.contains("ends before checkpoint 2"), "{why}");
}

/// A log whose past has changed stops a worker that is running.
pub async fn a_log_of_the_same_length_with_another_past_is_noticed<S: Subject>() {
    let bench = after_three::<S>().await;
    bench.running.shut_down().await;
    let attentive = Settings { poll_interval: Duration::from_millis(10), ..settings() };
    let bench = start(&bench.log, &bench.subject, &Journal::new(), attentive);
    bench.status_when(|status| status.state == State::Following).await;
    // While it runs: no restart, just other content behind the same name.
    let other = log_with(&["1", "2"]).await.with_identity_of(&bench.log.store());
    append(&other, "elsewhere", &note("3")).await;
    append(&other, "elsewhere", &note("4")).await;
    bench.log.exchange(other);
    let why = stopped(&bench).await.stalled.unwrap();
    assert!(why.contains("was changeset 3 of stream \"s\""), "{why}");
    assert_eq!(bench.texts("elsewhere").await, None);
}

/// Another changeset at the place of the last one stops the projection, and operators can't talk it out of
/// that.
pub async fn the_same_place_with_other_content_is_noticed<S: Subject>() {
    let bench = after_three::<S>().await;
    bench.running.shut_down().await;
    // The backup lacked the third, and it was committed anew, to the same stream.
    let other = log_with(&["1", "2", "another"]).await.with_identity_of(&bench.log.store());
    bench.log.exchange(other);
    let bench = bench_again(&bench.log, &bench.subject);
    stopped(&bench).await;
    assert!(bench.handle().when_reached("journal", Checkpoint::START, LONG).await.is_err());
    assert!(bench.handle().resume("journal", "it will be all right").await.is_err());
    assert!(bench.handle().skip("journal", Checkpoint::new(3), "it will be all right").await.is_err());
}

/// A changed past is noticed even where a filter left it out.
pub async fn what_a_filter_left_out_counts_too<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let journal = Journal { filter: Filter::event_types(["noted"]), ..Journal::new() };
    log.append("s", &note("1")).await;
    for _ in 0..5 {
        log.append("others", r#"{"type":"other"}"#).await;
    }
    let bench = start(&log, &subject, &journal, settings());
    bench.caught_up().await;
    bench.running.shut_down().await;
    // Restored to before the others, and grown again: what it applied is there, what it passed is not.
    let other = memory::Store::new().with_identity_of(&log.store());
    let before = log.store();
    let first = before.read(LogQuery::from(Checkpoint::START, 1)).await.unwrap().changesets.remove(0);
    let again = Commit::new(first.stream_id.clone(), Expectation::NewStream, first.events.clone());
    other.commit(again.with_recorded_at(first.timestamp)).await.unwrap();
    for n in 2..=9 {
        append(&other, "s", &note(&n.to_string())).await;
    }
    log.exchange(other);
    let bench = start(&log, &subject, &journal, settings());
    stopped(&bench).await;
    assert_eq!(bench.texts("s").await.unwrap(), "1");
}

/// A rebuild accepts the new log.
pub async fn a_rebuild_takes_the_new_log<S: Subject>() {
    let bench = exchanged::<S>(log_with(&["a", "b"]).await).await;
    stopped(&bench).await;
    bench.handle().rebuild("journal", "restored from a backup").await.unwrap();
    // A caller that waits for the rebuild looks at once.
    assert_ne!(bench.handle().status("journal").await.unwrap().state, State::Stopped);
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "a b");
    bench.status_when(|status| status.state == State::Following).await;
}

/// A log in which there is always more by the time somebody learns where it ends, and in which that is applied as well.
struct Growing {
    log: Arc<ChangingLog>,
    applied_by: Handle,
}

impl Growing {
    async fn grow(&self) {
        self.log.append("a", r#"{"column": 0, "number": 1}"#).await;
        for name in ["puts", "silent"] {
            caught_up(&self.log, &self.applied_by, name).await;
        }
    }
}

#[async_trait]
impl ChangesetLog for Growing {
    async fn read(&self, query: LogQuery) -> ees_store::Result<LogPage> {
        self.log.read(query).await
    }
    async fn locate(
        &self,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
    ) -> ees_store::Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> ees_store::Result<LogHead> {
        let head = self.log.head().await;
        self.grow().await;
        head
    }
}

/// What an operator asks beside a worker that is faster than the operator's reads.
pub async fn a_log_that_grows_did_not_go_back<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let host = |log: Arc<dyn ChangesetLog>| {
        let mut projector = Projector::new(log);
        projector.fold(Puts::new("puts"), subject.database(), settings()).unwrap();
        let from_the_start = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
        projector.reactor(Silent, subject.database(), from_the_start).unwrap();
        projector
    };
    let worker = host(log.clone()).start();
    let growing = Arc::new(Growing { log: log.clone(), applied_by: worker.handle().clone() });
    growing.grow().await;

    for name in ["puts", "silent"] {
        if name == "silent" || S::Database::PREVIEWS {
            let preview = host(growing.clone()).preview(name, PreviewOptions::default()).await.unwrap();
            let is_equal = match &preview {
                Preview::Projection(preview) => preview.is_equal(),
                Preview::Reactor(preview) => preview.is_equal(),
            };
            assert!(is_equal, "{preview:?}");
        }
    }
    let operator = host(growing).start();
    let asked = operator.handle();
    assert!(asked.explain("puts", Explain::key("a")).await.unwrap().is_stored);
    if S::Database::COPIES {
        asked.as_of("puts", AsOf { checkpoint: Checkpoint::new(1), into: "then".to_owned() }).await.unwrap();
    }
    if S::CAPABILITIES.side_by_side {
        assert!(asked.verify("puts").await.unwrap().is_equal());
    }
    operator.shut_down().await;
    worker.shut_down().await;
}

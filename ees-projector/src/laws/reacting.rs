//! What a reactor promises: at least once, in order, from now on, never in a replay.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_store::event::{Members, Reading, Upcasters};
use ees_store::{ChangesetLog, Filter, Timestamp};

use super::Subject;
use super::support::{ChangingLog, Journal, LONG, Note, fresh, note};
use crate::Subscription;
use crate::reactor::{Cause, Interrupted, Reactor, Settings, Start, Unfinished};
use crate::{
    BoxError, Drained, Kind, OnDemand, OperateError, Parking, Projector, Retry, Running, SideBySide, State,
    Status,
};

/// Writes down what it was called for, outside of any transaction, and can be told to fail.
#[derive(Clone, Default)]
struct Letters {
    sent: Arc<Mutex<Vec<String>>>,
    keys: Arc<Mutex<Vec<String>>>,
    hangs: Arc<AtomicBool>,
    fails: Arc<AtomicUsize>,
    passes: Arc<AtomicBool>,
}

#[derive(Debug, thiserror::Error)]
#[error("nobody at the post office")]
struct Closed;

impl Reactor for Letters {
    type Event = Note;

    fn name(&self) -> &str {
        "letters"
    }
    fn subscription(&self) -> Subscription {
        let rename = |event: &mut Members| {
            event.rename("words", "text");
            Ok(())
        };
        Subscription::to(Filter::events_of::<Note>()).with_reading(Reading::upcasting(
            Upcasters::new().step(("scribbled", 1), ("noted", 1), rename).unwrap(),
        ))
    }
    async fn react(&self, cause: Cause<'_, Note>) -> Result<(), BoxError> {
        if self.fails.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Closed.into());
        }
        let Note::Noted { text } = cause.event;
        self.sent.lock().unwrap().push(format!("{}: {text}", cause.stream_id()));
        self.keys.lock().unwrap().push(cause.key("letter"));
        if self.hangs.load(SeqCst) {
            pending::<()>().await;
        }
        Ok(())
    }
    fn is_transient(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        self.passes.load(SeqCst) && error.is::<Closed>()
    }
}

impl Letters {
    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

fn hasty() -> Settings {
    let retry = Retry { times: 2, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(5) };
    Settings { retry, ..Settings::default() }
}

fn start<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    letters: &Letters,
    settings: Settings,
) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.reactor(letters.clone(), subject.database(), settings).unwrap();
    projector.start()
}

async fn status_when(running: &Running, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + LONG;
    loop {
        let status = running.handle().status("letters").await.unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "the status never came to what was wanted; it is {status:#?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn following(running: &Running) -> Status {
    status_when(running, |status| status.state == State::Following && status.lag_changesets == 0).await
}

/// A reactor begins at the end of the log, and a new worker goes on where the last one stopped.
pub async fn a_reactor_starts_at_now_and_goes_on_where_it_was<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    log.append("a", &note("history")).await;
    let running = start(&log, &subject, &letters, hasty());
    following(&running).await;
    let first = log.append("a", &note("one")).await;
    running.handle().when_reached("letters", first, LONG).await.unwrap();
    running.shut_down().await;

    log.append("a", &note("two")).await;
    let running = start(&log, &subject, &letters, hasty());
    let last = log.append("b", &note("three")).await;
    running.handle().when_reached("letters", last, LONG).await.unwrap();
    let status = following(&running).await;
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: one", "a: two", "b: three"]);
    assert_eq!((status.kind, status.version, status.standby), (Kind::Reactor, 0, None));
}

/// A reactor can begin at the start of the log.
pub async fn a_reactor_can_be_told_to_start_at_the_beginning<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    for text in ["one", "two", "three"] {
        log.append("a", &note(text)).await;
        log.append("b", &note(text)).await;
    }
    let settings = Settings { start: Start::Beginning, batch_changesets_max: 4, ..hasty() };
    let running = start(&log, &subject, &letters, settings);
    following(&running).await;
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: one", "b: one", "a: two", "b: two", "a: three", "b: three"]);
}

/// A reactor can begin where the log reaches a time. Only its first start looks at the time, which must not lie in the
/// future.
pub async fn a_reactor_can_be_told_to_start_at_a_time<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    let hour = |n: i64| Timestamp::from_micros(1_700_000_000_000_000 + n * 3_600_000_000);
    for n in 0..6 {
        log.append_at(hour(n), &format!("s{n}"), &note("old")).await;
    }
    let since = |time| Settings { start: Start::Since(time), ..hasty() };
    let running = start(&log, &subject, &letters, since(hour(4)));
    following(&running).await;
    running.shut_down().await;
    log.append("a", &note("new")).await;
    let running = start(&log, &subject, &letters, since(hour(0)));
    following(&running).await;
    running.shut_down().await;
    assert_eq!(letters.sent(), ["s4: old", "s5: old", "a: new"]);

    let other = fresh::<S>().await;
    let running = start(&log, &other, &letters, since("2999-01-01T00:00:00Z".parse().unwrap()));
    let stopped = status_when(&running, |status| status.state == State::Stopped).await;
    running.shut_down().await;
    assert!(
        stopped
            .last_error
            .is_some_and(|it| it.message.contains("2999") && it.message.contains("in the future"))
    );
}

/// Two letters at a time, and at first none.
#[derive(Clone, Default)]
struct Unhurried(Letters, Arc<Mutex<Vec<usize>>>);

impl Reactor for Unhurried {
    type Event = Note;

    fn name(&self) -> &str {
        "letters"
    }
    async fn react(&self, cause: Cause<'_, Note>) -> Result<(), BoxError> {
        self.0.react(cause).await
    }
    async fn react_batch(&self, causes: &[Cause<'_, Note>]) -> Result<(), Interrupted> {
        let is_first = self.1.lock().unwrap().is_empty();
        self.1.lock().unwrap().push(causes.len());
        let done = if is_first { 0 } else { causes.len().min(2) };
        for cause in &causes[..done] {
            self.0.react(*cause).await.unwrap();
        }
        if done == causes.len() { Ok(()) } else { Err(Interrupted { done, error: Unfinished.into() }) }
    }
}

/// A batch that was done in part continues behind that part, without an error.
pub async fn what_is_unfinished_goes_on_behind_what_is_done_and_nothing_went_wrong<S: Subject>() {
    let (log, subject, unhurried) = (ChangingLog::new(), fresh::<S>().await, Unhurried::default());
    for number in 0..7 {
        log.append("a", &note(&number.to_string())).await;
    }
    let settings = Settings { start: Start::Beginning, batch_changesets_max: 7, ..Settings::default() };
    let worker = OnDemand::reactor(unhurried.clone(), subject.database(), log, settings).unwrap();
    let drained = worker.drain_until(Instant::now() + LONG).await;
    assert_eq!((drained, worker.last_error().await), (Drained::CaughtUp, None));
    assert_eq!(*unhurried.1.lock().unwrap(), [7, 7, 5, 3, 1]);
    assert_eq!(unhurried.0.sent(), Vec::from_iter((0..7).map(|number| format!("a: {number}"))));
}

/// After a crash, what was begun is repeated under the same key, and nothing is skipped.
pub async fn a_crash_repeats_what_was_begun_and_skips_nothing<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    let settings = Settings { start: Start::Beginning, ..hasty() };
    for text in ["one", "two"] {
        log.append("a", &note(text)).await;
    }
    letters.hangs.store(true, SeqCst);
    let host = || OnDemand::reactor(letters.clone(), subject.database(), log.clone(), settings).unwrap();
    let crashing = host();
    let deadline = Instant::now() + LONG;
    tokio::select! {
        drained = crashing.drain_until(deadline) => panic!("it ended: {drained:?}"),
        () = async {
            while letters.sent().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        } => {}
    }
    drop(crashing);
    letters.hangs.store(false, SeqCst);
    // The lease of the crashed one has to end first.
    let after = host();
    while after.drain_until(deadline).await == Drained::Elsewhere {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(letters.sent(), ["a: one", "a: one", "a: two"]);
    let keys = letters.keys.lock().unwrap().clone();
    assert_eq!(keys[0], keys[1], "both have one key, so that their receiver can tell");
    assert_ne!(keys[1], keys[2]);
}

/// An event that can't be read is given up at once, until an operator skips it.
pub async fn what_can_not_be_read_waits_for_an_operator<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    let settings = Settings { start: Start::Beginning, batch_changesets_max: 10, ..hasty() };
    log.append("a", &note("one")).await;
    log.append("a", r#"{"type":"noted"}"#).await;
    log.append("b", &note("two")).await;
    let running = start(&log, &subject, &letters, settings);
    status_when(&running, |status| status.given_up_streams == 1).await;
    let last = log.append("a", &note("three")).await;
    running.handle().when_reached("letters", last, LONG).await.unwrap();
    assert_eq!(letters.sent(), ["a: one", "b: two"]);
    running.handle().skip("letters", 1.into(), "unreadable").await.unwrap();
    status_when(&running, |status| status.parked_streams == 0).await;
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: one", "b: two", "a: three"]);
}

/// A reactor stops before the next failure when no more streams may be parked, and goes on by itself.
pub async fn a_reactor_holds_when_no_more_may_wait<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    let often = Duration::from_millis(10);
    let parking =
        Parking { streams_max: 2, retry_after_min: often, retry_after_max: often, ..Parking::default() };
    let settings = Settings { start: Start::Beginning, parking, ..hasty() };
    letters.fails.store(usize::MAX, SeqCst);
    for stream in ["a", "b", "c", "d"] {
        log.append(stream, &note("one")).await;
    }
    let running = start(&log, &subject, &letters, settings);
    let held = status_when(&running, |status| status.state == State::Retrying).await;
    assert_eq!((held.checkpoint.get(), held.parked_streams, held.pause), (2, 2, None));
    assert!(held.last_error.unwrap().message.contains("no more may"));
    letters.fails.store(0, SeqCst);
    following(&running).await;
    status_when(&running, |status| status.parked_streams == 0).await;
    running.shut_down().await;
    let mut sent = letters.sent();
    sent.sort();
    assert_eq!(sent, ["a: one", "b: one", "c: one", "d: one"]);
}

/// A transient error is retried for ever.
pub async fn an_error_that_passes_never_pauses_a_reactor<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    letters.passes.store(true, SeqCst);
    letters.fails.store(20, SeqCst);
    let last = log.append("a", &note("one")).await;
    let settings = Settings { start: Start::Beginning, ..hasty() };
    let running = start(&log, &subject, &letters, settings);
    running.handle().when_reached("letters", last, LONG).await.unwrap();
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: one"]);
}

/// Rebuilds and verifications of a reactor are refused.
pub async fn a_reactor_is_not_rebuilt<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    log.append("a", &note("one")).await;
    let settings = Settings { start: Start::Beginning, ..hasty() };
    let running = start(&log, &subject, &letters, settings);
    following(&running).await;
    let handle = running.handle();
    let refused = |result: Result<(), OperateError>| match result {
        Err(OperateError::IsReactor { name }) => assert_eq!(name, "letters"),
        other => panic!("{other:?}"),
    };
    refused(handle.rebuild("letters", "").await);
    refused(handle.rebuild_side_by_side("letters", SideBySide::default(), "").await);
    refused(handle.verify("letters").await.map(drop));
    refused(handle.estimate("letters").await.map(drop));
    following(&running).await;
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: one"]);
}

/// A reactor stops before the row of a projection of the same name.
pub async fn a_reactor_does_not_take_a_projection_for_itself<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    log.append("a", &note("one")).await;
    let mut projector = Projector::new(log.clone());
    let journal = Journal { name: "letters", ..Journal::new() };
    projector.projection(journal, subject.database(), crate::Settings::default()).unwrap();
    let running = projector.start();
    following(&running).await;
    running.shut_down().await;

    let running = start(&log, &subject, &letters, Settings { start: Start::Beginning, ..hasty() });
    let stopped = status_when(&running, |status| status.state == State::Stopped).await;
    assert!(stopped.last_error.unwrap().message.contains("name of a projection"));
    running.shut_down().await;
    assert_eq!(letters.sent(), [""; 0]);
}

/// Two workers on one reactor skip nothing.
pub async fn two_workers_on_one_reactor_leave_nothing_out<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    let settings = Settings { start: Start::Beginning, ..hasty() };
    let workers = [start(&log, &subject, &letters, settings), start(&log, &subject, &letters, settings)];
    for number in 0..30 {
        log.append("a", &note(&format!("{number:02}"))).await;
    }
    let head = log.head().await.unwrap().checkpoint;
    for worker in &workers {
        worker.handle().when_reached("letters", head, LONG).await.unwrap();
    }
    for worker in workers {
        worker.shut_down().await;
    }
    let mut once = letters.sent();
    once.sort();
    once.dedup();
    assert_eq!(once, (0..30).map(|number| format!("a: {number:02}")).collect::<Vec<_>>());
}

/// A reactor sees old events by their current names.
pub async fn a_reactor_sees_old_events_by_their_names_of_today<S: Subject>() {
    let (log, subject, letters) = (ChangingLog::new(), fresh::<S>().await, Letters::default());
    log.append("a", r#"{"type":"scribbled","words":"old"}"#).await;
    log.append("a", r#"{"type":"else"}"#).await;
    let last = log.append("a", &note("new")).await;
    let running = start(&log, &subject, &letters, Settings { start: Start::Beginning, ..hasty() });
    running.handle().when_reached("letters", last, LONG).await.unwrap();
    running.shut_down().await;
    assert_eq!(letters.sent(), ["a: old", "a: new"]);
}

//! What a reactor's ledger promises: an effect that is done is not repeated, a stream that fails waits
//! without the others and in order, and operators see which.

use std::collections::{BTreeMap, HashSet};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_store::{ChangesetId, EventId, StreamId, Timestamp};

use super::Subject;
use super::support::{ChangingLog, LONG, Note, caught_up, fresh, note};
use crate::ReadModelId;
use crate::database::{Database, LedgerRows, Transaction};
use crate::reactor::{
    Cause, Effect, EffectId, EffectQuery, EffectState, Ended, PermanentError, Reactor, RetryAfter, Settings,
    Start,
};
use crate::{BoxError, Drained, OnDemand, Parking, Position, Projector, Retry, Running, Status};

/// What goes wrong with an effect of a stream.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Fails,
    Refuses,
    Hangs,
    Panics,
    Postpones(Duration),
}

/// Sends a letter for each note, then files a copy under the letter's number.
#[derive(Clone, Default)]
struct Clerk(Arc<Office>);

#[derive(Default)]
struct Office {
    /// What was done: `EFFECT STREAM TEXT`, with the letter's number for a copy.
    done: Mutex<Vec<String>>,
    /// By `EFFECT STREAM`, or `EFFECT STREAM TEXT`.
    faults: Mutex<BTreeMap<String, Fault>>,
    /// How long each takes.
    takes: Mutex<Duration>,
    at_once: AtomicUsize,
    at_once_max: AtomicUsize,
}

impl Office {
    async fn work(&self, effect: &str, stream: &StreamId, text: &str) -> Result<usize, BoxError> {
        self.at_once_max.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.at_once.fetch_sub(1, SeqCst);
        let fault = {
            let faults = self.faults.lock().unwrap();
            let of_text = faults.get(&format!("{effect} {stream} {text}"));
            of_text.or_else(|| faults.get(&format!("{effect} {stream}"))).copied()
        };
        match fault {
            Some(Fault::Fails) => return Err("out of stamps".into()),
            Some(Fault::Refuses) => return Err(PermanentError::because("no such address").into()),
            Some(Fault::Postpones(wait)) => {
                return Err(RetryAfter { wait, error: "come back later".into() }.into());
            }
            Some(Fault::Hangs | Fault::Panics) | None => {}
        }
        let number = {
            let mut done = self.done.lock().unwrap();
            done.push(format!("{effect} {stream} {text}"));
            done.len()
        };
        if fault == Some(Fault::Hangs) {
            pending::<()>().await;
        }
        Ok(number)
    }
}

impl Reactor for Clerk {
    type Event = Note;

    fn name(&self) -> &str {
        "clerk"
    }
    async fn react(&self, cause: Cause<'_, Note>) -> Result<(), BoxError> {
        let Note::Noted { text } = cause.event;
        let stream = cause.stream_id();
        let fault = self.0.faults.lock().unwrap().get(&format!("all {stream}")).copied();
        assert!(fault != Some(Fault::Panics), "the clerk has a bad day");
        let letter = cause.effect("letter", async || self.0.work("letter", stream, text).await).await?;
        let copy = format!("{text}/{letter}");
        cause.effect("copy", async || self.0.work("copy", stream, &copy).await).await.map(|_: usize| ())
    }
}

impl Clerk {
    fn has(&self, fault: Fault, what: &str) {
        self.0.faults.lock().unwrap().insert(what.to_owned(), fault);
    }
    fn mend(&self) {
        self.0.faults.lock().unwrap().clear();
    }
    fn done(&self) -> Vec<String> {
        self.0.done.lock().unwrap().clone()
    }
    /// What was done for a stream, without the letters' numbers.
    fn done_for(&self, stream: &str) -> Vec<String> {
        let of_stream = |line: &String| line.split(' ').nth(1) == Some(stream);
        let short = |line: String| line.split('/').next().unwrap().to_owned();
        self.done().into_iter().filter(of_stream).map(short).collect()
    }
}

const MS: Duration = Duration::from_millis(1);

fn hasty() -> Settings {
    Settings {
        start: Start::Beginning,
        retry: Retry { times: 2, delay_min: MS, delay_max: 5 * MS },
        parking: Parking { retry_after_min: 5 * MS, retry_after_max: 20 * MS, ..Parking::default() },
        ..Settings::default()
    }
}

/// As it would be for somebody who does not try again within a test.
fn patient() -> Settings {
    let parking = Parking { retry_after_min: LONG * 100, retry_after_max: LONG * 100, ..Parking::default() };
    Settings { parking, ..hasty() }
}

fn start<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, clerk: &Clerk, settings: Settings) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.reactor(clerk.clone(), subject.database(), settings).unwrap();
    projector.start()
}

async fn status_when(running: &Running, wanted: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + LONG;
    loop {
        let status = running.handle().status("clerk").await.unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "the status never came to what was wanted; it is {status:#?}");
        tokio::time::sleep(2 * MS).await;
    }
}

async fn effects<S: Subject>(subject: &Arc<S>, stream: &str) -> Vec<Effect> {
    let wanted = EffectQuery { stream_id: Some(stream.parse().unwrap()), ..EffectQuery::default() };
    let mut tx = subject.database().begin().await.unwrap();
    let mut effects = tx.effects(&ReadModelId::live("clerk"), &wanted).await.unwrap();
    effects.sort_by_key(|effect| (effect.event_id, effect.effect == "copy"));
    effects
}

fn states(effects: &[Effect]) -> Vec<(&str, EffectState, u32)> {
    effects.iter().map(|effect| (effect.effect.as_str(), effect.state, effect.attempts)).collect()
}

/// Lets a host work until `what` was done and hangs, and then crashes it.
async fn crash_at<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, clerk: &Clerk, what: &str) {
    clerk.has(Fault::Hangs, what);
    let crashing = OnDemand::reactor(clerk.clone(), subject.database(), log.clone(), hasty()).unwrap();
    tokio::select! {
        drained = Box::pin(crashing.drain_until(Instant::now() + LONG)) => panic!("it ended: {drained:?}"),
        () = async {
            while !clerk.done().iter().any(|line| line.starts_with(what)) {
                tokio::time::sleep(MS).await;
            }
        } => {}
    }
    clerk.mend();
}

async fn drain<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, clerk: &Clerk) {
    let after = OnDemand::reactor(clerk.clone(), subject.database(), log.clone(), hasty()).unwrap();
    let deadline = Instant::now() + LONG;
    // The lease of a crashed one has to end first.
    while after.drain_until(deadline).await != Drained::CaughtUp {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(20 * MS).await;
    }
}

/// Each effect is in the ledger, with its state, attempts, times and result.
pub async fn the_ledger_has_every_effect_and_what_it_gave<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    log.append("a", &note("one")).await;
    let running = start(&log, &subject, &clerk, hasty());
    caught_up(&log, running.handle(), "clerk").await;
    assert_eq!(clerk.done(), ["letter a one", "copy a one/1"]);
    let effects = running.handle().effects("clerk", EffectQuery::default()).await.unwrap();
    assert_eq!(effects.len(), 2);
    let first = effects.iter().find(|effect| effect.effect == "letter").unwrap();
    assert_eq!((first.state, first.attempts), (EffectState::Done, 1));
    assert_eq!(first.result.as_ref().unwrap().as_str(), "1");
    assert_eq!((first.changeset_id.get(), first.event_id.get()), (1, 1));
    assert!(first.ended_at.unwrap() >= first.began_at && first.error.is_none());
    let counts = running.handle().status("clerk").await.unwrap().effects.unwrap();
    assert_eq!((counts.done, counts.failed), (2, 0));
    running.shut_down().await;
}

/// The effects of all partitions are counted together, and go on being so when their number changes.
pub async fn the_effects_of_all_partitions_are_counted<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    let running = start(&log, &subject, &clerk, hasty());
    let mut done = 0;
    for partitions in [1, 4, 2] {
        let changed = running.handle().set_partitions("clerk", partitions, "to see").await;
        assert_eq!(changed.is_ok(), S::CAPABILITIES.partitions, "{changed:?}");
        let count = if S::CAPABILITIES.partitions && partitions > 1 { partitions as usize } else { 0 };
        status_when(&running, |status| status.partitions.len() == count).await;
        for stream in ["a", "b", "c", "d", "e"] {
            log.append(stream, &note("one")).await;
            done += 2;
        }
        let counted = |status: &Status| status.effects.is_some_and(|effects| effects.done == done);
        let status = status_when(&running, counted).await;
        assert_eq!(status.effects.unwrap().failed, 0);
    }
    running.shut_down().await;
}

/// After a crash, only the effect in flight is repeated. The ledger counts both attempts.
pub async fn a_crash_inside_an_effect_repeats_that_one_and_the_ledger_shows_it<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    log.append("a", &note("one")).await;
    log.append("a", &note("two")).await;
    crash_at(&log, &subject, &clerk, "copy a").await;
    assert_eq!(
        states(&effects(&subject, "a").await),
        [("letter", EffectState::Done, 1), ("copy", EffectState::Started, 1)]
    );
    drain(&log, &subject, &clerk).await;
    // The letter's number is the one of before: it was not sent again.
    assert_eq!(
        clerk.done(),
        ["letter a one", "copy a one/1", "copy a one/1", "letter a two", "copy a two/4"]
    );
    let done = EffectState::Done;
    assert_eq!(
        states(&effects(&subject, "a").await),
        [("letter", done, 1), ("copy", done, 2), ("letter", done, 1), ("copy", done, 1)]
    );
}

/// A stream that fails waits, in order; other streams go on, also after a restart.
pub async fn a_stream_that_fails_holds_up_no_other_and_keeps_its_order<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Fails, "copy bad");
    for text in ["one", "two"] {
        log.append("bad", &note(text)).await;
        log.append("good", &note(text)).await;
    }
    let running = start(&log, &subject, &clerk, patient());
    caught_up(&log, running.handle(), "clerk").await;
    log.append("bad", &note("three")).await;
    caught_up(&log, running.handle(), "clerk").await;
    assert_eq!(
        clerk.done_for("good"),
        ["letter good one", "copy good one", "letter good two", "copy good two"]
    );
    assert_eq!(clerk.done_for("bad"), ["letter bad one"]);
    let parked = running.handle().parked("clerk").await.unwrap();
    assert_eq!((parked.len(), parked[0].changesets, parked[0].first.get()), (1, 3, 1));
    assert!(parked[0].error.contains("out of stamps") && !parked[0].is_given_up());
    let failed = &effects(&subject, "bad").await[1];
    assert_eq!((failed.state, failed.error.as_deref()), (EffectState::Failed, Some("out of stamps")));
    // Over a restart too.
    running.shut_down().await;
    let running = start(&log, &subject, &clerk, patient());
    clerk.mend();
    running.handle().retry_parked("clerk", None, "stamps are here").await.unwrap();
    status_when(&running, |status| status.parked_streams == 0).await;
    let all = [
        "letter bad one",
        "copy bad one",
        "letter bad two",
        "copy bad two",
        "letter bad three",
        "copy bad three",
    ];
    assert_eq!(clerk.done_for("bad"), all);
    assert_eq!(running.handle().audit("clerk", 1).await.unwrap()[0].action, "retry");
    running.shut_down().await;
}

/// A failed effect is retried, and given up after a time; an operator can retry it.
pub async fn what_fails_is_tried_again_by_itself_and_given_up_in_the_end<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Fails, "letter a");
    log.append("a", &note("one")).await;
    let running = start(&log, &subject, &clerk, hasty());
    status_when(&running, |status| status.effects.is_some_and(|effects| effects.failed > 2)).await;
    clerk.mend();
    status_when(&running, |status| status.effects.is_some_and(|effects| effects.done == 2)).await;
    running.shut_down().await;

    clerk.has(Fault::Fails, "letter a");
    log.append("a", &note("two")).await;
    let running = start(&log, &subject, &clerk, Settings { give_up_after: 50 * MS, ..hasty() });
    let given_up = status_when(&running, |status| status.given_up_streams == 1).await;
    assert!(given_up.stalled.unwrap().contains("given up"));
    assert!(running.handle().parked("clerk").await.unwrap()[0].is_given_up());
    let parked = &effects(&subject, "a").await[2];
    assert!(parked.state == EffectState::GivenUp && parked.attempts > 1, "{parked:?}");
    clerk.mend();
    running.handle().retry_parked("clerk", Some("a".parse().unwrap()), "mended").await.unwrap();
    let well = status_when(&running, |status| status.parked_streams == 0).await;
    assert_eq!((well.given_up_streams, well.stalled), (0, None));
    running.shut_down().await;
}

/// An effect that failed for good waits for an operator, who can discard the first changeset of its stream.
pub async fn what_is_refused_waits_for_an_operator_who_can_discard_it<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Refuses, "copy a");
    log.append("a", &note("one")).await;
    log.append("a", &note("two")).await;
    let running = start(&log, &subject, &clerk, hasty());
    status_when(&running, |status| status.given_up_streams == 1).await;
    caught_up(&log, running.handle(), "clerk").await;
    assert_eq!(effects(&subject, "a").await[1].state, EffectState::GivenUp);
    clerk.mend();
    let a: StreamId = "a".parse().unwrap();
    let later = running.handle().discard_effects("clerk", &a, 2.into(), "not this one").await;
    assert!(later.is_err(), "only the first one can be discarded");
    running.handle().discard_effects("clerk", &a, 1.into(), "moved away").await.unwrap();
    status_when(&running, |status| status.parked_streams == 0).await;
    assert_eq!(clerk.done_for("a"), ["letter a one", "letter a two", "copy a two"]);
    let discarded = EffectQuery { state: Some(EffectState::Discarded), ..EffectQuery::default() };
    let discarded = running.handle().effects("clerk", discarded).await.unwrap();
    assert_eq!(states(&discarded), [("copy", EffectState::Discarded, 1)]);
    let audit = &running.handle().audit("clerk", 1).await.unwrap()[0];
    assert_eq!((audit.action.as_str(), audit.reason.as_str()), ("discard_effects", "moved away"));
    running.shut_down().await;
}

/// All effects of a changeset that is given up are settled, however many there are.
pub async fn what_is_given_up_behind_many_effects_is_so_in_the_ledger<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Refuses, "letter a 45");
    let notes: Vec<_> = (0..50).map(|number| note(&number.to_string())).collect();
    log.append("a", &notes.join(",")).await;
    let running = start(&log, &subject, &clerk, hasty());
    status_when(&running, |status| status.given_up_streams == 1).await;
    let in_state = async |state| {
        let wanted = EffectQuery { state: Some(state), ..EffectQuery::default() };
        running.handle().effects("clerk", wanted).await.unwrap()
    };
    assert_eq!(states(&in_state(EffectState::GivenUp).await), [("letter", EffectState::GivenUp, 1)]);
    running
        .handle()
        .discard_effects("clerk", &"a".parse().unwrap(), 1.into(), "no such address")
        .await
        .unwrap();
    assert_eq!(states(&in_state(EffectState::Discarded).await), [("letter", EffectState::Discarded, 1)]);
    assert_eq!(in_state(EffectState::Done).await.len(), 90);
    running.shut_down().await;
}

/// An effect that takes too long has failed, and the ledger says so.
pub async fn an_effect_that_takes_too_long_has_failed<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Hangs, "letter a");
    log.append("a", &note("one")).await;
    log.append("b", &note("one")).await;
    let running = start(&log, &subject, &clerk, Settings { effect_timeout: 300 * MS, ..patient() });
    caught_up(&log, running.handle(), "clerk").await;
    assert_eq!(clerk.done_for("b").len(), 2);
    let late = &effects(&subject, "a").await[0];
    assert_eq!(late.state, EffectState::Failed);
    assert!(late.error.as_ref().unwrap().contains("not done after 300ms"), "{late:?}");
    running.shut_down().await;
}

/// A panic parks its own stream and no other.
pub async fn a_panic_is_the_fault_of_its_own_stream<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    clerk.has(Fault::Panics, "all b");
    for stream in ["a", "b", "c"] {
        log.append(stream, &note("one")).await;
    }
    let running = start(&log, &subject, &clerk, Settings { batch_changesets_max: 10, ..patient() });
    caught_up(&log, running.handle(), "clerk").await;
    let parked = running.handle().parked("clerk").await.unwrap();
    assert_eq!(parked.iter().map(|stream| stream.stream_id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(parked[0].error.contains("a bad day"), "{parked:?}");
    assert_eq!(clerk.done(), ["letter a one", "copy a one/1", "letter c one", "copy c one/3"]);
    running.shut_down().await;
}

/// A retry that asks for a delay does not come earlier.
pub async fn nobody_is_asked_before_the_time_that_was_said<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    let wait = 400 * MS;
    clerk.has(Fault::Postpones(wait), "letter a");
    log.append("a", &note("one")).await;
    let running = start(&log, &subject, &clerk, hasty());
    status_when(&running, |status| status.parked_streams == 1).await;
    clerk.mend();
    status_when(&running, |status| status.parked_streams == 0).await;
    let letter = &effects(&subject, "a").await[0];
    assert_eq!(letter.attempts, 2);
    let waited = letter.began_at.as_micros() - letter.since.as_micros();
    assert!(waited >= i64::try_from(wait.as_micros()).unwrap(), "{waited} us");
    running.shut_down().await;
}

/// Streams are handled concurrently, up to the limit, and each in its order.
pub async fn several_streams_are_acted_upon_at_once_each_in_its_order<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    *clerk.0.takes.lock().unwrap() = 3 * MS;
    clerk.has(Fault::Fails, "letter s2");
    for text in ["1", "2", "3"] {
        for stream in 0..6 {
            log.append(&format!("s{stream}"), &note(text)).await;
        }
    }
    let running = start(&log, &subject, &clerk, Settings { streams_at_once: 3, ..hasty() });
    caught_up(&log, running.handle(), "clerk").await;
    clerk.mend();
    status_when(&running, |status| status.effects.is_some_and(|effects| effects.done == 36)).await;
    running.shut_down().await;
    for stream in 0..6 {
        let stream = format!("s{stream}");
        let in_order =
            ["1", "2", "3"].map(|text| [format!("letter {stream} {text}"), format!("copy {stream} {text}")]);
        assert_eq!(clerk.done_for(&stream), in_order.concat());
    }
    let most = clerk.0.at_once_max.load(SeqCst);
    assert!((2..=3).contains(&most), "{most} at once");
}

/// A worker whose row was moved by another begins no further effect on what it knew.
pub async fn a_worker_without_the_lease_begins_no_more_effects<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    log.append("a", &note("one")).await;
    // Long enough for it to be noticed meanwhile: what is under way comes to its end all the same.
    *clerk.0.takes.lock().unwrap() = 1_500 * MS;
    let stalled = OnDemand::reactor(clerk.clone(), subject.database(), log.clone(), hasty()).unwrap();
    let overtaking = async {
        while clerk.0.at_once.load(SeqCst) == 0 {
            tokio::time::sleep(MS).await;
        }
        // As another worker that takes over, or an operator, does.
        let mut tx = subject.database().begin().await.unwrap();
        let mut control = tx.load(&ReadModelId::live("clerk")).await.unwrap().unwrap();
        let believed = control.position;
        control.position = Position { epoch: believed.epoch + 1, ..believed };
        assert!(tx.replace(&ReadModelId::live("clerk"), believed, &control).await.unwrap());
        tx.commit().await.unwrap();
        *clerk.0.takes.lock().unwrap() = Duration::ZERO;
    };
    let (drained, ()) = tokio::join!(stalled.drain_until(Instant::now() + LONG), overtaking);
    assert_eq!(drained, Drained::CaughtUp);
    // It began the copy only after it had seen the row as it is now, and the letter was done before.
    assert_eq!(clerk.done(), ["letter a one", "copy a one/1"]);
    assert!(effects(&subject, "a").await.iter().all(|effect| effect.attempts == 1));
}

/// A host begins no effect after its deadline; the next one goes on from there.
pub async fn a_host_begins_nothing_after_its_deadline<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    log.append("a", &note("one")).await;
    *clerk.0.takes.lock().unwrap() = 900 * MS;
    let host = OnDemand::reactor(clerk.clone(), subject.database(), log.clone(), hasty()).unwrap();
    // Its tables and its lease take no time of it.
    while host.drain_until(Instant::now()).await == Drained::Elsewhere {
        tokio::time::sleep(20 * MS).await;
    }
    let deadline = async {
        while clerk.0.at_once.load(SeqCst) == 0 {
            tokio::time::sleep(MS).await;
        }
    };
    let (drained, ()) = tokio::join!(host.drain_until(Instant::now() + 700 * MS), deadline);
    assert_eq!((drained, clerk.done()), (Drained::OutOfTime, vec!["letter a one".to_owned()]));
    drain(&log, &subject, &clerk).await;
    assert_eq!(clerk.done(), ["letter a one", "copy a one/1"]);
}

/// Old effects are swept; those of a changeset that still waits stay.
pub async fn what_was_done_long_ago_is_forgotten_and_what_waits_is_not<S: Subject>() {
    let (log, subject, clerk) = (ChangingLog::new(), fresh::<S>().await, Clerk::default());
    for stream in ["a", "b", "c"] {
        log.append(stream, &note("one")).await;
    }
    clerk.has(Fault::Fails, "copy c");
    let running = start(&log, &subject, &clerk, patient());
    caught_up(&log, running.handle(), "clerk").await;
    running.shut_down().await;
    let tomorrow = Timestamp::from_micros(Timestamp::now().as_micros() + 86_400_000_000);
    let mut left = HashSet::new();
    for before in [Timestamp::from_micros(1), tomorrow] {
        let mut tx = subject.database().begin().await.unwrap();
        tx.sweep_effects(&ReadModelId::live("clerk"), before, 1_000).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = subject.database().begin().await.unwrap();
        let all = tx.effects(&ReadModelId::live("clerk"), &EffectQuery::default()).await.unwrap();
        left.insert(all.len());
    }
    assert_eq!(left, HashSet::from([6, 2]));
    // What is done of a changeset that waits is known when it comes again.
    let waiting = [("letter", EffectState::Done, 1), ("copy", EffectState::Failed, 1)];
    assert_eq!(states(&effects(&subject, "c").await), waiting);
}

/// An attempt that fails when another one has begun ends only itself. One that is done counts, however late.
pub async fn a_late_failure_ends_no_later_attempt<S: Subject>() {
    let subject = fresh::<S>().await;
    let model = ReadModelId::live("clerk");
    let id = EffectId {
        stream_id: "a".parse().unwrap(),
        changeset_id: ChangesetId::new(1),
        event_id: EventId::new(1),
        effect: "letter".to_owned(),
    };
    let begin = async || {
        let mut tx = subject.database().begin().await.unwrap();
        let begun = tx.begin_effect(&model, &id, Timestamp::now(), LONG).await.unwrap();
        tx.commit().await.unwrap();
        begun.attempts
    };
    let end = async |attempt: u32, state: EffectState| {
        let ended = Ended { attempt, at: Timestamp::now(), state, error: None, result: None };
        let mut tx = subject.database().begin().await.unwrap();
        tx.end_effect(&model, &id, &ended).await.unwrap();
        tx.commit().await.unwrap();
        states(&effects(&subject, "a").await)[0].1
    };
    assert_eq!((begin().await, begin().await), (1, 2));
    assert_eq!(end(1, EffectState::Failed).await, EffectState::Started, "the second one is in progress");
    assert_eq!(end(2, EffectState::Failed).await, EffectState::Failed);
    assert_eq!(begin().await, 3);
    assert_eq!(end(2, EffectState::Done).await, EffectState::Done);
    assert_eq!(end(3, EffectState::Failed).await, EffectState::Done);
    assert_eq!(begin().await, 3, "what is done does not begin again");
}

//! What a reactor's timers promise: once, not early, in the turn of their stream, whatever crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ees_store::{ChangesetLog, Checkpoint, Json, StreamId, Timestamp};

use super::Subject;
use super::support::{ChangingLog, Journal, LONG, Note, fresh, note};
use crate::database::{Claim, ClaimedElsewhere, Database, TimerRows, Transaction};
use crate::reactor::{
    Cause, Effect, EffectQuery, EffectState, Firing, Reactor, Settings, Start, Timer, TimerQuery,
};
use crate::{
    BoxError, Clock, Drained, OnDemand, OperateError, Parking, Projector, ReadModelId, Retry, Running,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Does what a note says: `set KEY MINUTES` and `cancel KEY`. Writes down everything else. A timer that was set with
/// `set KEY MINUTES cancels OTHER` does so when it fires.
#[derive(Clone, Default)]
struct Desk(Arc<Written>);

#[derive(Default)]
struct Written {
    done: Mutex<Vec<String>>,
    /// The idempotency keys of the reminders.
    keys: Mutex<Vec<String>>,
    /// The texts and the timers' keys that fail, and those that hang.
    fail: Mutex<BTreeSet<String>>,
    hang: Mutex<BTreeSet<String>>,
}

impl Desk {
    async fn write(&self, what: String, of: &str) -> Result<(), BoxError> {
        if self.0.fail.lock().unwrap().contains(of) {
            return Err(format!("no {of}").into());
        }
        self.0.done.lock().unwrap().push(what);
        if self.0.hang.lock().unwrap().contains(of) {
            pending::<()>().await;
        }
        Ok(())
    }

    fn done(&self) -> Vec<String> {
        self.0.done.lock().unwrap().clone()
    }

    fn fails(&self, what: &str) {
        self.0.fail.lock().unwrap().insert(what.to_owned());
    }

    fn mend(&self) {
        self.0.fail.lock().unwrap().clear();
        self.0.hang.lock().unwrap().clear();
    }
}

impl Reactor for Desk {
    type Event = Note;

    fn name(&self) -> &str {
        "desk"
    }

    async fn react(&self, cause: Cause<'_, Note>) -> Result<(), BoxError> {
        let Note::Noted { text } = cause.event;
        match *text.split(' ').collect::<Vec<_>>() {
            ["set", key, minutes, ..] => {
                let due = cause.timestamp() + minutes.parse::<u32>()? * MINUTE;
                cause.at(due, key, text).await
            }
            ["cancel", key] => {
                let cancelled = cause.cancel(key).await?;
                self.write(format!("{} cancel {key}: {cancelled}", cause.stream_id()), text).await
            }
            _ => {
                cause
                    .effect("write", async || self.write(format!("{} {text}", cause.stream_id()), text).await)
                    .await
            }
        }
    }

    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        let (key, text) = (&firing.timer().key, firing.payload::<String>()?);
        assert!(firing.now() >= firing.timer().due, "{key} is early");
        let stream = firing.stream_id();
        // The next one of a series is set before anything can fail.
        if let Some(left) = key.strip_prefix("series").and_then(|_| text.strip_prefix("left ")) {
            let left: u32 = left.parse()?;
            if left > 0 {
                firing.at(firing.timer().due + MINUTE, key, &format!("left {}", left - 1)).await?;
            }
        }
        firing.effect("first", async || self.write(format!("{stream} {key} first"), "").await).await?;
        self.0.keys.lock().unwrap().push(firing.key("remind"));
        firing.effect("remind", async || self.write(format!("{stream} {key}: {text}"), key).await).await?;
        if let Some((_, other)) = text.split_once(" cancels ") {
            firing.cancel(other).await?;
        }
        Ok(())
    }
}

fn settings() -> Settings {
    // Longer than an attempt takes on a slow machine: a worker that is called goes on while a stream is due.
    let often = Duration::from_millis(200);
    Settings {
        start: Start::Beginning,
        parking: Parking { retry_after_min: often, retry_after_max: often, ..Parking::default() },
        retry: Retry { times: 2, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(5) },
        ..Settings::default()
    }
}

/// A desk that works when it is called, by a clock that stands still.
struct Office<S> {
    log: Arc<ChangingLog>,
    subject: Arc<S>,
    desk: Desk,
    clock: Clock,
    worker: OnDemand,
}

impl<S: Subject> Office<S> {
    async fn new() -> Self {
        let (log, subject, desk, clock) =
            (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
        let worker = host(&log, &*subject, &desk, &clock);
        Self { log, subject, desk, clock, worker }
    }

    async fn append(&self, stream: &str, text: &str) -> Checkpoint {
        self.log.append(stream, &note(text)).await
    }

    /// Lets the desk do all that there is to do. The lease of an earlier worker ends first.
    async fn work(&self) {
        drain(&self.worker).await;
    }

    fn another_worker(&mut self) {
        self.worker = host(&self.log, &*self.subject, &self.desk, &self.clock);
    }

    async fn timers(&self) -> Vec<Timer> {
        timers(&self.subject.database(), TimerQuery { limit: 10_000, ..TimerQuery::default() }).await
    }

    async fn ledger(&self) -> Vec<Effect> {
        effects(&self.subject.database()).await
    }
}

fn host<S: Subject>(log: &Arc<ChangingLog>, subject: &S, desk: &Desk, clock: &Clock) -> OnDemand {
    let host = OnDemand::reactor(desk.clone(), subject.database(), log.clone(), settings());
    host.unwrap().with_clock(clock.clone())
}

async fn drain(worker: &OnDemand) {
    let deadline = Instant::now() + LONG;
    loop {
        match worker.drain_until(deadline).await {
            Drained::CaughtUp => return,
            Drained::Elsewhere => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("{other:?}: {:?}", worker.last_error().await),
        }
        assert!(Instant::now() < deadline);
    }
}

fn model() -> ReadModelId {
    ReadModelId::live("desk")
}

async fn timers<D: Database>(database: &D, wanted: TimerQuery) -> Vec<Timer> {
    let mut tx = database.begin().await.unwrap();
    tx.timers(&model(), &wanted).await.unwrap()
}

async fn effects<D: Database>(database: &D) -> Vec<Effect> {
    use crate::database::LedgerRows;
    let mut tx = database.begin().await.unwrap();
    tx.effects(&model(), &EffectQuery { limit: 10_000, ..EffectQuery::default() }).await.unwrap()
}

fn firings(ledger: &[Effect]) -> Vec<&Effect> {
    ledger.iter().filter(|it| it.effect.starts_with("timer:fire:") && !it.effect.contains('/')).collect()
}

fn start<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, desk: &Desk, clock: &Clock) -> Running {
    let mut projector = Projector::new(log.clone()).with_clock(clock.clone());
    projector.reactor(desk.clone(), subject.database(), settings()).unwrap();
    projector.start()
}

async fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn timer(stream: &str, key: &str, at: i64) -> Timer {
    Timer {
        stream_id: stream.parse().unwrap(),
        key: key.to_owned(),
        id: "0123456789abcdef".to_owned(),
        due: Timestamp::from_micros(at),
        payload: Json::parse(r#"{"n":1.50}"#).unwrap(),
        changeset_id: 3.into(),
        event_id: 4.into(),
        set_at: Timestamp::from_micros(5),
        attempts: 0,
        next_at: Timestamp::from_micros(at),
        error: None,
    }
}

/// Timers come back as they were written, those first that fire first; in pages that leave out none and repeat none.
pub async fn timers_are_read_in_the_order_of_their_time_page_by_page<S: Subject>() {
    let subject = fresh::<S>().await;
    let database = subject.database();
    let write = async |timers: &[Timer]| {
        let mut tx = database.begin().await.unwrap();
        for timer in timers {
            tx.put_timer(&model(), timer).await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    let mut all = Vec::new();
    for n in 0..12 {
        // Four at each time.
        all.push(timer(&format!("s/{}", n % 3), &format!("k{n}"), 1_000 + i64::from(n / 4)));
    }
    write(&all.iter().rev().cloned().collect::<Vec<_>>()).await;
    let page = async |stream: Option<&str>, after: Option<&Timer>, limit: usize| {
        let stream_id = stream.map(|it| it.parse::<StreamId>().unwrap());
        timers(&database, TimerQuery { stream_id, after: after.map(Timer::place), limit }).await
    };
    let mut found: Vec<Timer> = Vec::new();
    loop {
        let next = page(None, found.last(), 5).await;
        found.extend(next.iter().cloned());
        if next.len() < 5 {
            break;
        }
    }
    assert!(found.is_sorted_by_key(|timer| timer.next_at));
    let by_place =
        |timers: &[Timer]| timers.iter().map(|it| (it.place(), it.clone())).collect::<BTreeMap<_, _>>();
    assert_eq!((by_place(&found), found.len()), (by_place(&all), all.len()));

    let of_stream = page(Some("s/1"), None, 3).await;
    let rest = page(Some("s/1"), of_stream.last(), 3).await;
    let keys: BTreeSet<_> = of_stream.iter().chain(&rest).map(|timer| timer.key.clone()).collect();
    assert_eq!((keys, rest.len()), (BTreeSet::from(["k1", "k4", "k7", "k10"].map(str::to_owned)), 1));

    let postponed = Timer {
        attempts: 2,
        error: Some("no".to_owned()),
        next_at: Timestamp::from_micros(9_000),
        ..all[0].clone()
    };
    write(std::slice::from_ref(&postponed)).await;
    let mut tx = database.begin().await.unwrap();
    assert_eq!(tx.timer(&model(), &postponed.stream_id, "k0").await.unwrap(), Some(postponed.clone()));
    assert_eq!(tx.timer(&model(), &postponed.stream_id, "k1").await.unwrap(), None);
    assert_eq!(tx.timer(&ReadModelId::live("other"), &postponed.stream_id, "k0").await.unwrap(), None);
    drop(tx);
    assert_eq!(page(None, None, 100).await.last(), Some(&postponed));
    let mut tx = database.begin().await.unwrap();
    tx.remove_timer(&model(), &postponed.stream_id, "k0").await.unwrap();
    tx.remove_timer(&model(), &postponed.stream_id, "none").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(page(None, None, 100).await.len(), 11);
}

/// A timer fires when it is due, once, and not before.
pub async fn a_timer_fires_once_and_never_before_it_is_due<S: Subject>() {
    let office = Office::<S>::new().await;
    office.append("a", "set pay 30").await;
    office.work().await;
    let [set] = &office.timers().await[..] else { panic!("one timer was set") };
    assert_eq!((&*set.key, set.payload.as_str()), ("pay", r#""set pay 30""#));
    assert_eq!((set.changeset_id.get(), set.event_id.get(), set.attempts), (1, 1, 0));
    let left = set.due.as_micros() - office.clock.now().as_micros();
    office.clock.advance(Duration::from_micros(u64::try_from(left).unwrap() - 1));
    office.work().await;
    assert_eq!(office.desk.done(), [""; 0]);
    office.clock.advance(Duration::from_micros(1));
    office.work().await;
    let fired = ["a pay first", "a pay: set pay 30"];
    assert_eq!((office.desk.done(), office.timers().await), (fired.map(str::to_owned).to_vec(), vec![]));
    office.clock.advance(60 * MINUTE);
    office.work().await;
    assert_eq!(office.desk.done(), fired);
    let ledger = office.ledger().await;
    let [firing] = firings(&ledger)[..] else { panic!("it fired once: {ledger:#?}") };
    assert_eq!((firing.state, firing.attempts), (EffectState::Done, 1));
}

/// A timer replaces the stream's timer with the same key, and only that.
pub async fn a_timer_is_replaced_or_cancelled_by_its_key<S: Subject>() {
    let office = Office::<S>::new().await;
    for (stream, text) in
        [("a", "set k 10"), ("b", "set k 20"), ("a", "set k 30"), ("a", "set gone 10"), ("a", "cancel gone")]
    {
        office.append(stream, text).await;
    }
    office.clock.advance(25 * MINUTE);
    office.work().await;
    assert_eq!(office.desk.done(), ["a cancel gone: true", "b k first", "b k: set k 20"]);
    office.clock.advance(25 * MINUTE);
    office.work().await;
    assert_eq!(office.desk.done()[3..], ["a k first", "a k: set k 30"]);
    assert_eq!(office.timers().await, []);
}

/// Cancelling a timer that has fired, or that never was, is no error.
pub async fn cancelling_a_timer_that_has_fired_has_an_answer<S: Subject>() {
    let office = Office::<S>::new().await;
    office.append("a", "set k 10").await;
    office.clock.advance(20 * MINUTE);
    office.work().await;
    office.append("a", "cancel k").await;
    office.append("a", "cancel never").await;
    office.append("a", "and on").await;
    office.work().await;
    assert_eq!(office.desk.done()[2..], ["a cancel k: false", "a cancel never: false", "a and on"]);
}

/// A timer that fires may cancel one that is due with it.
pub async fn a_firing_cancels_a_timer_that_is_due_with_it<S: Subject>() {
    let office = Office::<S>::new().await;
    for text in ["set k 10 cancels m", "set m 11", "set n 12"] {
        office.append("a", text).await;
    }
    office.clock.advance(20 * MINUTE);
    office.work().await;
    let fired = ["a k first", "a k: set k 10 cancels m", "a n first", "a n: set n 12"];
    assert_eq!(office.desk.done(), fired);
    assert_eq!(office.timers().await, []);
}

/// Two workers on one reactor leave out no timer, and the ledger has each as done once.
pub async fn two_workers_on_one_reactor_leave_out_no_timer<S: Subject>() {
    let (log, subject, desk, clock) =
        (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
    let workers = [start(&log, &subject, &desk, &clock), start(&log, &subject, &desk, &clock)];
    for number in 0..10 {
        log.append(&format!("s/{}", number % 3), &note(&format!("set k{number} 10"))).await;
    }
    let head = log.head().await.unwrap().checkpoint;
    let last = Checkpoint::new(head.get() - 1);
    workers[0].handle().when_reached("desk", last, LONG).await.unwrap();
    clock.advance(20 * MINUTE);
    let deadline = Instant::now() + LONG;
    while !timers(&subject.database(), TimerQuery::default()).await.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for worker in workers {
        worker.shut_down().await;
    }
    let done: BTreeSet<_> = desk.done().into_iter().collect();
    assert_eq!(done.len(), 20, "{done:?}");
    let ledger = effects(&subject.database()).await;
    assert_eq!(firings(&ledger).iter().filter(|it| it.state == EffectState::Done).count(), 10, "{ledger:#?}");
}

/// A worker that waits for new changesets wakes when a timer is due.
pub async fn a_worker_wakes_for_its_next_timer<S: Subject>() {
    let (log, subject, desk) = (ChangingLog::new(), fresh::<S>().await, Desk::default());
    let clock = Clock::stopped();
    let running = start(&log, &subject, &desk, &clock);
    let set = log.append("a", &note("set k 10")).await;
    running.handle().when_reached("desk", set, LONG).await.unwrap();
    clock.advance(11 * MINUTE);
    until(|| desk.done().len() == 2, "the clock was moved").await;
    running.shut_down().await;

    let running = start(&log, &subject, &desk, &Clock::default());
    let began = Instant::now();
    let set = log.append("a", &note("set now 0")).await;
    running.handle().when_reached("desk", set, LONG).await.unwrap();
    until(|| desk.done().len() == 4, "the machine's clock goes on").await;
    assert!(began.elapsed() < settings().poll_interval / 2, "it was found by a poll: {:?}", began.elapsed());
    running.shut_down().await;
}

/// A database that counts its transactions.
struct Counted<D>(D, Arc<AtomicUsize>);

impl<D: Database> Database for Counted<D> {
    type Tx = D::Tx;
    const SIDE_BY_SIDE: bool = D::SIDE_BY_SIDE;
    const PARTITIONS: bool = D::PARTITIONS;

    async fn begin(&self) -> Result<D::Tx, BoxError> {
        self.1.fetch_add(1, SeqCst);
        self.0.begin().await
    }
    async fn begin_durable(&self) -> Result<D::Tx, BoxError> {
        self.1.fetch_add(1, SeqCst);
        self.0.begin_durable().await
    }
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BoxError> {
        self.0.run(work).await
    }
    fn claim(&self, projection: &str) -> Result<Claim, ClaimedElsewhere> {
        self.0.claim(projection)
    }
    fn is_transient(error: &(dyn std::error::Error + 'static)) -> bool {
        D::is_transient(error)
    }
}

/// A worker does not poll while it waits for a timer, nor does the one of a projection.
pub async fn a_worker_that_waits_leaves_the_database_alone<S: Subject>() {
    let (log, subject, count) = (ChangingLog::new(), fresh::<S>().await, Arc::<AtomicUsize>::default());
    let counted = || Counted(subject.database(), count.clone());
    let mut projector = Projector::new(log.clone());
    projector.reactor(Desk::default(), counted(), settings()).unwrap();
    projector.projection(Journal::new(), counted(), crate::Settings::default()).unwrap();
    let running = projector.start();
    let set = log.append("a", &note("set k 90")).await;
    for name in ["desk", "journal"] {
        running.handle().when_reached(name, set, LONG).await.unwrap();
    }
    // Until both have settled.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = count.load(SeqCst);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = count.load(SeqCst) - before;
    assert!(begun <= 20, "{begun} transactions in half a second");
    running.shut_down().await;
}

/// A timer that was set is there after a restart, and fires then.
pub async fn a_timer_survives_a_restart<S: Subject>() {
    let mut office = Office::<S>::new().await;
    office.append("a", "set k 10").await;
    office.work().await;
    drop(office.worker);
    let mut subject = Arc::into_inner(office.subject).unwrap();
    if S::CAPABILITIES.reopens {
        subject = subject.reopen().await;
    }
    office.subject = Arc::new(subject);
    office.worker = host(&office.log, &*office.subject, &office.desk, &office.clock);
    office.clock.advance(10 * MINUTE + MINUTE);
    office.work().await;
    assert_eq!(office.desk.done(), ["a k first", "a k: set k 10"]);
}

/// After a crash in a firing, it fires again, without the effects that are done, under the same key.
pub async fn a_crash_in_a_firing_repeats_it_and_the_ledger_shows_it<S: Subject>() {
    let mut office = Office::<S>::new().await;
    office.append("a", "set k 10").await;
    office.clock.advance(20 * MINUTE);
    office.desk.0.hang.lock().unwrap().insert("k".to_owned());
    tokio::select! {
        () = office.work() => panic!("it should hang"),
        () = until(|| office.desk.done().len() == 2, "it hangs in its effect") => {}
    }
    office.desk.mend();
    office.another_worker();
    office.work().await;
    assert_eq!(office.desk.done(), ["a k first", "a k: set k 10", "a k: set k 10"]);
    let keys = office.desk.0.keys.lock().unwrap().clone();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
    let ledger = office.ledger().await;
    let [firing] = firings(&ledger)[..] else { panic!("it is one firing: {ledger:#?}") };
    assert_eq!((firing.state, firing.attempts), (EffectState::Done, 2));
    let remind = ledger.iter().find(|effect| effect.effect.ends_with("/remind")).unwrap();
    assert_eq!((remind.key("desk"), remind.attempts), (keys[0].clone(), 2));
}

/// A reactor that was down acts on the events from before a timer first: one of them may cancel it.
pub async fn events_from_before_a_timer_come_first<S: Subject>() {
    let office = Office::<S>::new().await;
    office.append("a", "set k 10").await;
    office.append("b", "set k 10").await;
    office.work().await;
    for number in 0..5 {
        office.append("a", &format!("note {number}")).await;
    }
    office.append("a", "cancel k").await;
    office.clock.advance(20 * MINUTE);
    // One changeset at a time: the timers are due from the first one on.
    let running = start(&office.log, &office.subject, &office.desk, &office.clock);
    until(|| office.desk.done().len() == 8, "all is done").await;
    running.shut_down().await;
    let done = office.desk.done();
    assert_eq!(done[5..], ["a cancel k: true", "b k first", "b k: set k 10"], "{done:?}");
}

/// An operator lets a reactor act on what it has passed: then, too, a changeset from before a timer was due comes first.
pub async fn events_from_before_a_timer_come_first_in_a_reactor_that_goes_back<S: Subject>() {
    let (log, subject, desk, clock) =
        (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
    for text in ["set pay 30", "something", "cancel pay"] {
        log.append("a", &note(text)).await;
    }
    clock.advance(60 * MINUTE);
    let from_now = Settings { start: Start::Now, ..settings() };
    let mut projector = Projector::new(log.clone()).with_clock(clock.clone());
    projector.reactor(desk.clone(), subject.database(), from_now).unwrap();
    let running = projector.start();
    running.handle().when_reached("desk", Checkpoint::new(3), LONG).await.unwrap();
    log.append("b", &note("hello")).await;
    let end = Checkpoint::new(4);
    running.handle().when_reached("desk", end, LONG).await.unwrap();
    running.handle().set_checkpoint("desk", end, Checkpoint::START, "these, too").await.unwrap();
    running.handle().when_reached("desk", end, LONG).await.unwrap();
    running.shut_down().await;
    assert_eq!(desk.done(), ["b hello", "a something", "a cancel pay: true"]);
    assert_eq!(timers(&subject.database(), TimerQuery::default()).await, []);
}

/// The timers of a parked stream wait until it is parked no longer, and those of others fire.
pub async fn timers_of_a_parked_stream_wait_with_it<S: Subject>() {
    let office = Office::<S>::new().await;
    for (stream, text) in
        [("a", "set k 10"), ("a", "set m 10"), ("b", "set k 10"), ("a", "fails"), ("a", "cancel k")]
    {
        office.append(stream, text).await;
    }
    office.desk.fails("fails");
    office.clock.advance(20 * MINUTE);
    office.work().await;
    assert_eq!(office.desk.done(), ["b k first", "b k: set k 10"]);
    assert_eq!(office.timers().await.len(), 2);
    office.desk.mend();
    let deadline = Instant::now() + LONG;
    while !office.timers().await.is_empty() {
        assert!(Instant::now() < deadline);
        office.work().await;
    }
    assert_eq!(office.desk.done()[2..], ["a fails", "a cancel k: true", "a m first", "a m: set m 10"]);
}

/// A timer that fails is retried. Its stream goes on, and may cancel it.
pub async fn a_timer_that_fails_is_retried_and_an_event_can_cancel_it<S: Subject>() {
    let office = Office::<S>::new().await;
    for text in ["set k 10", "set m 10"] {
        office.append("a", text).await;
    }
    office.desk.fails("k");
    office.desk.fails("m");
    office.clock.advance(20 * MINUTE);
    office.work().await;
    let failed = office.timers().await;
    assert_eq!(failed.iter().map(|timer| timer.attempts).collect::<Vec<_>>(), [1, 1]);
    assert!(failed.iter().all(|timer| timer.error.as_deref().is_some_and(|why| why.starts_with("no "))));
    assert!(failed.iter().all(|timer| timer.next_at > office.clock.now()));
    office.append("a", "cancel k").await;
    office.append("a", "go on").await;
    office.work().await;
    office.desk.mend();
    office.clock.advance(MINUTE);
    office.work().await;
    let done = office.desk.done();
    assert_eq!(done[2..], ["a cancel k: true", "a go on", "a m: set m 10"], "{done:?}");
    assert_eq!(office.timers().await, []);
    let ledger = office.ledger().await;
    let mut ends: Vec<_> = firings(&ledger).iter().map(|it| (it.state.as_str(), it.attempts)).collect();
    ends.sort_unstable();
    assert_eq!(ends, [("done", 2), ("failed", 1)]);
}

/// A firing may set the next timer under its own key. Each has effects of its own.
pub async fn a_firing_sets_the_next_timer_of_a_series<S: Subject>() {
    let office = Office::<S>::new().await;
    let first = Timer {
        payload: Json::of(&"left 2").unwrap(),
        ..timer("a", "series", office.clock.now().as_micros() + 1_000_000)
    };
    let first = Timer { next_at: first.due, ..first };
    office.work().await;
    put(&office.subject.database(), &[first]).await;
    for _ in 0..4 {
        office.clock.advance(MINUTE);
        office.work().await;
    }
    let done = office.desk.done();
    let reminded: Vec<_> = done.iter().filter(|it| it.contains("left")).collect();
    assert_eq!(reminded, ["a series: left 2", "a series: left 1", "a series: left 0"]);
    let keys: BTreeSet<_> = office.desk.0.keys.lock().unwrap().iter().cloned().collect();
    assert_eq!((keys.len(), office.timers().await), (3, vec![]));
}

/// A firing that fails after it has set the next timer of its series is repeated, and the next one comes after it.
pub async fn a_series_goes_on_after_a_firing_that_failed<S: Subject>() {
    let office = Office::<S>::new().await;
    let due = office.clock.now() + Duration::from_secs(1);
    let first = Timer { payload: Json::of(&"left 1").unwrap(), ..timer("a", "series", due.as_micros()) };
    office.work().await;
    put(&office.subject.database(), std::slice::from_ref(&first)).await;
    office.desk.fails("series");
    office.clock.advance(MINUTE);
    office.work().await;
    let waiting = office.timers().await;
    assert_eq!(waiting.iter().map(|it| (&it.id, it.due)).collect::<Vec<_>>(), [(&first.id, due)]);
    assert!(waiting[0].attempts > 0);
    office.desk.mend();
    for _ in 0..3 {
        office.clock.advance(MINUTE);
        office.work().await;
    }
    let done = office.desk.done();
    let reminded: Vec<_> = done.iter().filter(|it| it.contains("left")).collect();
    assert_eq!(reminded, ["a series: left 1", "a series: left 0"]);
    assert_eq!(office.timers().await, []);
}

/// Ignores that its effect could not be recorded, since another worker has taken over meanwhile.
struct Stubborn<D>(Arc<D>, AtomicUsize);

impl<D: Database> Reactor for Stubborn<D> {
    type Event = Note;

    fn name(&self) -> &str {
        "desk"
    }

    async fn react(&self, _: Cause<'_, Note>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        if self.1.fetch_add(1, SeqCst) == 0 {
            let mut tx = self.0.begin().await?;
            let row = tx.lock(&model()).await?.ok_or("no row")?;
            assert!(tx.replace(&model(), row.position, &row.moved(|_| {})).await?);
            tx.commit().await?;
        }
        let _ = firing.effect("remind", async || Ok::<_, BoxError>(())).await;
        Ok(())
    }
}

/// A timer is not removed where its effect could not be recorded, whatever the reactor's code makes of that.
pub async fn a_timer_stays_when_its_effect_could_not_be_recorded<S: Subject>() {
    let (log, subject, clock) = (ChangingLog::new(), fresh::<S>().await, Clock::stopped());
    let stubborn = Stubborn(Arc::new(subject.database()), AtomicUsize::new(0));
    let worker = OnDemand::reactor(stubborn, subject.database(), log.clone(), settings()).unwrap();
    let worker = worker.with_clock(clock.clone());
    drain(&worker).await;
    put(&subject.database(), &[timer("a", "one", clock.now().as_micros() + 1_000_000)]).await;
    clock.advance(MINUTE);
    drain(&worker).await;
    clock.advance(MINUTE);
    drain(&worker).await;
    let ledger = effects(&subject.database()).await;
    assert!(
        ledger.iter().any(|it| it.effect.ends_with("/remind") && it.state == EffectState::Done),
        "{ledger:?}"
    );
    assert_eq!(timers(&subject.database(), TimerQuery::default()).await, []);
}

async fn put<D: Database>(database: &D, timers: &[Timer]) {
    for timers in timers.chunks(30) {
        let mut tx = database.begin().await.unwrap();
        for timer in timers {
            tx.put_timer(&model(), timer).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Moving the checkpoint back repeats no timer: the ledger has what set it. A rebuild is refused.
pub async fn what_is_replayed_sets_no_timer_again<S: Subject>() {
    let (log, subject, desk, clock) =
        (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
    let running = start(&log, &subject, &desk, &clock);
    log.append("a", &note("set fired 10")).await;
    log.append("a", &note("set gone 10")).await;
    log.append("a", &note("cancel gone")).await;
    let end = log.append("a", &note("set later 90")).await;
    running.handle().when_reached("desk", end, LONG).await.unwrap();
    clock.advance(20 * MINUTE);
    until(|| desk.done().len() == 3, "the first one fires").await;
    let refused = running.handle().rebuild("desk", "").await;
    assert!(matches!(refused, Err(OperateError::IsReactor { .. })), "{refused:?}");
    let next = log.head().await.unwrap().checkpoint;
    // Fired and removed is one transaction. The firing may still be on its way to it.
    let deadline = Instant::now() + LONG;
    while timers(&subject.database(), TimerQuery::default()).await.len() > 1 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let before = timers(&subject.database(), TimerQuery::default()).await;
    assert_eq!(before.iter().map(|timer| &*timer.key).collect::<Vec<_>>(), ["later"]);
    running.handle().set_checkpoint("desk", next, Checkpoint::START, "again").await.unwrap();
    running.handle().when_reached("desk", end, LONG).await.unwrap();
    clock.advance(MINUTE);
    let marked = log.append("b", &note("mark")).await;
    running.handle().when_reached("desk", marked, LONG).await.unwrap();
    running.shut_down().await;
    assert_eq!(timers(&subject.database(), TimerQuery::default()).await, before);
    let fired = desk.done().iter().filter(|done| done.contains(" fired: ")).count();
    assert_eq!(fired, 1);
}

/// An operator sees which timers are set, and cancels one; the audit says why.
pub async fn an_operator_sees_timers_and_cancels_them<S: Subject>() {
    let (log, subject, desk, clock) =
        (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
    let running = start(&log, &subject, &desk, &clock);
    log.append("a", &note("set k 20")).await;
    let last = log.append("a", &note("set m 10")).await;
    let handle = running.handle();
    handle.when_reached("desk", last, LONG).await.unwrap();
    let set = handle.timers("desk", TimerQuery::default()).await.unwrap();
    assert_eq!(set.iter().map(|timer| &*timer.key).collect::<Vec<_>>(), ["m", "k"]);
    let stream: StreamId = "a".parse().unwrap();
    handle.cancel_timer("desk", &stream, "m", "paid by phone").await.unwrap();
    let again = handle.cancel_timer("desk", &stream, "m", "twice").await;
    assert_eq!(again, Err(OperateError::NoTimer { stream_id: stream, key: "m".to_owned() }));
    clock.advance(30 * MINUTE);
    until(|| desk.done().len() == 2, "the other one fires").await;
    assert_eq!(desk.done(), ["a k first", "a k: set k 20"]);
    let audit = handle.audit("desk", 10).await.unwrap();
    assert_eq!((&*audit[0].action, &*audit[0].reason), ("cancel_timer", "paid by phone"));
    assert!(audit[0].detail.starts_with("timer \"m\" of stream \"a\", due "), "{}", audit[0].detail);
    running.shut_down().await;
}

/// Many timers that are due at once fire in batches, each once, those of a stream in their order.
pub async fn hundreds_of_timers_due_at_once_fire_once_each<S: Subject>() {
    let office = Office::<S>::new().await;
    office.work().await;
    let now = office.clock.now().as_micros();
    let many: Vec<_> = (0..MANY)
        .map(|n| Timer {
            payload: Json::of(&format!("{n:04}")).unwrap(),
            ..timer(&format!("s/{}", n % 7), &format!("k{n:04}"), now - i64::from(MANY) + i64::from(n))
        })
        .collect();
    put(&office.subject.database(), &many).await;
    let settings = Settings { streams_at_once: 7, ..settings() };
    let worker = OnDemand::reactor(
        Quick(office.desk.clone()),
        office.subject.database(),
        office.log.clone(),
        settings,
    );
    drain(&worker.unwrap().with_clock(office.clock.clone())).await;
    let mut done = office.desk.done();
    for stream in 0..7 {
        let stream = format!("s/{stream} ");
        assert!(done.iter().filter(|it| it.starts_with(&stream)).is_sorted(), "{stream}");
    }
    let fired = done.len();
    done.sort();
    done.dedup();
    assert_eq!((fired, done.len(), office.timers().await), (MANY as usize, MANY as usize, vec![]));
}

/// More than fire in one round.
const MANY: u32 = 150;

/// A desk that has no further effects in a firing.
struct Quick(Desk);

impl Reactor for Quick {
    type Event = Note;

    fn name(&self) -> &str {
        "desk"
    }
    async fn react(&self, _: Cause<'_, Note>) -> Result<(), BoxError> {
        Ok(())
    }
    async fn on_timer(&self, firing: Firing<'_>) -> Result<(), BoxError> {
        self.0.write(format!("{} {}", firing.stream_id(), firing.timer().key), "").await
    }
}

/// With partitions, the worker of a stream's partition fires its timers.
pub async fn a_timer_fires_in_the_partition_of_its_stream<S: Subject>() {
    let (log, subject, desk, clock) =
        (ChangingLog::new(), fresh::<S>().await, Desk::default(), Clock::stopped());
    let running = start(&log, &subject, &desk, &clock);
    let handle = running.handle();
    for number in 0..8 {
        log.append(&format!("s/{number}"), &note("set k 10")).await;
    }
    let head = log.head().await.unwrap().checkpoint;
    handle.when_reached("desk", Checkpoint::new(head.get() - 1), LONG).await.unwrap();
    let split = handle.set_partitions("desk", 3, "").await;
    assert_eq!(split.is_ok(), S::CAPABILITIES.partitions, "{split:?}");
    clock.advance(20 * MINUTE);
    until(|| desk.done().len() == 16, "each timer fires").await;
    running.shut_down().await;
    let mut done = desk.done();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 16);
    assert_eq!(timers(&subject.database(), TimerQuery::default()).await, []);
}

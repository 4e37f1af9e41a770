//! A read model as it was at a checkpoint, in a place of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ees_store::{Checkpoint, memory};
use serde::Deserialize;
use serde_json::json;

use super::Subject;
use super::support::{ChangingLog, LONG, caught_up, fresh, parking, settings, wait_while};
use crate::database::{Database, FoldRows, Transaction};
use crate::read_model::Value;
use crate::{
    AsOf, AsOfProgress, Explain, Fold, Handle, OperateError, Order, Parking, Projector, ReadModelId,
    Recorded, Running, Settings, State, Table,
};

#[derive(Deserialize)]
struct Counted {
    by: i64,
}

/// The sum of each stream. It fails at 13 if it is told to, and counts what it does.
#[derive(Clone, Default)]
struct Sums {
    fails: Arc<AtomicBool>,
    /// Whether it waits before it folds an event.
    waits: Arc<AtomicBool>,
    folded: Arc<AtomicU64>,
}

impl Fold for Sums {
    type Event = Counted;
    type Key = String;
    type State = i64;

    fn name(&self) -> &str {
        "sums"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<i64>, event: Recorded<'_, Counted>) -> Option<i64> {
        assert!(!(self.fails.load(SeqCst) && event.event.by == 13), "told to");
        wait_while(&self.waits);
        self.folded.fetch_add(1, SeqCst);
        Some(row.unwrap_or_default() + event.event.by)
    }
}

const STREAMS: [&str; 3] = ["a", "b", "c"];

fn start<S: Subject>(log: &Arc<ChangingLog>, subject: &Arc<S>, sums: &Sums, settings: Settings) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.fold(sums.clone(), subject.database(), settings).unwrap();
    projector.start()
}

async fn append(log: &ChangingLog, numbers: impl IntoIterator<Item = i64>) {
    for number in numbers {
        let stream = STREAMS[usize::try_from(number).unwrap() % 3];
        log.append(stream, &json!({"by": number}).to_string()).await;
    }
}

fn at(checkpoint: u64, into: &str) -> AsOf {
    AsOf { checkpoint: Checkpoint::new(checkpoint), into: into.to_owned() }
}

/// The rows of a read model.
async fn rows<D: Database<Tx: FoldRows>>(database: &D, model: &ReadModelId) -> BTreeMap<&'static str, i64> {
    let mut tx = database.begin().await.unwrap();
    // The fence is also what steps into the schema, where each read model has one.
    let state = tx.load(model).await.unwrap().unwrap();
    assert!(tx.replace(model, state.position, &state).await.unwrap());
    let found = tx.load_rows(&Table::document("sums"), &STREAMS).await.unwrap();
    let number = |row: Vec<Value>| match &row[..] {
        [Value::Json(text)] => text.parse().unwrap(),
        other => panic!("{other:?}"),
    };
    STREAMS.into_iter().zip(found).filter_map(|(key, row)| Some((key, number(row?)))).collect()
}

async fn rows_of_copy<S: Subject>(subject: &S, into: &str) -> BTreeMap<&'static str, i64> {
    let (database, model) =
        subject.database().copy_of(&ReadModelId::live("sums"), into, false).await.unwrap();
    rows(&database, &model).await
}

async fn rows_of_live<S: Subject>(subject: &S) -> BTreeMap<&'static str, i64> {
    rows(&subject.database(), &ReadModelId::live("sums")).await
}

/// As of the present, a read model is the live one; as of an earlier checkpoint, it is the live one of that time. A
/// database that keeps no copies refuses.
pub async fn a_read_model_is_built_as_it_was<S: Subject>() {
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    let running = start(&log, &subject, &sums, Settings { batch_changesets_max: 7, ..settings() });
    append(&log, 0..20).await;
    caught_up(&log, running.handle(), "sums").await;
    let earlier = rows_of_live(&*subject).await;
    append(&log, 20..33).await;
    caught_up(&log, running.handle(), "sums").await;
    let handle = running.handle();
    if !S::Database::COPIES {
        let refused = handle.as_of("sums", at(20, "sums_then")).await;
        assert!(matches!(refused, Err(OperateError::NotSupported(_))), "{refused:?}");
        running.shut_down().await;
        return;
    }
    for (checkpoint, into) in [(0, "sums_at_0"), (20, "sums_at_20"), (33, "sums_at_33")] {
        handle.as_of("sums", at(checkpoint, into)).await.unwrap();
    }
    let live = rows_of_live(&*subject).await;
    assert_ne!(live, earlier);
    assert_eq!(rows_of_copy(&*subject, "sums_at_0").await, BTreeMap::new());
    assert_eq!(rows_of_copy(&*subject, "sums_at_20").await, earlier);
    assert_eq!(rows_of_copy(&*subject, "sums_at_33").await, live);

    // They don't follow, and are not in the way of the live one.
    append(&log, 33..40).await;
    caught_up(&log, handle, "sums").await;
    assert_ne!(rows_of_live(&*subject).await, live);
    assert_eq!(rows_of_copy(&*subject, "sums_at_33").await, live);

    let beyond = handle.as_of("sums", at(41, "sums_at_41")).await;
    assert_eq!(beyond, Err(OperateError::PastHead { head: Checkpoint::new(40) }));
    for (wanted, told) in [
        (at(7, "sums_at_20"), "has sums at checkpoint 20"),
        (at(7, "sums"), "name of a projection"),
        (at(7, "../x"), "can't be"),
    ] {
        let refused = handle.as_of("sums", wanted).await;
        assert!(matches!(&refused, Err(OperateError::Failed(why)) if why.contains(told)), "{refused:?}");
    }
    assert_eq!(rows_of_copy(&*subject, "sums_at_20").await, earlier);

    handle.drop_as_of("sums", "sums_at_20").await.unwrap();
    let gone = handle.drop_as_of("sums", "sums_at_20").await;
    assert!(matches!(&gone, Err(OperateError::Failed(_))), "{gone:?}");
    handle.as_of("sums", at(7, "sums_at_20")).await.unwrap();
    assert_ne!(rows_of_copy(&*subject, "sums_at_20").await, earlier);
    running.shut_down().await;
}

/// The same sums, as a projection that has the name of a copy.
struct Later(Sums);

impl Fold for Later {
    type Event = Counted;
    type Key = String;
    type State = i64;

    fn name(&self) -> &str {
        "sums_then"
    }
    fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
        self.0.key(event)
    }
    fn fold(&self, row: Option<i64>, event: Recorded<'_, Counted>) -> Option<i64> {
        self.0.fold(row, event)
    }
}

/// A projection does not go on with a copy that has its name.
pub async fn a_projection_does_not_take_a_copy_for_its_own<S: Subject>() {
    if !S::Database::COPIES {
        return;
    }
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    let running = start(&log, &subject, &sums, settings());
    append(&log, 0..24).await;
    caught_up(&log, running.handle(), "sums").await;
    running.handle().as_of("sums", at(7, "sums_then")).await.unwrap();
    running.shut_down().await;

    let is_in_its_way = {
        let database = subject.database();
        let mut tx = database.begin().await.unwrap();
        tx.load(&ReadModelId::live("sums_then")).await.unwrap().is_some()
    };
    let mut projector = Projector::new(log.clone());
    projector.fold(Later(sums), subject.database(), settings()).unwrap();
    let running = projector.start();
    let handle = running.handle();
    if is_in_its_way {
        let stopped = tokio::time::timeout(LONG, async {
            loop {
                let status = handle.status("sums_then").await.unwrap();
                if status.state == State::Stopped {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let why = stopped.await.unwrap().stalled.unwrap();
        assert!(why.contains("is a copy: sums at checkpoint 7"), "{why}");
    } else {
        handle.when_reached("sums_then", 24.into(), LONG).await.unwrap();
    }
    running.shut_down().await;
}

/// A copy is refused when the log is not the one that the read model was made of.
pub async fn a_copy_is_not_made_of_another_log<S: Subject>() {
    if !S::Database::COPIES {
        return;
    }
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    let running = start(&log, &subject, &sums, settings());
    append(&log, 0..24).await;
    caught_up(&log, running.handle(), "sums").await;
    running.shut_down().await;
    log.exchange(memory::Store::new());
    append(&log, 0..30).await;
    let running = start(&log, &subject, &sums, settings());
    let refused = running.handle().as_of("sums", at(7, "sums_then")).await;
    assert!(matches!(&refused, Err(OperateError::Failed(why)) if why.contains("another log")), "{refused:?}");
    let refused = running.handle().explain("sums", Explain::key("a")).await;
    assert!(matches!(&refused, Err(OperateError::Failed(why)) if why.contains("another log")), "{refused:?}");
    running.shut_down().await;
}

/// A copy that could not be finished is kept, and the same request goes on with it.
pub async fn a_copy_goes_on_where_it_was<S: Subject>() {
    if !S::Database::COPIES {
        return;
    }
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    let running = start(&log, &subject, &sums, Settings { batch_changesets_max: 4, ..settings() });
    append(&log, 0..24).await;
    caught_up(&log, running.handle(), "sums").await;
    sums.fails.store(true, SeqCst);
    let stopped = running.handle().as_of("sums", at(24, "sums_then")).await;
    assert!(matches!(&stopped, Err(OperateError::Failed(why)) if why.contains("told to")), "{stopped:?}");
    running.shut_down().await;

    sums.fails.store(false, SeqCst);
    let running = start(&log, &subject, &sums, settings());
    caught_up(&log, running.handle(), "sums").await;
    let before = sums.folded.load(SeqCst);
    running.handle().as_of("sums", at(24, "sums_then")).await.unwrap();
    assert_eq!(sums.folded.load(SeqCst) - before, 24 - 13, "it went on where it was");
    assert_eq!(rows_of_copy(&*subject, "sums_then").await, rows_of_live(&*subject).await);
    let before = sums.folded.load(SeqCst);
    running.handle().as_of("sums", at(24, "sums_then")).await.unwrap();
    assert_eq!(sums.folded.load(SeqCst), before, "it was complete");
    running.shut_down().await;
}

/// The building of a copy is cancelled after a batch. What was built is kept: the same request goes on with it. It can
/// be dropped too.
pub async fn a_copy_is_cancelled_and_gone_on_with_or_dropped<S: Subject>() {
    if !S::Database::COPIES {
        return;
    }
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    let running = start(&log, &subject, &sums, Settings { batch_changesets_max: 4, ..settings() });
    append(&log, 0..24).await;
    caught_up(&log, running.handle(), "sums").await;
    let handle = running.handle();
    let none = handle.cancel_as_of("sums", "sums_then").await;
    assert!(
        matches!(&none, Err(OperateError::Failed(why)) if why.contains("is not being built")),
        "{none:?}"
    );

    sums.waits.store(true, SeqCst);
    handle.begin_as_of("sums", &at(24, "sums_then")).unwrap();
    let other = handle.cancel_as_of("sums", "sums_of_another_time").await;
    assert!(matches!(other, Err(OperateError::Failed(_))), "{other:?}");
    cancel(handle, &sums, "sums_then").await;
    let status = handle.as_of_status("sums").unwrap().unwrap();
    let AsOfProgress::Cancelled { next } = status.progress else { panic!("{status:?}") };
    assert!(next < 24, "{next}");
    let before = sums.folded.load(SeqCst);
    handle.as_of("sums", at(24, "sums_then")).await.unwrap();
    assert_eq!(sums.folded.load(SeqCst) - before, 24 - next, "it went on where it was");
    assert_eq!(rows_of_copy(&*subject, "sums_then").await, rows_of_live(&*subject).await);

    sums.waits.store(true, SeqCst);
    handle.begin_as_of("sums", &at(20, "sums_dropped")).unwrap();
    cancel(handle, &sums, "sums_dropped").await;
    handle.drop_as_of("sums", "sums_dropped").await.unwrap();
    running.shut_down().await;
}

/// Cancels a copy while its fold waits.
async fn cancel(handle: &Handle, sums: &Sums, into: &str) {
    let mut cancelling = Box::pin(handle.cancel_as_of("sums", into));
    assert!(futures::poll!(&mut cancelling).is_pending());
    sums.waits.store(false, SeqCst);
    cancelling.await.unwrap();
}

/// What is parked or skipped in the live read model is left out of a copy.
pub async fn a_copy_leaves_out_what_the_live_read_model_does<S: Subject>() {
    if !S::Database::COPIES {
        return;
    }
    let (log, subject, sums) = (ChangingLog::new(), fresh::<S>().await, Sums::default());
    sums.fails.store(true, SeqCst);
    let patient = Parking { retry_after_min: Duration::from_secs(3_600), ..Parking::default() };
    let running = start(&log, &subject, &sums, parking(patient));
    append(&log, 0..24).await;
    // Stream b is parked from 13 on. Stream a has one that is skipped.
    log.append("a", &json!({"by": 13}).to_string()).await;
    append(&log, [24]).await;
    caught_up(&log, running.handle(), "sums").await;
    running.handle().skip("sums", Checkpoint::new(24), "broken").await.unwrap();
    running.handle().retry_parked("sums", Some("a".parse().unwrap()), "").await.unwrap();
    let live = rows_of_live(&*subject).await;
    assert_eq!(live["b"], 1 + 4 + 7 + 10);
    running.handle().as_of("sums", at(26, "sums_then")).await.unwrap();
    assert_eq!(rows_of_copy(&*subject, "sums_then").await, live);

    sums.fails.store(false, SeqCst);
    running.handle().retry_parked("sums", None, "").await.unwrap();
    let other = running.handle().as_of("sums", at(26, "sums_then")).await;
    let told = "without b from changeset 5 on";
    assert!(matches!(&other, Err(OperateError::Failed(why)) if why.contains(told)), "{other:?}");
    running.shut_down().await;
}

//! A preview tells what a version of the code would do, and does nothing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ees_store::ChangesetLog;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Subject;
use super::explaining::{Puts, random_history};
use super::support::{ChangingLog, caught_up, fresh, parking, settings};
use crate::database::{AuditRows, Database, LedgerRows, ParkedRows, TimerRows, Transaction};
use crate::preview::{
    Preview, PreviewOptions, PreviewProgress, ProjectionPreview, ReactorPreview, RowDifferenceKind,
};
use crate::reactor::{self, Cause, EffectQuery, Firing, Reactor, Start, TimerQuery};
use crate::{
    BoxError, Fold, OperateError, Order, Parking, Projector, ReadModelId, Recorded, Running, Settings, Slot,
};

#[derive(Deserialize)]
struct Counted {
    by: i64,
}

/// The sum of each stream, and in a later version more.
#[derive(Clone, Default)]
struct Sums {
    version: u32,
    bonus: i64,
    /// A number that deletes the row.
    ends_at: Option<i64>,
    /// The number that makes it fail.
    fails_at: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Default, serde::Serialize, Deserialize)]
struct Sum {
    count: u64,
    sum: i64,
}

impl Fold for Sums {
    type Event = Counted;
    type Key = String;
    type State = Sum;

    fn name(&self) -> &str {
        "sums"
    }
    fn version(&self) -> u32 {
        self.version.max(1)
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Sum>, event: Recorded<'_, Counted>) -> Option<Sum> {
        let by = event.event.by;
        assert!(by == 0 || by.unsigned_abs() != self.fails_at.load(SeqCst), "told to");
        let Sum { count, sum } = row.unwrap_or_default();
        let extra = if by % 2 == 0 { self.bonus } else { 0 };
        (self.ends_at != Some(by)).then_some(Sum { count: count + 1, sum: sum + by + extra })
    }
}

/// Sums that can't read negative numbers.
struct Positive;

#[derive(Deserialize)]
struct CountedUp {
    by: u32,
}

impl Fold for Positive {
    type Event = CountedUp;
    type Key = String;
    type State = Sum;

    fn name(&self) -> &str {
        "sums"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, CountedUp>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<Sum>, event: Recorded<'_, CountedUp>) -> Option<Sum> {
        let Sum { count, sum } = row.unwrap_or_default();
        Some(Sum { count: count + 1, sum: sum + i64::from(event.event.by) })
    }
}

fn counted(by: i64) -> String {
    json!({"by": by}).to_string()
}

/// A live read model of version 1, whose worker runs.
struct Live<S: Subject> {
    log: Arc<ChangingLog>,
    subject: Arc<S>,
    running: Running,
}

impl<S: Subject> Live<S> {
    async fn new(sums: Sums, settings: Settings) -> Self {
        let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
        let mut projector = Projector::new(log.clone());
        projector.fold(sums, subject.database(), settings).unwrap();
        Self { log, subject, running: projector.start() }
    }

    async fn append(&self, numbers: &[(&str, i64)]) {
        for (stream, by) in numbers {
            self.log.append(stream, &counted(*by)).await;
        }
        caught_up(&self.log, self.running.handle(), "sums").await;
    }

    async fn try_preview(&self, sums: Sums, wanted: PreviewOptions) -> Result<Preview, OperateError> {
        let mut projector = Projector::new(self.log.clone());
        projector.fold(sums, self.subject.database(), settings()).unwrap();
        projector.preview("sums", wanted).await
    }

    /// Previews it. Nothing but the place of the preview is written, and that is deleted.
    async fn preview(&self, sums: Sums) -> ProjectionPreview {
        let before = self.everything().await;
        let preview = self.try_preview(sums, PreviewOptions::default()).await.unwrap();
        assert_eq!(self.everything().await, before);
        of_projection(preview)
    }

    async fn everything(&self) -> String {
        let mut found = everything(&self.subject.database(), "sums").await;
        found += &format!("{:?}", self.subject.table("sums").await);
        found
    }

    async fn close(self) {
        self.running.shut_down().await;
    }
}

/// The rows that the framework has of a name, in all slots.
async fn everything(database: &impl Database, name: &str) -> String {
    let mut found = String::new();
    for slot in [Slot::Live, Slot::Standby, Slot::Preview] {
        let model = ReadModelId::new(name, slot);
        let mut tx = database.begin_in(&model).await.unwrap();
        found += &format!(
            "{:?} {:?} {:?} {:?} {:?}",
            tx.load(&model).await.unwrap(),
            tx.parked(&model).await.unwrap(),
            tx.audit_entries(&model, 100).await.unwrap(),
            tx.effects(&model, &EffectQuery::default()).await.unwrap(),
            tx.timers(&model, &TimerQuery::default()).await.unwrap(),
        );
    }
    found
}

fn of_projection(preview: Preview) -> ProjectionPreview {
    match preview {
        Preview::Projection(preview) => preview,
        Preview::Reactor(preview) => panic!("the preview of a reactor: {preview:?}"),
    }
}

/// A database that can't preview says so, and nothing has changed.
pub async fn previews_are_offered_as_the_database_says<S: Subject>() {
    let live = Live::<S>::new(Sums::default(), settings()).await;
    live.append(&[("a", 1)]).await;
    let before = live.everything().await;
    let preview =
        live.try_preview(Sums { version: 2, bonus: 1, ..Sums::default() }, PreviewOptions::default()).await;
    assert_eq!(preview.is_ok(), S::Database::PREVIEWS, "{preview:?}");
    if let Err(refused) = preview {
        assert!(matches!(refused, OperateError::NotSupported(_)), "{refused:?}");
    }
    assert_eq!(live.everything().await, before);
    live.close().await;
}

/// For random folds.
pub async fn a_preview_of_the_same_version_finds_nothing<S: Subject>() {
    if S::Database::PREVIEWS {
        random_folds_preview_as_they_are::<S>(0..12).await;
    }
}

async fn random_folds_preview_as_they_are<S: Subject>(seeds: Range<u64>) {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let (mut live, mut new) = (Projector::new(log.clone()), Projector::new(log.clone()));
    for seed in seeds.clone() {
        let settings = Settings { batch_changesets_max: 7, ..settings() };
        live.fold(Puts::random(seed), subject.database(), settings).unwrap();
        new.fold(Puts::random(seed), subject.database(), settings).unwrap();
    }
    let running = live.start();
    random_history(&log, seeds.start + 7).await;
    let mut rows = 0;
    for seed in seeds.clone() {
        let name = Puts::random(seed).name;
        caught_up(&log, running.handle(), &name).await;
        let preview = new.preview(&name, PreviewOptions::default()).await.unwrap();
        assert!(preview.is_equal(), "{preview:#?}");
        let preview = of_projection(preview);
        assert_eq!((preview.checkpoint, preview.version, preview.live_version), (40, 1, 1));
        rows += preview.rows.rows_new();
    }
    assert!(rows > seeds.end - seeds.start, "{rows}");
    running.shut_down().await;
}

/// In numbers, by column, and by samples.
pub async fn a_preview_tells_what_another_version_changes<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let live = Live::<S>::new(Sums { ends_at: Some(5), ..Sums::default() }, settings()).await;
    live.append(&[("a", 1), ("b", 2), ("c", 3), ("d", 5), ("b", 2), ("e", 4), ("f", 7)]).await;
    // Even numbers count more, 5 no longer deletes a row, and 7 does.
    let preview = live.preview(Sums { version: 2, bonus: 10, ends_at: Some(7), ..Sums::default() }).await;
    assert!(!preview.is_equal() && preview.is_compared, "{preview:#?}");
    assert_eq!((preview.version, preview.live_version, preview.checkpoint, preview.head), (2, 1, 7, 7));
    let [table] = preview.rows.tables.as_slice() else { panic!("one table: {preview:#?}") };
    assert_eq!((table.added, table.removed, table.changed), (1, 1, 2), "{table:#?}");
    assert_eq!((table.rows_live, table.rows_new, preview.rows.differing()), (5, 5, 4));
    assert_eq!(table.columns, [("state.sum".to_owned(), 2)].into());
    let sample = |key: &str| {
        let sample = table.samples.iter().find(|sample| sample.key == key).unwrap();
        let values = sample.columns.iter().map(|column| {
            let value = |value: &Option<ees_store::Json>| value.as_ref().and_then(|it| it.read::<i64>().ok());
            (column.column.as_str(), value(&column.before), value(&column.after))
        });
        (sample.kind, values.collect::<Vec<_>>())
    };
    assert_eq!(sample("b"), (RowDifferenceKind::Changed, vec![("state.sum", Some(4), Some(24))]));
    let (kind, columns) = sample("d");
    assert_eq!((kind, columns.contains(&("state.sum", None, Some(5)))), (RowDifferenceKind::Added, true));
    let (kind, columns) = sample("f");
    assert_eq!((kind, columns.contains(&("state.count", Some(1), None))), (RowDifferenceKind::Removed, true));
    assert_eq!(preview.rebuild.changesets, 7);
    assert!(preview.rebuild.seconds.unwrap() > 0.0 && preview.rebuild.read_model_bytes.unwrap() > 0);
    let few = PreviewOptions { samples: 1, ..PreviewOptions::default() };
    let few = of_projection(
        live.try_preview(Sums { version: 2, bonus: 10, ..Sums::default() }, few).await.unwrap(),
    );
    let table = &few.rows.tables[0];
    assert_eq!((table.changed, table.added, table.samples.len()), (2, 1, 2));
    live.close().await;
}

/// Another stream than the one that fails is compared all the same.
pub async fn a_preview_goes_on_behind_what_it_can_not_apply<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let live = Live::<S>::new(Sums::default(), settings()).await;
    live.append(&[("a", 1), ("bad", 13), ("b", 3), ("bad", 4), ("bad", 5), ("b", 1)]).await;
    let preview = live.preview(Sums { fails_at: Arc::new(13.into()), version: 2, ..Sums::default() }).await;
    assert!(!preview.is_equal() && preview.is_compared);
    assert_eq!((preview.failures.streams, preview.failures.changesets), (1, 3), "{preview:#?}");
    let failure = &preview.failures.samples[0];
    assert_eq!((failure.stream_id.as_str(), failure.changeset_id.get()), ("bad", 1));
    assert!(failure.error.contains("told to"), "{failure:?}");
    let table = &preview.rows.tables[0];
    assert_eq!((table.removed, table.added, table.changed, table.samples[0].key.as_str()), (1, 0, 0, "bad"));
    // So is an event that this version can't read.
    live.append(&[("negative", -1), ("b", 1)]).await;
    let mut projector = Projector::new(live.log.clone());
    projector.fold(Positive, live.subject.database(), settings()).unwrap();
    let preview = of_projection(projector.preview("sums", PreviewOptions::default()).await.unwrap());
    let failure = &preview.failures.samples[0];
    assert_eq!((preview.failures.streams, failure.stream_id.as_str()), (1, "negative"), "{preview:#?}");
    assert!(failure.error.contains("event 1"), "{failure:?}");
    live.close().await;
}

/// What is skipped and what is parked in the live read model is no difference.
pub async fn a_preview_leaves_out_what_the_live_read_model_does<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let fails_at = Arc::new(AtomicU64::new(13));
    let patient = Parking { retry_after_min: Duration::from_secs(3_600), ..Parking::default() };
    let sums = Sums { fails_at: fails_at.clone(), ..Sums::default() };
    let live = Live::<S>::new(sums, parking(patient)).await;
    live.append(&[("a", 1), ("bad", 1), ("bad", 13), ("bad", 2), ("skipped", 1), ("skipped", 13)]).await;
    live.append(&[("skipped", 3)]).await;
    let at = live.log.locate(&"skipped".parse().unwrap(), 2.into()).await.unwrap().unwrap();
    live.running.handle().skip("sums", at, "broken").await.unwrap();
    live.running.handle().retry_parked("sums", Some("skipped".parse().unwrap()), "").await.unwrap();
    let preview = live.preview(Sums { fails_at: fails_at.clone(), ..Sums::default() }).await;
    assert!(preview.is_equal(), "{preview:#?}");
    assert_eq!((preview.parked_streams, preview.skipped), (1, 1));
    live.close().await;
}

/// A version that fails in thousands of streams does not take thousands of times as long.
pub async fn a_preview_that_can_read_nothing_ends<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let live = Live::<S>::new(Sums::default(), settings()).await;
    for stream in 0..30 {
        live.append(&[(&format!("s{stream}"), 13)]).await;
    }
    let sums = Sums { fails_at: Arc::new(13.into()), ..Sums::default() };
    let few = PreviewOptions { failing_streams_max: 5, samples: 2, ..PreviewOptions::default() };
    let before = live.everything().await;
    let preview = of_projection(live.try_preview(sums, few).await.unwrap());
    assert!(!preview.is_compared && !preview.is_equal(), "{preview:#?}");
    assert_eq!((preview.failures.streams, preview.failures.samples.len(), preview.checkpoint), (5, 2, 5));
    assert_eq!(live.everything().await, before);
    live.close().await;
}

/// Commits go on all the time, and the live read model applies them.
pub async fn a_preview_is_right_while_the_live_read_model_moves_on<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let live = Live::<S>::new(Sums::default(), settings()).await;
    live.append(&[("a", 1), ("b", 2)]).await;
    let (log, is_over) = (live.log.clone(), Arc::new(AtomicBool::new(false)));
    let seen = is_over.clone();
    let committing = tokio::spawn(async move {
        let mut number = 0;
        while !seen.load(SeqCst) {
            number += 1;
            log.append(&format!("s{}", number % 9), &counted(number)).await;
            tokio::task::yield_now().await;
        }
    });
    let told = Arc::new(AtomicU64::new(0));
    for _ in 0..3 {
        let told = told.clone();
        let on_progress = move |progress: PreviewProgress| {
            assert!(progress.checkpoint <= progress.until);
            told.fetch_add(1, SeqCst);
        };
        let wanted = PreviewOptions { on_progress: Some(Arc::new(on_progress)), ..PreviewOptions::default() };
        let preview = live.try_preview(Sums::default(), wanted).await.unwrap();
        assert!(preview.is_equal(), "{preview:#?}");
    }
    is_over.store(true, SeqCst);
    committing.await.unwrap();
    live.close().await;
}

/// As with Ctrl-C.
pub async fn a_preview_that_is_stopped_leaves_nothing<S: Subject>() {
    if !S::Database::PREVIEWS {
        return;
    }
    let live = Live::<S>::new(Sums::default(), settings()).await;
    live.append(&[("a", 1), ("b", 2)]).await;
    let before = live.everything().await;
    let mut projector = Projector::new(live.log.clone());
    projector.fold(Sums::default(), live.subject.database(), settings()).unwrap();
    let stopped = projector.preview_until("sums", PreviewOptions::default(), std::future::ready(())).await;
    // It may have been complete by then.
    if let Err(error) = stopped {
        assert!(error.to_string().contains("interrupted"), "{error}");
    }
    assert_eq!(live.everything().await, before);
    assert!(live.preview(Sums::default()).await.is_equal());
    live.close().await;
}

/// Mails to each stream, and a reminder.
struct Mails {
    /// In which effects. A later version has one more.
    effects: &'static [&'static str],
    /// Whether it needs what the first one returns.
    needs: bool,
    is_only: bool,
    sent: Arc<AtomicU64>,
}

impl Reactor for Mails {
    type Event = Counted;

    fn name(&self) -> &str {
        "mails"
    }
    fn acts_in_effects_only(&self) -> bool {
        self.is_only
    }
    async fn react(&self, cause: Cause<'_, Counted>) -> Result<(), BoxError> {
        for effect in self.effects {
            if self.needs {
                let _: String = cause.effect(effect, async || Ok::<_, BoxError>("id".to_owned())).await?;
            }
            let send = async || {
                self.sent.fetch_add(1, SeqCst);
                Ok::<_, BoxError>(())
            };
            cause.effect(effect, send).await?;
        }
        cause.at(cause.timestamp() + Duration::from_secs(3_600), "remind", &cause.event.by).await
    }
    async fn on_timer(&self, _: Firing<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

fn mails(effects: &'static [&'static str]) -> Mails {
    Mails { effects, needs: false, is_only: true, sent: Arc::default() }
}

/// The events are acted on again. What the ledger has is nothing new.
pub async fn the_preview_of_a_reactor_lists_effects_and_does_none<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let from_the_start = reactor::Settings { start: Start::Beginning, ..reactor::Settings::default() };
    let live = mails(&["mail"]);
    let sent = live.sent.clone();
    let mut projector = Projector::new(log.clone());
    projector.reactor(live, subject.database(), from_the_start).unwrap();
    let running = projector.start();
    for (stream, by) in [("a", 1), ("b", 2), ("a", 3)] {
        log.append(stream, &counted(by)).await;
    }
    caught_up(&log, running.handle(), "mails").await;
    let before = everything(&subject.database(), "mails").await;
    let preview = async |mails: Mails, log: &Arc<ChangingLog>| -> ReactorPreview {
        let sent = mails.sent.clone();
        let mut projector = Projector::new(log.clone());
        projector.reactor(mails, subject.database(), from_the_start).unwrap();
        let preview = projector.preview("mails", PreviewOptions::default()).await.unwrap();
        assert_eq!(sent.load(SeqCst), 0, "no effect is done");
        match preview {
            Preview::Reactor(preview) => preview,
            Preview::Projection(preview) => panic!("the preview of a projection: {preview:?}"),
        }
    };
    let same = preview(mails(&["mail"]), &log).await;
    assert!(same.is_equal(), "{same:#?}");
    assert_eq!((same.known, same.missing, same.live_checkpoint), (6, 0, Some(3)));

    let more = preview(mails(&["mail", "copy"]), &log).await;
    assert_eq!((more.known, more.missing, more.failures.streams), (6, 3, 0), "{more:#?}");
    let first = &more.effects[0];
    assert_eq!((first.effect.as_str(), first.stream_id.as_str(), first.event_id.get()), ("copy", "a", 1));
    assert_eq!(first.key.len(), 64);

    let needs = preview(Mails { needs: true, ..mails(&["letter"]) }, &log).await;
    assert_eq!((needs.missing, needs.failures.streams, needs.failures.changesets), (2, 2, 3), "{needs:#?}");
    let why = &needs.failures.samples[0].error;
    assert!(why.starts_with("after effect letter, whose result is not known"), "{why}");
    assert_eq!(everything(&subject.database(), "mails").await, before);
    running.shut_down().await;

    // What it has not acted on yet.
    log.append("c", &counted(9)).await;
    let next = preview(mails(&["mail"]), &log).await;
    assert_eq!((next.missing, next.live_checkpoint, next.until), (2, Some(3), 4));
    let timer = &next.effects[1];
    assert_eq!(timer.effect, "timer:set:remind");
    assert!(timer.due.is_some());
    assert_eq!(timer.payload.as_ref().unwrap().read::<Json>().unwrap(), json!(9));
    assert_eq!(sent.load(SeqCst), 3);
}

/// A row that many events change is written once for each batch, and many rows need many transactions.
pub async fn what_a_rebuild_writes_on_dynamodb_is_estimated_anywhere<S: Subject>() {
    let subject = fresh::<S>().await;
    let estimated = async |streams: u64| {
        let log = ChangingLog::new();
        for number in 0..250 {
            log.append(&format!("s{}", number % streams), &counted(1)).await;
        }
        let mut projector = Projector::new(log);
        projector.fold(Sums::default(), subject.database(), settings()).unwrap();
        projector.dynamodb_cost("sums").await.unwrap()
    };
    let many = estimated(250).await;
    assert_eq!((many.changesets, many.sampled, many.rows, many.transactions), (250, 250, 250, 3));
    assert_eq!(many.units, 2 * 250 + 2 * 3);
    let one = estimated(1).await;
    assert_eq!((one.rows, one.transactions, one.units), (1, 1, 4));
    assert!((many.cost(1e6) - 506.0).abs() < 1e-9);
}

/// It might act in the preview.
pub async fn a_reactor_that_acts_beside_its_effects_is_not_previewed<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("a", &counted(1)).await;
    let careless = Mails { is_only: false, ..mails(&["mail"]) };
    let mut projector = Projector::new(log.clone());
    projector.reactor(careless, subject.database(), reactor::Settings::default()).unwrap();
    let refused = projector.preview("mails", PreviewOptions::default()).await;
    assert!(matches!(&refused, Err(OperateError::NotSupported(why)) if why.contains("acts_in_effects_only")));
    let unknown = projector.preview("letters", PreviewOptions::default()).await;
    assert!(matches!(unknown, Err(OperateError::Unknown { .. })), "{unknown:?}");
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::laws::Capabilities;
    use crate::sqlite;

    struct Sqlite {
        database: sqlite::Database,
        _folder: tempfile::TempDir,
    }

    impl Subject for Sqlite {
        type Database = sqlite::Database;
        const CAPABILITIES: Capabilities = Capabilities { partitions: false, ..Capabilities::ALL };

        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = sqlite::Database::open(folder.path().join("read-models.db")).unwrap();
            Self { database, _folder: folder }
        }
        fn database(&self) -> sqlite::Database {
            self.database.clone()
        }
        async fn table(&self, _: &str) -> BTreeMap<String, String> {
            BTreeMap::new()
        }
        async fn reopen(self) -> Self {
            self
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_previews_of_200_random_folds_find_nothing() {
        for seeds in (0..200).step_by(40) {
            random_folds_preview_as_they_are::<Sqlite>(seeds..seeds + 40).await;
        }
    }
}

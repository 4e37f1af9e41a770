//! A row is explained by the events that made it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ees_store::ChangesetLog;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Subject;
use super::support::{ChangingLog, Journal, LONG, Silent, caught_up, fresh, parking, settings, wait_while};
use crate::database::{Database, FoldRows, Transaction};
use crate::reactor;
use crate::read_model::Change;
use crate::{
    Explain, Explanation, MultiFold, OperateError, Order, Parking, Projector, ReadModel, ReadModelId,
    Recorded, Settings, Table, WhyLeftOut,
};

/// What an event does to the rows that it names.
#[derive(Deserialize)]
pub(super) struct Put {
    #[serde(default)]
    rows: Vec<String>,
    #[serde(default)]
    column: u8,
    number: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "explained", key = "id")]
pub(super) struct Three {
    a: i64,
    b: Option<String>,
    c: f64,
}

/// A fold whose rows depend on their history, in one of several ways.
#[derive(Clone)]
pub(super) struct Puts {
    pub(super) name: String,
    /// As columns, or as a document.
    typed: bool,
    order: Order,
    /// Whether the key of the row is that of the stream, or the event names its rows.
    by_stream: bool,
    /// What is put before the keys.
    prefix: &'static str,
    /// A number that deletes the row.
    deletes: i64,
    /// Whether a row has to be there already, unless the number is 0.
    strict: bool,
    fails: Arc<AtomicBool>,
    /// Whether it waits before it folds an event.
    waits: Arc<AtomicBool>,
}

impl Puts {
    /// A row for each stream.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            typed: false,
            order: Order::Stream,
            by_stream: true,
            prefix: "",
            deletes: -1,
            strict: false,
            fails: Arc::default(),
            waits: Arc::default(),
        }
    }

    /// A fold that differs from that of another seed.
    pub(super) fn random(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let by_stream = chance.bool();
        Self {
            typed: chance.bool(),
            order: if by_stream && chance.bool() { Order::Stream } else { Order::Log },
            by_stream,
            prefix: if chance.bool() { "" } else { "row " },
            deletes: chance.i64(0..8),
            ..Self::new(&format!("random_{seed}"))
        }
    }
}

impl MultiFold for Puts {
    type Event = Put;
    type Key = String;
    type State = Three;

    fn name(&self) -> &str {
        &self.name
    }
    fn order(&self) -> Order {
        self.order
    }
    fn table(&self) -> Table {
        if !self.typed {
            return Table::document(self.name.clone());
        }
        let mut table = Three::table();
        table.name = self.name.clone().into();
        table
    }
    fn keys(&self, event: Recorded<'_, Put>) -> impl IntoIterator<Item = String> {
        let names = match self.by_stream {
            true => vec![event.stream_id().to_string()],
            false => event.event.rows.clone(),
        };
        names.into_iter().map(|name| format!("{}{name}", self.prefix)).collect::<Vec<_>>()
    }
    fn fold(&self, key: &String, row: Option<Three>, event: Recorded<'_, Put>) -> Option<Three> {
        let Put { column, number, .. } = *event.event;
        assert!(!(self.fails.load(SeqCst) && number == 13), "told to");
        wait_while(&self.waits);
        assert!(!self.strict || row.is_some() || number == 0, "there is no row {key}");
        if number == self.deletes {
            return None;
        }
        let mut row = row.unwrap_or_default();
        match column {
            0 => row.a = row.a * 3 + number,
            1 => row.b = Some(format!("{} {number} of {key}", row.a)).filter(|_| number % 3 > 0),
            2 => row.c = (row.c + number as f64) / 3.0,
            _ => {}
        }
        Some(row)
    }
}

/// Appends events of three streams to four rows.
pub(super) async fn random_history(log: &ChangingLog, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        let rows: Vec<_> = (0..chance.u8(0..3)).map(|_| format!("r{}", chance.u8(0..4))).collect();
        let event = json!({"rows": rows, "column": chance.u8(0..4), "number": chance.i64(0..8)});
        log.append(&format!("s{}", chance.u8(0..3)), &event.to_string()).await;
    }
}

/// The steps lead from no row to the row, and each column has its last writer.
fn is_consistent(explanation: &Explanation, steps_max: usize) {
    let Explanation { steps, steps_total, row, written_by, .. } = explanation;
    let shown = usize::try_from(*steps_total).unwrap().min(steps_max);
    assert_eq!(steps.len(), shown, "{explanation:#?}");
    let mut before: Option<(u64, Option<ees_store::Json>)> = Some((0, None));
    let mut writers = BTreeMap::new();
    for step in steps {
        if let Some((number, before)) = &before
            && step.number == number + 1
        {
            assert_eq!(step.before, *before, "{explanation:#?}");
        }
        assert!(step.before != step.after && !step.changed.is_empty());
        if step.after.is_none() {
            writers.clear();
        } else {
            writers.extend(step.changed.iter().map(|column| (column.clone(), step.writer.clone())));
        }
        before = Some((step.number, step.after.clone()));
    }
    assert_eq!(before.and_then(|(_, last)| last), *row, "{explanation:#?}");
    if steps.len() as u64 == *steps_total {
        assert_eq!(writers, *written_by);
    }
}

/// For random folds: the explanation of every row ends in the row that the database has, and so does that of a row that
/// is not there.
pub async fn an_explanation_ends_in_the_row_that_is_stored<S: Subject>() {
    random_folds_are_explained::<S>(0..12).await;
}

async fn random_folds_are_explained<S: Subject>(seeds: Range<u64>) {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    for seed in seeds.clone() {
        let settings = Settings { batch_changesets_max: 7, ..settings() };
        projector.fold(Puts::random(seed), subject.database(), settings).unwrap();
    }
    let running = projector.start();
    random_history(&log, seeds.start + 7).await;
    let mut explained = 0;
    for seed in seeds.clone() {
        let fold = Puts::random(seed);
        caught_up(&log, running.handle(), &fold.name).await;
        let kept = if fold.typed { BTreeMap::new() } else { subject.table(&fold.name).await };
        for key in ["r0", "r1", "r2", "r3", "s0", "s1", "s2"].map(|name| format!("{}{name}", fold.prefix)) {
            let explanation = running.handle().explain(&fold.name, Explain::key(&key)).await.unwrap();
            assert!(explanation.is_stored, "{}: {explanation:#?}", fold.name);
            is_consistent(&explanation, 100);
            if !fold.typed {
                let row = explanation.row.as_ref().map(|row| row.read::<Json>().unwrap());
                assert_eq!(row, kept.get(&key).map(|text| serde_json::from_str(text).unwrap()), "{key}");
            }
            explained += explanation.steps_total;
            let few = Explain { steps_max: 3, ..Explain::key(&key) };
            is_consistent(&running.handle().explain(&fold.name, few).await.unwrap(), 3);
        }
    }
    assert!(explained > (seeds.end - seeds.start) * 20, "{explained}");
    running.shut_down().await;
}

/// Of a row that belongs to one stream, that stream is replayed; of any other, the log. The steps name the events, and the
/// columns that they changed.
pub async fn a_row_is_explained_by_the_events_that_made_it<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    let by_row = Puts { by_stream: false, order: Order::Log, typed: true, ..Puts::new("by_row") };
    projector.fold(Puts { typed: true, ..Puts::new("by_stream") }, subject.database(), settings()).unwrap();
    projector.fold(by_row, subject.database(), settings()).unwrap();
    let running = projector.start();
    let handle = running.handle();
    for (stream, event) in [
        ("s1", json!({"type": "first", "rows": ["x"], "column": 0, "number": 5})),
        ("s2", json!({"rows": ["x", "y"], "column": 1, "number": 7})),
        ("s1", json!({"rows": ["x"], "column": 3, "number": 1})),
        ("s1", json!({"type": "last", "column": 0, "number": 1})),
    ] {
        log.append(stream, &event.to_string()).await;
    }
    caught_up(&log, handle, "by_stream").await;
    caught_up(&log, handle, "by_row").await;

    let of_stream = handle.explain("by_stream", Explain::key("s1")).await.unwrap();
    assert_eq!((of_stream.stream_id.unwrap().as_str(), of_stream.replayed), ("s1", 3));
    assert_eq!((of_stream.steps_total, of_stream.without_effect, of_stream.is_stored), (2, 1, true));
    let last = &of_stream.steps[1];
    assert_eq!(
        (last.number, last.changed.as_slice(), last.writer.changeset_id.get()),
        (2, ["a".to_owned()].as_slice(), 3)
    );
    assert_eq!(last.writer.event_type.as_deref(), Some("last"));
    assert_eq!(last.event.as_ref().unwrap().as_str(), r#"{"column":0,"number":1,"type":"last"}"#);
    let row = |row: &Option<ees_store::Json>| row.as_ref().map(|row| row.read::<Json>().unwrap());
    assert_eq!(row(&last.before), Some(json!({"a": 5, "b": null, "c": 0.0})));
    assert_eq!(row(&last.after), Some(json!({"a": 16, "b": null, "c": 0.0})));

    let of_log = handle.explain("by_row", Explain::key("x")).await.unwrap();
    assert_eq!((of_log.stream_id, of_log.replayed, of_log.checkpoint.get()), (None, 4, 4));
    let writers: BTreeMap<_, _> =
        of_log.written_by.iter().map(|(column, writer)| (column.as_str(), writer.checkpoint.get())).collect();
    assert_eq!(writers, BTreeMap::from([("a", 0), ("b", 1), ("c", 0)]));

    let none = handle.explain("by_stream", Explain::key("nowhere")).await.unwrap();
    assert_eq!((none.row, none.steps_total, none.is_stored), (None, 0, true));
    let wrong =
        handle.explain("by_row", Explain { table: Some("other".to_owned()), ..Explain::key("x") }).await;
    assert!(
        matches!(&wrong, Err(OperateError::Failed(why)) if why.contains("there are: by_row")),
        "{wrong:?}"
    );
    running.shut_down().await;
}

/// An event may change other rows too. Those are as they were then, if the fold relies on that.
pub async fn a_row_is_explained_whatever_else_its_events_change<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    let fold = Puts { strict: true, by_stream: false, order: Order::Log, ..Puts::new("transfers") };
    projector.fold(fold, subject.database(), settings()).unwrap();
    let running = projector.start();
    for (rows, number) in [("a", 0), ("b", 0), ("a b", 3), ("b", 4), ("a b", 5)] {
        let rows: Vec<_> = rows.split(' ').collect();
        log.append("s", &json!({"rows": rows, "number": number}).to_string()).await;
    }
    caught_up(&log, running.handle(), "transfers").await;
    for (row, steps) in [("a", 3), ("b", 4)] {
        let explanation = running.handle().explain("transfers", Explain::key(row)).await.unwrap();
        assert_eq!((explanation.steps_total, explanation.is_stored), (steps, true), "{explanation:#?}");
    }
    running.shut_down().await;
}

/// What an operator skipped, and what is parked, is named and not applied: so the explanation is that of the row.
pub async fn what_was_left_out_is_named_in_an_explanation<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let put = |number: i64| json!({"number": number}).to_string();
    let fold = Puts::new("puts");
    fold.fails.store(true, SeqCst);
    let patient = Parking { retry_after_min: Duration::from_secs(3_600), ..Parking::default() };
    let mut projector = Projector::new(log.clone());
    projector.fold(fold, subject.database(), parking(patient)).unwrap();
    let running = projector.start();
    let handle = running.handle();
    for number in [1, 13, 2] {
        log.append("parked", &put(number)).await;
        log.append("other", &put(number)).await;
    }
    caught_up(&log, handle, "puts").await;
    // Of the other stream, the failing one is skipped.
    let skipped = log.locate(&"other".parse().unwrap(), 2.into()).await.unwrap().unwrap();
    handle.skip("puts", skipped, "broken").await.unwrap();
    handle.retry_parked("puts", Some("other".parse().unwrap()), "").await.unwrap();
    let left_out = async |key: &str| {
        let explanation = handle.explain("puts", Explain::key(key)).await.unwrap();
        assert!(explanation.is_stored, "{explanation:#?}");
        let left_out =
            explanation.left_out.iter().map(|it| (it.changeset_id.get(), it.why)).collect::<Vec<_>>();
        (explanation.steps_total, left_out)
    };
    assert_eq!(left_out("parked").await, (1, vec![(2, WhyLeftOut::Parked), (3, WhyLeftOut::Parked)]));
    assert_eq!(left_out("other").await, (2, vec![(2, WhyLeftOut::Skipped)]));
    running.shut_down().await;
}

/// A row that somebody else has written is found out.
pub async fn a_row_that_no_event_made_is_found_out<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let (fold, live) = (Puts::new("puts"), ReadModelId::live("puts"));
    let mut projector = Projector::new(log.clone());
    projector.fold(fold.clone(), subject.database(), settings()).unwrap();
    let running = projector.start();
    log.append("s", &json!({"number": 4}).to_string()).await;
    caught_up(&log, running.handle(), "puts").await;
    running.shut_down().await;

    let mut tx = subject.database().begin().await.unwrap();
    let state = tx.load(&live).await.unwrap().unwrap();
    assert!(tx.replace(&live, state.position, &state).await.unwrap());
    let table = MultiFold::table(&fold);
    let before = tx.load_rows(&table, &["s"]).await.unwrap().remove(0);
    let forged = Some(vec![crate::read_model::Value::Json(r#"{"a":9}"#.to_owned())]);
    tx.write_rows(&table, &[Change { key: "s".to_owned(), before, row: forged }]).await.unwrap();
    tx.commit().await.unwrap();

    let mut projector = Projector::new(log.clone());
    projector.fold(fold, subject.database(), settings()).unwrap();
    let running = projector.start();
    caught_up(&log, running.handle(), "puts").await;
    let explanation = running.handle().explain("puts", Explain::key("s")).await.unwrap();
    assert!(!explanation.is_stored);
    assert_eq!(explanation.stored.unwrap().as_str(), r#"{"a":9}"#);
    assert_eq!(explanation.row.unwrap().read::<Json>().unwrap(), json!({"a": 4, "b": null, "c": 0.0}));
    running.shut_down().await;
}

/// Folds wait as long as it lives: also when the law has failed, for the turn to explain is that of all laws.
struct Held(Arc<AtomicBool>);

impl Held {
    fn until_dropped(waits: &Arc<AtomicBool>) -> Self {
        waits.store(true, SeqCst);
        Self(waits.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// While the log is replayed for an explanation, its progress is told, and nothing before and after.
pub async fn the_progress_of_an_explanation_is_told<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let fold = Puts { by_stream: false, order: Order::Log, ..Puts::new("puts") };
    let mut projector = Projector::new(log.clone());
    projector.fold(fold.clone(), subject.database(), settings()).unwrap();
    let running = projector.start();
    for number in 0..6 {
        log.append("s", &json!({"rows": ["r"], "number": number}).to_string()).await;
    }
    caught_up(&log, running.handle(), "puts").await;
    let handle = running.handle();
    assert_eq!(handle.explain_progress("puts").unwrap(), None);
    let held = Held::until_dropped(&fold.waits);
    let explaining = tokio::spawn({
        let handle = handle.clone();
        async move { handle.explain("puts", Explain::key("r")).await }
    });
    // Other laws that run beside this one have their turn before.
    let seen = tokio::time::timeout(LONG * 10, async {
        loop {
            match handle.explain_progress("puts").unwrap() {
                Some(progress) => return progress,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    let seen = seen.await.unwrap();
    assert_eq!((seen.checkpoint.get(), seen.until.get()), (0, 6));
    drop(held);
    assert_eq!(explaining.await.unwrap().unwrap().steps_total, 6);
    assert_eq!(handle.explain_progress("puts").unwrap(), None);
    running.shut_down().await;
}

/// The rows of a projection that is split into partitions are explained up to the position of their partition.
pub async fn a_row_of_a_partition_is_explained<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut projector = Projector::new(log.clone());
    let settings = Settings { partitions: 4, ..settings() };
    // The key is not the stream's, so the log is replayed.
    projector.fold(Puts { prefix: "of ", ..Puts::new("puts") }, subject.database(), settings).unwrap();
    let running = projector.start();
    for number in 0..24 {
        log.append(&format!("s{}", number % 8), &json!({"number": number}).to_string()).await;
    }
    caught_up(&log, running.handle(), "puts").await;
    for stream in 0..8 {
        let explanation =
            running.handle().explain("puts", Explain::key(format!("of s{stream}"))).await.unwrap();
        assert_eq!((explanation.steps_total, explanation.is_stored), (3, true), "{explanation:#?}");
    }
    running.shut_down().await;
}

/// Only rows of folds can be explained.
pub async fn what_can_not_be_explained_is_refused<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("s", r#"{"type":"noted","text":"x"}"#).await;
    let mut projector = Projector::new(log.clone());
    projector.projection(Journal::new(), subject.database(), settings()).unwrap();
    projector.reactor(Silent, subject.database(), reactor::Settings::default()).unwrap();
    let running = projector.start();
    caught_up(&log, running.handle(), "journal").await;
    let explained = running.handle().explain("journal", Explain::key("s")).await;
    assert!(
        matches!(&explained, Err(OperateError::NotSupported(why)) if why.contains("statements of its own"))
    );
    let explained = running.handle().explain("silent", Explain::key("s")).await;
    assert!(matches!(&explained, Err(OperateError::IsReactor { name }) if name == "silent"), "{explained:?}");
    let explained = running.handle().explain("nothing", Explain::key("s")).await;
    assert!(matches!(explained, Err(OperateError::Unknown { .. })));
    running.shut_down().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::Capabilities;
    use crate::memory;

    struct Memory(memory::Database);

    impl Subject for Memory {
        type Database = memory::Database;
        const CAPABILITIES: Capabilities =
            Capabilities { reopens: false, columns: false, foreign_keys: false, ..Capabilities::ALL };

        async fn new() -> Self {
            Self(memory::Database::new())
        }
        fn database(&self) -> memory::Database {
            self.0.clone()
        }
        async fn table(&self, name: &str) -> BTreeMap<String, String> {
            self.0.rows(name).await
        }
        async fn reopen(self) -> Self {
            self
        }
    }

    #[tokio::test]
    async fn the_rows_of_200_random_folds_are_explained() {
        for seeds in (0..200).step_by(20) {
            random_folds_are_explained::<Memory>(seeds..seeds + 20).await;
        }
    }
}

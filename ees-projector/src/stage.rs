//! A stage of a composite: a fold whose types are hidden, and one pass of it over a batch.
//!
//! A pass does no I/O. Its caller loads the rows that it names, and writes those that it changed.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::database::FoldRows;
use crate::fingerprint::{Fingerprint, RowHasher};
use crate::lookup_fold::{Answer, Found, LookupFold, NoLookup};
use crate::read_model::{Change, ColumnType, Row, RowError, Table, from_row, to_row};
use crate::{BoxError, Order, Recorded, Subscription};

/// The keys that the events of a batch ask of an earlier stage ([`Asks`]), or what they found ([`Answers`]).
/// Only the two stages know the types.
pub(crate) type Hidden = Box<dyn Any + Send + Sync>;

/// What a stage asks of the stage `L`.
struct Asks<L: LookupFold> {
    /// Of each event.
    keys: Vec<Vec<L::Key>>,
    copy: fn(&L::State) -> L::State,
}

/// What each event found. Events that found the same state share it.
type Answers<L> = Vec<Vec<Answer<L>>>;

/// States and their keys.
type States<F> = Vec<(String, Option<<F as LookupFold>::State>)>;

/// What a database checks before a key is loaded and a row is written.
#[derive(Clone, Copy)]
pub(crate) struct Checks {
    key: fn(&Table, &str) -> Result<(), RowError>,
    row: fn(&Table, &str, &Row) -> Result<(), RowError>,
}

impl Checks {
    pub(crate) fn of<Tx: FoldRows>() -> Self {
        Self { key: Tx::check_key, row: Tx::check_row }
    }
}

/// A fold, whatever its types but that of the events.
pub(crate) trait Stage<E>: Send + Sync {
    fn name(&self) -> &str;
    fn table(&self) -> &Table;
    fn order(&self) -> Order;
    fn subscription(&self) -> Subscription;
    /// Returns the type of the fold.
    fn fold_type(&self) -> TypeId;
    /// Returns the type of the fold whose rows it looks up, and the name of that type.
    fn lookup_type(&self) -> Option<(TypeId, &'static str)>;
    /// Returns what it asks of the stage that it looks up.
    fn asks(&self, events: &[Recorded<'_, E>]) -> Hidden;
    /// Begins a pass. `found` is the answer to what it asked. `asked` is what later stages ask of it.
    fn begin<'s>(
        &'s self,
        events: &[Recorded<'_, E>],
        found: Option<Hidden>,
        asked: Vec<Hidden>,
        checks: Checks,
    ) -> Result<Box<dyn Pass<E> + 's>, BoxError>;
}

/// One pass of a stage over a batch, which knows the rows that it needs.
pub(crate) trait Pass<E>: Send + Sync {
    /// Returns the keys of the rows to load, each once.
    fn keys(&self) -> Vec<&str>;
    /// Folds the events. `before` are the rows, in the order of the keys. `hashes` says whether the change of the
    /// fingerprint is wanted.
    fn run(
        self: Box<Self>,
        events: &[Recorded<'_, E>],
        before: Vec<Option<Row>>,
        hashes: bool,
    ) -> Result<Passed, BoxError>;
}

/// The outcome of a pass.
pub(crate) struct Passed {
    /// The changed rows, in the order of their keys.
    pub(crate) changed: Vec<Change>,
    /// By how much they change the fingerprint; nothing if that was not wanted.
    pub(crate) fingerprint: Fingerprint,
    /// The answers to what later stages asked, in their order.
    pub(crate) answers: Vec<Hidden>,
}

/// A fold as a stage.
pub(crate) struct StageOf<F> {
    fold: F,
    table: Table,
    /// Whether a database may give a row back in another text than it was given: it has a `jsonb` column.
    has_other_text: bool,
}

impl<F: LookupFold> StageOf<F> {
    pub(crate) fn new(fold: F) -> Self {
        let table = fold.table();
        let has_other_text = table.columns.iter().any(|column| column.ty == ColumnType::Jsonb);
        Self { table, fold, has_other_text }
    }

    /// Begins a pass. See [`Stage::begin`].
    pub(crate) fn pass(
        &self,
        events: &[Recorded<'_, F::Event>],
        found: Option<Hidden>,
        asked: Vec<Hidden>,
        checks: Checks,
    ) -> Result<PassOf<'_, F>, BoxError> {
        #[expect(clippy::expect_used, reason = "stages are paired by their types")]
        let found = found.map(|found| *found.downcast().expect("answers of another stage"));
        #[expect(clippy::expect_used, reason = "stages are paired by their types")]
        let asked = asked.into_iter().map(|asks| *asks.downcast().expect("asked of another stage"));
        let mut pass = PassOf {
            stage: self,
            checks,
            found,
            rows: Vec::new(),
            indexes: HashMap::new(),
            touched: Vec::with_capacity(events.len()),
            ends: Vec::with_capacity(events.len()),
            asked: Vec::new(),
        };
        pass.find_rows(events, asked.collect());
        for (index, Needed { key, .. }) in pass.rows.iter().enumerate() {
            let checked = self.check_key(key, checks);
            checked.map_err(|error| of_event(pass.first_event(index, events), &error))?;
        }
        Ok(pass)
    }

    fn check_key(&self, key: &str, checks: Checks) -> Result<(), RowError> {
        self.table.check_key(key)?;
        (checks.key)(&self.table, key)
    }
}

impl<F: LookupFold> Stage<F::Event> for StageOf<F> {
    fn name(&self) -> &str {
        self.fold.name()
    }

    fn table(&self) -> &Table {
        &self.table
    }

    fn order(&self) -> Order {
        self.fold.order()
    }

    fn subscription(&self) -> Subscription {
        self.fold.subscription()
    }

    fn fold_type(&self) -> TypeId {
        TypeId::of::<F>()
    }

    fn lookup_type(&self) -> Option<(TypeId, &'static str)> {
        let lookup = TypeId::of::<F::Lookup>();
        (lookup != TypeId::of::<NoLookup<F::Event>>()).then_some((lookup, type_name::<F::Lookup>()))
    }

    fn asks(&self, events: &[Recorded<'_, F::Event>]) -> Hidden {
        let keys = events.iter().map(|event| self.fold.asks(*event).into_iter().collect());
        Box::new(Asks::<F::Lookup> { keys: keys.collect(), copy: Clone::clone })
    }

    fn begin<'s>(
        &'s self,
        events: &[Recorded<'_, F::Event>],
        found: Option<Hidden>,
        asked: Vec<Hidden>,
        checks: Checks,
    ) -> Result<Box<dyn Pass<F::Event> + 's>, BoxError> {
        Ok(Box::new(self.pass(events, found, asked, checks)?))
    }
}

/// One pass of a fold over a batch.
pub(crate) struct PassOf<'s, F: LookupFold> {
    stage: &'s StageOf<F>,
    checks: Checks,
    found: Option<Answers<F::Lookup>>,
    rows: Vec<Needed<F::State>>,
    /// The rows by the keys that events change, and the number of each key.
    indexes: HashMap<F::Key, (usize, usize)>,
    /// The rows that the events change and the numbers of the keys by which they name them, event by event, and
    /// where those of each event end.
    touched: Vec<(usize, usize)>,
    ends: Vec<usize>,
    asked: Vec<Asked<F>>,
}

/// A row that a batch changes or looks up.
struct Needed<S> {
    key: String,
    state: Option<S>,
    /// A copy of the state, if it was looked up and has not changed since.
    copied: Option<Arc<S>>,
    /// The last event of the batch that changes it.
    last_event: Option<usize>,
}

impl<S> Needed<S> {
    fn copied(&mut self, copy: fn(&S) -> S) -> Option<Arc<S>> {
        if self.copied.is_none() {
            self.copied = self.state.as_ref().map(|state| Arc::new(copy(state)));
        }
        self.copied.clone()
    }
}

/// What a later stage asks: of each event, the keys and their rows. There is none with a key that the table or the
/// database can't have.
struct Asked<F: LookupFold> {
    keys: Vec<Vec<(F::Key, Option<usize>)>>,
    copy: fn(&F::State) -> F::State,
}

impl<F: LookupFold> PassOf<'_, F> {
    fn find_rows(&mut self, events: &[Recorded<'_, F::Event>], asked: Vec<Asks<F>>) {
        // Two keys with the same text are the same row.
        let mut texts: HashMap<String, usize> = HashMap::new();
        let mut row_of = |rows: &mut Vec<Needed<F::State>>, key: String| {
            *texts.entry(key).or_insert_with_key(|key| {
                rows.push(Needed { key: key.clone(), state: None, copied: None, last_event: None });
                rows.len() - 1
            })
        };
        for (number, event) in events.iter().enumerate() {
            for key in self.stage.fold.keys(*event, found_by(self.found.as_ref(), number)) {
                let number_of_key = self.indexes.len();
                let (index, key) = match self.indexes.entry(key) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let index = row_of(&mut self.rows, new.key().to_string());
                        *new.insert((index, number_of_key))
                    }
                };
                // Once for an event, however often it names the row.
                if let Some(row) = self.rows.get_mut(index)
                    && row.last_event.replace(number) != Some(number)
                {
                    self.touched.push((index, key));
                }
            }
            self.ends.push(self.touched.len());
        }
        for Asks { keys, copy } in asked {
            let mut with_row = |key: F::Key| {
                let known = self.indexes.get(&key).map(|(index, _)| *index);
                let index = known.or_else(|| {
                    let text = key.to_string();
                    let fits = self.stage.check_key(&text, self.checks).is_ok();
                    fits.then(|| row_of(&mut self.rows, text))
                });
                (key, index)
            };
            let keys = keys.into_iter().map(|keys| keys.into_iter().map(&mut with_row).collect()).collect();
            self.asked.push(Asked { keys, copy });
        }
    }

    /// Returns the keys of the rows that it needs, each once.
    pub(crate) fn row_keys(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.key.as_str())
    }

    /// Folds the events. `before` are the states, in the order of the keys. Returns all states with their
    /// keys, in the same order, and the answers to what was asked.
    pub(crate) fn fold(
        &mut self,
        events: &[Recorded<'_, F::Event>],
        before: Vec<Option<F::State>>,
    ) -> (States<F>, Vec<Answers<F>>) {
        let (mut rows, mut asked) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.asked));
        let keys = self.keys_by_number();
        for (row, state) in rows.iter_mut().zip(before) {
            row.state = state;
        }
        let mut answers: Vec<Answers<F>> = asked.iter().map(|_| Vec::with_capacity(events.len())).collect();
        for (number, event) in events.iter().enumerate() {
            for (index, key) in self.touched_by(number) {
                if let (Some(row), Some(key)) = (rows.get_mut(*index), keys[*key]) {
                    let found = found_by(self.found.as_ref(), number);
                    row.state = self.stage.fold.fold(key, row.state.take(), *event, found);
                    row.copied = None;
                }
            }
            for (Asked { keys, copy }, answers) in asked.iter_mut().zip(&mut answers) {
                let keys = keys.get_mut(number).map(std::mem::take).unwrap_or_default();
                let mut found = |index: Option<usize>| rows.get_mut(index?)?.copied(*copy);
                answers.push(keys.into_iter().map(|(key, index)| (key, found(index))).collect());
            }
        }
        (rows.into_iter().map(|row| (row.key, row.state)).collect(), answers)
    }

    fn keys_by_number(&self) -> Vec<Option<&F::Key>> {
        let mut keys = vec![None; self.indexes.len()];
        for (key, (_, number)) in &self.indexes {
            keys[*number] = Some(key);
        }
        keys
    }

    /// The rows that an event changes, and the numbers of the keys by which it names them.
    fn touched_by(&self, event: usize) -> &[(usize, usize)] {
        let begin = event.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or_default();
        self.ends.get(event).and_then(|end| self.touched.get(begin..*end)).unwrap_or_default()
    }

    /// The first event that names a row or looks it up.
    fn first_event<'e, 'a>(
        &self,
        row: usize,
        events: &'e [Recorded<'a, F::Event>],
    ) -> Option<&'e Recorded<'a, F::Event>> {
        let asks = |Asked { keys, .. }: &Asked<F>, event: usize| {
            keys.get(event).is_some_and(|keys| keys.iter().any(|(_, asked)| *asked == Some(row)))
        };
        let names = |event: usize| {
            self.touched_by(event).iter().any(|(touched, _)| *touched == row)
                || self.asked.iter().any(|asked| asks(asked, event))
        };
        events.get((0..events.len()).find(|event| names(*event))?)
    }

    /// The row of a state, if the table and the database can keep it.
    fn row(&self, key: &str, state: &F::State) -> Result<Row, RowError> {
        let row = to_row(&self.stage.table, state)?;
        (self.checks.row)(&self.stage.table, key, &row)?;
        Ok(row)
    }

    /// Finds the event after which a row can't be kept any more: it folds the row again, event by event.
    fn blame(
        &self,
        row: usize,
        text: &str,
        before: Option<&Row>,
        events: &[Recorded<'_, F::Event>],
        error: &RowError,
    ) -> BoxError {
        let keys = self.keys_by_number();
        let mut state = before.and_then(|before| from_row(&self.stage.table, before).ok());
        let mut last = None;
        for (number, event) in events.iter().enumerate() {
            let named = self.touched_by(number).iter().find(|(touched, _)| *touched == row);
            let Some(key) = named.and_then(|(_, key)| keys[*key]) else { continue };
            let found = found_by(self.found.as_ref(), number);
            state = self.stage.fold.fold(key, state, *event, found);
            if let Some(Err(error)) = state.as_ref().map(|state| self.row(text, state)) {
                return of_event(Some(event), &error);
            }
            last = Some(event);
        }
        of_event(last, error)
    }
}

/// The error with the event that it concerns.
fn of_event<E>(event: Option<&Recorded<'_, E>>, error: &RowError) -> BoxError {
    let Some(event) = event else { return error.clone().into() };
    let (stream, changeset, id) = (event.stream_id(), event.changeset_id(), event.event_id);
    format!("event {id} (changeset {changeset} of stream {stream}): {error}").into()
}

/// What an event has found.
fn found_by<L: LookupFold>(answers: Option<&Answers<L>>, event: usize) -> Found<'_, L> {
    Found::new(answers.and_then(|answers| answers.get(event)).map_or(&[], Vec::as_slice))
}

impl<F: LookupFold> Pass<F::Event> for PassOf<'_, F> {
    fn keys(&self) -> Vec<&str> {
        self.row_keys().collect()
    }

    fn run(
        mut self: Box<Self>,
        events: &[Recorded<'_, F::Event>],
        before: Vec<Option<Row>>,
        hashes: bool,
    ) -> Result<Passed, BoxError> {
        let StageOf { table, has_other_text, .. } = self.stage;
        let mut states: Vec<Option<F::State>> = Vec::with_capacity(before.len());
        // The rows as this program writes them, so that they can be compared.
        let mut written: HashMap<usize, Row> = HashMap::new();
        for (index, stored) in before.iter().enumerate() {
            let state = stored.as_ref().map(|row| from_row(table, row)).transpose();
            let state = state.map_err(|error| of_event(self.first_event(index, events), &error))?;
            if let (true, Some(state)) = (*has_other_text, &state) {
                written.insert(index, to_row(table, state)?);
            }
            states.push(state);
        }
        let (rows, answers) = self.fold(events, states);
        let mut changed = Vec::with_capacity(rows.len());
        let (mut hasher, mut fingerprint) = (hashes.then(|| RowHasher::new(table)), Fingerprint::default());
        for (index, ((key, state), before)) in rows.into_iter().zip(before).enumerate() {
            let after = state.as_ref().map(|state| self.row(&key, state)).transpose();
            let after = after.map_err(|error| self.blame(index, &key, before.as_ref(), events, &error))?;
            if after.as_ref() != written.get(&index).or(before.as_ref()) {
                let change = Change { key, before, row: after };
                // While the row is in the processor's cache.
                if let Some(hasher) = &mut hasher {
                    fingerprint = fingerprint.plus(hasher.change(&change));
                }
                changed.push(change);
            }
        }
        // Two writers who change the same rows in the same order don't wait for each other in a circle.
        changed.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        let answers = answers.into_iter().map(|answers| Box::new(answers) as Hidden).collect();
        Ok(Passed { changed, fingerprint, answers })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::{self, Display};

    use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery, memory};

    use super::*;
    use crate::MultiFold;

    struct Words;

    impl MultiFold for Words {
        type Event = Vec<String>;
        type Key = String;
        type State = u64;
        fn name(&self) -> &str {
            "words"
        }
        fn keys(&self, event: Recorded<'_, Vec<String>>) -> impl IntoIterator<Item = String> {
            event.event.clone()
        }
        fn fold(&self, _: &String, row: Option<u64>, _: Recorded<'_, Vec<String>>) -> Option<u64> {
            Some(row.unwrap_or(0) + 1)
        }
    }

    #[tokio::test]
    async fn rows_are_written_in_the_order_of_their_keys() {
        let store = memory::Store::new();
        let events = Events::parse("[1]").unwrap();
        store.commit(Commit::new("a".parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
        let page = store.read(LogQuery::from(Checkpoint::START, 1)).await.unwrap();
        let words = ["d", "b", "a", "c", "b"].map(str::to_owned).to_vec();
        let events = [Recorded::new(&words, 1.into(), &page.changesets[0])];
        let stage = StageOf::new(Words);
        let pass = stage.begin(&events, None, Vec::new(), Checks::of::<crate::memory::Tx>()).unwrap();
        assert_eq!(pass.keys(), ["d", "b", "a", "c"]);
        let changed = pass.run(&events, vec![None; 4], false).unwrap().changed;
        let keys: Vec<_> = changed.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
    }

    /// A key whose text leaves out whether it is meant as the debtor.
    #[derive(PartialEq, Eq, Hash)]
    struct Party {
        account: String,
        is_debtor: bool,
    }

    impl Display for Party {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.account)
        }
    }

    struct Balances;

    impl MultiFold for Balances {
        type Event = (String, String, i64);
        type Key = Party;
        type State = i64;
        fn name(&self) -> &str {
            "balances"
        }
        fn keys(&self, event: Recorded<'_, Self::Event>) -> impl IntoIterator<Item = Party> {
            let (from, to, _) = event.event.clone();
            [Party { account: from, is_debtor: true }, Party { account: to, is_debtor: false }]
        }
        fn fold(&self, key: &Party, row: Option<i64>, event: Recorded<'_, Self::Event>) -> Option<i64> {
            let change = if key.is_debtor { -event.event.2 } else { event.event.2 };
            Some(row.unwrap_or(0) + change)
        }
    }

    #[tokio::test]
    async fn a_row_is_folded_with_the_key_by_which_the_event_names_it() {
        let store = memory::Store::new();
        let events = Events::parse("[1]").unwrap();
        store.commit(Commit::new("a".parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
        let page = store.read(LogQuery::from(Checkpoint::START, 1)).await.unwrap();
        let transfer = |from: &str, to: &str, amount| (from.to_owned(), to.to_owned(), amount);
        let transfers = [transfer("a", "b", 5), transfer("b", "a", 2), transfer("a", "b", 1)];
        let events =
            transfers.each_ref().map(|transfer| Recorded::new(transfer, 1.into(), &page.changesets[0]));
        let stage = StageOf::new(Balances);
        let checks = Checks::of::<crate::memory::Tx>();
        let (rows, _) = stage.pass(&events, None, Vec::new(), checks).unwrap().fold(&events, vec![None; 2]);
        assert_eq!(rows, [("a".to_owned(), Some(-4)), ("b".to_owned(), Some(4))]);
    }
}

//! A read model that is built side by side with the live one: built, compared, swapped, rolled back, with readers.
//!
//! **What is modelled.** The live read model and the standby, each with a row and tables that are found by name. For each
//! of the two, a worker that has read the row at some time and goes on with it whenever it likes. A worker that completes
//! the standby, in the steps in which it does: it finds the plan due, compares, waits for older readers, decides, reads
//! the live row, catches up, exchanges. It can crash between any two of them. Operators build, swap, roll back and
//! discard; what they ask for is decided on rows that may have moved since. The log grows. A reader opens a transaction
//! that sees the rows as of then, and looks the tables up by name at each query, as PostgreSQL does at `REPEATABLE READ`.
//!
//! **What is the product's own**: when a swap is due, which are refused ([`check_swap`], `Rows::may_replace`), the rows
//! after a swap (`Rows::exchanged`), after a difference, and how a row moves.
//!
//! **What is left out.** Partitions (`models::split_swap` has them), parked streams, and `force`.
//! The live row is not locked while the standby catches up: DynamoDB can't, and a lock only makes less possible.
//!
//! **What is promised.**
//! - Rows are written by one version, each changeset once, in the tables of the row that says so.
//! - A reader never sees a read model that is still being built.
//! - What is live never goes back in the log, with a rollback neither.
//! - What was live before follows, and is the one that a rollback makes live. No swap undoes another one by mistake.
//! - What is to be compared is not swapped by itself before it was found equal.

use std::hash::{Hash, Hasher};

use ees_store::Checkpoint;
use ees_test_models::checker::{holds, is_found, size};
use stateright::{Model, Property};

use super::log_id;
use crate::projection_state::{Position, ProjectionState};
use crate::standby::{SideBySide, Standby, StandbyRole};
use crate::worker::operations::transition::check_swap;
use crate::worker::side_by_side::rows::Rows;
use crate::worker::side_by_side::swap::Exchanged;

const LIVE: usize = 0;
const STANDBY: usize = 1;

const WRITTEN_ONCE: &str = "rows are written once, by their version, where the row says so";
const WHOLE: &str = "a reader never sees what is still being built";
const FORWARD: &str = "what is live never goes back in the log";
const FOLLOWS: &str = "what was live before follows";
const NOT_UNDONE: &str = "no swap undoes another one";
const COMPARED: &str = "what is to be compared is not swapped by itself before it is equal";

/// A fault that a program could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The rows keep their epochs in a swap.
    EpochsKept,
    /// The rows are swapped in one transaction, the tables in the next one.
    TablesInAnotherTransaction,
    /// The live row is replaced, wherever it is by now.
    LiveRowNotCompared,
    /// The standby is swapped where it is.
    NotCaughtUp,
    /// The standby is swapped while it is being built.
    SwappedWhileBuilt,
    /// Nobody waits for older readers.
    OlderReadersIgnored,
    /// The former live read model does not know that it was live.
    RoleForgotten,
    /// The former live read model is thrown away.
    FormerThrownAway,
    /// A swap happens, whatever has happened since it was decided.
    DecidedOnAnotherStandby,
    /// Swaps and rollbacks are the same to an operator's command.
    DirectionIgnored,
    /// A difference is noted and forgotten.
    DifferenceIgnored,
    /// Another standby with the same plan is swapped in place of the one that was compared.
    AnotherOfTheSamePlan,
}

impl Mistake {
    /// Each mistake, and the property that fails.
    const ALL: [(Self, &str); 12] = [
        (Self::EpochsKept, WRITTEN_ONCE),
        (Self::TablesInAnotherTransaction, WRITTEN_ONCE),
        (Self::LiveRowNotCompared, FORWARD),
        (Self::NotCaughtUp, FORWARD),
        (Self::SwappedWhileBuilt, WHOLE),
        (Self::OlderReadersIgnored, WHOLE),
        (Self::RoleForgotten, FOLLOWS),
        (Self::FormerThrownAway, FOLLOWS),
        (Self::DecidedOnAnotherStandby, COMPARED),
        (Self::DirectionIgnored, NOT_UNDONE),
        (Self::DifferenceIgnored, COMPARED),
        (Self::AnotherOfTheSamePlan, COMPARED),
    ];
}

/// The sizes of the model.
#[derive(Clone, Debug)]
struct SideBySides {
    log_max: u64,
    /// How often an operator acts.
    operations: u8,
    /// How many transactions the reader opens.
    readers: u8,
    crashes: u8,
    mistake: Option<Mistake>,
}

/// A row, compared by what the model moves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row(ProjectionState);

impl Hash for Row {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let ProjectionState { version, position: Position { next, epoch }, rebuild_until, standby, .. } =
            &self.0;
        (version, next.get(), epoch, rebuild_until.map(Checkpoint::get)).hash(hasher);
        let plan = |plan: &Standby| {
            (plan.role == StandbyRole::Building, plan.swap, plan.verify, plan.note.is_some())
        };
        standby.as_ref().map(plan).hash(hasher);
    }
}

impl Row {
    fn next(&self) -> u64 {
        self.0.position.next.get()
    }

    fn alone(&self) -> Rows {
        Rows { whole: self.0.clone(), partitions: Vec::new() }
    }
}

/// The tables of a read model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tables {
    /// Not one that another read model has had.
    number: u8,
    version: u32,
    /// How many changesets were applied, in the order of the log.
    applied: u64,
    is_whole: bool,
    /// Something was applied twice, by another version, or not in its turn.
    is_broken: bool,
}

/// What has the name of the live read model, or that of the standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    row: Row,
    tables: Tables,
}

/// Where the worker is that completes the standby.
#[allow(clippy::large_enum_variant, reason = "states are cloned far more often than moved")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Completing {
    Nothing,
    /// The plan was due. It has not been compared yet.
    Due {
        epoch: u64,
        verify: bool,
        by_itself: bool,
    },
    /// It waits for the transactions that were open when it looked first.
    Waiting {
        epoch: u64,
        older: Option<u8>,
        by_itself: bool,
    },
    /// It swaps the standby that has this epoch, and has read the live row.
    Swapping {
        epoch: u64,
        live: Option<Row>,
        by_itself: bool,
        back: bool,
    },
    /// By mistake: the rows are swapped and the tables are not.
    RowsSwapped,
}

/// A reader's transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    number: u8,
    /// The tables as of its beginning, by their number.
    sees: Vec<Tables>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    log: u64,
    /// The live one, and the standby.
    slots: [Option<Slot>; 2],
    /// What the worker of each has read.
    held: [Option<Row>; 2],
    completing: Completing,
    reader: Option<Reader>,
    readers: u8,
    tables: u8,
    /// The next epoch of a standby, which was never used.
    epoch: u64,
    operations: u8,
    crashes: u8,
    /// The version that a rollback has to make live, if something can be rolled back.
    former: Option<u32>,
    /// The furthest position that the live read model has had.
    furthest: u64,
    saw_half: bool,
    was_undone: bool,
    /// The number of the tables that were found equal to the live ones.
    equal: Option<u8>,
    swapped_uncompared: bool,
    swaps: u8,
    rollbacks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Commit,
    Read(usize),
    Step(usize),
    Build { verify: bool },
    Discard,
    Swap { back: bool },
    FindDue,
    Compare { differs: bool },
    LookForReaders,
    ReadLive,
    CatchUp,
    Exchange,
    ExchangeTables,
    Crash,
    Open,
    Query,
    Close,
}

fn checkpoint(number: u64) -> Checkpoint {
    Checkpoint::new(number)
}

impl State {
    fn live(&self) -> Option<&Slot> {
        self.slots[LIVE].as_ref()
    }

    fn standby(&self) -> Option<&Slot> {
        self.slots[STANDBY].as_ref()
    }

    fn reader(&self) -> Option<u8> {
        self.reader.as_ref().map(|reader| reader.number)
    }
}

impl SideBySides {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// One transaction: the fence, the next changeset, the position.
    fn step(&self, state: &mut State, at: usize) {
        let Some(held) = state.held[at].take() else { return };
        let Some(slot) = &mut state.slots[at] else { return };
        if slot.row.0.position != held.0.position {
            return;
        }
        let moved = Row(held.0.advanced(checkpoint(held.next() + 1), log_id(), None));
        let tables = &mut slot.tables;
        tables.is_broken |= tables.applied != held.next() || tables.version != held.0.version;
        tables.applied += 1;
        tables.is_whole |= moved.0.rebuild_until.is_none();
        slot.row = moved.clone();
        state.held[at] = Some(moved);
    }

    fn build(&self, state: &mut State, verify: bool) {
        let Some(live) = state.live() else { return };
        if state.standby().is_some_and(|found| found.row.0.is_being_built()) {
            return;
        }
        let plan = SideBySide { verify, ..SideBySide::default() }.into();
        let version = live.row.0.version + 1;
        let mut row = ProjectionState::standby(version, checkpoint(state.log), plan, Vec::new(), None);
        row.position.epoch = state.epoch;
        // So far do epochs not come by swaps and steps.
        state.epoch += 1 << 40;
        let is_whole = row.rebuild_until.is_none();
        let tables = Tables { number: state.tables, version, applied: 0, is_whole, is_broken: false };
        state.tables += 1;
        state.slots[STANDBY] = Some(Slot { row: Row(row), tables });
        state.former = None;
    }

    /// An operator's command: decides on what it sees now, and goes on as the worker does.
    fn command(&self, state: &mut State, back: bool) {
        let Some(standby) = state.standby() else { return };
        let checked = match self.has(Mistake::DirectionIgnored) {
            true => Ok(()),
            false => check_swap(&standby.row.0, back, false, false),
        };
        if checked.is_err() {
            return;
        }
        let epoch = standby.row.0.position.epoch;
        state.completing = match back {
            true => Completing::Swapping { epoch, live: None, by_itself: false, back },
            false => Completing::Waiting { epoch, older: state.reader(), by_itself: false },
        };
    }

    fn find_due(&self, state: &State) -> Option<Completing> {
        let row = &state.standby()?.row;
        let follows = row.next() >= state.log || self.has(Mistake::SwappedWhileBuilt);
        let mut found = row.0.clone();
        if self.has(Mistake::SwappedWhileBuilt) {
            found.rebuild_until = None;
        }
        let plan = found.swap_due(follows)?;
        let epoch = found.position.epoch;
        Some(Completing::Due { epoch, verify: plan.verify, by_itself: true })
    }

    fn compare(&self, state: &mut State, differs: bool) {
        let Completing::Due { epoch, by_itself, .. } = state.completing else { return };
        state.equal = state.standby().map(|standby| standby.tables.number).filter(|_| !differs);
        state.completing = Completing::Waiting { epoch, older: state.reader(), by_itself };
        if !differs {
            return;
        }
        if self.has(Mistake::DifferenceIgnored) {
            return;
        }
        state.completing = Completing::Nothing;
        if let Some(standby) = &mut state.slots[STANDBY]
            && standby.row.0.position.epoch == epoch
        {
            standby.row = Row(standby.row.0.remaining_standby("they differ".to_owned()));
        }
    }

    fn look_for_readers(&self, state: &mut State) {
        let Completing::Waiting { epoch, older, by_itself } = state.completing else { return };
        let is_open = older.is_some() && older == state.reader();
        if !is_open || self.has(Mistake::OlderReadersIgnored) {
            let anew = state.standby().map(|standby| standby.row.0.position.epoch);
            let epoch = anew.filter(|_| self.has(Mistake::AnotherOfTheSamePlan)).unwrap_or(epoch);
            state.completing = Completing::Swapping { epoch, live: None, by_itself, back: false };
        }
    }

    /// The standby's own step within a swap.
    fn catch_up(&self, state: &mut State) {
        if let Some(standby) = &state.slots[STANDBY] {
            state.held[STANDBY] = Some(standby.row.clone());
            self.step(state, STANDBY);
        }
    }

    /// The transaction of a swap. It fails if one of the rows is not as it was read.
    fn exchange(&self, state: &mut State) {
        let Completing::Swapping { epoch, live: Some(theirs), by_itself, back } =
            std::mem::replace(&mut state.completing, Completing::Nothing)
        else {
            return;
        };
        let (Some(live), Some(standby)) = (state.live().cloned(), state.standby().cloned()) else { return };
        let ours = standby.row.alone();
        let ends = match self.has(Mistake::NotCaughtUp) {
            true => vec![Checkpoint::START],
            false => ours.ends(&theirs.alone(), checkpoint(state.log)),
        };
        let decided =
            if self.has(Mistake::DecidedOnAnotherStandby) { standby.row.0.position.epoch } else { epoch };
        let is_unmoved = live.row.0.position == theirs.0.position || self.has(Mistake::LiveRowNotCompared);
        if !ours.may_replace(&theirs.alone(), decided, &ends) || !is_unmoved {
            return;
        }
        let Exchanged { to_live, to_standby } = ours.exchanged(&theirs.alone(), Vec::new());
        let (mut to_live, mut to_standby) = (to_live.whole, to_standby.whole);
        if self.has(Mistake::EpochsKept) {
            to_live.position.epoch = theirs.0.position.epoch;
            to_standby.position.epoch = standby.row.0.position.epoch;
        }
        if let Some(plan) = &mut to_standby.standby
            && self.has(Mistake::RoleForgotten)
        {
            plan.role = StandbyRole::Building;
        }
        let was_live = standby.row.0.standby.as_ref().is_some_and(|plan| plan.role == StandbyRole::Following);
        state.was_undone |= was_live && !back;
        let is_to_be_compared = standby.row.0.standby.as_ref().is_some_and(|plan| plan.verify);
        let is_equal = state.equal == Some(standby.tables.number);
        state.swapped_uncompared |= by_itself && is_to_be_compared && !is_equal;
        state.former = Some(theirs.0.version);
        match back {
            true => state.rollbacks += 1,
            false => state.swaps += 1,
        }
        if self.has(Mistake::TablesInAnotherTransaction) {
            state.slots[LIVE] = Some(Slot { row: Row(to_live), tables: live.tables });
            state.slots[STANDBY] = Some(Slot { row: Row(to_standby), tables: standby.tables });
            state.completing = Completing::RowsSwapped;
            return;
        }
        state.slots[LIVE] = Some(Slot { row: Row(to_live), tables: standby.tables });
        state.slots[STANDBY] = Some(Slot { row: Row(to_standby), tables: live.tables })
            .filter(|_| !self.has(Mistake::FormerThrownAway));
    }

    fn completing(&self, state: &State, actions: &mut Vec<Action>) {
        match &state.completing {
            Completing::Nothing => {
                if self.find_due(state).is_some() {
                    actions.push(Action::FindDue);
                }
                return;
            }
            Completing::Due { verify, .. } => {
                actions.push(Action::Compare { differs: false });
                if *verify {
                    actions.push(Action::Compare { differs: true });
                }
            }
            Completing::Waiting { .. } => actions.push(Action::LookForReaders),
            Completing::Swapping { live, .. } => {
                actions.push(Action::ReadLive);
                if state.standby().is_some_and(|standby| standby.row.next() < state.log) {
                    actions.push(Action::CatchUp);
                }
                if live.is_some() {
                    actions.push(Action::Exchange);
                }
            }
            Completing::RowsSwapped => actions.push(Action::ExchangeTables),
        }
        if state.crashes < self.crashes {
            actions.push(Action::Crash);
        }
    }
}

impl Model for SideBySides {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let row = Row(ProjectionState::new(1));
        let tables = Tables { number: 0, version: 1, applied: 0, is_whole: true, is_broken: false };
        vec![State {
            log: 1,
            slots: [Some(Slot { row, tables }), None],
            held: [None, None],
            completing: Completing::Nothing,
            reader: None,
            readers: 0,
            tables: 1,
            epoch: 1 << 40,
            operations: 0,
            crashes: 0,
            former: None,
            furthest: 0,
            saw_half: false,
            was_undone: false,
            equal: None,
            swapped_uncompared: false,
            swaps: 0,
            rollbacks: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.log < self.log_max {
            actions.push(Action::Commit);
        }
        for (at, slot) in state.slots.iter().enumerate() {
            if slot.as_ref().is_some_and(|slot| state.held[at].as_ref() != Some(&slot.row)) {
                actions.push(Action::Read(at));
            }
            if state.held[at].as_ref().is_some_and(|held| held.next() < state.log) {
                actions.push(Action::Step(at));
            }
        }
        self.completing(state, actions);
        match &state.reader {
            None if state.readers < self.readers => actions.push(Action::Open),
            None => {}
            Some(_) => actions.extend([Action::Query, Action::Close]),
        }
        if state.operations < self.operations {
            actions.push(Action::Build { verify: false });
            actions.push(Action::Build { verify: true });
            if state.standby().is_some() {
                actions.push(Action::Discard);
                if state.completing == Completing::Nothing {
                    actions.push(Action::Swap { back: false });
                    actions.push(Action::Swap { back: true });
                }
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Commit => state.log += 1,
            Action::Read(at) => state.held[at] = state.slots[at].as_ref().map(|slot| slot.row.clone()),
            Action::Step(at) => self.step(&mut state, at),
            Action::Build { verify } => {
                state.operations += 1;
                self.build(&mut state, verify);
            }
            Action::Discard => {
                state.operations += 1;
                state.slots[STANDBY] = None;
                state.former = None;
            }
            Action::Swap { back } => {
                state.operations += 1;
                self.command(&mut state, back);
            }
            Action::FindDue => state.completing = self.find_due(&state)?,
            Action::Compare { differs } => self.compare(&mut state, differs),
            Action::LookForReaders => self.look_for_readers(&mut state),
            Action::ReadLive => {
                let found = state.live().map(|slot| slot.row.clone());
                let Completing::Swapping { live, .. } = &mut state.completing else { return None };
                *live = found;
            }
            Action::CatchUp => self.catch_up(&mut state),
            Action::Exchange => self.exchange(&mut state),
            Action::ExchangeTables => {
                let [Some(live), Some(standby)] = &mut state.slots else { return None };
                std::mem::swap(&mut live.tables, &mut standby.tables);
                state.completing = Completing::Nothing;
            }
            Action::Crash => {
                state.completing = Completing::Nothing;
                state.crashes += 1;
            }
            Action::Open => {
                let sees = state.slots.iter().flatten().map(|slot| slot.tables.clone()).collect();
                state.reader = Some(Reader { number: state.readers, sees });
                state.readers += 1;
            }
            Action::Query => {
                let name = state.live()?.tables.number;
                let reader = state.reader.as_ref()?;
                // Tables that are newer than the transaction are empty in it.
                let seen = reader.sees.iter().find(|tables| tables.number == name);
                state.saw_half |= !seen.is_some_and(|tables| tables.is_whole);
            }
            Action::Close => state.reader = None,
        }
        let live = state.live().map_or(0, |slot| slot.row.next());
        state.furthest = state.furthest.max(live);
        Some(state).filter(|state| state != before)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WRITTEN_ONCE, |_, state: &State| {
                let is_right = |Slot { row, tables }: &Slot| {
                    !tables.is_broken && tables.applied == row.next() && tables.version == row.0.version
                };
                state.slots.iter().flatten().all(is_right)
            }),
            Property::always(WHOLE, |_, state: &State| !state.saw_half),
            Property::always(FORWARD, |_, state: &State| {
                state.live().is_some_and(|live| live.row.next() >= state.furthest)
            }),
            Property::always(FOLLOWS, |_, state: &State| {
                state.former.is_none_or(|former| {
                    state.standby().is_some_and(|standby| {
                        let can_go_back = check_swap(&standby.row.0, true, false, false).is_ok();
                        standby.row.0.version == former && can_go_back
                    })
                })
            }),
            Property::always(NOT_UNDONE, |_, state: &State| !state.was_undone),
            Property::always(COMPARED, |_, state: &State| !state.swapped_uncompared),
            Property::sometimes("a swap", |_, state: &State| state.swaps > 0),
            Property::sometimes("a rollback to what has followed", |model: &Self, state: &State| {
                let live = state.live().map_or(0, |live| live.row.next());
                state.rollbacks > 0 && live == model.log_max
            }),
            Property::sometimes("a swap after a crash", |_, state: &State| {
                state.swaps > 0 && state.crashes > 0
            }),
            Property::sometimes("a standby stays because it differs", |_, state: &State| {
                let differs =
                    |slot: &Slot| slot.row.0.standby.as_ref().is_some_and(|plan| plan.note.is_some());
                state.standby().is_some_and(differs)
            }),
            Property::sometimes("a swap beside a reader", |_, state: &State| {
                state.swaps > 0 && state.reader.as_ref().is_some_and(|reader| reader.sees.len() == 1)
            }),
        ]
    }
}

fn model(mistake: Option<Mistake>) -> SideBySides {
    let (log_max, operations, readers, crashes) = size((2, 2, 1, 1), (3, 3, 2, 1));
    SideBySides { log_max, operations, readers, crashes, mistake }
}

#[test]
fn readers_see_a_whole_read_model_and_a_rollback_loses_nothing() {
    holds(model(None), 20_000);
}

#[test]
fn each_mistake_of_a_swap_is_found() {
    for (mistake, property) in Mistake::ALL {
        is_found(SideBySides { operations: 3, mistake: Some(mistake), ..model(None) }, property);
    }
}

//! Checks a model of some size.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model};

use super::{Action, ENDS, Lanes, RACES};

/// What was found.
#[derive(Debug)]
pub struct Checked {
    /// The number of different states.
    pub states: usize,
    /// The properties that do not hold, each with a way to where it fails.
    pub failures: BTreeMap<&'static str, Vec<Action>>,
    /// Which of [`ENDS`] and [`RACES`] are possible.
    pub possible: BTreeSet<&'static str>,
}

/// Visits every state that can be reached, until a property fails.
pub fn check(model: Lanes, threads: usize) -> Checked {
    check_until(model, threads, HasDiscoveries::AnyFailures)
}

/// Visits every state that can be reached, until this property fails. Others may fail before.
pub fn check_for(property: &'static str, model: Lanes) -> Checked {
    check_until(model, 1, HasDiscoveries::AnyOf(BTreeSet::from([property])))
}

fn check_until(model: Lanes, threads: usize, end: HasDiscoveries) -> Checked {
    let checker = model.checker().threads(threads).finish_when(end).spawn_bfs().join();
    let (mut failures, mut possible) = (BTreeMap::new(), BTreeSet::new());
    for (property, path) in checker.discoveries() {
        if [ENDS, RACES].contains(&property) {
            possible.insert(property);
        } else {
            failures.insert(property, path.into_actions());
        }
    }
    Checked { states: checker.unique_state_count(), failures, possible }
}

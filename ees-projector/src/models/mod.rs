//! Models of the protocols by which workers, operators and readers share a projection. `stateright` visits every state
//! that they can reach at a small size, and looks in each whether what is promised still holds.
//!
//! A model calls the product's own functions wherever these decide something, so it checks them and not a copy. What
//! surrounds them is abstracted: a transaction is one action, because the databases make it one, and a worker that is
//! slow, frozen or dead is one whose next action comes late or never.
//!
//! Each model has mistakes that can be made in it on purpose, one at a time. A test shows that each is found: a model
//! that can't fail proves nothing.
//!
//! `EES_MODEL_SIZE=large` checks larger sizes, for minutes and not for seconds.

mod projection;
mod reactor;
mod side_by_side;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Returns the first size, or the second one if the environment asks for it.
fn size<T>(small: T, large: T) -> T {
    if std::env::var("EES_MODEL_SIZE").is_ok_and(|size| size == "large") { large } else { small }
}

/// Visits every state that the model can reach. Panics with a shortest way to a state in which something promised does
/// not hold, if something that should be possible is not, or if there are fewer states than this.
fn holds<M>(name: &str, model: M, states_min: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let wanted: BTreeSet<_> = model
        .properties()
        .into_iter()
        .filter(|property| matches!(property.expectation, Expectation::Sometimes))
        .map(|property| property.name)
        .collect();
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let states = checker.unique_state_count();
    println!("{name}: {states} states, at most {} actions deep", checker.max_depth());
    let mut possible = BTreeSet::new();
    for (property, path) in checker.discoveries() {
        if !wanted.contains(property) {
            let last = path.last_state().clone();
            panic!("{name}: {property:?} does not hold after {:#?}: {last:#?}", path.into_actions());
        }
        possible.insert(property);
    }
    assert_eq!(possible, wanted, "{name}: what should be possible");
    assert!(checker.is_done(), "{name}: some states were not visited");
    assert!(states >= states_min, "{name}: only {states} states, not {states_min}");
}

/// Returns how many actions lead to a state in which the property does not hold, if there is one.
fn fails<M>(property: &'static str, model: M) -> Option<usize>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let end = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = model.checker().threads(1).finish_when(end).spawn_bfs().join();
    checker.discovery(property).map(|path| path.into_actions().len())
}

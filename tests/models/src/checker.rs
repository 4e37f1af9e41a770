//! Checks a model in every state that it can reach. `EES_MODEL_SIZE=large` takes larger sizes, for minutes and not for
//! seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What was found.
#[derive(Debug)]
pub struct Checked<State, Action> {
    /// The number of different states.
    pub states: usize,
    /// Whether all of them were visited.
    pub is_done: bool,
    /// The properties that do not hold, each with a way to where it fails, and the state there.
    pub failures: BTreeMap<&'static str, (Vec<Action>, State)>,
    /// What should be possible, and is.
    pub possible: BTreeSet<&'static str>,
    /// What should be possible, and was not seen.
    pub never: BTreeSet<&'static str>,
}

/// Whether there is time for larger sizes.
pub fn is_large() -> bool {
    std::env::var("EES_MODEL_SIZE").is_ok_and(|size| size == "large")
}

/// Returns the first size, or the second one if there is time.
pub fn size<T>(small: T, large: T) -> T {
    if is_large() { large } else { small }
}

/// Visits every state that can be reached, until a property fails.
pub fn check<M>(model: M, threads: usize) -> Checked<M::State, M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    check_until(model, threads, HasDiscoveries::AnyFailures)
}

/// Visits every state that can be reached, until this property fails. Others may fail before.
pub fn check_for<M>(property: &'static str, model: M) -> Checked<M::State, M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    check_until(model, threads(), HasDiscoveries::AnyOf(BTreeSet::from([property])))
}

/// Visits every state. Prints how many there are.
///
/// # Panics
/// With the way to where a property fails; if what should be possible is not; or if there are fewer states than that: then
/// the model explores less than it seems.
pub fn holds<M>(model: M, states_min: usize)
where
    M: Model + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let (name, begun) = (format!("{model:?}"), Instant::now());
    let found = check(model, threads());
    println!("{name}: {} states in {:.1} s", found.states, begun.elapsed().as_secs_f64());
    assert!(found.failures.is_empty(), "{name}: {:#?}", found.failures);
    assert!(found.is_done, "{name} was not checked to the end");
    assert!(found.never.is_empty(), "{name}: it never happens that {:?}", found.never);
    assert!(found.states >= states_min, "{name} has {} states only", found.states);
}

/// Visits states until this property fails. Prints how far that is.
///
/// # Panics
/// If it does not fail.
pub fn is_found<M>(model: M, property: &'static str)
where
    M: Model + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let name = format!("{model:?}");
    let found = check_for(property, model);
    let others = found.failures.keys();
    let steps = found.failures.get(property).map(|(way, _)| way.len());
    assert!(
        steps.is_some(),
        "{name}: it does not fail that {property}, in {} states, but {others:?}",
        found.states
    );
    println!(
        "{name}: {property} fails after {} steps, in {} states",
        steps.unwrap_or_default(),
        found.states
    );
}

/// With one, the way that is found is always the same. At large sizes it counts more that it is found at all.
fn threads() -> usize {
    size(1, std::thread::available_parallelism().map_or(1, NonZeroUsize::get))
}

fn check_until<M>(model: M, threads: usize, end: HasDiscoveries) -> Checked<M::State, M::Action>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let properties = model.properties();
    let checker = model.checker().threads(threads).finish_when(end).spawn_bfs().join();
    let mut found = Checked {
        states: checker.unique_state_count(),
        is_done: checker.is_done(),
        failures: BTreeMap::new(),
        possible: BTreeSet::new(),
        never: BTreeSet::new(),
    };
    let mut discoveries = checker.discoveries();
    for property in properties {
        match (property.expectation, discoveries.remove(property.name)) {
            (Expectation::Sometimes, None) => _ = found.never.insert(property.name),
            (Expectation::Sometimes, Some(_)) => _ = found.possible.insert(property.name),
            (_, None) => {}
            (_, Some(way)) => {
                let last = way.last_state().clone();
                found.failures.insert(property.name, (way.into_actions(), last));
            }
        }
    }
    found
}

//! Checks the models of the store's protocols, in every state that they can reach.
//!
//! A model stands beside the code whose decisions it takes: `models` in `dynamodb`, `postgres` and `sqlite`. Each is
//! checked as it is, where all must hold, and with mutations put into it, each of which must be found. `EES_MODEL_SIZE=large` takes
//! larger sizes (`just check-models`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Whether there is time for larger sizes.
pub(crate) fn is_large() -> bool {
    std::env::var("EES_MODEL_SIZE").is_ok_and(|size| size == "large")
}

/// Visits every state. Panics with the way to one where something fails, if what shall be possible is not, or if
/// there are fewer states than that: then the model explores less than it seems.
pub(crate) fn holds<M>(model: &M, states_min: usize)
where
    M: Model + Clone + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let begun = Instant::now();
    let found = check(model.clone(), HasDiscoveries::AnyFailures);
    println!("{model:?}: {} states in {:.1} s", found.states, begun.elapsed().as_secs_f64());
    assert!(found.failures.is_empty(), "{model:?}: {:#?}", found.failures);
    assert!(found.is_done, "{model:?} was not checked to the end");
    assert!(found.never.is_empty(), "{model:?}: it never happens that {:?}", found.never);
    assert!(found.states >= states_min, "{model:?} has {} states only", found.states);
}

/// Panics unless this property fails.
pub(crate) fn is_found<M>(model: &M, property: &'static str)
where
    M: Model + Clone + Debug + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let found = check(model.clone(), HasDiscoveries::AnyOf(BTreeSet::from([property])));
    let Some(way) = found.failures.get(property) else {
        let others = found.failures.keys();
        panic!("{model:?}: it does not fail that {property}, in {} states, but {others:?}", found.states);
    };
    println!("{model:?}: {property} fails after {} steps, in {} states", way.len(), found.states);
}

struct Found<Action> {
    states: usize,
    is_done: bool,
    failures: BTreeMap<&'static str, Vec<Action>>,
    never: Vec<&'static str>,
}

fn check<M>(model: M, until: HasDiscoveries) -> Found<M::Action>
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    // One by one, a way is found again. At large sizes it counts more that it is found at all.
    let all = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if is_large() { all } else { 1 };
    let properties = model.properties();
    let checker = model.checker().threads(threads).finish_when(until).spawn_bfs().join();
    let mut found = Found {
        states: checker.unique_state_count(),
        is_done: checker.is_done(),
        failures: BTreeMap::new(),
        never: Vec::new(),
    };
    let mut discoveries = checker.discoveries();
    for property in properties {
        match (property.expectation, discoveries.remove(property.name)) {
            (Expectation::Sometimes, None) => found.never.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(way)) => _ = found.failures.insert(property.name, way.into_actions()),
        }
    }
    found
}

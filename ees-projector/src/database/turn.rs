//! Whose turn it is to have a lease, where all workers of a projection are known.

use super::Lease;
use crate::partition::hash;

/// Decides who gets the lease of a row: the worker that asks takes or renews it, or leaves it to another. Every worker
/// computes from the same rows whose turn it is, so they hand leases over without messages. `owner` is the last one that
/// had it, and whether it still has; `workers` are those that could have it.
pub(crate) fn take_turns(
    name: &str,
    me: &str,
    owner: Option<(String, bool)>,
    workers: &[String],
    stays: bool,
) -> Lease {
    let is_turn = turn(name, workers).is_none_or(|turn| turn == me);
    match owner {
        Some((worker, true)) if worker != me => Lease::Elsewhere { worker: Some(worker) },
        _ if stays && !is_turn => Lease::Elsewhere { worker: None },
        _ => Lease::Ours { worker: me.to_owned() },
    }
}

/// Which worker should have the lease. Each worker has a rank for each name, and the highest rank wins
/// (rendezvous hashing, Thaler and Ravishankar 1996). When a worker comes or goes, as few leases as possible
/// move.
fn turn<'a>(name: &str, workers: &'a [String]) -> Option<&'a String> {
    workers.iter().max_by_key(|worker| rank(name, worker))
}

fn rank(name: &str, worker: &str) -> u64 {
    hash(format!("{name} {worker}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_projections_and_few_move_when_a_worker_goes() {
        let mut workers: Vec<String> = (0..4).map(|number| format!("host:{number}:abc")).collect();
        let names: Vec<String> = (0..400).map(|number| format!("projection_{number}")).collect();
        let before: Vec<_> = names.iter().map(|name| turn(name, &workers).unwrap().clone()).collect();
        for worker in &workers {
            let share = before.iter().filter(|turn| *turn == worker).count();
            assert!((50..150).contains(&share), "{worker} has {share} of 400");
        }
        let gone = workers.remove(1);
        for (name, before) in names.iter().zip(before) {
            let after = turn(name, &workers).unwrap();
            assert!(before == gone || *after == before, "{name} moved from {before}, which is still there");
        }
    }
}

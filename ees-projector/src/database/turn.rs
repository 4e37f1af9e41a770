//! Whose turn it is to have a lease, where all workers of a projection are known.

use crate::partition::hash;

/// Which worker should have the lease. Each worker has a rank for each name, and the highest rank wins
/// (rendezvous hashing, Thaler and Ravishankar 1996). When a worker comes or goes, as few leases as possible
/// move.
pub(crate) fn turn<'a>(name: &str, workers: &'a [String]) -> Option<&'a String> {
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

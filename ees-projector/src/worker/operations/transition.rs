//! What an operator's action changes in a projection's row: a pure function, like `decide` for commits.
//! Everything that must be looked up comes with the action.

use ees_store::Checkpoint;

use crate::fingerprint::Fingerprint;
use crate::partition::Split;
use crate::projection::Order;
use crate::projection_state::{ChangesetRef, Pause, ProjectionState};
use crate::standby::StandbyRole;
use crate::worker::operations::operation::OperateError;

/// An action on the row.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    Pause(Pause),
    Resume,
    /// Skips the next changeset of a projection that reads from `from`.
    SkipNext {
        from: Checkpoint,
        changeset: ChangesetRef,
    },
    SetCheckpoint {
        believed: Checkpoint,
        wanted: Checkpoint,
        head: Checkpoint,
    },
    /// Skips a changeset of a parked stream.
    SkipParked(ChangesetRef),
    /// Wipes the read model and replays the log up to `until`.
    Rebuild {
        version: u32,
        until: Checkpoint,
        keeps_skips: bool,
        /// Whether the log is read by segments.
        by_segments: bool,
        /// How many workers the streams are dealt out to meanwhile, if not to as many as there are partitions.
        workers: Option<u32>,
        /// The fingerprint of the empty read model, if it keeps one.
        fingerprint: Option<Fingerprint>,
    },
    /// Changes only the epoch, so that workers with the old row must read it again.
    Touch,
}

/// Returns the row after the action.
///
/// # Errors
/// Why the action is refused.
pub(crate) fn transition(
    state: &ProjectionState,
    action: &Transition,
) -> Result<ProjectionState, OperateError> {
    Ok(match action {
        Transition::Pause(pause) => state.moved(|state| state.pause = Some(pause.clone())),
        Transition::Resume => state.moved(|state| state.pause = None),
        Transition::SkipNext { from, .. } if state.position.next != *from => {
            return Err(OperateError::Overtaken);
        }
        Transition::SkipNext { changeset, .. } if state.is_past_barrier(changeset.checkpoint.next()) => {
            return Err(OperateError::NotSkippable { checkpoint: changeset.checkpoint });
        }
        Transition::SkipNext { changeset, .. } => state.moved(|state| {
            match &mut state.segment {
                Some(segment) => *segment = segment.at(changeset.place(), 1),
                None => {
                    state.go_to(changeset.checkpoint.next());
                    state.last = Some(changeset.clone());
                }
            }
            state.pause = None;
            state.skip(changeset);
        }),
        Transition::SkipParked(changeset) => state.moved(|state| state.skip(changeset)),
        Transition::SetCheckpoint { .. } if state.segment.is_some() => return Err(reads_segments()),
        Transition::SetCheckpoint { believed, .. } if state.position.next != *believed => {
            return Err(OperateError::Moved { checkpoint: state.position.next });
        }
        Transition::SetCheckpoint { wanted, head, .. } if wanted > head => {
            return Err(OperateError::PastHead { head: *head });
        }
        Transition::SetCheckpoint { wanted, .. } => state.moved(|state| {
            state.go_to(*wanted);
            state.last = None;
            // Who moves back wants them to be tried again.
            state.skips.retain(|skipped| skipped.checkpoint < *wanted);
        }),
        Transition::Rebuild { version, until, keeps_skips, by_segments, workers, fingerprint } => {
            let wiped = state.wiped(*version, *until, *keeps_skips, *fingerprint);
            let partitions = wiped.partitions();
            let split = Split::for_rebuild(workers.unwrap_or(partitions), partitions);
            let rebuilt = ProjectionState { split, ..wiped };
            if *by_segments { rebuilt.by_segments() } else { rebuilt }
        }
        Transition::Touch => state.moved(|_| {}),
    })
}

/// While segments are read, nothing is complete up to any checkpoint.
pub(crate) fn reads_segments() -> OperateError {
    OperateError::Failed(
        "the projection is being rebuilt by segments of the log, and is at no checkpoint until that has ended: wait. \
         `rebuild` without segments ends it"
            .to_owned(),
    )
}

/// Checks whether a standby may be swapped with the live read model. `back`: it must have been live before.
///
/// # Errors
/// Why it must not.
pub(crate) fn check_swap(
    standby: &ProjectionState,
    back: bool,
    force: bool,
    is_anything_parked: bool,
) -> Result<(), OperateError> {
    let was_live = standby.standby.as_ref().is_some_and(|standby| standby.role == StandbyRole::Following);
    match (back, was_live) {
        (true, false) => Err(OperateError::NeverLive),
        (false, true) => Err(OperateError::WasLive),
        // No force helps: as the live read model it would stand at no checkpoint.
        _ if force && standby.segment.is_some() => Err(reads_segments()),
        _ if force => Ok(()),
        _ if is_anything_parked => Err(OperateError::StandbyParked),
        _ if standby.rebuild_until.is_some() => Err(OperateError::StillBuilding),
        _ => Ok(()),
    }
}

/// Checks whether a projection may be split into this many partitions, of which there can be `max`.
///
/// # Errors
/// Why it must not.
pub(crate) fn check_partitions(order: Order, count: u32, max: u32) -> Result<(), OperateError> {
    match order {
        Order::Log => Err(OperateError::NeedsLogOrder),
        Order::Stream if !(1..=max).contains(&count) => Err(OperateError::PartitionCount { max }),
        Order::Stream => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ees_store::Timestamp;

    use super::*;
    use crate::partition::BUCKETS;
    use crate::projection_state::{PausedBy, Position, Skipped};
    use crate::standby::{SideBySide, Standby};

    fn at(next: u64) -> ProjectionState {
        let position = Position { next: Checkpoint::new(next), epoch: 7 };
        ProjectionState { position, ..ProjectionState::new(3) }
    }

    fn paused(next: u64) -> ProjectionState {
        ProjectionState { pause: Some(pause("before")), last: Some(changeset(next - 1)), ..at(next) }
    }

    fn pause(reason: &str) -> Pause {
        let since = Timestamp::from_micros(1);
        Pause { by: PausedBy::Operator, reason: reason.to_owned(), since, failure: None }
    }

    fn changeset(checkpoint: u64) -> ChangesetRef {
        ChangesetRef {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: "a".parse().unwrap(),
            changeset_id: 1.into(),
            timestamp: Timestamp::from_micros(2),
        }
    }

    fn skipping(next: u64, checkpoint: u64) -> ProjectionState {
        let ChangesetRef { checkpoint, timestamp, .. } = changeset(checkpoint);
        ProjectionState { skips: vec![Skipped { checkpoint, timestamp }], ..at(next) }
    }

    fn set(believed: u64, wanted: u64, head: u64) -> Transition {
        let [believed, wanted, head] = [believed, wanted, head].map(Checkpoint::new);
        Transition::SetCheckpoint { believed, wanted, head }
    }

    #[test]
    fn each_action_gives_the_row_that_it_promises() {
        let skip = Transition::SkipNext { from: Checkpoint::new(5), changeset: changeset(8) };
        let rebuild = Transition::Rebuild {
            version: 4,
            until: Checkpoint::new(9),
            keeps_skips: false,
            by_segments: false,
            workers: None,
            fingerprint: Some(Fingerprint::default()),
        };
        let keeping = Transition::Rebuild {
            version: 3,
            until: Checkpoint::new(9),
            keeps_skips: true,
            by_segments: false,
            workers: Some(4),
            fingerprint: None,
        };
        let cases = [
            (at(5), Transition::Pause(pause("why")), ProjectionState { pause: Some(pause("why")), ..at(5) }),
            (paused(5), Transition::Resume, ProjectionState { last: Some(changeset(4)), ..at(5) }),
            (paused(5), skip, ProjectionState { last: Some(changeset(8)), ..skipping(9, 8) }),
            (at(5), Transition::SkipParked(changeset(3)), skipping(5, 3)),
            (skipping(9, 8), set(9, 8, 9), at(8)),
            (skipping(9, 3), set(9, 8, 9), skipping(8, 3)),
            (
                skipping(9, 8),
                keeping,
                ProjectionState {
                    rebuild_until: Some(Checkpoint::new(9)),
                    split: Some(Split { count: 4, next_count: Some(1), barrier: None }),
                    ..skipping(0, 8)
                },
            ),
            (paused(5), set(5, 2, 9), ProjectionState { pause: Some(pause("before")), ..at(2) }),
            (at(5), set(5, 9, 9), at(9)),
            (
                paused(5),
                rebuild,
                ProjectionState {
                    version: 4,
                    rebuild_until: Some(Checkpoint::new(9)),
                    fingerprint: Some(Fingerprint::default()),
                    ..at(0)
                },
            ),
            (paused(5), Transition::Touch, paused(5)),
        ];
        for (before, action, after) in cases {
            let mut expected = after;
            // A worker that was asleep fails at the fence, because the epoch rose.
            expected.position.epoch = before.position.epoch + 1;
            assert_eq!(transition(&before, &action), Ok(expected), "{action:?}");
        }
    }

    #[test]
    fn a_rebuild_ends_where_an_operator_moves_it_to_its_end() {
        let rebuilding = ProjectionState { rebuild_until: Some(Checkpoint::new(9)), ..at(5) };
        let skip =
            |checkpoint| Transition::SkipNext { from: Checkpoint::new(5), changeset: changeset(checkpoint) };
        for (action, is_rebuilding) in
            [(skip(7), true), (skip(8), false), (set(5, 8, 12), true), (set(5, 9, 12), false)]
        {
            let moved = transition(&rebuilding, &action).unwrap();
            assert_eq!(moved.rebuild_until.is_some(), is_rebuilding, "{action:?}");
        }
    }

    #[test]
    fn nothing_behind_the_barrier_is_skipped() {
        let split = Some(Split::into(2).joining_at(Checkpoint::new(7)));
        let waits_at_seven = ProjectionState { split, ..at(5) };
        let skip = |checkpoint| {
            let skip = Transition::SkipNext { from: Checkpoint::new(5), changeset: changeset(checkpoint) };
            transition(&waits_at_seven, &skip).map(|moved| moved.position.next.get())
        };
        assert_eq!(skip(6), Ok(7));
        for checkpoint in [7, 9] {
            let refused = OperateError::NotSkippable { checkpoint: Checkpoint::new(checkpoint) };
            assert_eq!(skip(checkpoint), Err(refused), "the partition would never be at the barrier");
        }
    }

    #[test]
    fn what_was_decided_on_another_position_is_refused() {
        let skip = Transition::SkipNext { from: Checkpoint::new(5), changeset: changeset(5) };
        let cases = [
            (at(6), skip, OperateError::Overtaken),
            (at(6), set(5, 2, 9), OperateError::Moved { checkpoint: Checkpoint::new(6) }),
            (at(5), set(5, 10, 9), OperateError::PastHead { head: Checkpoint::new(9) }),
        ];
        for (before, action, refused) in cases {
            assert_eq!(transition(&before, &action), Err(refused), "{action:?}");
        }
    }

    #[test]
    fn a_standby_is_swapped_when_it_is_whole_and_only_the_way_it_came() {
        let building = |until: Option<u64>| ProjectionState {
            standby: Some(SideBySide::default().into()),
            rebuild_until: until.map(Checkpoint::new),
            ..at(5)
        };
        let following = ProjectionState {
            standby: Some(Standby { role: StandbyRole::Following, ..SideBySide::default().into() }),
            ..at(5)
        };
        let cases = [
            (building(None), false, false, false, Ok(())),
            (building(None), true, true, false, Err(OperateError::NeverLive)),
            (building(None), false, false, true, Err(OperateError::StandbyParked)),
            (building(Some(9)), false, false, false, Err(OperateError::StillBuilding)),
            (building(Some(9)), false, true, true, Ok(())),
            (building(Some(9)).by_segments(), false, false, false, Err(OperateError::StillBuilding)),
            (building(Some(9)).by_segments(), false, true, false, Err(reads_segments())),
            (following.clone(), true, false, false, Ok(())),
            (following, false, true, false, Err(OperateError::WasLive)),
        ];
        for (standby, back, force, is_parked, expected) in cases {
            let found = check_swap(&standby, back, force, is_parked);
            assert_eq!(found, expected, "back {back}, force {force}, parked {is_parked}: {standby:?}");
        }
    }

    #[test]
    fn only_a_projection_with_order_stream_is_split() {
        let cases = [
            (Order::Log, 2, Err(OperateError::NeedsLogOrder)),
            (Order::Stream, 0, Err(OperateError::PartitionCount { max: BUCKETS })),
            (Order::Stream, BUCKETS + 1, Err(OperateError::PartitionCount { max: BUCKETS })),
            (Order::Stream, BUCKETS, Ok(())),
        ];
        for (order, count, expected) in cases {
            assert_eq!(check_partitions(order, count, BUCKETS), expected, "{order:?} {count}");
        }
    }
}

//! What operators do to a reactor with timers, and the clock.

use ees_store::Checkpoint;

use super::state::{Phase, Row, State, Step};
use super::{Action, Timed};
use crate::worker::operations::transition::{Transition, transition};

impl Timed {
    pub(super) fn interventions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::TakeOver);
        let keys = (0..).zip(&state.timers).filter(|(_, set)| set.is_some());
        actions.extend(keys.map(|(key, _)| Action::Cancel(key)));
        if state.parked.is_none() {
            actions.extend([0, state.head()].map(Action::MoveTo));
        }
    }

    pub(super) fn intervene(state: &mut State, action: Action) -> Option<()> {
        state.interventions += 1;
        match action {
            Action::TakeOver => state.touch(),
            Action::Cancel(key) => {
                state.drop_timer(key);
                state.touch();
            }
            Action::MoveTo(wanted) => {
                let [wanted, head] = [wanted, state.head()].map(|place| Checkpoint::new(place.into()));
                let believed = state.row.0.position.next;
                let set = Transition::SetCheckpoint { believed, wanted, head };
                state.row = Row(transition(&state.row.0, &set).ok()?);
            }
            _ => return None,
        }
        Some(())
    }
}

impl State {
    /// An attempt whose time is over may be begun again by another worker. What it has done may then be done twice.
    pub(super) fn tick(&mut self) {
        self.now += 1;
        let is_late = |phase: &Phase| match phase {
            Phase::Firing(firing) => match firing.step {
                Step::Acting { sent, deadline, .. } => sent && deadline <= self.now,
                Step::Ending { .. } => true,
                Step::Beginning => false,
            },
            _ => false,
        };
        if self.workers.iter().any(|worker| is_late(&worker.phase)) {
            self.is_faultless = false;
        }
    }
}

//! What must hold in every state, and what shall be possible.

use stateright::Property;

use super::Order;
use super::state::{Doing, Happened, Number, Place, Reader, State};

pub(super) const ONE_CHANGESET_EACH: &str = "each place before the counter has one changeset";
pub(super) const STREAMS_IN_ORDER: &str =
    "a changeset's place comes after that of the one before it in its stream";
pub(super) const KNOWN_IS_TRUE: &str = "what an indexer remembers as placed has its place";
pub(super) const NOTHING_SET_ASIDE: &str = "no stream is set aside whose places are right";
pub(super) const READ_IN_ORDER: &str = "a reader gets each place once, in order, and none is left out";
pub(super) const REACHES_EVERYTHING: &str = "from every state, everything is placed and read";

pub(super) const COLLIDES: &str = "two indexers collide";
pub(super) const COMES_TWICE: &str = "a batch meets its own places";
pub(super) const ARRIVES_LATE: &str = "a request arrives after its indexer has gone on";
pub(super) const SEEN_BEFORE_COUNTER: &str = "a plain read sees a place beyond the counter";
pub(super) const LEFT_BEHIND: &str = "a predecessor was left behind, and is placed first";
pub(super) const SHOWN_BEHIND_A_GAP: &str = "the index shows what is behind a gap";
pub(super) const SEVERAL_STRIPES: &str = "a read asks several stripes";
pub(super) const ALL_READ: &str = "all is read";

impl Order {
    pub(super) fn all_properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_CHANGESET_EACH, Self::has_one_changeset_each),
            Property::always(STREAMS_IN_ORDER, Self::keeps_streams_in_order),
            Property::always(KNOWN_IS_TRUE, Self::knows_the_truth),
            Property::always(NOTHING_SET_ASIDE, |_, state: &State| {
                !state.indexers.iter().any(|it| it.has_set_aside)
            }),
            Property::sometimes(LEFT_BEHIND, |_, state: &State| state.happened == Happened::LeftBehind),
        ];
        if self.indexers_doubt || self.indexers > 1 {
            properties.push(Property::sometimes(COMES_TWICE, |_, state: &State| {
                state.happened == Happened::OwnPlaces
            }));
        }
        if self.has_progress {
            properties.push(Property::always(REACHES_EVERYTHING, Self::ends));
        }
        if self.indexers > 1 || self.late_requests > 0 {
            properties.push(Property::sometimes(COLLIDES, |_, state: &State| {
                state.happened == Happened::Collision
            }));
        }
        if self.indexers > 1 {
            properties.push(Property::sometimes(SEEN_BEFORE_COUNTER, |_, state: &State| {
                state.indexers.iter().any(|it| matches!(it.doing, Doing::Judging { is_settled: true, .. }))
            }));
        }
        if self.late_requests > 0 {
            properties.push(Property::sometimes(ARRIVES_LATE, |_, state: &State| {
                state.happened == Happened::LateArrival
            }));
        }
        if self.has_reader {
            properties.extend([
                Property::always(READ_IN_ORDER, Self::reads_in_order),
                Property::sometimes(SHOWN_BEHIND_A_GAP, |_, state: &State| {
                    let is_shown = |(place, is_shown): (&Option<Place>, &bool)| {
                        *is_shown && place.is_some_and(|place| place > state.reader.next)
                    };
                    let is_late = |(place, is_shown): (&Option<Place>, &bool)| {
                        !is_shown && *place == Some(state.reader.next)
                    };
                    let entries = || state.places.iter().zip(&state.shown);
                    entries().any(is_shown) && entries().any(is_late)
                }),
                Property::sometimes(ALL_READ, |model: &Self, state: &State| {
                    u64::from(state.reader.next) == model.total()
                }),
            ]);
            if self.has_several_stripes() {
                properties.push(Property::sometimes(SEVERAL_STRIPES, |_, state: &State| {
                    state.happened == Happened::SeveralStripes
                }));
            }
        }
        properties
    }

    pub(super) fn has_one_changeset_each(&self, state: &State) -> bool {
        let (counter, places) = self.settled(state);
        let mut found: Vec<_> = places.iter().flatten().copied().collect();
        found.sort_unstable();
        found == (0..counter).collect::<Vec<_>>()
    }

    pub(super) fn keeps_streams_in_order(&self, state: &State) -> bool {
        let (_, places) = self.settled(state);
        (0..self.total() as Number).all(|number| match (self.of(number), places[usize::from(number)]) {
            ((_, 1), _) | (_, None) => true,
            (_, Some(place)) => places[usize::from(number) - 1].is_some_and(|before| before < place),
        })
    }

    pub(super) fn knows_the_truth(&self, state: &State) -> bool {
        let (_, places) = self.settled(state);
        state.indexers.iter().all(|indexer| {
            indexer.known.iter().enumerate().all(|(stream, known)| {
                (1..=*known).all(|id| places[usize::from(self.number(stream, id))].is_some())
            })
        })
    }

    pub(super) fn reads_in_order(&self, state: &State) -> bool {
        let Reader { next, read, .. } = &state.reader;
        let is_at = |(place, number): (Place, &Number)| state.places[usize::from(*number)] == Some(place);
        read.len() == usize::from(*next) && (0..).zip(read).all(is_at)
    }
}

//! Lanes and cuts: what a cutter writes, and where a checkpoint is. Pure.
//!
//! A *lane* has the streams whose hash, modulo the number of lanes, is its number. It has a counter of its own and
//! positions from 0, without gaps. A *cut* says how long each lane is; between two cuts the global order has first
//! what lane 0 got, then what lane 1 got, and so on. A *generation* is what lies between two changes of the number
//! of lanes. Its last cut is the *closing cut*.

/// The lane of a stream.
pub fn lane_of(stream_hash: u64, lanes: usize) -> usize {
    // Less than `lanes`, which is a `usize`.
    (stream_hash % lanes as u64) as usize
}

/// Where a stretch of the log with one number of lanes begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    /// The checkpoint of its first changeset.
    pub base: u64,
    /// The number of lanes, 1 or more.
    pub lanes: usize,
}

/// What a lane's counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    /// How many places the lane has given out: the next position.
    pub length: u64,
    /// Whether it gives out no more.
    pub is_closed: bool,
}

/// What is stored at a cut. Its key is the generation and [`base`](Self::base).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cut {
    /// The checkpoint at which it begins: where the cut before it ends.
    pub base: u64,
    /// The length of each lane.
    pub ends: Vec<u64>,
    /// In the closing cut: how many lanes the next generation has.
    pub next_lanes: Option<usize>,
}

/// A place in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The number of the lane.
    pub lane: usize,
    /// The position in the lane.
    pub position: u64,
}

impl Generation {
    /// The first generation of a log.
    pub fn first(lanes: usize) -> Self {
        Self { base: 0, lanes }
    }

    /// The checkpoint at which a cut of this generation ends.
    pub fn end_of(&self, cut: &Cut) -> u64 {
        self.base + cut.ends.iter().sum::<u64>()
    }

    /// What a cutter writes that read the last cut and the counters, in whatever order and at whatever times. `None` if
    /// there is nothing to write.
    ///
    /// `next_lanes` says that the generation is to end. When all counters are closed, the cut is the closing cut.
    /// Only this one may be empty: any other would have the key that the next one needs.
    pub fn next_cut(
        &self,
        last: Option<&Cut>,
        counters: &[Counter],
        next_lanes: Option<usize>,
    ) -> Option<Cut> {
        if last.is_some_and(|last| last.next_lanes.is_some()) {
            return None;
        }
        let starts = self.starts_after(last);
        // The counters may have been read before the last cut: what was cut is never taken back.
        let ends: Vec<_> =
            counters.iter().zip(&starts).map(|(counter, start)| counter.length.max(*start)).collect();
        let base = self.base + starts.iter().sum::<u64>();
        let next_lanes = next_lanes.filter(|_| counters.iter().all(|counter| counter.is_closed));
        // One lane needs no cut: its counter is one.
        let has_news = self.lanes > 1 && ends != starts;
        (has_news || next_lanes.is_some()).then_some(Cut { base, ends, next_lanes })
    }

    /// The generation that a cut opens, if it is the closing one.
    pub fn after(&self, closing: &Cut) -> Option<Self> {
        closing.next_lanes.map(|lanes| Self { base: self.end_of(closing), lanes })
    }

    /// The only lane of a generation that has no cuts, as a cut.
    pub fn uncut(&self, counter: Counter) -> Cut {
        Cut { base: self.base, ends: vec![counter.length], next_lanes: None }
    }

    /// What lies between a cut and the one before it.
    pub fn segment(&self, before: Option<&Cut>, cut: &Cut) -> Segment {
        Segment { base: cut.base, starts: self.starts_after(before), ends: cut.ends.clone() }
    }

    fn starts_after(&self, last: Option<&Cut>) -> Vec<u64> {
        last.map_or_else(|| vec![0; self.lanes], |last| last.ends.clone())
    }
}

/// What a cut adds to the global order: a part of each lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    base: u64,
    starts: Vec<u64>,
    ends: Vec<u64>,
}

impl Segment {
    /// The place with this checkpoint, if it is in this segment.
    pub fn place(&self, checkpoint: u64) -> Option<Place> {
        let mut offset = checkpoint.checked_sub(self.base)?;
        for (lane, (start, end)) in self.starts.iter().zip(&self.ends).enumerate() {
            let length = end.saturating_sub(*start);
            if offset < length {
                return Some(Place { lane, position: start + offset });
            }
            offset -= length;
        }
        None
    }

    /// The checkpoint of a place, if it is in this segment.
    pub fn checkpoint(&self, place: Place) -> Option<u64> {
        let (start, end) = (*self.starts.get(place.lane)?, *self.ends.get(place.lane)?);
        let is_here = (start..end).contains(&place.position);
        is_here.then(|| self.base + self.length_below(place.lane) + place.position - start)
    }

    /// The next position of each lane for who has read up to this checkpoint in the global order.
    pub fn positions(&self, checkpoint: u64) -> Vec<u64> {
        let mut offset = checkpoint.saturating_sub(self.base);
        let ranges = self.starts.iter().zip(&self.ends);
        ranges
            .map(|(start, end)| {
                let read = offset.min(end - start);
                offset -= read;
                start + read
            })
            .collect()
    }

    /// The checkpoint before which everything was read, for who has read each lane up to a position.
    pub fn reached(&self, positions: &[u64]) -> u64 {
        for (lane, (position, end)) in positions.iter().zip(&self.ends).enumerate() {
            if position < end {
                let read = position.saturating_sub(self.starts[lane]);
                return self.base + self.length_below(lane) + read;
            }
        }
        self.end()
    }

    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.base + self.length_below(self.ends.len())
    }

    fn length_below(&self, lane: usize) -> u64 {
        let ranges = self.starts.iter().zip(&self.ends).take(lane);
        ranges.map(|(start, end)| end.saturating_sub(*start)).sum()
    }
}

/// All cuts that a reader knows, by generation.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    generations: Vec<(Generation, Vec<Cut>)>,
}

impl Cuts {
    /// Adds the next generation, with its cuts in their order.
    pub fn push(&mut self, generation: Generation, cuts: Vec<Cut>) {
        self.generations.push((generation, cuts));
    }

    /// The number of a checkpoint's generation, and its place there. `None` behind the last cut.
    pub fn place(&self, checkpoint: u64) -> Option<(usize, Place)> {
        let (number, segment) = self.segment_at(checkpoint)?;
        segment.place(checkpoint).map(|place| (number, place))
    }

    /// The checkpoint of a place. `None` if no cut has it yet.
    pub fn checkpoint(&self, generation: usize, place: Place) -> Option<u64> {
        let (found, cuts) = self.generations.get(generation)?;
        let at =
            cuts.partition_point(|cut| cut.ends.get(place.lane).is_none_or(|end| *end <= place.position));
        let before = at.checked_sub(1).and_then(|before| cuts.get(before));
        found.segment(before, cuts.get(at)?).checkpoint(place)
    }

    /// The end of the global order.
    pub fn head(&self) -> u64 {
        let last = self.generations.last();
        last.map_or(0, |(generation, cuts)| cuts.last().map_or(generation.base, |cut| generation.end_of(cut)))
    }

    /// The segment that has a checkpoint: one look-up of the last cut that begins there or before.
    fn segment_at(&self, checkpoint: u64) -> Option<(usize, Segment)> {
        let later = self.generations.partition_point(|(generation, _)| generation.base <= checkpoint);
        let number = later.checked_sub(1)?;
        let (generation, cuts) = self.generations.get(number)?;
        let at = cuts.partition_point(|cut| cut.base <= checkpoint).checked_sub(1)?;
        let before = at.checked_sub(1).and_then(|before| cuts.get(before));
        Some((number, generation.segment(before, cuts.get(at)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(lengths: &[u64]) -> Vec<Counter> {
        lengths.iter().map(|length| Counter { length: *length, is_closed: false }).collect()
    }

    fn closed(lengths: &[u64]) -> Vec<Counter> {
        lengths.iter().map(|length| Counter { length: *length, is_closed: true }).collect()
    }

    #[test]
    fn a_cut_begins_where_the_last_one_ended() {
        let generation = Generation { base: 100, lanes: 3 };
        let first = generation.next_cut(None, &open(&[2, 0, 1]), None).unwrap();
        assert_eq!(first, Cut { base: 100, ends: vec![2, 0, 1], next_lanes: None });
        let second = generation.next_cut(Some(&first), &open(&[2, 5, 1]), None).unwrap();
        assert_eq!(second, Cut { base: 103, ends: vec![2, 5, 1], next_lanes: None });
        assert_eq!(generation.end_of(&second), 108);
    }

    #[test]
    fn a_cut_takes_nothing_back() {
        let generation = Generation::first(2);
        let last = Cut { base: 0, ends: vec![3, 3], next_lanes: None };
        let cut = generation.next_cut(Some(&last), &open(&[1, 5]), None).unwrap();
        assert_eq!(cut.ends, [3, 5]);
        assert_eq!(generation.next_cut(Some(&last), &open(&[1, 2]), None), None);
    }

    #[test]
    fn there_is_no_empty_cut_but_the_closing_one() {
        let generation = Generation::first(2);
        assert_eq!(generation.next_cut(None, &open(&[0, 0]), None), None);
        let closing = generation.next_cut(None, &closed(&[0, 0]), Some(4)).unwrap();
        assert_eq!(closing, Cut { base: 0, ends: vec![0, 0], next_lanes: Some(4) });
        assert_eq!(generation.after(&closing), Some(Generation { base: 0, lanes: 4 }));
        assert_eq!(generation.next_cut(Some(&closing), &closed(&[0, 0]), Some(4)), None);
    }

    #[test]
    fn nothing_is_closed_while_a_lane_is_open() {
        let generation = Generation::first(2);
        let mut counters = closed(&[1, 1]);
        counters[1].is_closed = false;
        let cut = generation.next_cut(None, &counters, Some(1)).unwrap();
        assert_eq!(cut.next_lanes, None);
        assert_eq!(generation.after(&cut), None);
    }

    #[test]
    fn one_lane_has_a_closing_cut_only() {
        let generation = Generation { base: 7, lanes: 1 };
        assert_eq!(generation.next_cut(None, &open(&[9]), Some(4)), None);
        let closing = generation.next_cut(None, &closed(&[9]), Some(4)).unwrap();
        assert_eq!(generation.after(&closing), Some(Generation { base: 16, lanes: 4 }));
        let mut cuts = Cuts::default();
        cuts.push(generation, vec![generation.uncut(Counter { length: 9, is_closed: false })]);
        assert_eq!(
            cuts.place(8),
            Some((0, Place { lane: 0, position: 1 })),
            "the checkpoint is the position"
        );
        assert_eq!((cuts.place(6), cuts.place(16), cuts.head()), (None, None, 16));
    }

    #[test]
    fn who_reads_by_lane_knows_where_they_are_in_the_global_order() {
        let segment = Segment { base: 10, starts: vec![2, 0, 5], ends: vec![4, 3, 6] };
        assert_eq!(segment.positions(13), [4, 1, 5]);
        assert_eq!(segment.reached(&[4, 1, 5]), 13);
        assert_eq!(segment.reached(&[3, 3, 6]), 11, "the lowest lane holds the others up");
        assert_eq!(segment.reached(&[9, 9, 9]), segment.end());
    }

    /// Of histories with lanes that grow, are cut and resized at random.
    #[test]
    fn checkpoints_and_places_are_one_to_one() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut generation = Generation::first(random.usize(1..6));
            let (mut cuts, mut placed) = (Cuts::default(), Vec::new());
            for number in 0..random.usize(1..5) {
                let mut lengths = vec![0; generation.lanes];
                let mut made: Vec<Cut> = Vec::new();
                for _ in 0..random.usize(0..6) {
                    for length in &mut lengths {
                        *length += random.u64(0..4);
                    }
                    // Counters may be read late.
                    let seen: Vec<_> = lengths.iter().map(|it| random.u64(0..=*it)).collect();
                    made.extend(generation.next_cut(made.last(), &open(&seen), None));
                }
                let next_lanes = random.usize(1..6);
                let closing = generation.next_cut(made.last(), &closed(&lengths), Some(next_lanes)).unwrap();
                for (lane, length) in lengths.iter().enumerate() {
                    placed.extend((0..*length).map(|position| (number, Place { lane, position })));
                }
                let next = generation.after(&closing).unwrap();
                made.push(closing);
                cuts.push(generation, made);
                generation = next;
            }
            assert_eq!(cuts.head(), placed.len() as u64, "seed {seed}");
            let mut found: Vec<_> = (0..cuts.head()).map(|at| cuts.place(at).unwrap()).collect();
            for (checkpoint, (number, place)) in found.iter().enumerate() {
                assert_eq!(cuts.checkpoint(*number, *place), Some(checkpoint as u64), "seed {seed}");
            }
            for lane_order in found.windows(2).filter(|it| it[0].0 == it[1].0 && it[0].1.lane == it[1].1.lane)
            {
                assert!(lane_order[0].1.position < lane_order[1].1.position, "seed {seed}");
            }
            found.sort_unstable();
            assert_eq!(found, placed, "seed {seed}");
            assert_eq!(cuts.place(cuts.head()), None, "seed {seed}");
        }
    }

    #[test]
    fn positions_and_checkpoints_of_a_segment_agree() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let starts: Vec<_> = (0..random.usize(1..6)).map(|_| random.u64(0..9)).collect();
            let ends = starts.iter().map(|start| start + random.u64(0..5)).collect();
            let segment = Segment { base: random.u64(0..99), starts, ends };
            for checkpoint in segment.base..=segment.end() {
                assert_eq!(segment.reached(&segment.positions(checkpoint)), checkpoint, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_stream_keeps_its_lane() {
        assert!((0..1_000).all(|hash| lane_of(hash, 7) < 7 && lane_of(hash, 1) == 0));
    }
}

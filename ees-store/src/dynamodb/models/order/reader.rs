//! What a reader gets from the index, and takes.

use std::cell::RefCell;
use std::collections::HashMap;

use futures::FutureExt;

use super::changesets::FORMAT;
use super::state::{Happened, Number, Place, Reader, Reading, State};
use super::{Mutation, Order};
use crate::dynamodb::holes::Holes;
use crate::dynamodb::item::{self, Item};
use crate::dynamodb::order::{self, Answer, Ask, Part};
use crate::dynamodb::place::{self, PAGE_LENGTH, Range};
use crate::dynamodb::prefix::{Lies, Prefix};
use crate::{Checkpoint, StreamId};

impl Order {
    pub(super) fn ranges(&self, reader: &Reader, reading: &Reading) -> Vec<Range> {
        place::ranges(self.checkpoint(reader.next), self.checkpoint(reading.to), FORMAT)
    }

    /// Whether a part of the first page that has all of it is in several partitions.
    pub(super) fn has_several_stripes(&self) -> bool {
        let to = self.checkpoint(self.read_end(0, self.total() as Place));
        place::ranges(self.checkpoint(0), to, FORMAT).len() > 1
    }

    /// Where the index has the entry of a place.
    pub(super) fn partition(&self, place: Place) -> u64 {
        let mut checkpoint = self.checkpoint(place);
        if self.has(Mutation::EntryIsInAnotherStripe) {
            checkpoint = Checkpoint::new(checkpoint.get() - 1);
        }
        let attributes: HashMap<_, _> = place::attributes(checkpoint, FORMAT).collect();
        attributes[FORMAT.partition_of_order()]
    }

    /// What has come together so far; or which ranges are asked for.
    pub(super) fn assembled(&self, reader: &Reader, reading: &Reading) -> Result<Part, Vec<usize>> {
        let ranges = self.ranges(reader, reading);
        let asked = RefCell::new(Vec::new());
        let (from, to) = (self.checkpoint(reader.next), self.checkpoint(reading.to));
        let ask = if reading.first_place_first { Ask::FirstPlaceFirst } else { Ask::All };
        let part = order::assemble(from, to, ranges.clone(), ask, |range| {
            let at = ranges.iter().position(|it| *it == range).unwrap();
            let answer = reading.answers.iter().find(|(of, ..)| *of == at);
            let answer = answer.map(|(_, entries, cut_at)| {
                let entry = |(place, number): &(Place, Number)| {
                    let (stream, id) = self.of(*number);
                    (self.checkpoint(*place), item::key(Self::stream_id(stream).as_str(), id))
                };
                Answer {
                    entries: entries.iter().map(entry).collect(),
                    cut_at: cut_at.map(|place| self.checkpoint(place)),
                }
            });
            if answer.is_none() {
                asked.borrow_mut().push(at);
            }
            async {
                match answer {
                    Some(answer) => Ok(answer),
                    None => std::future::pending().await,
                }
            }
        });
        let part = part.now_or_never();
        part.map(Result::unwrap).ok_or_else(|| asked.into_inner())
    }

    pub(super) fn begin_read(&self, state: &mut State, to: Place, first_place_first: bool) {
        let reading = Reading { to, first_place_first, answers: Vec::new() };
        if self.ranges(&state.reader, &reading).len() > 1 {
            state.happened = Happened::SeveralStripes;
        }
        state.reader.reading = Some(reading);
    }

    pub(super) fn answer(&self, state: &mut State, range: usize, is_cut: bool) -> Option<()> {
        let mut reading = state.reader.reading.clone()?;
        let asked = self.ranges(&state.reader, &reading)[range];
        let shown = state.shown.iter().enumerate().filter(|(_, is_shown)| **is_shown);
        let shown = shown.filter_map(|(number, _)| Some((state.places[number]?, number as Number)));
        let (first, last) = asked.page_items;
        let is_in = |place: Place| {
            let (page, page_item) = place::page_of(self.checkpoint(place));
            page == asked.page
                && self.partition(place) == asked.partition
                && (first..=last).contains(&page_item)
        };
        let mut entries: Vec<_> = shown.filter(|(place, _)| is_in(*place)).collect();
        entries.sort_unstable();
        let mut cut_at = None;
        if is_cut {
            cut_at = Some(entries.first()?.0);
            entries.truncate(1);
        }
        reading.answers.push((range, entries, cut_at));
        reading.answers.sort_unstable();
        match self.assembled(&state.reader, &reading) {
            Err(_) => state.reader.reading = Some(reading),
            Ok(part) => {
                state.reader.reading = None;
                self.take(&mut state.reader, part, reading.to);
            }
        }
        Some(())
    }

    pub(super) fn take(&self, reader: &mut Reader, part: Part, to: Place) {
        let holes = Holes::default();
        let mut prefix = Prefix::new(self.checkpoint(reader.next), &holes);
        for (place, entry) in part.entries {
            match prefix.lies(place) {
                Lies::Before => continue,
                Lies::BehindAGap if self.has(Mutation::ReaderTakesWhatIsBehindAGap) => {
                    prefix = Prefix::new(place, &holes);
                }
                Lies::BehindAGap => break,
                Lies::Next => {}
            }
            prefix.advance();
            reader.read.push(self.number_of_item(&entry));
        }
        reader.next = (prefix.next().get() - self.begin) as Place;
        if self.has(Mutation::ReaderGoesOnAtTheEndOfItsRead) {
            reader.next = reader.next.max(to);
        }
    }

    pub(super) fn number_of_item(&self, entry: &Item) -> Number {
        let stream = StreamId::stored(item::to_text(entry, item::STREAM_ID).unwrap());
        self.number_of(&stream, item::to_number(entry, item::CHANGESET_ID).unwrap().into())
    }

    /// Where a read from here ends at the latest.
    pub(super) fn read_end(&self, from: Place, head: Place) -> Place {
        let checkpoint = self.checkpoint(from).get();
        let end_of_page = (checkpoint / PAGE_LENGTH + 1) * PAGE_LENGTH;
        head.min((end_of_page - self.begin) as Place)
    }
}

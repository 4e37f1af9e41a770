//! What is told of a row's history, within bounds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ees_store::{Json, LogEntry};
use serde_json::value::RawValue;

use crate::error::BoxError;
use crate::explanation::{LeftOut, Step, WhyLeftOut, Writer};
use crate::read_model::{Row, Table, row_json};

/// The most bytes of the first steps, and of the last ones.
const BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of an event that is returned.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// The most changesets that are listed as left out.
const LEFT_OUT_MAX: usize = 100;

/// The history of a row so far.
pub(super) struct Steps {
    first_max: usize,
    last_max: usize,
    first: Vec<Step>,
    last: VecDeque<Step>,
    first_bytes: usize,
    last_bytes: usize,
    pub(super) total: u64,
    pub(super) written_by: BTreeMap<String, Writer>,
    pub(super) without_effect: u64,
    pub(super) left_out: Vec<LeftOut>,
}

impl Steps {
    pub(super) fn new(steps_max: usize) -> Self {
        Self {
            first_max: steps_max.div_ceil(2),
            last_max: steps_max / 2,
            first: Vec::new(),
            last: VecDeque::new(),
            first_bytes: 0,
            last_bytes: 0,
            total: 0,
            written_by: BTreeMap::new(),
            without_effect: 0,
            left_out: Vec::new(),
        }
    }

    /// Adds an event that changed the row.
    pub(super) fn add(
        &mut self,
        table: &Table,
        (entry, writer, text): (&LogEntry, Writer, Option<&str>),
        (before, after): (Option<Row>, Option<Row>),
    ) -> Result<(), BoxError> {
        let changed = changed(table, before.as_ref(), after.as_ref())?;
        self.total += 1;
        if after.is_none() {
            self.written_by.clear();
        } else {
            for column in &changed {
                self.written_by.insert(column.clone(), writer.clone());
            }
            let columns = columns(table, after.as_ref())?;
            self.written_by.retain(|column, _| columns.contains_key(column));
        }
        let event = text.filter(|text| text.len() <= EVENT_BYTES_MAX).map(Json::parse).transpose()?;
        let [before, after] = [before, after].map(|row| json_of(table, row.as_ref()));
        let step = Step {
            number: self.total,
            timestamp: entry.timestamp,
            writer,
            event,
            before: before?,
            after: after?,
            changed,
        };
        self.keep(step);
        Ok(())
    }

    fn keep(&mut self, step: Step) {
        let bytes = bytes(&step);
        let is_of_first = self.total as usize == self.first.len() + 1;
        let fits = self.first_bytes + bytes <= BYTES_MAX || self.first.is_empty();
        if is_of_first && self.first.len() < self.first_max && fits {
            self.first_bytes += bytes;
            self.first.push(step);
            return;
        }
        self.last_bytes += bytes;
        self.last.push_back(step);
        while self.last.len() > self.last_max || (self.last_bytes > BYTES_MAX && self.last.len() > 1) {
            let Some(oldest) = self.last.pop_front() else { break };
            self.last_bytes -= self::bytes(&oldest);
        }
    }

    /// Returns a history of the same bounds, without anything in it.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.first_max + self.last_max)
    }

    /// Returns `true` if any event named the row.
    pub(super) fn is_about_anything(&self) -> bool {
        self.total > 0 || self.without_effect > 0 || !self.left_out.is_empty()
    }

    /// Adds a changeset that is left out.
    pub(super) fn leave_out(&mut self, entry: &LogEntry, why: WhyLeftOut) {
        if self.left_out.len() < LEFT_OUT_MAX {
            self.left_out.push(LeftOut {
                checkpoint: entry.checkpoint,
                stream_id: entry.stream_id.clone(),
                changeset_id: entry.changeset_id,
                why,
            });
        }
    }

    /// Returns the steps that are kept.
    pub(super) fn kept(&self) -> Vec<Step> {
        self.first.iter().chain(&self.last).cloned().collect()
    }
}

fn bytes(step: &Step) -> usize {
    let length = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
    256 + length(&step.event) + length(&step.before) + length(&step.after)
}

pub(in crate::worker) fn json_of(table: &Table, row: Option<&Row>) -> Result<Option<Json>, BoxError> {
    row.map(|row| Ok(Json::parse(&row_json(table, row)?)?)).transpose()
}

/// Returns the names of the columns whose values differ.
pub(in crate::worker) fn changed(
    table: &Table,
    before: Option<&Row>,
    after: Option<&Row>,
) -> Result<Vec<String>, BoxError> {
    let (before, after) = (columns(table, before)?, columns(table, after)?);
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    Ok(names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect())
}

/// Returns the columns of a row with their values as text. Those of a document are its members.
fn columns(table: &Table, row: Option<&Row>) -> Result<BTreeMap<String, String>, BoxError> {
    let Some(row) = row else { return Ok(BTreeMap::new()) };
    let text = row_json(table, row)?;
    let members: Option<BTreeMap<String, &RawValue>> = serde_json::from_str(&text).ok();
    Ok(match members {
        Some(members) => members.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect(),
        None => BTreeMap::from([("state".to_owned(), text)]),
    })
}

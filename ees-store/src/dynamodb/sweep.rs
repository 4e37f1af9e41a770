//! Finds changesets without a checkpoint: their indexer died, or their record was lost.
//!
//! No index holds them (it would cost two more writes a changeset), so the table is scanned, a megabyte a
//! call, and what has its place is left out on the server. That reads the whole table: half a read unit for
//! each 4 KB.

use std::time::Duration;

use aws_sdk_dynamodb::types::ReturnConsumedCapacity;

use super::error::failed;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID};
use super::place::{self, PAGE_LENGTH};
use super::plan::Candidate;
use super::scan::{self, AT_CHANGESET, AT_STREAM};
use super::table::{Table, names, values};
use super::table_format::TableFormat;
use crate::{Result, StreamId, Timestamp};

/// Where a sweep that was cut short goes on, for the next one.
const POSITION: &str = "!!!RESERVED:SWEEP!!!";
/// When one last came to the end of the table, in seconds since 1970.
const ENDED_AT: &str = "ended_at";

/// What a sweep did, and its cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Swept {
    /// The number of items read.
    pub items: u64,
    /// The number of changesets that had no checkpoint, and have one now.
    pub indexed: u64,
    /// The number of calls to DynamoDB.
    pub calls: u64,
    /// The read capacity units consumed.
    pub read_units: f64,
    /// Whether the sweep has reached the end of the table. If not, the next one continues there.
    pub is_done: bool,
}

/// One call's worth.
pub(super) struct Part {
    pub(super) found: Vec<Candidate>,
    /// Where to go on, unless this was the last.
    pub(super) next: Option<Item>,
    pub(super) items: u64,
    pub(super) read_units: f64,
}

/// What has its place is left out on the server. What has a part of a place, or numbers that are none, is found, so
/// that somebody hears of it; but for fractions, and a wrong stripe.
fn without_a_place(format: TableFormat) -> String {
    let absent = format.place_attributes().iter().map(|(it, _)| format!("attribute_not_exists({it})"));
    let absent = absent.collect::<Vec<_>>().join(" OR ");
    format!(
        "({absent} OR #p < :zero OR #i < :zero OR #i > :last) AND #c > :zero AND NOT begins_with(#s, :reserved)"
    )
}

/// Looks at the next part of the table. What was committed this moment may not show: it will at the next
/// time.
pub(super) async fn part(table: &Table, from: Option<Item>) -> Result<Part> {
    let mut names = place::names(table.format);
    names.insert("#c".to_owned(), CHANGESET_ID.to_owned());
    let filter = without_a_place(table.format);
    let scan = || {
        let call = table.client.scan().table_name(&*table.name).set_exclusive_start_key(from.clone());
        let call = call.filter_expression(&filter).set_expression_attribute_names(Some(names.clone()));
        let call = call.set_expression_attribute_values(values([
            (":zero", item::number(0)),
            (":last", item::number(PAGE_LENGTH - 1)),
            (":reserved", item::text(StreamId::RESERVED_PREFIX)),
        ]));
        call.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
    };
    let answer = table.call(scan).await.map_err(failed)?;
    Ok(Part {
        found: answer.items.iter().flatten().map(item::candidate).collect::<Result<_>>()?,
        next: answer.last_evaluated_key,
        items: u64::try_from(answer.scanned_count).unwrap_or(0),
        read_units: answer.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(0.0),
    })
}

/// How far sweeps have come, over all processes.
#[derive(Default)]
pub(super) struct Progress {
    /// Where the last one stopped, unless it was at the end.
    pub(super) at: Option<Item>,
    /// When the end was last reached, in seconds since 1970.
    ended_at: Option<u64>,
}

impl Progress {
    /// Whether the end was not reached for so long. An end that lies ahead is another clock's, and counts by
    /// its distance.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        self.ended_at.is_none_or(|ended_at| now().abs_diff(ended_at) >= every.as_secs())
    }
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_micros() / 1_000_000).unwrap_or(0)
}

/// How far the last sweep has come.
pub(super) async fn progress(table: &Table) -> Result<Progress> {
    let Some(found) = table.get(item::key(POSITION, 0)).await? else { return Ok(Progress::default()) };
    Ok(Progress { at: scan::position(&found), ended_at: item::to_number(&found, ENDED_AT).ok() })
}

/// Remembers where this one stopped: here, or at the end.
pub(super) async fn save_position(table: &Table, position: Option<&Item>) -> Result<()> {
    let update = table.client.update_item().table_name(&*table.name).set_key(Some(item::key(POSITION, 0)));
    let at = [("#s", AT_STREAM), ("#c", AT_CHANGESET)];
    let update = match position {
        // When the end was last reached stays what it is.
        Some(position) => update
            .update_expression("SET #s = :s, #c = :c")
            .set_expression_attribute_names(names(at))
            .set_expression_attribute_values(values([
                (":s", item::text(item::to_text(position, STREAM_ID)?)),
                (":c", item::number(item::to_number(position, CHANGESET_ID)?)),
            ])),
        None => update
            .update_expression("SET #e = :e REMOVE #s, #c")
            .set_expression_attribute_names(names([at[0], at[1], ("#e", ENDED_AT)]))
            .set_expression_attribute_values(values([(":e", item::number(now()))])),
    };
    table.call(|| update.clone().send()).await.map(drop).map_err(failed)
}

/// Between two parts of a sweep that is in no hurry.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_due_when_the_last_one_is_long_over() {
        let ended = |ended_at| Progress { at: None, ended_at };
        let hour = Duration::from_secs(3600);
        assert!(ended(None).is_due(hour));
        assert!(ended(Some(now())).is_due(Duration::ZERO));
        assert!(!ended(Some(now() - 1_800)).is_due(hour));
        assert!(ended(Some(now() - 3_600)).is_due(hour));
        assert!(!ended(Some(now() + 1_800)).is_due(hour), "a clock that is ahead");
        assert!(ended(Some(now() + 7_200)).is_due(hour), "a clock that was wrong");
    }
}

//! Reads of one stream: from the table itself, as it is at this moment.

use super::error::failed;
use super::item::{self, CHANGESET_ID, Item, LAST_EVENT_ID, STREAM_ID};
use super::place;
use super::table::{Table, names, values};
use crate::{
    ChangesetId, Checkpoint, Error, EventId, Result, StreamId, StreamPage, StreamQuery, StreamRange,
};

/// Changesets in one page of a stream, at most.
const STREAM_CHANGESETS_MAX: usize = 1_000;

/// A page of a stream.
pub(super) async fn stream(table: &Table, query: StreamQuery) -> Result<StreamPage> {
    loop {
        let mut page = StreamPage::default();
        if let Some((from, to)) = changesets_of(table, &query).await? {
            page = changesets(table, &query, from, to).await?;
        }
        if !page.changesets.is_empty() {
            return Ok(page);
        }
        if table.last_of(&query.stream_id).await?.is_none() {
            return Err(Error::StreamNotFound(query.stream_id));
        }
        if !query.range.has_the_first() {
            return Ok(page);
        }
        // It began between the two looks: no stream was ever there and empty.
    }
}

/// Where a stream's changeset stands in the global order.
pub(super) async fn locate(
    table: &Table,
    stream_id: &StreamId,
    changeset_id: ChangesetId,
) -> Result<Option<Checkpoint>> {
    let found = table.get(item::key(stream_id.as_str(), changeset_id.get())).await?;
    Ok(found.as_ref().and_then(|found| place::of(found, table.format)))
}

/// The range in changesets; nothing when it is empty whatever the stream holds.
async fn changesets_of(table: &Table, query: &StreamQuery) -> Result<Option<(u64, u64)>> {
    let max = ChangesetId::MAX.get();
    match query.range {
        range if range.is_empty() => Ok(None),
        StreamRange::Changesets { from, to } => {
            Ok(Some((from.get().max(1), to.map_or(max, ChangesetId::get))))
        }
        StreamRange::Events { from, to } => {
            let stream = query.stream_id.as_str();
            let first = async {
                if from <= EventId::new(1) { Ok(Some(1)) } else { reaching(table, stream, from).await }
            };
            // One that is not there yet is bounded by its events.
            let last = async {
                let Some(to) = to else { return Ok(max) };
                Ok(reaching(table, stream, to).await?.unwrap_or(max))
            };
            let (first, last) = futures::future::try_join(first, last).await?;
            Ok(first.map(|first| (first, last)))
        }
    }
}

/// The first changeset that ends with this event or a later one: the one that holds it, since events count
/// without gaps.
async fn reaching(table: &Table, stream: &str, event: EventId) -> Result<Option<u64>> {
    let query = || {
        let call = table.client.query().table_name(&*table.name).index_name(&*table.last_event);
        let call = call.consistent_read(true).key_condition_expression("#s = :s AND #e >= :e").limit(1);
        let call = call.projection_expression("#c");
        let call = call.set_expression_attribute_names(names([
            ("#s", STREAM_ID),
            ("#e", LAST_EVENT_ID),
            ("#c", CHANGESET_ID),
        ]));
        call.set_expression_attribute_values(values([
            (":s", item::text(stream)),
            (":e", item::number(event.get())),
        ]))
        .send()
    };
    let found = table.call(query).await.map_err(failed)?.items.unwrap_or_default();
    found.first().map(|item| item::to_number(item, CHANGESET_ID)).transpose()
}

/// Changesets until the page is full; DynamoDB cuts its answers at a megabyte.
async fn changesets(table: &Table, query: &StreamQuery, from: u64, to: u64) -> Result<StreamPage> {
    let limit = query.limit.clamp(1, STREAM_CHANGESETS_MAX);
    let mut page = StreamPage::default();
    let mut bytes = 0;
    let mut next = from;
    while next <= to {
        // One more than fits, so that the end of the page is known for one.
        let count = limit - page.changesets.len() + 1;
        let (items, is_all) = part(table, query.stream_id.as_str(), next, to, count).await?;
        let found = items.len();
        for item in &items {
            let changeset = item::to_changeset(item)?;
            if begins_after(query.range, changeset.first_event_id) {
                return Ok(page);
            }
            bytes += changeset.size_bytes();
            let full = page.changesets.len() >= limit || bytes > query.max_bytes;
            if full && !page.changesets.is_empty() {
                page.next = Some(changeset.changeset_id);
                return Ok(page);
            }
            next = changeset.changeset_id.get() + 1;
            page.changesets.push(changeset);
        }
        if is_all || found == 0 {
            break;
        }
    }
    Ok(page)
}

/// Whether a changeset that begins with this event is behind the range: the stream may have grown since the
/// range was found in it.
fn begins_after(range: StreamRange, first: EventId) -> bool {
    matches!(range, StreamRange::Events { to: Some(to), .. } if first > to)
}

/// Some changesets, oldest first, and whether they are all that there are.
async fn part(table: &Table, stream: &str, from: u64, to: u64, count: usize) -> Result<(Vec<Item>, bool)> {
    let query = || {
        let call = table.client.query().table_name(&*table.name).consistent_read(true);
        let call = call.key_condition_expression("#s = :s AND #c BETWEEN :from AND :to");
        let call = call.set_expression_attribute_names(names([("#s", STREAM_ID), ("#c", CHANGESET_ID)]));
        let call = call.set_expression_attribute_values(values([
            (":s", item::text(stream)),
            (":from", item::number(from)),
            (":to", item::number(to)),
        ]));
        call.limit(i32::try_from(count).unwrap_or(i32::MAX)).send()
    };
    let answer = table.call(query).await.map_err(failed)?;
    Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key.is_none()))
}

//! The streams of a type in the order of their last changesets: the heads of typed streams, by the index over
//! them.
//!
//! A head is written with its changeset, all or nothing, and moves to the end of its type. The index follows
//! a moment later, entry by entry: for that long, a stream that moved may be seen at neither of its places.
//! So what is read of the last moment is read twice, with a pause that is longer than the index lags, and
//! what either has seen counts.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;

use super::error::failed;
use super::item::{self, Item, STREAM_TYPE, UPDATED_AT};
use super::table::{Table, names, values};
use crate::{Error, Result, StreamId, Tail, Timestamp, TypePage, TypePosition, TypeQuery, TypedStream};

/// Longer than the index lags, and than the clocks of those who write are apart.
const SETTLING: Duration = Duration::from_millis(500);

/// A page of a type.
pub(super) async fn page(table: &Table, query: &TypeQuery) -> Result<TypePage> {
    let Some(index) = table.by_type.as_deref() else {
        let why = format!(
            "the table {:?} has no index over {STREAM_TYPE} and {UPDATED_AT}: its streams can't be listed by type; \
             `ees dynamodb check` says more",
            table.name
        );
        return Err(Error::InvalidRequest(why));
    };
    let settled = before(Timestamp::now(), SETTLING);
    let first = heads(table, index, query).await?;
    let ends_settled = first.get(query.page_length()).is_some_and(|it| it.tail.last_timestamp < settled);
    if ends_settled {
        return Ok(TypePage::cut(first, query.page_length()));
    }
    sleep(SETTLING).await;
    let settled = before(Timestamp::now(), SETTLING);
    let second = heads(table, index, query).await?;
    Ok(joined(first, second, settled, query.page_length()))
}

fn before(moment: Timestamp, time: Duration) -> Timestamp {
    Timestamp::from_micros(moment.as_micros() - i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// What either has seen, each stream where it was last. Where there is more than fits, the page ends with
/// what is settled: before a moment whose entries are all there.
fn joined(
    first: Vec<TypedStream>,
    second: Vec<TypedStream>,
    settled: Timestamp,
    page_length: usize,
) -> TypePage {
    let mut latest: HashMap<StreamId, Tail> = HashMap::new();
    for TypedStream { stream_id, tail } in first.into_iter().chain(second) {
        let known = latest.entry(stream_id).or_default();
        if tail.last_changeset > known.last_changeset {
            *known = tail;
        }
    }
    let mut streams: Vec<_> =
        latest.into_iter().map(|(stream_id, tail)| TypedStream { stream_id, tail }).collect();
    streams.sort_unstable_by_key(TypedStream::position);
    let length = match streams.len() {
        all if all <= page_length => page_length,
        _ => streams.partition_point(|it| it.tail.last_timestamp < settled).clamp(1, page_length),
    };
    TypePage::cut(streams, length)
}

/// One head more than the page may hold, if there is one; DynamoDB cuts its answers at a megabyte.
async fn heads(table: &Table, index: &str, query: &TypeQuery) -> Result<Vec<TypedStream>> {
    let wanted = query.page_length() + 1;
    let mut heads = Vec::new();
    // A key before the first moment that is asked for would be refused.
    let after = query.after.as_ref().filter(|after| after.updated_at >= query.updated_from);
    let mut after = after.map(|after| key_of(query, after));
    loop {
        let (items, next) = part(table, index, query, wanted - heads.len(), after).await?;
        for item in &items {
            heads.push(item::to_head(item)?);
        }
        after = next;
        if heads.len() >= wanted || after.is_none() {
            return Ok(heads);
        }
    }
}

/// The key of an entry in the index, whether it is still there or not.
fn key_of(query: &TypeQuery, position: &TypePosition) -> Item {
    let mut key = item::key(position.stream_id.as_str(), 0);
    key.insert(STREAM_TYPE.to_owned(), item::text(query.stream_type.as_str()));
    key.insert(UPDATED_AT.to_owned(), item::text(position.updated_at.to_string()));
    key
}

async fn part(
    table: &Table,
    index: &str,
    query: &TypeQuery,
    count: usize,
    after: Option<Item>,
) -> Result<(Vec<Item>, Option<Item>)> {
    let ask = || {
        let call = table.client.query().table_name(&*table.name).index_name(index);
        let call = call.key_condition_expression("#t = :t AND #u >= :u");
        let call = call.set_expression_attribute_names(names([("#t", STREAM_TYPE), ("#u", UPDATED_AT)]));
        let call = call.set_expression_attribute_values(values([
            (":t", item::text(query.stream_type.as_str())),
            (":u", item::text(query.updated_from.to_string())),
        ]));
        let call = call.set_exclusive_start_key(after.clone());
        call.limit(i32::try_from(count).unwrap_or(i32::MAX)).send()
    };
    let answer = table.call(ask).await.map_err(failed)?;
    Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: &str, changeset: u64, micros: i64) -> TypedStream {
        let tail = Tail {
            last_changeset: changeset.into(),
            last_event: changeset.into(),
            last_timestamp: Timestamp::from_micros(micros),
            stream_type: None,
        };
        TypedStream { stream_id: id.parse().unwrap(), tail }
    }

    fn shown(page: &TypePage) -> Vec<String> {
        page.streams.iter().map(|it| format!("{}{}", it.stream_id, it.tail.last_changeset)).collect()
    }

    #[test]
    fn a_stream_that_was_seen_at_neither_place_the_second_time_was_seen_before() {
        let first = vec![stream("a", 1, 10), stream("b", 1, 20)];
        let second = vec![stream("b", 2, 30)];
        let page = joined(first, second, Timestamp::from_micros(5), 10);
        assert_eq!((shown(&page), page.next), (vec!["a1".to_owned(), "b2".to_owned()], None));
    }

    #[test]
    fn a_page_with_more_behind_it_ends_with_what_is_settled() {
        let streams = || vec![stream("a", 1, 10), stream("b", 1, 20), stream("c", 1, 30), stream("d", 1, 40)];
        let page = |settled| joined(streams(), streams(), Timestamp::from_micros(settled), 3);
        assert_eq!(shown(&page(100)), ["a1", "b1", "c1"]);
        assert_eq!(shown(&page(25)), ["a1", "b1"]);
        assert_eq!(shown(&page(0)), ["a1"], "it gets on all the same");
        assert_eq!(page(25).next, Some(stream("b", 1, 20).position()));
    }
}

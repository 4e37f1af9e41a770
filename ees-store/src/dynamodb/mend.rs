//! Gives changesets a new place whose place in the order can't be right.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity, TransactWriteItem, Update};
use tokio::time::Instant;

use super::counter::{self, Counter};
use super::error::{failed, is_condition, refused, unbuilt};
use super::holes::Seen;
use super::identity;
use super::item::{self, CHANGESET_ID, Item, STREAM_ID};
use super::misplaced::{Misplaced, Misplacement, misplacement};
use super::options::Options;
use super::order;
use super::place;
use super::table::{Table, names, values};
use super::worker::Worker;
use crate::{ChangesetId, Checkpoint, Error, Result, StreamId};

/// What [`mend`] looks at, and whether it changes anything.
#[derive(Clone, Debug, Default)]
pub struct Mend {
    /// This stream only, instead of the whole table. Two changesets with one place are not found then.
    /// Default: the whole table.
    pub stream: Option<StreamId>,
    /// Only report what would be mended. Default: mend it.
    pub dry_run: bool,
}

/// What [`mend`] found and did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Mended {
    /// The number of changesets that were read.
    pub changesets: u64,
    /// The changesets whose place can't be right, by stream and number, and where they are now.
    pub misplaced: Vec<Misplaced>,
    /// The number of changesets that had waited for one of these, and have a checkpoint now.
    pub indexed: u64,
    /// The number of checkpoints before the counter that no changeset has, and that are not recorded as gaps:
    /// readers wait at the first of them. [`find_holes`](super::find_holes) records them. 0 if only a stream
    /// was read.
    pub missing: u64,
    /// The first of them.
    pub first_missing: Option<Checkpoint>,
    /// The read capacity units of the scan.
    pub read_units: f64,
}

/// Finds the changesets whose place in the global order can't be right, and gives each a new one, behind all
/// others. Their streams were set aside by the indexers; what waits in these streams is indexed too. Servers and
/// indexers may run: they go on with the streams within about a minute.
///
/// It reads the whole table consistently, at one read unit for 4 KB, or one stream, and reports the number of
/// changesets so far to `told`. If interrupted, call it again.
///
/// Each move is one transaction. So a changeset that readers could not see appears once, at its new place. Of
/// changesets with the same place, the one that readers get at this moment keeps it. The others get new places.
/// A reader that once got one of those at the old place gets it again, and never got the one that keeps the
/// place if it has read on since: then rebuild the read model.
///
/// # Errors
/// [`Error::InvalidRequest`] when the table can't be used for a store or holds no log yet;
/// [`Error::Overloaded`] and [`Error::Unavailable`]: retry.
///
/// # Cancellation
/// Safe.
pub async fn mend(
    config: impl Into<Config>,
    table: &str,
    mend: Mend,
    mut told: impl FnMut(u64) + Send,
) -> Result<Mended> {
    let (table, _) = Table::find(config, table, Options::default().patience).await?;
    let Some(identity) = identity::find(&table).await? else {
        return Err(Error::InvalidRequest(
            "the table holds no log; if another system has written it, adopt it with `ees dynamodb adopt`"
                .to_owned(),
        ));
    };
    let mut look = Look::new(counter::look(&table).await?);
    match &mend.stream {
        Some(stream) => look.at_stream(&table, stream, &mut told).await?,
        None => {
            look.at_all(&table, &mut told).await?;
            look.seen.mark_all(&identity::holes(&table, &identity).await?, look.ended_at);
            let missing = look.seen.holes(look.ended_at);
            look.mended.missing = missing.count();
            look.mended.first_missing = missing.ranges().first().map(|(first, _)| Checkpoint::new(*first));
        }
    }
    let mut found = look.found;
    found.extend(doubled(&table, &look.twice).await?);
    // A stream's changesets are moved in their order.
    found.sort_by(|(_, one), (_, other)| {
        (&one.stream_id, one.changeset_id).cmp(&(&other.stream_id, other.changeset_id))
    });
    let mut mended = look.mended;
    if !mend.dry_run {
        mended.indexed = move_all(&table, &mut found).await?;
    }
    mended.misplaced = found.into_iter().map(|(_, misplaced)| misplaced).collect();
    Ok(mended)
}

/// What a look through the table has found.
struct Look {
    counter: Option<Counter>,
    /// Where the order ended when it began: what is before has been given out.
    ended_at: Checkpoint,
    seen: Seen,
    /// Places that were seen more than once.
    twice: Vec<Checkpoint>,
    found: Vec<(Item, Misplaced)>,
    mended: Mended,
}

impl Look {
    fn new(counter: Counter) -> Self {
        Self {
            counter: Some(counter),
            ended_at: counter.next(),
            seen: Seen::default(),
            twice: Vec::new(),
            found: Vec::new(),
            mended: Mended::default(),
        }
    }

    async fn at_all(&mut self, table: &Table, told: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
        let mut from = None;
        loop {
            let scan = || {
                let call = table.client.scan().table_name(&*table.name).consistent_read(true);
                let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
                call.set_exclusive_start_key(from.clone()).send()
            };
            let answer = table.call(scan).await.map_err(failed)?;
            self.at_part(table, answer.items(), answer.consumed_capacity()).await?;
            told(self.mended.changesets);
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn at_stream(
        &mut self,
        table: &Table,
        stream: &StreamId,
        told: &mut (dyn FnMut(u64) + Send),
    ) -> Result<()> {
        let mut from = None;
        loop {
            let query = || {
                let call = table.client.query().table_name(&*table.name).consistent_read(true);
                let call = call.key_condition_expression("#s = :s AND #c >= :first");
                let call =
                    call.set_expression_attribute_names(names([("#s", STREAM_ID), ("#c", CHANGESET_ID)]));
                let call = call.set_expression_attribute_values(values([
                    (":s", item::text(stream.as_str())),
                    (":first", item::number(1)),
                ]));
                let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
                call.set_exclusive_start_key(from.clone()).send()
            };
            let answer = table.call(query).await.map_err(failed)?;
            self.at_part(table, answer.items(), answer.consumed_capacity()).await?;
            told(self.mended.changesets);
            from = answer.last_evaluated_key;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn at_part(
        &mut self,
        table: &Table,
        items: &[Item],
        consumed: Option<&ConsumedCapacity>,
    ) -> Result<()> {
        self.mended.read_units += consumed.and_then(|it| it.capacity_units).unwrap_or(0.0);
        for item in items {
            self.at(table, item).await?;
        }
        Ok(())
    }

    async fn at(&mut self, table: &Table, found: &Item) -> Result<()> {
        let place = place::of(found, table.format);
        if item::is_reserved(found) {
            // Another system's indexer gave it the place, and readers step over it. The counter has that of the
            // newest changeset.
            let is_counter = item::to_text(found, STREAM_ID)? == counter::STREAM_ID;
            if let Some(place) = place.filter(|place| !is_counter && *place < self.ended_at) {
                self.seen.mark(place);
            }
            return Ok(());
        }
        self.mended.changesets += 1;
        if let Some(why) = misplacement(table, &mut self.counter, found).await? {
            self.found.push((found.clone(), Misplaced::new(found, why)?));
        } else if let Some(place) = place.filter(|place| *place < self.ended_at)
            && !self.seen.mark(place)
        {
            self.twice.push(place);
        }
        Ok(())
    }
}

/// All but one of the changesets that have one of these places, if there are several.
pub(super) async fn doubled(table: &Table, places: &[Checkpoint]) -> Result<Vec<(Item, Misplaced)>> {
    let mut found = Vec::new();
    let places: HashSet<u64> = places.iter().map(|place| place.get()).collect();
    for place in places.into_iter().map(Checkpoint::new) {
        // In the order in which readers get them: they take the first, and step over the others.
        let mut keeper = None;
        for entry in order::at(table, place).await? {
            if item::is_reserved(&entry) {
                continue;
            }
            let (stream, id) = (item::to_text(&entry, STREAM_ID)?, item::to_number(&entry, CHANGESET_ID)?);
            // The index may be late.
            let Some(now) = table
                .get(item::key(stream, id))
                .await?
                .filter(|it| place::of(it, table.format) == Some(place))
            else {
                continue;
            };
            match &keeper {
                None => keeper = Some((StreamId::stored(stream), ChangesetId::new(id))),
                Some(keeper) => {
                    let why = Misplacement::Doubled { checkpoint: place, keeper: keeper.clone() };
                    found.push((now.clone(), Misplaced::new(&now, why)?));
                }
            }
        }
    }
    Ok(found)
}

/// Gives each of them a new place, after what comes before it in its stream, and indexes what waited for it.
/// How many had waited.
async fn move_all(table: &Table, found: &mut [(Item, Misplaced)]) -> Result<u64> {
    let mut indexed = 0;
    for (item, misplaced) in &mut *found {
        let Misplaced { stream_id, changeset_id, .. } = &*misplaced;
        if changeset_id.get() > 1 {
            indexed += index_up_to(table, stream_id, changeset_id.get() - 1).await?;
        }
        misplaced.moved_to = place_anew(table, item).await?;
    }
    let streams: HashSet<_> = found.iter().map(|(_, misplaced)| misplaced.stream_id.clone()).collect();
    for stream in streams {
        if let Some(last) = table.last_of(&stream).await? {
            indexed += index_up_to(table, &stream, item::to_number(&last, CHANGESET_ID)?).await?;
        }
    }
    Ok(indexed)
}

async fn index_up_to(table: &Table, stream_id: &StreamId, last: u64) -> Result<u64> {
    let last = table.get(item::key(stream_id.as_str(), last)).await?;
    let Some(last) = last.filter(|last| place::of(last, table.format).is_none()) else { return Ok(0) };
    let mut waiting = vec![item::candidate(&last)?];
    Ok(Worker::new(table.clone(), None).index(&mut waiting).await? as u64)
}

/// Moves a changeset from the place that it was read with to the end of the order. `None` when it is elsewhere
/// by now.
async fn place_anew(table: &Table, found: &Item) -> Result<Option<Checkpoint>> {
    let until = Instant::now() + table.patience;
    let (stream, id) = (item::to_text(found, STREAM_ID)?, item::to_number(found, CHANGESET_ID)?);
    loop {
        let counter = counter::look(table).await?;
        let place = counter.next();
        let moved = counter.advance(table, place.next(), (stream, id))?;
        let actions = [moved, placed_anew(table, found, place)?];
        let actions = actions.map(|update| TransactWriteItem::builder().update(update).build());
        let Err(error) = table.transact(&actions).await else { return Ok(Some(place)) };
        let Some(reasons) = refused(&error) else { return Err(failed(error)) };
        if reasons.get(1).is_some_and(is_condition) {
            // It was this call, whose answer was lost, or another one. Either way it is mended.
            let now = table.get(item::key(stream, id)).await?;
            return Ok(now.as_ref().and_then(|now| place::of(now, table.format)));
        }
        if Instant::now() > until {
            return Err(Error::Overloaded);
        }
        tokio::time::sleep(Duration::from_millis(50).mul_f64(fastrand::f64())).await;
    }
}

/// Its place, unless it has another than it was read with.
fn placed_anew(table: &Table, found: &Item, place: Checkpoint) -> Result<Update> {
    let mut given = place::given(place, table.format);
    let mut conditions = vec!["attribute_exists(#s)".to_owned()];
    for (stand_in, name) in table.format.place_attributes() {
        conditions.push(match found.get(*name) {
            Some(was) => {
                let value = stand_in.replace('#', ":was_");
                let same = format!("{stand_in} = {value}");
                given.values.insert(value, was.clone());
                same
            }
            None => format!("attribute_not_exists({stand_in})"),
        });
    }
    let key = item::key(item::to_text(found, STREAM_ID)?, item::to_number(found, CHANGESET_ID)?);
    let update = Update::builder().table_name(&*table.name).set_key(Some(key));
    let update = update.update_expression(given.expression).condition_expression(conditions.join(" AND "));
    let update = update.set_expression_attribute_names(Some(given.names));
    update.set_expression_attribute_values(Some(given.values)).build().map_err(unbuilt)
}

/// Takes the places away that can't be right, in a table that nobody has open: then they are indexed like any
/// other without one.
pub(super) async fn take_away(table: &Table, misplaced: &[(Item, Misplaced)]) -> Result<()> {
    for (found, _) in misplaced {
        let key = item::key(item::to_text(found, STREAM_ID)?, item::to_number(found, CHANGESET_ID)?);
        let update = || {
            let call = table.client.update_item().table_name(&*table.name).set_key(Some(key.clone()));
            let (expression, names) = place::taken_away(table.format);
            let call = call.update_expression(expression).condition_expression("attribute_exists(#s)");
            call.set_expression_attribute_names(Some(names)).send()
        };
        table.call(update).await.map_err(failed)?;
    }
    Ok(())
}

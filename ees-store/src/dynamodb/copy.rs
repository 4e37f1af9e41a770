//! Copies a log, item by item, into another table: for a table of an earlier form, which can't be changed.
//!
//! The item that names the log is copied last. Until then the new table is no log that anybody opens, so an
//! interrupted copy is begun anew and does no harm.

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use futures::{StreamExt, TryStreamExt};

use super::error::failed;
use super::item::Item;
use super::options::Options;
use super::table::{Table, WRITES_MAX};
use super::{counter, identity};
use crate::{Error, Result};

/// Calls that write at the same time.
const CALLS_AT_ONCE: usize = 8;

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Copied {
    /// The number of items that were copied: changesets, and what the store keeps beside them.
    pub items: u64,
    /// The read capacity units of the scan.
    pub read_units: f64,
}

/// Copies the log of one table into another one of the same account and region, which is empty: its id, all
/// changesets with their checkpoints, and idempotency keys. Readers and projections go on in the copy where they
/// were. [`create_table`](super::create_table) creates the other table.
///
/// Stop everything that commits to the log or indexes it before, and don't start it again afterwards: both tables
/// are the same log. It reads the whole table consistently, at one read unit for 4 KB, writes each item as it is
/// (1 KB with its entries: 3 or 4 write units), and reports the number of items so far to `told`. If interrupted,
/// call it again: it begins anew.
///
/// The stream of changes of the new table has a record of each item that was copied. Whoever publishes from it
/// publishes all of them again, so turn that stream on afterwards.
///
/// # Errors
/// [`Error::InvalidRequest`] when one of the tables can't be used, the first has no log, the other one has a log
/// already or lacks the index by which the log finds its keys, or changesets were indexed meanwhile: then the copy is
/// no log yet, and is to be made again. [`Error::Overloaded`] and [`Error::Unavailable`]: retry.
///
/// # Cancellation
/// Safe.
pub async fn copy(
    config: impl Into<Config>,
    from: &str,
    to: &str,
    mut told: impl FnMut(u64) + Send,
) -> Result<Copied> {
    let (config, patience) = (config.into(), Options::default().patience);
    let (from, _) = Table::find(config.clone(), from, patience).await?;
    let (to, _) = Table::find(config, to, patience).await?;
    let refused = |why: String| Err(Error::InvalidRequest(why));
    let Some(log) = from.get(identity::key()).await? else {
        return refused(format!(
            "the table {:?} holds no log; one of another system is adopted first, with `ees dynamodb adopt`",
            from.name
        ));
    };
    if to.get(identity::key()).await?.is_some() {
        return refused(format!("the table {:?} holds a log already; copy into a new table", to.name));
    }
    identity::read(&to, &log)?;
    let counter = counter::look(&from).await?;
    let copied = copy_items(&from, &to, &mut told).await?;
    if counter::look(&from).await? != counter {
        return refused(format!(
            "changesets of {:?} were indexed meanwhile; stop what commits and indexes there, and copy it again",
            from.name
        ));
    }
    to.put_all(vec![log]).await?;
    Ok(Copied { items: copied.items + 1, ..copied })
}

/// All items but the one that names the log.
async fn copy_items(from: &Table, to: &Table, told: &mut (dyn FnMut(u64) + Send)) -> Result<Copied> {
    let mut copied = Copied::default();
    let mut next = None;
    loop {
        let scan = || {
            let call = from.client.scan().table_name(&*from.name).consistent_read(true);
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            call.set_exclusive_start_key(next.clone()).send()
        };
        let answer = from.call(scan).await.map_err(failed)?;
        let is_log = |item: &Item| identity::key().iter().all(|(name, value)| item.get(name) == Some(value));
        let items: Vec<_> = answer.items.into_iter().flatten().filter(|item| !is_log(item)).collect();
        copied.items += items.len() as u64;
        copied.read_units += answer.consumed_capacity.and_then(|it| it.capacity_units).unwrap_or(0.0);
        let calls = items.chunks(WRITES_MAX).map(|items| to.put_all(items.to_vec()));
        let calls: Vec<_> = calls.collect();
        futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE).try_collect::<()>().await?;
        told(copied.items);
        next = answer.last_evaluated_key;
        if next.is_none() {
            return Ok(copied);
        }
    }
}

//! The indexer of the system that has made the table. It must not run beside ours.
//!
//! It gives a place to whatever is inserted into the table, but for the counter: to our own items too, which
//! are no changesets. So it shows itself if an item is inserted for it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::error::failed;
use super::item;
use super::place;
use super::table::Table;
use super::table_format::TableFormat;
use crate::{Error, Result};

const PROBE: &str = "!!!RESERVED:PROBE!!!";
/// A function on a table's stream is called within a second or two, and longer when it starts.
const SHOWS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Fails if an item that is inserted now gets a place in the order.
pub(super) async fn must_be_stopped(table: &Table) -> Result<()> {
    let probe = item::key(&format!("{PROBE}{}", Uuid::new_v4()), 0);
    let put = || table.client.put_item().table_name(&*table.name).set_item(Some(probe.clone())).send();
    table.call(put).await.map_err(failed)?;
    let until = Instant::now() + SHOWS_WITHIN;
    let mut place = None;
    while place.is_none() && Instant::now() < until {
        sleep(LOOK_EVERY).await;
        let found = table.get(probe.clone()).await?;
        // As that system writes places, whatever the format of this table.
        place = found.as_ref().and_then(|found| place::of(found, TableFormat::V1));
    }
    let delete = || table.client.delete_item().table_name(&*table.name).set_key(Some(probe.clone())).send();
    table.call(delete).await.map_err(failed)?;
    match place {
        None => Ok(()),
        Some(place) => Err(Error::InvalidRequest(format!(
            "the indexer of the other system still runs: it gave checkpoint {place} to an item that is no \
             changeset. Disable the event source mappings of its functions (keep its stack: deleting it deletes \
             the table), and try again"
        ))),
    }
}

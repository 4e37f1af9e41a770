//! Finds projections that declare [`Order::Stream`](crate::Order::Stream) and write what depends on other
//! streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use ees_store::{ChangesetId, ChangesetLog, Checkpoint, LogHead, LogPage, LogQuery, Result, StreamId};

use super::given::{Given, fail, sqlite_database};
use super::snapshot::{Tables, tables};
use crate::{Projection, sqlite};

impl Given {
    /// Checks that the rows of all streams are those of some streams and those of the others, put together.
    /// Each two streams of the history are apart from each other in one of the runs.
    pub(super) async fn check_order_of_streams<P: Projection<sqlite::Tx>>(
        &self,
        log: &Arc<dyn ChangesetLog>,
        projection: &impl Fn() -> P,
        whole: &Tables,
    ) {
        let streams = self.streams();
        let made_at_once = self.tables_of(log, projection, BTreeSet::new()).await;
        for bit in 0..streams.len().next_power_of_two().trailing_zeros() {
            let half = |wanted: usize| {
                let numbered = streams.iter().enumerate();
                numbered
                    .filter(|(n, _)| n >> bit & 1 == wanted)
                    .map(|(_, stream)| (*stream).to_owned())
                    .collect()
            };
            let one = self.tables_of(log, projection, half(0)).await;
            let other = self.tables_of(log, projection, half(1)).await;
            for (table, rows) in whole {
                let of = |tables: &Tables| tables.get(table).cloned().unwrap_or_default();
                let together = [of(&one), of(&other)].concat();
                let mut together = counts(&together);
                // What `create_tables` inserts is there in both halves.
                for row in made_at_once.get(table).into_iter().flatten() {
                    together.entry(row).and_modify(|n| *n -= 1);
                }
                together.retain(|_, n| *n > 0);
                let rows = counts(rows);
                if rows != together {
                    fail(&different(table, &rows, &together));
                }
            }
        }
    }

    async fn tables_of<P: Projection<sqlite::Tx>>(
        &self,
        log: &Arc<dyn ChangesetLog>,
        projection: &impl Fn() -> P,
        streams: BTreeSet<String>,
    ) -> Tables {
        let (_folder, database) = sqlite_database();
        let some = Arc::new(SomeStreams { log: log.clone(), streams });
        // Half of the streams may have no event that the projection knows.
        let given = self.clone().allowing_foreign_events_only();
        Box::pin(given.run(some, projection(), database.clone())).await;
        match database.read(tables).await {
            Ok(tables) => tables,
            Err(error) => fail(&format!("the tables can't be read: {error}")),
        }
    }
}

type Counts<'a> = BTreeMap<&'a str, usize>;

fn counts(rows: &[String]) -> Counts<'_> {
    let mut counts = Counts::new();
    for row in rows {
        *counts.entry(row).or_default() += 1;
    }
    counts
}

fn different(table: &str, whole: &Counts<'_>, together: &Counts<'_>) -> String {
    let without = |rows: &Counts<'_>, other: &Counts<'_>| -> Vec<String> {
        let only = rows.iter().filter(|(row, n)| other.get(*row) != Some(n));
        only.map(|(row, _)| (*row).to_owned()).take(5).collect()
    };
    format!(
        "the projection declares Order::Stream, but what it writes into \"{table}\" for one stream depends on other \
         streams. Only when it runs all streams: {:?}. Only when it runs some streams, and the others apart: {:?}. \
         Declare Order::Log, or use keys that belong to one stream",
        without(whole, together),
        without(together, whole)
    )
}

/// A log of some of its streams.
struct SomeStreams {
    log: Arc<dyn ChangesetLog>,
    streams: BTreeSet<String>,
}

#[async_trait]
impl ChangesetLog for SomeStreams {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let mut page = self.log.read(query).await?;
        page.changesets.retain(|entry| self.streams.contains(entry.stream_id.as_str()));
        Ok(page)
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.log.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.log.head().await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testkit::{Given, given};
    use crate::{Fold, Order, Recorded};

    /// Counts what each owner has. Whoever has several streams has a row that belongs to several streams.
    struct Owned(Order);

    impl Fold for Owned {
        type Event = Value;
        type Key = String;
        type State = u64;
        fn name(&self) -> &str {
            "owned"
        }
        fn order(&self) -> Order {
            self.0
        }
        fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
            event.event["owner"].as_str().map(str::to_owned)
        }
        fn fold(&self, row: Option<u64>, _: Recorded<'_, Value>) -> Option<u64> {
            Some(row.unwrap_or(0) + 1)
        }
    }

    fn accounts(owner_of_the_last: &str) -> Given {
        let owners = ["ada", "bob", "cy", "dan", owner_of_the_last];
        let streams = ["account/1", "account/2", "account/3", "account/4", "account/5"];
        given((0..15).map(|n| (streams[n % 5], json!({ "owner": owners[n % 5] }))))
    }

    #[tokio::test]
    #[should_panic(expected = "declares Order::Stream, but what it writes into \"owned\"")]
    async fn a_fold_that_reads_across_streams_and_declares_the_order_of_streams_is_found_out() {
        accounts("bob").check_fold(|| Owned(Order::Stream)).await;
    }

    #[tokio::test]
    async fn a_fold_that_says_what_it_needs_passes() {
        accounts("bob").check_fold(|| Owned(Order::Log)).await;
        accounts("eve").check_fold(|| Owned(Order::Stream)).await;
    }
}

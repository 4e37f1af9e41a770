//! Read models in a DynamoDB table. There is no server to run; meant above all for projections in Lambda
//! functions.
//!
//! - [`Database`] is one table, created by [`create_table`]. Any number of projections and hosts share it.
//! - [`Tx`] is a transaction on it. A [`Projection`](crate::Projection) stages its writes there.
//! - The modules: `state` keeps the projections' rows, `parked` the parked streams, `audit` the audit,
//!   `lease` the leases of those who share a rebuild, `effects` the ledgers of reactors, `rows` the tables of folds;
//!   `dropped` deletes the rows of dropped tables; `compare` compares two read models; `item` has the attributes, and
//!   `row_key` says where the rows are.

mod audit;
mod client;
mod compare;
mod dropped;
mod effects;
mod error;
mod item;
mod lease;
mod parked;
mod row_key;
mod rows;
mod schema;
mod state;
mod timers;
mod tx;
mod unprocessed;

use std::error::Error as StdError;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Get, TransactGetItem};
use backon::Retryable;
use ees_store::Checkpoint;

use crate::database::{self, MovingComparison};
use crate::error::BoxError;
use crate::read_model::{Table, from_row};
use crate::read_model_id::ReadModelId;

/// The AWS SDK for DynamoDB, as [`Item`]s, [`Database::client`] and [`Tx::write`] use it.
pub use aws_sdk_dynamodb;
pub use error::Error;
pub use item::{Item, KEY, PARTITION};
pub use schema::create_table;
pub use tx::Tx;

use item::to_text;

/// The most items that a transaction changes, the projection's row among them. DynamoDB's limit.
pub const ACTIONS_MAX: usize = 100;
/// The most bytes that a transaction writes: DynamoDB's 4 MB, less a reserve for what it counts besides the
/// items.
const BYTES_MAX: usize = 4_000_000 - 100 * 256;
/// The most workers that can share a rebuild by segments of the log. The transactions that begin and end the rebuild
/// change the row of each, and they are limited.
pub const SEGMENT_WORKERS_MAX: u32 = 64;
/// How often a read is tried that rebuilds interrupt.
const READS_MAX: usize = 5;

/// A DynamoDB table of read models. Clones share the connections.
///
/// # Guarantees
/// The rows of a batch and the projection's position change in one transaction. So each changeset is applied
/// once, whichever and however many hosts run the projection. When two hosts run the same step, one of them loses it
/// and changes nothing. Only the workers that share a rebuild by segments have leases.
///
/// # Limits
/// A transaction changes at most [100 items](ACTIONS_MAX) and 4 MB. A larger batch is split into smaller
/// portions, and their size is remembered. A single changeset that is too large pauses the projection, with
/// an error that says so. A row has at most 400 KB, a key 1 to 1,024 bytes. A fold reads the rows that it
/// changes, and each read costs.
///
/// The rows of a table share a partition. It takes some hundred writes a second, until DynamoDB splits it by
/// itself.
///
/// While a read model is rebuilt in place, readers see it grow from empty. Side by side, they find the old one or
/// the new one. The old rows are deleted afterwards.
///
/// # Reading
/// [`document`](Self::document) returns a row of a fold. For your own queries: [`partition`](Self::partition)
/// returns the value of [`PARTITION`] that a table's rows have at this moment, [`KEY`] is the key of a row,
/// and the other attributes are its columns. A fold without columns has one, `state`, as JSON text.
///
/// ```no_run
/// use ees_projector::dynamodb::{Database, create_table};
///
/// # async fn example(client: ees_projector::dynamodb::aws_sdk_dynamodb::Client) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// create_table(&client, "read-models").await?;
/// let database = Database::new(client, "read-models");
/// let (balance, checkpoint) = database.document::<serde_json::Value>("balances", "account/42").await?;
/// println!("{balance:?} as of {checkpoint}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Database {
    client: Client,
    table: Arc<str>,
    /// The id of this process in the ledgers of reactors and in leases.
    worker: Arc<str>,
    leases: Arc<lease::Leases>,
}

impl Database {
    /// The read models in this table. Makes no call yet.
    ///
    /// Leave the client's retries on, as they are by default. An attempt of a call may take 5 s, unless the
    /// client has an attempt timeout of its own.
    pub fn new(client: Client, table: &str) -> Self {
        Self {
            client: client::bounded(client),
            table: table.into(),
            worker: uuid::Uuid::new_v4().to_string().into(),
            leases: Arc::default(),
        }
    }

    /// The client, for your own queries.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The partition that holds a table's rows at this moment. A rebuild moves them to another one, and a swap
    /// exchanges it, so ask again before each query.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn partition(&self, table: &str) -> Result<String, Error> {
        rows::partition(table, self.get(rows::GENERATIONS, table).await?.as_ref())
    }

    /// A row of a fold without columns, and the checkpoint that the projection reads next, both from the same
    /// moment. The checkpoint is [`Checkpoint::START`] when the projection was never started in this table.
    ///
    /// # Errors
    /// An [`Error`], or the error of decoding the state. Also when the projection was rebuilt during each of
    /// 5 reads.
    pub async fn document<S: serde::de::DeserializeOwned>(
        &self,
        projection: &str,
        key: &str,
    ) -> Result<(Option<S>, Checkpoint), BoxError> {
        for _ in 0..READS_MAX {
            let partition = self.partition(projection).await?;
            let home = row_key::home(projection);
            let keys = [(&*home, row_key::STATE), (rows::GENERATIONS, projection), (&*partition, key)];
            let found = (|| self.get_together(keys)).retry(unprocessed::pauses()).when(Error::passes).await?;
            let [state, place, row] = found;
            if rows::partition(projection, place.as_ref())? != partition {
                continue;
            }
            let checkpoint = state.as_ref().map(state::checkpoint).transpose()?.unwrap_or_default();
            let state = row.as_ref().map(|row| to_text(row, "state")).transpose()?;
            return Ok((state.map(serde_json::from_str).transpose()?, checkpoint));
        }
        Err(rebuilt_again_and_again(projection))
    }

    /// Rows of a fold with columns whose keys begin with `prefix`, in the order of the keys' bytes, from the one
    /// after `after` on; and the checkpoint that the projection reads next, or one before it. `None` when the
    /// projection was never started in this table, or its rows are of another version than `version`.
    ///
    /// # Errors
    /// An [`Error`], or the error of decoding a row. Also when the projection was rebuilt during each of 5 reads.
    pub async fn rows<S: serde::de::DeserializeOwned>(
        &self,
        projection: &str,
        version: u32,
        table: &Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<(Vec<(String, S)>, Checkpoint)>, BoxError> {
        for _ in 0..READS_MAX {
            let partition = self.partition(&table.name).await?;
            let state = self.get(&row_key::home(projection), row_key::STATE).await?;
            let Some(state) = state else { return Ok(None) };
            if state::version(&state)? != version {
                return Ok(None);
            }
            let found = self.query_after(&partition, prefix, after, limit).await?;
            if self.partition(&table.name).await? != partition {
                continue;
            }
            let checkpoint = state::checkpoint(&state)?;
            let rows = found.iter().map(|item| {
                let key = to_text(item, KEY)?.to_owned();
                Ok::<_, BoxError>((key, from_row(table, &item::to_row(table, item)?)?))
            });
            return Ok(Some((rows.collect::<Result<_, _>>()?, checkpoint)));
        }
        Err(rebuilt_again_and_again(projection))
    }

    /// Items of a partition whose keys begin with `begin`, ascending, after the one with the key `after`.
    async fn query_after(
        &self,
        partition: &str,
        begin: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Item>, Error> {
        // A place outside of the range is refused by DynamoDB.
        let from = match after {
            Some(after) if after.starts_with(begin) => Some(item::key(partition, after)),
            Some(after) if after > begin => return Ok(Vec::new()),
            _ => None,
        };
        self.query_from(partition, (begin, None), limit, true, from).await
    }

    /// Reads one item, consistently.
    async fn get(&self, partition: &str, key: &str) -> Result<Option<Item>, Error> {
        let call = self.client.get_item().table_name(&*self.table).set_key(Some(item::key(partition, key)));
        Ok(Box::pin(call.consistent_read(true).send()).await.map_err(Error::of)?.item)
    }

    /// Reads several items as of the same moment.
    async fn get_together<const N: usize>(
        &self,
        keys: [(&str, &str); N],
    ) -> Result<[Option<Item>; N], Error> {
        let mut found = self.get_all_together(&keys).await?.into_iter();
        Ok(std::array::from_fn(|_| found.next().flatten()))
    }

    /// The same, for at most 100 items, in the order of the keys.
    async fn get_all_together(&self, keys: &[(&str, &str)]) -> Result<Vec<Option<Item>>, Error> {
        let mut call = self.client.transact_get_items();
        for (partition, key) in keys {
            let get = Get::builder().table_name(&*self.table).set_key(Some(item::key(partition, key)));
            let get = get.build().map_err(|e| Error::damaged(&e.to_string()))?;
            call = call.transact_items(TransactGetItem::builder().get(get).build());
        }
        let found = Box::pin(call.send()).await.map_err(error::unread)?.responses.unwrap_or_default();
        Ok(found.into_iter().map(|answer| answer.item.filter(|it| !it.is_empty())).collect())
    }

    /// Items of a partition whose keys begin with `begin` and are not beyond `until`, ascending or descending
    /// by key.
    async fn query(
        &self,
        partition: &str,
        begin: &str,
        until: Option<&str>,
        limit: usize,
        ascending: bool,
    ) -> Result<Vec<Item>, Error> {
        self.query_from(partition, (begin, until), limit, ascending, None).await
    }

    /// The same, from the item after one with this key on.
    async fn query_from(
        &self,
        partition: &str,
        (begin, until): (&str, Option<&str>),
        limit: usize,
        ascending: bool,
        mut from: Option<Item>,
    ) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        while items.len() < limit {
            let left = i32::try_from(limit - items.len()).unwrap_or(i32::MAX);
            let (page, next) = self.page(partition, (begin, until), Some(left), ascending, from).await?;
            items.extend(page);
            from = next;
            if from.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// One page of a query, of at most 1 MB, and the key after which the next page begins.
    async fn page(
        &self,
        partition: &str,
        (begin, until): (&str, Option<&str>),
        limit: Option<i32>,
        ascending: bool,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), Error> {
        let mut call = self.client.query().table_name(&*self.table).consistent_read(true);
        call = call.expression_attribute_names("#p", PARTITION);
        call = call.expression_attribute_values(":p", item::text(partition));
        if !begin.is_empty() {
            call = call.expression_attribute_names("#k", KEY);
            call = call.expression_attribute_values(":k", item::text(begin));
        }
        if let Some(until) = until {
            call = call.expression_attribute_values(":u", item::text(until));
        }
        let call = call.key_condition_expression(match (begin, until) {
            ("", _) => "#p = :p",
            (_, None) => "#p = :p AND begins_with(#k, :k)",
            (_, Some(_)) => "#p = :p AND #k BETWEEN :k AND :u",
        });
        let call = call.scan_index_forward(ascending).set_limit(limit).set_exclusive_start_key(from);
        let answer = Box::pin(call.send()).await.map_err(Error::of)?;
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }
}

fn rebuilt_again_and_again(projection: &str) -> BoxError {
    format!("\"{projection}\" was rebuilt during each of {READS_MAX} reads; try again").into()
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Ok(Tx::new(self.clone(), None))
    }

    async fn begin_in(&self, model: &ReadModelId) -> Result<Tx, BoxError> {
        Ok(Tx::new(self.clone(), Some(model.clone())))
    }

    async fn begin_swap(&self) -> Result<Tx, BoxError> {
        let mut tx = Tx::new(self.clone(), None);
        tx.fences_off = true;
        Ok(tx)
    }

    const SIDE_BY_SIDE: bool = true;

    const SEGMENT_WORKERS_MAX: u32 = SEGMENT_WORKERS_MAX;

    fn comparison(&self, live: &ReadModelId, other: &ReadModelId) -> Option<Box<dyn MovingComparison>> {
        Some(Box::new(compare::Comparing::new(self.clone(), live.clone(), other.clone())))
    }

    fn is_transient(error: &(dyn StdError + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<Error>() {
                return error.passes();
            }
            cause = error.source();
        }
        false
    }
}

//! Read models in a DynamoDB table: nothing to run, for projections in Lambda functions above all.
//!
//! - [`Database`] is a table, made by [`create_table`]; any number of projections share it, and any number of hosts.
//! - [`Tx`] is its transaction, on which a [`Projection`](crate::Projection) stages its writes.
//! - `state` keeps the projections' rows; `parked` what is parked; `audit` what operators did; `effects` the ledgers of
//!   reactors; `rows` the tables of folds; `dropped` removes what nobody reads any more; `item` says what an item holds.

mod audit;
mod client;
mod dropped;
mod effects;
mod error;
mod item;
mod parked;
mod rows;
mod schema;
mod state;
mod tx;
mod unprocessed;

use std::error::Error as StdError;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Get, TransactGetItem};
use backon::Retryable;
use ees_store::Checkpoint;

use crate::database;
use crate::error::BoxError;

/// The driver, for [`Item`]s, [`Database::client`] and [`Tx::write`].
pub use aws_sdk_dynamodb;
pub use error::Error;
pub use item::{Item, KEY, PARTITION};
pub use schema::create_table;
pub use tx::Tx;

use item::to_text;

/// The most items that a transaction changes, the projection's own row among them. DynamoDB's limit.
pub const ACTIONS_MAX: usize = 100;
/// The most bytes that a transaction writes: DynamoDB's 4 MB, and something for what it counts besides.
const BYTES_MAX: usize = 4_000_000 - 100 * 256;
/// Tries of a read that is overtaken by a rebuild.
const READS_MAX: usize = 5;

/// A table of read models. Clones share the connections.
///
/// # Guarantees
/// A batch's rows and the projection's position change in one transaction: each changeset is applied once, whichever host is at
/// work, and however many. There is no lease: of two hosts that work at the same moment one loses its step and changes nothing.
///
/// # Limits
/// A transaction changes at most [100 items](ACTIONS_MAX) and 4 MB. A batch that would change more is cut into smaller portions,
/// whose size is remembered; a single changeset that would pauses the projection, which says so. A row has at most 400 KB, a
/// key 1 to 1,024 bytes. A fold reads the rows it changes, and pays for each.
///
/// The rows of a table share a partition: some hundred rows a second are written to one, until DynamoDB splits it by itself.
///
/// A rebuild happens in place: readers see it grow. Rows that were dropped are removed afterwards.
///
/// # Reading
/// [`document`](Self::document) gives a row of a fold. For queries of your own, [`partition`](Self::partition) is the value of
/// [`PARTITION`] that a table's rows have at this moment, [`KEY`] is the row's key, and the other attributes are the columns
/// (`state`, as JSON text, of a fold without).
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
    /// Who this process is, as far as reactors are concerned.
    worker: Arc<str>,
}

impl Database {
    /// The read models in this table. Nothing is read yet.
    ///
    /// The client's own retries should be on, as they are unless switched off. An attempt of a call has 5 s, unless the client
    /// says otherwise.
    pub fn new(client: Client, table: &str) -> Self {
        Self {
            client: client::bounded(client),
            table: table.into(),
            worker: uuid::Uuid::new_v4().to_string().into(),
        }
    }

    /// The client, for queries of your own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The partition that holds a table's rows at this moment; a rebuild moves them to another.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn partition(&self, table: &str) -> Result<String, Error> {
        rows::partition(table, self.get(rows::GENERATIONS, table).await?.as_ref())
    }

    /// A row of a fold that has no columns, and the checkpoint up to which it holds (the next one to be read), both of one
    /// moment. [`Checkpoint::START`] when the projection was never started here.
    ///
    /// # Errors
    /// [`Error`], or what is in the way of reading the state.
    pub async fn document<S: serde::de::DeserializeOwned>(
        &self,
        projection: &str,
        key: &str,
    ) -> Result<(Option<S>, Checkpoint), BoxError> {
        for _ in 0..READS_MAX {
            let partition = self.partition(projection).await?;
            let home = state::home(projection);
            let keys = [(&*home, state::CONTROL), (rows::GENERATIONS, projection), (&*partition, key)];
            let found = (|| self.get_together(keys)).retry(unprocessed::pauses()).when(Error::passes).await?;
            let [state, generation, row] = found;
            if rows::partition(projection, generation.as_ref())? != partition {
                continue;
            }
            let checkpoint = state.as_ref().map(state::checkpoint).transpose()?.unwrap_or_default();
            let state = row.as_ref().map(|row| to_text(row, "state")).transpose()?;
            return Ok((state.map(serde_json::from_str).transpose()?, checkpoint));
        }
        Err(format!("\"{projection}\" is rebuilt again and again").into())
    }

    /// An item as it is at this moment.
    async fn get(&self, partition: &str, key: &str) -> Result<Option<Item>, Error> {
        let call = self.client.get_item().table_name(&*self.table).set_key(Some(item::key(partition, key)));
        Ok(Box::pin(call.consistent_read(true).send()).await.map_err(Error::of)?.item)
    }

    /// Several items as they are at one moment.
    async fn get_together<const N: usize>(
        &self,
        keys: [(&str, &str); N],
    ) -> Result<[Option<Item>; N], Error> {
        let mut call = self.client.transact_get_items();
        for (partition, key) in keys {
            let get = Get::builder().table_name(&*self.table).set_key(Some(item::key(partition, key)));
            let get = get.build().map_err(|e| Error::damaged(&e.to_string()))?;
            call = call.transact_items(TransactGetItem::builder().get(get).build());
        }
        let mut found =
            Box::pin(call.send()).await.map_err(error::unread)?.responses.unwrap_or_default().into_iter();
        Ok(std::array::from_fn(|_| found.next().and_then(|answer| answer.item).filter(|it| !it.is_empty())))
    }

    /// Items of a partition whose keys begin so, and lie before `until`, in the order of their keys or from the last one on.
    async fn query(
        &self,
        partition: &str,
        begin: &str,
        until: Option<&str>,
        limit: usize,
        ascending: bool,
    ) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        let mut from = None;
        while items.len() < limit {
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
            let left = i32::try_from(limit - items.len()).unwrap_or(i32::MAX);
            let call = call.scan_index_forward(ascending).limit(left).set_exclusive_start_key(from);
            let answer = Box::pin(call.send()).await.map_err(Error::of)?;
            items.extend(answer.items.unwrap_or_default());
            from = answer.last_evaluated_key;
            if from.is_none() {
                break;
            }
        }
        Ok(items)
    }
}

impl database::Database for Database {
    type Tx = Tx;

    async fn begin(&self) -> Result<Tx, BoxError> {
        Ok(Tx::new(self.clone()))
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

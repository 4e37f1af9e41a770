//! The tables of a projection, and where their rows are.
//!
//! A transaction can't delete more than 100 items. So a table's rows are in a partition with a name that is used
//! once. To drop the table is to give it another partition, and to note the old one for the sweep. And two read
//! models are swapped by exchanging the names of their partitions.
//!
//! The partitions of live tables are listed under the tables' names, where readers find them, together with the
//! projection that made the table. Those of a standby and of a scratch read model are listed beside its row.

use futures::future::try_join_all;
use uuid::Uuid;

use super::Tx;
use super::item::{self, Item, KEY, item_of, of_row, text, to_number, to_row, to_text};
use super::row_key::home;
use crate::database::{FoldRows, TooLarge};
use crate::error::BoxError;
use crate::read_model::{Change, Row, RowError, Table};
use crate::read_model_id::{ReadModelId, Slot};

/// The partition with the place of each table whose place is recorded.
pub(super) const GENERATIONS: &str = "!!generations";
/// The partition that lists the partitions of dropped tables.
pub(super) const DROPPED: &str = "!!dropped";
/// The number of a partition, as it was recorded before partitions had names.
const GENERATION: &str = "generation";
/// The name of a partition.
const PLACE: &str = "partition";
/// The projection that made a live table.
const PROJECTION: &str = "projection";
/// The prefix of the keys beside a read model's row that list its tables.
const OWN: &str = "table/";

/// The most bytes of a sort key in DynamoDB.
const KEY_BYTES_MAX: usize = 1_024;
/// The most rows that one transaction loads. More than it may change, since some rows stay unchanged.
const LOADED_MAX: usize = 1_000;

/// The partition of a table, from the item with its place.
pub(super) fn partition(table: &str, place: Option<&Item>) -> Result<String, super::Error> {
    match place {
        Some(place) if place.contains_key(PLACE) => Ok(to_text(place, PLACE)?.to_owned()),
        Some(place) => Ok(format!("{table}@{}", to_number::<u64>(place, GENERATION)?)),
        None => Ok(format!("{table}@0")),
    }
}

/// The item with a new place for a table, which is empty.
fn new_place(table: &str) -> Item {
    at_place(&format!("{table}@{}", Uuid::new_v4().simple()))
}

fn at_place(partition: &str) -> Item {
    item_of([(PLACE, text(partition))])
}

fn of_projection(mut place: Item, projection: &str) -> Item {
    place.insert(PROJECTION.to_owned(), text(projection));
    place
}

fn key_of(table: &str) -> String {
    format!("{OWN}{table}")
}

fn is_beside(model: &ReadModelId) -> bool {
    model.slot() != Slot::Live
}

/// The tables of a read model, each with its partition.
pub(super) type Tables = Vec<(String, String)>;

impl super::Database {
    /// The tables of a read model, in the order of their names.
    pub(super) async fn tables(&self, model: &ReadModelId) -> Result<Tables, super::Error> {
        let found = self.query(&home(model.name()), OWN, None, usize::MAX, true).await?;
        let tables = found.iter().map(|own| async move {
            let table = to_text(own, KEY)?.strip_prefix(OWN).unwrap_or_default();
            let partition = match is_beside(model) {
                true => partition(table, Some(own))?,
                false => self.partition(table).await?,
            };
            Ok((table.to_owned(), partition))
        });
        try_join_all(tables).await
    }
}

impl Tx {
    /// The partition of a table's rows in the read model that the transaction is on. If another transaction drops
    /// the table in the meantime, this one can't commit.
    async fn partition_of(&mut self, table: &str) -> Result<String, BoxError> {
        match self.model.clone() {
            Some(model) => self.partition_in(&model, table).await,
            None => self.live_partition(table).await,
        }
    }

    /// The partition of a table's rows in a read model.
    async fn partition_in(&mut self, model: &ReadModelId, table: &str) -> Result<String, BoxError> {
        match is_beside(model) {
            true => self.partition_beside(model, table).await,
            false => self.live_partition(table).await,
        }
    }

    async fn live_partition(&mut self, table: &str) -> Result<String, BoxError> {
        Ok(partition(table, self.get_place(GENERATIONS, table).await?.as_ref())?)
    }

    /// The partition that is recorded under this name for all read models.
    pub(super) async fn place(&self, name: &str) -> Result<String, BoxError> {
        Ok(partition(name, self.get(GENERATIONS, name).await?.as_ref())?)
    }

    /// The partition of a table of a read model that is not live. The first use of a table makes it.
    async fn partition_beside(&mut self, model: &ReadModelId, table: &str) -> Result<String, BoxError> {
        let (home, key) = (home(model.name()), key_of(table));
        if let Some(known) = self.get_place(&home, &key).await? {
            return Ok(partition(table, Some(&known))?);
        }
        if let Some(live) = self.get(GENERATIONS, table).await?
            && live.contains_key(PROJECTION)
            && let owner = to_text(&live, PROJECTION)?
            && owner != model.projection()
        {
            return Err(format!(
                "the table \"{table}\" belongs to the projection \"{owner}\", and a read model that is built beside \
                 the live one has tables of its own only: rebuild in place"
            )
            .into());
        }
        let place = new_place(table);
        let partition = partition(table, Some(&place))?;
        self.stage(&home, &key, Some(place))?;
        Ok(partition)
    }

    /// As [`partition_of`](Self::partition_of), for a table that is written. Records whose table it is.
    async fn own_partition(&mut self, table: &str) -> Result<String, BoxError> {
        let Some(model) = self.model.clone().filter(|model| !is_beside(model)) else {
            return self.partition_of(table).await;
        };
        let place = self.get_place(GENERATIONS, table).await?;
        let partition = partition(table, place.as_ref())?;
        if !place.is_some_and(|place| place.contains_key(PROJECTION)) {
            self.record_live(&model, table, at_place(&partition))?;
        }
        Ok(partition)
    }

    fn record_live(&mut self, model: &ReadModelId, table: &str, place: Item) -> Result<(), BoxError> {
        self.stage(GENERATIONS, table, Some(of_projection(place, model.projection())))?;
        self.stage(&home(model.name()), &key_of(table), Some(Item::new()))
    }

    /// Gives a table an empty partition, and notes the old one for the sweep.
    async fn clear_table(&mut self, table: &str) -> Result<(), BoxError> {
        let old = self.partition_of(table).await?;
        self.drop_partition(&old)?;
        let place = new_place(table);
        match self.model.clone() {
            Some(model) if is_beside(&model) => self.stage(&home(model.name()), &key_of(table), Some(place)),
            Some(model) => self.record_live(&model, table, place),
            None => self.stage(GENERATIONS, table, Some(place)),
        }
    }

    /// The same, for what is recorded under a name for all read models.
    pub(super) async fn clear_place(&mut self, name: &str) -> Result<(), BoxError> {
        let old = self.place(name).await?;
        self.drop_partition(&old)?;
        self.stage(GENERATIONS, name, Some(new_place(name)))
    }

    fn drop_partition(&mut self, partition: &str) -> Result<(), BoxError> {
        self.stage(DROPPED, partition, Some(Item::new()))
    }

    /// Records a partition under a name for all read models.
    pub(super) fn record_place(&mut self, name: &str, partition: &str) -> Result<(), BoxError> {
        self.stage(GENERATIONS, name, Some(at_place(partition)))
    }

    /// Exchanges the tables of the live read model and its standby. A table that only one of them has goes over
    /// to the other.
    pub(super) async fn exchange_tables(
        &mut self,
        (live, mut of_live): (&ReadModelId, Tables),
        (standby, of_standby): (&ReadModelId, Tables),
    ) -> Result<(), BoxError> {
        for (table, _) in &of_standby {
            if !of_live.iter().any(|(it, _)| it == table) {
                // An earlier program did not record whose table it is. What has the name is the live one's.
                of_live.push((table.clone(), self.place(table).await?));
            }
        }
        let (live_home, standby_home) = (home(live.name()), home(standby.name()));
        for (table, partition) in &of_live {
            self.stage(&standby_home, &key_of(table), Some(at_place(partition)))?;
            if !of_standby.iter().any(|(it, _)| it == table) {
                self.stage(GENERATIONS, table, Some(new_place(table)))?;
                self.stage(&live_home, &key_of(table), None)?;
            }
        }
        for (table, partition) in &of_standby {
            self.record_live(live, table, at_place(partition))?;
        }
        Ok(())
    }

    /// Removes the tables of a read model that is not live.
    pub(super) async fn discard_tables(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        for (table, partition) in self.database.tables(model).await? {
            self.stage(&home(model.name()), &key_of(&table), None)?;
            self.drop_partition(&partition)?;
        }
        Ok(())
    }

    /// Reads a row of one of the projection's own tables, with its keys and with this transaction's changes.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn row(&mut self, table: &str, key: &str) -> Result<Option<Item>, BoxError> {
        let partition = self.partition_of(table).await?;
        self.get(&partition, key).await
    }

    /// Writes a row, or deletes it if `row` is `None`. Attributes may have any name except
    /// [`PARTITION`](super::PARTITION) and [`KEY`](super::KEY).
    ///
    /// # Errors
    /// When the key is empty or longer than 1,024 bytes. When the transaction has no room: return the error,
    /// and the batch is retried in smaller portions.
    pub async fn write_row(&mut self, table: &str, key: &str, row: Option<Item>) -> Result<(), BoxError> {
        check_key(key)?;
        let partition = self.own_partition(table).await?;
        self.stage(&partition, key, row)
    }

    /// Deletes all rows of a table, however many. Call it in [`drop_tables`](crate::Projection::drop_tables).
    /// Tables need no creation.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn clear(&mut self, table: &str) -> Result<(), BoxError> {
        self.clear_table(table).await
    }
}

impl FoldRows for Tx {
    fn check_key(table: &Table, key: &str) -> Result<(), RowError> {
        check_key(key).map_err(|error| RowError::new(error).in_column(&table.key.name).of_table(&table.name))
    }

    fn check_row(table: &Table, key: &str, row: &Row) -> Result<(), RowError> {
        item::check_row(table, key, row)
    }

    async fn create_table(&mut self, table: &Table) -> Result<(), BoxError> {
        if !table.checks.is_empty() {
            return Err(format!("table {} has conditions, and DynamoDB has none", table.name).into());
        }
        self.own_partition(&table.name).await.map(drop)
    }

    async fn drop_table(&mut self, table: &Table) -> Result<(), BoxError> {
        self.clear_table(&table.name).await
    }

    async fn load_rows(&mut self, table: &Table, keys: &[&str]) -> Result<Vec<Option<Row>>, BoxError> {
        if keys.len() > LOADED_MAX {
            return Err(TooLarge(format!(
                "it touches more than {LOADED_MAX} rows, the most that one transaction on DynamoDB loads"
            ))
            .into());
        }
        let partition = self.partition_of(&table.name).await?;
        let found = self.get_settled(&partition, keys).await?;
        found.into_iter().map(|item| Ok(item.map(|item| to_row(table, &item)).transpose()?)).collect()
    }

    async fn rows_after(
        &mut self,
        model: &ReadModelId,
        table: &Table,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Row)>, BoxError> {
        let partition = self.partition_in(model, &table.name).await?;
        let items = self.database.query_after(&partition, "", after, limit).await?;
        let row = |item: Item| Ok((to_text(&item, KEY)?.to_owned(), to_row(table, &item)?));
        items.into_iter().map(row).collect()
    }

    async fn write_rows(&mut self, table: &Table, rows: &[Change]) -> Result<(), BoxError> {
        let partition = self.own_partition(&table.name).await?;
        for Change { key, row, .. } in rows {
            let item = row.as_ref().map(|row| of_row(table, row.clone()));
            self.stage(&partition, key, item)?;
        }
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        1..=KEY_BYTES_MAX => Ok(()),
        bytes => {
            Err(format!("the key has {bytes} bytes; in DynamoDB, a key must have 1 to {KEY_BYTES_MAX} bytes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_where_earlier_versions_have_put_them() {
        assert_eq!(partition("orders", None).unwrap(), "orders@0");
        let numbered = item_of([(GENERATION, item::number(3))]);
        assert_eq!(partition("orders", Some(&numbered)).unwrap(), "orders@3");
        let named = of_projection(at_place("orders@a1"), "orders");
        assert_eq!(partition("orders", Some(&named)).unwrap(), "orders@a1");
    }
}

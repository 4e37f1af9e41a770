//! The tables of folds: their columns, and how a state becomes a row.
//!
//! Most users need only [`ReadModel`] and [`Table`]. A [`database`](crate::database) of your own uses the
//! other types too.
//!
//! The modules: `table` and `column` say what a table is, `constraint` what holds for its rows, and `difference`
//! how a table of the database differs from it. `value` is what a column of a row holds, `form` and `json` its
//! text. `write` turns a state into a row, and `read` a row into a state, both through serde. `row_json` shows a
//! row as JSON. `unit_enum` finds enums that a text column holds.

mod column;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod constraint;
mod difference;
mod form;
mod json;
mod read;
mod row_error;
mod row_json;
mod table;
#[cfg(test)]
mod tests;
mod unit_enum;
mod value;
mod write;

pub(crate) use read::from_row;
pub(crate) use row_json::row_json;
pub(crate) use write::to_row;

pub use column::{Column, ColumnType, Element};
pub use difference::{Differences, FoundColumn};
pub use row_error::RowError;
pub use table::{Index, InvalidTable, Reference, Table};
pub use value::{Change, Row, Value};

/// A fold's state with columns: one for each field.
///
/// Choose it for a state that you query by more than its key, or that other programs read with SQL. Without
/// it, a fold keeps its state as one JSON document ([`Table::document`]), which needs serde only.
///
/// Derive it (feature `derive`, on by default), and return its table from the fold:
///
/// ```
/// use ees_projector::{Fold, ReadModel, Recorded, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize, ReadModel)]
/// #[read_model(table = "accounts", key = "account_id", index(owner), index(status, balance_cents))]
/// struct Account {
///     owner: String,
///     balance_cents: i64,
///     closed_because: Option<String>,
///     status: Status,
///     #[read_model(json)]
///     tags: Vec<String>,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(rename_all = "snake_case")]
/// enum Status { Open, Closed }
///
/// struct Accounts;
/// impl Fold for Accounts {
///     # type Event = serde_json::Value;
///     # type Key = String;
///     type State = Account;
///     # fn name(&self) -> &str { "accounts" }
///     # fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> {
///     #     Some(event.stream_id().to_string())
///     # }
///     fn table(&self) -> Table { Account::table() }
///     # fn fold(&self, _: Option<Account>, event: Recorded<'_, serde_json::Value>) -> Option<Account> {
///     #     Some(Account {
///     #         owner: event.event["owner"].as_str()?.to_owned(),
///     #         balance_cents: 0, closed_because: None, status: Status::Open, tags: vec!["new".to_owned()],
///     #     })
///     # }
///     // ...
/// }
/// # use ees_projector::{Projector, Settings, sqlite};
/// # use std::{sync::Arc, time::Duration};
/// # use ees_store::{Commit, EventStore, Events, Expectation, memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let log = Arc::new(memory::Store::new());
/// # let opened = Events::parse(r#"[{"owner":"ada"}]"#)?;
/// # let commit = Commit::new("account/1".parse()?, Expectation::LastChangeset(0.into()), opened);
/// # let written = log.commit(commit).await?.checkpoint.ok_or("not written")?;
/// # let folder = tempfile::tempdir()?;
/// # let database = sqlite::Database::open(folder.path().join("accounts.db"))?;
/// # let mut projector = Projector::new(log);
/// # projector.fold(Accounts, database.clone(), Settings::default())?;
/// # let running = projector.start();
/// # running.handle().when_reached("accounts", written.next(), Duration::from_secs(20)).await?;
///
/// // Once it has run, the database has the columns:
/// let query = "SELECT account_id FROM accounts WHERE owner = 'ada' AND status = 'open' AND closed_because IS NULL";
/// # let found: String = database.read(move |db| db.query_row(query, [], |row| row.get(0))).await?;
/// # assert_eq!(found, "account/1");
/// # running.shut_down().await;
/// # Ok(())
/// # }
/// ```
///
/// An implementation by hand returns a [`Table`] whose columns have the names that serde gives to the fields.
///
/// # Errors
/// A state may not fit its table or its database: a `u64` above `i64::MAX`, NaN, text in a `bigint` column, NUL
/// in a text on PostgreSQL. The event that made it then fails: the projection pauses or parks the stream, and the
/// error names the event and the column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no columns",
    note = "derive `ReadModel` for it, or leave out `Fold::table` to keep it as a JSON document"
)]
pub trait ReadModel {
    /// The table of this state.
    fn table() -> Table;
}

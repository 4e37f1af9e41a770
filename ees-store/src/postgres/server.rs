//! Where the server is, and whether a proxy stands before it.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Postgres, Transaction};

/// A server that was not heard of for so long counts as gone.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// What is needed to connect.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) options: PgConnectOptions,
    /// A proxy may give every transaction another connection of the server, as the URL says by
    /// `statement-cache-capacity=0`. The driver prepares every statement by a name, and runs it after a trip
    /// of its own: so it takes a transaction to stay on one connection, and there the names that others have
    /// left must go.
    pub(super) pooled: bool,
}

impl Server {
    /// Reads the URL, and adds what every connection is told.
    pub(super) fn at(url: &str) -> sqlx::Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let name = options.get_application_name().unwrap_or("ees-store").to_owned();
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let pooled = parameters.split('&').any(|parameter| parameter == "statement-cache-capacity=0");
        Ok(Self { options: options.application_name(&name).disable_statement_logging(), pooled })
    }

    pub(super) async fn connect(&self) -> sqlx::Result<PgConnection> {
        in_time(async {
            let mut connection = self.options.connect().await?;
            if !self.pooled {
                // Whatever the role's defaults are: a commit that has waited for another one must see it. And
                // the server does not notice that nobody waits for an answer any more, as long as a table is
                // locked: such a connection would be used up.
                let session = "SET default_transaction_isolation = 'read committed'; SET lock_timeout = '2s'";
                sqlx::raw_sql(session).execute(&mut connection).await?;
            }
            Ok(connection)
        })
        .await
    }
}

/// Begins a transaction that may prepare statements, also behind a proxy.
pub(super) async fn begin(
    connection: &mut PgConnection,
    pooled: bool,
) -> sqlx::Result<Transaction<'_, Postgres>> {
    // Should this process freeze in it, the server ends it.
    let clean = "BEGIN ISOLATION LEVEL READ COMMITTED; DEALLOCATE ALL;
        SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '2s'";
    connection.begin_with(if pooled { clean } else { "BEGIN ISOLATION LEVEL READ COMMITTED" }).await
}

/// What was asked of the server, unless it does not answer.
pub(super) async fn in_time<T>(what: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let late = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(ANSWER_MAX, what).await.unwrap_or_else(late)
}

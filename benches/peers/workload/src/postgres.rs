//! Connections to PostgreSQL that belong to no peer.

use tokio_postgres::{Client, NoTls};

/// # Panics
/// When the server does not answer.
pub async fn connect(url: &str) -> Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("the runner has started the server");
    tokio::spawn(async move {
        // Its end is the client's.
        let _ = connection.await;
    });
    client
}

/// A whole number that a query returns, such as a count.
///
/// # Panics
/// When the query fails.
pub async fn number(url: &str, query: &str) -> i64 {
    let row = connect(url).await.query_one(query, &[]).await.expect("the query is right");
    row.get(0)
}

//! How this process hears of what others append, and tells them what it has appended.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

use super::head::Head;
use super::readers::Readers;
use super::server::in_time;

/// The channel on which writers tell followers.
const CHANNEL: &str = "ees_store";
/// How often the process also polls for the end of the log: a notification may be lost, and does not pass a
/// pooling proxy.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// Commits within this time share one notification: each costs the server as much as a small commit.
const TELL_EVERY: Duration = Duration::from_millis(2);

/// Looks every now and then how far the log goes, until it is dropped.
pub(super) async fn poll(head: Arc<Head>, readers: Arc<Readers>) {
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        if let Err(error) = readers.ask(&*head, |head, connection| Box::pin(head.look(connection))).await {
            tracing::debug!(%error, "failed to read the head of the log; will retry");
        }
    }
}

/// Hears what other processes append, until it is dropped.
pub(super) async fn listen(head: Arc<Head>, readers: Arc<Readers>, options: PgConnectOptions) {
    let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let own = own.connect_lazy_with(options);
    loop {
        if let Err(error) = hear(&head, &readers, &own).await {
            tracing::debug!(%error, "failed to listen for notifications; polling continues");
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

async fn hear(
    head: &Head,
    readers: &Readers,
    pool: &PgPool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let told = listener.recv().await?;
        // A hint, and no more: anybody may notify, and a server that took over may lack what was told of.
        if told.payload().parse().is_ok_and(|next| head.ends_before(next)) {
            readers.ask(head, |head, connection| Box::pin(head.look(connection))).await?;
        }
    }
}

/// Tells other processes how far this one has written, until it is dropped. On a connection of its own:
/// commits do not wait for it, and many of them are told at once.
pub(super) async fn tell(head: Arc<Head>, options: PgConnectOptions) {
    let options = options.options([("synchronous_commit", "off")]);
    let mut written = head.written();
    let mut connection: Option<PgConnection> = None;
    while written.changed().await.is_ok() {
        let next = *written.borrow_and_update();
        let telling = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => options.connect().await?,
            };
            let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(next.to_string());
            notify.execute(&mut open).await?;
            Ok::<_, sqlx::Error>(open)
        };
        match in_time(telling).await {
            Ok(open) => {
                connection = Some(open);
                tokio::time::sleep(TELL_EVERY).await;
            }
            Err(error) => {
                tracing::debug!(%error, "failed to notify other processes; they poll");
                tokio::time::sleep(POLL_EVERY).await;
            }
        }
    }
}

//! A follower that is woken by NOTIFY.

use futures::StreamExt;
use futures::channel::mpsc;
use futures::stream;
use peers_workload::Task;
use peers_workload::postgres::connect;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, NoTls};

use super::catch_up::Writer;
use super::read::Pages;

/// Listens when this returns.
pub(super) async fn start(task: &Task) -> JoinHandle<()> {
    let (client, mut connection) = tokio_postgres::connect(&task.database, NoTls).await.unwrap();
    let (woken, mut wakes) = mpsc::unbounded();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if matches!(message, AsyncMessage::Notification(_)) && woken.unbounded_send(()).is_err() {
                return;
            }
        }
    });
    client.batch_execute("LISTEN log").await.unwrap();
    let mut pages = Pages::new(task).await;
    let mut writer = Writer::new(connect(&task.database).await).await;
    tokio::spawn(async move {
        // While it lives, the session listens.
        let _client = client;
        while wakes.next().await.is_some() {
            let page = pages.next().await;
            writer.write(&page, true, None).await;
        }
    })
}

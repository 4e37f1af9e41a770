//! The read model of the whole log, in transactions of 5,000 events with the position.

use std::time::Instant;

use peers_workload::account::{UPSERT, caught_up};
use peers_workload::postgres::connect;
use peers_workload::{Report, Task};
use tokio::sync::mpsc;
use tokio_postgres::{Client, Statement, Transaction};

use super::read::Pages;
use crate::fold::{Moved, fold};

const MERGE: &str = "INSERT INTO account AS a (id, balance, event_count, last_event_id)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    ON CONFLICT (id) DO UPDATE SET balance = a.balance + excluded.balance,
    event_count = a.event_count + excluded.event_count, last_event_id = excluded.last_event_id";
const ADVANCE: &str = "UPDATE checkpoint SET position = $1";

/// One connection reads ahead while another one writes.
pub(super) async fn catch_up(task: &Task, grouped: bool) -> Report {
    let mut pages = Pages::new(task).await;
    let (sender, mut read) = mpsc::channel(2);
    let mut writer = Writer::new(connect(&task.database).await).await;
    let begun = Instant::now();
    let reader = tokio::spawn(async move {
        loop {
            let page = pages.next().await;
            if page.is_empty() || sender.send(page).await.is_err() {
                return;
            }
        }
    });
    while begun.elapsed() < task.time {
        let Some(page) = read.recv().await else { break };
        writer.write(&page, grouped, Some(begun + task.time)).await;
    }
    let took = begun.elapsed();
    reader.abort();
    caught_up(task, took).await
}

/// Applies pages.
pub(super) struct Writer {
    client: Client,
    merge: Statement,
    upsert: Statement,
    advance: Statement,
}

impl Writer {
    pub(super) async fn new(client: Client) -> Self {
        let merge = client.prepare(MERGE).await.unwrap();
        let upsert = client.prepare(UPSERT).await.unwrap();
        let advance = client.prepare(ADVANCE).await.unwrap();
        Self { client, merge, upsert, advance }
    }

    pub(super) async fn write(&mut self, page: &[Moved], grouped: bool, deadline: Option<Instant>) {
        let Some(last) = page.last() else { return };
        let transaction = self.client.transaction().await.unwrap();
        let mut position = last.position;
        if grouped {
            merge(&transaction, &self.merge, page).await;
        } else {
            for event in page {
                transaction
                    .execute(&self.upsert, &[&event.account, &event.amount, &event.position])
                    .await
                    .unwrap();
                if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    position = event.position;
                    break;
                }
            }
        }
        transaction.execute(&self.advance, &[&position]).await.unwrap();
        transaction.commit().await.unwrap();
    }
}

async fn merge(transaction: &Transaction<'_>, statement: &Statement, page: &[Moved]) {
    let (mut accounts, mut balances, mut counts, mut last) = (vec![], vec![], vec![], vec![]);
    for (account, change) in fold(page) {
        accounts.push(account);
        balances.push(change.balance);
        counts.push(change.event_count);
        last.push(change.last_event_id);
    }
    transaction.execute(statement, &[&accounts, &balances, &counts, &last]).await.unwrap();
}

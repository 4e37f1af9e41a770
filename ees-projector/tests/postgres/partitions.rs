//! A projection whose streams are dealt out to several workers.

use ees_projector::{Settings, State, Status};

use crate::support::{Balances, Bank};

fn split(partitions: u32) -> Settings {
    Settings { partitions, ..Settings::default() }
}

fn owners(status: &Status) -> std::collections::BTreeSet<String> {
    status.partitions.iter().filter_map(|partition| partition.owner.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_dealt_out_to_the_workers_that_are_there() {
    let bank = Bank::new().await;
    bank.deposit_to_many(200).await;
    let one = bank.start(Balances::default(), split(8)).await;
    let other = bank.start(Balances::default(), split(8)).await;
    bank.caught_up(&one).await;
    assert_eq!(bank.total(&bank.connect().await).await, 200);
    let status = bank.status_when(&one, |status| owners(status).len() == 2).await;
    assert_eq!(status.partitions.len(), 8);
    one.shut_down().await;
    bank.deposit_to_many(200).await;
    bank.caught_up(&other).await;
    assert_eq!(owners(&bank.status_when(&other, |status| owners(status).len() == 1).await).len(), 1);
    assert_eq!(bank.total(&bank.connect().await).await, 400);
    other.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_partitions_changes_without_a_rebuild_and_without_a_loss() {
    let bank = std::sync::Arc::new(Bank::new().await);
    let one = bank.start(Balances::default(), split(1)).await;
    let other = bank.start(Balances::default(), split(1)).await;
    let depositing = tokio::spawn({
        let bank = bank.clone();
        async move {
            for _ in 0..10 {
                bank.deposit_to_many(200).await;
            }
        }
    });
    for partitions in [4, 16, 3, 1, 2] {
        one.handle().set_partitions("balances", partitions, "more or less").await.unwrap();
        let count = if partitions == 1 { 0 } else { partitions as usize };
        bank.status_when(&other, |status| status.partitions.len() == count).await;
    }
    depositing.await.unwrap();
    bank.caught_up(&one).await;
    bank.caught_up(&other).await;
    let database = bank.connect().await;
    assert_eq!(bank.total(&database).await, 2_000);
    let deposits: i64 =
        sqlx::query_scalar("SELECT sum((state->>'deposits')::bigint)::bigint FROM balances.balances")
            .fetch_one(database.pool())
            .await
            .unwrap();
    assert_eq!(deposits, 2_000, "each was applied once");
    assert!(one.handle().verify("balances").await.unwrap().is_equal());
    one.shut_down().await;
    other.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_rebuild_reach_every_partition() {
    let bank = Bank::new().await;
    bank.deposit_to_many(50).await;
    let running = bank.start(Balances::default(), split(4)).await;
    bank.caught_up(&running).await;
    running.handle().pause("balances", "lunch").await.unwrap();
    bank.deposit_to_many(50).await;
    bank.status_when(&running, |status| status.state == State::Paused).await;
    assert_eq!(bank.total(&bank.connect().await).await, 50);
    running.handle().resume("balances", "back").await.unwrap();
    bank.caught_up(&running).await;
    running.handle().rebuild("balances", "to see").await.unwrap();
    bank.caught_up(&running).await;
    bank.status_when(&running, |status| status.state == State::Following).await;
    assert_eq!(bank.total(&bank.connect().await).await, 100);
    running.shut_down().await;
}

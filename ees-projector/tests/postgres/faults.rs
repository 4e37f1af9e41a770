//! Connections that are lost, servers that go away, locks that others hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::postgres::Database;
use ees_projector::{Projector, Running, Settings, SideBySide, StandbyRole, State};
use ees_store::{ChangesetLog, memory};
use ees_test_postgres::{Bouncer, Server};
use futures::FutureExt;
use futures::future::join_all;
use sqlx::Connection;

use crate::support::{Balances, Bank, LONG, append, hasty, status_of, until};

const DEPOSIT: &str = r#"{"type":"deposited","amount":1}"#;

async fn start(log: &Arc<memory::Store>, url: &str, balances: Balances, settings: Settings) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.fold(balances, Database::connect(url).await.unwrap(), settings).unwrap();
    projector.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_ended_again_and_again_cost_nothing_but_time() {
    let bank = Bank::new().await;
    bank.deposit_to_many(500).await;
    let slow = Balances { takes: Duration::from_millis(1), ..Balances::default() };
    let running = bank.start(slow, Settings { batch_changesets_max: 10, ..hasty() }).await;
    let end = Instant::now() + Duration::from_secs(4);
    let beside = SideBySide { verify: true, ..SideBySide::default() };
    while Instant::now() < end {
        bank.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'ees-projector'",
        )
        .await;
        let _ = running.handle().rebuild_side_by_side("balances", beside, "").await;
        let status = running.handle().status("balances").await.unwrap();
        assert!(status.pause.is_none() && status.parked_streams == 0, "{status:?}");
        tokio::time::sleep(Duration::from_millis(fastrand::u64(10..120))).await;
    }
    bank.caught_up(&running).await;
    assert_eq!(bank.total(&bank.connect().await).await, 500);
    bank.status_when(&running, |status| {
        status.standby.as_ref().is_none_or(|standby| standby.plan.role == StandbyRole::Following)
    })
    .await;
    assert!(running.handle().verify("balances").await.unwrap().is_equal());
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_crashes_is_waited_for() {
    let server = Server::start().await;
    let log = Arc::new(memory::Store::new());
    let running = start(&log, &server.url("postgres"), Balances::default(), hasty()).await;
    let mut last = append(&log, "a", DEPOSIT).await;
    running.handle().when_reached("balances", last, LONG).await.unwrap();
    server.restart().await;
    last = append(&log, "a", DEPOSIT).await;
    running.handle().when_reached("balances", last, LONG).await.unwrap();
    server.kill();
    last = append(&log, "a", DEPOSIT).await;
    server.start_again().await;
    running.handle().when_reached("balances", last, LONG).await.unwrap();
    let status = running.handle().status("balances").await.unwrap();
    assert!(status.pause.is_none(), "{status:?}");
    let mut connection = sqlx::PgConnection::connect(&server.url("postgres")).await.unwrap();
    let amount: i64 = sqlx::query_scalar("SELECT (state->>'amount')::bigint FROM balances.balances")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(amount, 3);
    server.stop().await;
    let began = Instant::now();
    running.shut_down().await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "a shutdown without a server took {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_moment_and_a_lock_are_waited_out() {
    let bank = Bank::new().await;
    bank.deposit("a", 1).await;
    let running = bank.start(Balances::default(), hasty()).await;
    bank.caught_up(&running).await;
    let database = bank.url().rsplit('/').next().unwrap();
    let end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    bank.run(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    bank.run(end_all).await;
    bank.deposit("a", 1).await;
    let failing = |status: &ees_projector::Status| {
        status.last_error.as_ref().is_some_and(|error| error.message.contains("read-only"))
    };
    let status = bank.status_when(&running, failing).await;
    assert_eq!((status.pause, status.checkpoint.get()), (None, 1));
    bank.run(&format!(
        "BEGIN READ WRITE; ALTER DATABASE {database} RESET default_transaction_read_only; COMMIT"
    ))
    .await;
    bank.run(end_all).await;
    bank.caught_up(&running).await;

    let mut holder = sqlx::PgConnection::connect(bank.url()).await.unwrap();
    let mut lock = holder.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE balances.balances IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    bank.deposit("a", 1).await;
    let failing = |status: &ees_projector::Status| {
        status.last_error.as_ref().is_some_and(|error| error.message.contains("lock timeout"))
    };
    let status = bank.status_when(&running, failing).await;
    assert_eq!((status.pause, status.parked_streams, status.checkpoint.get()), (None, 0, 2));
    lock.rollback().await.unwrap();
    bank.caught_up(&running).await;
    assert_eq!(bank.total(&bank.connect().await).await, 3);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_pools_transactions_does_no_harm() {
    let bank = Bank::new().await;
    let Some(bouncer) = Bouncer::start(bank.url()).await else { return };
    let url = format!("{}?statement-cache-capacity=0", bouncer.url());
    bank.deposit_to_many(200).await;
    let workers = [
        start(&bank.log, &url, Balances::default(), hasty()).await,
        start(&bank.log, &url, Balances::default(), hasty()).await,
    ];
    for worker in &workers {
        bank.caught_up(worker).await;
    }
    let handle = workers[0].handle();
    handle.rebuild("balances", "in place").await.unwrap();
    bank.caught_up(&workers[0]).await;
    assert!(handle.verify("balances").await.unwrap().is_equal());
    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    handle.rebuild_side_by_side("balances", wanted, "beside").await.unwrap();
    until("it is swapped", LONG, || async {
        bank.number("SELECT count(*) FROM ees.audit WHERE action = 'swap'").await == 1
    })
    .await;
    bank.deposit("account-1", 1).await;
    for worker in &workers {
        bank.caught_up(worker).await;
    }
    handle.rollback("balances", false, "back").await.unwrap();
    assert_eq!(bank.total(&bank.connect().await).await, 201);
    handle.pause("balances", "").await.unwrap();
    status_of(&workers[1], "balances", |status| status.state == State::Paused).await;
    handle.resume("balances", "").await.unwrap();
    bank.deposit("account-1", 1).await;
    bank.caught_up(&workers[0]).await;
    assert_eq!(bank.log.head().await.unwrap().checkpoint.get(), 202);
    assert_eq!(bank.total(&bank.connect().await).await, 202);
    for worker in workers {
        worker.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_cancelled_while_it_begins_is_left_to_nobody() {
    let bank = Bank::new().await;
    let database = bank.connect().await;
    let pool = database.pool();
    let cancelling = (0..8).map(|_| async move {
        let mut cancelled = 0;
        for _ in 0..20 {
            let mut connection = pool.acquire().await.unwrap();
            // Sent, and not waited for: the answer is seldom there at once.
            match connection.begin_with("BEGIN READ ONLY").now_or_never() {
                None => cancelled += 1,
                Some(begun) => drop(begun.unwrap()),
            }
        }
        cancelled
    });
    let cancelled: u32 = join_all(cancelling).await.into_iter().sum();
    // On a busy machine, many answers are there at once.
    assert!(cancelled > 20, "{cancelled} of 160");
    let connections = join_all((0..8).map(|_| async { pool.acquire().await.unwrap() })).await;
    for mut connection in connections {
        let how = sqlx::query_scalar("SHOW transaction_read_only").fetch_one(&mut *connection);
        let how: String = how.await.unwrap();
        assert_eq!(how, "off", "it is in no transaction of another one");
    }
}

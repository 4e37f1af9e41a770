//! The promises of this crate to tests.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ees_test_postgres::{Bouncer, Server, TestDatabase};
use sqlx::{Connection, PgConnection};

async fn ask(url: &str, sql: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}

#[tokio::test]
async fn a_database_is_fresh_and_ones_own() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    assert_ne!(one.name(), other.name());
    assert_eq!(ask(one.url(), "SELECT current_database()::text").await.unwrap(), one.name());
    let tables = "SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(ask(one.url(), tables).await.unwrap(), "0");
}

#[tokio::test]
async fn the_server_is_new_enough_and_durable() {
    let database = TestDatabase::new().await;
    let version: u32 =
        ask(database.url(), "SELECT current_setting('server_version_num')").await.unwrap().parse().unwrap();
    assert!(version >= 150_000, "{version}");
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let ask = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
        let value: String = ask.fetch_one(&mut connection).await.unwrap();
        assert_eq!(value, "on", "{setting}");
    }
}

#[test]
fn a_test_without_a_runtime_gets_a_database_too() {
    assert!(TestDatabase::new_blocking().url().starts_with("postgres://"));
}

#[tokio::test]
async fn a_database_is_dropped_although_somebody_is_connected() {
    let watch = TestDatabase::new().await;
    let database = TestDatabase::new().await;
    let name = database.name().to_owned();
    let mut connected = PgConnection::connect(database.url()).await.unwrap();
    drop(database);

    let mut connection = PgConnection::connect(watch.url()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ask =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(&name);
        let is_there: bool = ask.fetch_one(&mut connection).await.unwrap();
        if !is_there {
            break;
        }
        assert!(Instant::now() < deadline, "{name} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(connected.ping().await.is_err());
}

#[tokio::test]
async fn a_server_of_ones_own_can_be_stopped_killed_and_started_again() {
    let server = Server::start().await;
    let url = server.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 'kept' AS what").execute(&mut connection).await.unwrap();

    server.stop().await;
    assert!(connection.ping().await.is_err());
    assert!(ask(&url, "SELECT what FROM kept").await.is_err());
    server.start_again().await;
    assert_eq!(ask(&url, "SELECT what FROM kept").await.unwrap(), "kept");

    server.kill();
    server.start_again().await;
    assert_eq!(ask(&url, "SELECT what FROM kept").await.unwrap(), "kept");
    assert!(server.log().contains("not properly shut down"), "{}", server.log());

    server.restart().await;
    assert_eq!(ask(&url, "SELECT what FROM kept").await.unwrap(), "kept");
    drop(server);
    assert!(ask(&url, "SELECT what FROM kept").await.is_err());
}

#[tokio::test]
async fn a_bouncer_hands_out_a_connection_for_one_transaction() {
    let database = TestDatabase::new().await;
    let Some(bouncer) = Bouncer::start(database.url()).await else { return };
    // Clients that are idle outside of a transaction hold no connection to the server, so one connection
    // serves all of them.
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = PgConnection::connect(bouncer.url()).await.unwrap();
        let pid = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(&mut client).await.unwrap();
        clients.push((client, sqlx::Row::get::<i32, _>(&pid, 0)));
    }
    assert!(clients.iter().all(|(_, pid)| *pid == clients[0].1));
    assert_eq!(ask(bouncer.url(), "SELECT current_database()::text").await.unwrap(), database.name());
}

/// Runs this test again in another process, which starts a server and waits to be killed.
#[tokio::test]
async fn a_killed_test_leaves_no_server_and_no_files() {
    const ROLE: &str = "EES_TEST_POSTGRES_VICTIM";
    if std::env::var_os(ROLE).is_some() {
        let server = Server::start().await;
        let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
        let folder: String = sqlx::query_scalar("SELECT current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        println!("\nvictim {} {folder}", server.url("postgres"));
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "a_killed_test_leaves_no_server_and_no_files", "--nocapture"]).env(ROLE, "yes");
    let mut victim = victim.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("victim ")).unwrap();
    let [_, url, folder] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert!(Path::new(folder).exists());
    victim.kill().unwrap();
    victim.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(30);
    while Path::new(folder).parent().unwrap().exists() {
        assert!(Instant::now() < deadline, "{folder} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(PgConnection::connect(url).await.is_err());
}

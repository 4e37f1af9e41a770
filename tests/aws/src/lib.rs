//! A local AWS for tests, which leaves nothing behind.
//!
//! Most tests need [`LocalAws::account`]: an account of their own, on one of the two emulators that
//! all tests share.
//!
//! ```no_run
//! # async fn test() {
//! let account = ees_test_aws::LocalAws::account().await;
//! let dynamodb = aws_sdk_dynamodb::Client::new(&account.sdk_config());
//! # }
//! ```
//!
//! The emulator is kinder than AWS: it never throttles, never lets two transactions conflict, leaves nothing
//! unprocessed, has no lag in its indexes, and loses no answer. [`Faults`] adds these, by a plan that a seed
//! determines.
//!
//! It allows everything. [`LocalAws::guarded_account`] uses another emulator, which verifies signatures and
//! enforces policies.
//!
//! [`Stack`] deploys `deploy/template.yaml` there, with functions that are built for it. [`synthesize`] tells what a
//! template makes under given parameters, without a deployment.
//!
//! # The shared emulators
//! The first test that needs one installs `ministack` into `target/aws-venv` (this needs `python3`, and the
//! network once), and starts it in `target/aws` or `target/aws-beside`. All processes of a run find it there
//! (`cargo nextest` has one for each test). About 8 seconds after the last process that used it has ended, in
//! whatever way, the emulator ends and everything in it is deleted. It listens on 127.0.0.1 only.
//!
//! Don't measure speed with it. A query costs it time for every item of the partition, so keep partitions
//! below a thousand items.

#![allow(clippy::expect_used, clippy::panic, reason = "support of tests: it fails by panicking")]

mod account;
mod emulator;
mod faults;
mod guarded;
mod stack;
mod template;
mod venv;

pub use account::{Account, LocalAws};
pub use faults::{Calls, Faults, Moment, dying_at_each_call};
pub use guarded::{Identity, Right};
pub use stack::Stack;
pub use template::synthesize;
pub use venv::python;

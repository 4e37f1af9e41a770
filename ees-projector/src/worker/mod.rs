//! One projection at work.
//!
//! `runner` is the loop: `next` says what there is to do, `taking` applies a batch while the next one is read. `step` is the
//! algorithm, `transact` its transaction, `span` how much of the log it takes at once; `error` is why a step came to nothing,
//! `same_log` whether the log is still the one it was. `start` is how a projection begins, `failing` and `parking` what happens
//! when a changeset can't be applied. `reacting` is what a reactor does instead of writing, `acting` how it gets the events,
//! `ledger` what is recorded of it, `retrying` how what failed is tried again; `on_demand` is a host that does not stay.
//!
//! What is seldom done and large is boxed where it is made (`BoxFuture`): in a build without optimizations, all of a worker's
//! futures in one another fill a thread's stack.
//!
//! `operate` is what people want of it: `lookup` finds what it is about, `change` carries it out. `lease` is whose turn it is
//! where several workers share a read model, and `split` how they share one's streams. `beside` is how one is built beside
//! another, `readers` whom a swap waits for. `monitor` says when a projection stands still, `sweep` what is forgotten in time.

mod acting;
pub(crate) mod batch;
mod beside;
mod change;
pub(crate) mod error;
mod failing;
pub(crate) mod lease;
pub(crate) mod ledger;
mod lookup;
pub(crate) mod monitor;
pub(crate) mod next;
pub(crate) mod on_demand;
pub(crate) mod operate;
mod parking;
pub(crate) mod reacting;
mod readers;
mod retrying;
pub(crate) mod runner;
mod same_log;
mod span;
pub(crate) mod split;
mod start;
pub(crate) mod step;
mod sweep;
mod taking;
mod transact;

pub(crate) use parking::in_future;

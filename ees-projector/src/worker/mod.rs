//! One projection or reactor at work.
//!
//! The way of a batch: `runner` is the loop; `step` says what comes next, `fetch` reads and decodes it; `apply` applies it in one transaction
//! of `core` (fence, work, commit) while the next batch is read. `processor` is what it is that runs: a projection or a
//! reactor, its types hidden. `batch_size` says how much is taken at once, `log_identity` whether the log is still the one
//! it was, `initialize` how a projection begins.
//!
//! What goes wrong: `error` is why a step came to nothing, `failure` what the worker does about it, `parked` the streams that
//! wait and how they are retried.
//!
//! Who is at work: `lease` and `lease_state` where several workers share a read model, `partitions` where they share one's
//! streams, `held_state` the row while work goes on outside of a transaction; `cached_state` what a worker remembers of it.
//!
//! The wings: `reactor` acts instead of writing; `side_by_side` builds a standby, compares it and swaps it; `operations` is what
//! operators do. `worker_status` is what others see of it, `retention` what is removed in time, `on_demand` how a host drives it
//! that does not stay.
//!
//! What is seldom done and large is boxed where it is made (`BoxFuture`): in a build without optimizations, all of a worker's
//! futures in one another fill a thread's stack.

mod apply;
mod batch;
mod batch_size;
mod cached_state;
pub(crate) mod core;
pub(crate) mod error;
mod failure;
mod fetch;
mod held_state;
mod initialize;
mod lease;
mod lease_state;
mod log_identity;
pub(crate) mod on_demand;
pub(crate) mod operations;
pub(crate) mod outcome;
mod parked;
mod parked_streams;
mod partition_workers;
mod partitions;
pub(crate) mod processor;
mod reactor;
mod retention;
pub(crate) mod runner;
pub(crate) mod side_by_side;
pub(crate) mod step;
pub(crate) mod worker_status;

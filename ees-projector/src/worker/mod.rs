//! The worker: the loop that runs one projection or reactor, or one partition of it.
//!
//! The way of a batch: `runner` is the loop. `step` decides what comes next, and `fetch` reads and decodes
//! it. `apply` applies it in one transaction of `core` (fence, work, commit) while the next batch is read.
//! `processor` is what runs, a projection or a reactor, with its types hidden. `batch_size` decides how much
//! is read at once (workers that are far behind share `span_memory`), `log_identity` whether the log is still the same,
//! `initialize` how a projection starts.
//! `segments` reads a share of the log at once, for a rebuild.
//!
//! Failures: `error` says why a step failed, `failure` what the worker does then. `parked` parks streams and
//! retries them.
//!
//! Who may run: `claim` where only one process may run a projection, `lease` and `lease_state` where several
//! workers share a read model, `partitions` where they share its streams. `held_state` is the row while work
//! outside of a transaction is in progress; `cached_state` is the row as the worker last saw it.
//!
//! The wings: `reactor` acts instead of writing tables. `side_by_side` builds a standby, compares it and
//! swaps it. `as_of` builds a copy as the read model was, `preview` tells what another version would make of the log,
//! `write_units` what it would write on DynamoDB. `operations` carries out what operators ask for. `worker_status` is
//! what the rest of the process sees, `figures` what it counts, `explain` why a row is as it is, `stream_rebuild` mends
//! the rows of single streams, `retention` deletes old records, `on_demand` runs the worker in hosts that do
//! not stay, `attending` has one that only carries out what operators ask for. `workers` is what a host holds: all of this
//! with the database's type hidden. `idle` is a projection for tests.
//!
//! Large futures that run rarely are boxed where they are made (`BoxFuture`). Without optimizations, all
//! futures of a worker nested in one another would overflow a thread's stack.

pub(crate) mod apply;
mod as_of;
pub(crate) mod attending;
pub(crate) mod batch;
mod batch_size;
mod cached_state;
mod claim;
pub(crate) mod core;
pub(crate) mod error;
pub(crate) mod event_tally;
pub(crate) mod explain;
mod failure;
mod fetch;
pub(crate) mod figures;
pub(crate) mod fingerprint;
mod gathering;
mod held_state;
#[cfg(test)]
mod idle;
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
pub(crate) mod partitions;
mod preview;
pub(crate) mod processor;
pub(crate) mod reactor;
mod retention;
pub(crate) mod runner;
mod segments;
pub(crate) mod side_by_side;
pub(crate) mod span_memory;
pub(crate) mod step;
pub(crate) mod stream_rebuild;
pub(crate) mod worker_status;
pub(crate) mod workers;
mod write_units;

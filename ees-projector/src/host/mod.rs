//! Hosts of projections and reactors: `projector` for a process that stays, operated through `handle`;
//! `on_demand` for a function or a job that is called.

pub(crate) mod compiled;
pub(crate) mod handle;
mod job;
pub(crate) mod on_demand;
pub(crate) mod passed;
pub(crate) mod pending_changesets;
pub(crate) mod poll_backoff;
pub(crate) mod projector;
pub(crate) mod registration;
mod running_projection;
mod stall_monitor;
pub(crate) mod verification;
mod waiting;

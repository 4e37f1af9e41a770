//! Where projections and reactors live: in a process that stays (`projector`, looked at and steered through `handle`), or in one
//! that is called (`on_demand`).

pub(crate) mod handle;
mod inspector;
pub(crate) mod on_demand;
pub(crate) mod pending_changesets;
pub(crate) mod poll_backoff;
pub(crate) mod projector;
pub(crate) mod registration;
mod running_projection;
mod stall_monitor;
pub(crate) mod verification;
mod waiting;

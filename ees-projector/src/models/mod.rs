//! Models of the protocols by which workers, operators and readers share a projection. `stateright` visits every state
//! that they can reach at a small size, and looks in each whether what is promised still holds.
//!
//! A model calls the product's own functions wherever these decide something, so it checks them and not a copy. What
//! surrounds them is abstracted: a transaction is one action, because the databases make it one, and a worker that is
//! slow, frozen or dead is one whose next action comes late or never.
//!
//! Each model has mistakes that can be made in it on purpose, one at a time. A test shows that each is found: a model
//! that can't fail proves nothing.

mod leased;
mod ledger;
mod log;
mod parked;
mod place;
mod projection;
mod reactor;
mod row;
mod rows;
mod segments;
mod side_by_side;
mod split_swap;
mod stream_rebuild;
mod timers;

use ees_store::LogId;
use uuid::Uuid;

fn log_id() -> LogId {
    LogId(Uuid::nil())
}

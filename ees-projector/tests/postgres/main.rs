//! What read models in PostgreSQL promise beyond the laws: side by side, several workers, schemas.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod attachments;
mod columns;
mod composites;
mod effects;
mod faults;
mod operating;
mod own_sql;
mod partitions;
mod poison;
mod process;
mod processes;
mod queue;
mod readers;
mod saying;
mod sharing;
mod side_by_side;
mod support;
mod sweeping;
mod timers;
mod versions;
mod workers;

//! What read models in PostgreSQL promise beyond the laws: side by side, several workers, schemas.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod operating;
mod own_sql;
mod partitions;
mod side_by_side;
mod support;
mod workers;

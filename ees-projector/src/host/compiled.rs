//! The worker for each database of this crate, compiled in this crate.
//!
//! It is generic over the database, and would be compiled in the crate of each user otherwise. In builds
//! without optimizations the compiler takes what is here: after a change of one fold it compiles that fold.

use std::hint::black_box;

use crate::worker::workers::workers;

/// Names the worker for each database, which is what has the compiler compile it.
#[doc(hidden)]
pub fn compiled() {
    black_box(workers::<crate::memory::Database> as fn(_) -> _);
    #[cfg(feature = "sqlite")]
    black_box(workers::<crate::sqlite::Database> as fn(_) -> _);
    #[cfg(feature = "postgres")]
    black_box(workers::<crate::postgres::Database> as fn(_) -> _);
    #[cfg(feature = "dynamodb")]
    black_box(workers::<crate::dynamodb::Database> as fn(_) -> _);
}

//! A test kit for folds and projections: give events, expect rows, and check that crashes, batch boundaries
//! and repeated deliveries don't change the result.
//!
//! ```
//! # use ees_projector::{Fold, Recorded};
//! # use serde_json::{Value, json};
//! # struct Totals;
//! # impl Fold for Totals {
//! #     type Event = Value; type Key = String; type State = i64;
//! #     fn name(&self) -> &str { "totals" }
//! #     fn key(&self, event: Recorded<'_, Value>) -> Option<String> { Some(event.stream_id().to_string()) }
//! #     fn fold(&self, row: Option<i64>, event: Recorded<'_, Value>) -> Option<i64> {
//! #         Some(row.unwrap_or(0) + event.event["amount"].as_i64().unwrap_or(0))
//! #     }
//! # }
//! use ees_projector::testkit::given;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let history = given([
//!     ("account/1", json!({"type": "deposited", "amount": 5})),
//!     ("account/2", json!({"type": "deposited", "amount": 7})),
//!     ("account/1", json!({"type": "deposited", "amount": 1})),
//! ]);
//! history.fold(Totals).await.expect([("account/1", 6), ("account/2", 7)]);
//! history.check_fold(|| Totals).await;
//! # }
//! ```

mod accidents;
mod asking;
mod determinism;
#[cfg(test)]
mod fold_properties;
mod given;
mod snapshot;
mod stream_order;

pub use given::{CompositeOutcome, FoldOutcome, Given, ProjectionOutcome, given};

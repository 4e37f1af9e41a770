//! Projections, reactors and the publisher as AWS Lambda functions.
//!
//! A function is an [`OnDemand`](crate::OnDemand) and one line of `main`:
//!
//! - [`Function::serve_messages`] for a queue,
//! - [`Function::serve_records`] for the stream of a DynamoDB table,
//! - [`Function::serve_schedule`] for a schedule.
//!
//! Each has a handler (`on_...`) that tests and other runtimes can call. `publish_records` (feature `sns`)
//! publishes a table's changesets to topics. [`notifications()`] reads the notifications of typed streams
//! from a queue.
//!
//! Messages and records only say that something is new; the changesets come from the log. Combine a function
//! for a queue or a stream with a schedule, which finds changesets for which no message arrived.
//!
//! With the feature `api-gateway`, `Function::with_operators` lets the function answer operators too, and `Gateway` is
//! any API as a function behind API Gateway.
//!
//! With [`Function::with_metrics`], CloudWatch knows how far the function is behind, so that an alarm can tell when it stands still.
//!
//! With the feature `opentelemetry`, each call is a span ([`traced`]).
//!
//! The event source mapping must have `ReportBatchItemFailures` among its `FunctionResponseTypes`.

mod batch;
mod function;
#[cfg(feature = "api-gateway")]
pub(crate) mod gateway;
mod invocation;
mod message_trace;
mod metric;
mod notifications;
#[cfg(feature = "sns")]
mod publish;
mod records;

pub use function::{Function, Scheduled, deadline};
#[cfg(feature = "api-gateway")]
pub use gateway::Gateway;
pub use invocation::traced;
pub use message_trace::trace_of;
pub use metric::metric;
pub use notifications::{Notified, acknowledge_all_but, notifications};
#[cfg(feature = "sns")]
pub use publish::{publish_records, serve_publisher};
pub use records::{changeset, changeset_id};

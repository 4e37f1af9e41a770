//! Projections, reactors and the publisher as AWS Lambda functions.
//!
//! A function is made of an [`OnDemand`](crate::OnDemand) and one line of `main`: [`Function::serve_messages`] for a queue,
//! [`Function::serve_records`] for the stream of a DynamoDB table, [`Function::serve_schedule`] for a timer. Each of them has a
//! handler of its own beside it, for tests and for runtimes of your own. `publish_records` (feature `sns`) puts a table's
//! changesets on topics. [`notifications()`] are what a function of yours gets from a queue with notifications of typed streams.
//!
//! Messages and records say that something is there; what is applied comes from the log. A function for a queue or a stream
//! goes well with one on a schedule, which finds what no message told of.
//!
//! The event source mapping must have `ReportBatchItemFailures` among its `FunctionResponseTypes`.

mod batch;
mod function;
mod notifications;
#[cfg(feature = "sns")]
mod publish;
mod records;

pub use function::{Function, Scheduled, deadline};
pub use notifications::{Notified, acknowledge_all_but, notifications};
#[cfg(feature = "sns")]
pub use publish::{publish_records, serve_publisher};
pub use records::changeset;

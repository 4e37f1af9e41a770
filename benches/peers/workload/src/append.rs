//! Appends by several writers, each of which waits for its answer.

use std::time::Instant;

use crate::{Payload, Report, Task, Times};

/// One writer of a peer.
pub trait Append: Send + 'static {
    /// Appends to a stream that has `version` events, which the peer has to check.
    ///
    /// # Panics
    /// When the peer refuses: no two writers have a stream in common.
    fn append(
        &mut self,
        stream: usize,
        version: usize,
        payloads: Vec<Payload>,
    ) -> impl Future<Output = ()> + Send;
}

/// Runs the writers until all of the workload is appended, or the time is over. Writer `w` of `n` has the
/// streams whose number is `w` modulo `n`.
///
/// # Panics When a writer does.
pub async fn append<A: Append>(task: &Task, writers: Vec<A>) -> Report {
    let (workload, count) = (task.workload, writers.len());
    let begun = Instant::now();
    let deadline = begun + task.time;
    let mut tasks = Vec::new();
    for (number, mut writer) in writers.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let (mut times, mut balance) = (Times::default(), 0);
            for append in 0..workload.appends() {
                let stream = workload.stream(append);
                if stream % count != number {
                    continue;
                }
                let called = Instant::now();
                if called >= deadline {
                    break;
                }
                let payloads = workload.payloads(stream, append);
                balance += payloads.iter().map(|payload| payload.amount).sum::<i64>();
                writer.append(stream, workload.version(append), payloads).await;
                times.add(called.elapsed());
            }
            (times, balance)
        }));
    }
    let (mut times, mut balance) = (Times::default(), 0);
    for task in tasks {
        let (of_one, sum) = task.await.expect("a writer has failed");
        times.join(of_one);
        balance += sum;
    }
    let took = begun.elapsed();
    let events = times.count() * crate::EVENTS_AN_APPEND;
    Report { balance: Some(balance), ..Report::new(events, took).times(times) }
}

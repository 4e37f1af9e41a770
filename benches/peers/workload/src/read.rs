//! Reads of streams, as an aggregate is loaded.

use std::time::Instant;

use crate::{Report, Task, Times};

/// One reader of a peer.
pub trait Read: Send + 'static {
    /// Reads all events of a stream, makes values of their data, and returns how many there are.
    fn read(&mut self, stream: usize) -> impl Future<Output = usize> + Send;
}

/// Lets the readers read one stream after the other until the time is over.
///
/// # Panics
/// When a stream has not as many events as it should, or a reader panics.
pub async fn read<R: Read>(task: &Task, readers: Vec<R>) -> Report {
    let (workload, count) = (task.workload, readers.len());
    let begun = Instant::now();
    let deadline = begun + task.time;
    let tasks: Vec<_> = readers
        .into_iter()
        .enumerate()
        .map(|(number, mut reader)| {
            tokio::spawn(async move {
                let mut times = Times::default();
                for read in (number..).step_by(count) {
                    let called = Instant::now();
                    if called >= deadline {
                        break;
                    }
                    let events = reader.read(workload.stream(read)).await;
                    assert_eq!(
                        events,
                        workload.events_a_stream(),
                        "events of stream {}",
                        workload.stream(read)
                    );
                    times.add(called.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Times::default();
    for task in tasks {
        times.join(task.await.expect("a reader has failed"));
    }
    let (took, calls) = (begun.elapsed(), times.count());
    Report { calls: Some(calls), ..Report::new(calls * workload.events_a_stream(), took).times(times) }
}

//! The workers of a projection's partitions in this process.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::worker::worker_status::WorkerStatus;

/// The workers of a projection's partitions in this process.
#[derive(Default)]
pub(crate) struct PartitionWorkers {
    pub(super) count: u32,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) statuses: Vec<Arc<WorkerStatus>>,
}

impl PartitionWorkers {
    pub(crate) fn wake(&self) {
        self.statuses.iter().for_each(|status| status.wake());
    }

    /// Stops them and waits until they have stopped. A caller that is cut off while it waits has none any more, too:
    /// they must be started again.
    pub(crate) async fn stop(&mut self) {
        let Self { tasks, stop, .. } = std::mem::take(self);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn workers_that_were_told_to_stop_are_started_again_if_nobody_waited_for_their_end() {
        let mut workers = PartitionWorkers { count: 4, ..PartitionWorkers::default() };
        workers.tasks.spawn(pending::<()>());
        let told = workers.stop.clone();
        assert!(tokio::time::timeout(Duration::from_millis(1), workers.stop()).await.is_err());
        assert!(told.is_cancelled());
        assert_eq!(workers.count, 0, "those of the next rebuild by four workers would never be started");
    }
}

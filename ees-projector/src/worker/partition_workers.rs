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

    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        *self = Self::default();
    }
}

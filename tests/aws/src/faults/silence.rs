//! Calls that are executed, and whose answer never arrives.

use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::watch;

use super::Faults;

/// The number of calls of each silent operation that wait or have waited for their answer.
#[derive(Default)]
pub(super) struct Silence(watch::Sender<BTreeMap<String, usize>>);

impl Silence {
    /// Never returns if this operation is silent.
    pub(super) async fn keep(&self, operation: &str) {
        let is_silent = self.0.send_if_modified(|silent| {
            let waiting = silent.get_mut(operation);
            waiting.map(|waiting| *waiting += 1).is_some()
        });
        if is_silent {
            pending::<()>().await;
        }
    }
}

impl Faults {
    /// From now on, calls of this operation are executed, and their callers get no answer.
    pub fn silence(&self, operation: &str) {
        self.0.silence.0.send_modify(|silent| {
            silent.entry(operation.to_owned()).or_default();
        });
    }

    /// Returns when the first silent call of this operation was executed.
    pub async fn silenced(&self, operation: &str) {
        let is_one = |silent: &BTreeMap<_, _>| silent.get(operation).is_some_and(|calls| *calls > 0);
        // We hold the sender, so waiting can't fail.
        let _ = self.0.silence.0.subscribe().wait_for(is_one).await;
    }
}

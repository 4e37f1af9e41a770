//! Calls that are carried out, and whose answer never comes.

use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::watch;

use super::Faults;

/// How many calls of each silent operation wait or have waited for their answer.
#[derive(Default)]
pub(super) struct Silence(watch::Sender<BTreeMap<String, usize>>);

impl Silence {
    /// Never returns if nothing is to be heard of this operation.
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
    /// From now on calls of this operation are carried out, and whoever made them hears nothing.
    pub fn silence(&self, operation: &str) {
        self.0.silence.0.send_modify(|silent| {
            silent.entry(operation.to_owned()).or_default();
        });
    }

    /// Returns when the first call of this operation has been carried out in silence.
    pub async fn silenced(&self, operation: &str) {
        let is_one = |silent: &BTreeMap<_, _>| silent.get(operation).is_some_and(|calls| *calls > 0);
        // The sender is our own, so waiting can't fail.
        let _ = self.0.silence.0.subscribe().wait_for(is_one).await;
    }
}

//! When a snapshot is taken, and whether one holds.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use ees_store::{Changeset, ChangesetLog, LogId, StreamId};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{Key, Snapshot, Snapshots, Snapshotted};
use crate::{Aggregate, Loaded};

/// The maximum time to wait for the snapshot store. Beyond it, reading the stream is faster.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The default number of events after which a new snapshot is taken.
const AFTER_EVENTS: u64 = 100;

/// The snapshots of a repository.
pub(crate) struct Cache<A> {
    snapshots: Arc<dyn Snapshots>,
    schema: &'static str,
    write: fn(&A) -> serde_json::Result<String>,
    read: fn(&str) -> serde_json::Result<A>,
    log_id: Arc<OnceCell<LogId>>,
    pub(crate) after_events: u64,
}

/// A snapshot to be kept.
pub(crate) struct Due {
    key: Key,
    snapshot: Snapshot,
}

// Derived, it would ask for `A: Clone`.
impl<A> Clone for Cache<A> {
    fn clone(&self) -> Self {
        Self { snapshots: self.snapshots.clone(), log_id: self.log_id.clone(), ..*self }
    }
}

impl<A: Aggregate> Cache<A> {
    pub(crate) fn new(snapshots: Arc<dyn Snapshots>) -> Self
    where
        A: Snapshotted,
    {
        Self {
            snapshots,
            schema: A::SCHEMA,
            write: |state| serde_json::to_string(state),
            read: |text| serde_json::from_str(text),
            log_id: Arc::default(),
            after_events: AFTER_EVENTS,
        }
    }

    /// Whose snapshot to look for; none when the log does not say which one it is.
    pub(crate) async fn key(&self, log: &dyn ChangesetLog, stream_id: &StreamId) -> Option<Key> {
        let ask = async || log.head().await.map(|head| head.log_id);
        let log_id = in_time(self.log_id.get_or_try_init(ask), "asking which log it is", stream_id).await?;
        Some(Key { log_id: *log_id, aggregate: A::TYPE, stream_id: stream_id.clone() })
    }

    pub(crate) async fn find(&self, key: &Key) -> Option<Snapshot> {
        let found = in_time(self.snapshots.find(key), "looking for a snapshot", &key.stream_id).await??;
        (found.schema == self.schema).then_some(found)
    }

    /// The state in a snapshot, given the changeset it claims to be taken at.
    pub(crate) fn verified(&self, key: &Key, snapshot: &Snapshot, at: &Changeset) -> Option<Loaded<A>> {
        let is_whole = at.changeset_id == snapshot.changeset_id
            && seal(key, &snapshot.schema, at, &snapshot.state) == *snapshot.seal;
        let state = is_whole.then(|| (self.read)(&snapshot.state));
        let Some(Ok(state)) = state else {
            tracing::info!(stream = %key.stream_id, "ignored a snapshot that does not belong to its stream");
            return None;
        };
        Some(Loaded {
            stream_id: key.stream_id.clone(),
            changeset_id: at.changeset_id,
            event_id: at.last_event_id(),
            stream_type: at.stream_type.clone(),
            state,
        })
    }

    /// A snapshot of a state whose last changeset is this one.
    pub(crate) fn take(&self, key: Key, loaded: &Loaded<A>, last: &Changeset) -> Option<Due> {
        match (self.write)(&loaded.state) {
            Ok(state) => {
                let seal = seal(&key, self.schema, last, &state).to_vec();
                let (schema, changeset_id) = (self.schema.to_owned(), loaded.changeset_id);
                Some(Due { key, snapshot: Snapshot { schema, changeset_id, seal, state } })
            }
            Err(error) => {
                tracing::warn!(stream = %key.stream_id, %error, "took no snapshot: the state can't be serialized as JSON");
                None
            }
        }
    }

    pub(crate) async fn keep(&self, due: &Due) {
        let keep = self.snapshots.keep(&due.key, &due.snapshot);
        in_time(keep, "keeping a snapshot", &due.key.stream_id).await;
    }
}

/// What was asked for, unless that failed or takes too long. Either is no more than a stream that is read.
async fn in_time<T, E: Display>(
    work: impl Future<Output = Result<T, E>>,
    what: &str,
    stream: &StreamId,
) -> Option<T> {
    match tokio::time::timeout(ANSWER_MAX, work).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tracing::warn!(%stream, %error, "{what} failed"),
        Err(_) => tracing::warn!(%stream, "{what} took longer than {ANSWER_MAX:?}"),
    }
    None
}

fn seal(key: &Key, schema: &str, at: &Changeset, state: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    let texts =
        [key.aggregate, schema, at.stream_id.as_str(), at.events.as_stored(), at.metadata.as_str(), state];
    for text in texts {
        // The length first: "a" and "bc" are not "ab" and "c".
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.update(key.log_id.0.as_bytes());
    hash.update(at.changeset_id.get().to_be_bytes());
    hash.update(at.first_event_id.get().to_be_bytes());
    hash.update(at.timestamp.as_micros().to_be_bytes());
    hash.finalize().into()
}

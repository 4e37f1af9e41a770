//! Changesets that callers wait for until the projections have passed them.

use std::collections::{BTreeMap, HashMap};

use ees_store::{ChangesetId, ChangesetLog, Checkpoint, Result, StreamId};
use futures::{FutureExt, StreamExt, TryStreamExt};

/// The most streams that are looked up at the same time.
const STREAMS_AT_ONCE: usize = 8;

/// Changesets that callers wait for.
///
/// It queries the log as rarely as possible. Checkpoints ascend within a stream: a projection that has passed
/// the newest changeset of a stream has passed all of them, and nothing after the first pending one needs a
/// query. A known checkpoint does not change.
pub(crate) struct PendingChangesets {
    streams: HashMap<StreamId, Waiting>,
}

/// The pending changesets of one stream.
#[derive(Default)]
struct Waiting {
    /// The projections have passed everything up to this changeset.
    passed: ChangesetId,
    /// The others, with their checkpoints as far as they are known.
    left: BTreeMap<ChangesetId, Option<Checkpoint>>,
}

impl PendingChangesets {
    pub(crate) fn of<'a>(changesets: impl IntoIterator<Item = (&'a StreamId, ChangesetId)>) -> Self {
        let mut streams: HashMap<StreamId, Waiting> = HashMap::new();
        for (stream_id, changeset_id) in changesets {
            streams.entry(stream_id.clone()).or_default().left.insert(changeset_id, None);
        }
        Self { streams }
    }

    /// Updates which changesets the projections have passed.
    ///
    /// # Errors
    /// The log can't be read. What was learned before is kept.
    pub(crate) async fn look(
        &mut self,
        log: &dyn ChangesetLog,
        is_past: impl Fn(Checkpoint) -> bool + Copy + Send + Sync,
    ) -> Result<()> {
        // Boxed: the compiler can't prove yet that such a stream of calls is `Send`.
        let looks: Vec<_> = self
            .streams
            .iter_mut()
            .map(|(stream_id, waiting)| waiting.look(stream_id, log, is_past).boxed())
            .collect();
        futures::stream::iter(looks).buffer_unordered(STREAMS_AT_ONCE).try_collect().await
    }

    /// Returns `true` if the projections had passed this changeset at the last look.
    pub(crate) fn is_passed(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> bool {
        self.streams.get(stream_id).is_some_and(|waiting| changeset_id <= waiting.passed)
    }

    /// Returns the first pending checkpoint, among those that are known.
    #[cfg(any(feature = "sqs", test))]
    pub(crate) fn next_checkpoint(&self) -> Option<Checkpoint> {
        self.streams.values().filter_map(|waiting| *waiting.left.first_key_value()?.1).min()
    }
}

impl Waiting {
    async fn look(
        &mut self,
        stream_id: &StreamId,
        log: &dyn ChangesetLog,
        is_past: impl Fn(Checkpoint) -> bool + Send + Sync,
    ) -> Result<()> {
        if let Some(mut newest) = self.left.last_entry() {
            let id = *newest.key();
            if find(newest.get_mut(), stream_id, id, log).await?.is_some_and(&is_past) {
                self.passed = id;
                self.left.clear();
            }
        }
        while let Some(mut oldest) = self.left.first_entry() {
            let id = *oldest.key();
            if !find(oldest.get_mut(), stream_id, id, log).await?.is_some_and(&is_past) {
                break;
            }
            self.passed = id;
            oldest.remove();
        }
        Ok(())
    }
}

async fn find(
    known: &mut Option<Checkpoint>,
    stream_id: &StreamId,
    changeset_id: ChangesetId,
    log: &dyn ChangesetLog,
) -> Result<Option<Checkpoint>> {
    if known.is_none() {
        *known = log.locate(stream_id, changeset_id).await?;
    }
    Ok(*known)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use async_trait::async_trait;
    use ees_store::{LogHead, LogPage, LogQuery};

    use super::*;

    /// A stream whose changeset N is at N * 10, as far as checkpoints are assigned.
    struct Tens {
        in_log: u64,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl ChangesetLog for Tens {
        async fn read(&self, _: LogQuery) -> Result<LogPage> {
            panic!("only locate is called")
        }
        async fn locate(&self, _: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
            self.asked.fetch_add(1, SeqCst);
            let id = changeset_id.get();
            Ok((id <= self.in_log).then(|| Checkpoint::new(id * 10)))
        }
        async fn head(&self) -> Result<LogHead> {
            panic!("only locate is called")
        }
    }

    impl Tens {
        fn in_log(in_log: u64) -> Self {
            Self { in_log, asked: AtomicUsize::new(0) }
        }
    }

    async fn passed(pending: &mut PendingChangesets, log: &Tens, next: u64) -> Vec<u64> {
        pending.look(log, |checkpoint| checkpoint < Checkpoint::new(next)).await.unwrap();
        let stream = "a".parse().unwrap();
        (1..=5).filter(|id| pending.is_passed(&stream, ChangesetId::new(*id))).collect()
    }

    fn first_five() -> PendingChangesets {
        let stream = "a".parse().unwrap();
        PendingChangesets::of((1..=5).chain([5, 1]).map(|id| (&stream, ChangesetId::new(id))))
    }

    #[tokio::test]
    async fn who_is_past_the_newest_is_past_all_and_asks_once() {
        let (log, mut pending) = (Tens::in_log(5), first_five());
        assert_eq!(passed(&mut pending, &log, 51).await, [1, 2, 3, 4, 5]);
        assert_eq!(log.asked.load(SeqCst), 1);
        assert_eq!(pending.next_checkpoint(), None);
    }

    #[tokio::test]
    async fn each_checkpoint_is_asked_for_once() {
        let (log, mut pending) = (Tens::in_log(5), first_five());
        for next in [20, 21, 30, 35, 50] {
            assert_eq!(passed(&mut pending, &log, next).await.len() as u64, (next - 1) / 10);
        }
        assert_eq!(pending.next_checkpoint(), Some(Checkpoint::new(50)));
        assert_eq!(passed(&mut pending, &log, 51).await, [1, 2, 3, 4, 5]);
        assert_eq!(log.asked.load(SeqCst), 5);
    }

    #[tokio::test]
    async fn a_changeset_without_a_checkpoint_is_asked_for_again() {
        let (log, mut pending) = (Tens::in_log(2), first_five());
        assert_eq!(passed(&mut pending, &log, 99).await, [1, 2]);
        // It asked for the newest one, those with a checkpoint, and the first one without.
        assert_eq!(log.asked.load(SeqCst), 4);
        assert_eq!(pending.next_checkpoint(), None);
        assert_eq!(passed(&mut pending, &log, 99).await, [1, 2]);
        assert_eq!(log.asked.load(SeqCst), 6);
        assert_eq!(passed(&mut pending, &Tens::in_log(5), 99).await, [1, 2, 3, 4, 5]);
    }
}

//! Projections of one `Projector` that are far behind.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use ees_projector::{BoxError, Order, Projection, Projector, Recorded, Settings, memory};
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogHead, LogPage,
    LogQuery, Result, StreamId,
};
use tokio::sync::Semaphore;

const CHANGESETS: u64 = 5_000;
const SPAN: usize = 100;

/// Applies a batch whenever it is let, and knows the largest one.
struct Counted {
    name: &'static str,
    may_apply: Arc<Semaphore>,
    applies: Arc<Semaphore>,
    largest: Arc<AtomicUsize>,
}

impl Projection<memory::Tx> for Counted {
    type Event = serde_json::Value;
    fn name(&self) -> &str {
        self.name
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn prefers_large_batches(&self) -> bool {
        true
    }
    async fn create_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut memory::Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, Self::Event>, tx: &mut memory::Tx) -> Result<(), BoxError> {
        self.apply_batch(&[event], tx).await
    }
    async fn apply_batch(
        &self,
        events: &[Recorded<'_, Self::Event>],
        _: &mut memory::Tx,
    ) -> Result<(), BoxError> {
        self.applies.add_permits(1);
        let _permit = self.may_apply.acquire().await?;
        self.largest.fetch_max(events.len(), SeqCst);
        Ok(())
    }
}

async fn with_changesets(count: u64) -> Arc<ees_store::memory::Store> {
    let store = Arc::new(ees_store::memory::Store::new());
    append(&store, 0..count).await;
    store
}

async fn append(store: &ees_store::memory::Store, numbers: Range<u64>) {
    for number in numbers {
        let stream = format!("s-{number}").parse().unwrap();
        let commit = Commit::new(stream, Expectation::NewStream, Events::parse("[1]").unwrap());
        store.commit(commit).await.unwrap();
    }
}

#[tokio::test]
async fn two_that_are_far_behind_share_the_size_of_a_transaction_and_one_has_all_of_it() {
    let store = with_changesets(CHANGESETS).await;
    let settings = Settings { batch_changesets_max: 10, span_changesets_max: SPAN, ..Settings::default() };
    let mut projector = Projector::new(store);
    let [first, second] = ["first", "second"].map(|name| {
        let (may_apply, applies) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let largest = Arc::<AtomicUsize>::default();
        let counted = Counted {
            name,
            may_apply: may_apply.clone(),
            applies: applies.clone(),
            largest: largest.clone(),
        };
        projector.projection(counted, memory::Database::new(), settings).unwrap();
        (may_apply, applies, largest)
    });
    let running = projector.start();
    let handle = running.handle();
    // Both have begun, with an ordinary batch. The second one stays there.
    for (_, applies, _) in [&first, &second] {
        applies.acquire().await.unwrap().forget();
    }
    let (may_apply, _, largest) = first;
    may_apply.add_permits(1);
    let head = CHANGESETS.into();
    handle.when_reached("first", head, Duration::from_secs(60)).await.unwrap();
    assert_eq!(largest.load(SeqCst), SPAN / 2);
    let (may_apply, _, largest) = second;
    may_apply.add_permits(1);
    handle.when_reached("second", head, Duration::from_secs(60)).await.unwrap();
    assert_eq!(largest.load(SeqCst), SPAN);
    running.shut_down().await;
}

/// A log whose reads take a while.
struct Slow(Arc<ees_store::memory::Store>);

#[async_trait]
impl ChangesetLog for Slow {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.read(query).await
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.0.locate(stream_id, changeset_id).await
    }
    async fn head(&self) -> Result<LogHead> {
        self.0.head().await
    }
}

#[tokio::test]
async fn announcements_that_come_faster_than_a_read_ends_do_not_keep_a_projection_from_going_on() {
    for partitions in [1, 2] {
        let store = with_changesets(10).await;
        let log = Arc::new(Slow(store.clone()));
        let database = memory::Database::new();
        let start = || {
            let counted = Counted {
                name: "counted",
                may_apply: Arc::new(Semaphore::new(1_000)),
                applies: Arc::new(Semaphore::new(0)),
                largest: Arc::default(),
            };
            let mut projector = Projector::new(log.clone());
            let settings = Settings { batch_changesets_max: 10, partitions, ..Settings::default() };
            projector.projection(counted, database.clone(), settings).unwrap();
            projector.start()
        };
        let running = start();
        running.handle().when_reached("counted", 10.into(), Duration::from_secs(60)).await.unwrap();
        running.shut_down().await;

        append(&store, 10..40).await;
        // What it reads first is not what all readers of the process wait for.
        let running = start();
        let handle = running.handle();
        let announcing = async {
            loop {
                handle.wake();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = announcing => unreachable!("it goes on"),
            reached = handle.when_reached("counted", 40.into(), Duration::from_secs(20)) => reached.unwrap(),
        }
        running.shut_down().await;
    }
}

//! Projections of one `Projector` that are far behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::{BoxError, Projection, Projector, Recorded, Settings, memory};
use ees_store::{Commit, EventStore, Events, Expectation};
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

#[tokio::test]
async fn two_that_are_far_behind_share_the_size_of_a_transaction_and_one_has_all_of_it() {
    let store = Arc::new(ees_store::memory::Store::new());
    for number in 0..CHANGESETS {
        let stream = format!("s-{number}").parse().unwrap();
        let commit = Commit::new(stream, Expectation::NewStream, Events::parse("[1]").unwrap());
        store.commit(commit).await.unwrap();
    }
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

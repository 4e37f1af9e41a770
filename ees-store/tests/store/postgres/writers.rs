//! Writers that go on whatever happens, and what they were told held against what is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ees_store::postgres::Store;
use ees_store::{ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, LogQuery};
use tokio::task::JoinSet;

use super::{commit, keyed, numbers, until};

/// Writers with keys and without, one stream each.
pub(crate) struct Writers {
    store: Arc<Store>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Writers {
    pub(crate) fn start(store: &Arc<Store>, with_key: u64, without_key: u64) -> Self {
        let mut writers = Self {
            store: store.clone(),
            stop: Arc::default(),
            answered: Arc::default(),
            tasks: JoinSet::new(),
        };
        for number in 0..with_key {
            let (store, stop, answered) = writers.shared();
            writers.tasks.spawn(write_with_keys(store, stop, answered, format!("keyed-{number}")));
        }
        for number in 0..without_key {
            let (store, stop, answered) = writers.shared();
            writers.tasks.spawn(write_without_keys(store, stop, answered, format!("unkeyed-{number}")));
        }
        writers
    }

    fn shared(&self) -> (Arc<Store>, Arc<AtomicBool>, Arc<AtomicU64>) {
        (self.store.clone(), self.stop.clone(), self.answered.clone())
    }

    /// Waits until this many more commits were answered with success.
    pub(crate) async fn proceed(&self, more: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        until("commits succeed", async || self.answered.load(Ordering::Relaxed) >= goal).await;
    }

    /// Ends them; they have checked what they were told. Also the order must have no holes.
    pub(crate) async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            done.unwrap();
        }
        let mut next = Checkpoint::START;
        loop {
            let page = self.store.read(LogQuery::from(next, 1_000)).await.unwrap();
            for indexed in &page.changesets {
                assert_eq!(indexed.checkpoint, next, "the order has no holes");
                next = next.next();
            }
            if page.changesets.is_empty() {
                break;
            }
        }
        assert_eq!(self.store.head().await.unwrap().checkpoint, next);
    }
}

/// Repeats a commit until it is answered. Nothing but that the store is away for a moment may go wrong.
pub(crate) async fn insist(store: &Store, commit: &Commit) -> Committed {
    loop {
        match store.commit(commit.clone()).await {
            Ok(committed) => return committed,
            Err(Error::Unavailable(_) | Error::Overloaded) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Each commit is stored once, and a repeat tells where.
async fn write_with_keys(store: Arc<Store>, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>, stream: String) {
    let mut told = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let last = told.len() as u64;
        let committed = insist(&store, &keyed(&stream, last, last)).await;
        assert_eq!(committed.changeset_id.get(), last + 1, "nothing else writes to {stream}");
        told.push(committed);
        answered.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(numbers(&store, &stream).await, (0..told.len() as u64).collect::<Vec<_>>());
    for (last, committed) in told.iter().enumerate() {
        let repeat = insist(&store, &keyed(&stream, last as u64, last as u64)).await;
        assert_eq!(repeat, *committed);
    }
}

/// Each commit that was answered is stored once; one that was not, once or not at all.
async fn write_without_keys(
    store: Arc<Store>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    stream: String,
) {
    let (mut last, mut told, mut unknown) = (0, Vec::new(), Vec::new());
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match store.commit(commit(&stream, last, number)).await {
            Ok(committed) => {
                told.push(number);
                last = committed.changeset_id.get();
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::Unavailable(_) | Error::Overloaded | Error::Refused(_)) => {
                unknown.push(number);
                if let Ok(page) =
                    store.read_stream(ees_store::StreamQuery::all(stream.parse().unwrap())).await
                    && page.next.is_none()
                {
                    last = page.changesets.last().map_or(0, |changeset| changeset.changeset_id.get());
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    if told.is_empty() {
        return;
    }
    let stored = numbers(&store, &stream).await;
    assert!(stored.is_sorted_by(|a, b| a < b), "once each, in their order: {stored:?}");
    assert!(stored.iter().all(|number| told.contains(number) || unknown.contains(number)));
    assert!(told.iter().all(|number| stored.contains(number)), "{told:?} are stored: {stored:?}");
}

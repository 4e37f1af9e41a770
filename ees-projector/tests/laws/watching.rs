//! Folds in memory that follow the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::{
    Fold, OnFailure, Parking, Projector, Recorded, RegisterError, Running, Settings, Snapshot, State, Status,
    Watched, Watching,
};
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, memory};
use tokio::sync::watch::Receiver;

const LONG: Duration = Duration::from_secs(20);

/// The sum of each stream. Zero deletes the row.
#[derive(Clone, Default)]
struct Sums {
    version: u32,
    folded: Arc<AtomicUsize>,
    refuses: Option<i64>,
}

impl Fold for Sums {
    type Event = i64;
    type Key = String;
    type State = i64;

    fn name(&self) -> &str {
        "sums"
    }
    fn version(&self) -> u32 {
        self.version + 1
    }
    fn key(&self, event: Recorded<'_, i64>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<i64>, event: Recorded<'_, i64>) -> Option<i64> {
        assert_ne!(self.refuses, Some(*event.event), "told to");
        self.folded.fetch_add(1, SeqCst);
        Some(row.unwrap_or(0) + event.event).filter(|_| *event.event != 0)
    }
}

async fn append(store: &memory::Store, numbers: impl IntoIterator<Item = (&str, i64)>) {
    for (stream, number) in numbers {
        let page = store.read_stream(ees_store::StreamQuery::all(stream.parse().unwrap())).await;
        let last = page.map_or(0, |page| page.changesets.len() as u64);
        let events = Events::of(&[number]).unwrap();
        let commit = Commit::new(stream.parse().unwrap(), Expectation::LastChangeset(last.into()), events);
        store.commit(commit).await.unwrap();
    }
}

fn start(
    store: &Arc<memory::Store>,
    sums: Sums,
    watching: Watching<i64>,
) -> (Running, Receiver<Watched<i64>>) {
    let mut projector = Projector::new(store.clone());
    let value = projector.watch(sums, watching).unwrap();
    (projector.start(), value)
}

/// The rows once they are those of the whole log.
async fn rows(store: &memory::Store, value: &mut Receiver<Watched<i64>>) -> Vec<(String, i64)> {
    let head = store.head().await.unwrap().checkpoint;
    let reached = value.wait_for(|watched| watched.checkpoint() == head);
    let watched = tokio::time::timeout(LONG, reached).await.unwrap().unwrap();
    watched.rows.iter().map(|(key, sum)| (key.clone(), *sum)).collect()
}

async fn paused(running: &Running) -> Status {
    let pause = async {
        loop {
            let status = running.handle().status("sums").await.unwrap();
            if status.state == State::Paused {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, pause).await.unwrap()
}

fn hasty() -> Settings {
    let retry = ees_projector::Retry { times: 1, delay_min: Duration::ZERO, delay_max: Duration::ZERO };
    Settings { retry, ..Settings::default() }
}

fn named(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(key, sum)| ((*key).to_owned(), *sum)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_fold_follows_the_log() {
    let store = Arc::new(memory::Store::new());
    append(&store, [("a", 1), ("b", 2), ("a", 3)]).await;
    let (running, mut value) = start(&store, Sums::default(), Watching::default());
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 4), ("b", 2)]));
    append(&store, [("b", 0), ("c", 5)]).await;
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 4), ("c", 5)]));
    running.handle().rebuild("sums", "to see it").await.unwrap();
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 4), ("c", 5)]));
    // The worker tells of a batch after it has committed it.
    running.handle().when_reached("sums", 5.into(), LONG).await.unwrap();
    let status = running.handle().status("sums").await.unwrap();
    assert_eq!((status.checkpoint.get(), status.lag_changesets), (5, 0));
    running.shut_down().await;
    assert!(value.changed().await.is_err(), "the value ends with the projector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_fold_goes_on_from_a_snapshot() {
    let store = Arc::new(memory::Store::new());
    append(&store, [("a", 1), ("b", 2), ("a", 3)]).await;
    let (running, mut value) = start(&store, Sums::default(), Watching::default());
    rows(&store, &mut value).await;
    let text = serde_json::to_string(&value.borrow().snapshot()).unwrap();
    running.shut_down().await;
    append(&store, [("a", 10)]).await;
    let snapshot: Snapshot<i64> = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshot.checkpoint().get(), 3);
    let watching = || Watching { snapshot: Some(snapshot.clone()), ..Watching::default() };
    let sums = Sums::default();
    let (running, mut value) = start(&store, sums.clone(), watching());
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 14), ("b", 2)]));
    assert_eq!(sums.folded.load(SeqCst), 1, "what the snapshot has is not folded again");
    running.shut_down().await;
    // A newer version does not take the rows of an older one.
    let newer = Sums { version: 1, ..Sums::default() };
    let (running, mut value) = start(&store, newer.clone(), watching());
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 14), ("b", 2)]));
    assert_eq!(newer.folded.load(SeqCst), 4);
    running.shut_down().await;
    // Nor does it go on in another log.
    let other = Arc::new(memory::Store::new());
    append(&other, [("x", 1), ("x", 2), ("x", 3), ("x", 4)]).await;
    let (running, value) = start(&other, Sums::default(), watching());
    let stopped = async {
        while running.handle().status("sums").await.unwrap().state != State::Stopped {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, stopped).await.unwrap();
    assert_eq!(value.borrow().checkpoint().get(), 3);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_fold_has_a_limit_of_rows() {
    let store = Arc::new(memory::Store::new());
    append(&store, [("a", 1), ("b", 1), ("a", 0), ("c", 1), ("d", 1), ("b", 1)]).await;
    let watching = Watching { rows_max: 2, settings: hasty(), ..Watching::default() };
    let (running, value) = start(&store, Sums::default(), watching);
    let status = paused(&running).await;
    assert_eq!(status.checkpoint.get(), 4);
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("would have 3 rows in memory, and may have 2"), "{reason}");
    assert_eq!(value.borrow().rows.keys().collect::<Vec<_>>(), ["b", "c"]);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_changeset_changes_nothing_in_a_watched_fold() {
    let store = Arc::new(memory::Store::new());
    append(&store, [("a", 1), ("a", 7), ("a", 2)]).await;
    let sums = Sums { refuses: Some(7), ..Sums::default() };
    let (running, mut value) = start(&store, sums, Watching { settings: hasty(), ..Watching::default() });
    let status = paused(&running).await;
    assert_eq!(value.borrow().rows["a"], 1);
    running.handle().skip("sums", status.checkpoint, "it is wrong").await.unwrap();
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 3)]));
    // A rebuild leaves it out again.
    running.handle().rebuild("sums", "to see it").await.unwrap();
    assert_eq!(rows(&store, &mut value).await, named(&[("a", 3)]));
    running.shut_down().await;
}

#[test]
fn a_watched_fold_can_not_park() {
    let mut projector = Projector::new(Arc::new(memory::Store::new()));
    let settings = Settings { on_failure: OnFailure::Park(Parking::default()), ..Settings::default() };
    let refused = projector.watch(Sums::default(), Watching { settings, ..Watching::default() });
    assert_eq!(refused.map(drop), Err(RegisterError::ParkedInMemory("sums".to_owned())));
}

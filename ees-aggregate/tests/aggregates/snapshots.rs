//! Snapshots are only a cache: used when they hold, and never missed.

use std::sync::Arc;

use async_trait::async_trait;
use ees_aggregate::snapshots::{BoxError, Key, Snapshot, Snapshots, memory, postgres};
use ees_aggregate::{Aggregate, Repository, Snapshotted};
use ees_store::{ChangesetId, ChangesetLog, EventStore, StreamRange, memory as store};
use ees_test_postgres::{Bouncer, TestDatabase};
use serde::{Deserialize, Serialize};

use crate::rigged::Rigged;
use crate::stock::{SoldOut, Stock, StockCommand, StockEvent, id, reserve};

fn stocks(store: &Arc<Rigged>, place: Arc<dyn Snapshots>) -> Repository<Stock> {
    Repository::new(store.clone()).with_snapshots(place).with_snapshots_after(10)
}

async fn restock<S: EventStore + ChangesetLog>(store: &Arc<S>, times: u64, count: u64) {
    let stocks = Repository::<Stock>::new(store.clone());
    for _ in 0..times {
        stocks.execute(&id("stock/1"), &StockCommand::Restock(count)).await.unwrap();
    }
}

async fn left<S: EventStore + ChangesetLog>(store: &Arc<S>, place: &Arc<dyn Snapshots>) -> u64 {
    let stocks = Repository::<Stock>::new(store.clone());
    let stocks = stocks.with_snapshots(place.clone()).with_snapshots_after(10);
    let plain = Repository::<Stock>::new(store.clone()).load(&id("stock/1")).await.unwrap().unwrap();
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!(loaded, plain, "with a snapshot (left), and without (right)");
    loaded.left
}

/// The first changeset of each call that was made.
fn asked(store: &Rigged) -> Vec<u64> {
    let first = |range| match range {
        StreamRange::Changesets { from, .. } => from.get(),
        StreamRange::Events { from, .. } => panic!("by event {from}"),
    };
    store.asked().into_iter().map(|query| first(query.range)).collect()
}

fn rigged() -> Arc<Rigged> {
    Rigged::new(Arc::new(store::Store::new()), ())
}

pub(crate) async fn a_long_stream_is_read_from_its_snapshot_on(place: Arc<dyn Snapshots>) {
    let store = rigged();
    restock(&store, 30, 1).await;
    let stocks = stocks(&store, place.clone());
    stocks.load(&id("stock/1")).await.unwrap();
    restock(&store, 5, 1).await;
    asked(&store);
    let loaded = stocks.load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!(
        (loaded.left, asked(&store)),
        (35, vec![30]),
        "the changeset of the snapshot, and what follows"
    );
    // Another process finds it too.
    let others = Repository::<Stock>::new(store.clone()).with_snapshots(place);
    assert_eq!(others.load(&id("stock/1")).await.unwrap(), Some(loaded));
    assert_eq!(asked(&store), [30]);
    restock(&store, 5, 1).await;
    stocks.load(&id("stock/1")).await.unwrap();
    asked(&store);
    stocks.load(&id("stock/1")).await.unwrap();
    assert_eq!(asked(&store), [40], "a new one after ten events");
}

pub(crate) async fn with_snapshots_every_state_is_the_same_as_without(place: Arc<dyn Snapshots>) {
    let store = rigged();
    let (plain, stocks) = (Repository::<Stock>::new(store.clone()), stocks(&store, place));
    let mut random = fastrand::Rng::with_seed(7);
    for buyer in 0..60_u64 {
        let of = id(&format!("stock/{}", random.u8(0..2)));
        if random.bool() {
            stocks.execute(&of, &StockCommand::Fill(5)).await.unwrap();
        } else {
            let _ = stocks.execute(&of, &reserve(buyer.to_string())).await;
        }
        let expected = plain.load(&of).await.unwrap();
        assert_eq!(stocks.load(&of).await.unwrap(), expected);
        let last = expected.map_or(ChangesetId::NONE, |loaded| loaded.changeset_id);
        let at = ChangesetId::new(random.u64(0..=last.get()));
        assert_eq!(stocks.load_at(&of, at).await.unwrap(), plain.load_at(&of, at).await.unwrap());
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Weighed {
    Weighed { grams: f64 },
}

/// A sum that is never exact.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scale {
    grams: f64,
    large: u128,
}

impl Aggregate for Scale {
    const TYPE: &'static str = "scale";
    type Event = Weighed;
    type Command = f64;
    type Error = SoldOut;
    fn apply(&mut self, Weighed::Weighed { grams }: &Weighed) {
        self.grams += grams;
        self.large += u128::from(u64::MAX);
    }
    fn decide(&self, grams: &f64) -> Result<Vec<Weighed>, SoldOut> {
        Ok(vec![Weighed::Weighed { grams: *grams }])
    }
}

impl Snapshotted for Scale {
    const SCHEMA: &'static str = "1";
}

pub(crate) async fn numbers_come_back_from_a_snapshot_as_they_were(place: Arc<dyn Snapshots>) {
    let store = rigged();
    let plain = Repository::<Scale>::new(store.clone());
    let scales = Repository::<Scale>::new(store.clone()).with_snapshots(place).with_snapshots_after(1);
    let of = id("scale/1");
    for n in 1..40 {
        scales.execute(&of, &(123.45 * f64::from(n) / 7.0)).await.unwrap();
        assert_eq!(scales.load(&of).await.unwrap(), plain.load(&of).await.unwrap(), "after {n}");
    }
}

/// The same streams, with a state of another form.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    left: u64,
    #[serde(default)]
    events: u64,
}

impl Aggregate for Counted {
    const TYPE: &'static str = Stock::TYPE;
    type Event = StockEvent;
    type Command = StockCommand;
    type Error = SoldOut;
    fn apply(&mut self, _: &StockEvent) {
        self.events += 1;
    }
    fn decide(&self, _: &StockCommand) -> Result<Vec<StockEvent>, SoldOut> {
        Err(SoldOut)
    }
}

impl Snapshotted for Counted {
    const SCHEMA: &'static str = "2";
}

pub(crate) async fn a_snapshot_of_another_schema_is_not_used_and_replaced(place: Arc<dyn Snapshots>) {
    let store = rigged();
    restock(&store, 20, 1).await;
    assert_eq!(left(&store, &place).await, 20);
    let counted =
        Repository::<Counted>::new(store.clone()).with_snapshots(place.clone()).with_snapshots_after(10);
    for from in [1, 20] {
        asked(&store);
        let loaded = counted.load(&id("stock/1")).await.unwrap().unwrap();
        assert_eq!(loaded.state, Counted { left: 0, events: 20 });
        assert_eq!(asked(&store), [from]);
    }
    assert_eq!(left(&store, &place).await, 20);
}

pub(crate) async fn a_snapshot_past_the_end_is_not_used(place: Arc<dyn Snapshots>) {
    let long = Arc::new(store::Store::new());
    restock(&long, 30, 1).await;
    assert_eq!(left(&long, &place).await, 30);
    // A backup was restored.
    let restored = Arc::new(store::Store::new().with_identity_of(&long));
    restock(&restored, 12, 2).await;
    for _ in 0..2 {
        assert_eq!(left(&restored, &place).await, 24);
    }
    let empty = Arc::new(store::Store::new().with_identity_of(&long));
    let stocks = Repository::<Stock>::new(empty).with_snapshots(place);
    assert!(stocks.load(&id("stock/1")).await.unwrap().is_none());
}

pub(crate) async fn a_snapshot_of_another_past_is_not_used(place: Arc<dyn Snapshots>) {
    let one = Arc::new(store::Store::new());
    restock(&one, 20, 1).await;
    assert_eq!(left(&one, &place).await, 20);
    // The same log, gone back and grown to the same length; its last changeset reads the same.
    let other = Arc::new(store::Store::new().with_identity_of(&one));
    restock(&other, 19, 5).await;
    restock(&other, 1, 1).await;
    assert_eq!(left(&other, &place).await, 96);
}

pub(crate) async fn a_snapshot_of_another_log_is_not_used(place: Arc<dyn Snapshots>) {
    let (one, other) = (Arc::new(store::Store::new()), Arc::new(store::Store::new()));
    restock(&one, 20, 1).await;
    restock(&other, 20, 5).await;
    for _ in 0..2 {
        assert_eq!((left(&one, &place).await, left(&other, &place).await), (20, 100));
    }
}

pub(crate) async fn executing_goes_on_from_a_snapshot(place: Arc<dyn Snapshots>) {
    let store = rigged();
    restock(&store, 20, 1).await;
    let stocks = stocks(&store, place);
    stocks.execute(&id("stock/1"), &reserve("ada")).await.unwrap();
    asked(&store);
    let executed = stocks.execute(&id("stock/1"), &reserve("bob")).await.unwrap();
    assert_eq!((executed.aggregate.left, asked(&store)), (18, vec![20]));
}

#[tokio::test]
async fn snapshots_are_kept_behind_a_pooling_proxy() {
    let database = TestDatabase::new().await;
    let Some(bouncer) = Bouncer::start(database.url()).await else { return };
    let url = format!("{}?statement-cache-capacity=0", bouncer.url());
    let store = rigged();
    restock(&store, 20, 1).await;
    // Several clients that share the proxy's connections, and leave their statements in them.
    for buyer in 0..4 {
        let place = Arc::new(postgres::Snapshots::connect(&url).await.unwrap());
        let stocks = stocks(&store, place.clone());
        stocks.execute(&id("stock/1"), &reserve(buyer.to_string())).await.unwrap();
        asked(&store);
        stocks.load(&id("stock/1")).await.unwrap();
        assert_eq!(asked(&store), [20]);
    }
}

/// A place that gives what was not asked for.
struct Faulty(memory::Snapshots, fn(&Key, Option<Snapshot>) -> Result<Option<Snapshot>, BoxError>);

#[async_trait]
impl Snapshots for Faulty {
    async fn find(&self, key: &Key) -> Result<Option<Snapshot>, BoxError> {
        // Whatever aggregate was asked for.
        let of_first = Key { stream_id: id("stock/1"), ..key.clone() };
        (self.1)(key, self.0.find(&of_first).await?)
    }
    async fn keep(&self, key: &Key, snapshot: &Snapshot) -> Result<(), BoxError> {
        self.0.keep(key, snapshot).await
    }
}

#[tokio::test]
async fn a_place_that_fails_or_gives_nonsense_is_never_believed() {
    type Fault = fn(&Key, Option<Snapshot>) -> Result<Option<Snapshot>, BoxError>;
    let faults: [(&str, Fault); 5] = [
        ("another stream's", |_, found| Ok(found)),
        ("none", |_, _| Ok(None)),
        ("an error", |_, _| Err("the disk is gone".into())),
        ("another state", |_, found| {
            Ok(found.map(|it| Snapshot { state: r#"{"left":9,"buyers":[]}"#.to_owned(), ..it }))
        }),
        ("another position", |_, found| {
            Ok(found.map(|it| Snapshot { changeset_id: ChangesetId::new(15), ..it }))
        }),
    ];
    for (what, fault) in faults {
        let store = rigged();
        let place: Arc<dyn Snapshots> = Arc::new(Faulty(memory::Snapshots::new(), fault));
        restock(&store, 20, 1).await;
        let second = Repository::<Stock>::new(store.clone());
        for _ in 0..20 {
            second.execute(&id("stock/2"), &StockCommand::Restock(1)).await.unwrap();
        }
        second.execute(&id("stock/2"), &reserve("ada")).await.unwrap();
        for _ in 0..2 {
            assert_eq!(left(&store, &place).await, 20, "{what}");
            let loaded = stocks(&store, place.clone()).load(&id("stock/2")).await.unwrap().unwrap();
            assert_eq!((loaded.left, loaded.buyers.len()), (19, 1), "{what}");
        }
    }
}

/// A place that never answers.
struct Silent;

#[async_trait]
impl Snapshots for Silent {
    async fn find(&self, _: &Key) -> Result<Option<Snapshot>, BoxError> {
        std::future::pending().await
    }
    async fn keep(&self, _: &Key, _: &Snapshot) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_place_that_does_not_answer_holds_nobody_up_for_long() {
    let store = rigged();
    restock(&store, 20, 1).await;
    let begun = std::time::Instant::now();
    let loaded = stocks(&store, Arc::new(Silent)).load(&id("stock/1")).await.unwrap().unwrap();
    assert_eq!(loaded.left, 20);
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
}

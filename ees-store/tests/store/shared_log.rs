//! What arrives is read once for all readers of a process, and none of them misses or repeats anything.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, Filter, LogEntry,
    LogHead, LogPage, LogQuery, Quarantined, Result, SharedLog, StreamId, memory,
};
use futures::future::join_all;
use uuid::Uuid;

const WAIT: Duration = Duration::from_secs(20);

/// A log that counts its reads, fails or panics when it is told to, and may be exchanged for another one.
struct Watched {
    store: RwLock<Arc<memory::Store>>,
    reads: AtomicUsize,
    fails: AtomicBool,
    /// The next read panics.
    panics: AtomicBool,
}

impl Watched {
    fn new() -> Arc<Self> {
        let store = RwLock::new(Arc::new(memory::Store::new()));
        Arc::new(Self { store, reads: AtomicUsize::new(0), fails: false.into(), panics: false.into() })
    }

    fn store(&self) -> Arc<memory::Store> {
        self.store.read().unwrap().clone()
    }

    fn exchange(&self, other: memory::Store) {
        *self.store.write().unwrap() = Arc::new(other);
    }

    fn reads(&self) -> usize {
        self.reads.swap(0, SeqCst)
    }

    fn check(&self) -> Result<()> {
        if self.fails.load(SeqCst) { Err(Error::Unavailable("it was told to".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl ChangesetLog for Watched {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.check()?;
        self.reads.fetch_add(1, SeqCst);
        assert!(!self.panics.swap(false, SeqCst), "it was told to");
        self.store().read(query).await
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.store().locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.check()?;
        self.store().head().await
    }
}

async fn append(store: &memory::Store, stream: &str, events: Events) -> u64 {
    let id: StreamId = stream.parse().unwrap();
    let last = store.tail(&id).await.unwrap().last_changeset;
    let commit = Commit::new(id, Expectation::LastChangeset(last), events);
    store.commit(commit).await.unwrap().checkpoint.unwrap().get()
}

async fn append_one(store: &memory::Store) -> u64 {
    append(store, "a", Events::parse(r#"[{"type":"t"}]"#).unwrap()).await
}

/// Reads on as a projection does, until it has passed `end`.
async fn follow(log: &SharedLog, from: u64, end: u64, filter: Filter) -> Vec<LogEntry> {
    let mut found = Vec::new();
    let mut query = LogQuery::from(Checkpoint::new(from), 7).with_wait(WAIT).with_filter(filter);
    while query.from.get() < end {
        let page = log.read(query.clone()).await.unwrap();
        assert!(page.next >= query.from && page.head.checkpoint >= page.next);
        assert!(page.changesets.iter().all(|entry| (query.from..page.next).contains(&entry.checkpoint)));
        found.extend(page.changesets);
        query.from = page.next;
    }
    found
}

fn places(entries: &[LogEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.checkpoint.get()).collect()
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), what).await.expect("in time")
}

/// Readers that wait at the end.
fn waiting(log: &SharedLog, readers: usize, from: u64) -> Vec<tokio::task::JoinHandle<Result<LogPage>>> {
    let query = LogQuery::from(Checkpoint::new(from), 10).with_wait(WAIT);
    (0..readers)
        .map(|_| {
            let (log, query) = (log.clone(), query.clone());
            tokio::spawn(async move { log.read(query).await })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_read_once_for_all_who_wait() {
    const READERS: usize = 20;
    const COMMITS: usize = 50;
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let mut readers = waiting(&shared, READERS, 0);
    append_one(&log.store()).await;
    for reader in in_time(join_all(readers)).await {
        assert_eq!(places(&reader.unwrap().unwrap().changesets), [0]);
    }
    log.reads();
    for round in 1..=COMMITS {
        readers = waiting(&shared, READERS, round as u64);
        append_one(&log.store()).await;
        for reader in in_time(join_all(readers)).await {
            assert_eq!(places(&reader.unwrap().unwrap().changesets), [round as u64]);
        }
    }
    // One a commit; more only where a commit came while nobody waited any more.
    let reads = log.reads();
    assert!(reads <= 2 * COMMITS, "{reads} reads for {COMMITS} commits and {READERS} readers");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_misses_or_repeats_anything_wherever_it_begins() {
    const COMMITS: u64 = 600;
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    for _ in 0..COMMITS / 3 {
        append_one(&log.store()).await;
    }
    let readers: Vec<_> = (0..24_u64)
        .map(|number| {
            let (shared, from) = (shared.clone(), number * 10);
            tokio::spawn(async move {
                // Some come late, some read only a part.
                tokio::time::sleep(Duration::from_millis(number * 3)).await;
                let filter = if number % 2 == 0 { Filter::default() } else { Filter::event_types(["t"]) };
                (from, follow(&shared, from, COMMITS, filter).await)
            })
        })
        .collect();
    for at in COMMITS / 3..COMMITS {
        assert_eq!(append_one(&log.store()).await, at);
        if fastrand::u8(..8) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for reader in in_time(join_all(readers)).await {
        let (from, found) = reader.unwrap();
        assert_eq!(places(&found), (from..COMMITS).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_reader_who_is_far_behind_reads_the_log_itself_until_it_meets_the_others() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let large = Events::parse(&format!("[\"{}\"]", "x".repeat(1_000_000))).unwrap();
    // More than is kept, while one reader waits.
    let mut ahead = waiting(&shared, 1, 0);
    for at in 0..30 {
        append(&log.store(), "a", large.clone()).await;
        in_time(join_all(ahead)).await;
        ahead = waiting(&shared, 1, at + 1);
    }
    log.reads();
    assert_eq!(places(&in_time(follow(&shared, 28, 30, Filter::default())).await), [28, 29]);
    assert!(log.reads() <= 1, "what was just read is still there; one reads for who waits");
    assert_eq!(
        places(&in_time(follow(&shared, 0, 30, Filter::default())).await),
        (0..30).collect::<Vec<_>>()
    );
    let reads = log.reads();
    assert!((2..30).contains(&reads), "{reads}");
}

#[tokio::test]
async fn nothing_is_read_while_nobody_waits() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let reader = waiting(&shared, 1, 0);
    while log.reads.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    append_one(&log.store()).await;
    in_time(join_all(reader)).await;
    append_one(&log.store()).await;
    log.reads();
    for _ in 0..100 {
        append_one(&log.store()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(log.reads(), 0);
    // Who comes then finds everything.
    assert_eq!(in_time(follow(&shared, 0, 102, Filter::default())).await.len(), 102);
    assert_eq!(in_time(follow(&shared, 90, 102, Filter::default())).await.len(), 12);
}

#[tokio::test]
async fn after_an_error_everybody_is_told_and_then_goes_on() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    append_one(&log.store()).await;
    let readers = waiting(&shared, 3, 1);
    while log.reads.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    log.fails.store(true, SeqCst);
    shared.look_again();
    for reader in in_time(join_all(readers)).await {
        let told = reader.unwrap();
        assert!(matches!(&told, Err(Error::Unavailable(why)) if why == "it was told to"), "{told:?}");
    }
    let again = waiting(&shared, 3, 1);
    for reader in in_time(join_all(again)).await {
        assert!(reader.unwrap().is_err());
    }
    log.fails.store(false, SeqCst);
    for from in [1, 0] {
        let readers = waiting(&shared, 3, from);
        if from == 1 {
            append_one(&log.store()).await;
        }
        for reader in in_time(join_all(readers)).await {
            assert_eq!(places(&reader.unwrap().unwrap().changesets), (from..2).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn of_a_log_that_was_replaced_nothing_is_told_from_memory() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let reader = waiting(&shared, 1, 0);
    while log.reads.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..5 {
        append_one(&log.store()).await;
    }
    in_time(join_all(reader)).await;
    assert_eq!(places(&in_time(follow(&shared, 0, 5, Filter::default())).await), [0, 1, 2, 3, 4]);
    // The same log in an older state, which has gone on in another way.
    let other = memory::Store::new().with_identity_of(&log.store());
    for _ in 0..5 {
        append(&other, "other", Events::parse("[1]").unwrap()).await;
    }
    log.exchange(other);
    let head = shared.head().await.unwrap();
    for (from, wait) in [(0, Duration::ZERO), (4, WAIT)] {
        let query = LogQuery::from(Checkpoint::new(from), 1).with_wait(wait);
        let page = in_time(shared.read(query)).await.unwrap();
        assert_eq!(
            (page.changesets[0].stream_id.as_str(), page.head.incarnation),
            ("other", head.incarnation)
        );
    }
    // Who waits for it is woken by what arrives there.
    let reader = waiting(&shared, 1, 5);
    append(&log.store(), "other", Events::parse("[1]").unwrap()).await;
    let page = in_time(join_all(reader)).await.remove(0).unwrap().unwrap();
    assert_eq!(places(&page.changesets), [5]);
}

#[tokio::test]
async fn a_reader_past_the_end_is_told_where_the_log_ends() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    append_one(&log.store()).await;
    let others = waiting(&shared, 2, 1);
    let began = Instant::now();
    let query = LogQuery::from(Checkpoint::new(9), 1).with_wait(Duration::from_millis(100));
    let page = in_time(shared.read(query)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert_eq!((page.next.get(), page.head.checkpoint.get(), page.changesets.len()), (9, 1, 0));
    append_one(&log.store()).await;
    in_time(join_all(others)).await;
}

#[tokio::test]
async fn a_quarantined_changeset_is_read_again_each_time() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let reader = waiting(&shared, 1, 0);
    while log.reads.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    append(&log.store(), "bad", Events::quarantine(Quarantined::new("why", "[", "{}"), 1)).await;
    let page = in_time(join_all(reader)).await.remove(0).unwrap().unwrap();
    assert!(page.changesets[0].events.quarantined().is_some());
    for wait in [Duration::ZERO, WAIT] {
        log.reads();
        let query = LogQuery::from(Checkpoint::START, 1).with_wait(wait);
        assert!(in_time(shared.read(query)).await.unwrap().changesets[0].events.quarantined().is_some());
        assert!(log.reads() >= 1, "somebody may have repaired it");
    }
}

/// A log that looks at its store only when it is asked.
struct Deaf(Arc<memory::Store>);

#[async_trait]
impl ChangesetLog for Deaf {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let wait = query.wait;
        let page = self.0.read(query.with_wait(Duration::ZERO)).await?;
        if page.changesets.is_empty() {
            tokio::time::sleep(wait).await;
        }
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.0.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        self.0.head().await
    }
}

#[tokio::test]
async fn a_log_that_notices_nothing_is_looked_at_when_somebody_says_so_and_when_a_wait_ends() {
    let store = Arc::new(memory::Store::new());
    let shared = SharedLog::from(Arc::new(Deaf(store.clone())));
    let readers = waiting(&shared, 2, 0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    append_one(&store).await;
    shared.look_again();
    for reader in in_time(join_all(readers)).await {
        assert_eq!(places(&reader.unwrap().unwrap().changesets), [0]);
    }
    let patient = waiting(&shared, 1, 1);
    let brief = LogQuery::from(Checkpoint::new(1), 1).with_wait(Duration::from_millis(100));
    let (page, at) = tokio::join!(shared.read(brief), append_one(&store));
    assert_eq!((places(&page.unwrap().changesets), at), (vec![1], 1));
    // One has found it: now all know.
    assert_eq!(places(&in_time(join_all(patient)).await.remove(0).unwrap().unwrap().changesets), [1]);
}

/// The servers behind one address, which answer in turn: each has its own incarnation of the log.
struct Balanced {
    store: Arc<memory::Store>,
    incarnations: [Uuid; 2],
    reads: AtomicUsize,
}

impl Balanced {
    /// The incarnation of the server whose turn it is.
    fn incarnation(&self) -> Uuid {
        self.incarnations[self.reads.fetch_add(1, SeqCst) % 2]
    }
}

#[async_trait]
impl ChangesetLog for Balanced {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let mut page = self.store.read(query).await?;
        page.head.incarnation = self.incarnation();
        Ok(page)
    }

    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        self.store.locate(stream_id, changeset_id).await
    }

    async fn head(&self) -> Result<LogHead> {
        Ok(LogHead { incarnation: self.incarnation(), ..self.store.head().await? })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_answer_in_turn_each_with_its_incarnation_cost_no_more_reads() {
    const READERS: usize = 20;
    const COMMITS: u64 = 50;
    let store = Arc::new(memory::Store::new());
    let reads = AtomicUsize::new(0);
    let log =
        Arc::new(Balanced { store: store.clone(), incarnations: [Uuid::new_v4(), Uuid::new_v4()], reads });
    let shared = SharedLog::from(log.clone());
    let followed = (0..READERS).map(|_| {
        let shared = shared.clone();
        tokio::spawn(async move { follow(&shared, 0, COMMITS, Filter::default()).await })
    });
    let followed: Vec<_> = followed.collect();
    for at in 0..COMMITS {
        assert_eq!(append_one(&store).await, at);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for reader in in_time(join_all(followed)).await {
        assert_eq!(places(&reader.unwrap()), (0..COMMITS).collect::<Vec<_>>());
    }
    // Each of them may begin with a read of its own, and one that comes late to a page reads it once more.
    let count = log.reads.load(SeqCst);
    assert!(
        count < READERS * COMMITS as usize / 2,
        "{count} reads for {COMMITS} commits and {READERS} readers"
    );
    // While nothing comes, nobody reads.
    let waiting = waiting(&shared, READERS, COMMITS);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = log.reads.load(SeqCst);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(log.reads.load(SeqCst), before);
    append_one(&store).await;
    in_time(join_all(waiting)).await;
}

/// A log whose reads take a while.
struct Slow(Arc<memory::Store>, AtomicUsize);

#[async_trait]
impl ChangesetLog for Slow {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        self.1.fetch_add(1, SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
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
async fn announcements_that_come_faster_than_a_read_ends_do_not_keep_it_from_ending() {
    let store = Arc::new(memory::Store::new());
    let log = Arc::new(Slow(store.clone(), AtomicUsize::new(0)));
    let shared = SharedLog::from(log.clone());
    let readers = waiting(&shared, 3, 0);
    // One has read by itself, and the task reads for all.
    while log.1.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let announcing = async {
        loop {
            shared.look_again();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    append_one(&store).await;
    tokio::select! {
        () = announcing => unreachable!("it goes on"),
        readers = in_time(join_all(readers)) => for reader in readers {
            assert_eq!(places(&reader.unwrap().unwrap().changesets), [0]);
        },
    }
}

#[tokio::test]
async fn a_read_that_panics_is_one_that_failed() {
    let log = Watched::new();
    let shared = SharedLog::from(log.clone());
    let readers = waiting(&shared, 3, 0);
    while log.reads.load(SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    log.panics.store(true, SeqCst);
    shared.look_again();
    while log.panics.load(SeqCst) {
        tokio::task::yield_now().await;
    }
    // More readers come, and the task reads again.
    let later = waiting(&shared, 3, 0);
    append_one(&log.store()).await;
    for reader in in_time(join_all(readers.into_iter().chain(later))).await {
        assert_eq!(places(&reader.unwrap().unwrap().changesets), [0]);
    }
    let readers = waiting(&shared, 3, 1);
    append_one(&log.store()).await;
    for reader in in_time(join_all(readers)).await {
        assert_eq!(places(&reader.unwrap().unwrap().changesets), [1]);
    }
}

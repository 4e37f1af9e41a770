use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_store::EventStore;
use ees_store::postgres::Store;
use ees_test_postgres::{Bouncer, TestDatabase};
use rustix::process::{Pid, Signal, kill_process};

use super::writers::{Writers, insist};
use super::{commit, keyed, numbers, until};

/// In the environment of the process that is frozen: the database.
const URL: &str = "EES_TEST_FROZEN_WRITER";
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

struct Frozen(Child);

impl Frozen {
    fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_frozen_process_holds_nobody_up_and_goes_on_when_it_thaws() {
    if let Ok(url) = std::env::var(URL) {
        let store = Arc::new(Store::connect(&url).await.unwrap());
        let _writers = Writers::start(&store, 8, 0);
        std::future::pending::<()>().await;
    }
    let database = TestDatabase::new().await;
    freeze_again_and_again(&database, database.url(), 40).await;
}

/// There a commit takes a few trips, and the process may freeze between them.
#[tokio::test]
async fn behind_pgbouncer_a_frozen_process_holds_others_up_for_seconds_at_most() {
    let database = TestDatabase::new().await;
    let Some(bouncer) = Bouncer::start(database.url()).await else { return };
    let url = format!("{}?statement-cache-capacity=0", bouncer.url());
    freeze_again_and_again(&database, &url, 8).await;
}

/// Runs the first test once more, in a process that writes and is frozen.
async fn freeze_again_and_again(database: &TestDatabase, url: &str, times: usize) {
    let store = Store::connect(database.url()).await.unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args([
        "--exact",
        "postgres::frozen::a_frozen_process_holds_nobody_up_and_goes_on_when_it_thaws",
        "--nocapture",
    ]);
    let other = other.env(URL, url).stdout(Stdio::null()).stderr(Stdio::null());
    let other = Frozen(other.spawn().unwrap());
    let length = async || numbers_so_far(&store).await;
    until("it writes", async || length().await > 10).await;

    let mut written = 0;
    for _ in 0..times {
        // Any moment of a commit may be the one.
        tokio::time::sleep(Duration::from_micros(fastrand::u64(1_000..60_000))).await;
        other.tell(Signal::STOP);
        let frozen = Instant::now();
        while frozen.elapsed() < Duration::from_millis(150) {
            let begun = Instant::now();
            store.commit(commit("a", written, written)).await.unwrap();
            assert!(begun.elapsed() < LONGEST_PAUSE, "{:?}", begun.elapsed());
            written += 1;
        }
        other.tell(Signal::CONT);
    }
    let before = length().await;
    until("it goes on", async || length().await > before + 10).await;
    drop(other);
    let of_the_other = numbers(&store, "keyed-0").await;
    assert_eq!(of_the_other, (0..of_the_other.len() as u64).collect::<Vec<_>>());
    let last = of_the_other.len() as u64 - 1;
    assert_eq!(insist(&store, &keyed("keyed-0", last, last)).await.changeset_id.get(), last + 1);
}

async fn numbers_so_far(store: &Store) -> usize {
    let query = ees_store::StreamQuery::all("keyed-0".parse().unwrap());
    if store.read_stream(query).await.is_ok() { numbers(store, "keyed-0").await.len() } else { 0 }
}

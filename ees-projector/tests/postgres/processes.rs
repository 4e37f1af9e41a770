//! Workers in processes of their own, killed, frozen and stopped.
//!
//! `EES_KILL_MINUTES` makes the killing last longer: each test kills for a quarter of this many minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projector::postgres::Database;
use ees_projector::{InPlace, NewVersion, Projector, RebuildStreams, Settings, SideBySide};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use rustix::process::Signal;

use crate::process::{Process, work};
use crate::support::{Balances, Bank, until};

/// What a process is told, and how.
const DATABASE: &str = "EES_TEST_WORKER_DATABASE";
const LOG: &str = "EES_TEST_WORKER_LOG";
const VERSION: &str = "EES_TEST_WORKER_VERSION";
const TAKES: &str = "EES_TEST_WORKER_TAKES_MICROS";
const DOES: &str = "EES_TEST_WORKER_DOES";

/// The program of a worker: works until its standard input is closed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a program that the other tests start"]
async fn worker() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let log = Arc::new(Client::new(&std::env::var(LOG).unwrap()).unwrap());
    let number = |name| std::env::var(name).unwrap().parse::<u32>().unwrap();
    let takes = Duration::from_micros(number(TAKES).into());
    let balances = Balances { version: number(VERSION), takes, ..Balances::default() };
    let settings = Settings {
        batch_changesets_max: 20,
        new_version: NewVersion::SideBySide { verify: true },
        ..Settings::default()
    };
    let mut projector = Projector::new(log);
    projector.fold(balances, Database::connect(&database).await.unwrap(), settings).unwrap();
    let running = projector.start();
    let handle = running.handle().clone();
    match &*std::env::var(DOES).unwrap() {
        "verify" => drop(tokio::spawn(async move { handle.verify("balances").await })),
        "build" => drop(tokio::spawn(async move {
            let wanted = SideBySide { verify: true, ..SideBySide::default() };
            handle.rebuild_side_by_side("balances", wanted, "").await
        })),
        "mend" => drop(tokio::spawn(async move {
            let streams = (0..FORGED).map(|number| format!("account-{number}").parse().unwrap());
            let wanted = RebuildStreams::of(streams);
            loop {
                let _ = handle.rebuild_streams("balances", wanted.clone(), "forged").await;
            }
        })),
        "build by many" => drop(tokio::spawn(async move {
            let wanted = SideBySide { verify: true, workers: Some(16), ..SideBySide::default() };
            handle.rebuild_side_by_side("balances", wanted, "").await
        })),
        "rebuild by many" => drop(tokio::spawn(async move {
            let wanted = InPlace { workers: Some(16), ..InPlace::default() };
            handle.rebuild_in_place("balances", wanted, "").await
        })),
        "swap" => drop(tokio::spawn(async move {
            loop {
                let _ = handle.rollback("balances", false, "").await;
            }
        })),
        _ => {}
    }
    work(running).await;
}

fn start(bank: &Served, does: &str, takes: Duration) -> Process {
    start_version(bank, 1, does, takes)
}

fn start_version(bank: &Served, version: u32, does: &str, takes: Duration) -> Process {
    let (version, takes) = (version.to_string(), takes.as_micros().to_string());
    let variables =
        [(DATABASE, bank.bank.url()), (LOG, &bank.url), (DOES, does), (VERSION, &version), (TAKES, &takes)];
    Process::start("processes::worker", &variables)
}

/// A bank whose log other processes can read.
struct Served {
    bank: Arc<Bank>,
    url: String,
}

impl Served {
    async fn new() -> Self {
        let bank = Arc::new(Bank::new().await);
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let router = Api::new(bank.log.clone(), bank.log.clone()).router();
        tokio::spawn(server.serve(router, std::future::pending()));
        Self { bank, url }
    }

    async fn checkpoint(&self) -> i64 {
        let sql = "SELECT coalesce(max(checkpoint), 0) FROM ees.projections WHERE name = 'balances'";
        self.bank.number(sql).await
    }

    /// The process that has the lease.
    async fn owner(&self) -> Option<u32> {
        let sql = "SELECT coalesce(max(split_part(owner, ':', 2)::bigint), 0) FROM ees.projections
            WHERE name = 'balances' AND leased_until > clock_timestamp()";
        u32::try_from(self.bank.number(sql).await).ok().filter(|id| *id > 0)
    }

    async fn owner_among(&self, workers: &[Process], within: Duration) -> usize {
        let place = |owner: Option<u32>| workers.iter().position(|worker| Some(worker.id()) == owner);
        until("one of them is at work", within, || async { place(self.owner().await).is_some() }).await;
        place(self.owner().await).unwrap()
    }

    /// Each event was applied exactly once.
    async fn is_exact(&self, deposits: i64) {
        let caught_up = || async { self.checkpoint().await == deposits };
        until("it catches up", Duration::from_secs(40), caught_up).await;
        assert_eq!(self.bank.total(&self.bank.connect().await).await, deposits);
        let applied = "SELECT sum((state->>'deposits')::bigint)::bigint FROM balances.balances";
        assert_eq!(self.bank.number(applied).await, deposits);
    }
}

const MS: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_that_is_killed_or_stopped_is_replaced_within_seconds() {
    let bank = Served::new().await;
    let mut workers: Vec<_> = (0..3).map(|_| start(&bank, "", MS)).collect();
    bank.bank.deposit_to_many(10).await;
    bank.is_exact(10).await;
    let owner = bank.owner_among(&workers, 10_000 * MS).await;
    workers.remove(owner).kill();
    bank.bank.deposit_to_many(10).await;
    let killed = Instant::now();
    bank.is_exact(20).await;
    assert!(killed.elapsed() < 8_000 * MS, "after a kill {:?}", killed.elapsed());
    let owner = bank.owner_among(&workers, 10_000 * MS).await;
    workers.remove(owner).stop();
    bank.bank.deposit_to_many(10).await;
    let stopped = Instant::now();
    bank.is_exact(30).await;
    assert!(stopped.elapsed() < 3_000 * MS, "after a stop {:?}", stopped.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_frozen_past_its_lease_changes_nothing_when_it_wakes() {
    let bank = Served::new().await;
    // Nearly all the time in the middle of a transaction.
    let workers: Vec<_> = (0..2).map(|_| start(&bank, "", 20 * MS)).collect();
    bank.bank.deposit_to_many(300).await;
    until("it moves", 20_000 * MS, || async { bank.checkpoint().await > 0 }).await;
    let frozen = bank.owner_among(&workers, 10_000 * MS).await;
    workers[frozen].signal(Signal::STOP);
    let other = workers[1 - frozen].id();
    until("the other takes over", 20_000 * MS, || async { bank.owner().await == Some(other) }).await;
    let here = bank.checkpoint().await;
    until("the other goes on", 20_000 * MS, || async { bank.checkpoint().await > here }).await;
    workers[frozen].signal(Signal::CONT);
    bank.is_exact(300).await;
}

/// How often something is killed at random moments.
async fn under_fire(bank: &Served, does: &str, kills: usize) {
    let minutes: u64 = std::env::var("EES_KILL_MINUTES").map_or(0, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(minutes * 15);
    let mut killed = 0;
    while killed < kills || Instant::now() < until {
        let worker = start(bank, does, MS / 4);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..400))).await;
        worker.kill();
        killed += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_beside_is_finished_however_often_it_is_killed() {
    let bank = Served::new().await;
    bank.bank.deposit_to_many(600).await;
    let first = start(&bank, "", Duration::ZERO);
    bank.is_exact(600).await;
    bank.bank.run("UPDATE balances.balances SET state = state").await;
    first.stop();
    under_fire(&bank, "build", 5).await;
    let last = start(&bank, "", Duration::ZERO);
    bank.bank.deposit_to_many(20).await;
    bank.is_exact(620).await;
    let sql = "SELECT count(*) FROM ees.projections WHERE standby LIKE '%following%' AND checkpoint = 620";
    until("it is finished", 40_000 * MS, || async { bank.bank.number(sql).await == 1 }).await;
    assert_eq!(bank.bank.schemas().await, ["balances", "balances__standby"]);
    bank.is_exact(620).await;
    last.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_dealt_out_over_processes_is_finished_however_often_they_are_killed() {
    for (does, rows, done) in [
        ("build by many", "balances\\_\\_standby/%", "standby LIKE '%following%'"),
        ("rebuild by many", "balances/%", "rebuild_until IS NULL AND split IS NULL AND name = 'balances'"),
    ] {
        let bank = Served::new().await;
        bank.bank.deposit_to_many(600).await;
        let first = start(&bank, "", Duration::ZERO);
        bank.is_exact(600).await;
        first.stop();
        under_fire(&bank, does, 2).await;
        let workers = [start(&bank, does, 5 * MS), start(&bank, "", 5 * MS)];
        let owners = format!(
            "SELECT count(DISTINCT split_part(owner, ':', 2)) FROM ees.projections
             WHERE name LIKE '{rows}' AND leased_until > clock_timestamp()"
        );
        until("both take part", 20_000 * MS, || async { bank.bank.number(&owners).await == 2 }).await;
        let [killed, _other] = workers;
        killed.kill();
        under_fire(&bank, "", 2).await;
        let last = start(&bank, "", Duration::ZERO);
        let done = format!("SELECT count(*) FROM ees.projections WHERE {done}");
        until("it is finished", 40_000 * MS, || async { bank.bank.number(&done).await == 1 }).await;
        let partitions = format!("SELECT count(*) FROM ees.projections WHERE name LIKE '{rows}'");
        assert_eq!(bank.bank.number(&partitions).await, 0, "they are joined");
        bank.bank.deposit_to_many(20).await;
        bank.is_exact(620).await;
        last.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_is_whole_however_often_it_is_killed() {
    let bank = Served::new().await;
    bank.bank.deposit_to_many(200).await;
    let first = start(&bank, "build", Duration::ZERO);
    let built = "SELECT count(*) FROM ees.projections WHERE standby LIKE '%following%'";
    until("it is built", 20_000 * MS, || async { bank.bank.number(built).await == 1 }).await;
    first.kill();
    under_fire(&bank, "swap", 5).await;
    let last = start(&bank, "", Duration::ZERO);
    bank.bank.deposit_to_many(20).await;
    bank.is_exact(220).await;
    let both = "SELECT count(*) FROM ees.projections WHERE checkpoint = 220";
    until("both follow", 20_000 * MS, || async { bank.bank.number(both).await == 2 }).await;
    assert_eq!(bank.bank.schemas().await, ["balances", "balances__standby"]);
    last.stop();
}

/// How many rows are wrong before a rebuild of their streams.
const FORGED: i64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_of_streams_is_whole_however_often_it_is_killed() {
    let bank = Served::new().await;
    bank.bank.deposit_to_many(200).await;
    let first = start(&bank, "", Duration::ZERO);
    bank.is_exact(200).await;
    first.stop();
    let forge = format!(
        "UPDATE balances.balances SET state = '{{\"amount\":-5,\"deposits\":1}}'
         WHERE split_part(key, '-', 2)::bigint < {FORGED}"
    );
    let wrong = "SELECT count(*) FROM balances.balances WHERE (state->>'amount')::bigint < 0";
    for _ in 0..6 {
        bank.bank.run(&forge).await;
        under_fire(&bank, "mend", 1).await;
        let left = bank.bank.number(wrong).await;
        assert!(left == 0 || left == FORGED, "{left}");
    }
    bank.bank.run(&forge).await;
    let last = start(&bank, "mend", Duration::ZERO);
    bank.bank.deposit_to_many(20).await;
    until("all is mended", 40_000 * MS, || async { bank.bank.number(wrong).await == 0 }).await;
    let caught_up = || async { bank.checkpoint().await == 220 };
    until("it goes on", 40_000 * MS, caught_up).await;
    until("what was folded meanwhile is mended", 40_000 * MS, || async {
        bank.bank.total(&bank.bank.connect().await).await == 220
    })
    .await;
    last.stop();
    bank.is_exact(220).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_verification_left_is_removed_by_the_next() {
    let bank = Served::new().await;
    bank.bank.deposit_to_many(300).await;
    under_fire(&bank, "verify", 3).await;
    let last = bank.bank.start(Balances::default(), Settings::default()).await;
    bank.is_exact(300).await;
    assert!(last.handle().verify("balances").await.unwrap().is_equal());
    assert_eq!(bank.bank.schemas().await, ["balances"]);
    assert_eq!(bank.bank.number("SELECT count(*) FROM ees.projections").await, 1);
    last.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_two_versions_end_with_the_new_one_in_whatever_order_they_come() {
    for versions in [[1, 2], [2, 1]] {
        let bank = Served::new().await;
        bank.bank.deposit_to_many(100).await;
        let workers = versions.map(|version| start_version(&bank, version, "", Duration::ZERO));
        let newer = "SELECT coalesce(max(version), 0) FROM ees.projections WHERE name = 'balances'";
        until("the newer is live", 20_000 * MS, || async { bank.bank.number(newer).await == 2 }).await;
        bank.is_exact(100).await;
        for number in 0..10 {
            bank.bank.deposit("account-1", 1).await;
            bank.is_exact(101 + number).await;
            assert_eq!(bank.bank.number(newer).await, 2, "and stays it");
        }
        let [one, other] = workers;
        one.kill();
        other.stop();
    }
}

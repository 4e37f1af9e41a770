//! What each operation on a projection prints, in each state of the projection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::postgres::{Database, sqlx};
use ees_projector::{Fold, Order, Projector, Recorded, Running, Settings, SideBySide, StandbyRole, Status};
use ees_store::{Commit, EventStore, Events, Expectation, memory};
use ees_test_postgres::TestDatabase;
use ees_tests::{Ran, ees, run};
use serde_json::Value;

/// A state of a projection.
#[derive(Clone, Copy, Debug)]
enum Scene {
    Following,
    Paused,
    /// With a standby that is complete and was never live.
    Built,
    /// With a standby that was not swapped because it differs.
    Differs,
    /// With a standby that was live.
    Swapped,
}

const SCENES: [Scene; 5] = [Scene::Following, Scene::Paused, Scene::Built, Scene::Differs, Scene::Swapped];

/// An operation, and for each scene its exit code and parts of what it prints. A part that begins with `!`
/// must not be there.
type Said = (&'static [&'static str], [(i32, &'static [&'static str]); 5]);

const RUNS: &str = "!paused";
const ALONE: &str = "!standby";
const BUILT: &str = "is being built; `swap` makes it live";
const DIFFERS: &str = "not swapped: 1 difference at checkpoint 5";
const WAS_LIVE: &str = "was live before and stays up to date; `rollback` makes it live again";
const NO_STANDBY: (i32, &[&str]) = (4, &["the projection has no standby"]);
const NOT_NEXT: (i32, &[&str]) = (4, &["is neither the next one"]);
const NOT_PARKED: (i32, &[&str]) = (4, &["not parked"]);
const BUILDING: (i32, &[&str]) = (4, &["a standby is being built already"]);

const SAID: &[Said] = &[
    // What changes nothing comes first.
    (
        &["status"],
        [
            (0, &[RUNS, ALONE]),
            (0, &["paused", "why not", ALONE]),
            (0, &[RUNS, BUILT]),
            (0, &[RUNS, BUILT, DIFFERS]),
            (0, &[RUNS, WAS_LIVE]),
        ],
    ),
    (
        &["rebuild", "--dry-run"],
        [
            (0, &["5 changesets to replay"]),
            (0, &["5 changesets to replay"]),
            (0, &["5 changesets to replay"]),
            (0, &["5 changesets to replay"]),
            (0, &["5 changesets to replay"]),
        ],
    ),
    (
        &["verify"],
        [
            (0, &["compared 5 rows at checkpoint 5"]),
            (0, &["compared 5 rows at checkpoint 5"]),
            (0, &["compared 5 rows at checkpoint 5"]),
            (9, &["compared 4 rows", "1 difference"]),
            (0, &["compared 5 rows at checkpoint 5"]),
        ],
    ),
    (&["skip", "1", "--reason", "r"], [NOT_NEXT, NOT_NEXT, NOT_NEXT, NOT_NEXT, NOT_NEXT]),
    (&["parked", "--retry"], [NOT_PARKED, NOT_PARKED, NOT_PARKED, NOT_PARKED, NOT_PARKED]),
    (
        &["pause"],
        [
            (0, &["paused", ALONE]),
            (0, &["paused", ALONE]),
            (0, &["paused", BUILT]),
            (0, &["paused", BUILT, DIFFERS]),
            (0, &["paused", WAS_LIVE]),
        ],
    ),
    (
        &["resume"],
        [
            (0, &[RUNS, ALONE]),
            (0, &[RUNS, ALONE]),
            (0, &[RUNS, BUILT]),
            (0, &[RUNS, BUILT, DIFFERS]),
            (0, &[RUNS, WAS_LIVE]),
        ],
    ),
    (
        &["rebuild"],
        [
            (0, &["5 is next", RUNS, ALONE]),
            (0, &["5 is next", RUNS, ALONE]),
            (0, &["5 is next", RUNS, BUILT]),
            (0, &["5 is next", RUNS, BUILT, DIFFERS]),
            (0, &["5 is next", RUNS, WAS_LIVE]),
        ],
    ),
    (
        &["rebuild", "--side-by-side", "--no-swap"],
        [(0, &[RUNS, BUILT]), (0, &["paused", BUILT]), BUILDING, BUILDING, (0, &[RUNS, BUILT])],
    ),
    (
        &["rebuild", "--side-by-side"],
        [(0, &[RUNS, WAS_LIVE]), (0, &[WAS_LIVE]), BUILDING, BUILDING, (0, &[RUNS, WAS_LIVE])],
    ),
    (
        &["swap"],
        [
            NO_STANDBY,
            NO_STANDBY,
            (0, &[RUNS, WAS_LIVE]),
            (0, &[RUNS, WAS_LIVE]),
            (4, &["was live before: use `rollback`"]),
        ],
    ),
    (
        &["rollback"],
        [
            NO_STANDBY,
            NO_STANDBY,
            (4, &["was never live", "use `swap`"]),
            (4, &["was never live", "use `swap`"]),
            (0, &[RUNS, WAS_LIVE]),
        ],
    ),
    (&["discard"], [NO_STANDBY, NO_STANDBY, (0, &[RUNS, ALONE]), (0, &[RUNS, ALONE]), (0, &[RUNS, ALONE])]),
    (
        &["partition", "2"],
        [
            (0, &["0: checkpoint 5", "1: checkpoint 5", RUNS, ALONE]),
            (0, &["0: checkpoint 5", "paused", ALONE]),
            (0, &["0: checkpoint 5", RUNS, BUILT]),
            (0, &["0: checkpoint 5", RUNS, BUILT, DIFFERS]),
            (0, &["0: checkpoint 5", RUNS, WAS_LIVE]),
        ],
    ),
];

/// Counts the events of each stream.
struct Tally;

impl Fold for Tally {
    type Event = Value;
    type Key = String;
    type State = i64;
    fn name(&self) -> &str {
        "tally"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, Value>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<i64>, _: Recorded<'_, Value>) -> Option<i64> {
        Some(row.unwrap_or(0) + 1)
    }
}

/// A projection that has applied five changesets, served over HTTP.
struct Stage {
    running: Running,
    address: SocketAddr,
    database: Database,
    _own: TestDatabase,
}

impl Stage {
    async fn new() -> Self {
        let (own, log) = (TestDatabase::new().await, Arc::new(memory::Store::new()));
        for stream in ["a", "b", "c", "d", "e"] {
            let events = Events::parse("[1]").unwrap();
            log.commit(Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
        }
        let database = Database::connect(own.url()).await.unwrap();
        let mut projector = Projector::new(log);
        projector.fold(Tally, database.clone(), Settings::default()).unwrap();
        let running = projector.start();
        let address = running.serve("127.0.0.1:0").await.unwrap();
        let stage = Self { running, address, database, _own: own };
        stage.when(|status| status.checkpoint.get() == 5).await;
        stage
    }

    async fn when(&self, wanted: impl Fn(&Status) -> bool) {
        let found = tokio::time::timeout(Duration::from_secs(30), async {
            while !wanted(&self.running.handle().status("tally").await.unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        found.await.unwrap();
    }

    /// Brings the projection into a scene, whatever it is in.
    async fn set(&self, scene: Scene) {
        let handle = self.running.handle();
        if !handle.status("tally").await.unwrap().partitions.is_empty() {
            handle.set_partitions("tally", 1, "").await.unwrap();
        }
        let _ = handle.discard_standby("tally", "").await;
        handle.rebuild("tally", "").await.unwrap();
        let is_whole = |status: &Status| {
            status.checkpoint.get() == 5 && status.rebuild.is_none() && status.partitions.is_empty()
        };
        self.when(is_whole).await;
        let beside =
            async |wanted: SideBySide| handle.rebuild_side_by_side("tally", wanted, "").await.unwrap();
        let standby = |role| {
            move |status: &Status| {
                status.standby.as_ref().is_some_and(|it| it.plan.role == role && it.checkpoint.get() == 5)
            }
        };
        match scene {
            Scene::Following => {}
            Scene::Paused => handle.pause("tally", "why not").await.unwrap(),
            Scene::Built => {
                beside(SideBySide { no_swap: true, ..SideBySide::default() }).await;
                self.when(standby(StandbyRole::Building)).await;
            }
            Scene::Differs => {
                let delete = sqlx::query("DELETE FROM tally.tally WHERE key = 'a'");
                delete.execute(self.database.pool()).await.unwrap();
                beside(SideBySide { verify: true, ..SideBySide::default() }).await;
                self.when(|status| status.standby.as_ref().is_some_and(|it| it.plan.note.is_some())).await;
            }
            Scene::Swapped => {
                beside(SideBySide::default()).await;
                self.when(standby(StandbyRole::Following)).await;
            }
        }
    }

    async fn run(&self, operation: &[&str]) -> Ran {
        let mut command = ees(&["projections", operation[0], "tally"]);
        command.args(&operation[1..]).env("EES_URL", format!("http://{}", self.address));
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    }
}

async fn play(place: usize, scene: Scene) {
    let stage = Stage::new().await;
    let mut is_set = false;
    for (operation, said) in SAID {
        if !is_set {
            stage.set(scene).await;
        }
        let (code, parts) = said[place];
        let ran = stage.run(operation).await;
        let told = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(code), "{operation:?} while {scene:?}: {told}");
        for part in parts {
            let is_right = match part.strip_prefix('!') {
                Some(part) => !told.contains(part),
                None => told.contains(part),
            };
            assert!(is_right, "{part:?}: {operation:?} while {scene:?} says\n{told}");
        }
        let changes = !["status", "verify"].contains(&operation[0]) && !operation.contains(&"--dry-run");
        is_set = code != 0 || !changes;
    }
    stage.running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_prints_what_it_has_done() {
    let plays = SCENES.into_iter().enumerate().map(|(place, scene)| play(place, scene));
    futures::future::join_all(plays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_names_what_it_would_drop_and_drops_it_if_it_is_forced() {
    let stage = Stage::new().await;
    let add = sqlx::query("ALTER TABLE tally.tally ADD COLUMN hint text");
    add.execute(stage.database.pool()).await.unwrap();
    let refused = stage.run(&["rebuild"]).await.failed(4);
    assert!(refused.contains("column tally.hint") && refused.contains("force"), "{refused}");
    stage.run(&["rebuild", "--force"]).await.ok();
    let audit = stage.run(&["audit"]).await.ok();
    assert!(audit.contains("dropped: column tally.hint"), "{audit}");
    stage.running.shut_down().await;
}

//! A preview, as a pipeline runs it before a deploy: against a server and the read model of a worker that goes on.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ees_projections::{Statistics, StreamCatalogue};
use ees_projector::preview::PreviewOptions;
use ees_projector::{Projector, Settings, postgres, sqlite};
use ees_store::{Commit, EventStore, Events, Expectation, memory};
use ees_test_postgres::TestDatabase;
use ees_tests::{Killed, Ran, Server, example, run};
use serde_json::Value;

/// A server, and the database of the read model.
struct Deployed<'a> {
    server: &'a Server,
    database: &'a str,
}

impl Deployed<'_> {
    fn live(&self, old: &[&str]) -> Killed {
        let mut live = Command::new(example("preview"));
        live.args(["live", &self.server.url(), self.database]).args(old).stderr(Stdio::null());
        Killed(live.spawn().unwrap())
    }

    fn preview(&self, more: &[&str]) -> Ran {
        let mut preview = Command::new(example("preview"));
        run(preview.args(["--log", &self.server.url(), "--database", self.database]).args(more))
    }

    /// The preview, once the live read model has this version and has applied everything.
    fn preview_of(&self, live_version: u64) -> (Option<i32>, Value) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ran = self.preview(&["--json"]);
            let found: Value = serde_json::from_str(&ran.out).unwrap_or_default();
            if found["live_version"] == live_version && found["checkpoint"] == 5 {
                return (ran.code, found);
            }
            assert!(Instant::now() < deadline, "the live read model did not get there: {ran:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn a_pipeline_sees_what_a_version_changes_and_that_it_is_deployed(database: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    for (stream, last, event) in [
        ("account/1", "0", r#"{"type":"opened","owner":"ada"}"#),
        ("account/2", "0", r#"{"type":"opened","owner":"bob"}"#),
        ("account/1", "1", r#"{"type":"deposited","cents":500}"#),
        ("account/2", "1", r#"{"type":"deposited","cents":70}"#),
        ("account/1", "2", r#"{"type":"withdrawn","cents":100,"fee":5}"#),
    ] {
        run(&mut server.ees(&["commit", stream, "--expected-last-changeset", last, "--event", event])).ok();
    }
    let file = folder.path().join("balances.db");
    let database = if database.is_empty() { file.to_str().unwrap() } else { database };
    let deployed = Deployed { server: &server, database };
    let refused = deployed.preview(&[]).failed(1);
    assert_eq!(refused, "error: balances: the projection was never started here");

    let old = deployed.live(&["old"]);
    let (code, found) = deployed.preview_of(1);
    assert_eq!(code, Some(9), "{found}");
    let table = &found["rows"]["tables"][0];
    assert_eq!((&table["changed"], &table["added"], &table["removed"]), (&1.into(), &0.into(), &0.into()));
    assert_eq!(table["samples"][0]["key"], "account/1");
    let text = deployed.preview(&[]);
    assert_eq!(text.code, Some(9));
    assert!(text.out.contains("    changed account/1: state.cents 400 -> 395\n"), "{}", text.out);
    assert!(text.err.is_empty(), "{}", text.err);
    drop(old);

    let new = deployed.live(&[]);
    let (code, found) = deployed.preview_of(2);
    assert_eq!(code, Some(0), "{found}");
    let text = deployed.preview(&["balances"]).ok();
    assert!(text.contains("  no differences\n"), "{text}");
    drop(new);
    assert_eq!(deployed.preview(&["--samples", "x"]).code, Some(2));
    let unknown = deployed.preview(&["other"]).failed(1);
    assert!(
        unknown.contains("there is no projection or reactor \"other\" in this process; there are: balances"),
        "{unknown}"
    );
}

#[test]
fn a_pipeline_sees_it_on_sqlite() {
    a_pipeline_sees_what_a_version_changes_and_that_it_is_deployed("");
}

#[test]
fn a_pipeline_sees_it_on_postgres() {
    let database = TestDatabase::new_blocking();
    a_pipeline_sees_what_a_version_changes_and_that_it_is_deployed(database.url());
}

/// The ready-made read models, and those of the file history.
#[tokio::test(flavor = "multi_thread")]
async fn previews_of_what_we_ship_find_nothing() {
    let (log, own, folder) =
        (Arc::new(memory::Store::new()), TestDatabase::new().await, tempfile::tempdir().unwrap());
    for number in 0..300_u64 {
        let events = r#"[{"type":"file_added","mode":"100644","blob":"a"},{"type":"file_deleted"}]"#;
        let expectation = Expectation::LastChangeset((number / 30).into());
        let stream = format!("file-{}", number % 30).parse().unwrap();
        log.commit(Commit::new(stream, expectation, Events::parse(events).unwrap())).await.unwrap();
    }
    let postgres = postgres::Database::connect(own.url()).await.unwrap();
    let sqlite = sqlite::Database::open(folder.path().join("read-models.db")).unwrap();
    let of_postgres = || {
        let mut projector = Projector::new(log.clone());
        ees_tests::read_models::register(&mut projector, &postgres, 1).unwrap();
        projector
    };
    let of_sqlite = || {
        let mut projector = Projector::new(log.clone());
        projector.fold(Statistics, sqlite.clone(), Settings::default()).unwrap();
        projector.fold(StreamCatalogue, sqlite.clone(), Settings::default()).unwrap();
        projector
    };
    for (live, new) in [(of_sqlite(), of_sqlite()), (of_postgres(), of_postgres())] {
        let running = live.start();
        let names: Vec<_> = new.names().map(str::to_owned).collect();
        for name in names {
            running.handle().when_reached(&name, 300.into(), Duration::from_secs(60)).await.unwrap();
            let preview = new.preview(&name, PreviewOptions::default()).await.unwrap();
            assert!(preview.is_equal(), "{preview:#?}");
        }
        running.shut_down().await;
    }
}

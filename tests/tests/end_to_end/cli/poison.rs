//! Read models in PostgreSQL that can't be written, operated from the command line.

use std::time::{Duration, Instant};

use ees_test_postgres::TestDatabase;
use ees_tests::{Ran, Server, run};
use serde_json::{Value, json};

/// Longer than all retries of a failing changeset.
const LONG: Duration = Duration::from_secs(90);

fn ees(server: &Server, arguments: &[&str]) -> Ran {
    run(&mut server.ees(arguments))
}

fn commit(server: &Server, stream: &str, expected: u64) {
    let expected = expected.to_string();
    ees(server, &["commit", stream, "--event", "1", "--expected-last-changeset", &expected]).ok();
}

fn status(server: &Server, name: &str) -> Value {
    ees(server, &["projections", "status", name, "--json"]).json().remove(0)
}

fn change(database: &TestDatabase, sql: &str) {
    let psql = database.psql(sql);
    assert!(psql.status.success(), "{psql:?}");
}

/// The number of a stream's changesets in the catalogue.
fn catalogued(database: &TestDatabase, stream: &str) -> String {
    let psql = database.psql(&format!(
        "COPY (SELECT changesets FROM stream_catalogue.stream_catalogue WHERE stream_id = '{stream}') TO STDOUT"
    ));
    String::from_utf8(psql.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn what_can_not_be_applied_stops_one_read_model_or_parks_a_stream_and_is_made_up_for() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--store", database.url()]);
    for stream in ["poisoned", "sound"] {
        commit(&server, stream, 0);
    }
    for name in ["statistics", "stream_catalogue"] {
        ees(&server, &["projections", "status", name, "--min-checkpoint", "2"]).ok();
    }
    change(
        &database,
        "ALTER TABLE statistics.statistics ADD CONSTRAINT enough CHECK (false) NOT VALID;
         ALTER TABLE stream_catalogue.stream_catalogue ADD CONSTRAINT poison CHECK (stream_id <> 'poisoned') NOT VALID",
    );
    for (stream, expected) in [("poisoned", 1), ("sound", 1), ("poisoned", 2), ("sound", 2), ("new", 0)] {
        commit(&server, stream, expected);
    }

    // The projection that parks continues with all other streams.
    let all = ["projections", "status", "stream_catalogue", "--min-checkpoint", "7", "--timeout", "60"];
    ees(&server, &all).ok();
    assert_eq!(["poisoned", "sound", "new"].map(|stream| catalogued(&database, stream)), ["1", "3", "1"]);
    let parked = ees(&server, &["projections", "parked", "stream_catalogue", "--json"]).json().remove(0);
    let parked = parked["parked"].as_array().unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (&parked[0]["stream_id"], &parked[0]["first"], &parked[0]["changesets"]),
        (&json!("poisoned"), &json!(2), &json!(2))
    );
    assert!(parked[0]["error"].as_str().unwrap().contains("poison"));

    // The projection that pauses stops before the changeset, and reports it.
    let deadline = Instant::now() + LONG;
    while status(&server, "statistics")["state"] != "paused" {
        assert!(Instant::now() < deadline, "{}", status(&server, "statistics"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(status(&server, "statistics")["checkpoint"], 2);
    let waiting = ["projections", "status", "statistics", "--min-checkpoint", "7", "--timeout", "0.2"];
    ees(&server, &waiting).failed(8);
    let list = ees(&server, &["projections", "list"]).ok();
    let line = list.lines().find(|line| line.starts_with("statistics")).unwrap();
    assert!(line.contains("paused") && line.contains("enough"), "{list}");

    // The parked changesets are applied after the repair, in order and completely.
    ees(&server, &["projections", "parked", "stream_catalogue", "--retry"]).ok();
    assert_eq!(catalogued(&database, "poisoned"), "1");
    change(
        &database,
        "ALTER TABLE statistics.statistics DROP CONSTRAINT enough;
         ALTER TABLE stream_catalogue.stream_catalogue DROP CONSTRAINT poison",
    );
    let retried = ees(&server, &["projections", "parked", "stream_catalogue", "--retry"]).ok();
    assert_eq!(retried, "no stream is parked\n");
    assert_eq!(catalogued(&database, "poisoned"), "3");
    ees(&server, &["projections", "resume", "statistics", "--reason", "mended"]).ok();
    ees(&server, &["projections", "status", "statistics", "--min-checkpoint", "7", "--timeout", "60"]).ok();
    assert_eq!(server.get_json("/streams")["total_changesets"], 7);
    for name in ["statistics", "stream_catalogue"] {
        ees(&server, &["projections", "verify", name]).ok();
    }
}

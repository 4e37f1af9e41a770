//! What the server tells of all streams, of the last hour, and of itself.

use std::path::Path;
use std::time::{Duration, Instant};

use ees_store::client::Client;
use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde_json::{Value, json};

/// A page of the list of streams must be read within this time. The shortest of several tries counts, since the
/// machine is busy with other tests too. (Sorting all streams takes longer.)
const PAGE_MAX: Duration = Duration::from_millis(25);

const MANY: usize = 100_000;

/// Rows for streams that nobody wrote: `filled/000001` and so on, of 100 types, of all lengths.
const FILL: &str = "
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    INSERT INTO TABLE_NAME (stream_id, stream_type, changesets, events, first_commit, last_commit)
    SELECT 'filled/' || PADDED, 'type-' || (n % 100), n, 2 * n, TIMES, TIMES FROM numbers";

fn commit(server: &Server, stream: &str, stream_type: &str, last: u64) {
    let last = last.to_string();
    let line =
        ["commit", stream, "--event", "1", "--stream-type", stream_type, "--expected-last-changeset", &last];
    run(server.ees(&line).args(["--wait-for", "stream_catalogue"])).ok();
}

fn ids(page: &Value) -> Vec<&str> {
    page["streams"].as_array().unwrap().iter().map(|it| it["stream_id"].as_str().unwrap()).collect()
}

fn list(server: &Server, query: &str) -> Value {
    server.get_json(&format!("/stream-list?{query}"))
}

/// Reads all pages. Returns the ids.
fn whole(server: &Server, query: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut page = list(server, query);
    loop {
        all.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { return all };
        let next = next.replace('/', "%2F").replace(':', "%3A");
        page = list(server, &format!("{query}&after={next}"));
    }
}

fn lists_a_hundred_thousand_streams_at_once(server: &Server, fill: impl FnOnce(&str)) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while list(server, "")["error"] == "STREAM_LIST_NOT_READY" {
        assert!(Instant::now() < deadline, "the catalogue is not begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ids(&list(server, "")), [""; 0]);
    // The order is that of bytes: capitals come first.
    for (stream, stream_type) in
        [("b/1", "bill"), ("a/2", "account"), ("a/1", "account"), ("B", "bill"), ("a0", "bill")]
    {
        commit(server, stream, stream_type, 0);
    }
    commit(server, "a/2", "account", 1);
    let all = list(server, "");
    assert_eq!(ids(&all), ["B", "a/1", "a/2", "a0", "b/1"]);
    assert_eq!((&all["checkpoint"], &all["head"], &all["next"]), (&json!(6), &json!(6), &Value::Null));
    let longest = &all["streams"][2];
    assert_eq!(
        (&longest["changesets"], &longest["events"], &longest["stream_type"]),
        (&json!(2), &json!(2), &json!("account"))
    );
    let read = server.get_json("/streams/a%2F2/changesets?include=position");
    assert_eq!(longest["first_commit"], read["changesets"][0]["timestamp"]);
    assert_eq!(longest["last_commit"], read["changesets"][1]["timestamp"]);
    assert_eq!(ids(&list(server, "prefix=a%2F")), ["a/1", "a/2"]);
    assert_eq!(ids(&list(server, "prefix=a&stream_type=bill")), ["a0"]);
    assert_eq!(ids(&list(server, "order=longest&limit=1")), ["a/2"]);
    assert_eq!(ids(&list(server, "order=newest")), ["a0", "B", "a/1", "a/2", "b/1"]);
    assert_eq!(ids(&list(server, "order=newest&stream_type=account")), ["a/1", "a/2"]);
    for order in ["id", "longest", "newest"] {
        let one_by_one = whole(server, &format!("order={order}&limit=1"));
        assert_eq!(one_by_one, ids(&list(server, &format!("order={order}"))), "{order}");
    }

    fill(FILL);
    for (query, count) in [
        ("prefix=filled%2F00", 9_999),
        ("stream_type=type-7&order=longest", MANY / 100),
        ("stream_type=type-7&order=newest", MANY / 100),
        ("stream_type=type-7", MANY / 100),
        ("stream_type=type-7&prefix=filled%2F0", MANY / 100),
    ] {
        let mut all = whole(server, &format!("{query}&limit=300"));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{query}");
    }
    let longest = list(server, "order=longest&limit=3");
    assert_eq!(ids(&longest), ["filled/100000", "filled/099999", "filled/099998"]);
    for query in [
        "",
        "prefix=filled%2F05",
        "after=0:filled%2F090000",
        "order=longest",
        "order=longest&after=5000:filled",
        "order=newest",
        "order=newest&after=40000000:filled",
        "stream_type=type-7",
        "stream_type=type-7&prefix=filled%2F09",
        "stream_type=type-7&order=longest&after=5000:filled",
        "stream_type=type-7&order=newest&after=40000000:filled",
        "stream_type=nothing&order=longest",
    ] {
        let tries = (0..10).map(|_| {
            let begun = Instant::now();
            let page = list(server, query);
            assert!(page["streams"].is_array(), "{page}");
            begun.elapsed()
        });
        let fastest = tries.min().unwrap();
        println!("{query:?}: {fastest:?}");
        assert!(fastest < PAGE_MAX, "{query:?} takes {fastest:?}");
    }
}

#[test]
fn a_hundred_thousand_streams_are_listed_in_pages_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    let fill = |sql: &str| {
        let file = server.data().join("read-models/stream_catalogue.db");
        let times = "strftime('%Y-%m-%dT%H:%M:%S', n, 'unixepoch') || '.000000Z'";
        let sql = sql.replace("TABLE_NAME", "stream_catalogue").replace("PADDED", "printf('%06d', n)");
        rusqlite::Connection::open(file).unwrap().execute(&sql.replace("TIMES", times), []).unwrap();
    };
    lists_a_hundred_thousand_streams_at_once(&server, fill);
}

#[test]
fn a_hundred_thousand_streams_are_listed_in_pages_on_postgresql() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--store", database.url()]);
    let psql = |sql: &str| {
        let ran = database.psql(sql);
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let fill = |sql: &str| {
        let sql = sql.replace("TABLE_NAME", "stream_catalogue.stream_catalogue");
        let sql = sql.replace("PADDED", "lpad(n::text, 6, '0')").replace("TIMES", "to_timestamp(n)");
        psql(&format!("{sql}; ANALYZE stream_catalogue.stream_catalogue"));
    };
    lists_a_hundred_thousand_streams_at_once(&server, fill);
    // Databases sort by a language otherwise, in which a prefix is no range.
    let sorted = psql(
        "COPY (SELECT collation_name FROM information_schema.columns
            WHERE table_schema = 'stream_catalogue' AND column_name = 'stream_id') TO STDOUT",
    );
    assert_eq!(sorted.trim(), "C");
}

/// Changes the version of the catalogue to one that kept each row as a JSON document.
fn as_version_1(file: &Path) {
    let database = rusqlite::Connection::open(file).unwrap();
    let sql = "
        DROP TABLE stream_catalogue;
        CREATE TABLE stream_catalogue (key TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO stream_catalogue VALUES ('a', '{}');
        UPDATE ees_projections SET version = 1 WHERE name = 'stream_catalogue';";
    database.execute_batch(sql).unwrap();
}

#[test]
fn a_catalogue_of_an_older_version_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path().join("data"));
    commit(&server, "a", "account", 0);
    server.stop();
    as_version_1(&server.data().join("read-models/stream_catalogue.db"));
    server.start_again();
    run(&mut server.ees(&["projections", "status", "stream_catalogue", "--min-checkpoint", "0"])).ok();
    assert_eq!(ids(&list(&server, "")), ["a"]);
}

#[tokio::test]
async fn the_server_tells_what_it_was_started_with_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ees.toml");
    std::fs::write(&file, "keep-audit = \"36h\"\nkeep-skips = true\n").unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--store", "memory:"];
    let environment = [("EES_API_KEYS", "t0psecret,read:l00k"), ("EES_API_KEY", "t0psecret")];
    let server = Server::start_in(folder.path().join("data"), &arguments, &environment);
    let client = Client::builder(&server.url()).api_key("t0psecret").build().unwrap();
    let told: Value = client.get_json("/settings").await.unwrap();
    let text = told.to_string();
    assert!(!text.contains("t0psecret") && !text.contains("l00k"), "{text}");
    assert_eq!(told["keys"], json!([["read", "commit", "admin"], ["read"]]));
    let setting = |name: &str| {
        let all = told["settings"].as_array().unwrap();
        let found = all.iter().find(|it| it["name"] == name).unwrap();
        (found["value"].clone(), found["source"].clone())
    };
    for (name, value, source) in [
        ("api-keys", json!("***"), "environment"),
        ("keep-audit", json!("36h"), "file"),
        ("keep-skips", json!("true"), "file"),
        ("keep-keys", json!("7d"), "default"),
        ("store", json!("memory (lost when the server stops)"), "flag"),
        ("read-models", Value::Null, "default"),
    ] {
        assert_eq!(setting(name), (value, json!(source)), "{name}");
    }
    let history: Value = client.get_json("/history?metric=ees_log_head").await.unwrap();
    assert_eq!(history["interval_seconds"], 10.0);
}

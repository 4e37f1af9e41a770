//! What the file of an embedded store survives, and what it says when it can't be opened.

use std::path::Path;
use std::time::Duration;

use ees_store::sqlite::{Options, Store, backup};
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, IdempotencyKey, LogQuery,
    Refusal, StreamQuery,
};

fn commit(stream: &str) -> Commit {
    Commit::new(stream.parse().unwrap(), Expectation::NewStream, Events::parse("[1,2]").unwrap())
}

async fn commit_many(store: &Store, count: usize) {
    let commits = (0..count).map(|n| commit(&format!("stream-{n}"))).collect();
    for verdict in store.commit_in_order(commits).await {
        verdict.unwrap();
    }
}

fn opening_fails(path: &Path) -> Error {
    Store::open(path).err().expect("this file must not open")
}

#[tokio::test]
async fn a_second_writer_is_told_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let first = Store::open(&path).unwrap();
    let error = opening_fails(&path);
    assert!(matches!(error, Error::AlreadyOpen { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(first);
    Store::open(&path).unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    drop(Store::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 1_000).unwrap();
    drop(connection);
    assert!(matches!(opening_fails(&path), Error::NewerVersion { .. }));
}

#[tokio::test]
async fn what_is_no_log_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "these are my notes, not a database, and long enough to have a header".repeat(20))
        .unwrap();
    let before = std::fs::read(&text).unwrap();
    assert!(matches!(opening_fails(&text), Error::Damaged { .. }));
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let foreign = folder.path().join("contacts.db");
    rusqlite::Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE contacts (name)").unwrap();
    assert!(matches!(opening_fails(&foreign), Error::Damaged { .. }));
}

#[tokio::test]
async fn a_damaged_page_is_an_error_not_a_wrong_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    commit_many(&store, 2_000).await;
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path).unwrap();
    let mut from = Checkpoint::START;
    let error = loop {
        match store.read(LogQuery::from(from, 100)).await {
            Ok(page) if page.next == from => break None,
            Ok(page) => from = page.next,
            Err(error) => break Some(error),
        }
    };
    assert!(matches!(error, Some(Error::Damaged { .. })), "{error:?}");
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_files_a_crash_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    commit_many(&store, 500).await;
    // The files as they are, without a clean end: what another process finds after kill -9.
    let after_crash = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), after_crash.path().join(entry.file_name())).unwrap();
    }
    let reopened = Store::open(after_crash.path().join("log.db")).unwrap();
    let [before, after] =
        [&store, &reopened].map(|store| store.read(LogQuery::from(Checkpoint::START, 1_000)));
    let (before, after) = (before.await.unwrap(), after.await.unwrap());
    assert_eq!(before.changesets.len(), 500);
    assert_eq!(before.changesets, after.changesets);
    assert_eq!(before.head.log_id, after.head.log_id);
}

#[tokio::test]
async fn a_backup_of_a_log_in_use_is_that_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("log.db"), folder.path().join("copy.db"));
    let store = Store::open(&path).unwrap();
    let keyed = commit("keyed").with_idempotency_key(IdempotencyKey::new("k").unwrap());
    store.commit(keyed.clone()).await.unwrap();
    commit_many(&store, 100).await;
    backup(&path, &copy).unwrap();
    commit_many_more(&store).await;
    assert!(matches!(backup(&path, &copy), Err(Error::InvalidRequest(_))));

    let restored = Store::open(&copy).unwrap();
    let page = restored.read(LogQuery::from(Checkpoint::START, 1_000)).await.unwrap();
    assert_eq!(page.changesets.len(), 101);
    assert_eq!(page.head.log_id, store.head().await.unwrap().log_id);
    let repeat = restored.commit(keyed).await.unwrap();
    assert_eq!(repeat.checkpoint, Some(Checkpoint::START));
}

async fn commit_many_more(store: &Store) {
    for n in 0..10 {
        store.commit(commit(&format!("later-{n}"))).await.unwrap();
    }
}

#[tokio::test]
async fn old_idempotency_keys_are_forgotten_and_young_ones_kept() {
    for (keep, kept) in [(Duration::ZERO, false), (Duration::from_secs(3600), true)] {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { keep_keys: keep, ..Options::default() };
        let store = Store::open_with(folder.path().join("log.db"), options).unwrap();
        let keyed = commit("keyed").with_idempotency_key(IdempotencyKey::new("k").unwrap());
        store.commit(keyed.clone()).await.unwrap();
        drop(store);
        let store = Store::open_with(folder.path().join("log.db"), options).unwrap();
        store.commit(commit("other")).await.unwrap();
        // The sweep follows the batch; the next commit comes after it.
        let repeat = store.commit(keyed).await;
        match kept {
            true => assert_eq!(repeat.unwrap().checkpoint, Some(Checkpoint::START)),
            false => assert!(matches!(repeat, Err(Error::Refused(Refusal::Conflict { .. })))),
        }
    }
}

#[tokio::test]
async fn a_batch_survives_the_commit_that_can_not_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    // Stands for a row that SQLite refuses: only this stream's inserts fail, and take the transaction with
    // them.
    let meddler = rusqlite::Connection::open(&path).unwrap();
    meddler
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON changesets WHEN NEW.stream_id = 'bad'
             BEGIN SELECT RAISE(ROLLBACK, 'refused'); END",
        )
        .unwrap();
    let verdicts = store.commit_in_order(vec![commit("a"), commit("bad"), commit("b"), commit("a")]).await;
    assert!(verdicts[0].is_ok() && verdicts[2].is_ok(), "{verdicts:?}");
    assert!(matches!(verdicts[1], Err(Error::Storage { .. })), "{verdicts:?}");
    assert!(matches!(verdicts[3], Err(Error::Refused(Refusal::Conflict { .. }))), "{verdicts:?}");
    let page = store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    let order: Vec<_> = page.changesets.iter().map(|c| (c.checkpoint.get(), c.stream_id.as_str())).collect();
    assert_eq!(order, [(0, "a"), (1, "b")]);
}

#[tokio::test]
async fn an_event_range_is_found_in_a_stream_of_uneven_changesets() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("log.db")).unwrap();
    let mut ends = vec![0_u64];
    for n in 0..60_u64 {
        let events: Vec<u64> = (0..=(n * 7 % 5)).collect();
        let expectation = Expectation::LastChangeset(n.into());
        let commit = Commit::new("s".parse().unwrap(), expectation, Events::of(&events).unwrap());
        store.commit(commit).await.unwrap();
        ends.push(ends[ends.len() - 1] + events.len() as u64);
    }
    let last = ends[ends.len() - 1];
    for from in 0..last + 3 {
        for to in [from, from + 1, from + 9, last, last + 5] {
            let query = StreamQuery::events("s".parse().unwrap(), from.into(), Some(to.into()));
            let page = store.read_stream(query).await.unwrap();
            let got: Vec<u64> = page.changesets.iter().map(|c| c.changeset_id.get()).collect();
            let want: Vec<u64> =
                (1..=60).filter(|&n| ends[n] >= from && ends[n - 1] < to).map(|n| n as u64).collect();
            assert_eq!(got, want, "{from} to {to}");
        }
    }
}

#[tokio::test]
async fn a_store_that_was_closed_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    commit_many(&store, 50).await;
    store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    drop(store);
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let copied = Store::open(&copy).unwrap();
    assert_eq!(copied.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap().changesets.len(), 50);
}

#[tokio::test]
async fn a_filter_that_finds_nothing_answers_after_a_bounded_scan() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("log.db")).unwrap();
    commit_many(&store, 25_000).await;
    let nothing = || ees_store::Filter::event_types(["nothing"]);
    let mut from = Checkpoint::START;
    let mut pages = 0;
    while from < Checkpoint::new(25_000) {
        let page = store.read(LogQuery::from(from, usize::MAX).with_filter(nothing())).await.unwrap();
        assert!(page.changesets.is_empty() && page.next > from && page.next.get() - from.get() <= 10_000);
        from = page.next;
        pages += 1;
    }
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_limit_of_nothing_is_a_limit_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("log.db")).unwrap();
    commit_many(&store, 3).await;
    let page = store.read(LogQuery::from(Checkpoint::START, 0)).await.unwrap();
    assert_eq!((page.changesets.len(), page.next), (1, Checkpoint::new(1)));
}

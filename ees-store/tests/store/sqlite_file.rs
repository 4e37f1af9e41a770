//! What the file of an embedded store survives, and what it says when it can't be opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ees_store::sqlite::{Options, Store, backup};
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, IdempotencyKey, LenientNumbers,
    LogQuery, Refusal, StreamQuery, TraceContext,
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

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=1";

/// The traces of the log as it is stored now.
async fn traces(path: &Path) -> Vec<Option<TraceContext>> {
    let log = Store::open(path).unwrap().read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    log.changesets.iter().map(|it| it.trace.clone()).collect()
}

#[tokio::test]
async fn a_file_from_before_traces_keeps_its_changesets_and_takes_traces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    store.commit(commit("a")).await.unwrap();
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch("ALTER TABLE changesets DROP COLUMN trace_context; PRAGMA user_version = 2")
        .unwrap();
    drop(connection);
    let trace = TraceContext::from_stored(TRACE).unwrap();
    let store = Store::open(&path).unwrap();
    store.commit(commit("b").with_trace(trace.clone())).await.unwrap();
    drop(store);
    assert_eq!(traces(&path).await, [None, Some(trace)]);
}

#[tokio::test]
async fn a_trace_that_somebody_has_damaged_is_none_and_its_changeset_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    store.commit(commit("a").with_trace(TraceContext::from_stored(TRACE).unwrap())).await.unwrap();
    drop(store);
    for damage in ["'00-4bf92f3577b34da6a3ce929d0e0e4736'", "CAST(x'ff' AS TEXT)", "''"] {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("UPDATE changesets SET trace_context = {damage}")).unwrap();
        drop(connection);
        assert_eq!(traces(&path).await, [None], "{damage}");
    }
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

#[tokio::test]
async fn a_backup_replaces_deletes_and_follows_nothing_that_it_did_not_make() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let store = Store::open(at("log.db")).unwrap();
    store.commit(commit("a")).await.unwrap();
    std::fs::write(at("copy.db.unfinished"), "somebody else's").unwrap();
    let told = backup(&at("log.db"), &at("copy.db")).unwrap_err();
    assert!(matches!(&told, Error::InvalidRequest(why) if why.contains("copy.db.unfinished")), "{told}");
    assert_eq!(std::fs::read(at("copy.db.unfinished")).unwrap(), b"somebody else's");
    assert!(!at("copy.db").exists());
    #[cfg(unix)]
    for (link, leads_to) in [("link.db", "elsewhere.db"), ("link.db.unfinished", "elsewhere.db")] {
        std::os::unix::fs::symlink(at(leads_to), at(link)).unwrap();
        let told = backup(&at("log.db"), &at("link.db")).unwrap_err();
        assert!(matches!(&told, Error::InvalidRequest(why) if why.contains(link)), "{told}");
        assert!(!at(leads_to).exists() && at(link).is_symlink());
        std::fs::remove_file(at(link)).unwrap();
    }
    backup(&at("log.db"), &at("link.db")).unwrap();
    assert!(!at("link.db.unfinished").exists());
    assert!(backup(&at("log.db"), &at("missing/copy.db")).is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_log_and_its_backups_are_their_owners() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("log.db")).unwrap();
    store.commit(commit("a")).await.unwrap();
    backup(&folder.path().join("log.db"), &folder.path().join("copy.db")).unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["copy.db", "log.db", "log.db-shm", "log.db-wal", "log.db.lock"]);
}

/// The files that a killed process leaves: the commits are in the write-ahead log.
async fn killed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("log.db")).unwrap();
    commit_many(&store, 20).await;
    let after = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(folder.path().join(name), after.path().join(name)).unwrap();
    }
    after
}

#[tokio::test]
async fn a_log_whose_commits_are_there_is_not_begun_anew() {
    let folder = killed().await;
    let (log, wal) = (folder.path().join("log.db"), folder.path().join("log.db-wal"));
    let (kept, commits) = (std::fs::read(&log).unwrap(), std::fs::read(&wal).unwrap());
    for empty in [false, true] {
        match empty {
            false => std::fs::remove_file(&log).unwrap(),
            true => std::fs::write(&log, "").unwrap(),
        }
        let mut told = vec![opening_fails(&log)];
        if empty {
            told.push(backup(&log, &folder.path().join("copy.db")).unwrap_err());
        }
        for error in told {
            assert!(matches!(error, Error::LogMissing { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("log.db ") && text.contains("log.db-wal"), "{text}");
        }
        assert_eq!(std::fs::read(&wal).unwrap(), commits, "nothing was changed");
        assert_eq!(log.exists(), empty);
    }
    std::fs::write(&log, kept).unwrap();
    let store = Store::open(&log).unwrap();
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 20);
}

#[tokio::test]
async fn a_write_ahead_log_of_another_state_of_the_log_is_not_mixed_in() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let large = |number: usize| {
        let events = Events::parse(&format!("[\"{}\"]", "x".repeat(900_000))).unwrap();
        Commit::new(format!("large-{number}").parse().unwrap(), Expectation::NewStream, events)
    };
    drop(Store::open(at("log.db")).unwrap());
    let store = Store::open(at("log.db")).unwrap();
    store.commit(commit("first")).await.unwrap();
    let early = std::fs::read(at("log.db-wal")).unwrap();
    backup(&at("log.db"), &at("backup.db")).unwrap();
    // So many that the write-ahead log is begun anew.
    for number in 0..70 {
        store.commit(large(number)).await.unwrap();
    }
    let late = std::fs::read(at("log.db-wal")).unwrap();
    drop(store);

    let mixed = tempfile::tempdir().unwrap();
    let (log, wal) = (mixed.path().join("log.db"), mixed.path().join("log.db-wal"));
    let backup = std::fs::read(at("backup.db")).unwrap();
    let closed = std::fs::read(at("log.db")).unwrap();
    for (file, commits) in [(&backup, &late), (&closed, &early)] {
        std::fs::write(&log, file).unwrap();
        std::fs::write(&wal, commits).unwrap();
        let told = opening_fails(&log);
        let is_told =
            matches!(&told, Error::Damaged { detail, .. } if detail.contains("log.db-wal don't follow"));
        assert!(is_told, "{told}");
        assert!(std::fs::read(&log).unwrap() == *file && std::fs::read(&wal).unwrap() == *commits);
        // What the message says.
        std::fs::remove_file(&wal).unwrap();
        Store::open(&log).unwrap().commit(commit("goes-on")).await.unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_nowhere_is_no_place_for_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("log.db");
    std::os::unix::fs::symlink(folder.path().join("not-mounted/log.db"), &link).unwrap();
    let told = opening_fails(&link).to_string();
    assert!(told.contains("log.db") && told.contains("symbolic link"), "{told}");
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_acknowledged_once_a_file_of_the_log_is_taken_away() {
    type Take = fn(&Path);
    let rename = |path: &Path| std::fs::rename(path, path.with_extension("away")).unwrap();
    let replace = |path: &Path| {
        let content = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, content).unwrap();
    };
    let takes: [(&str, Take); 6] = [
        ("log.db", |path| std::fs::remove_file(path).unwrap()),
        ("log.db", rename),
        ("log.db", replace),
        ("log.db", |path| std::fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap()),
        ("log.db-wal", |path| std::fs::remove_file(path).unwrap()),
        ("log.db-shm", |path| std::fs::remove_file(path).unwrap()),
    ];
    let open = async |(name, take): (&'static str, Take)| {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path().join("log.db")).unwrap());
        commit_many(&store, 3).await;
        (name, take, folder, store)
    };
    let mut logs = futures::future::join_all(takes.map(open)).await;
    // Besides new logs, some in whose folder nothing has changed for so long that not every name is looked at.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    for (.., store) in &logs {
        for stream in ["settled", "looked-at"] {
            store.commit(commit(stream)).await.unwrap();
        }
    }
    logs.extend(futures::future::join_all(takes.map(open)).await);
    for (name, take, folder, store) in logs {
        take(&folder.path().join(name));
        let writable = store.check_writable().await;
        assert!(
            matches!(&writable, Err(Error::Unavailable(why)) if why.contains(name)),
            "{name}: {writable:?}"
        );
        for stream in ["a", "b"] {
            let told = store.commit(commit(stream)).await;
            assert!(matches!(&told, Err(Error::Unavailable(why)) if why.contains(name)), "{name}: {told:?}");
        }
        assert!(store.check_writable().await.is_err());
        assert!(LenientNumbers::new(store.clone(), store.clone()).check_writable().await.is_err());
        drop(store);
        let commits = std::fs::metadata(folder.path().join("log.db-wal"));
        assert_eq!(commits.is_ok_and(|it| it.len() > 32), name != "log.db-wal", "what can be saved is left");
    }
}

/// Cuts a file off, and returns what it was.
fn cut_off(path: &Path, bytes: impl FnOnce(usize) -> usize) -> Vec<u8> {
    let content = std::fs::read(path).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(bytes(content.len()) as u64).unwrap();
    content
}

#[tokio::test]
async fn nothing_is_acknowledged_behind_a_gap_in_the_write_ahead_log() {
    let cuts: [fn(usize) -> usize; 4] = [|_| 0, |_| 20, |bytes| bytes / 2, |bytes| bytes - 1];
    for (number, bytes) in cuts.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let (path, wal) = (folder.path().join("log.db"), folder.path().join("log.db-wal"));
        let store = Store::open(&path).unwrap();
        commit_many(&store, 20).await;
        let log = std::fs::read(&path).unwrap();
        let commits = cut_off(&wal, bytes);
        if number > 0 {
            assert!(store.check_writable().await.is_err(), "without a commit");
        }
        for stream in ["a", "b"] {
            let told = store.commit(commit(stream)).await;
            let is_told =
                matches!(&told, Err(Error::Unavailable(why)) if why.contains("log.db-wal was cut off"));
            assert!(is_told, "{number}: {told:?}");
        }
        assert!(store.check_writable().await.is_err());
        drop(store);
        assert!(std::fs::read(&path).unwrap() == log, "no gap was moved into the log");
        std::fs::write(&wal, commits).unwrap();
        let store = Store::open(&path).unwrap();
        assert_eq!(
            store.head().await.unwrap().checkpoint.get(),
            20,
            "put back, it has what was acknowledged"
        );
        store.commit(commit("a")).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_ahead_log_that_another_program_has_merged_was_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    for round in 0..3 {
        store.commit(commit(&format!("a{round}"))).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        let merge = "PRAGMA wal_checkpoint(TRUNCATE)";
        assert_eq!(other.query_row(merge, [], |row| row.get(0)), Ok(0), "it is not busy");
        assert_eq!(std::fs::metadata(folder.path().join("log.db-wal")).unwrap().len(), 0);
        store.check_writable().await.unwrap();
        store.commit(commit(&format!("b{round}"))).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 6);
}

#[tokio::test]
async fn a_write_ahead_log_that_was_emptied_while_commits_waited_was_not_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    commit_many(&store, 20).await;
    for round in 0..3 {
        for number in 0..10 {
            store.commit(commit(&format!("grows-{round}-{number}"))).await.unwrap();
        }
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        // The commit looks at a large file, waits for the lock, and finds an empty one.
        let empty = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        };
        let waiting = commit(&format!("waits-{round}"));
        let (committed, ()) = tokio::join!(store.commit(waiting), empty);
        committed.unwrap();
        store.check_writable().await.unwrap();
    }
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 53);
}

#[tokio::test]
async fn what_a_power_failure_has_left_in_the_write_ahead_log_does_not_count() {
    let (folder, lost) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = |from: &Path, to: &Path| {
        for name in ["log.db", "log.db-wal"] {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    let store = Store::open(folder.path().join("log.db")).unwrap();
    store.commit(commit("before")).await.unwrap();
    let wal = folder.path().join("log.db-wal");
    let torn_at = std::fs::metadata(&wal).unwrap().len() as usize + 24;
    let events = Events::parse(&format!("[\"{}\"]", "x".repeat(500_000))).unwrap();
    store.commit(Commit::new("large".parse().unwrap(), Expectation::NewStream, events)).await.unwrap();
    copy(folder.path(), lost.path());
    drop(store);

    // The first page of the large commit did not get to the disk; the mark of the commit did.
    let wal = lost.path().join("log.db-wal");
    let mut content = std::fs::read(&wal).unwrap();
    content[torn_at + 100] ^= 1;
    std::fs::write(&wal, content).unwrap();
    let store = Store::open(lost.path().join("log.db")).unwrap();
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 1);
    commit_many(&store, 3).await;
    let killed = tempfile::tempdir().unwrap();
    copy(lost.path(), killed.path());
    drop(store);
    let store = Store::open(killed.path().join("log.db")).unwrap();
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 4, "what was acknowledged since is there");
}

#[cfg(unix)]
#[tokio::test]
async fn a_lock_holds_through_links_and_although_its_file_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let folder_link = folder.path().join("again");
    std::os::unix::fs::symlink(folder.path(), &folder_link).unwrap();
    for path in [link, folder_link.join("log.db")] {
        assert!(matches!(opening_fails(&path), Error::AlreadyOpen { .. }));
    }

    let lock = folder.path().join("log.db.lock");
    std::fs::remove_file(&lock).unwrap();
    store.commit(commit("a")).await.unwrap();
    assert!(matches!(opening_fails(&path), Error::AlreadyOpen { .. }), "it was taken again");
    // Another one is faster.
    std::fs::remove_file(&lock).unwrap();
    let other = Store::open(&path).unwrap();
    let told = store.commit(commit("b")).await;
    assert!(matches!(&told, Err(Error::Unavailable(why)) if why.contains("already open")), "{told:?}");
    assert!(store.check_writable().await.is_err());
    other.commit(commit("c")).await.unwrap();
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "it does not come true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn while_another_program_has_the_log_locked_commits_are_to_be_retried_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let options = Options { patience: Duration::from_millis(50), ..Options::default() };
    let store = Store::open_with(&path, options).unwrap();
    commit_many(&store, 3).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = store.commit(commit("a")).await;
    assert!(matches!(&told, Err(Error::Unavailable(why)) if why.contains("locked")), "{told:?}");
    assert!(matches!(store.check_writable().await, Err(Error::Unavailable(_))), "not ready");
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 3);
    assert_eq!(store.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap().changesets.len(), 3);
    other.execute_batch("ROLLBACK").unwrap();
    until("it is ready again, without a commit", async || store.check_writable().await.is_ok()).await;
    store.commit(commit("a")).await.unwrap();
}

/// A file system of 4 MB. Only an administrator can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"];
        let mounted = std::process::Command::new("mount").args(mount).arg(folder.path()).output();
        mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self(folder))
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        let mut hog =
            std::fs::File::options().append(true).create(true).open(self.0.path().join("hog")).unwrap();
        for size in [4_096, 1] {
            while std::io::Write::write_all(&mut hog, &vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[tokio::test]
async fn on_a_full_disk_commits_are_to_be_retried_and_everything_can_be_read_also_after_a_restart() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: only an administrator can make a small disk");
        return;
    };
    let path = disk.0.path().join("log.db");
    let large = |stream: &str| {
        let events = Events::parse(&format!("[\"{}\"]", "x".repeat(200_000))).unwrap();
        Commit::new(stream.parse().unwrap(), Expectation::NewStream, events)
    };
    let store = Store::open(&path).unwrap();
    commit_many(&store, 50).await;
    disk.fill();
    let told = store.commit(large("a")).await;
    assert!(matches!(&told, Err(Error::Unavailable(why)) if why.contains("full")), "{told:?}");
    assert!(matches!(store.check_writable().await, Err(Error::Unavailable(_))), "not ready");
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 50);
    let everything = store.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap().changesets;
    assert_eq!(everything.len(), 50);

    drop(store);
    for round in 0..2 {
        disk.fill();
        let store = Store::open(&path).unwrap();
        let page = store.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap();
        assert_eq!(page.changesets, everything, "round {round}");
        until("it is not ready, without a commit", async || store.check_writable().await.is_err()).await;
        assert_eq!(store.head().await.unwrap(), page.head, "round {round}");
        let told = store.commit(large("a")).await;
        assert!(matches!(&told, Err(Error::Unavailable(why)) if why.contains("full")), "{told:?}");
        assert_eq!(store.tail(&"stream-7".parse().unwrap()).await.unwrap().last_changeset.get(), 1);
    }
    std::fs::remove_file(disk.0.path().join("hog")).unwrap();
    let store = Store::open(&path).unwrap();
    store.commit(large("a")).await.unwrap();
    disk.fill();
    while store.commit(large(&format!("b{}", fastrand::u64(..)))).await.is_ok() {}
    std::fs::remove_file(disk.0.path().join("hog")).unwrap();
    until("it is ready again, without a commit", async || store.check_writable().await.is_ok()).await;
    store.commit(large("c")).await.unwrap();
}

#[tokio::test]
async fn keys_from_the_future_keep_no_old_key_from_being_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = Store::open(&path).unwrap();
    commit_many(&store, 2_500).await;
    let old = |name: &str| commit(name).with_idempotency_key(IdempotencyKey::new("k").unwrap());
    store.commit(old("old")).await.unwrap();
    store.commit(old("young")).await.unwrap();
    drop(store);
    let meddler = rusqlite::Connection::open(&path).unwrap();
    // In front, from a clock that is a year ahead; behind them one that is older than a week.
    meddler
        .execute_batch(
            "INSERT INTO idempotency_keys (checkpoint, key_digest, stored_at)
                 SELECT checkpoint, CAST('key ' || checkpoint AS BLOB), timestamp + 31536000000000 FROM changesets
                 WHERE checkpoint < 2500;
             UPDATE idempotency_keys SET stored_at = stored_at - 691200000000 WHERE checkpoint = 2500",
        )
        .unwrap();
    let store = Store::open(&path).unwrap();
    // A part of the keys is looked at behind each batch.
    for number in 0..5 {
        store.commit(commit(&format!("more-{number}"))).await.unwrap();
    }
    let kept = "SELECT count(*) FROM idempotency_keys WHERE checkpoint = ?1";
    let kept = |at: u64| meddler.query_row(kept, [at], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!((kept(2_500), kept(2_501)), (0, 1));
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

//! What a transaction keeps besides the rows of a read model, seen without a worker: the first laws to look at when
//! many of the others are broken.

use std::error::Error;
use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint, EventId, LogId, Segment, SegmentPlace, StreamId, Timestamp};
use uuid::Uuid;

use super::Subject;
use super::support::fresh;
use crate::ReadModelId;
use crate::database::{AuditRows, Database, Fenced, LedgerRows, ParkedRows, Transaction};
use crate::reactor::{EffectId, EffectQuery};
use crate::{
    AuditEntry, BoxError, ChangesetRef, FailedChangeset, ParkedStream, Pause, PausedBy, Position,
    ProjectionState, SegmentProgress, Skipped,
};

/// Where every projection begins.
const START: Position = Position { next: Checkpoint::START, epoch: 0 };

fn at(next: u64, epoch: u64) -> ProjectionState {
    ProjectionState {
        version: 1,
        position: Position { next: Checkpoint::new(next), epoch },
        log_id: None,
        last: None,
        rebuild_until: None,
        pause: None,
        split: None,
        standby: None,
        skips: Vec::new(),
        fingerprint: None,
        segment: None,
    }
}

fn stream() -> StreamId {
    "account/ö 'quoted' \u{1f980}".parse().unwrap()
}

fn changeset(checkpoint: u64, changeset_id: u64) -> ChangesetRef {
    ChangesetRef {
        checkpoint: Checkpoint::new(checkpoint),
        stream_id: stream(),
        changeset_id: ChangesetId::new(changeset_id),
        timestamp: Timestamp::from_micros(1_700_000_000_000_001),
    }
}

/// Every member that a database without partitions and standbys has to keep.
fn whole_row() -> ProjectionState {
    ProjectionState {
        version: 7,
        log_id: Some(LogId(Uuid::new_v4())),
        last: Some(changeset(40, 3)),
        rebuild_until: Some(Checkpoint::new(99)),
        skips: [(3, 1), (5, 1_700_000_000_000_003)]
            .map(|(checkpoint, micros)| Skipped {
                checkpoint: Checkpoint::new(checkpoint),
                timestamp: Timestamp::from_micros(micros),
            })
            .to_vec(),
        pause: Some(Pause {
            by: PausedBy::Failure,
            reason: "no \"ö\"\n'quoted'".to_owned(),
            since: Timestamp::from_micros(1_700_000_000_000_002),
            failure: Some(FailedChangeset {
                checkpoint: Checkpoint::new(41),
                stream_id: stream(),
                changeset_id: ChangesetId::new(4),
                attempts: 3,
            }),
        }),
        fingerprint: Some("000102030405060708090a0b0c0d0eff".parse().unwrap()),
        segment: Some(SegmentProgress {
            segment: Segment { index: 2, count: 5 },
            until: Checkpoint::new(99),
            after: Some(SegmentPlace::new(stream().as_str(), 4)),
            passed: 17,
        }),
        ..at(41, 5)
    }
}

async fn begin<S: Subject>(subject: &S) -> <S::Database as Database>::Tx {
    subject.database().begin().await.unwrap()
}

async fn stored<S: Subject>(subject: &S, name: &str) -> Option<ProjectionState> {
    begin(subject).await.load(&ReadModelId::live(name)).await.unwrap()
}

async fn make<S: Subject>(subject: &S, name: &str, row: &ProjectionState) {
    let mut tx = begin(subject).await;
    assert!(tx.insert(&ReadModelId::live(name), row).await.unwrap());
    tx.commit().await.unwrap();
}

/// Whether the row moved. A database may say no at the latest when it commits.
async fn moved<D: Database>(
    database: &D,
    name: &str,
    believed: Position,
    row: &ProjectionState,
) -> Result<bool, BoxError> {
    let mut tx = database.begin().await?;
    if !tx.replace(&ReadModelId::live(name), believed, row).await? {
        return Ok(false);
    }
    match tx.commit().await {
        Ok(()) => Ok(true),
        Err(error) if is_fenced(&*error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_fenced(error: &(dyn Error + 'static)) -> bool {
    error.is::<Fenced>() || error.source().is_some_and(is_fenced)
}

/// A row comes back with every member as it was written.
pub async fn a_row_comes_back_as_it_was_written<S: Subject>() {
    let subject = fresh::<S>().await;
    assert_eq!(stored(&*subject, "journal").await, None);
    make(&*subject, "journal", &at(0, 0)).await;
    assert_eq!(stored(&*subject, "journal").await, Some(at(0, 0)));
    let whole = whole_row();
    assert!(moved(&subject.database(), "journal", START, &whole).await.unwrap());
    assert_eq!(stored(&*subject, "journal").await, Some(whole.clone()));
    // And what is no more is gone.
    assert!(moved(&subject.database(), "journal", whole.position, &at(42, 5)).await.unwrap());
    assert_eq!(stored(&*subject, "journal").await, Some(at(42, 5)));
}

/// `insert` makes a row once; a second one changes nothing.
pub async fn a_row_is_made_once<S: Subject>() {
    let subject = fresh::<S>().await;
    make(&*subject, "journal", &at(0, 0)).await;
    let mut tx = begin(&*subject).await;
    assert!(!tx.insert(&ReadModelId::live("journal"), &whole_row()).await.unwrap());
    drop(tx);
    assert_eq!(stored(&*subject, "journal").await, Some(at(0, 0)));
}

/// The fence: `replace` moves a row only from the checkpoint and the epoch where it stands.
pub async fn a_row_moves_only_from_where_it_stands<S: Subject>() {
    let subject = fresh::<S>().await;
    make(&*subject, "journal", &at(0, 0)).await;
    let database = subject.database();
    assert!(moved(&database, "journal", START, &at(10, 2)).await.unwrap());
    for outdated in [START, at(10, 1).position, at(9, 2).position, at(11, 2).position, at(10, 3).position] {
        assert!(!moved(&database, "journal", outdated, &at(20, 2)).await.unwrap(), "{outdated:?}");
    }
    assert!(!moved(&database, "nobody", START, &at(1, 0)).await.unwrap(), "there is no such row");
    assert_eq!(stored(&*subject, "journal").await, Some(at(10, 2)));
}

/// Of transactions that move a row from one position at the same time, one commits.
pub async fn of_racing_moves_one_commits<S: Subject>() {
    let subject = fresh::<S>().await;
    make(&*subject, "journal", &at(0, 0)).await;
    for round in 0..10 {
        let racing: Vec<_> = (0..8)
            .map(|version| {
                let database = subject.database();
                let next = ProjectionState { version, ..at(round + 1, 0) };
                tokio::spawn(async move {
                    loop {
                        match moved(&database, "journal", at(round, 0).position, &next).await {
                            Ok(moved) => return moved.then_some(version),
                            // Two that collide may both be told to try again.
                            Err(error) => assert!(S::Database::is_transient(&*error), "{error}"),
                        }
                    }
                })
            })
            .collect();
        let mut won = Vec::new();
        for task in racing {
            won.extend(task.await.unwrap());
        }
        assert_eq!(won.len(), 1, "round {round}: {won:?} have all moved the row");
        assert_eq!(
            stored(&*subject, "journal").await,
            Some(ProjectionState { version: won[0], ..at(round + 1, 0) })
        );
    }
}

/// What is kept of a projection, or of a reactor, besides its row.
#[derive(Debug, PartialEq)]
struct Kept {
    parked: Vec<(StreamId, u64)>,
    checkpoints: Vec<u64>,
    audit: Vec<String>,
    effects: Vec<String>,
}

async fn kept<S: Subject>(subject: &S, name: &str) -> Kept {
    let mut tx = begin(subject).await;
    let parked = tx.parked(&ReadModelId::live(name)).await.unwrap();
    let checkpoints = tx.parked_checkpoints(&ReadModelId::live(name), &stream(), 10).await.unwrap();
    let audit = tx.audit_entries(&ReadModelId::live(name), 10).await.unwrap();
    let effects = tx.effects(&ReadModelId::live(name), &EffectQuery::default()).await.unwrap();
    Kept {
        parked: parked.into_iter().map(|stream| (stream.stream_id, stream.changesets)).collect(),
        checkpoints: checkpoints.into_iter().map(Checkpoint::get).collect(),
        audit: audit.into_iter().map(|entry| entry.reason).collect(),
        effects: effects.into_iter().map(|effect| effect.effect).collect(),
    }
}

async fn keep<Tx: Transaction>(tx: &mut Tx, name: &str) {
    for (checkpoint, changeset_id) in [(41, 4), (43, 5)] {
        let changeset = changeset(checkpoint, changeset_id);
        tx.park(&ReadModelId::live(name), &changeset, "no ö", Some(Timestamp::from_micros(9))).await.unwrap();
    }
    let entry = AuditEntry {
        at: Timestamp::from_micros(5),
        action: "pause".to_owned(),
        reason: format!("lunch of {name}"),
        checkpoint: Checkpoint::new(41),
        detail: String::new(),
    };
    tx.audit(&ReadModelId::live(name), &entry).await.unwrap();
    let effect = EffectId {
        stream_id: stream(),
        changeset_id: ChangesetId::new(4),
        event_id: EventId::new(6),
        effect: format!("mail of {name}"),
    };
    tx.begin_effect(&ReadModelId::live(name), &effect, Timestamp::from_micros(7), Duration::from_secs(1))
        .await
        .unwrap();
}

/// A transaction that is dropped changes nothing: not the row, not what is parked, not the audit, not the ledger.
pub async fn a_dropped_transaction_leaves_no_trace<S: Subject>() {
    let subject = fresh::<S>().await;
    make(&*subject, "journal", &at(0, 0)).await;
    let before = kept(&*subject, "journal").await;
    let mut tx = begin(&*subject).await;
    assert!(tx.replace(&ReadModelId::live("journal"), START, &whole_row()).await.unwrap());
    keep(&mut tx, "journal").await;
    assert!(tx.insert(&ReadModelId::live("another"), &at(0, 0)).await.unwrap());
    drop(tx);
    assert_eq!(stored(&*subject, "journal").await, Some(at(0, 0)));
    assert_eq!(stored(&*subject, "another").await, None);
    assert_eq!(kept(&*subject, "journal").await, before);
}

/// What is kept under one name is not seen, cleared or swept under another.
pub async fn each_name_has_its_own<S: Subject>() {
    let subject = fresh::<S>().await;
    for name in ["journal", "journal_2"] {
        make(&*subject, name, &at(0, 0)).await;
        let mut tx = begin(&*subject).await;
        keep(&mut tx, name).await;
        tx.commit().await.unwrap();
    }
    let all_of = |name: &str| Kept {
        parked: vec![(stream(), 2)],
        checkpoints: vec![41, 43],
        audit: vec![format!("lunch of {name}")],
        effects: vec![format!("mail of {name}")],
    };
    assert_eq!(kept(&*subject, "journal").await, all_of("journal"));
    let mut tx = begin(&*subject).await;
    tx.clear_parked(&ReadModelId::live("journal")).await.unwrap();
    assert_eq!(tx.sweep(&ReadModelId::live("journal"), Timestamp::now(), 100).await.unwrap(), 1);
    assert!(!tx.unpark(&ReadModelId::live("journal"), &stream(), Checkpoint::new(41)).await.unwrap());
    tx.commit().await.unwrap();
    assert!(moved(&subject.database(), "journal", START, &whole_row()).await.unwrap());
    let left = Kept { parked: vec![], checkpoints: vec![], audit: vec![], ..all_of("journal") };
    assert_eq!(kept(&*subject, "journal").await, left);
    assert_eq!(kept(&*subject, "journal_2").await, all_of("journal_2"));
    assert_eq!(stored(&*subject, "journal_2").await, Some(at(0, 0)));
}

/// A parked stream keeps its changesets in order, and what is noted of it, until the last of them is unparked.
pub async fn a_parked_stream_is_there_until_its_last_changeset_goes<S: Subject>() {
    let subject = fresh::<S>().await;
    make(&*subject, "journal", &at(0, 0)).await;
    let mut tx = begin(&*subject).await;
    keep(&mut tx, "journal").await;
    tx.commit().await.unwrap();

    let mut tx = begin(&*subject).await;
    let first = tx.parked(&ReadModelId::live("journal")).await.unwrap().remove(0);
    assert_eq!((first.first.get(), first.attempts, first.error.as_str()), (4, 1, "no ö"));
    assert_eq!(first.retry_at, Some(Timestamp::from_micros(9)));
    let noted = ParkedStream {
        attempts: 8,
        error: "still no 'ö'".to_owned(),
        since: Timestamp::from_micros(11),
        retry_at: Some(Timestamp::from_micros(12)),
        ..first
    };
    tx.update_parked(&ReadModelId::live("journal"), &noted).await.unwrap();
    assert!(tx.unpark(&ReadModelId::live("journal"), &stream(), Checkpoint::new(41)).await.unwrap());
    tx.commit().await.unwrap();

    let mut tx = begin(&*subject).await;
    let second = ParkedStream { first: ChangesetId::new(5), changesets: 1, ..noted.clone() };
    assert_eq!(tx.parked(&ReadModelId::live("journal")).await.unwrap(), [second]);
    assert!(tx.unpark(&ReadModelId::live("journal"), &stream(), Checkpoint::new(43)).await.unwrap());
    tx.commit().await.unwrap();

    let mut tx = begin(&*subject).await;
    assert_eq!(tx.parked(&ReadModelId::live("journal")).await.unwrap(), []);
    // One that is no more is not made again by a note on it.
    tx.update_parked(&ReadModelId::live("journal"), &noted).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(kept(&*subject, "journal").await.parked, []);
}

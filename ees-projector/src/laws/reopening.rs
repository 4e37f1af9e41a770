//! What a database keeps when it is closed and opened again.

use std::sync::Arc;
use std::time::Duration;

use ees_store::{ChangesetId, EventId, Timestamp};

use super::Subject;
use super::support::{ChangingLog, Journal, fresh, note, parking, start};
use crate::Parking;
use crate::ReadModelId;
use crate::database::{Database, LedgerRows, Transaction};
use crate::reactor::{EffectId, EffectQuery};

fn patient() -> Parking {
    Parking { retry_after_min: Duration::from_secs(3_600), ..Parking::default() }
}

async fn reopen<S: Subject>(subject: Arc<S>) -> Arc<S> {
    let Some(subject) = Arc::into_inner(subject) else { panic!("somebody is still at work on it") };
    Arc::new(subject.reopen().await)
}

/// Rows, position, what is parked, a pause and the audit are all there, and the next worker goes on from them. A
/// database that keeps nothing begins anew.
pub async fn a_reopened_database_goes_on_where_it_was<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    journal.faults.fail("bad");
    for stream in ["good", "bad", "good"] {
        log.append(stream, &note("1")).await;
    }
    let bench = start(&log, &subject, &journal, parking(patient()));
    bench.caught_up().await;
    bench.handle().pause("journal", "closing").await.unwrap();
    let parked = bench.handle().parked("journal").await.unwrap();
    let pause = bench.paused().await.pause;
    let rows = subject.table("journal").await;
    bench.close().await;

    journal.faults.mend();
    let subject = reopen(subject).await;
    if !S::CAPABILITIES.reopens {
        assert_eq!(
            subject.database().begin().await.unwrap().load(&ReadModelId::live("journal")).await.unwrap(),
            None
        );
        let bench = start(&log, &subject, &journal, parking(patient()));
        bench.caught_up().await;
        assert_eq!(bench.texts("bad").await.unwrap(), "1");
        return;
    }
    let bench = start(&log, &subject, &journal, parking(patient()));
    assert_eq!(bench.paused().await.pause, pause);
    assert_eq!(subject.table("journal").await, rows);
    assert_eq!(bench.handle().parked("journal").await.unwrap(), parked);
    assert_eq!(bench.handle().audit("journal", 10).await.unwrap()[0].reason, "closing");
    bench.handle().resume("journal", "open").await.unwrap();
    bench.handle().retry_parked("journal", None, "mended").await.unwrap();
    log.append("good", &note("2")).await;
    bench.caught_up().await;
    assert_eq!(bench.texts("good").await.unwrap(), "1 1 2");
    assert_eq!(bench.texts("bad").await.unwrap(), "1");
    assert!(bench.counts().await.values().all(|count| *count == 1));
}

/// An effect that was begun in a durable transaction is in the ledger, so that it is known that it may have been done.
pub async fn a_reopened_database_knows_what_was_begun<S: Subject>() {
    let subject = fresh::<S>().await;
    let id = EffectId {
        stream_id: "a".parse().unwrap(),
        changeset_id: ChangesetId::new(1),
        event_id: EventId::new(1),
        effect: "mail".to_owned(),
    };
    let mut tx = subject.database().begin_durable().await.unwrap();
    let begun = tx
        .begin_effect(&ReadModelId::live("clerk"), &id, Timestamp::from_micros(7), Duration::from_secs(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let subject = reopen(subject).await;
    let mut tx = subject.database().begin().await.unwrap();
    let known = tx.effects(&ReadModelId::live("clerk"), &EffectQuery::default()).await.unwrap();
    assert_eq!(known, if S::CAPABILITIES.reopens { vec![begun] } else { vec![] });
}

//! What is kept for a while only.

use std::sync::Arc;
use std::time::Duration;

use ees_store::{Checkpoint, Timestamp};

use super::Subject;
use super::support::{ChangingLog, Journal, LONG, fresh, settings, start};
use crate::ReadModelId;
use crate::database::{AuditRows, Database, Transaction};
use crate::{AuditEntry, Settings};

fn entry(reason: &str, at: i64) -> AuditEntry {
    AuditEntry {
        at: Timestamp::from_micros(at),
        action: "pause".to_owned(),
        reason: reason.to_owned(),
        checkpoint: Checkpoint::START,
        detail: String::new(),
    }
}

async fn reasons<S: Subject>(subject: &Arc<S>, name: &str) -> Vec<String> {
    let mut tx = subject.database().begin().await.unwrap();
    let entries = tx.audit_entries(&ReadModelId::live(name), 10).await.unwrap();
    entries.into_iter().map(|entry| entry.reason).collect()
}

/// Waits until no entry is left.
async fn none_left<S: Subject>(subject: &Arc<S>, name: &str) {
    while !reasons(subject, name).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Old entries of the audit are swept oldest first, at most the limit at a time, and only those of this
/// projection.
pub async fn old_entries_of_the_audit_go_a_bounded_number_at_a_time<S: Subject>() {
    let subject = fresh::<S>().await;
    let mut tx = subject.database().begin().await.unwrap();
    for (reason, at) in [("first", 1), ("second", 2), ("third", 3), ("young", 10)] {
        tx.audit(&ReadModelId::live("journal"), &entry(reason, at)).await.unwrap();
    }
    tx.audit(&ReadModelId::live("other"), &entry("another's", 1)).await.unwrap();
    for (gone, left) in [(2, &["young", "third"][..]), (1, &["young"]), (0, &["young"])] {
        assert_eq!(
            tx.sweep(&ReadModelId::live("journal"), Timestamp::from_micros(10), 2).await.unwrap(),
            gone
        );
        let entries = tx.audit_entries(&ReadModelId::live("journal"), 10).await.unwrap();
        assert_eq!(entries.iter().map(|entry| &entry.reason).collect::<Vec<_>>(), left);
    }
    tx.commit().await.unwrap();
    assert_eq!(reasons(&subject, "other").await, ["another's"]);
}

/// A worker sweeps the audit by itself, once its entries are old enough.
pub async fn a_worker_forgets_the_audit_in_time<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    let keeps = start(&log, &subject, &journal, settings());
    keeps.handle().pause("journal", "maintenance").await.unwrap();
    keeps.handle().resume("journal", "done").await.unwrap();
    log.append("s", &super::support::note("1")).await;
    keeps.caught_up().await;
    keeps.running.shut_down().await;
    assert_eq!(reasons(&subject, "journal").await, ["done", "maintenance"]);

    let short =
        Settings { keep_audit: Duration::ZERO, poll_interval: Duration::from_millis(10), ..settings() };
    let forgets = start(&log, &subject, &journal, short);
    tokio::time::timeout(LONG, none_left(&subject, "journal")).await.unwrap();
    forgets.running.shut_down().await;
}

/// A worker sweeps the audit also while its projection is paused.
pub async fn a_worker_forgets_the_audit_during_a_pause<S: Subject>() {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    let short =
        Settings { keep_audit: Duration::ZERO, poll_interval: Duration::from_millis(10), ..settings() };
    let pauses = start(&log, &subject, &journal, settings());
    pauses.handle().pause("journal", "for months").await.unwrap();
    pauses.running.shut_down().await;
    assert_eq!(reasons(&subject, "journal").await, ["for months"]);
    let paused = start(&log, &subject, &journal, short);
    tokio::time::timeout(LONG, none_left(&subject, "journal")).await.unwrap();
    paused.running.shut_down().await;
}

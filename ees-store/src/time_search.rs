//! Finds the place where a log reaches a time.

use crate::{ChangesetLog, Checkpoint, Error, LogEntry, LogQuery, Result, Timestamp};

/// Changesets without a time, one after the other, after which the log is taken to have none.
const WITHOUT_TIME_MAX: usize = 10_000;
/// Changesets that are read together to find one with a time.
const STRIDE: usize = 100;

/// Every changeset before `low` that was looked at is older than the time; none from `high` on is.
pub(crate) async fn bisect(log: &(impl ChangesetLog + ?Sized), time: Timestamp) -> Result<Checkpoint> {
    let (mut low, mut high) = (Checkpoint::START, log.head().await?.checkpoint);
    while low < high {
        let middle = Checkpoint::new(low.get() + (high.get() - low.get()) / 2);
        match first_with_time(log, middle).await? {
            Some(entry) if entry.timestamp < time => low = entry.checkpoint.next(),
            _ => high = middle,
        }
    }
    Ok(low)
}

async fn first_with_time(
    log: &(impl ChangesetLog + ?Sized),
    mut from: Checkpoint,
) -> Result<Option<LogEntry>> {
    let (mut limit, mut passed) = (1, 0);
    while passed < WITHOUT_TIME_MAX {
        let page = log.read(LogQuery::from(from, limit)).await?;
        if page.changesets.is_empty() {
            // Those that are on their way decide where the time is.
            let is_all = page.next >= page.head.checkpoint;
            let late = || Error::Unavailable(format!("the changesets from checkpoint {from} on are late"));
            return if is_all { Ok(None) } else { Err(late()) };
        }
        passed += page.changesets.len();
        from = page.next;
        limit = STRIDE;
        if let Some(found) = page.changesets.into_iter().find(|it| it.timestamp != Timestamp::default()) {
            return Ok(Some(found));
        }
    }
    Err(Error::InvalidRequest("the changesets of this log have no times".to_owned()))
}

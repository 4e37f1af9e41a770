//! Finds the place where a log reaches a time.

use std::time::Duration;

use crate::{ChangesetLog, Checkpoint, Error, LogEntry, LogQuery, Result, Timestamp};

/// Changesets without a time, one after the other, after which the log is taken to have none.
const WITHOUT_TIME_MAX: usize = 10_000;
/// How far the clock of a caller may be ahead of this machine's.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// Changesets that are read together to find one with a time.
const STRIDE: usize = 100;

/// Returns where to start reading the log for what was committed at a time or later: its place, as
/// [`ChangesetLog::checkpoint_at`] finds it. A time before the first changeset has its place at the start.
///
/// ```
/// use ees_store::{Checkpoint, Timestamp, checkpoint_since, memory};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = memory::Store::new();
/// assert_eq!(checkpoint_since(&log, "2026-11-21T09:30:00Z".parse()?).await?, Checkpoint::START);
/// let in_2999 = checkpoint_since(&log, "2999-01-01T00:00:00Z".parse()?).await;
/// assert!(in_2999.is_err_and(|why| why.to_string().contains("is in the future")));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InvalidRequest`] for a time that is more than a minute ahead of this machine's clock, and those of
/// [`ChangesetLog::checkpoint_at`].
pub async fn checkpoint_since(log: &(impl ChangesetLog + ?Sized), time: Timestamp) -> Result<Checkpoint> {
    let now = Timestamp::now();
    if time > now.later_by(AHEAD_MAX) {
        return Err(Error::InvalidRequest(format!("{time} is in the future: it is {now} now")));
    }
    log.checkpoint_at(time).await
}

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

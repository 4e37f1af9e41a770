//! An indexer outside of a store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Config;
use tokio::sync::Mutex;

use super::identity;
use super::item::Item;
use super::options::Options;
use super::plan::Candidate;
use super::set_aside_list::{Call, SetAsideList};
use super::sweep::{self, Swept};
use super::table::Table;
use super::worker::Worker;
use crate::Result;

/// Calls between two times that a sweep writes down where it is: a hundred megabytes.
const SAVE_EVERY: u64 = 100;

/// Assigns checkpoints to changesets outside of a [`Store`](super::Store): in a function on the table's
/// stream, or on a schedule.
///
/// Any number of them may work on one table. Records that come twice, late or out of order do no harm.
///
/// ```no_run
/// use ees_store::dynamodb::{Candidate, Indexer};
///
/// # async fn example(config: aws_sdk_dynamodb::Config) -> Result<(), Box<dyn std::error::Error>> {
/// let indexer = Indexer::open(config, "bank").await?;
/// let changeset = Candidate { stream_id: "account/42".parse()?, changeset_id: 7.into(), size_bytes: 500 };
/// assert_eq!(indexer.index(vec![changeset]).await?, 1);
/// # Ok(())
/// # }
/// ```
pub struct Indexer {
    table: Table,
    work: Mutex<Work>,
    set_aside: Arc<AtomicUsize>,
}

struct Work {
    worker: Worker,
    set_aside: SetAsideList,
    /// What a failed call has left that its caller does not know of: changesets of streams that are set aside no more, and
    /// earlier ones of streams.
    left: Vec<Candidate>,
}

impl Indexer {
    /// Opens the log in this table.
    ///
    /// # Errors
    /// As for [`Store::open`](super::Store::open).
    pub async fn open(config: impl Into<Config>, table: &str) -> Result<Self> {
        let (table, _) = Table::find(config, table, Options::default().patience).await?;
        identity::open(&table).await?;
        let worker = Worker::new(table.clone(), None);
        let set_aside = worker.set_aside();
        let work = Work { worker, set_aside: SetAsideList::default(), left: Vec::new() };
        Ok(Self { table, work: Mutex::new(work), set_aside })
    }

    /// Indexes these changesets, and earlier ones of their streams that were missed. Returns how many it has
    /// indexed, without those that already had a checkpoint and those of a batch whose answer was lost.
    ///
    /// # Errors
    /// [`Error::Overloaded`](crate::Error::Overloaded) and [`Error::Unavailable`](crate::Error::Unavailable):
    /// retry with the same changesets.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn index(&self, candidates: Vec<Candidate>) -> Result<usize> {
        self.index_with(candidates, false).await
    }

    /// Also looks at the streams that were written down as set aside, if that is asked for.
    async fn index_with(&self, mut candidates: Vec<Candidate>, listed: bool) -> Result<usize> {
        let mut work = self.work.lock().await;
        let Work { worker, set_aside, left } = &mut *work;
        let given: HashSet<_> = candidates.iter().map(|it| (it.stream_id.clone(), it.changeset_id)).collect();
        if listed {
            candidates.extend(set_aside.read(&self.table).await?);
        }
        left.append(&mut candidates);
        let indexed = worker.index(left).await;
        match &indexed {
            // The caller repeats its own.
            Err(error) if error.is_transient() => {
                left.retain(|it| !given.contains(&(it.stream_id.clone(), it.changeset_id)));
            }
            // One of them may be what fails each time. The sweep finds the others.
            Err(_) => left.clear(),
            Ok(_) => {}
        }
        let call = match (&indexed, listed) {
            (Err(_), _) => Call::Failed,
            (Ok(_), true) => Call::OfTheList,
            (Ok(_), false) => Call::OfOthers,
        };
        let written = set_aside.write(&self.table, worker.stuck(), call).await;
        if let Err(error) = written {
            // The next call writes it. What was indexed is indexed.
            tracing::warn!(%error, "the streams that are set aside could not be written down");
        }
        indexed
    }

    /// The number of streams that this indexer knows to be set aside: a changeset of each has a place in the order
    /// that can't be right, or can't be updated, and later ones of the stream wait for it. At most 1,000. Raise an
    /// alarm if it is not 0; the log says what is wrong, and [`mend`](fn@super::mend) mends places.
    ///
    /// An indexer writes down up to 100 of its own, and [`sweep_if_due`](Self::sweep_if_due) looks at those of other
    /// processes: so the number is not 0 until all are mended, also after their process has ended.
    pub fn set_aside(&self) -> usize {
        self.set_aside.load(Relaxed)
    }

    /// Sweeps the table for changesets without a checkpoint, and indexes them, until the given time. The next
    /// call continues where this one stopped, in any process, also after a failure. It reads the whole table,
    /// at half a read unit for 4 KB.
    ///
    /// # Errors
    /// As for [`index`](Self::index).
    ///
    /// # Cancellation
    /// Safe. The next call begins where the last one that returned has stopped, or about a hundred megabytes
    /// before the position of this one.
    pub async fn sweep(&self, until: Instant) -> Result<Swept> {
        self.sweep_from(sweep::progress(&self.table).await?.at, Some(until)).await
    }

    /// Sweeps the whole table, from its beginning to its end: for an operator, who wants to know that nothing is left. A
    /// [`sweep`](Self::sweep) begins where the last one stopped.
    ///
    /// # Errors
    /// As for [`index`](Self::index). [`sweep`](Self::sweep) goes on from there.
    ///
    /// # Cancellation
    /// As for [`sweep`](Self::sweep).
    pub async fn sweep_all(&self) -> Result<Swept> {
        self.sweep_from(None, None).await
    }

    /// As [`sweep`](Self::sweep), but returns `None` at once if a sweep has reached the end of the table less
    /// than `every` ago, in any process; whole seconds count. So you may call it far more often than the
    /// table is to be swept: the next calls do what does not fit one call, and then nothing until a sweep is
    /// due again.
    ///
    /// # Errors
    /// As for [`index`](Self::index).
    ///
    /// # Cancellation
    /// As for [`sweep`](Self::sweep).
    pub async fn sweep_if_due(&self, every: Duration, until: Instant) -> Result<Option<Swept>> {
        let progress = sweep::progress(&self.table).await?;
        // Whether streams that are set aside were mended does not wait so long.
        self.index_with(Vec::new(), true).await?;
        if !progress.is_due(every) {
            return Ok(None);
        }
        self.sweep_from(progress.at, Some(until)).await.map(Some)
    }

    async fn sweep_from(&self, mut from: Option<Item>, until: Option<Instant>) -> Result<Swept> {
        let mut swept = Swept::default();
        self.work.lock().await.worker.hurry();
        loop {
            let part = self.sweep_part(&mut from, &mut swept).await;
            let is_over =
                part.is_err() || swept.is_done || until.is_some_and(|until| Instant::now() >= until);
            let is_saved = swept.calls > 0 && (is_over || swept.calls.is_multiple_of(SAVE_EVERY));
            let saved =
                if is_saved { sweep::save_position(&self.table, from.as_ref()).await } else { Ok(()) };
            // What failed first is told.
            part.and(saved)?;
            if is_over {
                return Ok(swept);
            }
        }
    }

    async fn sweep_part(&self, from: &mut Option<Item>, swept: &mut Swept) -> Result<()> {
        let part = sweep::part(&self.table, from.clone()).await?;
        let indexed = self.index(part.found).await? as u64;
        swept.calls += 1;
        swept.items += part.items;
        swept.read_units += part.read_units;
        swept.indexed += indexed;
        swept.is_done = part.next.is_none();
        *from = part.next;
        Ok(())
    }
}

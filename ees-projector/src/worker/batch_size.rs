//! Large batches (spans) while a projection is far behind.

use std::time::{Duration, Instant};

use ees_store::{Checkpoint, LogPage, LogQuery};

use crate::database::Database;
use crate::projection_state::ProjectionState;
use crate::settings::Settings;
use crate::worker::core::Core;
use crate::worker::error::StepError;
use crate::worker::span_memory::Share;

/// A projection that is behind by this many ordinary batches is far behind.
const FAR_BATCHES: u64 = 4;

/// The target duration of a step: long enough to write each row once for many events, short enough for
/// operators to wait.
const STEP: Duration = Duration::from_secs(1);
/// A span grows at most by this factor from one step to the next.
const GROWTH_MAX: f64 = 16.0;

/// Reading a span ends after this time with what has been read: a filter may pass little, and the log may be
/// far away.
const READ_MAX: Duration = Duration::from_secs(1);

/// Determines the number of changesets in a span from the duration of the last step.
#[derive(Default)]
pub(crate) struct Pace {
    changesets: usize,
    /// While the projection is far behind.
    share: Option<Share>,
    /// The largest number that fitted a transaction, after a larger one did not.
    fits_max: Option<usize>,
}

impl Pace {
    /// Returns the number of changesets for the next span, at least an ordinary batch.
    fn changesets(&self, batch: usize) -> usize {
        self.changesets.max(batch).max(1)
    }

    /// Records that this many did not fit a transaction.
    pub(crate) fn was_too_much(&mut self, changesets: usize) {
        let half = (changesets / 2).max(1);
        self.fits_max = Some(self.fits_max.map_or(half, |max| max.min(half)));
    }

    /// Records that this many fitted.
    pub(crate) fn was_fitting(&mut self, changesets: usize) {
        self.fits_max = self.fits_max.map(|max| max.max(changesets));
    }

    /// Returns how many of these are likely to fit.
    pub(crate) fn likely_to_fit(&self, changesets: usize) -> usize {
        self.fits_max.map_or(changesets, |max| max.min(changesets))
    }

    /// Limits a portion to what fitted last time, and a little more: the next changesets may be smaller.
    fn fitting(&self, portion: Portion) -> Portion {
        let fits = self.fits_max.map_or(usize::MAX, |max| max + max.div_ceil(8));
        Portion { changesets: portion.changesets.min(fits), ..portion }
    }

    /// Leaves the memory for spans to others, until the next portion is chosen: the projection does not go on.
    pub(crate) fn release_share(&mut self) {
        self.share = None;
    }

    /// Records how long the last step took, and how many changesets of the log were read for it.
    pub(crate) fn took(&mut self, changesets: usize, time: Duration) {
        let growth = STEP.as_secs_f64() / time.as_secs_f64().max(1e-6);
        self.changesets = (changesets as f64 * growth.min(GROWTH_MAX)) as usize;
    }
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    pub(crate) changesets: usize,
    pub(crate) bytes: usize,
    /// Whether it may take several pages of the log.
    pub(crate) is_span: bool,
}

impl<D: Database> Core<D> {
    /// Chooses a portion by how far the projection is behind, how fast it is, and how many others of its host are far
    /// behind.
    pub(crate) fn portion(&self, state: &ProjectionState, head: Checkpoint, pace: &mut Pace) -> Portion {
        let (settings, batch) = (&self.settings, self.batch());
        let behind = head.get().saturating_sub(state.position.next.get());
        let far = behind / FAR_BATCHES > settings.batch_changesets_max as u64;
        if !far || !self.processor.prefers_large_batches() {
            pace.release_share();
            return pace.fitting(batch);
        }
        let share = pace.share.get_or_insert_with(|| self.span_memory.share());
        let shared = |span: usize, batch: usize| share.of(span).max(batch.min(span));
        let changesets_max = shared(settings.span_changesets_max, batch.changesets);
        let bytes = shared(settings.span_bytes_max, batch.bytes);
        let changesets = pace.changesets(batch.changesets).min(changesets_max).max(1);
        pace.fitting(Portion { changesets, bytes, is_span: true })
    }

    pub(crate) fn batch(&self) -> Portion {
        let Settings { batch_changesets_max, batch_bytes_max: bytes, .. } = self.settings;
        Portion { changesets: batch_changesets_max.max(1), bytes, is_span: false }
    }

    /// Reads further pages until the portion is full: a log limits the size of a page.
    pub(crate) async fn read_on(&self, query: &LogQuery, mut page: LogPage) -> Result<LogPage, StepError> {
        let size =
            |page: &LogPage| page.changesets.iter().map(|changeset| changeset.size_bytes()).sum::<usize>();
        let mut bytes = size(&page);
        let began = Instant::now();
        while page.changesets.len() < query.limit
            && bytes < query.max_bytes
            && page.next < page.head.checkpoint
            // The lease must be renewed, and operators must not wait.
            && began.elapsed() < READ_MAX
        {
            let rest = LogQuery {
                from: page.next,
                limit: query.limit - page.changesets.len(),
                max_bytes: query.max_bytes - bytes,
                wait: Duration::ZERO,
                filter: query.filter.clone(),
            };
            let more = self.log.read(rest).await?;
            // Another incarnation may be another log: check that before applying anything.
            if more.next <= page.next || more.head.incarnation != page.head.incarnation {
                break;
            }
            bytes += size(&more);
            page.changesets.extend(more.changesets);
            (page.next, page.head) = (more.next, more.head);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::worker::idle;

    #[tokio::test]
    async fn projections_that_are_far_behind_share_the_size_of_a_span() {
        let core = idle::core(Arc::new(ees_store::memory::Store::new()));
        let (start, _) = core.initialize().await.unwrap();
        let of = |pace: &mut Pace, head: u64| core.portion(&start, head.into(), pace);
        let mut paces = [(); 3].map(|()| Pace { changesets: 1_000_000, ..Pace::default() });
        let [first, second, third] = &mut paces;

        assert_eq!((of(first, 1_000_000).changesets, of(first, 1_000_000).bytes), (50_000, 32 << 20));
        assert_eq!((of(second, 1_000_000).changesets, of(first, 1_000_000).bytes), (25_000, 16 << 20));
        // One that is no longer far behind takes ordinary batches, and leaves its share to the others.
        assert_eq!(of(third, 1_000).changesets, 5_000);
        assert_eq!((of(second, 1_000).changesets, of(first, 1_000_000).changesets), (5_000, 50_000));
        // So does one that is paused.
        assert_eq!((of(second, 1_000_000).changesets, of(first, 1_000_000).changesets), (25_000, 25_000));
        second.release_share();
        assert_eq!(of(first, 1_000_000).changesets, 50_000);
        // No share is less than an ordinary batch.
        let mut many = [(); 20].map(|()| Pace { changesets: 1_000_000, ..Pace::default() });
        let last = many.iter_mut().map(|pace| of(pace, 1_000_000)).last().unwrap();
        assert_eq!((last.changesets, last.bytes), (5_000, 4 << 20));
    }
}

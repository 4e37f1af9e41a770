//! Many commits in flight, each stream's in the order of its lines: a stream always goes through the same lane, and a
//! lane has one commit on its way at a time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ees_store::client::Client;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Commit, Committed, Error, EventStore, Refusal, StreamId,
    StreamQuery,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::entry::Entry;
use super::lines::{LinePlace, Lines};
use super::{Counts, told};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;

/// Commits in flight.
const LANES: usize = 64;
/// KiB of lines that are read before they are committed. Many lines of one stream in a row leave the other lanes
/// something to do.
const AHEAD_KIB: usize = 32 * 1024;

struct Queued {
    entry: Entry,
    place: LinePlace,
    taken: u64,
    _room: OwnedSemaphorePermit,
}

/// What all lanes share.
struct Shared {
    client: Client,
    /// Where the log ended before the first commit: what has its place before was there already.
    there_before: Checkpoint,
    room: Arc<Semaphore>,
    imported: AtomicU64,
    already_there: AtomicU64,
    /// The failure of the line furthest up.
    failure: Mutex<Option<(u64, Failure)>>,
    progress: Progress,
    begun: Instant,
}

pub(super) async fn import(lines: Lines, client: Client, output: &Output) -> Outcome<Counts> {
    let shared = Arc::new(Shared {
        there_before: client.head().await?.checkpoint,
        client,
        room: Arc::new(Semaphore::new(AHEAD_KIB)),
        imported: AtomicU64::new(0),
        already_there: AtomicU64::new(0),
        failure: Mutex::new(None),
        progress: Progress::of_bytes(lines.length(), output),
        begun: Instant::now(),
    });
    let mut lanes = Vec::with_capacity(LANES);
    let mut tasks = JoinSet::new();
    for _ in 0..LANES {
        let (lane, queue) = unbounded_channel();
        lanes.push(lane);
        tasks.spawn(shared.clone().run_lane(queue));
    }
    let feeder = shared.clone();
    let fed = tokio::task::spawn_blocking(move || feeder.feed(lines, &lanes)).await;
    tasks.join_all().await;
    fed.map_err(Failure::other)?;
    let counts = shared.counts();
    match shared.failure().take() {
        None => Ok(counts),
        Some((_, failure)) => Err(failure.and(format!(
            "{} lines are stored; run it again to add the rest",
            counts.imported + counts.already_there
        ))),
    }
}

impl Shared {
    /// Reads the lines and hands them out, until there are no more or one fails.
    fn feed(&self, mut lines: Lines, lanes: &[UnboundedSender<Queued>]) {
        let runtime = Handle::current();
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => return,
                // It says which line itself.
                Err(failure) => return self.fail(u64::MAX, failure),
            };
            let place = line.place;
            let entry = match Entry::parse(&line.text) {
                Ok(entry) => entry,
                Err(failure) => return self.fail(place.number, failure.at(&place)),
            };
            let kib = u32::try_from((entry.size_bytes() / 1024 + 1).min(AHEAD_KIB)).unwrap_or(u32::MAX);
            // Closed when a line has failed: nothing after it is wanted.
            let Ok(room) = runtime.block_on(self.room.clone().acquire_many_owned(kib)) else { return };
            let lane = &lanes[lane_of(entry.stream_id())];
            if lane.send(Queued { entry, place, taken: line.taken, _room: room }).is_err() {
                return;
            }
        }
    }

    async fn run_lane(self: Arc<Self>, mut queue: UnboundedReceiver<Queued>) {
        // By stream: how many lines it had, and the changeset that the last one became.
        let mut streams = HashMap::<StreamId, (u64, ChangesetId)>::new();
        while let Some(Queued { entry, place, taken, _room }) = queue.recv().await {
            if self.has_failed_before(place.number) {
                continue;
            }
            let (ordinal, last) = streams.entry(entry.stream_id().clone()).or_default();
            *ordinal += 1;
            match self.store(entry, *ordinal, *last).await {
                Ok(changeset_id) => *last = changeset_id,
                Err(failure) => self.fail(place.number, failure.at(&place)),
            }
            self.progress.advance(taken);
            self.progress.tell(|| told(self.counts(), self.begun.elapsed()));
        }
    }

    async fn store(&self, entry: Entry, ordinal: u64, last: ChangesetId) -> Outcome<ChangesetId> {
        let commit = entry.commit(ordinal, last)?;
        match self.client.commit(commit.clone()).await {
            Ok(Committed { changeset_id, checkpoint }) => {
                let before = checkpoint.is_some_and(|checkpoint| checkpoint < self.there_before);
                let count = if before { &self.already_there } else { &self.imported };
                count.fetch_add(1, Relaxed);
                Ok(changeset_id)
            }
            // Its key may be forgotten by now. What is stored is not.
            Err(Error::Refused(refusal @ Refusal::Conflict { .. })) => {
                let changeset_id = self.find(&commit, last, refusal).await?;
                self.already_there.fetch_add(1, Relaxed);
                Ok(changeset_id)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The changeset that stands where the commit would, if it is the same, and not one of the lines before.
    async fn find(&self, commit: &Commit, last: ChangesetId, refusal: Refusal) -> Outcome<ChangesetId> {
        let wanted = ChangesetId::new(commit.expectation.number()).next();
        if wanted <= last {
            return Err(Error::from(refusal).into());
        }
        let query = StreamQuery::changesets(commit.stream_id.clone(), wanted, Some(wanted));
        let Some(there) = self.client.read_stream(query).await?.changesets.pop() else {
            return Err(Error::from(refusal).into());
        };
        if there.events == commit.events && there.metadata == *commit.metadata() {
            return Ok(wanted);
        }
        let events: String = there.events.as_json().as_str().chars().take(200).collect();
        let told = format!(
            "changeset {wanted} of stream \"{}\" is there already, with other content: {events}",
            commit.stream_id
        );
        Err(Failure::from(Error::from(refusal)).and(told))
    }

    fn fail(&self, line: u64, failure: Failure) {
        // Whoever waits for room learns that nothing more is wanted.
        self.room.close();
        let mut known = self.failure();
        if known.as_ref().is_none_or(|(known, _)| line < *known) {
            *known = Some((line, failure));
        }
    }

    fn has_failed_before(&self, line: u64) -> bool {
        self.failure().as_ref().is_some_and(|(failed, _)| *failed < line)
    }

    fn failure(&self) -> MutexGuard<'_, Option<(u64, Failure)>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        Counts { imported: self.imported.load(Relaxed), already_there: self.already_there.load(Relaxed) }
    }
}

fn lane_of(stream_id: &StreamId) -> usize {
    let mut hasher = DefaultHasher::new();
    stream_id.hash(&mut hasher);
    // The remainder is less than LANES.
    (hasher.finish() % LANES as u64) as usize
}

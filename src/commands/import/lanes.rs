//! Many commits in flight, but those of a stream in the order of its lines: all lines of a stream go through
//! the same lane, and a lane has one commit in flight.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::counts::Counts;
use super::entry::Entry;
use super::interrupted::interrupted;
use super::lines::{LineLocation, Lines};
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;

/// Commits in flight.
const LANES: usize = 64;
/// KiB of lines that are read ahead. Keeps the other lanes busy during many consecutive lines of one stream.
const READ_AHEAD_KIB: usize = 32 * 1024;

struct Queued {
    entry: Entry,
    location: LineLocation,
    bytes_read: u64,
    _permit: OwnedSemaphorePermit,
}

/// Shared by all lanes.
struct Shared {
    client: Client,
    /// The end of the log before the first commit. A changeset before it was in the store already.
    initial_head: Checkpoint,
    read_ahead: Arc<Semaphore>,
    imported: AtomicU64,
    already_there: AtomicU64,
    /// Whether the lanes should stop, although there may be more lines.
    interrupted: watch::Sender<bool>,
    /// The failure with the lowest line number.
    failure: Mutex<Option<(u64, Failure)>>,
    progress: Progress,
    started: Instant,
}

pub(super) async fn import(lines: Lines, client: Client, output: &Output) -> Outcome<Counts> {
    let initial_head = client.head().await?.checkpoint;
    let interrupted = interrupted()?;
    let shared = Arc::new(Shared {
        initial_head,
        client,
        read_ahead: Arc::new(Semaphore::new(READ_AHEAD_KIB)),
        imported: AtomicU64::new(0),
        already_there: AtomicU64::new(0),
        interrupted: watch::Sender::new(false),
        failure: Mutex::new(None),
        progress: Progress::of_bytes(lines.length(), output),
        started: Instant::now(),
    });
    let mut lanes = Vec::with_capacity(LANES);
    let mut tasks = JoinSet::new();
    for _ in 0..LANES {
        let (lane, queue) = unbounded_channel();
        lanes.push(lane);
        tasks.spawn(shared.clone().run_lane(queue));
    }
    let feeder = shared.clone();
    let mut feeding = tokio::task::spawn_blocking(move || feeder.feed(lines, &lanes));
    let mut fed = Ok(());
    tokio::select! {
        () = async {
            fed = (&mut feeding).await;
            while tasks.join_next().await.is_some() {}
        } => {}
        interrupted = interrupted => shared.interrupt(interrupted),
    }
    // After an interruption, what is in flight is stored and counted.
    while tasks.join_next().await.is_some() {}
    fed.map_err(Failure::other)?;
    let counts = shared.counts();
    match shared.failure().take() {
        None => Ok(counts),
        Some((_, failure)) => Err(counts.broken_off(failure)),
    }
}

impl Shared {
    /// Reads the lines and distributes them, until the end of the file or a failure.
    fn feed(&self, mut lines: Lines, lanes: &[UnboundedSender<Queued>]) {
        let runtime = Handle::current();
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => return,
                // The failure names its line.
                Err(failure) => return self.fail(u64::MAX, failure),
            };
            let location = line.location;
            let entry = match Entry::parse(&line.text, &location) {
                Ok(entry) => entry,
                Err(failure) => return self.fail(location.number, failure),
            };
            let kib = u32::try_from((entry.size_bytes() / 1024 + 1).min(READ_AHEAD_KIB)).unwrap_or(u32::MAX);
            // The semaphore closes when a line fails: no line after it is committed.
            let Ok(permit) = runtime.block_on(self.read_ahead.clone().acquire_many_owned(kib)) else {
                return;
            };
            let lane = &lanes[lane_of(entry.stream_id())];
            if lane.send(Queued { entry, location, bytes_read: line.bytes_read, _permit: permit }).is_err() {
                return;
            }
        }
    }

    async fn run_lane(self: Arc<Self>, mut queue: UnboundedReceiver<Queued>) {
        // For each stream, the number of its lines so far and the changeset of the last one.
        let mut streams = HashMap::<StreamId, (u64, ChangesetId)>::new();
        let mut interrupted = self.interrupted.subscribe();
        loop {
            let queued = tokio::select! {
                biased;
                _ = interrupted.wait_for(|interrupted| *interrupted) => return,
                queued = queue.recv() => queued,
            };
            let Some(Queued { entry, location, bytes_read, _permit }) = queued else { return };
            if self.has_failed_before(location.number) {
                continue;
            }
            let (ordinal, last) = streams.entry(entry.stream_id().clone()).or_default();
            *ordinal += 1;
            match self.store(entry, *ordinal, *last).await {
                Ok(changeset_id) => *last = changeset_id,
                Err(failure) => self.fail(location.number, failure.at(&location)),
            }
            self.progress.advance(bytes_read);
            self.progress.message(|| self.counts().progress(self.started.elapsed()));
        }
    }

    async fn store(&self, entry: Entry, ordinal: u64, last: ChangesetId) -> Outcome<ChangesetId> {
        let commit = entry.commit(ordinal, last)?;
        match self.client.commit(commit.clone()).await {
            Ok(Committed { changeset_id, checkpoint }) => {
                let is_old = checkpoint.is_some_and(|checkpoint| checkpoint < self.initial_head);
                let count = if is_old { &self.already_there } else { &self.imported };
                count.fetch_add(1, Relaxed);
                Ok(changeset_id)
            }
            // The store may have deleted the idempotency key by now, but not the changeset.
            Err(Error::Refused(refusal @ Refusal::Conflict { .. })) => {
                let changeset_id = self.find(&commit, last, refusal).await?;
                self.already_there.fetch_add(1, Relaxed);
                Ok(changeset_id)
            }
            Err(error @ Error::Refused(_)) => Err(error.into()),
            Err(error) => Err(Failure::from(error).at(format!("stream \"{}\"", commit.stream_id))),
        }
    }

    /// The changeset that the stream has in place of the commit, if it is equal to it and does not come from
    /// a previous line.
    async fn find(&self, commit: &Commit, last: ChangesetId, refusal: Refusal) -> Outcome<ChangesetId> {
        let expected = ChangesetId::new(commit.expectation.number()).next();
        if expected <= last {
            return Err(Error::from(refusal).into());
        }
        let query = StreamQuery::changesets(commit.stream_id.clone(), expected, Some(expected));
        let Some(stored) = self.client.read_stream(query).await?.changesets.pop() else {
            return Err(Error::from(refusal).into());
        };
        if stored.events == commit.events && stored.metadata == *commit.metadata() {
            return Ok(expected);
        }
        let events: String = stored.events.as_stored().chars().take(200).collect();
        let detail = format!(
            "the store has changeset {expected} of stream \"{}\" with different content: {events}",
            commit.stream_id
        );
        Err(Failure::from(Error::from(refusal)).with_detail(detail))
    }

    fn fail(&self, line: u64, failure: Failure) {
        // Stops the reader.
        self.read_ahead.close();
        let mut first = self.failure();
        if first.as_ref().is_none_or(|(first, _)| line < *first) {
            *first = Some((line, failure));
        }
    }

    /// Stops the reader and the lanes. The reader may be waiting for its input for ever.
    fn interrupt(&self, failure: Failure) {
        self.fail(0, failure);
        self.interrupted.send_replace(true);
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
    // The remainder is less than LANES, so it fits.
    (hasher.finish() % LANES as u64) as usize
}

//! Many commits in flight, but those of a stream in the order of its lines: all lines of a stream go through
//! the same lane, and a lane has one request in flight, with the lines that wait in it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// Requests in flight.
const LANES: usize = 64;
/// Lines in one request, at most. All lanes together then keep a server busy that takes a thousand in a transaction.
const BATCH_MAX: usize = 128;
/// KiB of lines in one request. A single line may be larger.
const BATCH_KIB: usize = 192;
/// A server that answers within this time is given twice as many lines.
const SOON: Duration = Duration::from_millis(100);
/// One that takes longer than this is given half as many: others want to commit too, and an answer has its time limit.
const LATE: Duration = Duration::from_millis(500);
/// KiB of lines that are read ahead. Keeps the other lanes busy during many consecutive lines of one stream.
const READ_AHEAD_KIB: usize = 32 * 1024;

struct Queued {
    entry: Entry,
    location: LineLocation,
    bytes_read: u64,
    read_ahead: OwnedSemaphorePermit,
}

impl Queued {
    fn kib(&self) -> usize {
        self.read_ahead.num_permits()
    }
}

/// When the lanes end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    WithTheFile,
    /// A line has failed: no more are read. Those before it are committed.
    WithWhatIsRead,
    /// Although there may be more lines in them.
    Now,
}

/// Shared by all lanes.
struct Shared {
    client: Client,
    /// The end of the log before the first commit. A changeset before it was in the store already.
    initial_head: Checkpoint,
    read_ahead: Arc<Semaphore>,
    imported: AtomicU64,
    already_there: AtomicU64,
    stop: watch::Sender<Stop>,
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
        stop: watch::Sender::new(Stop::WithTheFile),
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
    let ended = async {
        tokio::select! {
            fed = &mut feeding => fed.map_err(Failure::other)?,
            // The feeder may wait for its input for ever.
            () = shared.has_failed() => {}
        }
        all_ended(&mut tasks).await
    };
    tokio::select! {
        ended = ended => ended?,
        interrupted = interrupted => shared.interrupt(interrupted),
    }
    // After an interruption, what is in flight is stored and counted.
    all_ended(&mut tasks).await?;
    let counts = shared.counts();
    match shared.failure().take() {
        None => Ok(counts),
        Some((_, failure)) => Err(counts.broken_off(failure)),
    }
}

/// Waits for all lanes. One that ended by a panic may have left lines.
async fn all_ended(lanes: &mut JoinSet<()>) -> Outcome {
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(Failure::other)?;
    }
    Ok(())
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
            let Ok(read_ahead) = runtime.block_on(self.read_ahead.clone().acquire_many_owned(kib)) else {
                return;
            };
            let lane = &lanes[lane_of(entry.stream_id())];
            if lane.send(Queued { entry, location, bytes_read: line.bytes_read, read_ahead }).is_err() {
                return;
            }
        }
    }

    async fn run_lane(self: Arc<Self>, mut queue: UnboundedReceiver<Queued>) {
        // For each stream, the number of its lines so far and the changeset of the last one.
        let mut streams = HashMap::<StreamId, (u64, ChangesetId)>::new();
        let (mut stop, mut read) = (self.stop.subscribe(), self.stop.subscribe());
        let (mut batch_size, mut behind) = (1, VecDeque::new());
        loop {
            if behind.is_empty() {
                let queued = tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop == Stop::Now) => return,
                    queued = queue.recv() => queued,
                    _ = read.wait_for(|stop| *stop != Stop::WithTheFile) => None,
                };
                behind.extend(queued);
            } else if *stop.borrow() == Stop::Now {
                return;
            }
            while behind.len() < BATCH_MAX
                && let Ok(queued) = queue.try_recv()
            {
                behind.push_back(queued);
            }
            let batch = take_batch(&mut behind, batch_size);
            if batch.is_empty() {
                return;
            }
            let (lines, bytes_read) = (batch.len(), batch.iter().map(|queued| queued.bytes_read).sum());
            let sent = Instant::now();
            self.store(batch, &mut streams).await;
            batch_size = next_batch_size(batch_size, lines, sent.elapsed());
            self.progress.advance(bytes_read);
            self.progress.message(|| self.counts().progress(self.started.elapsed()));
        }
    }

    /// Commits lines together, of a stream one.
    async fn store(&self, batch: Vec<Queued>, streams: &mut HashMap<StreamId, (u64, ChangesetId)>) {
        let mut lines = Vec::with_capacity(batch.len());
        for Queued { entry, location, read_ahead, .. } in batch {
            if self.has_failed_before(location.number) {
                break;
            }
            let (ordinal, last) = streams.entry(entry.stream_id().clone()).or_default();
            *ordinal += 1;
            match entry.commit(*ordinal, *last) {
                Ok(commit) => lines.push((location, commit, *last, read_ahead)),
                Err(failure) => self.fail(location.number, failure.at(&location)),
            }
        }
        let commits = lines.iter().map(|(_, commit, ..)| commit.clone()).collect();
        // The room of the lines is theirs until they are judged.
        let verdicts = self.client.commit_in_order(commits).await;
        for ((location, commit, last, _), verdict) in lines.into_iter().zip(verdicts) {
            match self.judge(&commit, last, verdict).await {
                Ok(changeset_id) => {
                    if let Some((_, last)) = streams.get_mut(&commit.stream_id) {
                        *last = changeset_id;
                    }
                }
                Err(failure) => self.fail(location.number, failure.at(&location)),
            }
        }
    }

    /// The changeset that a line became, now or in an earlier import.
    async fn judge(
        &self,
        commit: &Commit,
        last: ChangesetId,
        verdict: Result<Committed, Error>,
    ) -> Outcome<ChangesetId> {
        match verdict {
            Ok(Committed { changeset_id, checkpoint }) => {
                let is_old = checkpoint.is_some_and(|checkpoint| checkpoint < self.initial_head);
                let count = if is_old { &self.already_there } else { &self.imported };
                count.fetch_add(1, Relaxed);
                Ok(changeset_id)
            }
            // The store may have deleted the idempotency key by now, but not the changeset.
            Err(Error::Refused(refusal @ Refusal::Conflict { .. })) => {
                let changeset_id = self.find(commit, last, refusal).await?;
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
        drop(first);
        self.stop.send_if_modified(|stop| {
            let goes_on = *stop == Stop::WithTheFile;
            if goes_on {
                *stop = Stop::WithWhatIsRead;
            }
            goes_on
        });
    }

    async fn has_failed(&self) {
        // The sender is this one's own.
        let _ = self.stop.subscribe().wait_for(|stop| *stop != Stop::WithTheFile).await;
    }

    /// Stops the reader and the lanes. A line that has failed before is what is told.
    fn interrupt(&self, failure: Failure) {
        self.read_ahead.close();
        self.failure().get_or_insert((0, failure));
        self.stop.send_replace(Stop::Now);
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

/// How many lines the next request may have, after one of so many that took this time.
fn next_batch_size(size: usize, lines: usize, took: Duration) -> usize {
    match took {
        _ if took > LATE => (lines / 2).max(1),
        // What fewer lines take says nothing of more.
        _ if took < SOON && lines == size => (size * 2).min(BATCH_MAX),
        _ => size,
    }
}

/// Takes lines for one request, of each stream the first one only: after a line that is refused, nothing of its stream may
/// be stored. The others stay in their order.
fn take_batch(behind: &mut VecDeque<Queued>, size: usize) -> Vec<Queued> {
    let (mut batch, mut left) = (Vec::new(), VecDeque::new());
    let (mut kib, mut streams) = (0, HashSet::new());
    for queued in behind.drain(..) {
        let is_full = batch.len() == size || kib >= BATCH_KIB;
        if is_full || !streams.insert(queued.entry.stream_id().clone()) {
            left.push_back(queued);
        } else {
            kib += queued.kib();
            batch.push(queued);
        }
    }
    *behind = left;
    batch
}

fn lane_of(stream_id: &StreamId) -> usize {
    let mut hasher = DefaultHasher::new();
    stream_id.hash(&mut hasher);
    // The remainder is less than LANES, so it fits.
    (hasher.finish() % LANES as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_is_given_fewer_lines_at_once() {
        let after =
            |times: &[Duration]| times.iter().fold(1, |size, took| next_batch_size(size, size, *took));
        let (soon, late) = (Duration::from_millis(5), Duration::from_secs(1));
        assert_eq!(after(&[soon; 20]), BATCH_MAX);
        assert_eq!(after(&[soon, soon, soon, SOON, LATE]), 8);
        assert_eq!(after(&[soon, soon, late]), 2);
        assert_eq!(after(&[late; 20]), 1);
        assert_eq!(next_batch_size(16, 3, soon), 16, "three lines say nothing of sixteen");
    }

    #[test]
    fn a_request_has_one_line_of_a_stream_and_the_others_keep_their_order() {
        let read_ahead = Arc::new(Semaphore::new(READ_AHEAD_KIB));
        let mut behind: VecDeque<Queued> = "abacbadc"
            .chars()
            .zip(1..)
            .map(|(stream, number)| {
                let location = LineLocation { file: "f".into(), number };
                let entry =
                    Entry::parse(&format!(r#"{{"stream_id":"{stream}","events":[1]}}"#), &location).unwrap();
                let read_ahead = read_ahead.clone().try_acquire_owned().unwrap();
                Queued { entry, location, bytes_read: 0, read_ahead }
            })
            .collect();
        let mut batches = Vec::new();
        while !behind.is_empty() {
            let batch = take_batch(&mut behind, 3);
            batches.push(batch.iter().map(|queued| queued.location.number).collect::<Vec<_>>());
        }
        assert_eq!(batches, [vec![1, 2, 4], vec![3, 5, 7], vec![6, 8]]);
    }
}

//! `--keep-order`: an export becomes a log with the same global order, timestamps and types.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

use ees_store::decide::{Tail, decide};
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Committed, EventStore, Expectation, LogEntry, LogQuery, StreamId, pages,
};
use futures::{Stream, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{Receiver, channel};

use super::counts::Counts;
use super::interrupted::interrupted;
use super::lines::{Line, LineLocation, Lines};
use crate::backend::{Backend, Opened};
use crate::changeset::Record;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::retention::Retention;

/// Changesets committed at once.
const CHUNK: usize = 1_000;
/// Bytes of events and metadata committed at once. A single changeset may exceed it.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// Lines read before they are needed.
const LINES_AHEAD: usize = 64;

pub(super) async fn import(
    lines: Lines,
    backend: &Backend,
    retention: Retention,
    renumber: bool,
    output: &Output,
) -> Outcome<Counts> {
    if *backend == Backend::Memory {
        return Err(Failure::not_possible_here(
            "a store in memory would be lost at the end; use --data or --store",
        ));
    }
    #[cfg(feature = "dynamodb")]
    if matches!(backend, Backend::DynamoDb(_)) {
        return Err(Failure::not_possible_here(
            "a store in DynamoDB assigns the global order afterwards; use `ees import` with a server \
             instead, which keeps the order of each stream",
        ));
    }
    let Opened { store, log } = backend.open(retention).await?;
    let mut interrupted = pin!(interrupted()?);
    let progress = Progress::of_bytes(lines.length(), output);
    let started = Instant::now();
    let mut import = OrderedImport::new(store, &*log, renumber);
    let report = |bytes_read, counts: Counts| {
        progress.advance(bytes_read);
        progress.message(|| counts.progress(started.elapsed()));
    };
    if let Err(failure) = import.read(read_ahead(lines), interrupted.as_mut(), report).await {
        return Err(import.counts.broken_off(failure));
    }
    let OrderedImport { counts, fingerprint, .. } = import;
    let stored = tokio::select! {
        biased;
        interrupted = interrupted => return Err(counts.broken_off(interrupted)),
        stored = Fingerprint::of(&*log, counts.imported + counts.already_there) => stored?,
    };
    if fingerprint != stored {
        return Err(Failure::other(format!(
            "{backend} does not have the same content as the file in the same order; do not use it"
        )));
    }
    Ok(counts)
}

/// Reads lines in a thread: it may have to wait for its input.
fn read_ahead(mut lines: Lines) -> Receiver<Outcome<Line>> {
    let (sender, read) = channel(LINES_AHEAD);
    tokio::task::spawn_blocking(move || {
        while let Some(line) = lines.next().transpose() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    read
}

/// The changesets that the store had before the import.
type Stored<'a> = Pin<Box<dyn Stream<Item = ees_store::Result<LogEntry>> + Send + 'a>>;

struct OrderedImport<'a> {
    store: Arc<dyn EventStore>,
    /// `None` once all of them are compared.
    stored: Option<Stored<'a>>,
    tails: HashMap<StreamId, Tail>,
    chunk: Vec<(LineLocation, Commit)>,
    chunk_bytes: usize,
    /// The checkpoint that the next line must have, if it has one.
    next_checkpoint: Checkpoint,
    /// Whether a line may have a later one.
    renumber: bool,
    head: Checkpoint,
    counts: Counts,
    fingerprint: Fingerprint,
}

impl<'a> OrderedImport<'a> {
    fn new(store: Arc<dyn EventStore>, log: &'a dyn ChangesetLog, renumber: bool) -> Self {
        let all = LogQuery::from(Checkpoint::START, CHUNK);
        Self {
            store,
            stored: Some(Box::pin(pages::log_changesets(log, all))),
            tails: HashMap::new(),
            chunk: Vec::with_capacity(CHUNK),
            chunk_bytes: 0,
            next_checkpoint: Checkpoint::START,
            renumber,
            head: Checkpoint::START,
            counts: Counts { imported: 0, already_there: 0 },
            fingerprint: Fingerprint::default(),
        }
    }

    /// Imports all lines, and reports each one. It can be interrupted between two of them, so that the counts
    /// are right.
    async fn read(
        &mut self,
        mut lines: Receiver<Outcome<Line>>,
        mut interrupted: Pin<&mut impl Future<Output = Failure>>,
        report: impl Fn(u64, Counts),
    ) -> Outcome {
        loop {
            let line = tokio::select! {
                biased;
                interrupted = &mut interrupted => return Err(interrupted),
                line = lines.recv() => line,
            };
            let Some(line) = line.transpose()? else { break };
            let bytes_read = line.bytes_read;
            self.add(line).await?;
            if self.chunk.len() >= CHUNK || self.chunk_bytes >= CHUNK_BYTES {
                self.store_chunk().await?;
            }
            report(bytes_read, self.counts);
        }
        self.store_chunk().await?;
        self.check_end().await
    }

    /// Compares a line with the store's changeset, or adds it to the chunk if the store has none.
    async fn add(&mut self, Line { location, text, .. }: Line) -> Outcome {
        let record: Record = serde_json::from_str(&text).map_err(|error| location.not_readable(&error))?;
        self.check_checkpoint(&record).map_err(|failure| failure.at(&location))?;
        let record = record.content();
        let commit = self.follow(&record).map_err(|failure| failure.at(&location))?;
        self.fingerprint.add(&record)?;
        if let Some(stored) = &mut self.stored {
            if let Some(changeset) = stored.try_next().await? {
                self.head = changeset.checkpoint.next();
                self.counts.already_there += 1;
                return check_same(&record, changeset).map_err(|failure| failure.at(&location));
            }
            self.stored = None;
        }
        self.chunk_bytes += commit.size_bytes();
        self.chunk.push((location, commit));
        Ok(())
    }

    /// Fails if lines are missing or in another order.
    fn check_checkpoint(&mut self, record: &Record) -> Outcome {
        let Some(checkpoint) = record.checkpoint else { return Ok(()) };
        let is_gap = checkpoint > self.next_checkpoint;
        if checkpoint < self.next_checkpoint || is_gap && !self.renumber {
            let advice = if is_gap { "; if the log itself has such gaps, add --renumber" } else { "" };
            return Err(Failure::bad_input(format!(
                "expected checkpoint {}, found {checkpoint}: lines are missing or in the wrong order",
                self.next_checkpoint
            ))
            .with_hint(format!("export the log again{advice}")));
        }
        self.next_checkpoint = checkpoint.next();
        Ok(())
    }

    /// Fails if the store has more changesets than the file.
    async fn check_end(&mut self) -> Outcome {
        let Some(stored) = &mut self.stored else { return Ok(()) };
        match stored.try_next().await? {
            None => Ok(()),
            Some(more) => Err(Failure::new(
                Exit::Refused,
                "ANOTHER_LOG",
                format!(
                    "the store has more changesets than the file, from checkpoint {} on",
                    more.checkpoint
                ),
            )),
        }
    }

    /// The commit that produces this changeset after the lines before. Fails if a store would decide
    /// otherwise.
    fn follow(&mut self, record: &Record) -> Outcome<Commit> {
        let last = record.changeset_id.get().saturating_sub(1);
        let mut commit = Commit::imported(
            record.stream_id.clone(),
            Expectation::LastChangeset(last.into()),
            record.events()?,
            record.metadata.clone(),
            record.timestamp,
        );
        commit.stream_type.clone_from(&record.stream_type);
        commit.trace = record.trace()?;

        let tail = self.tails.entry(record.stream_id.clone()).or_default();
        let decided = decide(tail, &commit, self.store.limit_bytes(), record.timestamp);
        let changeset = decided.map_err(|refusal| {
            Failure::bad_input(format!("the line cannot follow the lines before it: {refusal}"))
        })?;
        *tail = Tail::after(&changeset);
        let expected = Record::from(changeset).content();
        if expected != *record {
            return Err(Failure::bad_input(format!(
                "to follow the stream's lines before it, the line must have changeset_id {}, first_event_id \
                 {}, a timestamp of {} or later, and the same stream_type",
                expected.changeset_id, expected.first_event_id, expected.timestamp
            )));
        }
        Ok(commit)
    }

    async fn store_chunk(&mut self) -> Outcome {
        let (locations, commits): (Vec<_>, Vec<_>) = self.chunk.drain(..).unzip();
        self.chunk_bytes = 0;
        let expected: Vec<_> = commits.iter().map(|commit| commit.expectation.number() + 1).collect();
        let results = self.store.commit_in_order(commits).await;
        for ((result, location), expected) in results.into_iter().zip(locations).zip(expected) {
            let Committed { changeset_id, checkpoint } =
                result.map_err(|error| Failure::from(error).at(&location))?;
            let next = checkpoint.filter(|at| changeset_id.get() == expected && *at >= self.head);
            self.head = next.ok_or_else(|| Failure::other("stored out of order").at(&location))?.next();
            self.counts.imported += 1;
        }
        Ok(())
    }
}

/// Fails if the store has another changeset in place of the line.
fn check_same(record: &Record, stored: LogEntry) -> Outcome {
    let checkpoint = stored.checkpoint;
    let stored = Record::from(stored).content();
    if stored == *record {
        return Ok(());
    }
    let Record { stream_id, changeset_id, .. } = stored;
    Err(Failure::new(
        Exit::Refused,
        "ANOTHER_LOG",
        format!(
            "the store has a different changeset at checkpoint {checkpoint}: {changeset_id} of stream \
             \"{stream_id}\""
        ),
    )
    .with_hint("import into an empty store, or into one with the first changesets of this file"))
}

/// A hash of changesets in their order.
#[derive(Default)]
struct Fingerprint(Sha256);

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl Fingerprint {
    fn add(&mut self, record: &Record) -> Outcome {
        self.0.update(serde_json::to_vec(record).map_err(Failure::other)?);
        Ok(())
    }

    /// Of the first `count` changesets of a log.
    async fn of(log: &dyn ChangesetLog, count: u64) -> Outcome<Self> {
        let mut fingerprint = Self::default();
        let all = LogQuery::from(Checkpoint::START, CHUNK);
        let mut changesets = Box::pin(pages::log_changesets(log, all));
        for _ in 0..count {
            let Some(changeset) = changesets.try_next().await? else { break };
            fingerprint.add(&Record::from(changeset).content())?;
        }
        Ok(fingerprint)
    }
}

//! Moving a whole log: an export becomes a store of its own, with the same global order, times and types.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use ees_store::decide::{Tail, decide};
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Committed, EventStore, Events, Expectation, Indexed, LogQuery,
    StreamId, pages,
};
use futures::{Stream, TryStreamExt};
use sha2::{Digest, Sha256};

use super::lines::{Line, LinePlace, Lines};
use super::{Counts, told};
use crate::changeset::Record;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::place::{Backend, Keeping, Opened};
use crate::progress::Progress;

/// Changesets that are committed at once.
const CHUNK: usize = 1_000;
/// Bytes of events and metadata that are committed at once; one changeset may have more.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

pub(super) async fn import(
    mut lines: Lines,
    backend: &Backend,
    keeping: Keeping,
    output: &Output,
) -> Outcome<Counts> {
    if *backend == Backend::Memory {
        return Err(Failure::usage("a store in memory is gone at the end: give --data or --store"));
    }
    #[cfg(feature = "dynamodb")]
    if matches!(backend, Backend::DynamoDb(_)) {
        return Err(Failure::usage(
            "a store in DynamoDB gives its order out afterwards: import into a server on it, which keeps each stream's order",
        ));
    }
    let Opened { store, log } = backend.open(keeping).await?;
    let progress = Progress::of_bytes(lines.length(), output);
    let begun = Instant::now();
    let mut moving = Moving::new(store, &*log);
    while let Some(line) = lines.next()? {
        let taken = line.taken;
        moving.take(line).await?;
        if moving.chunk.len() >= CHUNK || moving.chunk_bytes >= CHUNK_BYTES {
            moving.store_chunk().await?;
        }
        progress.advance(taken);
        progress.tell(|| told(moving.counts, begun.elapsed()));
    }
    moving.store_chunk().await?;
    moving.expect_no_more().await?;
    let Moving { counts, content, .. } = moving;
    if content != Content::of(&*log, counts.imported + counts.already_there).await? {
        return Err(Failure::other(format!(
            "{backend} does not hold what the file says, in its order: don't use it"
        )));
    }
    Ok(counts)
}

/// What the store had before, changeset by changeset.
type Before<'a> = Pin<Box<dyn Stream<Item = ees_store::Result<Indexed>> + Send + 'a>>;

struct Moving<'a> {
    store: Arc<dyn EventStore>,
    /// None once the file has gone past it.
    before: Option<Before<'a>>,
    tails: HashMap<StreamId, Tail>,
    chunk: Vec<(LinePlace, Commit)>,
    chunk_bytes: usize,
    /// The checkpoint the next line must have, where lines have one.
    next_line: Checkpoint,
    head: Checkpoint,
    counts: Counts,
    content: Content,
}

impl<'a> Moving<'a> {
    fn new(store: Arc<dyn EventStore>, log: &'a dyn ChangesetLog) -> Self {
        let all = LogQuery::from(Checkpoint::START, CHUNK);
        Self {
            store,
            before: Some(Box::pin(pages::log_changesets(log, all))),
            tails: HashMap::new(),
            chunk: Vec::with_capacity(CHUNK),
            chunk_bytes: 0,
            next_line: Checkpoint::START,
            head: Checkpoint::START,
            counts: Counts { imported: 0, already_there: 0 },
            content: Content::default(),
        }
    }

    /// Compares a line with what is there already, or else puts it into the chunk.
    async fn take(&mut self, Line { place, text, .. }: Line) -> Outcome {
        let read = serde_json::from_str(&text).map_err(Failure::bad_input);
        let record: Record = read.map_err(|failure| failure.at(&place))?;
        self.in_order(&record).map_err(|failure| failure.at(&place))?;
        let record = Record { checkpoint: None, ..record };
        let commit = self.follow(&record).map_err(|failure| failure.at(&place))?;
        self.content.add(&record)?;
        if let Some(before) = &mut self.before {
            if let Some(there) = before.try_next().await? {
                self.head = there.checkpoint.next();
                self.counts.already_there += 1;
                return same(&record, there).map_err(|failure| failure.at(&place));
            }
            self.before = None;
        }
        self.chunk_bytes += commit.size_bytes();
        self.chunk.push((place, commit));
        Ok(())
    }

    /// Lines that changed places, or are missing, must not become a log.
    fn in_order(&mut self, record: &Record) -> Outcome {
        let Some(checkpoint) = record.checkpoint else { return Ok(()) };
        if checkpoint != self.next_line {
            return Err(Failure::bad_input(format!(
                "it has checkpoint {checkpoint} where {} must come: lines are missing, or not in their order",
                self.next_line
            )));
        }
        self.next_line = checkpoint.next();
        Ok(())
    }

    /// The store must not hold more than the file.
    async fn expect_no_more(&mut self) -> Outcome {
        let Some(before) = &mut self.before else { return Ok(()) };
        match before.try_next().await? {
            None => Ok(()),
            Some(more) => Err(Failure::new(
                Exit::Refused,
                "ANOTHER_LOG",
                format!("the store goes on where the file ends, at checkpoint {}", more.checkpoint),
            )),
        }
    }

    /// The commit of a changeset that has to follow the lines before, as it would from a store's own decision.
    fn follow(&mut self, record: &Record) -> Outcome<Commit> {
        let last = record.changeset_id.get().saturating_sub(1);
        let events = Events::parse(record.events.as_str())?;
        let mut commit =
            Commit::new(record.stream_id.clone(), Expectation::LastChangeset(last.into()), events)
                .with_metadata(record.metadata.clone())?
                .with_recorded_at(record.timestamp);
        commit.stream_type.clone_from(&record.stream_type);

        let tail = self.tails.entry(record.stream_id.clone()).or_default();
        let decided = decide(tail, &commit, self.store.limit_bytes(), record.timestamp);
        let changeset = decided
            .map_err(|refusal| Failure::bad_input(format!("it can't follow the lines before: {refusal}")))?;
        *tail = Tail::after(&changeset);
        let followed = Record::from(changeset);
        if followed != *record {
            return Err(Failure::bad_input(format!(
                "after the stream's lines before, it must have the changeset_id {}, the first_event_id {}, a timestamp \
                 from {} on, and the same stream_type",
                followed.changeset_id, followed.first_event_id, followed.timestamp
            )));
        }
        Ok(commit)
    }

    async fn store_chunk(&mut self) -> Outcome {
        let (places, commits): (Vec<_>, Vec<_>) = self.chunk.drain(..).unzip();
        self.chunk_bytes = 0;
        let wanted: Vec<_> = commits.iter().map(|commit| commit.expectation.number() + 1).collect();
        let verdicts = self.store.commit_in_order(commits).await;
        for ((verdict, place), wanted) in verdicts.into_iter().zip(places).zip(wanted) {
            let Committed { changeset_id, checkpoint } =
                verdict.map_err(|error| Failure::from(error).at(&place))?;
            let next = checkpoint.filter(|at| changeset_id.get() == wanted && *at >= self.head);
            self.head = next.ok_or_else(|| Failure::other("stored out of order").at(&place))?.next();
            self.counts.imported += 1;
        }
        Ok(())
    }
}

/// Whether a line is what the store has in its place.
fn same(record: &Record, there: Indexed) -> Outcome {
    let checkpoint = there.checkpoint;
    let there = Record { checkpoint: None, ..there.into() };
    if there == *record {
        return Ok(());
    }
    let Record { stream_id, changeset_id, .. } = there;
    Err(Failure::new(
        Exit::Refused,
        "ANOTHER_LOG",
        format!(
            "the store has something else here: changeset {changeset_id} of stream \"{stream_id}\", at checkpoint \
             {checkpoint}. Import into an empty store, or into one that holds the beginning of this file"
        ),
    ))
}

/// A fingerprint of changesets in their order.
#[derive(Default)]
struct Content(Sha256);

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl Content {
    fn add(&mut self, record: &Record) -> Outcome {
        self.0.update(serde_json::to_vec(record).map_err(Failure::other)?);
        Ok(())
    }

    /// The first so many of a log.
    async fn of(log: &dyn ChangesetLog, count: u64) -> Outcome<Self> {
        let mut content = Self::default();
        let all = LogQuery::from(Checkpoint::START, CHUNK);
        let mut changesets = Box::pin(pages::log_changesets(log, all));
        for _ in 0..count {
            let Some(changeset) = changesets.try_next().await? else { break };
            content.add(&Record { checkpoint: None, ..changeset.into() })?;
        }
        Ok(content)
    }
}

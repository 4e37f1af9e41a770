//! `ees check`: read the whole log, and prove what a log promises.

mod direct;

use std::collections::HashMap;

use clap::Args;
use ees_store::client::Client;
use ees_store::decide::Tail;
use ees_store::{
    ChangesetId, ChangesetLog, Checkpoint, Error, EventStore, LogEntry, LogQuery, StreamId, StreamQuery,
    pages,
};
use futures::TryStreamExt;
use serde_json::json;

use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::progress::Progress;
use crate::remote::Remote;
use crate::retention::Retention;
use crate::store_location::StoreLocation;

/// Changesets read by one call.
const PAGE: usize = 1_000;

/// Read the whole log, and check what it promises
///
/// Every changeset can be read and is as it was stored (by its checksum, on SQLite and PostgreSQL). The
/// checkpoints ascend without gaps. The changesets and events of each stream are numbered without gaps, their
/// times ascend, and the stream ends where the log says. Prints what is wrong, and then exits with 9.
///
/// What a server does not show is checked directly in the store: see --keys and --add-checksums.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Accept checkpoints without a changeset, as in a table that was adopted from another system
    #[arg(long)]
    allow_gaps: bool,
    /// Check the idempotency keys instead, directly in --store or --data: each became a changeset that is there.
    /// A server may have the store open. In DynamoDB it reads the whole table; twice, if it is of format 1 or 2 and
    /// has keys
    #[arg(long, conflicts_with_all = ["allow_gaps", "add_checksums"])]
    keys: bool,
    /// Add checksums instead, directly in --store or --data, to changesets from before there were checksums. On
    /// SQLite, stop the server first
    #[arg(long, conflicts_with = "allow_gaps")]
    add_checksums: bool,
    #[command(flatten)]
    location: StoreLocation,
    #[command(flatten)]
    retention: Retention,
    #[command(flatten)]
    remote: Remote,
}

impl Arguments {
    /// The whole log is read from a server. So an option that names a store would be ignored.
    pub(crate) fn refuse_location(&self, is_given: impl Fn(&str) -> bool) -> Outcome {
        if self.keys || self.add_checksums {
            return Ok(());
        }
        match ["data", "store"].into_iter().find(|option| is_given(option)) {
            Some(option) => Err(Failure::usage(format!(
                "--{option} goes with --keys and --add-checksums only: the log is read from the server at --url"
            ))
            .with_hint("start a server on that store, `ees serve`, and check that")),
            None => Ok(()),
        }
    }
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { allow_gaps, keys, add_checksums, location, retention, remote } = arguments;
    if keys {
        return direct::check_keys(&location.backend()?, retention, output).await;
    }
    if add_checksums {
        return direct::add_checksums(&location.backend()?, output).await;
    }
    check_log(allow_gaps, remote, output).await
}

async fn check_log(allow_gaps: bool, remote: Remote, output: &mut Output) -> Outcome {
    let client = remote.patient_client().await?;
    let mut check =
        Check { next: Checkpoint::START, tails: HashMap::new(), allow_gaps, changesets: 0, faults: 0 };
    let end = client.head().await?.checkpoint;
    let progress = Progress::of_changesets(end.get(), output);
    let mut log = Box::pin(pages::log_changesets(&client, LogQuery::from(Checkpoint::START, PAGE)));
    while let Some(entry) = log.try_next().await? {
        if entry.checkpoint >= end {
            break;
        }
        progress.at(entry.checkpoint.next().get());
        check.entry(&entry, output)?;
    }
    check.gap(end, output)?;
    check.ends(&client, output).await?;
    let Check { tails, changesets, faults, .. } = check;
    let (streams, told) = (tails.len(), counted(faults, "fault"));
    output.either(
        &json!({ "changesets": changesets, "streams": streams, "faults": faults }),
        format!("{} of {} checked, {told}", counted(changesets, "changeset"), counted(streams, "stream")),
    )?;
    if faults > 0 { Err(Failure::differs(format!("the log has {told}"))) } else { Ok(()) }
}

struct Check {
    next: Checkpoint,
    tails: HashMap<StreamId, Tail>,
    allow_gaps: bool,
    changesets: u64,
    faults: u64,
}

impl Check {
    fn entry(&mut self, entry: &LogEntry, output: &mut Output) -> Outcome {
        self.changesets += 1;
        self.gap(entry.checkpoint, output)?;
        self.next = entry.checkpoint.next();
        if let Some(quarantined) = entry.events.quarantined() {
            self.fault(entry, quarantined, output)?;
        }
        let before = self.tails.get(&entry.stream_id).cloned().unwrap_or_default();
        let (changeset_id, first_event_id) = (before.last_changeset.next(), before.last_event.next());
        if entry.changeset_id != changeset_id {
            let what = format!("changeset {changeset_id} of the stream should be here, or is missing");
            self.fault(entry, what, output)?;
        } else if entry.first_event_id != first_event_id {
            let what = format!("its first event has number {}, not {first_event_id}", entry.first_event_id);
            self.fault(entry, what, output)?;
        }
        if before.exists() && entry.timestamp <= before.last_timestamp {
            let what = format!("its time {} is not after {}", entry.timestamp, before.last_timestamp);
            self.fault(entry, what, output)?;
        }
        if before.exists() && entry.stream_type != before.stream_type {
            self.fault(entry, "it has another stream type than the changeset before it", output)?;
        }
        self.tails.insert(entry.stream_id.clone(), Tail::after(&entry.changeset));
        Ok(())
    }

    /// There is nothing from the last changeset up to this checkpoint.
    fn gap(&mut self, to: Checkpoint, output: &mut Output) -> Outcome {
        if to <= self.next || self.allow_gaps {
            return Ok(());
        }
        self.faults += 1;
        let (from, last) = (self.next, to.get() - 1);
        let place = if from.get() == last {
            format!("checkpoint {from}")
        } else {
            format!("checkpoints {from} to {last}")
        };
        output.either(
            &json!({ "checkpoint": from, "last_checkpoint": last, "fault": "no changeset" }),
            format!("{place}: no changeset (--allow-gaps accepts this)"),
        )
    }

    /// Every stream ends with the changeset that is its last one in the log, unless it has grown meanwhile.
    async fn ends(&mut self, client: &Client, output: &mut Output) -> Outcome {
        for (stream_id, tail) in std::mem::take(&mut self.tails) {
            let last = tail.last_changeset;
            // An id that another system gave may be none that a server takes.
            if StreamId::new(stream_id.as_str()).is_ok() {
                let query = StreamQuery::changesets(stream_id.clone(), last, None).with_limit(1);
                let found = match client.read_stream(query).await {
                    Ok(page) => page.changesets.first().map(|it| it.changeset_id),
                    Err(Error::StreamNotFound(_)) => None,
                    Err(error) => return Err(error.into()),
                };
                if found != Some(last) {
                    self.wrong_end(&stream_id, last, found, output)?;
                }
            }
            self.tails.insert(stream_id, tail);
        }
        Ok(())
    }

    fn wrong_end(
        &mut self,
        stream_id: &StreamId,
        last: ChangesetId,
        found: Option<ChangesetId>,
        output: &mut Output,
    ) -> Outcome {
        self.faults += 1;
        let read = found.map_or_else(|| "nothing".to_owned(), |id| format!("changeset {id}"));
        let fault =
            format!("ends with changeset {last} in the log, and with {read} when it is read by itself");
        output.either(
            &json!({ "stream_id": stream_id, "fault": fault }),
            format!("stream {:?} {fault}", stream_id.as_str()),
        )
    }

    fn fault(&mut self, entry: &LogEntry, what: impl std::fmt::Display, output: &mut Output) -> Outcome {
        self.faults += 1;
        let LogEntry { checkpoint, changeset } = entry;
        let (stream_id, changeset_id) = (&changeset.stream_id, changeset.changeset_id);
        output.either(
            &json!({
                "checkpoint": checkpoint, "stream_id": stream_id, "changeset_id": changeset_id,
                "fault": what.to_string(),
            }),
            format!(
                "checkpoint {checkpoint}, changeset {changeset_id} of stream {:?}: {what}",
                stream_id.as_str()
            ),
        )
    }
}

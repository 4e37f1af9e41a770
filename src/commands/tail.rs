//! `ees tail`: print changesets in their global order, as they are committed.

use clap::Args;
use ees_store::{
    ChangesetLog, Checkpoint, Filter, LogEntry, LogHead, LogPage, LogQuery, StreamType, Timestamp,
    checkpoint_since, pages,
};
use futures::TryStreamExt;

use crate::changeset::{Pretty, Record};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::remote::Remote;
use crate::values::moment;

/// Changesets read by one call.
const PAGE: usize = 1_000;

/// Print changesets in their global order, as they are committed
///
/// By default, starts with the last 10 changesets and runs until you stop it.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Start at this checkpoint
    #[arg(long, value_name = "CHECKPOINT", conflicts_with = "since_start")]
    from: Option<Checkpoint>,
    /// Start with the first changeset
    #[arg(long)]
    since_start: bool,
    /// Start where the log reaches this time, such as 2026-11-26T10:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with_all = ["from", "since_start"])]
    since: Option<Timestamp>,
    /// Start with the last N changesets
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, conflicts_with_all = ["from", "since_start", "since"])]
    last: u64,
    /// Only changesets of streams of this type; repeat the flag for several types
    #[arg(long, value_name = "TYPE")]
    stream_type: Vec<StreamType>,
    /// Only changesets with an event of this type; repeat the flag for several types
    #[arg(long, value_name = "TYPE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    event_type: Vec<String>,
    /// Stop at the end of the log, instead of waiting for more
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let client = arguments.remote.patient_client().await?;
    let from = match (arguments.from, arguments.since) {
        (Some(from), _) => from,
        (None, Some(time)) => {
            checkpoint_since(&client, time).await.map_err(|error| Failure::from(error).at("--since"))?
        }
        (None, None) if arguments.since_start => Checkpoint::START,
        (None, None) => last(client.head().await?.checkpoint, arguments.last),
    };
    let filter = Filter { stream_types: arguments.stream_type, event_types: arguments.event_type };
    let query = LogQuery::from(from, PAGE).with_filter(filter);
    if arguments.no_follow {
        let mut changesets = Box::pin(pages::log_changesets(&client, query));
        while let Some(changeset) = changesets.try_next().await? {
            print(changeset, output)?;
        }
        return Ok(());
    }
    let mut pages = Box::pin(pages::follow(&client, query));
    let mut position = LogPosition::default();
    while let Some(page) = pages.try_next().await? {
        position.advance(&client, &page).await?;
        let LogPage { changesets, .. } = page;
        changesets.into_iter().try_for_each(|changeset| print(changeset, output))?;
        output.flush()?;
    }
    Ok(())
}

/// The last changeset that was printed, and the incarnation of the log that it came from.
#[derive(Default)]
struct LogPosition {
    head: Option<LogHead>,
    last: Option<LogEntry>,
}

impl LogPosition {
    /// Fails if the log was restored to an earlier state: following it would skip changesets.
    async fn advance(&mut self, log: &impl ChangesetLog, page: &LogPage) -> Outcome {
        let went_back =
            || Failure::new(Exit::Refused, "LOG_WENT_BACK", "the log was replaced or restored; start again");
        if page.head.checkpoint < page.next {
            return Err(went_back());
        }
        if let (Some(head), Some(last)) = (&self.head, &self.last)
            && (head.log_id, head.incarnation) != (page.head.log_id, page.head.incarnation)
        {
            let again = log.read(LogQuery::from(last.checkpoint, 1)).await?;
            if head.log_id != page.head.log_id || again.changesets.first() != Some(last) {
                return Err(went_back());
            }
        }
        self.head = Some(page.head.clone());
        self.last = page.changesets.last().cloned().or_else(|| self.last.take());
        Ok(())
    }
}

/// Where the last `count` changesets start. Fewer follow if checkpoints have gaps.
fn last(head: Checkpoint, count: u64) -> Checkpoint {
    Checkpoint::new(head.get().saturating_sub(count))
}

fn print(changeset: LogEntry, output: &mut Output) -> Outcome {
    if output.is_json() {
        return output.json(&Record::from(changeset));
    }
    output.line(Pretty { checkpoint: Some(changeset.checkpoint), changeset: &changeset })
}

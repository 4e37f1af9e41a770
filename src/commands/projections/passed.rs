//! `ees projections passed`: what each projection and reactor did with one changeset, and when.

use clap::Args;
use ees_projector::{Passed, PassedBy, Verdict};
use ees_store::{ChangesetId, StreamId};

use crate::exit::Outcome;
use crate::output::Output;
use crate::plural::counted;
use crate::projection::{encoded, failed};
use crate::remote::Remote;
use crate::table::table;

/// Show which projections and reactors of the server have passed a changeset, skipped it or parked it, and when
#[derive(Args)]
pub(super) struct Arguments {
    /// The stream
    stream: StreamId,
    /// The id of the changeset
    changeset: ChangesetId,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(Arguments { stream, changeset, remote }: Arguments, output: &mut Output) -> Outcome {
    let client = remote.client().await?;
    let passed: Passed = client
        .get_json(&format!("/passed?stream_id={}&changeset_id={changeset}", encoded(stream.as_str())))
        .await
        .map_err(failed)?;
    let rows = passed.projections.iter().map(|PassedBy { name, verdict, .. }| {
        let (word, more) = words(verdict);
        [name.clone(), word.to_owned(), more]
    });
    output.either(&passed, table(["NAME", "CHANGESET", ""], rows))
}

fn words(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Passed { after, before } => ("passed", format!("after {after}, before {before}")),
        Verdict::PassedOver { at } => {
            ("passed over", format!("an operator set the checkpoint past it at {at}"))
        }
        Verdict::Skipped { at } => {
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            ("skipped", format!("an operator left it out{at}"))
        }
        Verdict::Parked { first, since } => {
            ("parked", format!("the stream waits from changeset {first} on, since {since}"))
        }
        Verdict::PausedBefore { since } => ("paused before it", format!("since {since}")),
        Verdict::NotYet { changesets_before } => {
            ("not yet", format!("{} before it", counted(*changesets_before, "changeset")))
        }
        Verdict::Perhaps => ("perhaps", "some of its partitions have passed it".to_owned()),
        _ => ("unknown", "this process does not know where the read model is".to_owned()),
    }
}

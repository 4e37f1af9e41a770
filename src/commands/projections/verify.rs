//! `ees projections verify`: compare a read model with one that is rebuilt from the log.

use std::str::FromStr;

use clap::Args;
use ees_projector::{Comparison, Fingerprint, FingerprintCheck, Kind, Verification};
use ees_store::Checkpoint;
use serde::Serialize;
use serde_json::{Value, json};

use super::watching::watched;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::progress::Progress;
use crate::projection::{POLL_INTERVAL, ProjectionClient};
use crate::remote::Remote;

/// Rebuild the read model separately and compare it with the live one; or quickly, by its fingerprint. Exits with
/// code 9 if they differ
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// Only read the live rows once, and compare them with the fingerprint that the projection keeps
    #[arg(long)]
    quick: bool,
    /// Also compare the fingerprint with that of another copy of the read model, as `status` shows it there
    #[arg(long, value_name = "CHECKPOINT:FINGERPRINT", requires = "quick")]
    against: Option<Copied>,
    #[command(flatten)]
    remote: Remote,
}

/// The fingerprint of a copy, and where the copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Copied {
    checkpoint: Checkpoint,
    fingerprint: Fingerprint,
}

impl FromStr for Copied {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (checkpoint, fingerprint) =
            text.split_once(':').ok_or("expected a checkpoint and a fingerprint, with a colon in between")?;
        Ok(Self {
            checkpoint: checkpoint.parse().map_err(|_| format!("\"{checkpoint}\" is not a checkpoint"))?,
            fingerprint: fingerprint
                .parse()
                .map_err(|error: ees_projector::InvalidFingerprint| error.to_string())?,
        })
    }
}

pub(super) async fn run(
    Arguments { name, quick, against, remote }: Arguments,
    output: &mut Output,
) -> Outcome {
    if quick { quickly(name, against, &remote, output).await } else { in_full(name, &remote, output).await }
}

/// What a quick verification prints.
#[derive(Serialize)]
struct Quick {
    #[serde(flatten)]
    check: FingerprintCheck,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Copied>,
}

async fn quickly(name: String, against: Option<Copied>, remote: &Remote, output: &mut Output) -> Outcome {
    let projection = ProjectionClient::new(remote.patient_client().await?, name.clone());
    projection.check_is(Kind::Projection).await?;
    let check: FingerprintCheck = projection.get_after_long("fingerprint").await?;
    let FingerprintCheck { checkpoint, rows, kept, .. } = check;
    let at = match checkpoint {
        Some(checkpoint) => format!("at checkpoint {checkpoint}"),
        None => "of partitions at different checkpoints".to_owned(),
    };
    let mut text = format!("read {} {at}: {}", counted(rows, "row"), check.found);
    if !check.is_equal() {
        text += &format!("\nthe projection keeps {kept}");
    }
    let differs = !check.is_equal();
    output.either(&Quick { check, against }, text)?;
    if differs {
        let why = format!("the rows of {name} are not those that the projection has written");
        let how = format!(
            "somebody has changed its tables, or they were not restored as they were: `ees projections verify \
             {name}` shows the rows, `ees projections rebuild {name}` makes them anew"
        );
        return Err(Failure::differs(why).with_hint(how));
    }
    let Some(Copied { checkpoint: other, fingerprint }) = against else { return Ok(()) };
    let Some(checkpoint) = checkpoint else {
        return Err(Failure::other(format!(
            "the partitions of {name} are at different checkpoints, so its fingerprint is that of none"
        ))
        .with_hint("try again when no events come, or set the number of partitions to 1"));
    };
    match other == checkpoint {
        false => Err(Failure::other(format!(
            "{name} is at checkpoint {checkpoint} and the copy at {other}: fingerprints can be compared at the same \
             checkpoint only"
        ))
        .with_hint(format!(
            "pause both, or build {name} as it was there: `ees projections at {name} --checkpoint {other} --into \
             NAME`"
        ))),
        true if fingerprint != kept => Err(Failure::differs(format!(
            "{name} and the copy have different rows at checkpoint {checkpoint}: {kept} here, {fingerprint} there"
        ))),
        true => Ok(()),
    }
}

async fn in_full(name: String, remote: &Remote, output: &mut Output) -> Outcome {
    let projection = ProjectionClient::new(remote.patient_client().await?, name.clone());
    projection.check_is(Kind::Projection).await?;
    let goes_on = format!("the verification of {name} goes on in the server, if it has begun");
    let how = "the same command watches it; nothing but the end of the server ends it";
    let comparison = watched(compared(&projection, &name, output), &goes_on, how).await?;
    let Comparison { checkpoint, rows, parked_streams, differences } = &comparison;
    let mut lines = vec![format!("compared {} at checkpoint {checkpoint}", counted(*rows, "row"))];
    if *parked_streams > 0 {
        let parked = counted(*parked_streams, "stream");
        lines.push(format!("parked: {parked}. Their rows are behind, and may differ"));
    }
    lines.extend(differences.iter().map(|difference| Printable(difference).to_string()));
    output.either(&comparison, lines.join("\n"))?;
    match differences.len() {
        0 => Ok(()),
        count => Err(Failure::differs(format!(
            "the read model of {name} does not match the log: {}{}",
            counted(count, "difference"),
            if count == Comparison::DIFFERENCES_MAX { " or more" } else { "" }
        ))),
    }
}

/// Begins a verification, or takes the one that is in progress, and waits for its end.
async fn compared(projection: &ProjectionClient, name: &str, output: &Output) -> Outcome<Comparison> {
    let _: Value = projection.post("verification", &json!({})).await?;
    let mut progress = None;
    loop {
        let seen = projection.get("verification").await;
        match seen.map_err(|failure| {
            failure.after("the verification was started, and goes on while the server runs")
        })? {
            Some(Verification::Done { comparison }) => return Ok(comparison),
            Some(Verification::Failed { error, code }) => {
                return Err(Failure::told(code, format!("cannot verify {name}: {error}")));
            }
            Some(Verification::Building { checkpoint, rebuild }) => {
                if let Some(rebuild) = rebuild {
                    progress
                        .get_or_insert_with(|| Progress::of_changesets(rebuild.until.get(), output))
                        .at(checkpoint);
                }
            }
            None => {
                let restarted = Failure::other("the server has restarted, which ended it: start it again");
                return Err(restarted.after("the verification was started"));
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

//! `ees projections verify`: is the read model what the log says?

use clap::Args;
use ees_projector::{Comparison, Verification};
use serde_json::{Value, json};

use super::path;
use super::rebuild::LOOK_EVERY;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::progress::Progress;
use crate::remote::Remote;

/// Build the read model once more, aside, and compare it with the live one; exit code 9 when they differ
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(Arguments { name, remote }: Arguments, output: &mut Output) -> Outcome {
    let client = remote.patient_client().await?;
    let place = format!("{}/verification", path(&name));
    let _: Value = client.post_json(&place, &json!({})).await?;
    let mut progress = None;
    let comparison: Comparison = loop {
        match client.get_json(&place).await? {
            Some(Verification::Done { comparison }) => break comparison,
            Some(Verification::Failed { error }) => {
                return Err(Failure::other(format!("{name} could not be verified: {error}")));
            }
            Some(Verification::Building { checkpoint, rebuild }) => {
                if let Some(rebuild) = rebuild {
                    progress
                        .get_or_insert_with(|| Progress::of_changesets(rebuild.until.get(), output))
                        .at(checkpoint);
                }
            }
            None => return Err(Failure::other("the server was restarted meanwhile; begin again")),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    drop(progress);
    let Comparison { checkpoint, rows, differences } = &comparison;
    let mut lines = vec![format!("{rows} rows compared at checkpoint {checkpoint}")];
    lines.extend(differences.iter().cloned());
    output.either(&comparison, lines.join("\n"))?;
    match differences.len() {
        0 => Ok(()),
        count => Err(Failure::differs(format!(
            "{name} is not what the log says: {count} differences{}",
            if count == Comparison::DIFFERENCES_MAX { " or more" } else { "" }
        ))),
    }
}

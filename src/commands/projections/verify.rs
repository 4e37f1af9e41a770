//! `ees projections verify`: compare a read model with one that is rebuilt from the log.

use clap::Args;
use ees_projector::{Comparison, Kind, Verification};
use serde_json::{Value, json};

use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::printable::Printable;
use crate::progress::Progress;
use crate::projection::{POLL_INTERVAL, ProjectionClient};
use crate::remote::Remote;

/// Rebuild the read model separately and compare it with the live one. Exits with code
/// 9 if they differ
#[derive(Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(Arguments { name, remote }: Arguments, output: &mut Output) -> Outcome {
    let projection = ProjectionClient::new(remote.patient_client().await?, name.clone());
    projection.check_is(Kind::Projection).await?;
    let _: Value = projection.post("verification", &json!({})).await?;
    let mut progress = None;
    let comparison: Comparison = loop {
        let seen = projection.get("verification").await;
        match seen.map_err(|failure| failure.after("the verification goes on in the server"))? {
            Some(Verification::Done { comparison }) => break comparison,
            Some(Verification::Failed { error }) => {
                return Err(Failure::other(format!("cannot verify {name}: {error}")));
            }
            Some(Verification::Building { checkpoint, rebuild }) => {
                if let Some(rebuild) = rebuild {
                    progress
                        .get_or_insert_with(|| Progress::of_changesets(rebuild.until.get(), output))
                        .at(checkpoint);
                }
            }
            None => return Err(Failure::other("the server has restarted; start the verification again")),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    drop(progress);
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

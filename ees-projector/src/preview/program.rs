//! A ready-made `main` for a program that previews.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use ees_store::Timestamp;
use indicatif::{ProgressBar, ProgressStyle};

use super::{PreviewOptions, PreviewProgress, text};
use crate::error::{BoxError, chain};
use crate::host::projector::Projector;

/// Nothing changes.
const SAME: u8 = 0;
const FAILED: u8 = 1;
/// As for `ees projections verify`.
const DIFFERS: u8 = 9;
/// 128 and the number of the signal, as shells have it.
const INTERRUPTED: u8 = 130;

/// [`super::WriteUnits::PRICE`] as text.
const DEFAULT_PRICE: &str = "0.625";

/// Where the log and the read models are, as the caller of the program says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Given {
    /// The log: `--log`, or the environment variable `EES_URL`.
    pub log: String,
    /// The database of the read models: `--database`, or the environment variable `EES_READ_MODELS`.
    pub database: String,
}

/// Tells what this version of the program would change, before it is deployed. Changes nothing
#[derive(Parser)]
#[command(
    after_help = "Exit codes: 0 nothing changes, 9 something does, 1 any failure, 2 invalid usage, 130 interrupted"
)]
struct Arguments {
    /// The projections and reactors to preview. Default: all of the program's
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The log, such as the URL of its server
    #[arg(long, env = "EES_URL", value_name = "URL")]
    log: String,
    /// The database of the live read models
    #[arg(long, env = "EES_READ_MODELS", value_name = "DATABASE")]
    database: String,
    /// Print one JSON object for each projection and reactor
    #[arg(long)]
    json: bool,
    /// Tell instead what a rebuild of each fold writes on DynamoDB, and what that costs at this price of a million
    /// write units
    #[arg(long, value_name = "PRICE", num_args = 0..=1, require_equals = true, default_missing_value = DEFAULT_PRICE)]
    dynamodb_cost: Option<f64>,
    /// The most samples of each kind
    #[arg(long, value_name = "N", default_value = "10")]
    samples: usize,
    /// Where the preview of a reactor begins, as RFC 3339 (2026-11-26T10:00:00Z). Default: as far back as its ledger goes
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
}

/// Runs a program that previews the projections and reactors of a [`Projector`], and returns its exit code: 0 if
/// nothing changes, 9 if something does, 1 after a failure.
///
/// Give it the function that the deployed program registers its projections with: so the preview runs what is going to
/// be deployed. The options are `--log`, `--database`, `--json`, `--samples`, `--since` and `--dynamodb-cost`, and names of projections;
/// `--help` tells about them.
///
/// ```no_run
/// use std::process::ExitCode;
/// use std::sync::Arc;
/// use ees_projector::preview::{self, Given};
/// use ees_projector::{BoxError, Fold, Projector, Recorded, Settings, sqlite};
/// # struct Balances;
/// # impl Fold for Balances {
/// #     type Event = serde_json::Value; type Key = String; type State = i64;
/// #     fn name(&self) -> &str { "balances" }
/// #     fn key(&self, event: Recorded<'_, serde_json::Value>) -> Option<String> { Some(event.stream_id().to_string()) }
/// #     fn fold(&self, row: Option<i64>, _: Recorded<'_, serde_json::Value>) -> Option<i64> { Some(row.unwrap_or(0) + 1) }
/// # }
/// # fn open(_: &str) -> Result<ees_store::memory::Store, BoxError> { Ok(ees_store::memory::Store::new()) }
///
/// fn main() -> ExitCode {
///     preview::main(async |given: Given| {
///         // Or the client of a server: `Client::new(&given.log)?`.
///         let mut projector = Projector::new(Arc::new(open(&given.log)?));
///         projector.fold(Balances, sqlite::Database::open(&given.database)?, Settings::default())?;
///         Ok(projector)
///     })
/// }
/// ```
pub fn main<F, Fut>(assemble: F) -> ExitCode
where
    F: FnOnce(Given) -> Fut,
    Fut: Future<Output = Result<Projector, BoxError>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return FAILED.into();
        }
    };
    runtime.block_on(run(std::env::args_os(), assemble)).into()
}

/// Like [`main`] within a runtime: with these arguments, of which the first is the name of the program.
pub async fn run<F, Fut>(arguments: impl IntoIterator<Item = OsString>, assemble: F) -> u8
where
    F: FnOnce(Given) -> Fut,
    Fut: Future<Output = Result<Projector, BoxError>>,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and the version count as errors here. If nobody can read them, nobody can be told.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(FAILED);
        }
    };
    match preview(arguments, assemble).await {
        Ok(code) => code,
        // The reader of the output has exited, as `head` does.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(is_closed) => SAME,
        Err(error) => {
            eprintln!("error: {}", text::printable(&chain(&*error)));
            FAILED
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

async fn preview<F, Fut>(arguments: Arguments, assemble: F) -> Result<u8, BoxError>
where
    F: FnOnce(Given) -> Fut,
    Fut: Future<Output = Result<Projector, BoxError>>,
{
    let Arguments { names, log, database, json, dynamodb_cost, samples, since } = arguments;
    let projector = assemble(Given { log, database }).await?;
    let names = match names.is_empty() {
        true => projector.names().map(str::to_owned).collect(),
        false => names,
    };
    if let Some(million) = dynamodb_cost {
        for name in names {
            let cost = projector.dynamodb_cost(&name).await;
            let cost = cost.map_err(|error| format!("{name}: {}", chain(&error)))?;
            let text = match json {
                true => {
                    serde_json::json!({
                        "name": name, "write_units": cost, "price_of_a_million": million, "cost": cost.cost(million)
                    })
                    .to_string()
                }
                false => text::printable(&text::of_cost(&name, &cost, million)),
            };
            print(&text)?;
        }
        return Ok(SAME);
    }
    let mut code = SAME;
    for name in names {
        let bar = bar(&name, json);
        let shown = bar.clone();
        let on_progress = move |PreviewProgress { checkpoint, until }| {
            shown.set_length(until.get());
            shown.set_position(checkpoint.get());
        };
        let wanted = PreviewOptions {
            samples,
            since,
            on_progress: Some(Arc::new(on_progress)),
            ..PreviewOptions::default()
        };
        let mut is_interrupted = false;
        let interrupted = async {
            // Without a handler, the signal ends the process.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            is_interrupted = true;
        };
        let found = projector.preview_until(&name, wanted, interrupted).await;
        bar.finish_and_clear();
        if is_interrupted && found.is_err() {
            eprintln!("interrupted; nothing of the preview is left");
            return Ok(INTERRUPTED);
        }
        let found = found.map_err(|error| format!("{name}: {}", chain(&error)))?;
        print(&if json { serde_json::to_string(&found)? } else { text::of(&found) })?;
        if !found.is_equal() {
            code = DIFFERS;
        }
    }
    Ok(code)
}

fn print(text: &str) -> Result<(), BoxError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// A bar on standard error, if that is a terminal.
fn bar(name: &str, json: bool) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(text::printable(name));
    // The template is a constant; if it were invalid, the default bar would do.
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} changesets, {eta} left") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preview::WriteUnits;

    #[test]
    fn the_price_in_the_help_is_the_price() {
        assert_eq!(DEFAULT_PRICE, WriteUnits::PRICE.to_string());
        let given =
            Arguments::try_parse_from(["preview", "--log", "x", "--database", "y", "--dynamodb-cost"]);
        assert_eq!(given.unwrap().dynamodb_cost, Some(WriteUnits::PRICE));
    }
}

//! The API keys of the server: a setting, or a file that is read again at SIGHUP.

use std::path::{Path, PathBuf};

use clap::Args;
use ees_store::http::ApiKeys;

use crate::exit::{Failure, Outcome};
use crate::signals;

#[derive(Args)]
pub(super) struct Keys {
    /// The API keys to accept, as SCOPES:KEY or SCOPES:sha256=HEX, separated by commas (see `ees api-key`)
    #[arg(
        long,
        env = "EES_API_KEYS",
        value_name = "KEYS",
        hide_env_values = true,
        hide_default_value = true
    )]
    api_keys: Option<String>,
    /// A file with the API keys, in the same form, on one line or several; lines that begin with # are
    /// comments. On SIGHUP, the server reads it again, and refuses keys that are gone
    #[arg(long, env = "EES_API_KEYS_FILE", value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
}

impl Keys {
    /// The keys, if there are any. Those of a file are replaced at each SIGHUP from now on.
    pub(super) fn open(self) -> Outcome<Option<ApiKeys>> {
        match (self.api_keys, self.api_keys_file) {
            (None, None) => Ok(None),
            (Some(keys), None) => {
                keys.parse().map(Some).map_err(|e| Failure::usage(format!("--api-keys: {e}")))
            }
            (None, Some(file)) => {
                let keys = read(&file).map_err(Failure::usage)?;
                replace_at_sighup(file, keys.clone())?;
                Ok(Some(keys))
            }
            (Some(_), Some(_)) => Err(Failure::usage(
                "both --api-keys (or EES_API_KEYS) and --api-keys-file (or EES_API_KEYS_FILE) are set",
            )
            .with_hint("put all keys into the file")),
        }
    }
}

/// The keys of the file, or a sentence that says why they can't be read.
fn read(file: &Path) -> Result<ApiKeys, String> {
    let failed = |why: String| format!("--api-keys-file {}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    ApiKeys::parse(&lines.collect::<Vec<_>>().join(",")).map_err(|invalid| failed(invalid.to_string()))
}

fn replace_at_sighup(file: PathBuf, keys: ApiKeys) -> Outcome {
    let mut hangups = signals::hangups()?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match read(&file) {
                Ok(read) => {
                    keys.replace(&read);
                    tracing::info!(file = %file.display(), "the API keys were read again");
                }
                Err(why) => tracing::error!(why, "the API keys stay as they were"),
            }
        }
    });
    Ok(())
}

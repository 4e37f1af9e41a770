//! `ees api-key`: a new key, and what the server is told of it.

use clap::Args;
use ees_store::http::ApiKeys;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Make a new API key
///
/// Give the key to who shall use it, and the entry to the server: as EES_API_KEYS, several of them separated by
/// commas. The key can't be told from its entry.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What it may be used for: read, commit or admin, joined by +
    #[arg(long, default_value = "admin")]
    scopes: String,
}

#[derive(Serialize)]
struct Made {
    key: String,
    entry: String,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    // 244 bits from the system's generator of random numbers.
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let hash = hex::encode(Sha256::digest(&key));
    let entry = format!("{}:sha256={hash}", arguments.scopes);
    entry.parse::<ApiKeys>().map_err(|e| Failure::usage(format!("--scopes: {e}")))?;
    let text = format!("key:    {key}\nentry:  {entry}");
    output.either(&Made { key, entry }, text)
}

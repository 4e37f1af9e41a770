//! `ees api-key`: create an API key, and its entry for the server.

use clap::Args;
use ees_store::http::ApiKeys;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::exit::{Failure, Outcome};
use crate::output::Output;

/// Create an API key
///
/// Give the key to the client, and the entry to the server in EES_API_KEYS, separated from other entries by
/// commas. The entry does not reveal the key.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What the key allows: read, commit or admin, joined by +
    #[arg(long, default_value = "admin")]
    scopes: String,
}

#[derive(Serialize)]
struct NewKey {
    key: String,
    entry: String,
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Outcome {
    // 244 random bits from the operating system.
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let hash = hex::encode(Sha256::digest(&key));
    let entry = format!("{}:sha256={hash}", arguments.scopes);
    entry.parse::<ApiKeys>().map_err(|e| Failure::usage(format!("--scopes: {e}")))?;
    let text = format!("key:    {key}\nentry:  {entry}");
    output.either(&NewKey { key, entry }, text)
}

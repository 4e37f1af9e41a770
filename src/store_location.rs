//! The options that say where the log is.

use std::path::PathBuf;

use clap::Args;

use crate::backend::Backend;
use crate::data_folder;
use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct StoreLocation {
    /// The folder of the log and the read models
    #[arg(long, env = "EES_DATA", value_name = "FOLDER", default_value = "./data")]
    pub(crate) data: PathBuf,
    /// Where the log is: sqlite:PATH, memory: (for trying things out), or, in builds with that feature,
    /// postgres://USER:PASSWORD@HOST/DATABASE or dynamodb://TABLE?region=REGION [default: sqlite:DATA/log.db]
    // Help never shows the value: it may contain a password.
    #[arg(long, env = "EES_STORE", value_name = "URL", hide_env_values = true, hide_default_value = true)]
    store: Option<String>,
}

impl StoreLocation {
    /// Fails when the log of the data folder is lost and its read models are there.
    pub(crate) fn check_log_is_there(&self) -> Outcome {
        if self.store.is_some() {
            return Ok(());
        }
        data_folder::check_log_is_there(&self.data.join("log.db"), &self.data.join("read-models"))
    }

    pub(crate) fn backend(&self) -> Outcome<Backend> {
        match &self.store {
            Some(url) => url.parse().map_err(|failure: Failure| failure.at("--store")),
            None => Ok(Backend::Sqlite(self.data.join("log.db"))),
        }
    }
}

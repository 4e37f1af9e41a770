//! Where a log is on this machine, and how it is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use ees_store::{ChangesetLog, EventStore, memory, sqlite};

use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct Place {
    /// The folder of the log and the read models
    #[arg(long, env = "EES_DATA", value_name = "FOLDER", default_value = "./data")]
    pub(crate) data: PathBuf,
    /// Where the log is: sqlite:PATH, or memory: to try things out [default: sqlite:DATA/log.db]
    #[arg(long, env = "EES_STORE", value_name = "URL")]
    pub(crate) store: Option<Backend>,
}

/// A kind of store, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite(PathBuf),
    Memory,
}

/// An open store: its write and stream side, and its global side.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) log: Arc<dyn ChangesetLog>,
}

impl Opened {
    fn of<S: EventStore + ChangesetLog>(store: S) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), log: store }
    }
}

impl Place {
    pub(crate) fn backend(&self) -> Backend {
        self.store.clone().unwrap_or_else(|| Backend::Sqlite(self.data.join("log.db")))
    }

    /// The log's file, for what works on files.
    pub(crate) fn log_file(&self) -> Outcome<PathBuf> {
        match self.backend() {
            Backend::Sqlite(path) => Ok(path),
            Backend::Memory => {
                Err(Failure::usage("a store in memory has no file: give --data or --store sqlite:PATH"))
            }
        }
    }
}

impl Backend {
    /// Opens the store, and makes it if there is none.
    pub(crate) fn open(&self) -> Outcome<Opened> {
        match self {
            Self::Sqlite(path) => {
                create_folder(path.parent().unwrap_or(Path::new("")))?;
                Ok(Opened::of(sqlite::Store::open(path)?))
            }
            Self::Memory => Ok(Opened::of(memory::Store::new())),
        }
    }
}

pub(crate) fn create_folder(folder: &Path) -> Outcome {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(|e| Failure::file(folder.display(), &e))
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", "")) => Err("after `sqlite:` the path of the log's file is expected".to_owned()),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", _)) => Err("this build has no PostgreSQL backend".to_owned()),
            Some(("dynamodb", _)) => Err("this build has no DynamoDB backend".to_owned()),
            _ => Err("it has to begin with `sqlite:` or be `memory:`".to_owned()),
        }
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str("memory, gone when the server stops"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_a_url() {
        assert_eq!("memory:".parse(), Ok(Backend::Memory));
        assert_eq!("sqlite:/a/b.db".parse(), Ok(Backend::Sqlite("/a/b.db".into())));
        for (url, told) in [
            ("postgres://host/db", "no PostgreSQL"),
            ("dynamodb://table", "no DynamoDB"),
            ("sqlite:", "path"),
            ("/a/b.db", "sqlite:"),
        ] {
            let error = url.parse::<Backend>().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}

//! Where a log is, and how it is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
#[cfg(feature = "dynamodb")]
use ees_store::dynamodb;
#[cfg(feature = "postgres")]
use ees_store::postgres;
use ees_store::{ChangesetLog, EventStore, memory, sqlite};

use crate::arguments::time;
use crate::exit::{Failure, Outcome};

#[derive(Args)]
pub(crate) struct Place {
    /// The folder of the log and the read models
    #[arg(long, env = "EES_DATA", value_name = "FOLDER", default_value = "./data")]
    pub(crate) data: PathBuf,
    /// Where the log is: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or dynamodb://TABLE?region=REGION (in builds
    /// with that feature), or memory: to try things out [default: sqlite:DATA/log.db]
    // A text, which is never shown: it may hold a password.
    #[arg(long, env = "EES_STORE", value_name = "URL", hide_env_values = true, hide_default_value = true)]
    store: Option<String>,
}

/// What an open store forgets in time. Every program on one log says the same.
#[derive(Args, Clone, Copy)]
pub(crate) struct Keeping {
    /// How long idempotency keys are kept at least, such as 7d or 36h: a commit that is sent again within that time is
    /// stored once. A store in memory keeps all
    #[arg(long, env = "EES_KEEP_KEYS", value_name = "TIME", value_parser = time, default_value = "7d")]
    keep_keys: Duration,
}

/// A kind of store, and where it is.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Backend {
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(String),
    #[cfg(feature = "dynamodb")]
    DynamoDb(crate::dynamodb::Address),
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
    pub(crate) fn backend(&self) -> Outcome<Backend> {
        match &self.store {
            Some(url) => url.parse().map_err(|e: String| Failure::usage(format!("--store: {e}"))),
            None => Ok(Backend::Sqlite(self.data.join("log.db"))),
        }
    }
}

impl Backend {
    /// Opens the store, and makes it if there is none.
    pub(crate) async fn open(&self, Keeping { keep_keys }: Keeping) -> Outcome<Opened> {
        match self {
            Self::Sqlite(path) => {
                create_folder(path.parent().unwrap_or(Path::new("")))?;
                let options = sqlite::Options { keep_keys, ..sqlite::Options::default() };
                Ok(Opened::of(sqlite::Store::open_with(path, options)?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let options = postgres::Options { keep_keys, ..postgres::Options::default() };
                match postgres::Store::connect_with(url, options).await {
                    Ok(store) => Ok(Opened::of(store)),
                    Err(ees_store::Error::InvalidRequest(why)) => {
                        Err(Failure::usage(format!("--store: {why}")))
                    }
                    Err(error) => Err(Failure::from(error).at(self)),
                }
            }
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(address) => {
                let options = dynamodb::Options { keep_keys, ..dynamodb::Options::default() };
                match dynamodb::Store::open_with(&address.config().await, &address.table, options).await {
                    Ok(store) => Ok(Opened::of(store)),
                    Err(ees_store::Error::InvalidRequest(why)) => {
                        Err(Failure::usage(format!("--store: {why}")))
                    }
                    Err(error) => Err(Failure::from(error).at(self)),
                }
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
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                Err("this build has no PostgreSQL backend: build it with `--features postgres`".to_owned())
            }
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", _)) => Ok(Self::DynamoDb(url.parse()?)),
            #[cfg(not(feature = "dynamodb"))]
            Some(("dynamodb", _)) => {
                Err("this build has no DynamoDB backend: build it with `--features dynamodb`".to_owned())
            }
            _ => {
                Err("it has to begin with `sqlite:`, `postgres:` or `dynamodb:`, or be `memory:`".to_owned())
            }
        }
    }
}

/// Without the password.
impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => match url::Url::parse(url) {
                Ok(url) => {
                    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                    write!(f, "postgres://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
                }
                Err(_) => f.write_str("a PostgreSQL database"),
            },
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(address) => address.fmt(f),
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
        #[cfg(not(feature = "postgres"))]
        assert!("postgres://host/db".parse::<Backend>().unwrap_err().contains("--features postgres"));
        #[cfg(not(feature = "dynamodb"))]
        assert!("dynamodb://table".parse::<Backend>().unwrap_err().contains("--features dynamodb"));
        for (url, told) in [("sqlite:", "path"), ("/a/b.db", "sqlite:")] {
            let error = url.parse::<Backend>().unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_password_is_never_shown() {
        for url in
            ["postgres://ada:secret@host:5433/bank?password=secret", "postgres://ada:secret@host:x/bank"]
        {
            let shown = url.parse::<Backend>().unwrap().to_string();
            assert!(!shown.contains("secret"), "{shown}");
        }
        let shown = "postgres://ada:secret@host:5433/bank".parse::<Backend>().unwrap().to_string();
        assert_eq!(shown, "postgres://host:5433/bank");
    }
}

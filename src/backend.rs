//! A kind of store and its address: parsed from a URL, and opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "dynamodb")]
use ees_store::dynamodb;
#[cfg(feature = "postgres")]
use ees_store::postgres;
use ees_store::{ChangesetLog, EventStore, memory, sqlite};

use crate::data_folder;
#[cfg(feature = "dynamodb")]
use crate::dynamodb_table::DynamoDbTable;
#[cfg(any(feature = "dynamodb", feature = "postgres"))]
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::retention::Retention;

/// A kind of store and its address.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Backend {
    Sqlite(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(String),
    #[cfg(feature = "dynamodb")]
    DynamoDb(DynamoDbTable),
    Memory,
}

/// An open store through its two traits.
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

impl Backend {
    /// Opens the store. Creates it if it does not exist; a DynamoDB table must exist.
    pub(crate) async fn open(&self, Retention { keep_keys }: Retention) -> Outcome<Opened> {
        match self {
            Self::Sqlite(path) => {
                data_folder::create(path.parent().unwrap_or(Path::new("")))?;
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
            Self::DynamoDb(table) => {
                let options = dynamodb::Options { keep_keys, ..dynamodb::Options::default() };
                match dynamodb::Store::open_with(&table.sdk_config().await, &table.name, options).await {
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

impl FromStr for Backend {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", "")) => {
                Err("`sqlite:` needs the path of the log file, such as sqlite:data/log.db".to_owned())
            }
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => {
                Err("this build does not support PostgreSQL; build it with `--features postgres`".to_owned())
            }
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", _)) => Ok(Self::DynamoDb(url.parse()?)),
            #[cfg(not(feature = "dynamodb"))]
            Some(("dynamodb", _)) => {
                Err("this build does not support DynamoDB; build it with `--features dynamodb`".to_owned())
            }
            _ => Err("the URL must begin with `sqlite:`, `postgres:`, `dynamodb:` or `memory:`".to_owned()),
        }
    }
}

/// Never shows the password.
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
            Self::DynamoDb(table) => table.fmt(f),
            Self::Memory => f.write_str("memory (lost when the server stops)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_selects_the_store() {
        assert_eq!("memory:".parse(), Ok(Backend::Memory));
        assert_eq!("sqlite:/a/b.db".parse(), Ok(Backend::Sqlite("/a/b.db".into())));
        #[cfg(not(feature = "postgres"))]
        assert!("postgres://host/db".parse::<Backend>().unwrap_err().contains("--features postgres"));
        #[cfg(not(feature = "dynamodb"))]
        assert!("dynamodb://table".parse::<Backend>().unwrap_err().contains("--features dynamodb"));
        for (url, expected) in [("sqlite:", "path"), ("/a/b.db", "sqlite:")] {
            let error = url.parse::<Backend>().unwrap_err();
            assert!(error.contains(expected), "{error}");
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

//! A kind of store and its address: parsed from a URL, and opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "dynamodb")]
use ees_store::dynamodb;
#[cfg(feature = "postgres")]
use ees_store::postgres;
use ees_store::{ChangesetLog, EventStore, LenientNumbers, memory, sqlite};

use crate::data_folder;
#[cfg(feature = "dynamodb")]
use crate::dynamodb_table::DynamoDbTable;
use crate::exit::{Failure, Outcome};
#[cfg(not(all(feature = "dynamodb", feature = "postgres")))]
use crate::features;
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

    /// Reads numbers that JSON does not have as texts, if that is asked for.
    pub(crate) fn with_lenient_numbers(self, is_lenient: bool) -> Self {
        if is_lenient { Self::of(LenientNumbers::new(self.store, self.log)) } else { self }
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
    type Err = Failure;

    fn from_str(url: &str) -> Outcome<Self> {
        match url.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", "")) => {
                Err(Failure::usage("`sqlite:` needs the path of the log file, such as sqlite:data/log.db"))
            }
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err(features::missing("PostgreSQL", "postgres")),
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", _)) => Ok(Self::DynamoDb(url.parse().map_err(|e: String| Failure::usage(e))?)),
            #[cfg(not(feature = "dynamodb"))]
            Some(("dynamodb", _)) => Err(features::missing("DynamoDB", "dynamodb")),
            _ => Err(Failure::usage(
                "the URL must begin with `sqlite:`, `postgres:`, `dynamodb:` or `memory:`",
            )),
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
    #[cfg(not(all(feature = "dynamodb", feature = "postgres")))]
    use crate::exit::Exit;

    #[test]
    fn a_url_selects_the_store() {
        assert_eq!("memory:".parse::<Backend>().unwrap(), Backend::Memory);
        assert_eq!("sqlite:/a/b.db".parse::<Backend>().unwrap(), Backend::Sqlite("/a/b.db".into()));
        #[cfg(not(feature = "postgres"))]
        assert_eq!("postgres://host/db".parse::<Backend>().unwrap_err().exit(), Exit::NotPossibleHere);
        #[cfg(not(feature = "dynamodb"))]
        assert_eq!("dynamodb://table".parse::<Backend>().unwrap_err().exit(), Exit::NotPossibleHere);
        for (url, expected) in [("sqlite:", "path"), ("/a/b.db", "sqlite:")] {
            let error = format!("{:?}", url.parse::<Backend>().unwrap_err());
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

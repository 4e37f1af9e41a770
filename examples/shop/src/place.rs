//! Where the shop keeps its data, given by a URL. Only this module knows the databases.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

#[cfg(feature = "dynamodb")]
use aws_config::{BehaviorVersion, Region, SdkConfig};
use ees_projector::sqlite;
use ees_store::{ChangesetLog, EventStore};

use crate::Failure;
use crate::products::{self, Listed, Products, Wanted};

/// A place for the data: `sqlite:FILE`, `postgres://USER@HOST/DATABASE`,
/// `dynamodb://TABLE?region=REGION&endpoint=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The log in this file, the read models in the same folder.
    Sqlite(PathBuf),
    /// Everything in one database.
    #[cfg(feature = "postgres")]
    Postgres(String),
    /// The log in this table, the read models in the table `TABLE-read-models`. Missing settings come from
    /// the environment.
    #[cfg(feature = "dynamodb")]
    DynamoDb {
        /// The table of the log.
        table: String,
        /// The region.
        region: Option<String>,
        /// An endpoint other than that of AWS.
        endpoint: Option<String>,
    },
}

/// The opened databases of a place.
#[derive(Clone)]
pub struct Opened {
    /// The store, on whose streams commands are executed.
    pub store: Arc<dyn EventStore>,
    /// The log, which read models and reactors follow.
    pub log: Arc<dyn ChangesetLog>,
    /// The read models.
    pub read_models: ReadModels,
}

/// The databases of the read models and of the reactors' positions.
#[derive(Clone)]
pub enum ReadModels {
    /// A file for each projection and reactor, so that they don't wait for each other's writes.
    Sqlite {
        /// The file of the list of products.
        products: sqlite::Database,
        /// The folder of the other files.
        folder: PathBuf,
    },
    /// A PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(ees_projector::postgres::Database),
    /// A DynamoDB table.
    #[cfg(feature = "dynamodb")]
    DynamoDb {
        /// The table as a read-model database.
        database: ees_projector::dynamodb::Database,
        /// The table's name.
        table: String,
    },
}

impl Place {
    /// Opens the databases. Creates those that do not exist.
    ///
    /// # Errors
    /// When a database can't be opened. The message says what to do.
    pub async fn open(&self) -> Result<Opened, Failure> {
        match self {
            Self::Sqlite(file) => {
                let folder = file.parent().unwrap_or(Path::new("")).join("read-models");
                std::fs::create_dir_all(&folder)?;
                let products = open_file(&folder, Products::NAME)?;
                let read_models = ReadModels::Sqlite { products, folder };
                Ok(Opened::new(ees_store::sqlite::Store::open(file)?, read_models))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                let read_models = ees_projector::postgres::Database::connect(url).await?;
                let store = ees_store::postgres::Store::connect(url).await?;
                Ok(Opened::new(store, ReadModels::Postgres(read_models)))
            }
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { table, region, endpoint } => {
                let mut loader = aws_config::defaults(BehaviorVersion::latest());
                if let Some(region) = region {
                    loader = loader.region(Region::new(region.clone()));
                }
                if let Some(endpoint) = endpoint {
                    loader = loader.endpoint_url(endpoint);
                }
                Opened::in_dynamodb(&loader.load().await, table).await
            }
        }
    }
}

impl Opened {
    fn new<S: EventStore + ChangesetLog>(store: S, read_models: ReadModels) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), log: store, read_models }
    }

    /// Opens tables of DynamoDB with the caller's configuration. Creates those that do not exist.
    ///
    /// # Errors
    /// When a table can't be opened or created.
    #[cfg(feature = "dynamodb")]
    pub async fn in_dynamodb(config: &SdkConfig, table: &str) -> Result<Self, Failure> {
        use ees_store::dynamodb::{Indexing, Options, Store, create_table};
        let client = ees_projector::dynamodb::aws_sdk_dynamodb::Client::new(config);
        let rows = format!("{table}-read-models");
        // A function is frozen between two calls, so it leaves indexing to the stack's indexer.
        let options = match std::env::var_os("AWS_LAMBDA_FUNCTION_NAME") {
            Some(_) => Options { indexing: Indexing::Elsewhere, ..Options::default() },
            None => {
                create_table(config, table, false).await?;
                ees_projector::dynamodb::create_table(&client, &rows).await?;
                Options::default()
            }
        };
        let store = Store::open_with(config, table, options).await?;
        let database = ees_projector::dynamodb::Database::new(client, &rows);
        Ok(Self::new(store, ReadModels::DynamoDb { database, table: rows }))
    }
}

impl ReadModels {
    /// The wanted products, ordered by name.
    ///
    /// # Errors
    /// An error of the database.
    pub async fn products(&self, wanted: Wanted) -> Result<Vec<Listed>, Failure> {
        match self {
            Self::Sqlite { products, .. } => products::sqlite::list(products, wanted).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => products::postgres::list(database, wanted).await,
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb { database, table } => products::dynamodb::list(database, table, wanted).await,
        }
    }
}

/// The file of one projection or reactor.
pub(crate) fn open_file(folder: &Path, name: &str) -> Result<sqlite::Database, Failure> {
    Ok(sqlite::Database::open(folder.join(format!("{name}.db")))?)
}

impl FromStr for Place {
    type Err = Failure;

    fn from_str(url: &str) -> Result<Self, Failure> {
        match url.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(file.into())),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", _)) => table(url),
            _ => {
                Err("the store must begin with sqlite:, postgres: or dynamodb: (if built with that feature)"
                    .into())
            }
        }
    }
}

#[cfg(feature = "dynamodb")]
fn table(url: &str) -> Result<Place, Failure> {
    let url = url::Url::parse(url)?;
    let table = url
        .host_str()
        .filter(|table| !table.is_empty())
        .ok_or("the table's name is missing: dynamodb://TABLE")?;
    let (mut region, mut endpoint) = (None, None);
    for (name, value) in url.query_pairs() {
        match &*name {
            "region" => region = Some(value.into_owned()),
            "endpoint" => endpoint = Some(value.into_owned()),
            _ => {
                return Err(
                    format!("the table has no parameter {name}: there are region and endpoint").into()
                );
            }
        }
    }
    Ok(Place::DynamoDb { table: table.to_owned(), region, endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_place() {
        let place = |url: &str| url.parse::<Place>().ok();
        assert_eq!(place("sqlite:shop/log.db"), Some(Place::Sqlite("shop/log.db".into())));
        assert_eq!(place("postgres://a@b/c"), Some(Place::Postgres("postgres://a@b/c".to_owned())));
        let (table, region) = ("shop".to_owned(), Some("eu-central-1".to_owned()));
        let wanted = Place::DynamoDb { table, region, endpoint: None };
        assert_eq!(place("dynamodb://shop?region=eu-central-1"), Some(wanted));
        for nowhere in ["", "sqlite:", "shop.db", "mysql://a", "dynamodb://", "dynamodb://shop?zone=b"] {
            assert_eq!(place(nowhere), None, "{nowhere}");
        }
    }
}

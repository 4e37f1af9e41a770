//! Connects the parts of the shop.

use std::time::Duration;

use ees_aggregate::Repository;
use ees_projector::database::{Database, FoldRows};
use ees_projector::reactor::{self, Start};
use ees_projector::{Clock, OnDemand, Projector, Running, Settings};

use crate::place::{Opened, ReadModels, open_file};
use crate::product::Product;
use crate::products::Products;
use crate::reservations::{self, Reservations};
use crate::sold_out::{self, Webhook};
use crate::{Failure, purchasing};

/// The shop, ready to execute commands and answer queries. Clones share everything.
#[derive(Clone)]
pub struct Shop {
    /// Executes commands on products.
    pub products: Repository<Product>,
    /// The opened databases.
    pub place: Opened,
    webhook: Option<Webhook>,
    clock: Clock,
}

impl Shop {
    /// A shop in this place, which calls this webhook when a product is sold out.
    pub fn new(place: Opened, webhook: Option<Webhook>) -> Self {
        let products = Repository::of(place.store.clone(), place.log.clone());
        Self { products, place, webhook, clock: Clock::default() }
    }

    /// Sets the clock by which unpaid reservations end, for tests.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Starts the list of products and the reactors, in a process that stays.
    ///
    /// # Errors
    /// When a file can't be opened.
    pub fn start(&self) -> Result<Running, Failure> {
        let mut projector = Projector::new(self.place.log.clone()).with_clock(self.clock.clone());
        match &self.place.read_models {
            ReadModels::Sqlite { products, folder } => self.register(&mut projector, |name| match name {
                Products::NAME => Ok(products.clone()),
                name => open_file(folder, name),
            })?,
            #[cfg(feature = "postgres")]
            ReadModels::Postgres(database) => self.register(&mut projector, |_| Ok(database.clone()))?,
            #[cfg(feature = "dynamodb")]
            ReadModels::DynamoDb { database, .. } => {
                self.register(&mut projector, |_| Ok(database.clone()))?;
            }
        }
        Ok(projector.start())
    }

    fn register<D: Database<Tx: FoldRows>>(
        &self,
        projector: &mut Projector,
        database: impl Fn(&str) -> Result<D, Failure>,
    ) -> Result<(), Failure> {
        projector.fold(Products, database(Products::NAME)?, Settings::default())?;
        let purchasing = purchasing::reactor(self.place.store.clone());
        projector.reactor(purchasing, database(purchasing::NAME)?, acting())?;
        let reservations = Reservations { products: self.products.clone() };
        projector.reactor(reservations, database(reservations::NAME)?, setting_timers())?;
        if let Some(webhook) = &self.webhook {
            let sold_out = sold_out::reactor(webhook);
            projector.reactor(sold_out, database(sold_out::NAME)?, acting())?;
        }
        Ok(())
    }

    /// One of them by its name, for a process that does not stay.
    ///
    /// # Errors
    /// When there is none of that name, or when a file can't be opened.
    pub fn on_demand(&self, name: &str) -> Result<OnDemand, Failure> {
        match &self.place.read_models {
            ReadModels::Sqlite { folder, .. } => self.one(name, open_file(folder, name)?),
            #[cfg(feature = "postgres")]
            ReadModels::Postgres(database) => self.one(name, database.clone()),
            #[cfg(feature = "dynamodb")]
            ReadModels::DynamoDb { database, .. } => self.one(name, database.clone()),
        }
    }

    fn one<D: Database<Tx: FoldRows>>(&self, name: &str, database: D) -> Result<OnDemand, Failure> {
        let log = self.place.log.clone();
        let settings = acting();
        Ok(match (name, &self.webhook) {
            (Products::NAME, _) => OnDemand::fold(Products, database, log, Settings::default())?,
            (purchasing::NAME, _) => {
                OnDemand::reactor(purchasing::reactor(self.place.store.clone()), database, log, settings)?
            }
            (reservations::NAME, _) => {
                let reservations = Reservations { products: self.products.clone() };
                let reservations = OnDemand::reactor(reservations, database, log, setting_timers())?;
                reservations.with_clock(self.clock.clone())
            }
            (sold_out::NAME, Some(webhook)) => {
                OnDemand::reactor(sold_out::reactor(webhook), database, log, settings)?
            }
            (sold_out::NAME, None) => {
                return Err("there is no webhook to call: SHOP_WEBHOOK is not set".into());
            }
            _ => return Err(format!("there is no projection or reactor \"{name}\"").into()),
        })
    }
}

/// The reactors exist since the shop's first event, so they may act on the whole history.
fn acting() -> reactor::Settings {
    // Shorter than the timeout of a function.
    let effect_timeout = Duration::from_secs(10);
    reactor::Settings { start: Start::Beginning, effect_timeout, ..reactor::Settings::default() }
}

/// The ledger has each timer that is set, so that a crash repeats nothing of a batch.
fn setting_timers() -> reactor::Settings {
    reactor::Settings { batch_changesets_max: 100, ..acting() }
}

//! A projection with its own SQL: two tables that change together, and many events in one statement.
//!
//! `cargo run -p ees-examples --example own_sql_postgres`
//!
//! Choose this when a read model is more than rows by key. Here, the sales of a day depend on all orders of
//! that day, and a cancelled order is removed from both tables. When each row belongs to one key, a fold is
//! less code and as fast: see `accounts_postgres`, which also explains `DATABASE_URL`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::postgres::{self, Tx, sqlx};
use ees_projector::{BoxError, NewVersion, Projection, Projector, Recorded, Running, Settings};
use ees_store::postgres::Store;
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation};
use ees_test_postgres::TestDatabase;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OrderEvent {
    Placed { customer: String, day: String, cents: i64 },
    Cancelled,
}

/// The orders that were not cancelled, and the sales of each day.
struct Sales;

impl Sales {
    const NAME: &str = "sales";

    /// Inserts any number of placed orders in one statement, because a round trip to the server costs more
    /// than the row that it writes. Both tables are in the same statement, because the second is computed
    /// from the rows of the first.
    async fn place(&self, orders: &[Recorded<'_, OrderEvent>], tx: &mut Tx) -> Result<(), BoxError> {
        let (mut ids, mut customers, mut days, mut amounts) = (vec![], vec![], vec![], vec![]);
        for order in orders {
            if let OrderEvent::Placed { customer, day, cents } = order.event {
                ids.push(order.stream_id().as_str());
                customers.push(customer.as_str());
                days.push(day.as_str());
                amounts.push(*cents);
            }
        }
        let statement = "WITH placed AS (
                INSERT INTO orders (order_id, customer, day, cents)
                SELECT * FROM unnest($1::text[], $2::text[], $3::text[]::date[], $4::bigint[])
                RETURNING day, cents
            )
            INSERT INTO days (day, orders, cents) SELECT day, count(*), sum(cents) FROM placed GROUP BY day
            ON CONFLICT (day) DO UPDATE SET
                orders = days.orders + excluded.orders, cents = days.cents + excluded.cents";
        let statement = sqlx::query(statement).bind(ids).bind(customers).bind(days).bind(amounts);
        statement.execute(tx.connection()).await?;
        Ok(())
    }

    async fn cancel(&self, order: Recorded<'_, OrderEvent>, tx: &mut Tx) -> Result<(), BoxError> {
        let statement = "WITH cancelled AS (DELETE FROM orders WHERE order_id = $1 RETURNING day, cents)
            UPDATE days SET orders = orders - 1, cents = days.cents - cancelled.cents
            FROM cancelled WHERE days.day = cancelled.day";
        sqlx::query(statement).bind(order.stream_id().as_str()).execute(tx.connection()).await?;
        Ok(())
    }
}

impl Projection<Tx> for Sales {
    type Event = OrderEvent;

    fn name(&self) -> &str {
        Self::NAME
    }

    /// Raise it whenever you change the tables, or what a statement writes; otherwise rows of the old code
    /// remain among rows of the new code. A higher version rebuilds the read model: in place, or side by side
    /// as `app` configures it. There is no migration to write.
    fn version(&self) -> u32 {
        1
    }

    /// Names have no schema: statements look first in the projection's own schema, and each version under
    /// construction has its own.
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let statements = "
            CREATE TABLE orders (
                order_id text PRIMARY KEY, customer text NOT NULL, day date NOT NULL, cents bigint NOT NULL
            );
            CREATE INDEX ON orders (customer);
            CREATE TABLE days (day date PRIMARY KEY, orders bigint NOT NULL, cents bigint NOT NULL);";
        sqlx::raw_sql(statements).execute(tx.connection()).await?;
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS orders, days").execute(tx.connection()).await?;
        Ok(())
    }

    /// Applies one event. This method alone would be enough.
    async fn apply(&self, event: Recorded<'_, OrderEvent>, tx: &mut Tx) -> Result<(), BoxError> {
        match event.event {
            OrderEvent::Placed { .. } => self.place(&[event], tx).await,
            OrderEvent::Cancelled => self.cancel(event, tx).await,
        }
    }

    /// Applies up to 5,000 changesets at once, which makes catching up fast. The order of events still
    /// matters: an order is cancelled after it was placed, so only consecutive placed orders go into one
    /// statement.
    async fn apply_batch(&self, events: &[Recorded<'_, OrderEvent>], tx: &mut Tx) -> Result<(), BoxError> {
        let is_placed = |event: &Recorded<'_, OrderEvent>| matches!(event.event, OrderEvent::Placed { .. });
        for run in events.chunk_by(|one, next| is_placed(one) && is_placed(next)) {
            match run {
                [one] => self.apply(*one, tx).await?,
                placed => self.place(placed, tx).await?,
            }
        }
        Ok(())
    }
}

struct Shop {
    store: Arc<Store>,
    read_models: postgres::Database,
    worker: Running,
}

async fn app(url: &str, batch_changesets_max: usize) -> Result<Shop, BoxError> {
    let store = Arc::new(Store::connect(url).await?);
    let read_models = postgres::Database::connect(url).await?;
    let mut projector = Projector::new(store.clone());
    let new_version = NewVersion::SideBySide { verify: false };
    let settings = Settings { new_version, batch_changesets_max, ..Settings::default() };
    projector.projection(Sales, read_models.clone(), settings)?;
    Ok(Shop { store, read_models, worker: projector.start() })
}

impl Shop {
    /// Commits the orders of a week at once, every tenth of them cancelled.
    async fn take_orders(&self, first: u64, count: u64) -> Result<(), BoxError> {
        let mut commits = Vec::new();
        for number in 0..count {
            let order = format!("order/{}", first + number).parse::<ees_store::StreamId>()?;
            let (customer, day) =
                (format!("customer-{}", number % 50), format!("2026-11-{:02}", 16 + number % 7));
            let placed = OrderEvent::Placed { customer, day, cents: 1_000 };
            commits.push(Commit::new(order.clone(), Expectation::NewStream, Events::of(&[placed])?));
            if number % 10 == 9 {
                let cancelled = Events::of(&[OrderEvent::Cancelled])?;
                commits.push(Commit::new(order, Expectation::LastChangeset(1.into()), cancelled));
            }
        }
        for verdict in self.store.commit_in_order(commits).await {
            verdict?;
        }
        let all = self.store.head().await?.checkpoint;
        Ok(self.worker.handle().when_reached(Sales::NAME, all, Duration::from_secs(60)).await?)
    }

    /// Day, number of orders, cents. Readers qualify table names with the schema, which has the projection's
    /// name.
    async fn days(&self) -> Result<Vec<(String, i64, i64)>, BoxError> {
        let query = "SELECT day::text, orders, cents FROM sales.days ORDER BY day";
        Ok(sqlx::query_as(query).fetch_all(self.read_models.pool()).await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (url, _own) = match std::env::var("DATABASE_URL") {
        Ok(url) => (url, None),
        Err(_) => {
            let own = TestDatabase::new().await;
            (own.url().to_owned(), Some(own))
        }
    };
    let shop = app(&url, Settings::default().batch_changesets_max).await?;
    // Order numbers that no earlier run has used.
    let first = shop.store.head().await?.checkpoint.get();
    shop.take_orders(first, 1_000).await?;
    for (day, orders, cents) in shop.days().await? {
        println!("{day}: {orders} orders, {cents} cents");
    }
    shop.worker.shut_down().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_events_at_once_come_to_the_same_as_one_by_one() {
        let mut found = Vec::new();
        for batch in [1, 5_000] {
            let database = TestDatabase::new().await;
            let shop = app(database.url(), batch).await.unwrap();
            shop.take_orders(0, 100).await.unwrap();
            // Rebuilds now that the log has all orders, so that batches are as large as possible.
            shop.worker.handle().rebuild(Sales::NAME, "large batches").await.unwrap();
            let all = shop.store.head().await.unwrap().checkpoint;
            shop.worker.handle().when_reached(Sales::NAME, all, Duration::from_secs(60)).await.unwrap();
            found.push(shop.days().await.unwrap());
            shop.worker.shut_down().await;
        }
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0].iter().map(|(_, orders, _)| orders).sum::<i64>(), 90);
        assert_eq!(found[0].iter().map(|(_, _, cents)| cents).sum::<i64>(), 90 * 1_000);
    }
}

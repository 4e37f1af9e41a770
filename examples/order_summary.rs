//! Several folds as one projection: many rows for one event, and an event that lacks its group.
//!
//! `cargo run -p ees-examples --example order_summary`
//!
//! A payment names its invoice and not its order. `Summaries` looks that up in the rows of `OrderOfInvoice`,
//! an earlier stage of the same composite. `Lines` makes a row of each line of an order. All three tables are
//! at the same checkpoint in every moment.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ees_projector::sqlite::Database;
use ees_projector::{
    Composite, Fold, Found, LookupFold, MultiFold, Projector, ReadModel, Recorded, Settings, Table,
};
use ees_store::{Commit, EventStore, Events, Expectation, sqlite};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ShopEvent {
    OrderPlaced { customer: String, lines: Vec<OrderLine> },
    InvoiceSent { invoice: String },
    InvoicePaid { invoice: String, cents: i64 },
}
use ShopEvent::{InvoicePaid, InvoiceSent, OrderPlaced};

#[derive(Serialize, Deserialize)]
struct OrderLine {
    product: String,
    cents: i64,
}

/// The first stage: the order of each invoice. An invoice is sent in the stream of its order.
struct OrderOfInvoice;

impl Fold for OrderOfInvoice {
    type Event = ShopEvent;
    type Key = String;
    type State = String;

    fn name(&self) -> &str {
        "order_of_invoice"
    }
    fn key(&self, event: Recorded<'_, ShopEvent>) -> Option<String> {
        match event.event {
            InvoiceSent { invoice } => Some(invoice.clone()),
            _ => None,
        }
    }
    fn fold(&self, _: Option<String>, event: Recorded<'_, ShopEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
}

/// The second stage: what each order costs, and what is paid.
struct Summaries;

#[derive(Default, Serialize, Deserialize, ReadModel)]
#[read_model(table = "summaries", key = "order_id")]
struct Summary {
    customer: String,
    cents: i64,
    paid_cents: i64,
}

impl LookupFold for Summaries {
    type Event = ShopEvent;
    type Key = String;
    type State = Summary;
    type Lookup = OrderOfInvoice;

    fn name(&self) -> &str {
        "summaries"
    }
    fn table(&self) -> Table {
        Summary::table()
    }
    fn asks(&self, event: Recorded<'_, ShopEvent>) -> impl IntoIterator<Item = String> {
        match event.event {
            InvoicePaid { invoice, .. } => Some(invoice.clone()),
            _ => None,
        }
    }
    fn keys(
        &self,
        event: Recorded<'_, ShopEvent>,
        order: Found<'_, OrderOfInvoice>,
    ) -> impl IntoIterator<Item = String> {
        match event.event {
            OrderPlaced { .. } => Some(event.stream_id().to_string()),
            // Nobody knows the order of a payment for an invoice that was never sent.
            InvoicePaid { .. } => order.row().cloned(),
            InvoiceSent { .. } => None,
        }
    }
    fn fold(
        &self,
        _: &String,
        row: Option<Summary>,
        event: Recorded<'_, ShopEvent>,
        _: Found<'_, OrderOfInvoice>,
    ) -> Option<Summary> {
        let row = row.unwrap_or_default();
        Some(match event.event {
            OrderPlaced { customer, lines } => {
                let cents = lines.iter().map(|line| line.cents).sum();
                Summary { customer: customer.clone(), cents, ..row }
            }
            InvoicePaid { cents, .. } => Summary { paid_cents: row.paid_cents + cents, ..row },
            InvoiceSent { .. } => row,
        })
    }
}

/// The third stage: a row for each line. It refers to the order's summary, which an earlier stage has
/// written.
struct Lines;

#[derive(Serialize, Deserialize, ReadModel)]
#[read_model(table = "lines", key = "line_id", index(order_id), index(product))]
struct Line {
    #[read_model(references = "summaries")]
    order_id: String,
    product: String,
    cents: i64,
}

impl MultiFold for Lines {
    type Event = ShopEvent;
    /// The order, and the number of the line.
    type Key = String;
    type State = Line;

    fn name(&self) -> &str {
        "lines"
    }
    fn table(&self) -> Table {
        Line::table()
    }
    fn keys(&self, event: Recorded<'_, ShopEvent>) -> impl IntoIterator<Item = String> {
        let lines = match event.event {
            OrderPlaced { lines, .. } => lines.len(),
            _ => 0,
        };
        (0..lines).map(move |number| format!("{}#{number}", event.stream_id()))
    }
    fn fold(&self, key: &String, row: Option<Line>, event: Recorded<'_, ShopEvent>) -> Option<Line> {
        let OrderPlaced { lines, .. } = event.event else { return row };
        let (order_id, number) = key.rsplit_once('#')?;
        let OrderLine { product, cents } = lines.get(number.parse::<usize>().ok()?)?;
        Some(Line { order_id: order_id.to_owned(), product: product.clone(), cents: *cents })
    }
}

fn orders() -> Composite<ShopEvent> {
    Composite::new("orders").stage(OrderOfInvoice).stage(Summaries).stage(Lines)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let data = std::env::temp_dir().join(format!("ees-order-summary-{}", std::process::id()));
    std::fs::create_dir_all(&data)?;
    let store = Arc::new(sqlite::Store::open(data.join("log.db"))?);
    let database = Database::open(data.join("orders.db"))?;
    let mut projector = Projector::new(store.clone());
    projector.fold(orders(), database.clone(), Settings::default())?;
    let running = projector.start();

    let line = |product: &str, cents| OrderLine { product: product.to_owned(), cents };
    let lines = vec![line("tea", 500), line("pot", 2_000)];
    let placed = OrderPlaced { customer: "ada".to_owned(), lines };
    let sent = InvoiceSent { invoice: "2026-7".to_owned() };
    let order = Events::of(&[placed, sent])?;
    store.commit(Commit::new("order/1".parse()?, Expectation::NewStream, order)).await?;
    let paid = Events::of(&[InvoicePaid { invoice: "2026-7".to_owned(), cents: 2_000 }])?;
    let committed = store.commit(Commit::new("bank/today".parse()?, Expectation::NewStream, paid)).await?;
    if let Some(checkpoint) = committed.checkpoint {
        running.handle().when_reached("orders", checkpoint, Duration::from_secs(5)).await?;
    }
    let query = "SELECT customer, s.cents - paid_cents, group_concat(product, ', ')
        FROM summaries s JOIN lines USING (order_id) GROUP BY order_id";
    let (customer, due, products): (String, i64, String) = database
        .read(|db| db.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))))
        .await?;
    println!("{customer} has ordered {products} and owes {due} cents");
    running.shut_down().await;
    Ok(std::fs::remove_dir_all(data)?)
}

#[tokio::test]
async fn a_payment_finds_its_order() {
    use serde_json::json;

    let placed =
        json!({"type": "order_placed", "customer": "ada", "lines": [{"product": "tea", "cents": 500}]});
    let paid = json!({"type": "invoice_paid", "invoice": "i1", "cents": 200});
    let history = ees_projector::testkit::given([
        ("order/1", placed),
        ("bank", paid.clone()),
        ("order/1", json!({"type": "invoice_sent", "invoice": "i1"})),
        ("bank", paid),
    ]);
    let outcome = history.composite(orders()).await;
    // The first payment came before its invoice.
    let summary = json!({"customer": "ada", "cents": 500, "paid_cents": 200});
    outcome.expect("summaries", [("order/1", summary)]);
    let line = json!({"order_id": "order/1", "product": "tea", "cents": 500});
    outcome.expect("lines", [("order/1#0", line)]);
}

#[tokio::test]
async fn crashes_and_batches_change_no_row() {
    use serde_json::json;

    let mut events = Vec::new();
    for number in 0..12 {
        let (order, invoice) = (["order/1", "order/2", "order/3"][number % 3], format!("i{}", number % 5));
        let lines = json!([{"product": "tea", "cents": number}, {"product": "pot", "cents": 2 * number}]);
        events.push((order, json!({"type": "order_placed", "customer": "ada", "lines": lines})));
        events.push(("bank", json!({"type": "invoice_paid", "invoice": invoice, "cents": 10 + number})));
        events.push((order, json!({"type": "invoice_sent", "invoice": invoice})));
    }
    ees_projector::testkit::given(events).check_fold(orders).await;
}

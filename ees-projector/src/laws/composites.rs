//! Several folds as one projection, and folds that look up rows of others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Subject;
use super::support::{Bench, ChangingLog, Faults, LONG, caught_up, fresh, parking, settings};
use crate::{
    Composite, Fold, Found, LookupFold, MultiFold, OperateError, Order, Parking, Projector, ReadModel,
    Recorded, Running, Settings, SideBySide, StandbyRole, State, Status, Table,
};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ShopEvent {
    InvoiceSent { invoice: String, order: String },
    InvoiceWithdrawn { invoice: String },
    InvoicePaid { invoice: String, cents: i64 },
    OrdersShipped { orders: Vec<String> },
}
use ShopEvent::{InvoicePaid, InvoiceSent, InvoiceWithdrawn, OrdersShipped};

/// The order of each invoice.
#[derive(Clone)]
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
            InvoiceSent { invoice, .. } | InvoiceWithdrawn { invoice } => Some(invoice.clone()),
            _ => None,
        }
    }
    fn fold(&self, _: Option<String>, event: Recorded<'_, ShopEvent>) -> Option<String> {
        match event.event {
            InvoiceSent { order, .. } => Some(order.clone()),
            _ => None,
        }
    }
}

/// What was paid for each order. A payment names its invoice only.
struct Paid {
    faults: Arc<Faults>,
}

impl LookupFold for Paid {
    type Event = ShopEvent;
    type Key = String;
    type State = i64;
    type Lookup = OrderOfInvoice;

    fn name(&self) -> &str {
        "paid"
    }
    fn asks(&self, event: Recorded<'_, ShopEvent>) -> impl IntoIterator<Item = String> {
        match event.event {
            InvoicePaid { invoice, .. } => Some(invoice.clone()),
            _ => None,
        }
    }
    fn keys(
        &self,
        _: Recorded<'_, ShopEvent>,
        found: Found<'_, OrderOfInvoice>,
    ) -> impl IntoIterator<Item = String> {
        found.row().cloned()
    }
    fn fold(
        &self,
        _: &String,
        paid: Option<i64>,
        event: Recorded<'_, ShopEvent>,
        _: Found<'_, OrderOfInvoice>,
    ) -> Option<i64> {
        let stream = event.stream_id().as_str();
        assert!(!self.faults.streams.lock().unwrap().contains(stream), "told to");
        match event.event {
            InvoicePaid { cents, .. } => Some(paid.unwrap_or(0) + cents),
            _ => paid,
        }
    }
}

/// What was paid when each order was shipped: it looks up rows that are looked up themselves.
struct PaidWhenShipped;

impl LookupFold for PaidWhenShipped {
    type Event = ShopEvent;
    type Key = String;
    type State = Vec<i64>;
    type Lookup = Paid;

    fn name(&self) -> &str {
        "paid_when_shipped"
    }
    fn asks(&self, event: Recorded<'_, ShopEvent>) -> impl IntoIterator<Item = String> {
        match event.event {
            OrdersShipped { orders } => orders.clone(),
            _ => Vec::new(),
        }
    }
    fn keys(&self, event: Recorded<'_, ShopEvent>, _: Found<'_, Paid>) -> impl IntoIterator<Item = String> {
        self.asks(event)
    }
    fn fold(
        &self,
        order: &String,
        row: Option<Vec<i64>>,
        _: Recorded<'_, ShopEvent>,
        found: Found<'_, Paid>,
    ) -> Option<Vec<i64>> {
        let mut row = row.unwrap_or_default();
        row.push(found.get(order).copied().unwrap_or(-1));
        Some(row)
    }
}

fn orders(faults: &Arc<Faults>) -> Composite<ShopEvent> {
    let paid = Paid { faults: faults.clone() };
    Composite::new("orders").stage(OrderOfInvoice).stage(paid).stage(PaidWhenShipped)
}

const TABLES: [&str; 3] = ["order_of_invoice", "paid", "paid_when_shipped"];

type Tables = BTreeMap<&'static str, BTreeMap<String, Value>>;

/// What the events say, one after the other.
#[derive(Default)]
struct Expected {
    order_of_invoice: BTreeMap<String, String>,
    paid: BTreeMap<String, i64>,
    shipped: BTreeMap<String, Vec<i64>>,
}

impl Expected {
    fn see(&mut self, event: &ShopEvent) {
        match event {
            InvoiceSent { invoice, order } => {
                self.order_of_invoice.insert(invoice.clone(), order.clone());
            }
            InvoiceWithdrawn { invoice } => {
                self.order_of_invoice.remove(invoice);
            }
            InvoicePaid { invoice, cents } => {
                if let Some(order) = self.order_of_invoice.get(invoice) {
                    *self.paid.entry(order.clone()).or_default() += cents;
                }
            }
            OrdersShipped { orders } => {
                for order in BTreeSet::from_iter(orders) {
                    let paid = self.paid.get(order).copied().unwrap_or(-1);
                    self.shipped.entry(order.clone()).or_default().push(paid);
                }
            }
        }
    }

    fn tables(self) -> Tables {
        fn rows<T: Serialize>(rows: BTreeMap<String, T>) -> BTreeMap<String, Value> {
            rows.into_iter().map(|(key, row)| (key, json!(row))).collect()
        }
        let tables = [rows(self.order_of_invoice), rows(self.paid), rows(self.shipped)];
        TABLES.into_iter().zip(tables).collect()
    }
}

async fn tables_of<S: Subject>(subject: &S) -> Tables {
    let mut tables = Tables::new();
    for name in TABLES {
        let rows = subject.table_of("orders", name).await.into_iter();
        tables.insert(name, rows.map(|(key, text)| (key, serde_json::from_str(&text).unwrap())).collect());
    }
    tables
}

/// Invoices that move to other orders and are withdrawn, between payments.
async fn a_history() -> (Arc<ChangingLog>, Tables) {
    let (log, mut expected) = (ChangingLog::new(), Expected::default());
    let mut chance = fastrand::Rng::with_seed(7);
    for number in 0..120 {
        let (invoice, order) = (format!("i{}", chance.u8(..6)), format!("o{}", chance.u8(..4)));
        let event = match chance.u8(..10) {
            0..3 => InvoiceSent { invoice, order },
            3 => InvoiceWithdrawn { invoice },
            4..8 => InvoicePaid { invoice, cents: chance.i64(1..1_000) },
            // An order may be there twice.
            _ => OrdersShipped { orders: vec![order, format!("o{}", chance.u8(..4))] },
        };
        expected.see(&event);
        log.append(&format!("stream/{}", number % 6), &json!(event).to_string()).await;
    }
    (log, expected.tables())
}

async fn start<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    composite: Composite<ShopEvent>,
    settings: Settings,
) -> Bench<S> {
    let mut projector = Projector::new(log.clone());
    projector.fold(composite, subject.database(), settings).unwrap();
    Bench { log: log.clone(), subject: subject.clone(), running: projector.start() }
}

impl<S: Subject> Bench<S> {
    async fn orders_caught_up(&self) {
        caught_up(&self.log, self.running.handle(), "orders").await;
    }
}

async fn paused(running: &Running, name: &str) -> Status {
    let pause = async {
        loop {
            let status = running.handle().status(name).await.unwrap();
            if status.state == State::Paused {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, pause).await.unwrap()
}

/// An event looks up rows as of its own place in the log, however the log is cut into batches.
pub async fn an_event_looks_up_rows_as_of_its_place<S: Subject>() {
    let (log, expected) = a_history().await;
    for batch in [1, 7, 1000] {
        let subject = fresh::<S>().await;
        let settings =
            Settings { batch_changesets_max: batch, span_changesets_max: batch, ..Settings::default() };
        let bench = start(&log, &subject, orders(&Arc::default()), settings).await;
        bench.orders_caught_up().await;
        bench.close().await;
        assert_eq!(tables_of(&*subject).await, expected, "in batches of {batch}");
    }
}

/// A rebuild replaces the rows of all tables.
pub async fn a_rebuild_of_a_composite_replaces_all_tables<S: Subject>() {
    let (log, expected) = a_history().await;
    let subject = fresh::<S>().await;
    let bench = start(&log, &subject, orders(&Arc::default()), settings()).await;
    bench.orders_caught_up().await;
    bench.handle().rebuild("orders", "to see it").await.unwrap();
    bench.orders_caught_up().await;
    assert_eq!(tables_of(&*subject).await, expected);
    bench.close().await;
    // A version without the payments: nothing of the earlier rows stays in any table.
    let streams = ees_store::Filter::event_types(["invoice_withdrawn"]);
    let newer = orders(&Arc::default()).with_version(2).with_subscription(crate::Subscription::to(streams));
    let bench = start(&log, &subject, newer, settings()).await;
    bench.orders_caught_up().await;
    bench.close().await;
    assert!(tables_of(&*subject).await.values().all(BTreeMap::is_empty));
}

/// When one stage fails, no stage has applied the changeset. A skipped one is left out by all.
pub async fn the_stages_of_a_composite_fail_as_one<S: Subject>() {
    let (log, subject, faults) = (ChangingLog::new(), fresh::<S>().await, Arc::<Faults>::default());
    let sent = |invoice: &str| json!(InvoiceSent { invoice: invoice.into(), order: "o".into() });
    let paid = |invoice: &str| json!(InvoicePaid { invoice: invoice.into(), cents: 5 });
    log.append("good", &sent("i1").to_string()).await;
    faults.fail("bad");
    let both = format!("{},{}", sent("i2"), paid("i2"));
    let failing = log.append("bad", &both).await;
    log.append("good", &paid("i1").to_string()).await;
    let bench = start(&log, &subject, orders(&faults), settings()).await;
    assert_eq!(paused(&bench.running, "orders").await.checkpoint, failing);
    let tables = tables_of(&*subject).await;
    assert_eq!(tables["order_of_invoice"], BTreeMap::from([("i1".to_owned(), json!("o"))]));
    assert_eq!(tables["paid"], BTreeMap::new());
    bench.handle().skip("orders", failing, "it is wrong").await.unwrap();
    bench.orders_caught_up().await;
    bench.close().await;
    let tables = tables_of(&*subject).await;
    assert_eq!(tables["order_of_invoice"], BTreeMap::from([("i1".to_owned(), json!("o"))]));
    assert_eq!(tables["paid"], BTreeMap::from([("o".to_owned(), json!(5))]));
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum CartEvent {
    Placed { lines: Vec<String> },
    Cancelled { lines: Vec<String> },
    Strayed { line: String },
}

/// The cart of each stream.
struct Carts {
    faults: Arc<Faults>,
}

impl Fold for Carts {
    type Event = CartEvent;
    type Key = String;
    type State = BTreeMap<String, u64>;

    fn name(&self) -> &str {
        "carts"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn key(&self, event: Recorded<'_, CartEvent>) -> Option<String> {
        (!matches!(event.event, CartEvent::Strayed { .. })).then(|| event.stream_id().to_string())
    }
    fn fold(
        &self,
        _: Option<BTreeMap<String, u64>>,
        event: Recorded<'_, CartEvent>,
    ) -> Option<BTreeMap<String, u64>> {
        let stream = event.stream_id().as_str();
        assert!(!self.faults.streams.lock().unwrap().contains(stream), "told to");
        match event.event {
            CartEvent::Placed { lines } => Some([("lines".to_owned(), lines.len() as u64)].into()),
            _ => None,
        }
    }
}

/// The lines of the carts, each with its cart.
struct Lines;

#[derive(Serialize, Deserialize, ReadModel)]
#[read_model(table = "lines", key = "line", index(cart))]
struct Line {
    #[read_model(references = "carts")]
    cart: String,
}

impl MultiFold for Lines {
    type Event = CartEvent;
    type Key = String;
    type State = Line;

    fn name(&self) -> &str {
        "lines"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        Line::table()
    }
    fn keys(&self, event: Recorded<'_, CartEvent>) -> impl IntoIterator<Item = String> {
        match event.event {
            CartEvent::Placed { lines } | CartEvent::Cancelled { lines } => lines.clone(),
            CartEvent::Strayed { line } => vec![line.clone()],
        }
    }
    fn fold(&self, _: &String, _: Option<Line>, event: Recorded<'_, CartEvent>) -> Option<Line> {
        let cart = event.stream_id().to_string();
        (!matches!(event.event, CartEvent::Cancelled { .. })).then_some(Line { cart })
    }
}

/// The number of the lines of each cart, from a stage that comes after them.
struct CartSizes;

impl LookupFold for CartSizes {
    type Event = CartEvent;
    type Key = String;
    type State = u64;
    type Lookup = Carts;

    fn name(&self) -> &str {
        "cart_sizes"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn asks(&self, event: Recorded<'_, CartEvent>) -> impl IntoIterator<Item = String> {
        [event.stream_id().to_string()]
    }
    fn keys(&self, event: Recorded<'_, CartEvent>, _: Found<'_, Carts>) -> impl IntoIterator<Item = String> {
        [event.stream_id().to_string()]
    }
    fn fold(
        &self,
        _: &String,
        _: Option<u64>,
        _: Recorded<'_, CartEvent>,
        found: Found<'_, Carts>,
    ) -> Option<u64> {
        found.row().and_then(|cart| cart.get("lines").copied())
    }
}

fn carts(faults: &Arc<Faults>) -> Composite<CartEvent> {
    let carts = Carts { faults: faults.clone() };
    Composite::new("shop").stage(carts).stage(Lines).stage(CartSizes)
}

fn placed(cart: &str, lines: u64) -> String {
    let lines = (0..lines).map(|line| format!("{cart}-{line}")).collect();
    json!(CartEvent::Placed { lines }).to_string()
}

fn cancelled(cart: &str, lines: u64) -> String {
    let lines = (0..lines).map(|line| format!("{cart}-{line}")).collect();
    json!(CartEvent::Cancelled { lines }).to_string()
}

async fn shop<S: Subject>(
    log: &Arc<ChangingLog>,
    subject: &Arc<S>,
    faults: &Arc<Faults>,
    settings: Settings,
) -> Running {
    let mut projector = Projector::new(log.clone());
    projector.fold(carts(faults), subject.database(), settings).unwrap();
    projector.start()
}

/// A composite whose stages all need the order of streams only can park a stream: all its tables wait.
pub async fn a_composite_parks_a_stream_in_all_tables<S: Subject>() {
    let (log, subject, faults) = (ChangingLog::new(), fresh::<S>().await, Arc::<Faults>::default());
    log.append("a", &placed("a", 2)).await;
    log.append("b", &placed("b", 1)).await;
    faults.fail("b");
    log.append("c", &placed("c", 3)).await;
    log.append("b", &placed("b", 4)).await;
    let patient = Parking { retry_after_min: LONG * 100, ..Parking::default() };
    let running = shop(&log, &subject, &faults, parking(patient)).await;
    caught_up(&log, running.handle(), "shop").await;
    let sizes = subject.table_of("shop", "cart_sizes").await;
    assert_eq!(sizes, [("a".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())].into());
    faults.mend();
    running.handle().retry_parked("shop", None, "mended").await.unwrap();
    running.shut_down().await;
    let sizes = subject.table_of("shop", "cart_sizes").await;
    assert_eq!(sizes.get("b").map(String::as_str), Some("4"));
    assert_eq!(subject.table_of("shop", "carts").await["b"], r#"{"lines":4}"#);
}

/// Rows that refer to rows of an earlier stage come and go with them, however the log is cut into batches,
/// and in a rebuild. A row that refers to nothing is refused where the database has foreign keys.
pub async fn rows_refer_to_rows_of_an_earlier_stage<S: Subject>() {
    for batch in [1, 1000] {
        let (log, subject, faults) = (ChangingLog::new(), fresh::<S>().await, Arc::<Faults>::default());
        let settings = Settings { batch_changesets_max: batch, span_changesets_max: batch, ..settings() };
        for number in 0..12 {
            let cart = format!("cart/{number}");
            log.append(&cart, &placed(&cart, 2)).await;
            if number % 3 > 0 {
                log.append(&cart, &cancelled(&cart, 2)).await;
            }
            if number % 3 > 1 {
                log.append(&cart, &placed(&cart, 1)).await;
            }
        }
        let running = shop(&log, &subject, &faults, settings).await;
        caught_up(&log, running.handle(), "shop").await;
        for number in 0..6 {
            let cart = format!("cart/{number}");
            if number % 3 != 1 {
                log.append(&cart, &cancelled(&cart, if number % 3 > 1 { 1 } else { 2 })).await;
            }
        }
        caught_up(&log, running.handle(), "shop").await;
        let expected = ["cart/11", "cart/6", "cart/8", "cart/9"];
        let carts = subject.table_of("shop", "carts").await;
        assert_eq!(carts.into_keys().collect::<Vec<_>>(), expected, "in batches of {batch}");
        running.handle().rebuild("shop", "to see it").await.unwrap();
        caught_up(&log, running.handle(), "shop").await;
        let carts = subject.table_of("shop", "carts").await;
        assert_eq!(carts.into_keys().collect::<Vec<_>>(), expected, "rebuilt in batches of {batch}");
        let stray = log.append("nobody", &json!(CartEvent::Strayed { line: "x".into() }).to_string()).await;
        if S::CAPABILITIES.foreign_keys {
            let status = paused(&running, "shop").await;
            assert_eq!(status.checkpoint, stray);
            let reason = status.pause.unwrap().reason;
            assert!(reason.to_lowercase().contains("foreign key"), "{reason}");
        } else {
            running.handle().when_reached("shop", stray.next(), LONG).await.unwrap();
        }
        running.shut_down().await;
    }
}

/// All tables are built side by side, compared and swapped together, foreign keys included. Where the
/// database can't do that, it is refused, and nothing has changed.
pub async fn a_composite_is_swapped_and_verified_as_one<S: Subject>() {
    let (log, subject, faults) = (ChangingLog::new(), fresh::<S>().await, Arc::<Faults>::default());
    for cart in ["a", "b", "c"] {
        log.append(cart, &placed(cart, 2)).await;
    }
    let running = shop(&log, &subject, &faults, settings()).await;
    caught_up(&log, running.handle(), "shop").await;
    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    let begun = running.handle().rebuild_side_by_side("shop", wanted, "to see").await;
    if S::CAPABILITIES.side_by_side {
        begun.unwrap();
        let swapped = async {
            let role = |status: Status| status.standby.map(|standby| standby.plan.role);
            while role(running.handle().status("shop").await.unwrap()) != Some(StandbyRole::Following) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(LONG, swapped).await.unwrap();
        assert!(running.handle().verify("shop").await.unwrap().is_equal());
    } else {
        assert!(matches!(begun, Err(OperateError::NotSupported(_))), "{begun:?}");
    }
    log.append("a", &cancelled("a", 2)).await;
    log.append("d", &placed("d", 1)).await;
    caught_up(&log, running.handle(), "shop").await;
    running.shut_down().await;
    for table in ["carts", "cart_sizes"] {
        let keys: Vec<_> = subject.table_of("shop", table).await.into_keys().collect();
        assert_eq!(keys, ["b", "c", "d"], "{table}");
    }
}

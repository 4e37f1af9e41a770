//! Events of older types and versions, and of types that nobody knows.

use std::sync::Arc;

use ees_aggregate::testkit::given;
use ees_aggregate::{Error, Repository};
use ees_store::{EventStore, StreamQuery};
use serde_json::json;

use crate::rigged::Rigged;
use crate::shapes::{Lenient, Wallet, WalletEvent};
use crate::stock::{SoldOut, Stock, StockCommand, StockEvent, id, reserve};

const OF_ALL_AGES: &str = r#"[{"type":"opened","owner":"ada"},{"type":"paid_in","amount":1},
    {"type":"deposited","euros":20},{"type":"deposited","version":2,"cents":300}]"#;

pub(crate) async fn old_events_are_read_by_their_names_of_today(store: Arc<Rigged>) {
    store.append(&id("wallet/1"), OF_ALL_AGES).await;
    let wallets = Repository::<Wallet>::new(store);
    assert_eq!(wallets.load(&id("wallet/1")).await.unwrap().unwrap().cents, 2_400);
}

pub(crate) async fn new_events_say_which_version_they_are(store: Arc<Rigged>) {
    let wallets = Repository::<Wallet>::new(store.clone());
    let of = id("wallet/1");
    wallets.execute(&of, &WalletEvent::Opened { owner: "ada".to_owned() }).await.unwrap();
    wallets.execute(&of, &WalletEvent::Deposited { cents: 7 }).await.unwrap();
    let page = store.read_stream(StreamQuery::all(of.clone())).await.unwrap();
    let stored: Vec<_> = page.changesets.iter().map(|it| it.events.as_stored()).collect();
    let expected =
        [r#"[{"type":"opened","owner":"ada"}]"#, r#"[{"version":2,"type":"deposited","cents":7}]"#];
    assert_eq!(stored, expected);
    assert_eq!(wallets.load(&of).await.unwrap().unwrap().cents, 7);
}

pub(crate) async fn an_event_that_nobody_knows_stops_the_aggregate_unless_it_skips(store: Arc<Rigged>) {
    store.append(&id("wallet/1"), OF_ALL_AGES).await;
    store.append(&id("wallet/1"), r#"[{"type":"frozen"}]"#).await;
    let refused = Repository::<Wallet>::new(store.clone()).load(&id("wallet/1")).await.unwrap_err();
    assert!(matches!(&refused, Error::Unreadable { event_id, .. } if event_id.get() == 5), "{refused}");
    let lenient = Repository::<Lenient>::new(store.clone());
    assert_eq!(lenient.load(&id("wallet/1")).await.unwrap().unwrap().0.cents, 2_400);

    store.append(&id("wallet/1"), r#"[{"type":"deposited","version":3,"pence":1}]"#).await;
    let newer = lenient.load(&id("wallet/1")).await.unwrap_err();
    assert!(newer.to_string().contains("newer than this program"), "{newer}");
}

#[test]
fn the_test_kit_reads_old_events_as_a_repository_does() {
    given::<Wallet>([WalletEvent::Deposited { cents: 5 }])
        .and_stored(json!({"type": "paid_in", "amount": 1}))
        .when(WalletEvent::Deposited { cents: 7 })
        .then([WalletEvent::Deposited { cents: 7 }]);
    let state = given::<Wallet>([]).and_stored(json!({"type": "deposited", "euros": 2}));
    assert_eq!(state.state().cents, 200);
}

#[test]
fn the_test_kit_tells_events_from_refusals() {
    let restocked = |count| StockEvent::Restocked { count };
    given::<Stock>([]).when(reserve("ada")).then_refused(SoldOut);
    let after = given::<Stock>([restocked(1)])
        .when(reserve("ada"))
        .then([StockEvent::Reserved { buyer: "ada".to_owned() }]);
    assert_eq!(after.left, 0);
    given::<Stock>([restocked(3)]).when(StockCommand::Fill(2)).then_nothing();
    given::<Stock>([restocked(3), restocked(4)]).check_snapshots();
}

#[test]
#[should_panic(expected = "sold out")]
fn the_test_kit_fails_when_a_refusal_was_not_expected() {
    given::<Stock>([]).when(reserve("ada")).then([]);
}

//! More buyers than items.

use std::iter::repeat_n;

use ees_test_postgres::TestDatabase;
use futures::future::join_all;
use serde_json::{Value, json};
use shop::assembly::Shop;
use shop::place::Place;

use crate::opened::{Open, open, post_to};

/// Sends one buyer to each shop at the same time. Returns how many got an item; all others must be told that
/// it is sold out. A buyer who is told that the shop is busy asks again under the same key.
async fn served(shops: impl Iterator<Item = Shop>) -> usize {
    let buyers = shops.enumerate().map(|(buyer, shop)| {
        let name = format!("buyer-{buyer}");
        tokio::spawn(async move {
            loop {
                let body = json!({ "buyer": name });
                let answer = post_to(&shop, "/products/lamp/reserve", body, Some(&name)).await;
                if answer.0 != 503 {
                    return answer;
                }
            }
        })
    });
    let mut served = 0;
    for answer in join_all(buyers).await {
        match answer.unwrap() {
            (200, _) => served += 1,
            (409, body) => assert_eq!(body["error"], "SOLD_OUT"),
            other => panic!("{other:?}"),
        }
    }
    served
}

fn listed(product: &str, reserved: u64) -> Value {
    json!({ "product": product, "in_stock": 0, "reserved": reserved, "status": "sold_out" })
}

pub(crate) async fn fifty_of_two_hundred_buyers_get_one(open: Open) {
    open.restock("lamp", 50).await;
    assert_eq!(served(repeat_n(open.shop.clone(), 200)).await, 50);
    everything_follows_once(open).await;
}

/// The list, the webhook and the purchase order follow, each once.
async fn everything_follows_once(open: Open) {
    open.when_listed("/products?status=sold_out", json!([listed("lamp", 50)])).await;
    assert_eq!(open.told.when(1).await, ["product/lamp"]);
    // Events: one restock, fifty reservations, and `SoldOut`, which is event 52.
    let ordered = json!({ "type": "ordered", "product": "lamp", "count": 50 });
    assert_eq!(open.ordered("purchase-order/lamp/52").await, [ordered]);
    assert_eq!(open.get("/products/lamp").await, (200, json!({ "in_stock": 0, "reserved": 50 })));
    // A second call for the lamp would have come before this one.
    open.restock("chair", 1).await;
    assert_eq!(open.reserve("chair").await, 200);
    assert_eq!(open.told.when(2).await, ["product/lamp", "product/chair"]);
    assert_eq!(open.ordered("purchase-order/chair/3").await.len(), 1);
    open.when_listed("/products?status=sold_out", json!([listed("chair", 1), listed("lamp", 50)])).await;
    open.when_listed("/products?status=in_stock", json!([])).await;
    open.when_listed("/products?after=chair", json!([listed("lamp", 50)])).await;
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_are_one_shop() {
    let database = TestDatabase::new().await;
    let place: Place = database.url().parse().unwrap();
    let open = open(place.open().await.unwrap(), Box::new(database)).await;
    let other = Shop::new(place.open().await.unwrap(), Some(open.told.webhook.clone()));
    let also_running = other.start().unwrap();
    open.restock("lamp", 50).await;
    let shops = [open.shop.clone(), other];
    assert_eq!(served(shops.into_iter().cycle().take(200)).await, 50);
    everything_follows_once(open).await;
    also_running.shut_down().await;
}

pub(crate) async fn a_buyer_who_asks_again_gets_one(open: Open) {
    open.restock("lamp", 1).await;
    let ask = async |key| {
        let body = json!({ "buyer": "ada" });
        post_to(&open.shop, "/products/lamp/reserve", body, Some(key)).await
    };
    let sold = (200, json!({ "in_stock": 0, "reserved": 1 }));
    assert_eq!(ask("order-1").await, sold);
    assert_eq!(ask("order-1").await, sold, "the answer was lost, and it is hers all the same");
    assert_eq!(ask("order-2").await.0, 409);
    open.close().await;
}

//! What is reserved is to be paid within half an hour.

use std::time::Duration;

use serde_json::json;
use shop::reservations::{NAME, PAY_WITHIN};

use crate::opened::Open;

pub(crate) async fn what_is_not_paid_in_time_goes_back_into_the_stock(open: Open) {
    open.restock("lamp", 2).await;
    for buyer in ["ada", "bob"] {
        assert_eq!(open.post("/products/lamp/reserve", json!({ "buyer": buyer })).await.0, 200);
    }
    let pay = async |buyer| open.post("/products/lamp/pay", json!({ "buyer": buyer })).await;
    assert_eq!(pay("ada").await.0, 200);
    let head = open.head().await;
    open.running.handle().when_reached(NAME, head, Duration::from_secs(30)).await.unwrap();
    open.clock.advance(PAY_WITHIN + Duration::from_secs(60));
    let lamp = json!({ "product": "lamp", "in_stock": 1, "reserved": 1, "status": "in_stock" });
    open.when_listed("/products", json!([lamp])).await;
    for buyer in ["ada", "bob", "eve"] {
        let (status, body) = pay(buyer).await;
        assert_eq!((status, &body["error"]), (409, &json!("NOTHING_TO_PAY")), "{buyer}");
    }
    open.close().await;
}

//! The answers to customers.

use serde_json::json;

use crate::opened::sqlite;

#[tokio::test]
async fn an_answer_says_what_is_wrong() {
    let open = sqlite().await;
    for (path, body, status) in [
        ("/products/lamp/reserve", json!({ "buyer": "ada" }), 404),
        ("/products/lamp/restock", json!({ "count": 0 }), 422),
        ("/products/lamp/restock", json!({ "amount": 1 }), 422),
        ("/products/a%0Ab/restock", json!({ "count": 1 }), 400),
    ] {
        assert_eq!(open.post(path, body).await.0, status, "{path}");
    }
    let (status, body) = open.get("/products/lamp").await;
    assert_eq!((status, &body["error"]), (404, &json!("NO_SUCH_PRODUCT")));
    assert_eq!(open.get("/products/lamp/events").await.0, 404);
    assert_eq!(open.get("/products?status=lost").await.0, 400);
    open.close().await;
}

#[tokio::test]
async fn the_events_of_a_product_are_shown_as_they_are_stored() {
    let open = sqlite().await;
    // A name may contain a slash.
    open.restock("lamp%2Fred", 1).await;
    assert_eq!(open.reserve("lamp%2Fred").await, 200);
    let (_, all) = open.get("/products/lamp%2Fred/events").await;
    let events: Vec<_> = all["events"].as_array().unwrap().iter().map(|it| it["event"].clone()).collect();
    let reserved = json!({ "type": "reserved", "buyer": "ada" });
    let sold_out = json!({ "type": "sold_out" });
    assert_eq!(events, [json!({ "type": "restocked", "count": 1 }), reserved, sold_out.clone()]);
    let (_, last) = open.get("/products/lamp%2Fred/events?from=3").await;
    assert_eq!((&last["events"][0]["event"], &last["events"][1]), (&sold_out, &json!(null)));
    open.close().await;
}

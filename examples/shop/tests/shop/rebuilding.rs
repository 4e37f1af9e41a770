//! A rebuild reads the history again, but reactors do not act on it again.

use std::time::Duration;

use serde_json::json;
use shop::products::Products;

use crate::opened::Open;

pub(crate) async fn a_rebuild_tells_nobody_again(open: Open) {
    open.restock("lamp", 1).await;
    assert_eq!(open.reserve("lamp").await, 200);
    assert_eq!(open.told.when(1).await, ["product/lamp"]);
    assert_eq!(open.ordered("purchase-order/lamp/3").await.len(), 1);

    let handle = open.running.handle();
    let names: Vec<_> = handle.names().map(str::to_owned).collect();
    assert_eq!(names, ["products", "purchasing", "reservations", "sold_out"]);
    for name in names {
        // A reactor can't be rebuilt.
        let rebuilt = handle.rebuild(&name, "to see that nobody is told again").await;
        assert_eq!(rebuilt.is_ok(), name == Products::NAME, "{name}: {rebuilt:?}");
    }
    handle.when_reached(Products::NAME, open.head().await, Duration::from_secs(30)).await.unwrap();
    let lamp = json!({ "product": "lamp", "in_stock": 0, "reserved": 1, "status": "sold_out" });
    open.when_listed("/products", json!([lamp])).await;

    // A second call for the lamp would have come before this one.
    open.restock("chair", 1).await;
    assert_eq!(open.reserve("chair").await, 200);
    assert_eq!(open.told.when(2).await, ["product/lamp", "product/chair"]);
    for order in ["purchase-order/lamp/3", "purchase-order/chair/3"] {
        assert_eq!(open.ordered(order).await.len(), 1, "{order}");
    }
    open.close().await;
}

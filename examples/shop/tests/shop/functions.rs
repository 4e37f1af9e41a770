//! The shop as functions, without a process that stays.

use std::time::{Duration, Instant};

use ees_projector::{Clock, Drained};
use serde_json::json;
use shop::api::app;
use shop::products::Wanted;
use shop::reservations::PAY_WITHIN;
use tower::ServiceExt;

use crate::opened::sqlite;

/// A request as a REST API of API Gateway delivers it.
fn event(path: &str, body: &str) -> String {
    json!({
        "resource": "/{proxy+}", "path": path, "httpMethod": "POST",
        "headers": { "Content-Type": "application/json" },
        "multiValueHeaders": { "Content-Type": ["application/json"] },
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": { "proxy": path }, "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "resourceId": "r", "stage": "$default", "requestId": "i",
            "identity": { "sourceIp": "127.0.0.1" }, "resourcePath": "/{proxy+}", "httpMethod": "POST",
            "path": path, "apiId": "id",
        },
        "body": body, "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_shop_works_as_functions() {
    let open = sqlite().await;
    // From here on, nothing runs in the background.
    open.running.shut_down().await;
    for (path, body) in
        [("/products/lamp/restock", r#"{"count": 1}"#), ("/products/lamp/reserve", r#"{"buyer": "ada"}"#)]
    {
        let request = lambda_http::request::from_str(&event(path, body)).unwrap();
        let answer = app(open.shop.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }
    for role in ["products", "purchasing", "sold_out"] {
        let function = open.shop.on_demand(role).unwrap();
        let drained = function.drain_until(Instant::now() + Duration::from_secs(20)).await;
        assert_eq!(drained, Drained::CaughtUp, "{role}");
    }
    // Half an hour later, called by the schedule.
    let clock = Clock::stopped();
    let function = open.shop.clone().with_clock(clock.clone()).on_demand("reservations").unwrap();
    for in_stock in [0, 1] {
        let drained = function.drain_until(Instant::now() + Duration::from_secs(20)).await;
        assert_eq!(drained, Drained::CaughtUp);
        let lamp = open.shop.products.load(&"product/lamp".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(lamp.state.in_stock, in_stock);
        clock.advance(PAY_WITHIN + Duration::from_secs(60));
    }
    let listed = open.shop.place.read_models.products(Wanted::default()).await.unwrap();
    assert_eq!((listed.len(), listed[0].status.as_str()), (1, "sold_out"));
    assert_eq!(open.told.of(), ["product/lamp"]);
    assert!(open.shop.on_demand("nothing").is_err());
}

//! The answers of AWS to calls that it refuses.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// Refused because of too many calls.
pub(super) fn throttled(operation: &str, actions: usize) -> HttpResponse {
    match operation {
        "TransactWriteItems" | "TransactGetItems" => {
            because(actions, &[0], "ThrottlingError", "Throughput exceeds the current capacity")
        }
        "Query" | "Scan" | "GetItem" | "BatchGetItem" | "PutItem" | "UpdateItem" => refusal(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput was exceeded.",
        ),
        _ => refusal(400, "ThrottlingException", "Rate exceeded"),
    }
}

/// A write is refused because a transaction writes the item.
pub(super) fn conflict() -> HttpResponse {
    refusal(400, "TransactionConflictException", "Transaction is ongoing for the item")
}

/// A transaction is refused because another one writes the items of these actions. The other actions have
/// their reasons.
pub(super) fn conflicting(mut reasons: Vec<Value>, at: &[usize]) -> HttpResponse {
    for &at in at {
        reasons[at] =
            json!({ "Code": "TransactionConflict", "Message": "Transaction is ongoing for the item" });
    }
    cancelled(&reasons)
}

/// Refused because these actions of a transaction write to full streams.
pub(super) fn full(actions: usize, full: &[usize]) -> HttpResponse {
    because(actions, full, "ItemCollectionSizeLimitExceeded", "Collection size exceeded.")
}

/// Refused because the items of a transaction are too many bytes.
pub(super) fn too_large() -> HttpResponse {
    refusal(
        400,
        "ValidationException",
        "Collection size of items in the transaction exceeds the maximum of 4 MB",
    )
}

/// An internal error of AWS.
pub(super) fn failed() -> HttpResponse {
    refusal(500, "InternalServerError", "Internal server error")
}

/// An answer with this status and body, in place of the original.
pub(super) fn instead(status: StatusCode, body: &Value) -> HttpResponse {
    let mut response = HttpResponse::new(status, SdkBody::from(body.to_string()));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

/// A transaction was carried out.
pub(super) fn done() -> HttpResponse {
    instead(StatusCode::try_from(200).expect("a status"), &json!({}))
}

/// A transaction is cancelled, with a reason for each action.
pub(super) fn cancelled(reasons: &[Value]) -> HttpResponse {
    let codes: Vec<_> = reasons.iter().map(|reason| reason["Code"].as_str().unwrap_or_default()).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    answer(400, "TransactionCanceledException", json!({ "Message": message, "CancellationReasons": reasons }))
}

/// A transaction is cancelled because of `these` actions.
fn because(actions: usize, these: &[usize], code: &str, message: &str) -> HttpResponse {
    let mut reasons = vec![json!({ "Code": "None" }); actions.max(1)];
    for &at in these {
        reasons[at] = json!({ "Code": code, "Message": message });
    }
    cancelled(&reasons)
}

fn refusal(status: u16, code: &str, message: &str) -> HttpResponse {
    answer(status, code, json!({ "message": message }))
}

fn answer(status: u16, code: &str, mut body: Value) -> HttpResponse {
    body["__type"] = Value::from(format!("com.amazonaws.dynamodb.v20120810#{code}"));
    let status = StatusCode::try_from(status).expect("a status");
    let mut response = instead(status, &body);
    response.headers_mut().insert("x-amzn-errortype", code.to_owned());
    response
}

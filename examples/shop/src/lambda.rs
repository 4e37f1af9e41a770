//! The shop as AWS Lambda functions: one program, whose role is the name of the handler.

use ees_projector::lambda::Function;

use crate::api::app;
use crate::assembly::Shop;

/// Serves the role until the runtime ends the process: `api` behind API Gateway; `products`, `purchasing` and `sold_out` each
/// with a queue that wakes it.
///
/// # Errors
/// There is no such role, or no Lambda runtime around it.
pub async fn serve(shop: Shop, role: &str) -> Result<(), lambda_http::Error> {
    match role {
        "api" => lambda_http::run(app(shop)).await,
        name => Function::new(shop.on_demand(name)?).serve_messages().await,
    }
}

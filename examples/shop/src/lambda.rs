//! The shop as AWS Lambda functions: one program. The name of the handler selects the role.

use ees_projector::lambda::Function;

use crate::api::app;
use crate::assembly::Shop;

/// Serves a role until the runtime ends the process: `api` behind API Gateway; `products`, `purchasing`,
/// `reservations` or `sold_out`, each woken by a queue of its own.
///
/// # Errors
/// When there is no such role, or when the process does not run in a Lambda runtime.
pub async fn serve(shop: Shop, role: &str) -> Result<(), lambda_http::Error> {
    match role {
        "api" => lambda_http::run(app(shop)).await,
        name => Function::new(shop.on_demand(name)?).serve_messages().await,
    }
}

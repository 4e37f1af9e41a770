//! A shop on `ees`: it sells products, refuses buyers when a product is sold out, calls a webhook, and orders
//! more.
//!
//! The modules, in the order in which one would design them:
//! - [`product`]: the rules. What can happen to a product, and when a buyer is refused. No I/O.
//! - [`products`]: the list of products, a read model.
//! - [`sold_out`]: a reactor that calls a webhook when a product is sold out.
//! - [`purchasing`]: a process manager that orders more when a product is sold out.
//! - [`place`]: where the data is kept: SQLite, PostgreSQL or DynamoDB, given by a URL.
//! - [`assembly`]: connects these parts.
//! - [`api`]: the routes. [`problem`]: their error responses.
//! - [`front`]: serves the shop on sockets.
//! - `lambda` (a feature): serves the shop as AWS Lambda functions.

pub mod api;
pub mod assembly;
pub mod front;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod place;
pub mod problem;
pub mod product;
pub mod products;
pub mod purchasing;
pub mod reservations;
pub mod sold_out;

/// An error that keeps the shop from starting, for people to read.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

//! A shop on `ees`: what is sold, who gets the last one, who is told, and who orders more.
//!
//! In the order in which an application is thought up:
//! - [`product`]: the rules. What can happen to a product, and when a buyer is refused. Pure.
//! - [`products`]: the list of products, as rows that are kept up with the events.
//! - [`sold_out`]: somebody else's system is told when a product is sold out.
//! - [`purchasing`]: when a product is sold out, more of it is ordered.
//! - [`place`]: where all of it is kept: SQLite, PostgreSQL or DynamoDB, by a URL.
//! - [`assembly`]: these parts, put together.
//! - [`api`]: the routes, and [`problem`] what they answer when something is wrong.
//! - [`front`]: the shop behind sockets.
//! - `lambda` (a feature): the same as AWS Lambda functions.

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
pub mod sold_out;

/// What keeps the shop from starting; for people.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

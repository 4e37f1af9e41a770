//! Fuzz targets: functions that take any bytes, and panic when a property does not hold.
//!
//! The tests give them a corpus and mutations of it; `fuzz/` gives them to libFuzzer. What a text means is compared with
//! a second reading of it wherever there is one, so that they find more than crashes.
#![expect(clippy::panic, reason = "a target fails by panicking")]

mod answer;
mod api_keys;
mod bulk_answer;
mod bulk_body;
mod commit_body;
mod dead_letter;
mod event;
mod headers;
#[cfg(feature = "dynamodb")]
mod item;
mod json;
mod message;
mod place;
mod query;
mod reference_json;
mod request;
mod stored_body;
#[cfg(test)]
mod tests;
mod timestamp;

pub use answer::{page, problem};
pub use api_keys::api_keys;
pub use bulk_answer::bulk_answer;
pub use bulk_body::bulk_body;
pub use commit_body::commit_body;
pub use dead_letter::dead_letter;
pub use event::event;
pub use headers::{name, trace};
#[cfg(feature = "dynamodb")]
pub use item::item;
pub use json::json;
pub use message::message;
pub use place::place;
pub use query::{path, query};
pub use request::request;
pub use stored_body::stored_body;
pub use timestamp::timestamp;

/// The parts of an input, which has a byte between them that no text holds.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0xff);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

//! A projection of the server: calls to it, and its state as text.

mod client;
mod text;

pub(crate) use client::{POLL_INTERVAL, ProjectionClient, Until, encoded};
pub(crate) use text::{parked_text, projections_text, status_text};

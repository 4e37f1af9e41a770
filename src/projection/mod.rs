//! A projection or reactor of the server: calls to it, and its state as text.

mod client;
mod operate;
mod text;

pub(crate) use client::{POLL_INTERVAL, ProjectionClient, Until, encoded, failed};
pub(crate) use operate::{For, operate};
pub(crate) use text::{audit_text, parked_text, projections_text, status_text};

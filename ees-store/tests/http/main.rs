//! The HTTP contract, line by line, from the wire: each test talks to a server on a socket of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod bounds;
mod changesets;
mod commit;
mod docs;
mod gate;
mod keys;
mod operation;
mod statistics;
mod streams;
mod support;
mod tokens;
mod typed;

//! The HTTP contract, line by line, from the wire: each test talks to a server on a socket of its own.

mod bounds;
mod changesets;
mod commit;
#[cfg(feature = "postgres")]
mod deadlines;
mod docs;
mod event_streams;
mod following;
mod gate;
mod keys;
mod operation;
mod quarantined;
mod statistics;
mod streams;
mod strict;
mod support;
mod tokens;
mod traces;
mod typed;

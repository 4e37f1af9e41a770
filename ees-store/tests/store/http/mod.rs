//! The HTTP contract, line by line, from the wire: each test talks to a server on a socket of its own.

mod bounds;
mod bulk;
mod changesets;
mod commit;
mod compression;
mod cors;
#[cfg(feature = "postgres")]
mod deadlines;
mod docs;
mod event_streams;
mod following;
mod gate;
mod history;
mod keys;
mod operation;
mod quarantined;
mod reopened;
mod settings;
mod statistics;
mod stream_list;
mod streams;
mod strict;
mod support;
mod time;
mod tokens;
mod traces;
mod typed;

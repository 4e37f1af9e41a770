//! The HTTP client, against real servers and broken connections.

mod faults;
mod laws;
mod proxy;
mod serving;
mod talking;

//! The HTTP client, against real servers and broken connections.

mod base_contract;
mod compression;
mod environment;
mod faults;
mod laws;
mod proxy;
mod serving;
mod talking;

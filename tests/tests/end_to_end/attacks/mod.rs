//! Ten attacks on a server: what a hostile, careless or unlucky neighbour does to it. What it acknowledged stays, what it
//! did not acknowledge is nowhere or whole, and everybody else is served.
//!
//! docs/reliability.md names the tests of the crates that go into more detail.

mod bursts;
mod cut_off;
mod filters;
mod full_disk;
mod locked;
mod orphaned;
mod slow;
mod taken_away;
mod waiting;
mod widest;
mod wire;

//! The `ees` command.
fn main() {}

//! What of the `ees` command has to do with AWS, from outside.

mod dynamodb;
mod publishing;

//! Models of what processes do on one DynamoDB table, checked in every state.

mod commits;
mod order;

//! Models of what the writer of one SQLite file does, checked in every state.

mod writer;

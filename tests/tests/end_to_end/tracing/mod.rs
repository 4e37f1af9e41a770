//! Traces and metrics, as a collector gets them.

mod command;
mod one_trace;

//! Traces and metrics, as a collector gets them.

mod collector;
mod command;
mod in_process;
mod one_trace;

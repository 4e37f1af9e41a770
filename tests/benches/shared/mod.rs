//! Shared by the benchmarks of all backends: the workload, the load generators, the read models, the report.
//! Each benchmark is a program of its own and uses most of it.
#![allow(dead_code, reason = "no benchmark uses all of it")]

pub(crate) mod append;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod workload;

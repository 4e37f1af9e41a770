//! The console in a real Chromium.

mod accessibility;
mod browser;
mod explaining;
mod lists;
mod operating;
mod reading;
mod remote;
mod screens;
mod serving;
mod trial;
mod world;

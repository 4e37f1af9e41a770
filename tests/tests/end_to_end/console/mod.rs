//! The console in a real Chromium.

mod accessibility;
mod browser;
mod lists;
mod operating;
mod reading;
mod serving;
mod world;

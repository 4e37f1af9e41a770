//! How far a long piece of work is, with its rate and the time that is left: on a terminal only.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// A bar on standard error; nothing when that is no terminal, or when machines read the output.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts changesets, up to so many.
    pub(crate) fn of_changesets(count: u64, output: &Output) -> Self {
        Self::new(Some(count), "{bar:40} {pos}/{len} changesets, {per_sec}, {eta} left", output)
    }

    /// Counts a file's bytes, as many as there are if that is known; the message tells what became of them.
    pub(crate) fn of_bytes(length: Option<u64>, output: &Output) -> Self {
        let template = match length {
            Some(_) => "{bar:40} {percent}% {msg}, {eta} left",
            None => "{spinner} {bytes} {msg}",
        };
        Self::new(length, template, output)
    }

    fn new(length: Option<u64>, template: &str, output: &Output) -> Self {
        if output.is_json() || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        // The templates are ours; if one were wrong, the usual bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// What became of it so far; only put together when it is seen.
    pub(crate) fn tell(&self, told: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_message(told());
        }
    }
}

impl Drop for Progress {
    /// What is printed next begins on a clean line.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

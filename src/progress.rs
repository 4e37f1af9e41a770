//! A progress bar with rate and remaining time, on a terminal only.

use std::fmt;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::output::Output;

/// A bar on standard error. Hidden if standard error is not a terminal, and with `--json`.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Counts changesets up to `count`.
    pub(crate) fn of_changesets(count: u64, output: &Output) -> Self {
        Self::new(Some(count), "{bar:40} {pos}/{len} changesets, {rate}/s, {eta} left", output)
    }

    /// Counts bytes of a file, whose length may be unknown. [`Progress::message`] adds what became of them.
    pub(crate) fn of_bytes(length: Option<u64>, output: &Output) -> Self {
        let template = match length {
            Some(_) => "{bar:40} {percent}% {msg}, {eta} left",
            None => "{spinner} {bytes} {msg}",
        };
        Self::new(length, template, output)
    }

    /// Whether somebody sees it.
    pub(crate) fn is_shown(output: &Output) -> bool {
        !output.is_json() && std::io::stderr().is_terminal()
    }

    fn new(length: Option<u64>, template: &str, output: &Output) -> Self {
        if !Self::is_shown(output) {
            return Self(ProgressBar::hidden());
        }
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        // The templates are constants; if one were invalid, the default bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        Self(bar)
    }

    pub(crate) fn at(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// Shows a message beside the bar. Builds it only if the bar is visible.
    pub(crate) fn message(&self, message: impl FnOnce() -> String) {
        if !self.0.is_hidden() {
            self.0.set_message(message());
        }
    }
}

/// Changesets a second, without a fraction.
fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // Writing to the bar's own text does not fail.
    let _ = write!(out, "{:.0}", state.per_sec());
}

impl Drop for Progress {
    /// Clears the line for what is printed next.
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

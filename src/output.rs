//! Standard output: text, coloured on a terminal, or JSON.

use std::fmt::Display;
use std::io::{BufWriter, Write};

use anstream::AutoStream;
use serde::Serialize;

use crate::exit::{Failure, Outcome};

/// Buffered: nothing appears before [`Output::flush`].
pub(crate) struct Output {
    json: bool,
    out: BufWriter<Box<dyn Write + Send>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        // JSON is written byte for byte: stripping colours could remove a part of the data.
        let out: Box<dyn Write + Send> =
            if json { Box::new(std::io::stdout()) } else { Box::new(AutoStream::auto(std::io::stdout())) };
        Self { json, out: BufWriter::new(out) }
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn line(&mut self, line: impl Display) -> Outcome {
        writeln!(self.out, "{line}").map_err(|e| Failure::output(&e))
    }

    pub(crate) fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Outcome {
        let text = serde_json::to_string(value).map_err(Failure::other)?;
        self.line(text)
    }

    /// Prints the value as JSON with `--json`, otherwise the text.
    pub(crate) fn either(&mut self, value: &(impl Serialize + ?Sized), text: impl Display) -> Outcome {
        if self.json { self.json(value) } else { self.line(text) }
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(|e| Failure::output(&e))
    }
}

//! The lines of a file, plain or compressed with gzip.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use crate::exit::{Failure, Outcome};

/// Bytes of a line. A changeset has up to 1 MiB, and more with white space and escapes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The first bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub(super) struct Lines {
    name: Arc<str>,
    reader: Box<dyn BufRead + Send>,
    number: u64,
    /// Bytes read from the file, before decompression, since the last line.
    bytes_read: Arc<AtomicU64>,
    length: Option<u64>,
}

pub(super) struct Line {
    pub(super) location: LineLocation,
    pub(super) text: String,
    /// Bytes of the file that were read for it. The file is read in blocks, so this is 0 for most lines.
    pub(super) bytes_read: u64,
}

/// `FILE:NUMBER`.
#[derive(Clone, Debug)]
pub(super) struct LineLocation {
    pub(super) file: Arc<str>,
    pub(super) number: u64,
}

impl fmt::Display for LineLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.number)
    }
}

impl LineLocation {
    /// The line is not the JSON that was expected. Names one position, that in the file.
    pub(super) fn not_readable(&self, error: &serde_json::Error) -> Failure {
        let text = error.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        // No column is known for a value that was read before.
        let column = if error.column() > 0 { format!(":{}", error.column()) } else { String::new() };
        Failure::bad_input(what).at(format!("{self}{column}"))
    }
}

impl Lines {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &str) -> Outcome<Self> {
        if path == "-" {
            return Self::read("standard input", None, io::stdin());
        }
        let failed = |e: io::Error| Failure::file(path, &e);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?;
        Self::read(path, length.is_file().then_some(length.len()), file)
    }

    pub(super) fn read(name: &str, length: Option<u64>, source: impl Read + Send + 'static) -> Outcome<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut reader = BufReader::new(CountingReader { source, bytes_read: bytes_read.clone() });
        let gzipped = reader.fill_buf().map_err(|e| Failure::file(name, &e))?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn BufRead + Send> =
            if gzipped { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { Box::new(reader) };
        Ok(Self { name: name.into(), reader, number: 0, bytes_read, length })
    }

    /// Bytes of the file, if known.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Outcome<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            self.number += 1;
            let location = LineLocation { file: self.name.clone(), number: self.number };
            let mut reader = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1);
            reader.read_until(b'\n', &mut bytes).map_err(|e| Failure::bad_input(e).at(&location))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() > LINE_BYTES_MAX {
                let mib = LINE_BYTES_MAX / 1024 / 1024;
                return Err(Failure::bad_input(format!("the line is longer than {mib} MiB")).at(&location));
            }
            let mut text = String::from_utf8(bytes)
                .map_err(|_| Failure::bad_input("the line is not UTF-8 text").at(&location))?;
            if location.number == 1 && text.starts_with(BYTE_ORDER_MARK) {
                text.drain(..BYTE_ORDER_MARK.len_utf8());
            }
            if !text.trim().is_empty() {
                return Ok(Some(Line {
                    location,
                    text,
                    bytes_read: self.bytes_read.swap(0, Ordering::Relaxed),
                }));
            }
        }
    }
}

/// Counts the bytes that are read.
struct CountingReader<R> {
    source: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn all(bytes: &[u8]) -> Outcome<Vec<(u64, String)>> {
        let mut lines = Lines::read("f", None, io::Cursor::new(bytes.to_vec()))?;
        let next = || lines.next().transpose();
        std::iter::from_fn(next)
            .map(|line| line.map(|it| (it.location.number, it.text.trim().to_owned())))
            .collect()
    }

    #[test]
    fn a_gzipped_file_has_the_lines_of_the_plain_one() {
        let plain = b"{}\n\r\n\n[1]\r\n7";
        let mut gzipped = GzEncoder::new(Vec::new(), Compression::default());
        gzipped.write_all(plain).unwrap();
        let lines = all(plain).unwrap();
        assert_eq!(lines, [(1, "{}".to_owned()), (4, "[1]".to_owned()), (5, "7".to_owned())]);
        assert_eq!(all(&gzipped.finish().unwrap()).unwrap(), lines);
    }

    #[test]
    fn a_byte_order_mark_at_the_start_is_skipped() {
        assert_eq!(all(b"\xef\xbb\xbf{}\n7").unwrap(), [(1, "{}".to_owned()), (2, "7".to_owned())]);
        assert_eq!(all(b"7\n\xef\xbb\xbf{}").unwrap()[1].1, "\u{feff}{}");
    }

    #[test]
    fn an_error_names_one_position() {
        let error = serde_json::from_str::<u8>("  \"x\"").unwrap_err();
        let told = format!("{:?}", LineLocation { file: "f".into(), number: 7 }.not_readable(&error));
        assert!(told.contains("f:7:5: invalid type") && !told.contains("at line"), "{told}");
    }

    #[test]
    fn an_error_names_the_line() {
        let mut cut = GzEncoder::new(Vec::new(), Compression::default());
        cut.write_all(b"{}\n{}\n").unwrap();
        let mut cut = cut.finish().unwrap();
        cut.truncate(cut.len() - 6);
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        for (bytes, expected) in
            [(&b"{}\n\xff"[..], "f:2: the line is not UTF-8"), (&long, "16 MiB"), (&cut, "f:3")]
        {
            let error = format!("{:?}", all(bytes).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}

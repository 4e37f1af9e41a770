//! An append-only file of JSON lines: a line that was appended lasts, and one that a crash cut short never was.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) struct Lines {
    file: File,
    end: u64,
}

impl Lines {
    /// Opens the file, or makes it, for this process alone; and every line in it.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // A new file is only there for good once its folder is on disk.
            File::open(folder)?.sync_all()?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut found, mut end) = (Vec::new(), 0);
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let read = serde_json::from_slice(line);
            let is_last = lines.peek().is_none();
            // Each line is on disk before the next begins, so only the last can be cut short. Nobody was told of it.
            if is_last && (read.is_err() || !line.ends_with(b"\n")) {
                break;
            }
            found.push(read?);
            end += line.len() as u64;
        }
        Ok((Self { file, end }, found))
    }

    /// Appends a line. It is on disk when this returns; after an error, it may be there or not.
    pub(crate) fn append<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        // What a failed call, or a crash, has left behind the end goes first.
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        self.end += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path) -> io::Result<(Lines, Vec<String>)> {
        Lines::open(path)
    }

    #[test]
    fn a_line_that_was_cut_short_is_gone_and_a_damaged_one_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        for cut in ["\"tw", "\"two\"", "\"t\0\0\0\"\n"] {
            std::fs::write(&path, format!("\"one\"\n{cut}")).unwrap();
            let (mut lines, found) = opened(&path).unwrap();
            assert_eq!(found, ["one"], "{cut:?}");
            lines.append(&"2").unwrap();
            drop(lines);
            assert_eq!(opened(&path).unwrap().1, ["one", "2"], "{cut:?}");
        }
        std::fs::write(&path, "\"one\"\n\"tw\n\"three\"\n").unwrap();
        assert!(opened(&path).is_err());
    }

    #[test]
    fn a_file_is_one_process_s_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let first = opened(&path).unwrap();
        assert!(opened(&path).is_err());
        drop(first);
        assert!(opened(&path).is_ok());
    }
}

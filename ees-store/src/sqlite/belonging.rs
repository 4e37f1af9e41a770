//! Whether the write-ahead log that a killed process has left belongs to the log's file beside it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::path::Path;

use super::file::{beside, failed};
use crate::{Error, Result};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Where SQLite has its locks: the page there is never written.
const LOCKS_AT: u64 = 0x4000_0000;

/// Fails when one of the two was replaced, and that shows: a backup was put beside the write-ahead log of another
/// state, for example. SQLite would mix the two without a word.
///
/// Before SQLite opens the log in this process: what is opened and closed here would end its locks.
pub(super) fn check(log: &Path) -> Result<()> {
    let wal = beside(log, "-wal");
    let commits = match Commits::read(&wal) {
        Ok(Some(commits)) => commits,
        Ok(None) => return Ok(()),
        Err(error) => return Err(failed(&wal, error)),
    };
    let bytes = fs::metadata(log).map_err(|error| failed(log, error))?.len();
    if commits.can_follow(bytes) {
        return Ok(());
    }
    let detail = format!(
        "the commits in {} don't follow on it: one of the two files was replaced; keep a copy of both, and put back \
         the one that belongs to the other, or, after restoring a backup, move {0} away",
        wal.display()
    );
    Err(Error::Damaged { path: log.to_owned(), detail })
}

/// What the commits in a write-ahead log write: those that SQLite finds in it, which stops where a checksum is wrong.
/// Behind that place may be frames that were lost in a power failure, with the marks of commits.
///
/// The format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
struct Commits {
    page_bytes: u64,
    /// How many pages the database has after them.
    pages: u64,
    written: HashSet<u64>,
}

impl Commits {
    /// `None` where there is no commit.
    fn read(wal: &Path) -> io::Result<Option<Self>> {
        let mut content = match File::open(wal) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut header = [0; HEADER_BYTES];
        if !fill(&mut content, &mut header)? {
            return Ok(None);
        }
        let Some(mut checksum) = Checksum::of_header(&header) else { return Ok(None) };
        let page_bytes = number(&header[8..]);
        let mut page = match usize::try_from(page_bytes) {
            Ok(bytes @ 512..=65_536) => vec![0; bytes],
            _ => return Ok(None),
        };
        let mut commits = Self { page_bytes, pages: 0, written: HashSet::new() };
        let mut under_way = Vec::new();
        let mut frame = [0; FRAME_HEADER_BYTES];
        while fill(&mut content, &mut frame)? && fill(&mut content, &mut page)? {
            checksum.add(&frame[..8]);
            checksum.add(&page);
            // What is behind is from before the file was last begun anew, or was lost.
            if frame[8..16] != header[16..24] || !checksum.is(&frame[16..]) {
                break;
            }
            under_way.push(number(&frame));
            let pages = number(&frame[4..]);
            if pages > 0 {
                commits.pages = pages;
                commits.written.extend(under_way.drain(..));
            }
        }
        Ok(Some(commits).filter(|commits| commits.pages > 0))
    }

    /// A log only grows. So its file has no page that the commits don't count, and they write each one that it lacks.
    /// The exception is `VACUUM`, which writes every page.
    fn can_follow(&self, log_bytes: u64) -> bool {
        let there = log_bytes / self.page_bytes.max(1);
        let kept = if there > self.pages { 0 } else { there };
        let locks = LOCKS_AT / self.page_bytes.max(1) + 1;
        (kept + 1..=self.pages).all(|page| page == locks || self.written.contains(&page))
    }
}

/// The checksum of a write-ahead log: of its header, and then of each frame in turn.
struct Checksum {
    sums: (u32, u32),
    word: fn([u8; 4]) -> u32,
}

impl Checksum {
    /// That of the header, if it has the right one.
    fn of_header(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = match number(header) {
            0x377f_0682 => u32::from_le_bytes,
            0x377f_0683 => u32::from_be_bytes,
            _ => return None,
        };
        let mut checksum = Self { sums: (0, 0), word };
        checksum.add(&header[..24]);
        checksum.is(&header[24..]).then_some(checksum)
    }

    fn add(&mut self, bytes: &[u8]) {
        let (mut first, mut second) = self.sums;
        for &[a, b, c, d, e, f, g, h] in bytes.as_chunks().0 {
            first = first.wrapping_add((self.word)([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add((self.word)([e, f, g, h])).wrapping_add(first);
        }
        self.sums = (first, second);
    }

    /// Whether it is the one in these bytes.
    fn is(&self, stored: &[u8]) -> bool {
        let (first, second) = self.sums;
        number(stored) == u64::from(first) && number(&stored[4..]) == u64::from(second)
    }
}

/// Reads as many bytes as there is room for. Returns whether there were as many.
fn fill(content: &mut BufReader<File>, room: &mut [u8]) -> io::Result<bool> {
    match content.read_exact(room) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The number in the first four bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

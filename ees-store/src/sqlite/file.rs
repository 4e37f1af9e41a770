//! The log's file and those beside it: that they are created for their owner alone, that none is created where
//! one is lost, and that they are still the ones that were opened.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// A write-ahead log of this size has a header, and no commit.
const WAL_HEADER_BYTES: u64 = 32;

/// Where the log really is, so that all links to it lead to the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    let resolved = match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => parent_of(path).and_then(|parent| {
            let name = path.file_name().ok_or(error)?;
            if path.is_symlink() {
                return Err(io::Error::other("it is a symbolic link that leads nowhere"));
            }
            Ok(parent.join(name))
        }),
        resolved => resolved,
    };
    resolved.map_err(|error| failed(path, error))
}

fn parent_of(path: &Path) -> io::Result<PathBuf> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).canonicalize()
}

/// The file of this name with an ending of its own.
pub(super) fn beside(log: &Path, ending: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// An error of the file system, with the file that it is about.
pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    let detail = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Unavailable(detail),
        _ => Error::Storage { detail, source: Box::new(error) },
    }
}

/// Fails when the log is missing although its commits are there. SQLite would delete them.
pub(super) fn check_not_lost(log: &Path) -> Result<()> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let wal = beside(log, "-wal");
    if size(log) == 0 && size(&wal) > WAL_HEADER_BYTES {
        return Err(Error::LogMissing { path: log.to_owned(), beside: wal });
    }
    Ok(())
}

/// Creates the log's file where there is none. SQLite gives the files beside it the same rights.
pub(super) fn create(log: &Path) -> Result<()> {
    match for_its_owner().write(true).create_new(true).open(log) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(log, error)),
        _ => Ok(()),
    }
}

/// Opens files that only their owner may read, when it creates them.
pub(super) fn for_its_owner() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Which file something is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(#[cfg(unix)] (u64, u64));

impl FileId {
    pub(super) fn of(found: &Metadata) -> Self {
        #[cfg(unix)]
        return Self((
            std::os::unix::fs::MetadataExt::dev(found),
            std::os::unix::fs::MetadataExt::ino(found),
        ));
        #[cfg(not(unix))]
        {
            let _ = found;
            Self()
        }
    }
}

/// A file that is open, under its name.
struct OpenFile {
    path: PathBuf,
    id: FileId,
}

impl OpenFile {
    fn of(path: PathBuf) -> Result<(Self, u64)> {
        let found = fs::metadata(&path).map_err(|error| failed(&path, error))?;
        Ok((Self { id: FileId::of(&found), path }, found.len()))
    }

    /// Its size. Fails when its name leads to another file, or to one that has less than this many bytes.
    fn check(&self, bytes: u64) -> Result<u64, String> {
        let what = match fs::metadata(&self.path) {
            Ok(found) if FileId::of(&found) != self.id => "was replaced".to_owned(),
            Ok(found) if found.len() < bytes => "was cut off".to_owned(),
            Ok(found) => return Ok(found.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => "was removed or renamed".to_owned(),
            Err(error) => format!("can't be looked at ({error})"),
        };
        Err(self.told(&what))
    }

    fn told(&self, what: &str) -> String {
        format!(
            "{} {what} while it was in use, so commits would be lost; stop this process, put the files of the log \
             back or restore a backup, and start again",
            self.path.display()
        )
    }
}

/// The content of the write-ahead log. SQLite writes each commit behind the last one, wherever the file ends: what
/// is behind a gap is lost when the file is read after a crash, and merging the gap would damage the log.
struct Wal {
    /// One of our own. SQLite has no locks on this file, which closing it would end.
    content: File,
    seen: WalSize,
}

/// How large the write-ahead log was, and in which generation: SQLite begins it anew from its start. Then it leaves
/// it as long as it was, or empties it first, when another program asks for that.
#[derive(Clone, Copy, Default)]
struct WalSize {
    bytes: u64,
    /// The number of its header and the salts, which are others in each generation. `None` while it is empty.
    generation: Option<[u8; 12]>,
}

impl Wal {
    /// Its size. Fails when it was cut off.
    fn look(&mut self) -> Result<WalSize, String> {
        // Once more: another program may have emptied it between two looks at one state.
        self.look_once().or_else(|_| self.look_once())
    }

    fn look_once(&mut self) -> Result<WalSize, String> {
        let unseen = |error: io::Error| format!("can't be looked at ({error})");
        let bytes = self.content.metadata().map_err(unseen)?.len();
        if bytes == 0 {
            return Ok(WalSize::default());
        }
        let generation = self.generation().ok_or("was cut off")?;
        if bytes < self.seen.bytes && self.seen.generation == Some(generation) {
            return Err("was cut off".to_owned());
        }
        Ok(WalSize { bytes, generation: Some(generation) })
    }

    /// Its generation, if it begins as a write-ahead log does, and not with a gap.
    fn generation(&mut self) -> Option<[u8; 12]> {
        let mut header = [0; 24];
        self.content.seek(SeekFrom::Start(0)).and_then(|_| self.content.read_exact(&mut header)).ok()?;
        let (magic, generation) = (header.first_chunk()?, header.last_chunk()?);
        // The last bit is the order of the bytes.
        (u32::from_be_bytes(*magic) | 1 == 0x377f_0683).then_some(*generation)
    }
}

/// The files of a log that is open. They are looked at by their names: to open and close one would end SQLite's
/// own locks on it.
pub(super) struct OpenFiles {
    log: OpenFile,
    /// How large the log was. It only grows.
    log_bytes: AtomicU64,
    beside: [OpenFile; 2],
    wal: Mutex<Wal>,
}

impl OpenFiles {
    /// The files of a log that a connection has open.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let (log, bytes) = OpenFile::of(path.to_owned())?;
        let (wal, _) = OpenFile::of(beside(path, "-wal"))?;
        let content = File::open(&wal.path).map_err(|error| failed(&wal.path, error))?;
        let (shared, _) = OpenFile::of(beside(path, "-shm"))?;
        let log_bytes = AtomicU64::new(bytes);
        Ok(Self {
            log,
            log_bytes,
            beside: [wal, shared],
            wal: Mutex::new(Wal { content, seen: WalSize::default() }),
        })
    }

    /// Fails when somebody has taken a file away: what is written now would be lost with it.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_log()?;
        self.look_at_wal(|_, _| Ok(()))?;
        self.check_beside()
    }

    /// Fails when the name of a file beside the log leads to another one by now.
    pub(super) fn check_beside(&self) -> Result<(), String> {
        self.beside.iter().try_for_each(|file| file.check(0).map(drop))
    }

    /// Fails when the write-ahead log was cut off. For the one that writes it: `merged` tells whether it is empty
    /// because its commits were moved into the log.
    pub(super) fn check_wal(&self, merged: impl FnOnce() -> bool) -> Result<(), String> {
        self.look_at_wal(|wal, size| {
            if size.bytes == 0 && wal.seen.bytes > 0 && !merged() {
                return Err("was cut off".to_owned());
            }
            wal.seen = size;
            Ok(())
        })
    }

    fn look_at_wal(&self, and: impl FnOnce(&mut Wal, WalSize) -> Result<(), String>) -> Result<(), String> {
        let mut wal = self.wal.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = wal.look().and_then(|size| and(&mut wal, size));
        let [named, _] = &self.beside;
        looked.map_err(|what| named.told(&what))
    }

    /// Fails when the log alone was taken away or cut off.
    pub(super) fn check_log(&self) -> Result<(), String> {
        // Read before the size: the log may grow in between, and others look at the same time.
        let bytes = self.log_bytes.load(Ordering::Acquire);
        let found = self.log.check(bytes)?;
        self.log_bytes.fetch_max(found, Ordering::AcqRel);
        Ok(())
    }
}

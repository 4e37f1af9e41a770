//! A server that all tests of a run share, in whichever process they run.
//!
//! A *keeper* runs it: a script in its own process, so it survives tests that are killed. It removes every
//! trace of the server about 8 seconds after the last process that used it has ended, in whatever way. File
//! locks of the system show who uses it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The beginning of a keeper's script: the function `wait_for_users_to_leave`, which watches the file
/// `$users`.
const USERS: &str = include_str!("users.sh");

/// The address of a server.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// Finds the server of this folder, or starts it. It lives while any process holds the file that is returned
/// with it.
///
/// `reserve` chooses its folder and port. `start` starts a [`keeper`] with the file of users, and must pass
/// on the file that it gets as the keeper's standard input.
///
/// # Panics
/// When files can't be written or locked.
pub fn join(
    parent: &Path,
    reserve: impl FnOnce() -> Place,
    start: impl FnOnce(&Place, &Path, File),
) -> (Place, File) {
    fs::create_dir_all(parent).expect("target can be created");
    let path_of_users = parent.join("users.lock");
    // Waits while a keeper removes the previous server.
    let users = open(&path_of_users);
    users.lock_shared().expect("files can be locked");

    let starting = open(&parent.join("start.lock"));
    starting.lock().expect("files can be locked");
    let record = parent.join("server");
    // The keeper holds this lock, so the lock tells whether it lives, whatever a crash has left.
    let keeper = open(&parent.join("keeper.lock"));
    while let Err(error) = keeper.try_lock() {
        assert!(matches!(error, TryLockError::WouldBlock), "files can't be locked: {error}");
        let place = read(&record).expect("who started the keeper wrote the record");
        if place.folder.exists() {
            return (place, users);
        }
        // It has removed the previous server and let go of the users, and ends in this moment.
        sleep(Duration::from_millis(10));
    }
    if let Some(stale) = read(&record) {
        let _ = fs::remove_dir_all(stale.folder);
    }
    let place = reserve();
    let text = format!("{}\n{}", place.port, place.folder.display());
    fs::write(&record, text).expect("target is writable");
    start(&place, &path_of_users, keeper);
    (place, users)
}

/// The command that runs a keeper with this script, which may call `wait_for_users_to_leave`. Signals to the
/// tests (Ctrl-C) don't reach it.
pub fn keeper(script: &str) -> Command {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", &format!("{USERS}\n{script}"), "keeper"]);
    keeper.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    keeper
}

/// A new folder with a unique name, even if a killed process with the same id has left one.
///
/// # Panics
/// When it can't be created.
pub fn new_folder(parent: &Path, name: &str) -> PathBuf {
    loop {
        let folder = parent.join(format!("{name}-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        match fs::create_dir(&folder) {
            Ok(()) => return folder,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("can't create {}: {error}", folder.display()),
        }
    }
}

/// A port that is free and stays free: it is below the range from which the system takes ports for outgoing
/// connections.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn open(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("can't open {}: {error}", path.display()))
}

fn read(record: &Path) -> Option<Place> {
    let text = fs::read_to_string(record).ok()?;
    let (port, folder) = text.split_once('\n')?;
    Some(Place { port: port.parse().ok()?, folder: PathBuf::from(folder) })
}

//! A server that all tests of a run share, whichever process they are in.
//!
//! It is run by a *keeper*: a script of its own process, which so lives on when tests are killed, and which removes every
//! trace of the server some 8 seconds after the last process that used it, however that ended. The system's locks on files
//! say who uses it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a keeper's script begins with: the function `wait_for_users_to_leave`, which looks at the file `$users`.
const USERS: &str = include_str!("users.sh");

/// Where a server is.
#[derive(Clone, Debug)]
pub struct Place {
    /// A folder of its own.
    pub folder: PathBuf,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

/// Finds the server of this folder, or starts it. It lives as long as anybody has the file that comes with it.
///
/// `reserve` makes a place for it; `start` starts a [`keeper`], which is given the file of those who use it, and whose
/// standard input has to be the file that `start` is given.
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
    // Waits while a keeper is removing the last one.
    let users = open(&path_of_users);
    users.lock_shared().expect("files can be locked");

    let starting = open(&parent.join("start.lock"));
    starting.lock().expect("files can be locked");
    let record = parent.join("server");
    // The keeper has it locked: so it is known whether it lives, whatever else a crash may have left.
    let keeper = open(&parent.join("keeper.lock"));
    let place = match keeper.try_lock() {
        Err(TryLockError::WouldBlock) => read(&record).expect("who started the keeper wrote the record"),
        Err(TryLockError::Error(error)) => panic!("files can't be locked: {error}"),
        Ok(()) => {
            if let Some(stale) = read(&record) {
                let _ = fs::remove_dir_all(stale.folder);
            }
            let place = reserve();
            let text = format!("{}\n{}", place.port, place.folder.display());
            fs::write(&record, text).expect("target is writable");
            start(&place, &path_of_users, keeper);
            place
        }
    };
    (place, users)
}

/// The keeper with this script, which finds the function `wait_for_users_to_leave`. Signals to the tests (Ctrl-C) are not
/// for it.
pub fn keeper(script: &str) -> Command {
    let mut keeper = Command::new("sh");
    keeper.args(["-c", &format!("{USERS}\n{script}"), "keeper"]);
    keeper.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    keeper
}

/// A folder that nobody else has, not even one that was left by a killed process of the same id.
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

/// A port which is free, and remains so: from below the range which the system takes for outgoing connections.
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

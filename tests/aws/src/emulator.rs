//! The emulator that all tests of a run share, whichever process they are in.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Account, target, venv};

/// Plenty, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where an emulator is.
pub(crate) struct Emulator {
    folder: PathBuf,
    port: u16,
}

/// The shared emulator, as long as this process lives.
pub(crate) fn shared() -> &'static Emulator {
    static JOINED: OnceLock<(Emulator, File)> = OnceLock::new();
    let (emulator, _lock) = JOINED.get_or_init(|| join(&target().join("aws")));
    emulator
}

/// Finds the emulator, or starts it. It lives as long as anybody has the file that comes with it.
fn join(folder: &Path) -> (Emulator, File) {
    fs::create_dir_all(folder).expect("target can be created");
    let path_of_users = folder.join("users.lock");
    // Waits while a keeper is removing the last one.
    let users = open(&path_of_users);
    users.lock_shared().expect("files can be locked");

    let start = open(&folder.join("start.lock"));
    start.lock().expect("files can be locked");
    let record = folder.join("emulator");
    // The keeper has it locked: so it is known whether it lives, whatever else a crash may have left.
    let keeper = open(&folder.join("keeper.lock"));
    let emulator = match keeper.try_lock() {
        Err(TryLockError::WouldBlock) => read(&record).expect("who started the keeper wrote the record"),
        Err(TryLockError::Error(error)) => panic!("files can't be locked: {error}"),
        Ok(()) => {
            if let Some(stale) = read(&record) {
                let _ = fs::remove_dir_all(stale.folder);
            }
            let emulator = Emulator::reserve(folder);
            fs::write(&record, format!("{}\n{}", emulator.port, emulator.folder.display()))
                .expect("target is writable");
            emulator.start(&path_of_users, keeper);
            emulator
        }
    };
    emulator.wait_until_ready();
    (emulator, users)
}

impl Emulator {
    /// A new folder and a free port; nothing runs yet.
    fn reserve(parent: &Path) -> Self {
        let folder = loop {
            let folder = parent.join(format!("ees-aws-{}-{:08x}", std::process::id(), fastrand::u32(..)));
            match fs::create_dir(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("can't create {}: {error}", folder.display()),
            }
        };
        Self { folder, port: free_port() }
    }

    /// Starts the emulator, and the keeper which removes both when nobody has the file of users locked.
    #[expect(clippy::zombie_processes, reason = "the keeper outlives this process, whose end it waits for")]
    fn start(&self, users: &Path, lock: File) {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(&self.folder).arg(self.port.to_string());
        keeper.arg(venv::folder()).arg(users).stdin(Stdio::from(lock));
        // Signals to the tests (Ctrl-C) are not for the keeper.
        keeper.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        keeper.spawn().expect("sh runs");
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "the local AWS does not start: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(5)))?;
            connection.write_all(
                b"GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )?;
            let mut status = [0; 12];
            connection.read_exact(&mut status)?;
            std::io::Result::Ok(status == *b"HTTP/1.1 200")
        };
        ask().unwrap_or(false)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_else(|error| error.to_string())
    }

    pub(crate) fn account(&self) -> Account {
        Account::new(format!("http://127.0.0.1:{}", self.port))
    }
}

/// A port which is free, and remains so: from below the range which the system takes for outgoing connections.
fn free_port() -> u16 {
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

fn read(record: &Path) -> Option<Emulator> {
    let text = fs::read_to_string(record).ok()?;
    let (port, folder) = text.split_once('\n')?;
    Some(Emulator { port: port.parse().ok()?, folder: PathBuf::from(folder) })
}

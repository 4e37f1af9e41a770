//! The emulators that all tests of a run share, in whichever process they run.
//!
//! An emulator uses one core. So there are two that allow everything, and accounts are dealt out over them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ees_test_shared::server::{self, Place};
use ees_test_shared::target;

use crate::{Account, venv};

/// Long enough on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// An emulator, known by its address.
pub(crate) struct Emulator(Place);

/// One of the shared emulators that allow everything, each in turn. It lives at least as long as this process.
pub(crate) fn shared() -> &'static Emulator {
    static JOINED: [(&str, OnceLock<(Emulator, File)>); 2] =
        [("aws", OnceLock::new()), ("aws-beside", OnceLock::new())];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let (folder, joined) = &JOINED[NEXT.fetch_add(1, Ordering::Relaxed) % JOINED.len()];
    &joined.get_or_init(|| Emulator::join(folder, false)).0
}

/// The emulator that verifies signatures and enforces policies.
pub(crate) fn guarded() -> &'static Emulator {
    static JOINED: OnceLock<(Emulator, File)> = OnceLock::new();
    &JOINED.get_or_init(|| Emulator::join("aws-guarded", true)).0
}

impl Emulator {
    fn join(folder: &str, guarded: bool) -> (Self, File) {
        let folder = target().join(folder);
        let reserve = || Place { folder: server::new_folder(&folder, "ees-aws"), port: server::free_port() };
        let (place, lock) = server::join(&folder, reserve, |place, users, lock| {
            start(place, guarded, users, lock);
        });
        let emulator = Self(place);
        emulator.wait_until_ready();
        (emulator, lock)
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
            let mut connection = TcpStream::connect(("127.0.0.1", self.0.port))?;
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
        fs::read_to_string(self.0.folder.join("log")).unwrap_or_else(|error| error.to_string())
    }

    pub(crate) fn account(&self) -> Account {
        Account::new(format!("http://127.0.0.1:{}", self.0.port))
    }
}

/// Starts the emulator, and the keeper that removes it when no process holds the lock on the file of users.
#[expect(clippy::zombie_processes, reason = "the keeper outlives this process, whose end it waits for")]
fn start(Place { folder, port }: &Place, guarded: bool, users: &Path, lock: File) {
    let mut keeper = server::keeper(include_str!("keeper.sh"));
    keeper.arg(folder).arg(port.to_string()).arg(venv::folder()).arg(guarded.to_string()).arg(users);
    keeper.stdin(Stdio::from(lock)).spawn().expect("sh runs");
}

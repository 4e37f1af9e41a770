//! The server that all tests of a run share, whichever process they are in.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use crate::cluster::Cluster;
use crate::target;

/// The shared server, as long as this process lives.
pub(crate) fn cluster() -> &'static Cluster {
    static JOINED: OnceLock<(Cluster, File)> = OnceLock::new();
    let (cluster, _lock) = JOINED.get_or_init(|| join(&target().join("postgres")));
    cluster
}

/// Finds the server, or starts it. It lives as long as anybody has the file that comes with it.
#[expect(clippy::zombie_processes, reason = "the keeper outlives this process, whose end it waits for")]
fn join(folder: &Path) -> (Cluster, File) {
    fs::create_dir_all(folder).expect("target can be created");
    let path_of_users = folder.join("users.lock");
    // Waits while a keeper is removing the last one.
    let users = open(&path_of_users);
    users.lock_shared().expect("files can be locked");

    let start = open(&folder.join("start.lock"));
    start.lock().expect("files can be locked");
    let record = folder.join("server");
    // The keeper has it locked: so it is known whether it lives, whatever else a crash may have left.
    let keeper = open(&folder.join("keeper.lock"));
    let cluster = match keeper.try_lock() {
        Err(TryLockError::WouldBlock) => read(&record).expect("who started the keeper wrote the record"),
        Err(TryLockError::Error(error)) => panic!("files can't be locked: {error}"),
        Ok(()) => {
            if let Some(stale) = read(&record) {
                // A server that still runs there sees that its files are gone, and ends within a minute.
                let _ = fs::remove_dir_all(stale.folder);
            }
            let cluster = Cluster::reserve();
            fs::write(&record, format!("{}\n{}", cluster.port, cluster.folder.display()))
                .expect("target is writable");
            cluster.start(Some(&path_of_users), Stdio::from(keeper));
            cluster
        }
    };
    cluster.wait_until_ready();
    (cluster, users)
}

fn open(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("can't open {}: {error}", path.display()))
}

fn read(record: &Path) -> Option<Cluster> {
    let text = fs::read_to_string(record).ok()?;
    let (port, folder) = text.split_once('\n')?;
    Some(Cluster { port: port.parse().ok()?, folder: PathBuf::from(folder) })
}

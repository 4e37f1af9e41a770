//! Finds PostgreSQL's programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::account::Account;
use crate::wheel;

/// The folder of `initdb`, `pg_ctl`, `postgres` and `psql`.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(asked) = std::env::var_os("EES_TEST_POSTGRES_BIN") {
            let asked = PathBuf::from(asked);
            assert!(is_complete(&asked), "EES_TEST_POSTGRES_BIN={} has no initdb", asked.display());
            return asked;
        }
        newest_of_debian().or_else(named_by_pg_config).unwrap_or_else(|| wheel::programs(Account::find()))
    })
}

/// `psql`, for a server that exists already. It may be installed without a server.
pub(crate) fn psql() -> PathBuf {
    let is_installed =
        Command::new("psql").arg("--version").output().is_ok_and(|output| output.status.success());
    if is_installed { PathBuf::from("psql") } else { folder().join("psql") }
}

/// Whether the folder has the programs of a server. Often only the client is installed.
fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let complete = versions.filter(|version| is_complete(&version.path().join("bin")));
    let newest = complete
        .max_by_key(|version| version.file_name().to_str().and_then(|name| name.parse::<u32>().ok()))?;
    Some(newest.path().join("bin"))
}

fn named_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    is_complete(&folder).then_some(folder)
}

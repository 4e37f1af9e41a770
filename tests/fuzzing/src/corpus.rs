//! The inputs that are kept in the repository.

use std::path::{Path, PathBuf};

/// The folder of the package that gives the targets to libFuzzer.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of a target's corpus, by name: hand-made ones, and what was found.
///
/// # Panics
/// If there is none.
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).into_iter().flatten();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let input = std::fs::read(entry.path());
            let input = input.unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
            (entry.file_name().to_string_lossy().into_owned(), input)
        })
        .collect();
    assert!(!files.is_empty(), "the target {target} has no corpus in {}", folder.display());
    // The order of a folder is the file system's, and mutations choose by it.
    files.sort();
    files
}

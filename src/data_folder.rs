//! The folder of the log and the read models: that it is its owner's, and that no log is begun where one is lost.

use std::fs::{self, DirBuilder};
use std::path::Path;

use crate::exit::{Exit, Failure, Outcome};

/// Creates a folder that only its owner may enter. Leaves one that exists as it is.
pub(crate) fn create(folder: &Path) -> Outcome {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    if folder.is_file() {
        let message = format!("{} is a file, and a folder is needed", folder.display());
        let hint = "the log is in FOLDER/log.db; `--store sqlite:FILE` opens a log of another name";
        return Err(Failure::usage(message).with_hint(hint));
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(|e| Failure::file(folder.display(), &e))
}

/// Fails when there are read models, and the log that they are made of is missing: with a new log they would be
/// worthless, and a log that is only somewhere else would go on without its last commits.
pub(crate) fn check_log_is_there(log: &Path, read_models: &Path) -> Outcome {
    let has_content = |path: &Path| fs::metadata(path).is_ok_and(|found| found.len() > 0);
    if has_content(log) {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(read_models) else { return Ok(()) };
    let mut files = entries.flatten().map(|entry| entry.path());
    match files.find(|path| path.extension().is_some_and(|it| it == "db") && has_content(path)) {
        None => Ok(()),
        Some(file) => Err(Failure::new(
            Exit::Other,
            "LOG_MISSING",
            format!(
                "{log} is missing or empty, but {file} was made of a log; put {log} back or restore a backup, and \
                 check that --data is the right folder; to begin a new log, move {read_models} away",
                log = log.display(),
                file = file.display(),
                read_models = read_models.display()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_is_begun_beside_read_models_of_another() {
        let data = tempfile::tempdir().unwrap();
        let (log, read_models) = (data.path().join("log.db"), data.path().join("read-models"));
        check_log_is_there(&log, &read_models).unwrap();
        create(&read_models).unwrap();
        check_log_is_there(&log, &read_models).unwrap();
        let file = read_models.join("statistics.db");
        fs::write(&file, "").unwrap();
        check_log_is_there(&log, &read_models).unwrap();
        fs::write(&file, "rows").unwrap();
        for empty in [false, true] {
            if empty {
                fs::write(&log, "").unwrap();
            }
            let told = format!("{:?}", check_log_is_there(&log, &read_models).unwrap_err());
            assert!(told.contains("log.db") && told.contains("statistics.db"), "{told}");
        }
        fs::write(&log, "changesets").unwrap();
        check_log_is_there(&log, &read_models).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_is_its_owners() {
        use std::os::unix::fs::PermissionsExt;

        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data/read-models");
        create(&folder).unwrap();
        create(&folder).unwrap();
        for folder in [&*folder, folder.parent().unwrap()] {
            assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}

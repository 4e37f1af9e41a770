//! `ees export`: write the whole log as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use ees_store::client::Client;
use ees_store::{ChangesetLog, Checkpoint, LogQuery, Timestamp, checkpoint_since, pages};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use serde::Serialize;

use crate::changeset::Record;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Output;
use crate::plural::counted;
use crate::progress::Progress;
use crate::remote::Remote;
use crate::values::moment;

/// Changesets read by one call.
const PAGE: usize = 1_000;

/// Write the whole log to a file of JSON lines
///
/// Writes changesets in their global order, up to the end of the log when the export starts. `ees import
/// --keep-order` turns the file into a log again, if it has the whole log.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The new file, compressed if its name ends in .gz; or - for standard output
    file: String,
    /// Leave out what comes before the place where the log reaches this time, such as 2026-11-26T10:00:00Z, or 7d
    /// for 7 days ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Serialize)]
struct Summary<'a> {
    exported: u64,
    file: &'a str,
}

pub(crate) async fn run(Arguments { file, since, remote }: Arguments, output: &mut Output) -> Outcome {
    let client = remote.patient_client().await?;
    let from = match since {
        Some(time) => {
            checkpoint_since(&client, time).await.map_err(|error| Failure::from(error).at("--since"))?
        }
        None => Checkpoint::START,
    };
    if file == "-" {
        let mut out = BufWriter::new(io::stdout());
        write_log(&client, from, &mut out, output, &|e| Failure::output(&e)).await?;
        return out.flush().map_err(|e| Failure::output(&e));
    }
    let failed = |e: io::Error| Failure::file(&file, &e);
    let partial = PartialFile::create(Path::new(&file))?;
    let mut plain = BufWriter::new(&partial.file);
    let exported = if file.ends_with(".gz") {
        let mut gzipped = GzEncoder::new(&mut plain, Compression::default());
        let exported = write_log(&client, from, &mut gzipped, output, &failed).await?;
        gzipped.finish().map_err(failed)?;
        exported
    } else {
        write_log(&client, from, &mut plain, output, &failed).await?
    };
    plain.flush().map_err(failed)?;
    drop(plain);
    partial.finish().map_err(failed)?;
    output.either(
        &Summary { exported, file: &file },
        format!("{} exported to {file}", counted(exported, "changeset")),
    )
}

/// Writes the log from a checkpoint up to its present end. Returns the number of changesets.
async fn write_log(
    client: &Client,
    from: Checkpoint,
    out: &mut impl Write,
    output: &Output,
    failed: &impl Fn(io::Error) -> Failure,
) -> Outcome<u64> {
    let end = client.head().await?.checkpoint;
    let progress = Progress::of_changesets(end.get(), output);
    let mut exported = 0;
    let mut changesets = Box::pin(pages::log_changesets(client, LogQuery::from(from, PAGE)));
    while let Some(changeset) = changesets.try_next().await? {
        if changeset.checkpoint >= end {
            break;
        }
        progress.at(changeset.checkpoint.next().get());
        let line = serde_json::to_string(&Record::from(changeset)).map_err(Failure::other)?;
        writeln!(out, "{line}").map_err(failed)?;
        exported += 1;
    }
    Ok(exported)
}

/// A file that gets its name when it is complete.
struct PartialFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl PartialFile {
    fn create(target: &Path) -> Outcome<Self> {
        if target.symlink_metadata().is_ok() {
            let message = format!("{} already exists; choose another name", target.display());
            return Err(Failure::new(Exit::BadInput, "FILE_EXISTS", message));
        }
        let mut path = target.as_os_str().to_owned();
        path.push(".unfinished");
        let path = PathBuf::from(path);
        let file = Self::anew(&path).map_err(|e| Failure::file(path.display(), &e))?;
        Ok(Self { file, path, target: target.to_owned() })
    }

    /// Only its owner may read it: it holds the whole log. Takes the place of what an earlier export left there,
    /// but follows no link.
    fn anew(path: &Path) -> io::Result<File> {
        if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            std::fs::remove_file(path)?;
        }
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.write(true).create_new(true).open(path)
    }

    fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, &self.target)
    }
}

impl Drop for PartialFile {
    /// Removes an incomplete file. A complete one has another name by now.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn an_export_is_its_owners_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, unfinished) =
            (folder.path().join("log.jsonl"), folder.path().join("log.jsonl.unfinished"));
        let other = folder.path().join("other");
        std::fs::write(&other, "kept").unwrap();
        symlink(&other, &unfinished).unwrap();
        assert!(PartialFile::create(&target).is_err());
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "kept");

        std::fs::remove_file(&unfinished).unwrap();
        // Of an export that was killed.
        std::fs::write(&unfinished, "half").unwrap();
        PartialFile::create(&target).unwrap().finish().unwrap();
        let written = std::fs::metadata(&target).unwrap();
        assert_eq!((written.permissions().mode() & 0o777, written.len()), (0o600, 0));

        let link = folder.path().join("link.jsonl");
        symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(PartialFile::create(&link).is_err());
    }
}

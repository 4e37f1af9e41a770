//! What a file to import may be: fuzz targets, as those of `ees-store`. They are tests only: libFuzzer reaches libraries.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::entry::Entry;
use super::lines::{LineLocation, Lines};
use crate::changeset::Record;
use crate::exit::Outcome;

/// A line is a commit, or it is told where it is none. A commit is that of the line that is written of it, with its key. A
/// line of an export is the same after it was written again.
fn import_line(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let location = LineLocation { file: "f".into(), number: 7 };
    match Entry::parse(text, &location) {
        Ok(entry) => {
            let (told, again) = (format!("{entry:?}"), written(&entry));
            let Ok(read) = Entry::parse(&again, &location) else { panic!("{again} can't be read again") };
            assert_eq!(format!("{read:?}"), told, "{again}");
            assert_eq!(read.key(1), entry.key(1));
            assert_ne!(read.key(1), entry.key(2));
        }
        Err(failure) => assert!(format!("{failure:?}").contains("f:7"), "{failure:?}"),
    }
    if let Ok(record) = serde_json::from_str::<Record>(text) {
        let Ok(again) = serde_json::to_string(&record) else { panic!("{record:?} can't be written") };
        assert_eq!(serde_json::from_str(&again).ok(), Some(record.clone()), "{again}");
        if let (Ok(events), Ok(_)) = (record.events(), record.trace())
            && let Ok(entry) = Entry::parse(text, &location)
        {
            assert_eq!(entry.commit.events, events);
        }
    }
}

fn written(entry: &Entry) -> String {
    let Entry { commit, expected, exported } = entry;
    let members = [
        ("expected_last_changeset", expected.map(|id| id.get().into())),
        ("changeset_id", exported.map(|id| id.get().into())),
        ("stream_type", commit.stream_type.as_ref().map(|of_type| of_type.as_str().into())),
        ("traceparent", commit.trace.as_ref().map(|trace| trace.traceparent().into())),
        ("tracestate", commit.trace.as_ref().and_then(|trace| trace.tracestate()).map(Into::into)),
    ];
    let members = members.into_iter().filter_map(|(name, value): (_, Option<Value>)| Some((name, value?)));
    let members = members.map(|(name, value)| format!(r#","{name}":{value}"#)).collect::<String>();
    let (stream_id, events, metadata) =
        (json!(commit.stream_id), commit.events.as_stored(), commit.metadata());
    format!(r#"{{"stream_id":{stream_id},"events":{events},"metadata":{metadata}{members}}}"#)
}

/// A file is its lines of text that are not blank, by their numbers, up to the first that is no text. Compressed, it is the
/// same.
fn import_file(data: &[u8]) {
    let (plain, failed) = lines_of(data.to_vec());
    if data.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let (expected, is_text) = expected(data);
    assert_eq!((&plain, failed.is_none()), (&expected, is_text), "{failed:?}");
    if let Some(failure) = failed {
        assert!(failure.contains("f:") && failure.contains("not UTF-8"), "{failure}");
    }
    assert_eq!(compressed(data).map(|compressed| lines_of(compressed).0).ok(), Some(plain));
}

type Numbered = Vec<(u64, String)>;

/// The lines, and why the others could not be read.
fn lines_of(data: Vec<u8>) -> (Numbered, Option<String>) {
    let mut lines = match Lines::read("f", None, io::Cursor::new(data)) {
        Ok(lines) => lines,
        Err(failure) => return (Vec::new(), Some(format!("{failure:?}"))),
    };
    let mut read = Vec::new();
    let ended: Outcome = loop {
        match lines.next() {
            Ok(Some(line)) => {
                read.push((line.location.number, line.text.trim_end_matches('\n').to_owned()));
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    (read, ended.err().map(|failure| format!("{failure:?}")))
}

fn expected(data: &[u8]) -> (Numbered, bool) {
    let data = data.strip_prefix("\u{feff}".as_bytes()).unwrap_or(data);
    let lines = (1..).zip(data.split(|byte| *byte == b'\n'));
    let texts: Vec<_> =
        lines.map(|(number, line)| (number, str::from_utf8(line).map(str::to_owned))).collect();
    let is_text = texts.iter().all(|(_, text)| text.is_ok());
    let texts = texts.into_iter().map_while(|(number, text)| Some((number, text.ok()?)));
    (texts.filter(|(_, text)| !text.trim().is_empty()).collect(), is_text)
}

fn compressed(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data)?;
    encoder.finish()
}

mod tests {
    use ees_test_fuzzing::{RUNS, targets};

    targets! {
        import_file: RUNS;
        import_line: RUNS;
    }
}

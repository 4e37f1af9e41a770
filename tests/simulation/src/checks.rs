//! What must be true: of the read models at any time, and of everything at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ees_projector::memory::Rows;
use ees_store::{ChangesetLog, Checkpoint, LogEntry, LogQuery};
use futures::FutureExt;
use serde_json::value::RawValue;

use crate::mailer::Attempt;
use crate::read_models::{Digested, Event};
use crate::world::{JOURNAL, LINES, NAMES, World};

/// No event was applied twice, and none before the one that precedes it in its stream.
pub(crate) fn at_any_time(world: &World) {
    for name in [JOURNAL, LINES] {
        // Nothing, while a transaction is open: then nothing changes.
        let Some(rows) = world.database.rows(name).now_or_never() else { return };
        for (key, row) in rows {
            match key.contains('#') {
                true => assert_eq!(row, "1", "{name}: how often {key} was applied"),
                false => assert_eq!(row, list(row.split_whitespace().count()), "{name}: the events of {key}"),
            }
        }
    }
}

/// The numbers from 1 to this one, as the journal writes them.
fn list(count: usize) -> String {
    (1..=count).map(|id| format!(" {id}")).collect()
}

/// Whether a worker says so of everything.
pub(crate) fn all_is_applied(world: &World) -> bool {
    let head = Checkpoint::new(log(world).len() as u64);
    let is_done = |worker: &crate::process::Process| {
        let statuses = worker.shown().statuses;
        NAMES.iter().all(|name| {
            let status = statuses.iter().find(|it| it.name == *name);
            status.is_some_and(|it| it.checkpoint == head && it.parked_streams == 0 && it.pause.is_none())
        })
    };
    world.clients_are_done() && world.workers.iter().any(is_done)
}

pub(crate) fn what_is_missing(world: &World) -> String {
    let statuses = world.workers.iter().flat_map(|worker| {
        let of_one = worker.shown().statuses.into_iter();
        of_one.map(|status| format!("{}: {status:?}\n", worker.name))
    });
    format!(
        "the log has {} changesets, and this does not come to its end:\n{}",
        log(world).len(),
        statuses.collect::<String>()
    )
}

pub(crate) fn at_the_end(world: &World) {
    let log = log(world);
    the_log_has_what_was_acknowledged(world, &log);
    let events = events(&log);
    let mut journal = Rows::new();
    for (stream, values) in &events {
        journal.insert(stream.clone(), list(values.len()));
        journal.extend((1..=values.len()).map(|id| (format!("{stream}#{id}"), "1".to_owned())));
    }
    for name in [JOURNAL, LINES] {
        assert_eq!(rows(world, name), journal, "the rows of {name}");
    }
    let digest =
        |values: &Vec<u64>| values.iter().fold(Digested::default(), |so_far, value| so_far.with(*value));
    let digests: Rows = events
        .iter()
        .map(|(stream, values)| (stream.clone(), serde_json::to_string(&digest(values)).expect("it is JSON")))
        .collect();
    assert_eq!(rows(world, "digest"), digests, "the rows of digest");
    each_mail_was_sent(world, journal.keys().filter(|key| key.contains('#')));
}

fn the_log_has_what_was_acknowledged(world: &World, log: &[LogEntry]) {
    let mut last = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        let changeset = &entry.changeset;
        assert_eq!(entry.checkpoint, Checkpoint::new(at as u64), "the log has a gap");
        let last = last.entry(changeset.stream_id.clone()).or_insert((0, 0));
        assert_eq!(changeset.changeset_id.get(), last.0 + 1, "{}: a gap", changeset.stream_id);
        assert_eq!(changeset.first_event_id.get(), last.1 + 1, "{}: a gap", changeset.stream_id);
        *last = (changeset.changeset_id.get(), changeset.last_event_id().get());
    }
    let told = world.told.lock().unwrap();
    let mut places = BTreeSet::new();
    for one in &told.all {
        let stored = &log[usize::try_from(one.checkpoint.get()).expect("a small log")].changeset;
        let stored = (&stored.stream_id, stored.changeset_id, stored.events.as_stored());
        assert_eq!(stored, (&one.stream, one.changeset, one.body.as_str()), "at {}", one.checkpoint);
        assert!(places.insert(one.checkpoint), "two commits were told the place {}", one.checkpoint);
    }
    // A client that was killed may never have heard of its last commit.
    let (unheard, kills) = (log.len() - told.all.len(), world.kills_of_clients());
    assert!(unheard <= kills, "{unheard} changesets that no client was told of, after {kills} kills");
}

fn each_mail_was_sent<'a>(world: &World, events: impl Iterator<Item = &'a String>) {
    let mails = world.mails.all();
    for event in events {
        let attempts = mails.get(event).map(Vec::as_slice).unwrap_or_default();
        assert!(attempts.iter().any(|it| it.is_sent), "the mail of {event} was never sent: {attempts:?}");
        for (at, later) in attempts.iter().enumerate() {
            for earlier in &attempts[..at] {
                assert!(
                    earlier.ended.is_some_and(|ended| ended <= later.began)
                        || was_frozen(world, earlier, later.began),
                    "the mail of {event} was sent by two at once: {attempts:?}"
                );
                assert!(
                    !earlier.is_sent || had_trouble(world, earlier, later.began),
                    "the mail of {event} was sent, nothing happened, and it was sent again: {attempts:?}"
                );
            }
        }
    }
}

fn was_frozen(world: &World, attempt: &Attempt, until: Duration) -> bool {
    world.freezes_of(&attempt.worker).iter().any(|at| *at <= until)
}

/// Whether the worker may have been unable to record that it was done.
fn had_trouble(world: &World, attempt: &Attempt, until: Duration) -> bool {
    world.troubles_of(&attempt.worker).iter().any(|at| (attempt.began..=until).contains(at))
}

fn events(log: &[LogEntry]) -> BTreeMap<String, Vec<u64>> {
    let mut events: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for LogEntry { changeset, .. } in log {
        let texts: Vec<&RawValue> =
            serde_json::from_str(changeset.events.as_stored()).expect("it was accepted");
        let values = texts.into_iter().map(|text| {
            let Event::Noted { value, .. } = serde_json::from_str(text.get()).expect("a client wrote it");
            value
        });
        events.entry(changeset.stream_id.to_string()).or_default().extend(values);
    }
    events
}

fn rows(world: &World, name: &str) -> Rows {
    world.database.rows(name).now_or_never().unwrap_or_else(|| panic!("{name}: a transaction is open"))
}

fn log(world: &World) -> Vec<LogEntry> {
    let all = LogQuery { max_bytes: usize::MAX, ..LogQuery::from(Checkpoint::START, usize::MAX) };
    let page = world.store.read(all).now_or_never().expect("a store in memory waits for nothing");
    page.expect("a store in memory does not fail").changesets
}

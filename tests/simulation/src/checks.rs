//! What must be true: of the read models at any time, and of everything at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ees_projector::memory::Rows;
use ees_store::{Changeset, ChangesetLog, Checkpoint, LogEntry, LogQuery, Timestamp};
use futures::FutureExt;

use crate::machine;
use crate::mailer::{Attempt, reminder_of};
use crate::process::Process;
use crate::read_models::{Digested, Event};
use crate::world::{JOURNAL, LINES, NAMES, WRONG_BY_MAX, World};

/// A worker that has no trouble records within so long that a mail was sent.
const RECORDED_WITHIN: Duration = Duration::from_secs(3);

/// No event was applied twice, and none before the one that precedes it in its stream.
pub(crate) fn at_any_time(world: &World) {
    for name in [JOURNAL, LINES] {
        for (key, row) in rows(world, name) {
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

/// Whether every worker says so of everything.
pub(crate) fn all_is_applied(world: &World) -> bool {
    let (log, mails) = (log(world), world.mails.all());
    let head = Checkpoint::new(log.len() as u64);
    let is_done = |worker: &Process| {
        let statuses = worker.shown().statuses;
        NAMES.iter().all(|name| {
            let status = statuses.iter().find(|it| it.name == *name);
            status.is_some_and(|it| it.checkpoint == head && it.parked_streams == 0 && it.pause.is_none())
        })
    };
    world.clients_are_done()
        && world.workers.iter().all(is_done)
        && mails_of(&log).keys().all(|mail| is_sent(&mails, mail))
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
    let mut digests = Rows::new();
    for (stream, values) in &events {
        journal.insert(stream.clone(), list(values.len()));
        journal.extend((1..=values.len()).map(|id| (format!("{stream}#{id}"), "1".to_owned())));
        let with = |so_far: Digested, value: &u64| so_far.with(*value, world.version());
        let digest = values.iter().fold(Digested::default(), with);
        digests.insert(stream.clone(), serde_json::to_string(&digest).expect("it is JSON"));
    }
    for name in [JOURNAL, LINES] {
        assert_eq!(rows(world, name), journal, "the rows of {name}");
    }
    assert_eq!(rows(world, "digest"), digests, "the rows of digest");
    each_mail_was_sent(world, &mails_of(&log));
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
    for one in &told.refused {
        let found = log.iter().map(|entry| &entry.changeset).find(|changeset| {
            changeset.stream_id == one.stream && changeset.changeset_id == one.expected.next()
        });
        let found = found.map(|changeset| changeset.events.as_stored());
        assert!(found.is_some_and(|found| found != one.body), "refused for nothing, or for itself: {one:?}");
    }
    // What was answered before another one was sent has the earlier place.
    for later in &told.all {
        let before = told.all.iter().filter(|one| one.answered < later.sent);
        let misplaced =
            before.max_by_key(|one| one.checkpoint).filter(|one| one.checkpoint > later.checkpoint);
        assert!(misplaced.is_none(), "{misplaced:?} was there before {later:?} was sent");
    }
    // A client that was killed may never have heard of its last commit.
    let (unheard, kills) = (log.len() - told.all.len(), world.kills_of_clients());
    assert!(unheard <= kills, "{unheard} changesets that no client was told of, after {kills} kills");
}

fn each_mail_was_sent(world: &World, expected: &BTreeMap<String, Timestamp>) {
    let mails = world.mails.all();
    for mail in mails.keys() {
        assert!(expected.contains_key(mail), "nothing called for the mail {mail}");
    }
    for (mail, due) in expected {
        let attempts = mails.get(mail).map(Vec::as_slice).unwrap_or_default();
        assert!(is_sent(&mails, mail), "the mail {mail} was never sent: {attempts:?}");
        for (at, later) in attempts.iter().enumerate() {
            let began = machine::wall_clock(later.began + 2 * WRONG_BY_MAX);
            assert!(began >= *due, "the mail {mail} was due at {due}, and sent early: {attempts:?}");
            for earlier in &attempts[..at] {
                assert!(
                    earlier.ended.is_some_and(|ended| ended <= later.began)
                        || was_frozen(world, earlier, later.began),
                    "the mail {mail} was sent by two at once: {attempts:?}"
                );
                assert!(
                    !earlier.is_sent || had_trouble(world, earlier),
                    "the mail {mail} was sent, nothing happened, and it was sent again: {attempts:?}"
                );
            }
        }
    }
}

fn is_sent(mails: &BTreeMap<String, Vec<Attempt>>, mail: &str) -> bool {
    mails.get(mail).is_some_and(|attempts| attempts.iter().any(|attempt| attempt.is_sent))
}

/// What mails the log calls for, and when each is due.
fn mails_of(log: &[LogEntry]) -> BTreeMap<String, Timestamp> {
    let mut mails = BTreeMap::new();
    for LogEntry { changeset, .. } in log {
        for (id, event) in (changeset.first_event_id.get()..).zip(events_of(changeset)) {
            let Event::Noted { remind_after_seconds, .. } = event;
            let mail = format!("{}#{id}", changeset.stream_id);
            if remind_after_seconds > 0 {
                let due = changeset.timestamp + Duration::from_secs(remind_after_seconds);
                mails.insert(reminder_of(&mail), due);
            }
            mails.insert(mail, changeset.timestamp);
        }
    }
    mails
}

fn was_frozen(world: &World, attempt: &Attempt, until: Duration) -> bool {
    world.freezes_of(&attempt.worker).iter().any(|at| (attempt.began..=until).contains(at))
}

/// Whether the worker may have been unable to record that it was done.
fn had_trouble(world: &World, attempt: &Attempt) -> bool {
    let until = attempt.ended.unwrap_or(attempt.began) + RECORDED_WITHIN;
    world.troubles_of(&attempt.worker).iter().any(|at| (attempt.began..=until).contains(at))
}

/// The values of the events of each stream.
fn events(log: &[LogEntry]) -> BTreeMap<String, Vec<u64>> {
    let mut events: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for LogEntry { changeset, .. } in log {
        let values = events_of(changeset).into_iter().map(|Event::Noted { value, .. }| value);
        events.entry(changeset.stream_id.to_string()).or_default().extend(values);
    }
    events
}

fn events_of(changeset: &Changeset) -> Vec<Event> {
    serde_json::from_str(changeset.events.as_stored()).expect("a client wrote it")
}

fn rows(world: &World, name: &str) -> Rows {
    world.database.rows(name).now_or_never().expect("a database in memory waits for nothing")
}

fn log(world: &World) -> Vec<LogEntry> {
    let all = LogQuery { max_bytes: usize::MAX, ..LogQuery::from(Checkpoint::START, usize::MAX) };
    let page = world.store.read(all).now_or_never().expect("a store in memory waits for nothing");
    page.expect("a store in memory does not fail").changesets
}

//! When a changeset was committed.

use super::Subject;
use super::steps::{append, append_many, commit_after, first, stream, whole_log, whole_stream};
use crate::{ChangesetLog, Checkpoint, Error, LogEntry, Timestamp, stream_place_since};

fn micros(time: i64) -> Timestamp {
    Timestamp::from_micros(time)
}

/// Stamped with the time of the commit, by a clock that may be a minute off.
pub async fn a_changeset_is_stamped_when_it_is_committed<S: Subject>() {
    const MINUTE_MICROS: i64 = 60_000_000;
    let subject = S::new().await;
    let before = Timestamp::now().as_micros() - MINUTE_MICROS;
    append(&subject.store(), "a", 0, "[1]").await;
    let after = Timestamp::now().as_micros() + MINUTE_MICROS;
    let stamped = whole_stream(&subject.store(), "a").await[0].timestamp.as_micros();
    assert!((before..=after).contains(&stamped), "{before} <= {stamped} <= {after}");
}

/// Faster than the clock ticks: still each later than the one before, in whole microseconds that come back.
pub async fn times_ascend_within_a_stream<S: Subject>() {
    let subject = S::new().await;
    append_many(&subject.store(), "a", 500).await;
    let read = whole_stream(&subject.store(), "a").await;
    assert!(read.is_sorted_by(|a, b| a.timestamp < b.timestamp), "{read:?}");
    let log = whole_log(&subject.log(), 500).await;
    assert!(log.iter().map(|it| &it.changeset).eq(&read));
}

/// A given time is kept to the microsecond, and pushed on where the stream's last is not before it. A store
/// that stamps by its own clock refuses such a commit instead of dropping the time.
pub async fn a_given_time_is_kept_or_refused<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let long_ago = micros(-1);
    if !S::CAPABILITIES.keeps_given_times {
        let refusal = store.commit(first("a", "[1]").with_recorded_at(long_ago)).await.unwrap_err();
        assert!(matches!(refusal, Error::InvalidRequest(_)), "{refusal:?}");
        whole_log(&subject.log(), 0).await;
        return;
    }
    let given = [
        -1_000_001,
        -5,
        -1_000_000,
        0,
        1_795_253_400_000_001,
        1_795_253_400_000_001,
        7,
        1_795_253_400_000_007,
    ];
    for (last, time) in (0..).zip(given) {
        store.commit(commit_after("a", last, "[1]").with_recorded_at(micros(time))).await.unwrap();
    }
    let kept: Vec<_> = whole_stream(&store, "a").await.iter().map(|it| it.timestamp.as_micros()).collect();
    let want = [
        -1_000_001,
        -5,
        -4,
        0,
        1_795_253_400_000_001,
        1_795_253_400_000_002,
        1_795_253_400_000_003,
        1_795_253_400_000_007,
    ];
    assert_eq!(kept, want);
    let log = whole_log(&subject.log(), want.len()).await;
    assert!(log.iter().map(|it| it.timestamp.as_micros()).eq(want));
}

/// After a time that lies ahead of the clock, the stream goes on a microsecond at a time; other streams do
/// not notice.
pub async fn a_clock_that_went_back_does_not_turn_a_stream_round<S: Subject>() {
    if !S::CAPABILITIES.keeps_given_times {
        return a_given_time_is_kept_or_refused::<S>().await;
    }
    let subject = S::new().await;
    let store = subject.store();
    let ahead = Timestamp::now().as_micros() + 3_600_000_000;
    store.commit(first("a", "[1]").with_recorded_at(micros(ahead))).await.unwrap();
    append(&store, "a", 1, "[2]").await;
    append(&store, "b", 0, "[1]").await;
    let of_a: Vec<_> = whole_stream(&store, "a").await.iter().map(|it| it.timestamp.as_micros()).collect();
    assert_eq!(of_a, [ahead, ahead + 1]);
    assert!(whole_stream(&store, "b").await[0].timestamp.as_micros() < ahead);
}

/// The first and the last moment that can be written, which users take for "never" and "for ever", are times
/// like others.
pub async fn the_first_and_the_last_moment_are_kept<S: Subject>() {
    if !S::CAPABILITIES.keeps_given_times {
        return a_given_time_is_kept_or_refused::<S>().await;
    }
    let subject = S::new().await;
    let store = subject.store();
    let moments =
        ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z", "9999-12-31T23:59:59.999999Z"];
    for (last, text) in (0..).zip(moments) {
        let given = text.parse().unwrap();
        store.commit(commit_after("a", last, "[1]").with_recorded_at(given)).await.unwrap();
        let beside = first(&format!("b{last}"), "[1]").with_idempotency_key("key".parse().unwrap());
        store.commit(beside.with_recorded_at(given)).await.unwrap();
    }
    let log = whole_log(&subject.log(), 2 * moments.len()).await;
    for it in log {
        let at =
            it.stream_id.as_str().strip_prefix('b').map_or(it.changeset_id.get() - 1, |n| n.parse().unwrap());
        assert_eq!(it.timestamp.to_string(), moments[usize::try_from(at).unwrap()], "{}", it.stream_id);
    }
}

/// The changeset before the place of a time is older than the time, and the one after it is not.
async fn is_where_the_log_reaches_it(log: &dyn ChangesetLog, entries: &[LogEntry], time: Timestamp) {
    let place = log.checkpoint_at(time).await.unwrap();
    let (before, after) = entries.split_at(entries.partition_point(|it| it.checkpoint < place));
    let said = || format!("{time}: {place} of {entries:?}");
    assert!(before.last().is_none_or(|it| it.timestamp < time), "{}", said());
    assert!(after.first().is_none_or(|it| it.timestamp >= time), "{}", said());
    if entries.is_sorted_by_key(|it| it.timestamp) {
        assert!(before.iter().all(|it| it.timestamp < time), "{}", said());
        assert!(after.iter().all(|it| it.timestamp >= time), "{}", said());
    }
}

/// Every time has its place in the log: that of a changeset, between two, before the first, after the last.
pub async fn a_time_has_its_place_in_the_log<S: Subject>() {
    let subject = S::new().await;
    let (store, log) = (subject.store(), subject.log());
    assert_eq!(log.checkpoint_at(Timestamp::now()).await.unwrap(), Checkpoint::START, "of an empty log");
    let streams = ["a", "b", "c"];
    for last in 0..7 {
        for stream in streams {
            append(&store, stream, last, "[1]").await;
        }
    }
    let entries = whole_log(&log, 21).await;
    for entry in &entries {
        for apart in [-1, 0, 1] {
            let time = micros(entry.timestamp.as_micros() + apart);
            is_where_the_log_reaches_it(&*log, &entries, time).await;
        }
    }
    assert_eq!(log.checkpoint_at(micros(i64::MIN)).await.unwrap(), Checkpoint::START);
    let end = log.checkpoint_at(micros(i64::MAX)).await.unwrap();
    assert!(entries.iter().all(|it| it.checkpoint < end), "{end}");
}

/// Every time has its place in a stream: that of the first changeset that is not older.
pub async fn a_time_has_its_place_in_a_stream<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    let missing = stream_place_since(&*store, stream("a"), Timestamp::now()).await;
    assert!(matches!(missing, Err(Error::StreamNotFound(_))), "{missing:?}");
    for last in 0..6 {
        append(&store, "a", last, "[1,2,3]").await;
        append(&store, "b", last, "[1]").await;
    }
    whole_log(&subject.log(), 12).await;
    let changesets = whole_stream(&store, "a").await;
    let ends = [micros(i64::MIN), Timestamp::now()];
    let between =
        changesets.iter().flat_map(|it| [-1, 0, 1].map(|apart| micros(it.timestamp.as_micros() + apart)));
    for time in between.chain(ends) {
        let place = stream_place_since(&*store, stream("a"), time).await.unwrap();
        let older = changesets.iter().filter(|it| it.timestamp < time).count() as u64;
        assert_eq!((place.changeset_id.get(), place.event_id.get()), (older + 1, 3 * older + 1), "{time}");
    }
    let later = Timestamp::now().later_by(std::time::Duration::from_secs(3_600));
    let refused = stream_place_since(&*store, stream("a"), later).await;
    assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{refused:?}");
}

/// Where times do not ascend, as after an import, the place is one where they pass the time.
pub async fn a_time_has_a_place_in_a_log_whose_times_do_not_ascend<S: Subject>() {
    if !S::CAPABILITIES.keeps_given_times {
        return a_given_time_is_kept_or_refused::<S>().await;
    }
    let subject = S::new().await;
    let times = [50, 10, 40, 20, 90, 80, 30, 70, 60];
    for (number, time) in times.into_iter().enumerate() {
        let commit = first(&format!("s{number}"), "[1]").with_recorded_at(micros(time));
        subject.store().commit(commit).await.unwrap();
    }
    let entries = whole_log(&subject.log(), times.len()).await;
    for time in (5..100).step_by(5) {
        is_where_the_log_reaches_it(&*subject.log(), &entries, micros(time)).await;
    }
}

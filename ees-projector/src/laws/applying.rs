//! Each event, once, in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ees_store::{Checkpoint, Filter, Timestamp};
use serde::Deserialize;

use super::Subject;
use super::support::{ChangingLog, Journal, fresh, note, settings, start};
use crate::database::FoldRows;
use crate::{
    BoxError, Drained, EventCounts, OnDemand, Projection, Projector, Recorded, RegisterError, Settings,
    State, Subscription,
};

fn small_batches() -> Settings {
    Settings { batch_changesets_max: 7, ..settings() }
}

async fn history(log: &ChangingLog, events: usize) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for n in 0..events {
        let stream = format!("s{}", n % 5);
        log.append(&stream, &note(&n.to_string())).await;
        counts.insert(format!("{stream}#{}", n / 5 + 1), 1);
    }
    counts
}

/// Batch by batch, each event is applied exactly once, in the order of the log.
pub async fn every_event_is_applied_once_in_order<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let expected = history(&log, 100).await;
    let bench = start(&log, &subject, &Journal::new(), small_batches());
    bench.caught_up().await;
    assert_eq!(bench.counts().await, expected);
    let numbers: Vec<String> = (0..20).map(|n| (n * 5).to_string()).collect();
    assert_eq!(bench.texts("s0").await.unwrap(), numbers.join(" "));
    let status = bench.status_when(|status| status.state == State::Following).await;
    assert_eq!(
        (status.checkpoint, status.lag_changesets, status.lag_seconds),
        (Checkpoint::new(100), 0, 0.0)
    );
}

/// A subscription from a time on gives what was committed at that time or later, also where the log is not quite in
/// the order of the times, and in a rebuild.
pub async fn a_subscription_from_a_time_leaves_out_what_is_older<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let since = Timestamp::from_micros(1_700_000_000_000_000);
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let mut expected = BTreeMap::new();
    // From three hours before to three hours after, each second one by a clock that is 50 minutes late.
    for n in 0..36 {
        let (stream, late) = (format!("s{n}"), if n % 2 == 0 { 0 } else { 50 });
        let time = since.earlier_by(minutes(180)).later_by(minutes(n * 10)).earlier_by(minutes(late));
        log.append_at(time, &stream, &note("x")).await;
        if time >= since {
            expected.insert(format!("{stream}#1"), 1);
        }
    }
    assert!(!expected.contains_key("s19#1") && expected.contains_key("s18#1"), "{expected:?}");
    let journal = Journal { since: Some(since), ..Journal::new() };
    let bench = start(&log, &subject, &journal, small_batches());
    bench.caught_up().await;
    assert_eq!(bench.counts().await, expected);
    log.append("later", &note("y")).await;
    expected.insert("later#1".to_owned(), 1);
    bench.caught_up().await;
    bench.handle().rebuild("journal", "").await.unwrap();
    bench.status_when(|status| status.state == State::Following && status.rebuild.is_none()).await;
    assert_eq!(bench.counts().await, expected);
}

/// Several workers on one projection: of two steps from one position only one commits.
pub async fn two_workers_on_one_projection_apply_each_event_once<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let mut expected = history(&log, 300).await;
    let workers = [(), (), ()].map(|()| start(&log, &subject, &Journal::new(), small_batches()));
    for n in 0..100 {
        log.append("late", &note(&n.to_string())).await;
        expected.insert(format!("late#{}", n + 1), 1);
    }
    for worker in &workers {
        worker.caught_up().await;
    }
    assert_eq!(workers[0].counts().await, expected);
    let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(workers[0].texts("late").await.unwrap(), numbers.join(" "));
}

/// The position is kept with the rows: a new worker repeats nothing and leaves nothing out.
pub async fn a_worker_that_starts_again_goes_on_where_it_was<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for n in 1..=3 {
        log.append("s", &note(&n.to_string())).await;
        let bench = start(&log, &subject, &Journal::new(), settings());
        bench.caught_up().await;
        bench.running.shut_down().await;
    }
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 2 3");
}

/// Events of other types are skipped, and the position moves past them.
pub async fn events_of_others_are_passed_over<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for foreign in [r#"{"type":"shipped"}"#, "7", r#"{"text":"no type"}"#] {
        log.append("s", foreign).await;
    }
    log.append("s", &note("mine")).await;
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "mine");
}

/// What was made of the events is counted: recognized, passed over as somebody else's, unreadable.
pub async fn events_are_counted_by_what_became_of_them<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let bench = start(&log, &subject, &Journal::new(), settings());
    for event in [note("a"), r#"{"type":"shipped"}"#.to_owned(), note("b"), "7".to_owned()] {
        log.append("s", &event).await;
    }
    bench.caught_up().await;
    let counted = |recognized, passed_over, unreadable| EventCounts { recognized, passed_over, unreadable };
    let status = bench.status_when(|status| status.events.passed_over == 2).await;
    assert_eq!(status.events, counted(2, 2, 0));
    log.append("s", r#"{"type":"noted","text":7}"#).await;
    let status = bench.paused().await;
    assert_eq!(status.events, counted(2, 2, 1));
    bench.handle().skip("journal", status.checkpoint, "broken").await.unwrap();
    log.append("s", &note("c")).await;
    bench.handle().resume("journal", "").await.ok();
    bench.caught_up().await;
    bench.status_when(|status| status.events == counted(3, 2, 1)).await;
}

/// An event enum that is not tagged with `type` is refused when the projection is registered, if no event that
/// passes the filter can fit.
pub async fn an_event_enum_that_is_not_tagged_is_refused_at_once<S: Subject>() {
    #[derive(Deserialize)]
    #[expect(dead_code, reason = "never read")]
    enum ByName {
        Noted { text: String },
    }
    struct Untagged(Subscription);
    impl<Tx: FoldRows> Projection<Tx> for Untagged {
        type Event = ByName;
        fn name(&self) -> &str {
            "journal"
        }
        fn subscription(&self) -> Subscription {
            self.0.clone()
        }
        async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
            Ok(())
        }
        async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
            Ok(())
        }
        async fn apply(&self, _: Recorded<'_, ByName>, _: &mut Tx) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let mut projector = Projector::new(ChangingLog::new());
    let notes = Untagged(Subscription::to(Filter::event_types(["noted"])));
    let refusal = projector.projection(notes, fresh::<S>().await.database(), settings()).unwrap_err();
    assert!(matches!(&refusal, RegisterError::Untagged { .. }), "{refusal}");
    assert!(refusal.to_string().contains("#[serde(tag = \"type\")]"), "{refusal}");
    // A log may have `{"Noted": {"text": ".."}}`.
    let all = Untagged(Subscription::default());
    projector.projection(all, fresh::<S>().await.database(), settings()).unwrap();
}

/// What a filter leaves out is not even read, and the position moves past it.
pub async fn a_filter_moves_past_what_it_leaves_out<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for _ in 0..30 {
        log.append("s", r#"{"type":"shipped"}"#).await;
    }
    // Would be unreadable, were it not left out.
    log.append("s", r#"{"type":"other","text":1}"#).await;
    let journal = Journal { filter: Filter::event_types(["noted"]), ..Journal::new() };
    let bench = start(&log, &subject, &journal, small_batches());
    bench.caught_up().await;
    log.append("s", &note("seen")).await;
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "seen");
    assert_eq!(bench.handle().status("journal").await.unwrap().checkpoint, Checkpoint::new(32));
}

/// A newer version drops the old tables and builds its own from the start of the log.
pub async fn a_newer_version_builds_anew<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let expected = history(&log, 50).await;
    let first = start(&log, &subject, &Journal::new(), settings());
    first.caught_up().await;
    first.running.shut_down().await;
    let second = start(&log, &subject, &Journal { version: 2, ..Journal::new() }, settings());
    second.caught_up().await;
    assert_eq!(second.counts().await, expected);
    assert_eq!(second.handle().status("journal").await.unwrap().version, 2);
}

/// An older version stops before tables of a newer one, until an operator rebuilds.
pub async fn an_older_version_does_not_touch_newer_tables<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    log.append("s", &note("1")).await;
    let newer = start(&log, &subject, &Journal { version: 2, ..Journal::new() }, settings());
    newer.caught_up().await;
    newer.running.shut_down().await;
    log.append("s", &note("2")).await;
    let older = start(&log, &subject, &Journal::new(), settings());
    let status = older.status_when(|status| status.state == State::Stopped).await;
    assert!(status.stalled.unwrap().contains("version 2"));
    assert_eq!(older.texts("s").await.unwrap(), "1");
    older.handle().rebuild("journal", "we really go back").await.unwrap();
    older.caught_up().await;
    assert_eq!(older.texts("s").await.unwrap(), "1 2");
}

/// On demand: the worker returns once it has caught up, and everything is applied.
pub async fn draining_stops_at_the_end_of_the_log<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    let expected = history(&log, 40).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let worker = OnDemand::projection(Journal::new(), subject.database(), log.clone(), small_batches());
    assert_eq!(worker.unwrap().drain_until(deadline).await, Drained::CaughtUp);
    let bench = start(&log, &subject, &Journal::new(), settings());
    assert_eq!(bench.counts().await, expected);
}

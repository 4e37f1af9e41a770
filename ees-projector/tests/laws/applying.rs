//! Each event, once, in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ees_projector::{Drained, OnDemand, Settings, State};
use ees_store::{Checkpoint, Filter};

use crate::support::{ChangingLog, Journal, TestDatabase, note, settings, start};

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

pub async fn every_event_is_applied_once_in_order<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    let expected = history(&log, 100).await;
    let bench = start(&log, &database, &Journal::new(), small_batches());
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

pub async fn two_workers_on_one_projection_apply_each_event_once<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    let mut expected = history(&log, 300).await;
    let workers = [(), (), ()].map(|()| start(&log, &database, &Journal::new(), small_batches()));
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

pub async fn a_worker_that_starts_again_goes_on_where_it_was<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    for n in 1..=3 {
        log.append("s", &note(&n.to_string())).await;
        let bench = start(&log, &database, &Journal::new(), settings());
        bench.caught_up().await;
        bench.running.shut_down().await;
    }
    let bench = start(&log, &database, &Journal::new(), settings());
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "1 2 3");
}

pub async fn events_of_others_are_passed_over<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    for foreign in [r#"{"type":"shipped"}"#, "7", r#"{"text":"no type"}"#] {
        log.append("s", foreign).await;
    }
    log.append("s", &note("mine")).await;
    let bench = start(&log, &database, &Journal::new(), settings());
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "mine");
}

pub async fn a_filter_moves_past_what_it_leaves_out<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    for _ in 0..30 {
        log.append("s", r#"{"type":"shipped"}"#).await;
    }
    // Would be unreadable, were it not left out.
    log.append("s", r#"{"type":"other","text":1}"#).await;
    let journal = Journal { filter: Filter::event_types(["noted"]), ..Journal::new() };
    let bench = start(&log, &database, &journal, small_batches());
    bench.caught_up().await;
    log.append("s", &note("seen")).await;
    bench.caught_up().await;
    assert_eq!(bench.texts("s").await.unwrap(), "seen");
    assert_eq!(bench.handle().status("journal").await.unwrap().checkpoint, Checkpoint::new(32));
}

pub async fn a_newer_version_builds_anew<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    let expected = history(&log, 50).await;
    let first = start(&log, &database, &Journal::new(), settings());
    first.caught_up().await;
    first.running.shut_down().await;
    let second = start(&log, &database, &Journal { version: 2, ..Journal::new() }, settings());
    second.caught_up().await;
    assert_eq!(second.counts().await, expected);
    assert_eq!(second.handle().status("journal").await.unwrap().version, 2);
}

pub async fn an_older_version_does_not_touch_newer_tables<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    log.append("s", &note("1")).await;
    let newer = start(&log, &database, &Journal { version: 2, ..Journal::new() }, settings());
    newer.caught_up().await;
    newer.running.shut_down().await;
    log.append("s", &note("2")).await;
    let older = start(&log, &database, &Journal::new(), settings());
    let status = older.status_when(|status| status.state == State::Stopped).await;
    assert!(status.stalled.unwrap().contains("version 2"));
    assert_eq!(older.texts("s").await.unwrap(), "1");
    older.handle().rebuild("journal", "we really go back").await.unwrap();
    older.caught_up().await;
    assert_eq!(older.texts("s").await.unwrap(), "1 2");
}

pub async fn draining_stops_at_the_end_of_the_log<D: TestDatabase>() {
    let (log, database) = (ChangingLog::new(), D::fresh().await);
    let expected = history(&log, 40).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let journal =
        OnDemand::projection(Journal::new(), database.clone(), log.clone(), small_batches()).unwrap();
    assert_eq!(journal.drain_until(deadline).await, Drained::CaughtUp);
    let bench = start(&log, &database, &Journal::new(), settings());
    assert_eq!(bench.counts().await, expected);
}

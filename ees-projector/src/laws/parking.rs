//! One bad stream waits, in order; the others go on.

use std::time::Duration;

use ees_store::{ChangesetId, Checkpoint};

use super::Subject;
use super::support::{Bench, ChangingLog, Journal, fresh, note, parking, start};
use crate::{Parking, State};

fn patient() -> Parking {
    Parking { retry_after_min: Duration::from_secs(3_600), ..Parking::default() }
}

/// `bad` fails from its second event on, and waits with three changesets; `good` has all four.
async fn one_parked<S: Subject>(settings: Parking) -> (Bench<S>, Journal) {
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("bad", &note("1")).await;
    let bench = start(&log, &subject, &journal, parking(settings));
    bench.caught_up().await;
    journal.faults.fail("bad");
    for n in 1..=4 {
        log.append("good", &note(&n.to_string())).await;
        if n > 1 {
            log.append("bad", &note(&n.to_string())).await;
        }
    }
    bench.caught_up().await;
    (bench, journal)
}

/// A stream that fails is parked with all its later changesets; the others go on.
pub async fn a_failing_stream_waits_and_the_others_go_on<S: Subject>() {
    let (bench, _) = one_parked::<S>(patient()).await;
    assert_eq!(bench.texts("good").await.unwrap(), "1 2 3 4");
    assert_eq!(bench.texts("bad").await.unwrap(), "1");
    let parked = bench.handle().parked("journal").await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].stream_id.as_str(), parked[0].first, parked[0].changesets),
        ("bad", ChangesetId::new(2), 3)
    );
    assert_eq!(parked[0].error, "no 2");
    assert_eq!(bench.handle().status("journal").await.unwrap().parked_streams, 1);
}

/// A parked stream is retried in order, each changeset once, and then leaves the list.
pub async fn a_parked_stream_gets_through_in_order<S: Subject>() {
    let (bench, journal) = one_parked::<S>(patient()).await;
    bench.handle().retry_parked("journal", None, "too early").await.unwrap();
    assert_eq!(bench.handle().parked("journal").await.unwrap()[0].attempts, 2);
    journal.faults.mend();
    bench.handle().retry_parked("journal", Some("bad".parse().unwrap()), "mended").await.unwrap();
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4");
    assert_eq!(bench.handle().parked("journal").await.unwrap(), []);
    bench.log.append("bad", &note("5")).await;
    bench.caught_up().await;
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4 5");
    assert!(bench.counts().await.values().all(|count| *count == 1));
    assert!(bench.handle().retry_parked("journal", None, "nothing left").await.is_err());
}

/// A parked stream is retried when its time has come.
pub async fn a_parked_stream_is_tried_again_by_itself<S: Subject>() {
    let soon = Duration::from_millis(5);
    let (bench, journal) =
        one_parked::<S>(Parking { retry_after_min: soon, retry_after_max: soon, ..patient() }).await;
    journal.faults.mend();
    bench.status_when(|status| status.parked_streams == 0).await;
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4");
}

/// What is parked outlives the worker.
pub async fn what_is_parked_survives_a_restart<S: Subject>() {
    let (bench, journal) = one_parked::<S>(patient()).await;
    let before = bench.handle().parked("journal").await.unwrap();
    bench.running.shut_down().await;
    journal.faults.mend();
    let bench = start(&bench.log, &bench.subject, &journal, parking(patient()));
    bench.log.append("bad", &note("5")).await;
    bench.caught_up().await;
    let after = bench.handle().parked("journal").await.unwrap();
    assert_eq!((after[0].first, after[0].changesets), (before[0].first, before[0].changesets + 1));
    assert_eq!(bench.texts("bad").await.unwrap(), "1");
    bench.handle().retry_parked("journal", None, "mended").await.unwrap();
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4 5");
}

/// A stream that got through on one worker is not parked for another.
pub async fn a_stream_that_got_through_is_parked_for_no_worker<S: Subject>() {
    let (bench, journal) = one_parked::<S>(patient()).await;
    // Knows the stream as parked, too.
    let other = start(&bench.log, &bench.subject, &journal, parking(patient()));
    other.caught_up().await;
    journal.faults.mend();
    bench.handle().retry_parked("journal", None, "mended").await.unwrap();
    bench.running.shut_down().await;
    other.log.append("bad", &note("5")).await;
    other.caught_up().await;
    assert_eq!(other.texts("bad").await.unwrap(), "1 2 3 4 5");
    assert_eq!(other.handle().parked("journal").await.unwrap(), []);
}

/// Workers that fail beside one that succeeds undo nothing: each changeset is applied once.
pub async fn a_worker_that_fails_where_another_succeeds_takes_nothing_back<S: Subject>() {
    for policy in [parking(patient()), super::support::settings()] {
        let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
        let (broken, mended) = (Journal::new(), Journal::new());
        broken.faults.fail("s");
        let workers = [&broken, &mended, &broken].map(|journal| start(&log, &subject, journal, policy));
        for worker in &workers {
            worker.status_when(|status| status.state != State::Starting).await;
        }
        for n in 1..=40 {
            log.append("s", &note(&n.to_string())).await;
        }
        // Whatever the broken ones did to it, pausing or parking, is undone through the mended one.
        let wanted: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
        let all_there = async {
            while workers[1].texts("s").await.is_none_or(|texts| texts != wanted.join(" ")) {
                let _ = workers[1].handle().retry_parked("journal", None, "again").await;
                let _ = workers[1].handle().resume("journal", "again").await;
            }
        };
        tokio::time::timeout(super::support::LONG, all_there).await.expect("it never got through");
        assert!(workers[1].counts().await.values().all(|count| *count == 1));
    }
}

/// Too many parked streams pause the projection before the next one.
pub async fn too_many_parked_streams_pause_the_projection<S: Subject>() {
    let (bench, journal) = one_parked::<S>(Parking { streams_max: 1, ..patient() }).await;
    journal.faults.fail("worse");
    let at = bench.log.append("worse", &note("1")).await;
    let status = bench.paused().await;
    assert_eq!(status.checkpoint, at);
    assert!(status.pause.unwrap().reason.contains("too much is parked"));
    journal.faults.mend();
    bench.handle().retry_parked("journal", None, "mended").await.unwrap();
    bench.handle().resume("journal", "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.texts("worse").await.unwrap(), "1");
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4");
}

/// Too many parked changesets pause the projection before the next one.
pub async fn too_many_parked_changesets_pause_the_projection<S: Subject>() {
    let (bench, _) = one_parked::<S>(Parking { changesets_max: 4, ..patient() }).await;
    bench.log.append("bad", &note("5")).await;
    bench.caught_up().await;
    let at = bench.log.append("bad", &note("6")).await;
    let status = bench.paused().await;
    assert!(status.pause.unwrap().reason.contains("too many changesets"));
    assert_eq!(status.checkpoint, at);
}

/// An operator can skip the first parked changeset of a stream, and no other.
pub async fn the_first_parked_changeset_can_be_skipped<S: Subject>() {
    let (bench, journal) = one_parked::<S>(patient()).await;
    // bad's changesets 2, 3 and 4 stand at 3, 5 and 7.
    assert!(bench.handle().skip("journal", Checkpoint::new(5), "not the first").await.is_err());
    bench.handle().skip("journal", Checkpoint::new(3), "lost cause").await.unwrap();
    journal.faults.mend();
    bench.handle().retry_parked("journal", None, "the rest is fine").await.unwrap();
    assert_eq!(bench.texts("bad").await.unwrap(), "1 3 4");
    let audit = bench.handle().audit("journal", 10).await.unwrap();
    let skip = audit.iter().find(|entry| entry.action == "skip").unwrap();
    assert_eq!((skip.reason.as_str(), skip.detail.as_str()), ("lost cause", "changeset 2 of stream \"bad\""));
}

/// A rebuild clears what is parked.
pub async fn a_rebuild_clears_what_is_parked<S: Subject>() {
    let (bench, journal) = one_parked::<S>(patient()).await;
    journal.faults.mend();
    bench.handle().rebuild("journal", "mended").await.unwrap();
    bench.caught_up().await;
    assert_eq!(bench.handle().parked("journal").await.unwrap(), []);
    assert_eq!(bench.texts("bad").await.unwrap(), "1 2 3 4");
}

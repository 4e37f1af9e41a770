//! A stream that can't go on holds up no other.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use ees_store::Checkpoint;
use ees_store::dynamodb::{Mend, Misplacement, mend};
use ees_test_aws::Faults;

use super::support::{
    Item, TABLE, account, append, candidate, client, committing, get, indexer, is_gapless_and_ordered, item,
    labels, n, read, read_all, store,
};

#[tokio::test]
async fn a_changeset_that_can_have_no_place_holds_up_its_own_stream_only() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..4 {
        append(&writer, "a", last).await;
        append(&writer, "b", last).await;
    }
    let faults = Faults::none();
    faults.fill("a", 3);
    let full = indexer(&account, &faults).await;
    let all = || (1..=4).flat_map(|id| [candidate("a", id), candidate("b", id)]).collect();
    assert_eq!(full.index(all()).await.unwrap(), 6);
    assert_eq!(labels(&read(&writer).await), ["0 a1", "1 b1", "2 a2", "3 b2", "4 b3", "5 b4"]);
    // It is remembered, and so are those that come after it.
    faults.calls().take();
    append(&writer, "a", 4).await;
    assert_eq!(full.index(vec![candidate("a", 5), candidate("a", 3)]).await.unwrap(), 0);
    assert_eq!(faults.calls().total(), 0);
    // When there is room again, another one goes on with it.
    assert_eq!(indexer(&account, &Faults::none()).await.index(vec![candidate("a", 5)]).await.unwrap(), 3);
    assert_eq!(labels(&read_all(&writer, 9).await)[6..], ["6 a3", "7 a4", "8 a5"]);
}

#[tokio::test]
async fn a_sweep_goes_past_a_changeset_that_can_have_no_place() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    let faults = Faults::none();
    for number in 0..5 {
        append(&writer, &format!("s{number}"), 0).await;
    }
    faults.fill("s2", 1);
    let swept =
        indexer(&account, &faults).await.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert_eq!((swept.indexed, swept.is_done), (4, true));
}

/// A process that commits goes on with everything else, right away.
#[tokio::test]
async fn a_store_indexes_what_is_committed_beside_a_stream_that_is_full() {
    let account = account().await;
    let faults = Faults::none();
    faults.fill("full", 1);
    let store = store(&account, &faults).await;
    append(&store, "full", 0).await;
    append(&store, "a", 0).await;
    append(&store, "full", 1).await;
    append(&store, "a", 1).await;
    assert_eq!(labels(&read_all(&store, 2).await), ["0 a1", "1 a2"]);
}

/// Half a place, or one that is none: the stream is set aside at once, and nothing is written over and over.
#[tokio::test]
async fn a_place_that_can_not_be_right_sets_its_stream_aside_and_holds_up_no_other() {
    for (name, attributes) in broken_places() {
        let account = account().await;
        let writer = committing(&account, &Faults::none()).await;
        for last in 0..4 {
            append(&writer, "a", last).await;
            append(&writer, "b", last).await;
        }
        place(&client(&account), "a", 2, attributes).await;
        let faults = Faults::none();
        let indexer = indexer(&account, &faults).await;
        faults.calls().take();
        let all = || (1..=4).flat_map(|id| [candidate("a", id), candidate("b", id)]).collect::<Vec<_>>();
        assert_eq!(indexer.index(all()).await.unwrap(), 5, "{name}");
        assert_eq!(labels(&read(&writer).await).len(), 5, "{name}");
        assert!(faults.calls().of("TransactWriteItems") <= 2, "{name}: {:?}", faults.calls().take());
        assert_eq!(indexer.set_aside(), 1, "{name}");
        faults.calls().take();
        // Whatever comes to the stream waits, for nothing.
        assert_eq!(indexer.index(vec![candidate("a", 2), candidate("a", 4)]).await.unwrap(), 0, "{name}");
        assert_eq!(faults.calls().total(), 0, "{name}");
    }
}

/// A commit to the stream asks for what comes before, and that is where the item is.
#[tokio::test]
async fn a_predecessor_with_a_place_that_can_not_be_right_is_noticed_without_a_write() {
    for (name, attributes) in broken_places() {
        let account = account().await;
        let faults = Faults::none();
        let writer = committing(&account, &Faults::none()).await;
        for last in 0..3 {
            append(&writer, "a", last).await;
        }
        append(&writer, "b", 0).await;
        place(&client(&account), "a", 2, attributes).await;
        let indexer = indexer(&account, &faults).await;
        faults.calls().take();
        assert_eq!(indexer.index(vec![candidate("a", 3), candidate("b", 1)]).await.unwrap(), 2, "{name}");
        let mut log = labels(&read(&writer).await);
        log.iter_mut().for_each(|label| *label = label.split(' ').nth(1).unwrap().to_owned());
        log.sort();
        assert_eq!(log, ["a1", "b1"], "{name}");
        assert_eq!(faults.calls().of("TransactWriteItems"), 1, "{name}");
    }
}

/// Nobody commits to the stream any more: the sweep finds the item itself.
#[tokio::test]
async fn a_sweep_finds_half_a_place() {
    for half in [item([("page", n(0))]), item([("page", n(0)), ("page_item", n(1))])] {
        let account = account().await;
        let writer = committing(&account, &Faults::none()).await;
        append(&writer, "a", 0).await;
        append(&writer, "b", 0).await;
        place(&client(&account), "a", 1, half).await;
        let indexer = indexer(&account, &Faults::none()).await;
        let swept = indexer.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
        assert_eq!((swept.indexed, swept.is_done, indexer.set_aside()), (1, true, 1));
    }
}

/// `page_item` alone is nothing that anybody relies on.
#[tokio::test]
async fn a_number_on_no_page_is_replaced_by_a_place() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    append(&writer, "a", 0).await;
    append(&writer, "a", 1).await;
    place(&client(&account), "a", 1, item([("page_item", n(7))])).await;
    let indexer = indexer(&account, &Faults::none()).await;
    assert_eq!(indexer.index(vec![candidate("a", 2)]).await.unwrap(), 2);
    assert_eq!(labels(&read(&writer).await), ["0 a1", "1 a2"]);
}

/// A plain read may see the changesets of a transaction before its counter: that sets nothing aside.
#[tokio::test]
async fn a_place_that_was_given_out_this_moment_sets_nothing_aside() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for last in 0..20 {
        append(&writer, "a", last).await;
    }
    let one = indexer(&account, &Faults::none()).await;
    let other = indexer(&account, &Faults::none()).await;
    for id in 1..=20 {
        let both = tokio::join!(one.index(vec![candidate("a", id)]), other.index(vec![candidate("a", id)]));
        assert_eq!(both.0.unwrap() + both.1.unwrap(), 1);
    }
    assert_eq!((one.set_aside(), other.set_aside()), (0, 0));
    is_gapless_and_ordered(&read(&writer).await);
}

/// The commands change what is wrong, and say what they would change.
#[tokio::test]
async fn what_is_set_aside_is_mended_and_its_stream_goes_on() {
    for (name, attributes) in broken_places() {
        let account = account().await;
        let store = store(&account, &Faults::none()).await;
        let writer = committing(&account, &Faults::none()).await;
        append(&store, "b", 0).await;
        read_all(&store, 1).await;
        for last in 0..3 {
            append(&writer, "a", last).await;
        }
        place(&client(&account), "a", 2, attributes).await;
        let config = account.sdk_config();
        let look = Mend { dry_run: true, ..Mend::default() };
        let found = mend(&config, TABLE, look.clone(), |_| ()).await.unwrap();
        let shown: Vec<_> =
            found.misplaced.iter().map(|it| (it.stream_id.as_str(), it.changeset_id.get())).collect();
        assert_eq!((shown, found.misplaced[0].moved_to, found.indexed), (vec![("a", 2)], None, 0), "{name}");
        let stream = Mend { stream: Some("a".parse().unwrap()), ..Mend::default() };
        let mended = mend(&config, TABLE, stream, |_| ()).await.unwrap();
        assert!(mended.misplaced[0].moved_to.is_some(), "{name}: {mended:?}");
        assert_eq!(mended.indexed, 2, "{name}: before and after it");
        assert!(mend(&config, TABLE, look, |_| ()).await.unwrap().misplaced.is_empty(), "{name}");
        let log = labels(&read_all(&store, 4).await);
        assert_eq!(log, ["0 b1", "1 a1", "2 a2", "3 a3"], "{name}");
    }
}

/// A process that has set a stream aside goes on with it when it was mended, without being told.
#[tokio::test]
async fn a_mended_stream_goes_on_in_a_process_that_had_set_it_aside() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    append(&writer, "a", 0).await;
    place(&client(&account), "a", 1, item([("page", n(0))])).await;
    let indexer = indexer(&account, &Faults::none()).await;
    append(&writer, "a", 1).await;
    assert_eq!(indexer.index(vec![candidate("a", 2)]).await.unwrap(), 0);
    let mended = mend(&account.sdk_config(), TABLE, Mend::default(), |_| ()).await.unwrap();
    assert_eq!((mended.misplaced.len(), mended.indexed), (1, 1));
    append(&writer, "a", 2).await;
    // It was left out once more, less than a minute later. A sweep looks at once.
    assert_eq!(indexer.index(vec![candidate("a", 3)]).await.unwrap(), 0);
    let swept = indexer.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    assert_eq!((swept.indexed, indexer.set_aside()), (1, 0));
    assert_eq!(labels(&read(&writer).await), ["0 a1", "1 a2", "2 a3"]);
}

/// An alarm waits for the number: it must not end because the process did that had met the stream.
#[tokio::test]
async fn what_is_set_aside_is_known_to_other_processes_until_it_is_mended() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    append(&writer, "a", 0).await;
    append(&writer, "b", 0).await;
    place(&client(&account), "a", 1, item([("page", n(0))])).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let soon = || Instant::now() + Duration::from_secs(60);
    let first = indexer(&account, &Faults::none()).await;
    first.sweep(soon()).await.unwrap();
    drop(first);

    let other = indexer(&account, &Faults::none()).await;
    assert_eq!(other.set_aside(), 0);
    assert_eq!(other.sweep_if_due(day, soon()).await.unwrap(), None);
    assert_eq!(other.set_aside(), 1);
    drop(other);

    mend(&account.sdk_config(), TABLE, Mend::default(), |_| ()).await.unwrap();
    let last = indexer(&account, &Faults::none()).await;
    assert_eq!(last.sweep_if_due(day, soon()).await.unwrap(), None);
    assert_eq!(last.set_aside(), 0);
    let list = get(&client(&account), TABLE, "!!!RESERVED:SET-ASIDE!!!", 0).await.unwrap();
    assert_eq!(list.get("streams"), None);
}

/// Two changesets with one place: readers keep the one that they get now, and the other follows.
#[tokio::test]
async fn of_two_changesets_with_one_place_one_is_moved_to_the_end() {
    let account = account().await;
    let writer = committing(&account, &Faults::none()).await;
    for stream in ["a", "b", "c"] {
        append(&writer, stream, 0).await;
    }
    let indexer = indexer(&account, &Faults::none()).await;
    for stream in ["a", "b", "c"] {
        indexer.index(vec![candidate(stream, 1)]).await.unwrap();
    }
    append(&writer, "d", 0).await;
    place(&client(&account), "d", 1, item([("page", n(0)), ("page_item", n(1)), ("stripe", n(0))])).await;
    let seen = labels(&read(&writer).await);
    assert_eq!(seen.len(), 3, "one of the two is lost for readers");
    let mended = mend(&account.sdk_config(), TABLE, Mend::default(), |_| ()).await.unwrap();
    let [moved] = mended.misplaced.as_slice() else { panic!("{mended:?}") };
    assert!(
        matches!(&moved.why, Misplacement::Doubled { checkpoint, .. } if checkpoint.get() == 1),
        "{moved:?}"
    );
    let log = labels(&read(&writer).await);
    assert_eq!(log[..3], seen, "what readers got they still get");
    assert_eq!(log[3], format!("3 {}1", moved.stream_id));
    assert_eq!(moved.moved_to.map(Checkpoint::get), Some(3));
    assert!(mend(&account.sdk_config(), TABLE, Mend::default(), |_| ()).await.unwrap().misplaced.is_empty());
}

/// What a hand or another program may leave in an item.
fn broken_places() -> [(&'static str, Item); 7] {
    [
        ("half a place", item([("page", n(0))])),
        ("beyond its page", item([("page", n(0)), ("page_item", n(1_000))])),
        ("below zero", item([("page", n(-1)), ("page_item", n(0))])),
        ("no stripe", item([("page", n(0)), ("page_item", n(0))])),
        ("in another stripe", item([("page", n(0)), ("page_item", n(0)), ("stripe", n(1))])),
        ("beyond the counter", item([("page", n(3)), ("page_item", n(17)), ("stripe", n(24))])),
        ("far beyond any counter", item([("page", n(i64::MAX)), ("page_item", n(0))])),
    ]
}

/// Writes these attributes into a changeset.
async fn place(client: &Client, stream: &str, changeset: u64, attributes: Item) {
    let mut changeset = get(client, TABLE, stream, changeset).await.unwrap();
    changeset.extend(attributes);
    client.put_item().table_name(TABLE).set_item(Some(changeset)).send().await.unwrap();
}

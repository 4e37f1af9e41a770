//! A table that another system has made and written is taken over in place.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use ees_store::dynamodb::{
    Adopted, Misplacement, OnMisplaced, Store, TableFormat, adopt, check, check_bodies, find_holes,
};
use ees_store::{
    Changeset, ChangesetLog, Checkpoint, Error, EventStore, LogEntry, LogQuery, Quarantined, StreamQuery,
};
use ees_test_aws::{Account, Faults, LocalAws};

use super::formats;
use super::support::{Item, append, commit, get, item, labels, n, read, s};

const TABLE: &str = "changesets";
const COUNTER: &str = "!!!RESERVED:GLOBAL-COUNTER!!!";

/// A changeset of two events, with its place if it has one.
fn changeset(stream: &str, id: i64, place: Option<i64>) -> Item {
    let mut changeset = item([
        ("stream_id", s(stream)),
        ("changeset_id", n(id)),
        ("events", s(r#"[{"type": "a"}, 7]"#)),
        ("metadata", s("{}")),
        ("timestamp", s("2021-04-05T06:07:08.000009")),
        ("first_event_id", n(2 * id - 1)),
        ("last_event_id", n(2 * id)),
    ]);
    if let Some(place) = place {
        changeset.extend(item([("page", n(place / 1_000)), ("page_item", n(place % 1_000))]));
    }
    changeset
}

async fn put(client: &Client, item: Item) {
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
}

/// Holes at 1, 4 and 5; a2, b3 and c1 never got a place.
async fn existing() -> (Account, Client) {
    let account = LocalAws::account().await;
    let client = Client::new(&account.sdk_config());
    formats::create(&account, TableFormat::V1, TABLE).await;
    for (stream, id, place) in [
        ("a", 1, Some(0)),
        ("b", 1, Some(2)),
        ("a", 2, None),
        ("b", 2, Some(3)),
        ("a", 3, Some(6)),
        ("b", 3, None),
        ("c", 1, None),
    ] {
        put(&client, changeset(stream, id, place)).await;
    }
    let counter = item([
        ("stream_id", s(COUNTER)),
        ("changeset_id", n(0)),
        ("page", n(0)),
        ("page_item", n(6)),
        ("prev_stream_id", s("a")),
        ("prev_stream_changeset_id", n(3)),
    ]);
    put(&client, counter).await;
    (account, client)
}

async fn open(account: &Account, faults: &Faults) -> Store {
    Store::open(&account.sdk_config_with(faults), TABLE).await.unwrap()
}

#[tokio::test]
async fn a_table_of_another_system_is_not_opened_before_it_is_adopted() {
    let (account, _) = existing().await;
    let refused = Store::open(&account.sdk_config(), TABLE).await.map(drop).unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidRequest(why) if why.contains("ees dynamodb adopt")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_adopted_table_keeps_its_order_and_its_holes_and_goes_on() {
    let (account, client) = existing().await;
    let mut told = Vec::new();
    let adopted =
        adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |changesets| told.push(changesets))
            .await
            .unwrap();
    assert!(!adopted.is_known);
    assert_eq!((adopted.changesets, adopted.head.get(), adopted.holes, adopted.indexed), (7, 7, 3, 3));
    assert_eq!(told.last(), Some(&7));
    assert!(adopted.calls >= 2 && adopted.read_units > 0.0);

    let store = open(&account, &Faults::none()).await;
    let log = labels(&read(&store).await);
    assert_eq!(log[..4], ["0 a1", "2 b1", "3 b2", "6 a3"]);
    let mut late: Vec<_> = log[4..].iter().map(|label| label.split(' ').collect::<Vec<_>>()).collect();
    assert_eq!(late.iter().map(|it| it[0]).collect::<Vec<_>>(), ["7", "8", "9"]);
    late.sort_by_key(|it| it[1]);
    assert_eq!(late.iter().map(|it| it[1]).collect::<Vec<_>>(), ["a2", "b3", "c1"]);

    let counter = get(&client, TABLE, COUNTER, 0).await.unwrap();
    assert_eq!((&counter["page"], &counter["page_item"]), (&n(0), &n(9)));
    assert_eq!(counter["prev_changeset_id"], counter["prev_stream_changeset_id"]);

    // And on, with the times ascending and the old texts token for token.
    append(&store, "a", 3).await;
    store.commit(commit("d", 0, "[1]").with_stream_type("t".parse().unwrap())).await.unwrap();
    let page =
        store.read(LogQuery::from(Checkpoint::new(10), 1).with_wait(super::support::WAIT)).await.unwrap();
    assert_eq!(page.next, Checkpoint::new(11));
    let a = store.read_stream(StreamQuery::all("a".parse().unwrap())).await.unwrap().changesets;
    assert_eq!(a[0].events.iter().unwrap().collect::<Vec<_>>(), [r#"{"type":"a"}"#, "7"]);
    assert_eq!((a[0].timestamp.to_string().as_str(), a.len()), ("2021-04-05T06:07:08.000009Z", 4));
    assert!(a[3].timestamp > a[2].timestamp);
    let by_event = StreamQuery::events("a".parse().unwrap(), 4.into(), Some(5.into()));
    assert_eq!(store.read_stream(by_event).await.unwrap().changesets.len(), 2);
}

/// The other system stores what its parser makes of a body: `1e999` becomes `Infinity`.
#[tokio::test]
async fn what_can_not_be_read_is_reported_and_readable_as_quarantined() {
    let (account, client) = existing().await;
    for (stream, id, place) in [("b", 1, Some(2)), ("c", 1, None)] {
        let mut broken = changeset(stream, id, place);
        broken.insert("events".to_owned(), s("[{\"n\": Infinity}, NaN]"));
        put(&client, broken).await;
    }
    let mut found = Vec::new();
    let told = |changeset: &Changeset, why: &Quarantined| {
        found.push((changeset.stream_id.to_string(), changeset.changeset_id.get(), why.reason().to_owned()));
    };
    assert_eq!(check_bodies(&account.sdk_config(), TABLE, told).await.unwrap(), 7);
    found.sort();
    assert!(found.iter().all(|(.., why)| why.contains("`events` are not JSON")), "{found:?}");
    assert_eq!(found.iter().map(|(stream, ..)| stream.as_str()).collect::<Vec<_>>(), ["b", "c"]);

    let adopted = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    assert_eq!((adopted.changesets, adopted.quarantined, adopted.indexed), (7, 2, 3));
    let store = open(&account, &Faults::none()).await;
    let log = read(&store).await;
    assert_eq!(labels(&log)[..4], ["0 a1", "2 b1", "3 b2", "6 a3"]);
    let mut quarantined: Vec<_> =
        log.iter().filter(|it| it.events.quarantined().is_some()).map(|it| it.stream_id.as_str()).collect();
    quarantined.sort_unstable();
    assert_eq!(quarantined, ["b", "c"]);
    // Its stream goes on: the numbers are there.
    store.commit(commit("c", 1, "[1]")).await.unwrap();
}

/// What the other system's indexer does with an item that is inserted.
async fn index_as_the_other_system(client: &Client, stream: &str, place: i64) {
    for (stream, update) in
        [(COUNTER, "SET page = :p, page_item = :i"), (stream, "SET page = :p, page_item = :i")]
    {
        let update = client.update_item().table_name(TABLE).update_expression(update);
        let update = update.key("stream_id", s(stream)).key("changeset_id", n(0));
        let update = update.expression_attribute_values(":p", n(place / 1_000));
        update.expression_attribute_values(":i", n(place % 1_000)).send().await.unwrap();
    }
}

/// The items of ours that a scan finds, but for the counter.
async fn reserved(client: &Client, prefix: &str) -> Vec<String> {
    let found = client.scan().table_name(TABLE).consistent_read(true).send().await.unwrap().items.unwrap();
    let names = found.iter().map(|item| item["stream_id"].as_s().unwrap().clone());
    names.filter(|name| name.starts_with(prefix) && name != COUNTER).collect()
}

#[tokio::test]
async fn a_place_that_another_indexer_gave_to_an_item_of_ours_holds_nobody_up() {
    let (account, client) = existing().await;
    adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    let store = open(&account, &Faults::none()).await;
    let before = read(&store).await.len();
    store.commit(commit("k", 0, "[1]").with_idempotency_key("key".parse().unwrap())).await.unwrap();
    assert_eq!(read_up_to(&store, before + 1).await.last().unwrap().stream_id.as_str(), "k");
    let end = i64::try_from(store.head().await.unwrap().checkpoint.get()).unwrap();
    let keys = reserved(&client, "!!!RESERVED:KEY!!!").await;
    index_as_the_other_system(&client, &keys[0], end).await;
    let store = open(&account, &Faults::none()).await;
    store.commit(commit("l", 0, "[1]")).await.unwrap();
    let log = read_up_to(&store, before + 2).await;
    assert_eq!(log.last().unwrap().checkpoint.get(), u64::try_from(end).unwrap() + 1);

    // It expires, and with it the reason why nothing is there.
    let delete =
        client.delete_item().table_name(TABLE).key("stream_id", s(&keys[0])).key("changeset_id", n(0));
    delete.send().await.unwrap();
    let stuck = store.read(LogQuery::from(Checkpoint::START, 100)).await.unwrap();
    assert_eq!(stuck.next.get(), u64::try_from(end).unwrap());
    let found = find_holes(&account.sdk_config(), TABLE, |_| ()).await.unwrap();
    assert_eq!((found.holes, found.head.get()), (4, u64::try_from(end).unwrap() + 2));
    let store = open(&account, &Faults::none()).await;
    assert_eq!(labels(&read_up_to(&store, before + 2).await), labels(&log));
}

/// A server has moved the counter, and is about to write the place.
#[tokio::test]
async fn a_place_that_is_being_given_out_is_no_hole() {
    let (account, _) = existing().await;
    adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    let slow = Faults::none();
    let store = open(&account, &slow).await;
    let before = (read(&store).await.len(), find_holes(&account.sdk_config(), TABLE, |_| ()).await.unwrap());
    slow.halt_after(&[0]);
    append(&store, "z", 0).await;
    slow.halted().await;
    let finder = Faults::none();
    let config = account.sdk_config_with(&finder);
    let mut finding = tokio::spawn(async move { find_holes(&config, TABLE, |_| ()).await });
    // The log's id, and the counter.
    while finder.calls().of("GetItem") < 2 && !finding.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let early = tokio::time::timeout(Duration::from_secs(2), &mut finding).await;
    slow.go_on();
    let found = match early {
        Ok(found) => found,
        Err(_) => finding.await,
    };
    assert_eq!(found.unwrap().unwrap().holes, before.1.holes);
    assert_eq!(read_up_to(&store, before.0 + 1).await.last().unwrap().stream_id.as_str(), "z");
}

/// The log once it has this many changesets.
async fn read_up_to(store: &Store, count: usize) -> Vec<LogEntry> {
    let all = async {
        loop {
            let log = read(store).await;
            if log.len() >= count {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::support::WAIT, all).await.unwrap()
}

#[tokio::test]
async fn an_indexer_that_still_runs_is_noticed_before_anything_is_adopted() {
    let (account, client) = existing().await;
    let stream =
        StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let stream = stream.build().unwrap();
    client.update_table().table_name(TABLE).stream_specification(stream).send().await.unwrap();
    let running = tokio::spawn({
        let client = client.clone();
        async move {
            loop {
                for name in reserved(&client, "!!!RESERVED:").await {
                    index_as_the_other_system(&client, &name, 7).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let refused = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap_err();
    running.abort();
    assert!(
        matches!(&refused, Error::InvalidRequest(why) if why.contains("still runs") && why.contains("checkpoint 7")),
        "{refused:?}"
    );
    assert_eq!(reserved(&client, "!!!RESERVED:LOG").await, Vec::<String>::new(), "it has no name yet");
}

/// Pages are as large as asked for, holes or not, and a filtered reader gets over them.
#[tokio::test]
async fn holes_take_no_room_in_a_page() {
    let (account, _) = existing().await;
    adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    let store = open(&account, &Faults::none()).await;
    for (from, limit, next, places) in [
        (0, 1, 2, vec![0]),
        (0, 3, 6, vec![0, 2, 3]),
        (1, 2, 6, vec![2, 3]),
        (4, 1, 7, vec![6]),
        (5, 2, 8, vec![6, 7]),
    ] {
        let page = store.read(LogQuery::from(Checkpoint::new(from), limit)).await.unwrap();
        let found: Vec<_> = page.changesets.iter().map(|it| it.checkpoint.get()).collect();
        // Past the holes behind the last one.
        assert_eq!((found, page.next.get()), (places, next), "{limit} from {from}");
    }
}

/// Adopting is done once; again, it only looks for what has no place.
#[tokio::test]
async fn adopting_again_changes_nothing() {
    let (account, _) = existing().await;
    adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    let store = open(&account, &Faults::none()).await;
    let (log, head) = (labels(&read(&store).await), store.head().await.unwrap());
    let again = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    assert!(again.is_known);
    assert_eq!((again.holes, again.indexed), (3, 0));
    assert_eq!((labels(&read(&store).await), store.head().await.unwrap()), (log, head));
}

/// Interrupted at any call, it goes on; the outcome is the same.
#[tokio::test]
async fn adopting_may_be_interrupted_anywhere() {
    for seed in 1..=4 {
        let (account, _) = existing().await;
        for calls in [3, 5, 7, 9, 11, 13] {
            let faults = Faults::seeded(seed).lost(0.3).delayed(0.5, Duration::from_millis(3));
            let config = account.sdk_config_with(&faults);
            let adopting =
                tokio::spawn(async move { adopt(&config, TABLE, OnMisplaced::Refuse, |_| ()).await });
            while faults.calls().total() < calls && !adopting.is_finished() {
                tokio::task::yield_now().await;
            }
            // As a process that is killed: what was sent is sent, and nothing else comes.
            adopting.abort();
            let _ = adopting.await;
            faults.cut_off().await;
        }
        adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
        let store = open(&account, &Faults::none()).await;
        let log = labels(&read(&store).await);
        assert_eq!(
            (log.len(), &log[..4]),
            (7, &["0 a1", "2 b1", "3 b2", "6 a3"].map(str::to_owned)[..]),
            "{seed}"
        );
    }
}

/// Several processes that adopt at once get one result, whichever is first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn adopting_twice_at_once_is_adopting_once() {
    for seed in 1..=5 {
        let (account, _) = existing().await;
        let adopting = (0..3).map(|number| {
            let faults = Faults::everything(seed * 3 + number).item_by_item(0.2);
            let config = account.sdk_config_with(&faults);
            tokio::spawn(async move { adopt(&config, TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap() })
        });
        for done in futures::future::join_all(adopting).await {
            assert_eq!(done.unwrap().holes, 3);
        }
        let log = labels(&read(&open(&account, &Faults::none()).await).await);
        assert_eq!(
            (log.len(), &log[..4]),
            (7, &["0 a1", "2 b1", "3 b2", "6 a3"].map(str::to_owned)[..]),
            "{seed}"
        );
    }
}

/// A table in which nothing was ever indexed, or nothing at all was written, can be adopted as well.
#[tokio::test]
async fn a_table_without_a_counter_gets_one() {
    for is_empty in [true, false] {
        let account = LocalAws::account().await;
        let client = Client::new(&account.sdk_config());
        formats::create(&account, TableFormat::V1, TABLE).await;
        if !is_empty {
            put(&client, changeset("a", 1, None)).await;
        }
        let adopted = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
        assert_eq!((adopted.holes, adopted.indexed), (0, u64::from(!is_empty)));
        let store = open(&account, &Faults::none()).await;
        append(&store, "b", 0).await;
        super::support::read_all(&store, 1 + usize::from(!is_empty)).await;
    }
}

/// Local indexes that hold everything leave a third of the room, and the store says so before anything is
/// sent.
#[tokio::test]
async fn the_limit_is_that_of_the_table() {
    let (account, _) = existing().await;
    adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    let store = open(&account, &Faults::none()).await;
    let limit = store.limit_bytes();
    assert!((130_000..137_000).contains(&limit), "{limit}");
    let of_size = |bytes: usize| commit("large", 0, &format!("[\"{}\"]", "x".repeat(bytes - 6)));
    let refused = store.commit(of_size(limit + 1)).await.unwrap_err();
    assert_eq!(refused.code(), "CHANGESET_TOO_LARGE");
    store.commit(of_size(limit)).await.unwrap();
    super::support::read_all(&store, 8).await;
}

/// What is less than it could be is said, with what it means.
#[tokio::test]
async fn a_check_says_what_a_table_lacks() {
    let (account, _) = existing().await;
    let checks = check(&account.sdk_config(), TABLE).await.unwrap();
    let lacking: Vec<_> = checks.iter().filter(|it| !it.is_well).map(|it| it.what).collect();
    assert!(lacking.contains(&"size of a changeset") && lacking.contains(&"stream of changes"), "{checks:?}");
    let none = check(&account.sdk_config(), "elsewhere").await.unwrap_err();
    assert!(none.to_string().contains("create-table"), "{none}");
    let ours = super::support::account().await;
    let checks = check(&ours.sdk_config(), super::support::TABLE).await.unwrap();
    assert!(checks.iter().all(|it| it.is_well), "{checks:?}");
}

/// In the table of [`existing`]: d1 has the place of b1, e1 half a place and e2 none, f1 one that was never given.
async fn existing_with_misplaced() -> (Account, Client) {
    let (account, client) = existing().await;
    put(&client, changeset("d", 1, Some(2))).await;
    let mut half = changeset("e", 1, None);
    half.insert("page".to_owned(), n(0));
    put(&client, half).await;
    put(&client, changeset("e", 2, None)).await;
    put(&client, changeset("f", 1, Some(9_000_000_000_000))).await;
    (account, client)
}

fn shown(adopted: &Adopted) -> Vec<String> {
    let mut shown: Vec<_> =
        adopted.misplaced.iter().map(|it| format!("{}{}", it.stream_id, it.changeset_id)).collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn a_table_with_places_that_can_not_be_right_is_not_adopted_and_each_is_named() {
    let (account, client) = existing_with_misplaced().await;
    for _ in 0..2 {
        let refused = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
        let names = shown(&refused);
        assert!(refused.is_refused && refused.indexed == 0, "{refused:?}");
        assert!(
            names == ["b1", "e1", "f1"] || names == ["d1", "e1", "f1"],
            "one of the two keeps it: {names:?}"
        );
        for it in &refused.misplaced {
            let is_right = match &it.why {
                Misplacement::Doubled { checkpoint, keeper } => {
                    checkpoint.get() == 2
                        && ["b", "d"].contains(&keeper.0.as_str())
                        && keeper.0 != it.stream_id
                }
                Misplacement::Malformed => it.stream_id.as_str() == "e",
                Misplacement::NeverGiven { .. } => it.stream_id.as_str() == "f",
                _ => false,
            };
            assert!(is_right && it.moved_to.is_none(), "{it:?}");
        }
    }
    assert!(Store::open(&account.sdk_config(), TABLE).await.is_err());
    // Somebody mends them by hand: what was seen before does not count.
    put(&client, changeset("d", 1, Some(4))).await;
    put(&client, changeset("e", 1, Some(1))).await;
    put(&client, changeset("f", 1, None)).await;
    let adopted = adopt(&account.sdk_config(), TABLE, OnMisplaced::Refuse, |_| ()).await.unwrap();
    assert_eq!(
        (adopted.is_refused, adopted.misplaced.len(), adopted.holes, adopted.indexed),
        (false, 0, 1, 5)
    );
    let log = labels(&read(&open(&account, &Faults::none()).await).await);
    assert_eq!(
        (log.len(), &log[..6]),
        (11, &["0 a1", "1 e1", "2 b1", "3 b2", "4 d1", "6 a3"].map(str::to_owned)[..])
    );
}

#[tokio::test]
async fn what_can_not_be_right_gets_a_new_place_when_that_is_asked_for() {
    let (account, _) = existing_with_misplaced().await;
    let adopted = adopt(&account.sdk_config(), TABLE, OnMisplaced::Mend, |_| ()).await.unwrap();
    assert_eq!(
        (adopted.is_refused, adopted.misplaced.len(), adopted.head.get()),
        (false, 3, 7),
        "{adopted:?}"
    );
    assert!(
        adopted.misplaced.iter().all(|it| it.moved_to.is_some_and(|place| place.get() >= 7)),
        "{adopted:?}"
    );
    is_whole(&labels(&read(&open(&account, &Faults::none()).await).await));
}

#[tokio::test]
async fn mending_while_adopting_may_be_interrupted_anywhere() {
    for calls in [3, 5, 7, 9, 11, 13, 15, 17] {
        let (account, _) = existing_with_misplaced().await;
        let faults = Faults::none();
        let config = account.sdk_config_with(&faults);
        let adopting = tokio::spawn(async move { adopt(&config, TABLE, OnMisplaced::Mend, |_| ()).await });
        while faults.calls().total() < calls && !adopting.is_finished() {
            tokio::task::yield_now().await;
        }
        adopting.abort();
        let _ = adopting.await;
        faults.cut_off().await;
        adopt(&account.sdk_config(), TABLE, OnMisplaced::Mend, |_| ()).await.unwrap();
        is_whole(&labels(&read(&open(&account, &Faults::none()).await).await));
    }
}

/// Each changeset once; what had a place of its own has it still, and e1 comes before e2.
fn is_whole(log: &[String]) {
    let names: Vec<_> = log.iter().map(|label| label.split(' ').nth(1).unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "d1", "e1", "e2", "f1"], "{log:?}");
    assert!(["0 a1", "3 b2", "6 a3"].iter().all(|it| log.contains(&(*it).to_owned())), "{log:?}");
    assert!(log.contains(&"2 b1".to_owned()) || log.contains(&"2 d1".to_owned()), "{log:?}");
    let at = |name| names.iter().position(|it| *it == name).unwrap();
    assert!(at("e1") < at("e2"), "{log:?}");
}

//! The streams of a type, in the order of their last changesets.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::Subject;
use super::steps::{PROMPT, Store, append, commit_after, first, stream};
use crate::{Error, StreamId, Tail, Timestamp, TypePage, TypeQuery, TypedStream};

fn query(stream_type: &str) -> TypeQuery {
    TypeQuery::all(stream_type.parse().unwrap())
}

async fn commit(store: &Store, stream_name: &str, last: u64, array: &str, stream_type: &str) {
    let commit = commit_after(stream_name, last, array).with_stream_type(stream_type.parse().unwrap());
    store.commit(commit).await.unwrap();
}

/// Reads page by page, doing something between two of them.
async fn pages(store: &Store, query: TypeQuery, between: impl AsyncFn(&TypePage)) -> Vec<TypedStream> {
    let (mut query, mut all) = (query, Vec::new());
    loop {
        let page = store.read_type(query.clone()).await.unwrap();
        assert!(page.streams.is_sorted_by_key(|it| it.tail.last_timestamp), "{page:?}");
        between(&page).await;
        all.extend(page.streams);
        match page.next {
            Some(next) => query = query.after(next),
            None => return all,
        }
    }
}

async fn whole(store: &Store, query: TypeQuery) -> Vec<TypedStream> {
    pages(store, query, async |_| ()).await
}

/// What is listed, once an index that lags shows all of it.
async fn settled<S: Subject>(store: &Store, query: TypeQuery, wanted: &[TypedStream]) -> Vec<TypedStream> {
    let deadline = Instant::now() + PROMPT;
    loop {
        let listed = whole(store, query.clone()).await;
        let is_late = !S::CAPABILITIES.orders_at_commit && listed != wanted && Instant::now() < deadline;
        if !is_late {
            return listed;
        }
    }
}

async fn listed_now(store: &Store, streams: &[&str]) -> Vec<TypedStream> {
    let mut wanted = Vec::new();
    for name in streams {
        let tail = store.tail(&stream(name)).await.unwrap();
        wanted.push(TypedStream { stream_id: stream(name), tail });
    }
    wanted.sort_by_key(TypedStream::position);
    wanted
}

/// A store that has no list says so, and is right about everything else.
async fn refuses<S: Subject>(store: &Store) -> bool {
    if S::CAPABILITIES.lists_types {
        return false;
    }
    commit(store, "a", 0, "[1]", "account").await;
    let refused = store.read_type(query("account")).await;
    assert!(matches!(refused, Err(Error::InvalidRequest(_))), "{refused:?}");
    true
}

/// The end of a stream is that of its last changeset; of one that does not exist there is none.
pub async fn a_stream_ends_with_its_last_changeset<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    assert_eq!(store.tail(&stream("a")).await.unwrap(), Tail::default());
    commit(&store, "a", 0, "[1,2]", "account").await;
    append(&store, "a", 1, "[3]").await;
    append(&store, "b", 0, "[1]").await;
    for name in ["a", "b"] {
        let last = super::steps::whole_stream(&store, name).await.pop().unwrap();
        assert_eq!(store.tail(&stream(name)).await.unwrap(), Tail::after(&last));
    }
}

/// Each stream of the type once, at the time of its last changeset; no other stream.
pub async fn a_type_lists_its_streams_by_their_last_changesets<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    if refuses::<S>(&store).await {
        return;
    }
    assert_eq!(whole(&store, query("account")).await, []);
    for name in ["a", "b", "c/ä", "d"] {
        commit(&store, name, 0, "[1]", "account").await;
    }
    commit(&store, "o", 0, "[1]", "order").await;
    commit(&store, "O", 0, "[1]", "Account").await;
    append(&store, "untyped", 0, "[1]").await;
    append(&store, "a", 1, "[2,3]").await;
    let again = (1..9).map(|last| commit_after("c/ä", last, "[1]")).collect();
    for verdict in store.commit_in_order(again).await {
        verdict.unwrap();
    }
    let refused = commit_after("b", 7, "[1]").with_stream_type("account".parse().unwrap());
    store.commit(refused).await.unwrap_err();
    let wanted = listed_now(&store, &["a", "b", "c/ä", "d"]).await;
    assert_eq!(settled::<S>(&store, query("account"), &wanted).await, wanted);
    let order = listed_now(&store, &["o"]).await;
    assert_eq!(settled::<S>(&store, query("order"), &order).await, order);
}

/// From a moment on, that one included.
pub async fn a_type_is_listed_from_a_moment_on<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    if refuses::<S>(&store).await {
        return;
    }
    for name in ["a", "b", "c"] {
        commit(&store, name, 0, "[1]", "account").await;
    }
    let wanted = listed_now(&store, &["a", "b", "c"]).await;
    for (at, it) in wanted.iter().enumerate() {
        let from = it.tail.last_timestamp;
        let wanted: Vec<_> =
            wanted[at..].iter().filter(|it| it.tail.last_timestamp >= from).cloned().collect();
        let query = query("account").updated_from(from);
        assert_eq!(settled::<S>(&store, query, &wanted).await, wanted);
    }
    let after = wanted[2].tail.last_timestamp.next();
    assert_eq!(whole(&store, query("account").updated_from(after)).await, []);
    // A place before that moment changes nothing.
    let from = query("account").updated_from(wanted[2].tail.last_timestamp).after(wanted[0].position());
    assert_eq!(settled::<S>(&store, from, &wanted[2..]).await, wanted[2..]);
}

/// Also where several were updated in the same microsecond, and whatever the size of a page.
pub async fn pages_of_a_type_add_up_to_the_whole<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    if refuses::<S>(&store).await {
        return;
    }
    let time = |number: u64| Timestamp::from_micros(1_795_253_400_000_000 + number as i64 / 3);
    let commits = (0..11).map(|number| {
        let commit = first(&format!("s{number}"), "[1]").with_stream_type("account".parse().unwrap());
        if S::CAPABILITIES.keeps_given_times { commit.with_recorded_at(time(number)) } else { commit }
    });
    for verdict in store.commit_in_order(commits.collect()).await {
        verdict.unwrap();
    }
    let names: Vec<_> = (0..11).map(|number| format!("s{number}")).collect();
    let wanted = listed_now(&store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let by_id = |mut streams: Vec<TypedStream>| {
        streams.sort_by_key(TypedStream::position);
        streams
    };
    for limit in [4, 11, 1_000] {
        let deadline = Instant::now() + PROMPT;
        loop {
            let listed = by_id(whole(&store, query("account").with_limit(limit)).await);
            let is_late = !S::CAPABILITIES.orders_at_commit && Instant::now() < deadline;
            if listed == wanted || !is_late {
                assert_eq!(listed, wanted, "{limit}");
                break;
            }
        }
    }
}

/// Enough for several pages.
const STREAMS: u64 = 12;

/// Between any two pages streams are updated, those that are still to come among them: each comes, most once,
/// some twice.
pub async fn a_stream_updated_between_pages_is_not_missed<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    if refuses::<S>(&store).await {
        return;
    }
    for number in 0..STREAMS {
        commit(&store, &format!("s{number:02}"), 0, "[1]", "account").await;
    }
    let names: BTreeSet<StreamId> = (0..STREAMS).map(|number| stream(&format!("s{number:02}"))).collect();
    let wanted = listed_now(&store, &names.iter().map(StreamId::as_str).collect::<Vec<_>>()).await;
    assert_eq!(settled::<S>(&store, query("account"), &wanted).await, wanted);

    // The last three of all move behind each page that is read, until nothing more is appended.
    let appended = tokio::sync::Mutex::new(BTreeMap::from_iter((9..STREAMS).map(|number| (number, 1_u64))));
    let rounds = std::sync::atomic::AtomicU64::new(0);
    let listed = pages(&store, query("account").with_limit(4), async |_| {
        if rounds.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3 {
            return;
        }
        for (number, last) in appended.lock().await.iter_mut() {
            append(&store, &format!("s{number:02}"), *last, "[1]").await;
            *last += 1;
        }
    })
    .await;
    let found: BTreeSet<StreamId> = listed.iter().map(|it| it.stream_id.clone()).collect();
    assert_eq!(found, names, "{listed:?}");
}

/// What was committed before the store was opened anew is listed, and moves on.
pub async fn a_reopened_store_lists_the_same<S: Subject>() {
    let subject = S::new().await;
    let store = subject.store();
    if refuses::<S>(&store).await {
        return;
    }
    commit(&store, "a", 0, "[1]", "account").await;
    commit(&store, "b", 0, "[1]", "account").await;
    let before = listed_now(&store, &["a", "b"]).await;
    drop(store);
    let subject = subject.reopen().await;
    let store = subject.store();
    if !S::CAPABILITIES.reopens {
        assert_eq!(whole(&store, query("account")).await, []);
        return;
    }
    assert_eq!(settled::<S>(&store, query("account"), &before).await, before);
    append(&store, "a", 1, "[2]").await;
    let wanted = listed_now(&store, &["a", "b"]).await;
    assert_eq!(settled::<S>(&store, query("account"), &wanted).await, wanted);
}

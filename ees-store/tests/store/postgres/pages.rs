//! Pages are bounded in bytes, whatever the sizes of changesets.

use ees_store::postgres::Store;
use ees_store::{ChangesetId, ChangesetLog, Checkpoint, EventStore, Events, Filter, LogQuery, StreamQuery};
use ees_test_postgres::TestDatabase;
use sqlx::PgConnection;

use super::{administrator, commit, run, until};

/// A page's bytes.
const PAGE_BYTES: usize = 256 * 1024;

fn event(text_bytes: usize) -> String {
    format!(r#"[{{"type":"noted","text":"{}"}}]"#, "x".repeat(text_bytes))
}

/// Reads the log in pages, up to its end. Returns place and size of each changeset, and the number of pages.
async fn read_in_pages(store: &Store, filter: Filter) -> (Vec<(u64, usize)>, usize) {
    let (mut next, mut found, mut pages) = (Checkpoint::START, Vec::new(), 0);
    loop {
        let query = LogQuery { max_bytes: PAGE_BYTES, ..LogQuery::from(next, 5_000) };
        let page = store.read(query.with_filter(filter.clone())).await.unwrap();
        if page.next == next {
            return (found, pages);
        }
        let sizes = page.changesets.iter().map(|entry| (entry.checkpoint.get(), entry.size_bytes()));
        let before = found.len();
        found.extend(sizes);
        let bytes: usize = found[before..].iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= PAGE_BYTES || found.len() == before + 1, "{bytes}");
        (next, pages) = (page.next, pages + 1);
    }
}

/// Stores a changeset with a text of each size.
async fn fill(store: &Store, text_bytes: &[usize]) {
    let commits = text_bytes.iter().zip(0..).map(|(bytes, last)| {
        let mut commit = commit("a", last, 0);
        commit.events = Events::parse(&event(*bytes)).unwrap();
        commit
    });
    for committed in store.commit_in_order(commits.collect()).await {
        committed.unwrap();
    }
}

#[tokio::test]
async fn pages_keep_to_their_bytes_when_changesets_grow_and_shrink() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    let text_bytes = [vec![10; 3_000], vec![100_000; 100], vec![10; 1_000], vec![400_000, 10, 10]].concat();
    fill(&store, &text_bytes).await;
    let sizes = text_bytes.iter().map(|bytes| event(*bytes).len() + "{}".len());
    let expected: Vec<_> = (0..).zip(sizes).collect();

    let proxied = format!("{}?statement-cache-capacity=0", database.url());
    for store in [store, Store::connect(&proxied).await.unwrap()] {
        for filter in [Filter::default(), Filter::event_types(["noted"])] {
            let (found, pages) = read_in_pages(&store, filter.clone()).await;
            assert!(found == expected, "{filter:?}: {} of {} changesets", found.len(), expected.len());
            // Some 900 of the small ones, or 2 large ones.
            assert!((52..75).contains(&pages), "{filter:?}: {pages}");
        }
    }
}

/// The processes that serve connections to the database, but this one.
async fn backends(administrator: &mut PgConnection) -> Vec<i32> {
    let pids = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
         AND backend_type = 'client backend'",
    );
    pids.fetch_all(administrator).await.unwrap()
}

/// After small changesets, as many large ones are asked for as there were small ones.
#[tokio::test]
async fn the_connection_is_closed_on_which_far_more_is_to_come_than_a_page_holds() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    fill(&store, &[vec![10; 300], vec![100_000; 100], vec![10; 1_000]].concat()).await;
    let mut administrator = administrator(database.url()).await;
    let read = async |from: u64| {
        let query = LogQuery { max_bytes: PAGE_BYTES, ..LogQuery::from(from.into(), 5_000) };
        store.read(query).await.unwrap().changesets.len()
    };

    assert_eq!(read(400).await, 885);
    let before = backends(&mut administrator).await;
    assert_eq!(read(400).await, 885);
    let are_all_open = async |administrator: &mut PgConnection| {
        let now = backends(administrator).await;
        before.iter().all(|pid| now.contains(pid))
    };
    assert!(are_all_open(&mut administrator).await, "the page is like any other");
    assert_eq!(read(0).await, 301);
    until("one is closed", async || !are_all_open(&mut administrator).await).await;
}

/// The server counts the white space that somebody has stored, and the changeset that is read has none.
#[tokio::test]
async fn white_space_in_a_row_hides_nothing_of_a_page() {
    let database = TestDatabase::new().await;
    let store = Store::connect(database.url()).await.unwrap();
    for last in 0..20 {
        store.commit(commit("a", last, last).with_stream_type("account".parse().unwrap())).await.unwrap();
    }
    let widen = "UPDATE ees_store.changesets
        SET events = '[' || repeat(' ', 100000) || substr(events, 2), checksum = NULL";
    run(&mut administrator(database.url()).await, widen).await;

    for filter in [Filter::default(), Filter::stream_type("account".parse().unwrap())] {
        let (found, pages) = read_in_pages(&store, filter.clone()).await;
        assert_eq!(found.len(), 20, "{filter:?}");
        assert!(pages >= 7, "{filter:?}: {pages} pages of 2 MB");
    }
    let (mut next, mut count) = (Some(ChangesetId::new(1)), 0);
    while let Some(from) = next {
        let query = StreamQuery::changesets("a".parse().unwrap(), from, None);
        let page = store.read_stream(StreamQuery { max_bytes: PAGE_BYTES, ..query }).await.unwrap();
        (next, count) = (page.next, count + page.changesets.len());
    }
    assert_eq!(count, 20);
}

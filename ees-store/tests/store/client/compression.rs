//! Answers that arrive compressed, and the limit on what they grow to.

use ees_store::client::Client;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, LogPage, LogQuery, Result,
    memory,
};

use super::proxy::{Proxy, Turn};
use super::serving::Served;

/// A store with so many changesets of 10 KB each.
pub(super) async fn long_log(changesets: u64) -> memory::Store {
    let store = memory::Store::new();
    for last in 0..changesets {
        let events = Events::parse(&format!("[{{\"text\":\"{}\"}}]", "word ".repeat(2_000))).unwrap();
        let commit = Commit::new("a".parse().unwrap(), Expectation::LastChangeset(last.into()), events);
        store.commit(commit).await.unwrap();
    }
    store
}

async fn read(client: &Client) -> Result<LogPage> {
    client.read(LogQuery::from(Checkpoint::START, 1_000)).await
}

#[tokio::test]
async fn on_this_machine_answers_are_compressed_only_when_that_is_wanted() {
    let served = Served::with(long_log(50).await, |api| api).await;
    let proxy = Proxy::new(served.address, []).await;
    let plain = read(&Client::new(&proxy.url()).unwrap()).await.unwrap();
    assert_eq!(proxy.values("accept-encoding"), [""; 0]);
    let wanting = Client::builder(&proxy.url()).compression(true).build().unwrap();
    let page = read(&wanting).await.unwrap();
    assert_eq!((page.changesets, page.next), (plain.changesets, plain.next));
    assert_eq!(proxy.values("content-encoding"), ["zstd"]);
    let sizes: Vec<usize> = proxy.values("content-length").iter().map(|size| size.parse().unwrap()).collect();
    assert!(sizes[0] > 500_000 && sizes[1] < 50_000, "{sizes:?}");
}

#[tokio::test]
async fn an_answer_that_grows_beyond_the_limit_is_refused_and_not_asked_for_again() {
    let served = Served::with(long_log(50).await, |api| api).await;
    for compression in [true, false] {
        let proxy = Proxy::new(served.address, []).await;
        let builder = Client::builder(&proxy.url()).compression(compression);
        let error = read(&builder.clone().answer_bytes(100_000).build().unwrap()).await.unwrap_err();
        assert!(
            matches!(&error, Error::InvalidRequest(why) if why.contains("more than 100000 bytes")),
            "{error}"
        );
        assert_eq!(proxy.requests(), 1);
        let page = read(&builder.answer_bytes(1_000_000).build().unwrap()).await.unwrap();
        assert_eq!(page.changesets.len(), 50);
    }
}

#[tokio::test]
async fn a_compressed_answer_that_broke_off_is_read_again() {
    let served = Served::with(long_log(5).await, |api| api).await;
    let proxy = Proxy::new(served.address, [Turn::CutAnswer, Turn::LoseAnswer]).await;
    let client = Client::builder(&proxy.url()).compression(true).build().unwrap();
    assert_eq!(read(&client).await.unwrap().changesets.len(), 5);
    assert_eq!((proxy.requests(), proxy.values("content-encoding").len()), (3, 3));
}

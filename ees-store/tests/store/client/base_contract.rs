//! A server of another system: it speaks the base contract only, and writes white space.

use axum::extract::Request;
use axum::middleware::map_request;
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{
    Changeset, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, Filter, LogEntry, LogQuery,
    StreamQuery, memory, pages,
};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;

/// Leaves out of a request what only ees knows, and has the answer indented.
async fn of_the_base_contract(mut request: Request) -> Request {
    let known = ["checkpoint=", "from=", "to="];
    let query = request.uri().query().unwrap_or_default();
    let kept = query.split('&').filter(|it| known.iter().any(|known| it.starts_with(known)));
    let limit = query.split('&').filter(|it| it.starts_with("limit=") && query.contains("checkpoint="));
    let query = kept.chain(limit).chain(["pp=true"]).collect::<Vec<_>>().join("&");
    *request.uri_mut() = format!("{}?{query}", request.uri().path()).parse().unwrap();
    request
}

/// Three streams of some changesets, and a client of the server that has them.
async fn served() -> (Arc<memory::Store>, Client) {
    let store = Arc::new(memory::Store::new());
    for n in 0..30_u64 {
        let (stream, last) = (format!("s{}", n % 3), n / 3);
        let events = ["[1]", r#"[{"type":"x","n":1.0},2]"#, r#"["\u0000",{"type":"y"}, []]"#];
        let events = Events::parse(events[usize::try_from(n % 2 + last % 2).unwrap()]).unwrap();
        let commit = Commit::new(stream.parse().unwrap(), Expectation::LastChangeset(last.into()), events);
        store.commit(commit).await.unwrap();
    }
    let router = Api::new(store.clone(), store.clone()).router().layer(map_request(of_the_base_contract));
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", server.local_addr().unwrap())).unwrap();
    tokio::spawn(server.serve(router, std::future::pending()));
    (store, client)
}

/// What the base contract tells of a changeset, and what follows from it.
fn told(it: &Changeset) -> (String, u64, u64, String, String) {
    let events = it.events.as_stored().to_owned();
    let (id, first) = (it.changeset_id.get(), it.first_event_id.get());
    (it.stream_id.to_string(), id, first, events, it.metadata.to_string())
}

#[tokio::test]
async fn a_log_of_another_make_is_read_whole() {
    let (store, client) = served().await;
    let all = async |log: &dyn ChangesetLog, limit| {
        let entries = pages::log_changesets(log, LogQuery::from(Checkpoint::START, limit));
        entries.try_collect::<Vec<LogEntry>>().await.unwrap()
    };
    let (ours, theirs) = (all(&*store, 100).await, all(&client, 7).await);
    assert_eq!(theirs.len(), 30);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((told(ours), ours.checkpoint), (told(theirs), theirs.checkpoint));
    }
    let times: Vec<_> =
        theirs.iter().filter(|it| it.stream_id.as_str() == "s1").map(|it| it.timestamp).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
    assert_eq!(client.head().await.unwrap().checkpoint.get(), 30);

    let filter = Filter::event_types(["y"]);
    let query = LogQuery::from(Checkpoint::START, 7).with_filter(filter);
    let some: Vec<_> = pages::log_changesets(&client, query.clone()).try_collect().await.unwrap();
    let expected: Vec<_> = pages::log_changesets(&*store, query).try_collect().await.unwrap();
    assert!(!some.is_empty() && some.len() < 30);
    assert_eq!(
        some.iter().map(|it| it.checkpoint).collect::<Vec<_>>(),
        expected.iter().map(|it| it.checkpoint).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_part_of_a_stream_or_log_of_another_make_has_its_event_numbers() {
    let (store, client) = served().await;
    for query in [
        StreamQuery::all("s1".parse().unwrap()),
        StreamQuery::changesets("s1".parse().unwrap(), 4.into(), Some(6.into())),
        StreamQuery::events("s1".parse().unwrap(), 5.into(), Some(8.into())),
        StreamQuery::events("s2".parse().unwrap(), 900.into(), None),
    ] {
        // A client of its own has read nothing before.
        let ours = store.read_stream(query.clone()).await.unwrap();
        let theirs = client.read_stream(query.clone()).await.unwrap();
        let of = |page: &ees_store::StreamPage| page.changesets.iter().map(told).collect::<Vec<_>>();
        assert_eq!(of(&theirs), of(&ours), "{query:?}");
    }
    let (_, fresh) = served().await;
    let page = fresh.read(LogQuery::from(Checkpoint::new(20), 2)).await.unwrap();
    let ours = store.read(LogQuery::from(Checkpoint::new(20), 2)).await.unwrap();
    assert_eq!(told(&page.changesets[1]), told(&ours.changesets[1]));
}

#[tokio::test]
async fn a_log_of_another_make_is_followed() {
    let (store, client) = served().await;
    let mut pages = Box::pin(pages::follow(&client, LogQuery::from(Checkpoint::new(29), 10)));
    assert_eq!(pages.next().await.unwrap().unwrap().next.get(), 30);
    let commit = Commit::new("new".parse().unwrap(), Expectation::NewStream, Events::parse("[1]").unwrap());
    let (page, committed) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(30), pages.next()), store.commit(commit));
    assert_eq!(
        page.unwrap().unwrap().unwrap().changesets[0].checkpoint,
        committed.unwrap().checkpoint.unwrap()
    );
}

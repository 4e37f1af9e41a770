//! A read model that is rebuilt from a store elsewhere, over a link that carries 100 Mbit/s, by how answers are
//! compressed. The log is the real history, many times over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ees_projections::Statistics;
use ees_projector::sqlite::Database;
use ees_projector::{Projector, Settings};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::{ChangesetLog, EventStore, sqlite};
use ees_tests::history;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::shared::read::catch_up;

/// Bytes a second that the link carries in each direction.
const LINK: f64 = 100e6 / 8.0;

#[derive(Clone, Copy, PartialEq)]
enum Coding {
    None,
    Gzip,
    Zstd,
}

pub(crate) async fn measure(short: bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
    fill(&store, if short { 1 } else { 40 }).await;
    let head = store.head().await.unwrap().checkpoint;
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = Api::new(store.clone(), store.clone()).router();
    let served = tokio::spawn(server.serve(router, async {
        let _ = stopped.await;
    }));
    println!("{head} changesets of the real history, rebuilt over 100 Mbit/s:");
    let mut plain = None;
    for (coding, name) in [(Coding::None, "plain"), (Coding::Gzip, "gzip"), (Coding::Zstd, "zstd")] {
        let link = Link::to(address, coding).await;
        let client = Client::builder(&link.url()).compression(coding != Coding::None).build().unwrap();
        let mut projector = Projector::new(Arc::new(client));
        let model = Database::open(folder.path().join(format!("{name}.db"))).unwrap();
        projector.fold(Statistics, model, Settings::default()).unwrap();
        let took = catch_up(projector, Statistics::NAME, head).await.as_secs_f64();
        let bytes = link.carried.load(Relaxed) as f64;
        let (plain_bytes, plain_took) = *plain.get_or_insert((bytes, took));
        println!(
            "{name:<6} {:>8.1} MB ({:>4.1} %) {took:>6.2} s {:>9.0} changesets/s ({:.1} times plain)",
            bytes / 1e6,
            bytes / plain_bytes * 100.0,
            head.get() as f64 / took,
            plain_took / took,
        );
    }
    let _ = stop.send(());
    served.await.unwrap();
}

/// Stores the history `times` times, each time under names of its own.
async fn fill(store: &sqlite::Store, times: usize) {
    let lines = history::lines();
    for time in 0..times {
        for part in lines.chunks(500) {
            let commits = part.iter().map(|line| {
                let mut commit = line.commit();
                commit.stream_id = format!("{time}/{}", line.stream_id).parse().unwrap();
                commit
            });
            for verdict in store.commit_in_order(commits.collect()).await {
                verdict.unwrap();
            }
        }
    }
}

/// What stands between the client and the server.
struct Link {
    address: SocketAddr,
    /// Bytes from the server.
    carried: Arc<AtomicU64>,
}

impl Link {
    async fn to(server: SocketAddr, coding: Coding) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::new(AtomicU64::new(0));
        let count = carried.clone();
        // All connections share the link.
        let free_at = Arc::new(tokio::sync::Mutex::new(Instant::now()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = TcpStream::connect(server).await.unwrap().into_split();
                tokio::spawn(ask(from_client, to_server, coding));
                tokio::spawn(carry(from_server, to_client, free_at.clone(), count.clone()));
            }
        });
        Self { address, carried }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Passes requests on. The client accepts both codings, so the better one is taken out where it is not wanted.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, coding: Coding) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        let mut request = buffer[..bytes].to_vec();
        if coding == Coding::Gzip {
            let head = String::from_utf8(request).unwrap();
            request = head.replace("zstd", "none").into_bytes();
        }
        if to.write_all(&request).await.is_err() {
            return;
        }
    }
}

/// Passes answers on, no faster than the link is.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    free_at: Arc<tokio::sync::Mutex<Instant>>,
    carried: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        let until = {
            let mut free_at = free_at.lock().await;
            *free_at = (*free_at).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / LINK);
            *free_at
        };
        tokio::time::sleep_until(until).await;
        carried.fetch_add(bytes as u64, Relaxed);
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

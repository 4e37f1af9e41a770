//! Over HTTP: commits on 64 open connections, and reading everything. The server and the load share the
//! machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::serve::{Listener, ListenerExt};
use ees_store::client::Client;
use ees_store::http::{Api, Server};
use ees_store::sqlite;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::limits::Limits;
use crate::shared::append::fill;
use crate::shared::read::{Enumerated, enumerate};
use crate::shared::report::{Report, timed_async};
use crate::shared::workload::Workload;

const CONNECTIONS: usize = 64;

pub(crate) async fn measure(workload: &Workload, limits: &Limits, by_library: f64, report: &mut Report) {
    let took = bare(workload).await;
    let what = format!("limit: HTTP, {CONNECTIONS} connections, without a store");
    let bare = report.rate(&what, workload.events(), took, None, None);
    // On the same processors, one after the other.
    let both = 1.0 / (1.0 / bare + 1.0 / by_library);
    let server = Served::new().await;
    let took = append_over_http(server.address, workload, "").await;
    let what = format!("append, HTTP, {CONNECTIONS} connections");
    report.rate(&what, workload.events(), took, Some(both), Some(60_000.0));

    let client = server.client();
    let Enumerated { events, took, .. } = enumerate(&client, 1_000).await;
    assert_eq!(events, workload.events());
    report.rate("enumerate, HTTP client", events, took, Some(limits.scan), Some(500_000.0));
    server.stop().await;

    let server = Served::new().await;
    let client = server.client();
    let ((), took) = timed_async(fill(&client, workload)).await;
    report.rate(
        "append, HTTP, 500 in a request",
        workload.events(),
        took,
        Some(limits.by_thousand),
        Some(100_000.0),
    );
    server.stop().await;
}

/// The same requests to a server that reads the body, and answers what a commit is answered.
async fn bare(workload: &Workload) -> Duration {
    let answer = r#"{"stream_id":"account-00000000","changeset_id":1}"#;
    let router = Router::new().fallback(async move |_: Bytes| answer);
    let listener =
        TcpListener::bind("127.0.0.1:0").await.unwrap().tap_io(|tcp| tcp.set_nodelay(true).unwrap());
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    let took = append_over_http(address, workload, "").await;
    serving.abort();
    took
}

/// A server before a store of its own.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _folder: TempDir,
}

impl Served {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(sqlite::Store::open(folder.path().join("log.db")).unwrap());
        let router = Api::new(store.clone(), store).router();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(router, async {
            let _ = stopped.await;
        }));
        Self { address, stop, served, _folder: folder }
    }

    fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.served.await.unwrap();
    }
}

/// Appends the workload. `header` is a line that each request has, or nothing.
pub(crate) async fn append_over_http(address: SocketAddr, workload: &Workload, header: &str) -> Duration {
    let next = Arc::new(AtomicU64::new(0));
    let requests: Arc<Vec<Vec<u8>>> =
        Arc::new((0..workload.appends).map(|n| request(workload, n, header)).collect());
    let begun = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (next, requests) = (next.clone(), requests.clone());
            tokio::spawn(async move {
                let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
                connection.get_ref().set_nodelay(true).unwrap();
                while let Some(request) = requests.get(next.fetch_add(1, Relaxed) as usize) {
                    connection.get_mut().write_all(request).await.unwrap();
                    read_answer(&mut connection).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

fn request(workload: &Workload, n: u64, header: &str) -> Vec<u8> {
    let (stream, last) = workload.stream(n);
    let body = format!(r#"{{"events":{},"metadata":{{}}}}"#, Workload::body(n));
    format!(
        "POST /streams/{stream}?expected_last_changeset={last} HTTP/1.1\r\nHost: localhost\r\n\
         {header}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn read_answer(connection: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    let mut length = 0;
    connection.read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    loop {
        line.clear();
        connection.read_line(&mut line).await.unwrap();
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
}

//! A server on a socket, and a client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use ees_store::http::{Api, ConnectionLimits, EscapedAnswer, Server};
use ees_store::{ChangesetLog, EventStore, memory};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Runs a promise against each store that the API may stand before.
pub(crate) async fn on_every_store(promise: impl AsyncFn(TestServer)) {
    promise(TestServer::over(memory::Store::new()).await).await;
    #[cfg(feature = "sqlite")]
    {
        let folder = tempfile::tempdir().unwrap();
        let log = ees_store::sqlite::Store::open(folder.path().join("log.db")).unwrap();
        promise(TestServer::over(log).await).await;
    }
}

pub(crate) struct TestServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl TestServer {
    pub(crate) async fn over<S: EventStore + ChangesetLog>(store: S) -> Self {
        Self::with(Arc::new(store), |api| api).await
    }

    pub(crate) async fn with<S: EventStore + ChangesetLog>(
        store: Arc<S>,
        build: impl FnOnce(Api) -> Api,
    ) -> Self {
        Self::limited(store, ConnectionLimits::default(), build).await
    }

    pub(crate) async fn limited<S: EventStore + ChangesetLog>(
        store: Arc<S>,
        limits: ConnectionLimits,
        build: impl FnOnce(Api) -> Api,
    ) -> Self {
        Self::serving(build(Api::new(store.clone(), store)).router(), limits).await
    }

    /// Of an API as it is.
    pub(crate) async fn of(api: Api) -> Self {
        Self::serving(api.router(), ConnectionLimits::default()).await
    }

    /// Before an empty store, where each answer is carried as a text.
    pub(crate) async fn with_escaped_answers() -> Self {
        let store = Arc::new(memory::Store::new());
        let escaped = map_request(async |mut request: Request| {
            request.extensions_mut().insert(EscapedAnswer);
            request
        });
        Self::serving(Api::new(store.clone(), store).router().layer(escaped), ConnectionLimits::default())
            .await
    }

    async fn serving(router: Router, limits: ConnectionLimits) -> Self {
        let server = Server::bind("127.0.0.1:0").await.unwrap().with_limits(limits);
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(router, async {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), served }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks the server to stop; `stopped` waits until it has.
    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(Duration::from_secs(20), self.served).await.expect("the server stops").unwrap();
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"").await
    }

    pub(crate) async fn post(&self, target: &str, body: &str) -> Answer {
        self.send("POST", target, &[], body.as_bytes()).await
    }

    /// Commits and expects it to be stored.
    pub(crate) async fn commit(&self, target: &str, events: &str) -> Answer {
        let answer = self.post(target, &format!("{{\"events\":{events}}}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        exchange(self.address, &request(method, target, headers, body)).await
    }
}

/// Asks until the answer has this status.
pub(crate) async fn answered_with(server: &TestServer, target: &str, status: u16) {
    let asking = async { while server.get(target).await.status != status {} };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the status changes");
}

/// The bytes of a request after which the connection is to be closed.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method != "GET" || !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Sends bytes and reads until the server closes the connection.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    // At once, because a server may answer before it has read everything.
    let (sent, received) = tokio::join!(write.write_all(request), read.read_to_end(&mut answer));
    received.unwrap();
    assert!(sent.is_ok() || !answer.is_empty(), "the connection broke without an answer");
    Answer::read(&answer)
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_lowercase(), v.to_owned()));
        Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The answer is exactly this.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status, &self.json()), (status, body));
    }

    /// The answer is a refusal with this code and message.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: &str, message: &str) {
        let body = self.json();
        let told = (self.status, body["error"].as_str(), body["message"].as_str());
        assert_eq!(told, (status, Some(code), Some(message)));
    }

    /// The answer is a refusal with this code, whose message holds this.
    #[track_caller]
    pub(crate) fn refuses_like(&self, status: u16, code: &str, part: &str) {
        let body = self.json();
        assert_eq!((self.status, body["error"].as_str()), (status, Some(code)), "{body}");
        assert!(body["message"].as_str().unwrap().contains(part), "{body}");
    }

    pub(crate) fn numbers(&self, list: &str, member: &str) -> Vec<u64> {
        let body = self.json();
        body[list].as_array().unwrap().iter().map(|entry| entry[member].as_u64().unwrap()).collect()
    }
}

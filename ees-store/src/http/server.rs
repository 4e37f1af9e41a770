//! The accept loop, with limits on connections and a graceful shutdown.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::Closing;
use super::connections::{Answering, Asking, Busy, Connections, Place};
use super::pace::{Pace, Paced};

/// How long a connection that makes room for another may take to end.
const PARTING_TIME: Duration = Duration::from_millis(500);

/// Limits on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The maximum time for a request's head to arrive, and for a connection to be idle. Default: 30 seconds.
    pub header_time: Duration,
    /// The maximum time that a client may read nothing of its answer, and may fall behind
    /// [`answer_rate`](Self::answer_rate); then the server closes the connection. Default: 30 seconds.
    pub answer_time: Duration,
    /// How fast a client has to read its answer, in bytes a second; 0 for any rate. Default: 4 KiB, half of what
    /// a line of 64 kbit/s carries.
    pub answer_rate: u32,
    /// The maximum number of connections. For a further one, the connection that has been idle longest is
    /// closed; where each has a request under way, it waits. Default: 4,096.
    pub connections: usize,
    /// The maximum time for requests in progress to finish when the server stops. Default: 30 seconds.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self {
            header_time: patience,
            answer_time: patience,
            answer_rate: 4 * 1024,
            connections: 4_096,
            grace: patience,
        }
    }
}

/// An HTTP/1.1 server on a socket.
///
/// ```no_run
/// use std::sync::Arc;
/// use ees_store::{http, memory};
///
/// # async fn run() -> std::io::Result<()> {
/// let store = Arc::new(memory::Store::new());
/// let server = http::Server::bind("127.0.0.1:0").await?;
/// println!("listening on http://{}", server.local_addr()?);
/// server.serve(http::Api::new(store.clone(), store).router(), async {
///     let _ = tokio::signal::ctrl_c().await;
/// }).await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    listener: TcpListener,
    limits: ConnectionLimits,
}

impl Server {
    /// Listens on an address. [`serve`](Self::serve) accepts connections.
    ///
    /// # Errors
    /// When the address is in use, not one of this machine, or not permitted.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, limits: ConnectionLimits::default() })
    }

    /// Sets the limits on connections.
    #[must_use]
    pub fn with_limits(self, limits: ConnectionLimits) -> Self {
        Self { limits, ..self }
    }

    /// The address that the server listens on, with the actual port if you asked for port 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` completes. Then it stops accepting connections, ends the requests that only
    /// wait, and finishes the others, for at most [`ConnectionLimits::grace`].
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let Self { listener, limits } = self;
        let closing = Closing::new();
        let places = Connections::new(limits.connections);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        {
            // Kept while connections end: it may have accepted one that has no place so far.
            let mut next = pin!(accept(&listener, &places));
            loop {
                tokio::select! {
                    () = &mut shutdown => break,
                    (stream, place) = &mut next => {
                        let router = router.clone();
                        connections.spawn(serve_connection(stream, place, router, limits, closing.clone()));
                        next.set(accept(&listener, &places));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }
        drop(listener);
        closing.close();
        let finished = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(limits.grace, finished).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "closed connections that did not finish within the grace period"
            );
            connections.shutdown().await;
        }
    }
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, places: &Arc<Connections>) -> (TcpStream, Arc<Place>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, places.enter().await),
            Err(error) if is_of_one_connection(&error) => {}
            // Too many open files, say: to try again at once would only burn a core.
            Err(error) => {
                tracing::error!(%error, "failed to accept a connection; will retry");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    place: Arc<Place>,
    router: Router,
    limits: ConnectionLimits,
    closing: Closing,
) {
    // An answer goes out when it is written, not when the last one was acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    // A peer that asks and does not read must not hold its answer in memory for ever.
    let pace = Pace { behind_max: limits.answer_time, rate: limits.answer_rate };
    let shutting_down = closing.clone();
    let working = place.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(closing.clone());
        answer(router.clone(), request, working.begins_to_work())
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .serve_connection(TokioIo::new(Paced::new(stream, pace)), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutting_down.closed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = place.closed() => {
            connection.as_mut().graceful_shutdown();
            if place.is_unused() {
                return;
            }
            match tokio::time::timeout(PARTING_TIME, &mut connection).await {
                Ok(ended) => ended,
                // It has sent a part of a head.
                Err(_) if place.is_idle() => Ok(()),
                Err(_) => connection.await,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The answer to a request. It says so when the connection ends with it.
async fn answer(
    router: Router,
    request: Request<Incoming>,
    busy: Busy,
) -> Result<Response<Answering<Body>>, Infallible> {
    let (parts, body) = request.into_parts();
    let (body, read) = Asking::new(body);
    let mut response = router.oneshot(Request::from_parts(parts, Body::new(body))).await?;
    if !read.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answering::new(body, busy)))
}

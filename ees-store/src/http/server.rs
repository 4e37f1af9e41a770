//! The accept loop, with limits on connections and a graceful shutdown.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use super::Closing;

/// Limits on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The maximum time for a request's head to arrive, and for a connection to be idle. Default: 30 seconds.
    pub header_time: Duration,
    /// The maximum time that a client may read nothing of its answer; then the server closes the connection.
    /// Default: 30 seconds.
    pub answer_time: Duration,
    /// The maximum number of connections; more wait to be accepted. Default: 4,096.
    pub connections: usize,
    /// The maximum time for requests in progress to finish when the server stops. Default: 30 seconds.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { header_time: patience, answer_time: patience, connections: 4_096, grace: patience }
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
        let room = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                (stream, permit) = accept(&listener, &room) => {
                    let connection = serve_connection(stream, router.clone(), limits, closing.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Some(_) = connections.join_next() => {}
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

/// The next connection, once there is room for one.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Never closed, so there always is a permit.
    let permit = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
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

async fn serve_connection(stream: TcpStream, router: Router, limits: ConnectionLimits, closing: Closing) {
    // An answer goes out when it is written, not when the last one was acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    // A peer that asks and does not read must not hold its answer in memory for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.answer_time));
    let shutting_down = closing.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(closing.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutting_down.closed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

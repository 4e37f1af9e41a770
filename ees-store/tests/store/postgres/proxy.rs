//! A proxy that cuts connections where it hurts: after the request has arrived, before the answer leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

pub(crate) struct Proxy {
    pub(crate) url: String,
    /// This many requests with the marker in them will lose their answer.
    pub(crate) cuts: Arc<AtomicU32>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn before(url: &str, marker: &'static str) -> Self {
        let mut url = Url::parse(url).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let cuts = Arc::new(AtomicU32::new(0));
        let mut accepting = JoinSet::new();
        let shared = cuts.clone();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server.clone(), marker, shared.clone()));
            }
        });
        Self { url: url.into(), cuts, _accepting: accepting }
    }
}

async fn pass(mut client: TcpStream, server: String, marker: &str, cuts: Arc<AtomicU32>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let (mut request, mut answer) = ([0; 65_536], [0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(bytes @ 1..) = read else { return };
                let request = &request[..bytes];
                if server.write_all(request).await.is_err() {
                    return;
                }
                let marked = request.windows(marker.len()).any(|bytes| bytes == marker.as_bytes());
                let less = |cuts: u32| cuts.checked_sub(1);
                if marked && cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                    // It is done when the server has an answer, which nobody gets.
                    let _ = server.read(&mut answer).await;
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(bytes @ 1..) = read else { return };
                if client.write_all(&answer[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    }
}

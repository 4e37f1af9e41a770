//! What stands between a client and its server, and fails as told.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// It reaches the server, and the answer the client.
    Forward,
    /// It reaches the server; the connection breaks before the answer.
    LoseAnswer,
    /// It reaches the server; the connection breaks in the middle of the answer.
    CutAnswer,
    /// It does not reach the server, and is answered with this status line, headers and body.
    Answer(&'static str),
    /// It is never answered.
    Silence,
}

/// The heads of all messages so far, in small letters.
type Heads = Arc<Mutex<Vec<String>>>;

/// Takes one turn for each request, then forwards the rest.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    heads: Heads,
    running: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn new(server: SocketAddr, turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let turns = Arc::new(Mutex::new(turns.into_iter().collect::<VecDeque<_>>()));
        let (count, heads) = (requests.clone(), Heads::default());
        let seen = heads.clone();
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, server, turns.clone(), count.clone(), seen.clone()));
            }
        });
        Self { address, requests, heads, running }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The values of this header in requests and answers that were passed on, in their order.
    pub(crate) fn values(&self, header: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let lines = heads.iter().flat_map(|head| head.lines().filter_map(|line| line.split_once(": ")));
        lines.filter(|(name, _)| *name == header).map(|(_, value)| value.to_owned()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn connection(
    mut client: TcpStream,
    server: SocketAddr,
    turns: Arc<Mutex<VecDeque<Turn>>>,
    requests: Arc<AtomicUsize>,
    heads: Heads,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    loop {
        let request = read_message(&mut client).await?;
        requests.fetch_add(1, Ordering::SeqCst);
        let turn = turns.lock().unwrap().pop_front().unwrap_or(Turn::Forward);
        match turn {
            Turn::Forward => client.write_all(&exchange(&mut server, &request, &heads).await?).await?,
            Turn::LoseAnswer => {
                exchange(&mut server, &request, &heads).await?;
                return Ok(());
            }
            Turn::CutAnswer => {
                let answer = exchange(&mut server, &request, &heads).await?;
                return client.write_all(&answer[..answer.len() - 1]).await;
            }
            Turn::Answer(answer) => client.write_all(answer.as_bytes()).await?,
            Turn::Silence => std::future::pending().await,
        }
    }
}

async fn exchange(server: &mut TcpStream, request: &[u8], heads: &Heads) -> io::Result<Vec<u8>> {
    server.write_all(request).await?;
    let answer = read_message(server).await?;
    heads.lock().unwrap().extend([request, &answer].map(head_of));
    Ok(answer)
}

/// The head of a message, in small letters.
fn head_of(message: &[u8]) -> String {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(message.len());
    String::from_utf8_lossy(&message[..end]).to_ascii_lowercase()
}

/// One HTTP/1.1 message whose body, if any, has a length.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![];
    let body_at = loop {
        message.push(stream.read_u8().await?);
        if message.ends_with(b"\r\n\r\n") {
            break message.len();
        }
    };
    let head = head_of(&message);
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    message.resize(body_at + length.map_or(0, |length| length.trim().parse().unwrap()), 0);
    stream.read_exact(&mut message[body_at..]).await?;
    Ok(message)
}

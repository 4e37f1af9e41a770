//! A reader of event streams that takes exactly the bytes that come.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::support::Answer;

/// An event, or a comment, whose name is empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The connection of one reader.
pub(crate) struct Following {
    connection: BufReader<TcpStream>,
    pub(crate) head: Answer,
    text: String,
}

impl Following {
    pub(crate) async fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        connection.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(connection.read_line(&mut head).await.unwrap() > 0, "{head}");
        }
        let mut head = Answer::read(head.as_bytes());
        if let Some(length) = head.header("content-length") {
            head.body = vec![0; length.parse().unwrap()];
            connection.read_exact(&mut head.body).await.unwrap();
        }
        Self { connection, head, text: String::new() }
    }

    /// The next block of lines; none at a clean end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        let read = async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.text = rest;
                    return Some(block);
                }
                let mut size = String::new();
                self.connection.read_line(&mut size).await.unwrap();
                let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
                let mut chunk = vec![0; size + 2];
                self.connection.read_exact(&mut chunk).await.unwrap();
                if size == 0 {
                    assert_eq!(self.text, "", "no event is cut");
                    return None;
                }
                self.text += std::str::from_utf8(&chunk[..size]).unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(15), read).await.expect("something comes")
    }

    /// The next event or comment.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let block = self.block().await?;
        let field = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
        };
        let id = field("id").map(|id| id.parse().unwrap());
        Some(Event { id, name: field("event").unwrap_or_default(), data: field("data").unwrap_or_default() })
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// The events up to the one with this name, which ends them.
    pub(crate) async fn until(&mut self, name: &str) -> (Vec<Event>, Event) {
        let mut events = Vec::new();
        loop {
            let event = self.event().await.expect("it goes on");
            if event.name == name {
                return (events, event);
            }
            events.push(event);
        }
    }
}

//! The connections of a server, and which of them are idle.
//!
//! An idle connection is one without a request: when there is no room for a new connection, the one that has
//! been idle longest is closed. So connections that nobody uses never keep anybody out.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::written::until_written;

/// All connections of a server.
pub(super) struct Connections {
    room: Arc<Semaphore>,
    /// Idle connections that are closed at once when there is no room.
    at_once: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    count: u64,
    /// Longest idle first.
    by_age: BTreeMap<u64, Arc<Notify>>,
    /// Somebody waits for room, and there was no idle connection.
    wanted: bool,
}

impl Connections {
    pub(super) fn new(connections: usize) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(connections));
        Arc::new(Self { room, at_once: (connections / 16).max(1), idle: Mutex::default() })
    }

    /// Makes room for one more connection: at once, or when an idle one has closed.
    pub(super) async fn enter(self: &Arc<Self>) -> Arc<Place> {
        let permit = match self.room.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.close_some();
                // Never closed, so there always is a permit.
                let permit = self.room.clone().acquire_owned().await.ok();
                self.idle().wanted = false;
                permit
            }
        };
        let all = Arc::clone(self);
        let (close, used) = (Arc::default(), AtomicBool::new(false));
        let place = Arc::new(Place { all, close, used, number: Mutex::new(None), _permit: permit });
        place.begins_to_idle();
        place
    }

    /// Closes a few of the idle connections, so that a flood of them is gone soon.
    fn close_some(&self) {
        let mut idle = self.idle();
        idle.wanted = idle.by_age.is_empty();
        for _ in 0..self.at_once {
            let Some((_, close)) = idle.by_age.pop_first() else { break };
            close.notify_one();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection.
pub(super) struct Place {
    all: Arc<Connections>,
    close: Arc<Notify>,
    /// Whether a request has come by now.
    used: AtomicBool,
    /// Its number among the idle ones. Locked before these are.
    number: Mutex<Option<u64>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Waits until the connection shall be closed, because it is idle and others need its place.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.number().is_some()
    }

    /// Whether no request has come so far, so that no answer can be on its way.
    pub(super) fn is_unused(&self) -> bool {
        !self.used.load(Ordering::Relaxed)
    }

    /// A request has come; it ends when what is returned is dropped.
    pub(super) fn begins_to_work(self: &Arc<Self>) -> Busy {
        self.used.store(true, Ordering::Relaxed);
        self.leave_the_idle();
        Busy(self.clone())
    }

    fn begins_to_idle(&self) {
        let mut number = self.number();
        let mut idle = self.all.idle();
        idle.count += 1;
        let last = idle.count;
        *number = Some(last);
        if std::mem::take(&mut idle.wanted) {
            self.close.notify_one();
        } else {
            idle.by_age.insert(last, self.close.clone());
        }
    }

    fn leave_the_idle(&self) {
        let mut number = self.number();
        if let Some(number) = number.take() {
            self.all.idle().by_age.remove(&number);
        }
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave_the_idle();
    }
}

/// A request under way on a connection.
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.begins_to_idle();
    }
}

/// The body of an answer: the request is under way until all of it is written.
pub(super) struct Answering<B> {
    body: B,
    busy: Arc<Busy>,
}

impl<B> Answering<B> {
    pub(super) fn new(body: B, busy: Busy) -> Self {
        Self { body, busy: Arc::new(busy) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        // The connection drops the body before its last part is written.
        let part = |bytes| until_written(bytes, self.busy.clone());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request. It tells whether all of it was read: if not, the connection can't be used again.
pub(super) struct Asking {
    body: Incoming,
    read: Arc<AtomicBool>,
}

impl Asking {
    pub(super) fn new(body: Incoming) -> (Self, Arc<AtomicBool>) {
        let read = Arc::new(AtomicBool::new(body.is_end_stream()));
        (Self { body, read: read.clone() }, read)
    }
}

impl Body for Asking {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

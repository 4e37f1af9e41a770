//! The place that a request has among those under way, its share of their bytes, and the time that it may take.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::compression::{Coding, Compressor};
use super::metrics::{Counted, Metrics};
use super::written::until_written;
use super::{Limits, Problem};

/// Bytes under way are counted in units of this many. Bodies and answers of less are bounded by the number of
/// requests.
const UNIT_BYTES: usize = 16 * 1024;

/// Parts of event streams have the bytes that answers have, divided by this, besides these.
const PARTS_SHARE: usize = 4;

/// Requests for metrics at a time.
const RESERVE: usize = 8;

/// Operations on projections at a time.
const OPERATIONS: usize = 64;

/// What a request is for. No kind keeps another one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Metrics,
    Other,
}

/// Room for requests of each kind, for their bodies, and for their answers. What one kind takes, no other kind lacks.
pub(super) struct Rooms {
    commits: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// For those who watch the server.
    reserve: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    operations: Arc<Semaphore>,
    subscribers: Arc<Semaphore>,
    bodies: Budget,
    answers: Budget,
    /// For the parts of event streams.
    parts: Budget,
    compressor: Compressor,
    limits: Limits,
}

impl Rooms {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            commits: Arc::new(Semaphore::new(limits.requests)),
            requests: Arc::new(Semaphore::new(limits.requests)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
            waiting: Arc::new(Semaphore::new(limits.waiting_requests)),
            operations: Arc::new(Semaphore::new(OPERATIONS)),
            subscribers: Arc::new(Semaphore::new(limits.subscribers)),
            bodies: Budget::of(limits.bodies_bytes),
            answers: Budget::of(limits.answers_bytes),
            parts: Budget::of(limits.answers_bytes / PARTS_SHARE),
            compressor: Compressor::new(),
            limits: *limits,
        })
    }

    /// Lets a request in, if there is room for it.
    pub(super) fn admit(self: &Arc<Self>, kind: Kind) -> Result<Admission, Problem> {
        let room = match kind {
            Kind::Commit => &self.commits,
            Kind::Other => &self.requests,
            Kind::Metrics => &self.reserve,
        };
        let permit = room.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
        Ok(self.place(Some(permit)))
    }

    /// Lets a request in, whatever else is under way.
    pub(super) fn admit_always(self: &Arc<Self>) -> Admission {
        self.place(None)
    }

    fn place(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Admission {
        let deadline = Mutex::new(Instant::now() + self.limits.answer_time);
        let (permit, body, answer) = (Mutex::new(permit), Mutex::default(), Mutex::default());
        Admission(Some(Arc::new(Place { rooms: self.clone(), permit, body, answer, deadline })))
    }
}

/// Bytes that may be under way, in units.
struct Budget {
    units: usize,
    left: Arc<Semaphore>,
}

impl Budget {
    fn of(bytes: usize) -> Self {
        let units = (bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { units, left: Arc::new(Semaphore::new(units)) }
    }

    /// Takes units; all of them for what is larger than the budget, which then is under way alone.
    fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(units.min(self.units)).map_err(|_| Problem::overloaded())?;
        self.left.clone().try_acquire_many_owned(units).map_err(|_| Problem::overloaded())
    }

    /// Takes what a share lacks of so many units.
    fn take_up_to(&self, units: usize, share: &mut Option<OwnedSemaphorePermit>) -> Result<(), Problem> {
        let more =
            units.min(self.units).saturating_sub(share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if more == 0 {
            return Ok(());
        }
        let more = self.take(more)?;
        match share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// The place of a request among those under way.
///
/// It is an axum extractor. A handler that is about to wait for something says so with [`waits`](Self::waits).
/// Outside of an [`Api`](super::Api)'s router nothing is limited.
///
/// ```
/// use std::time::Duration;
/// use ees_store::http::{Admission, Problem};
/// async fn wait_for_news(admission: Admission) -> Result<&'static str, Problem> {
///     admission.waits(Duration::from_secs(20))?;
///     tokio::time::sleep(Duration::from_secs(20)).await;
///     Ok("nothing new")
/// }
/// # let _ = wait_for_news;
/// ```
#[derive(Clone)]
pub struct Admission(Option<Arc<Place>>);

struct Place {
    rooms: Arc<Rooms>,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// The body's share of the bytes under way.
    body: Mutex<Option<OwnedSemaphorePermit>>,
    /// The answer's share, if it was taken before there was one.
    answer: Mutex<Option<OwnedSemaphorePermit>>,
    deadline: Mutex<Instant>,
}

impl Admission {
    /// Says that the request waits for something from now on, for at most this time.
    ///
    /// It leaves its place to others and takes one among those that wait, so that waiting requests never keep
    /// others out. Its time for the answer begins after the wait.
    ///
    /// # Errors
    /// 503 when [`Limits::waiting_requests`] wait already.
    pub fn waits(&self, time: Duration) -> Result<(), Problem> {
        self.moves_to(|rooms| &rooms.waiting, time)
    }

    /// Says that the request is an operator's, which may take this time.
    ///
    /// It leaves its place to others and takes one of 64 among the operations: those who wait for news keep no operator out,
    /// however many they are.
    ///
    /// # Errors
    /// 503 when as many operations are under way.
    pub fn operates(&self, time: Duration) -> Result<(), Problem> {
        self.moves_to(|rooms| &rooms.operations, time)
    }

    fn moves_to(&self, room: fn(&Rooms) -> &Arc<Semaphore>, time: Duration) -> Result<(), Problem> {
        let Some(place) = &self.0 else { return Ok(()) };
        let permit = room(&place.rooms).clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
        *locked(&place.permit) = Some(permit);
        self.restart_after(time);
        Ok(())
    }

    /// Says that the answer is an event stream, which goes on as long as what is returned lives. Its reader is
    /// counted apart: the request leaves its place when the answer begins.
    pub(super) fn subscribes(&self, metrics: &Metrics) -> Result<Subscriber, Problem> {
        let room = self.0.as_ref().map(|place| place.rooms.subscribers.clone());
        let permit = room.map(Semaphore::try_acquire_owned).transpose();
        let permit = permit.map_err(|_| Problem::overloaded())?;
        Ok(Subscriber { _permit: permit, _counted: metrics.subscribed() })
    }

    /// A part of an event stream, once there is room for its bytes. They count as under way until they are sent.
    pub(super) async fn sending(&self, part: Bytes) -> Bytes {
        let Some(place) = &self.0 else { return part };
        let parts = &place.rooms.parts;
        match u32::try_from(units(part.len()).min(parts.units)) {
            Ok(0) | Err(_) => part,
            Ok(units) => match parts.left.clone().acquire_many_owned(units).await {
                Ok(share) => until_written(part, share),
                // Never closed.
                Err(_) => part,
            },
        }
    }

    /// The limits on requests.
    pub(super) fn limits(&self) -> Limits {
        self.0.as_ref().map_or_else(Limits::default, |place| place.rooms.limits)
    }

    /// Begins the time for the answer once more, after this time.
    pub(super) fn restart_after(&self, time: Duration) {
        if let Some(place) = &self.0 {
            *locked(&place.deadline) = Instant::now() + time + place.rooms.limits.answer_time;
        }
    }

    /// Takes room for the body of the request, of which there are this many bytes by now.
    pub(super) fn take_body(&self, bytes: usize) -> Result<(), Problem> {
        let Some(place) = &self.0 else { return Ok(()) };
        place.rooms.bodies.take_up_to(units(bytes), &mut locked(&place.body))
    }

    /// Takes room for an answer of so many bytes, before something is done that the answer must tell.
    pub(super) fn take_answer(&self, bytes: usize) -> Result<(), Problem> {
        let Some(place) = &self.0 else { return Ok(()) };
        place.rooms.answers.take_up_to(units(bytes), &mut locked(&place.answer))
    }

    /// Ends the request's place, and compresses the answer if it is to have a coding. The bytes of the answer count
    /// as under way until they are sent, so a client that does not read takes room from other large answers, and
    /// from nobody else.
    ///
    /// Fails when there is no room for them: then the answer is dropped.
    pub(super) async fn send(self, response: Response, coding: Option<Coding>) -> Result<Response, Problem> {
        let Some(place) = &self.0 else { return Ok(response) };
        drop(locked(&place.permit).take());
        let size = response.body().size_hint().exact();
        let large = units(size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0));
        if large == 0 && coding.is_none() {
            return Ok(response);
        }
        let mut share = locked(&place.answer).take();
        place.rooms.answers.take_up_to(large, &mut share)?;
        let (mut parts, body) = response.into_parts();
        let mut bytes = body.collect().await.map_err(Problem::internal)?.to_bytes();
        if let Some(coding) = coding {
            bytes = place.rooms.compressor.compress(coding, &mut parts.headers, bytes).await;
        }
        if let Some(mut share) = share {
            // What is not sent leaves its room to others.
            drop(share.split(share.num_permits().saturating_sub(units(bytes.len()))));
            bytes = until_written(bytes, share);
        }
        Ok(Response::from_parts(parts, Body::from(bytes)))
    }

    /// Waits until the time for the answer is over.
    pub(super) async fn expired(&self) {
        let Some(place) = &self.0 else { return std::future::pending().await };
        loop {
            let deadline = *locked(&place.deadline);
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }
}

/// The place of the reader of an event stream.
pub(super) struct Subscriber {
    _permit: Option<OwnedSemaphorePermit>,
    _counted: Counted,
}

fn units(bytes: usize) -> usize {
    bytes / UNIT_BYTES
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission")
    }
}

impl<S: Sync> FromRequestParts<S> for Admission {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self(None)))
    }
}

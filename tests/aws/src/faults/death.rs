//! Lets a process die in the middle of its work, at each of its calls in turn.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use tokio::sync::watch;

use super::Faults;

/// The number of worlds that run at the same time.
const WORLDS_AT_ONCE: usize = 8;

/// When a process dies, relative to one of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the call leaves.
    BeforeTheCall,
    /// After the call was executed and its answer has arrived, before the process uses it.
    AfterTheAnswer,
}

/// The planned death, and whether it has happened.
pub(super) struct Death {
    at: Option<(usize, Moment)>,
    calls: AtomicUsize,
    is_dead: watch::Sender<bool>,
}

impl Death {
    pub(super) fn at(at: Option<(usize, Moment)>) -> Self {
        Self { at, calls: AtomicUsize::new(0), is_dead: watch::Sender::new(false) }
    }

    pub(super) fn due(&self) -> Option<(usize, Moment)> {
        self.at
    }

    /// Counts a call. Returns when the process dies in it, if it does.
    pub(super) fn next_call(&self) -> Option<Moment> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.at.and_then(|(at, moment)| (at == call).then_some(moment))
    }

    /// Reports the death, and never returns.
    pub(super) async fn come(&self) -> ! {
        self.is_dead.send_replace(true);
        match pending::<std::convert::Infallible>().await {}
    }

    async fn watch(&self) {
        // We hold the sender, so waiting can't fail.
        let _ = self.is_dead.subscribe().wait_for(|is_dead| *is_dead).await;
    }
}

impl Faults {
    /// Lets the process die in the call with this number, counted from 0 over all services. Run the work in
    /// [`unless_it_dies`](Self::unless_it_dies), which stops everything at the death.
    #[must_use]
    pub fn dying_at(self, call: usize, moment: Moment) -> Self {
        self.with_death(Some((call, moment)))
    }

    /// Runs the work until it ends or dies. When it dies, it is dropped, no further call leaves, and the
    /// calls that had left have ended.
    pub async fn unless_it_dies<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let done = tokio::select! {
            biased;
            () = self.0.death.watch() => None,
            done = work => Some(done),
        };
        if done.is_none() {
            self.cut_off().await;
        }
        done
    }
}

/// Lets the work die at each of its calls, before the call leaves and after its answer, each time in a new
/// world. Then runs it again and checks the world, which must be as if the work had run once. Returns the
/// number of deaths.
///
/// The work must create everything itself that a new process would create, above all its clients, from the
/// plan that it gets.
///
/// # Panics
/// When the work or the check panics.
pub async fn dying_at_each_call<W>(
    world: impl AsyncFn() -> W,
    work: impl AsyncFn(&W, &Faults),
    is_right: impl AsyncFn(&W, &str),
) -> usize {
    let undisturbed = Faults::none();
    let first = world().await;
    Box::pin(work(&first, &undisturbed)).await;
    is_right(&first, "undisturbed").await;
    let (world, work, is_right) = (&world, &work, &is_right);
    let deaths = (0..undisturbed.calls().total())
        .flat_map(|call| [(call, Moment::BeforeTheCall), (call, Moment::AfterTheAnswer)])
        .map(|(call, moment)| async move {
            let world = world().await;
            let faults = Faults::none().dying_at(call, moment);
            let done = Box::pin(faults.unless_it_dies(work(&world, &faults))).await;
            Box::pin(work(&world, &Faults::none())).await;
            is_right(&world, &format!("died at call {call}, {moment:?}")).await;
            usize::from(done.is_none())
        });
    futures::stream::iter(deaths).buffer_unordered(WORLDS_AT_ONCE).fold(0, async |sum, died| sum + died).await
}

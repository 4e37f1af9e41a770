//! A process that dies in the middle of its work: at each of its calls, one after the other.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use tokio::sync::watch;

use super::Faults;

/// Worlds in which something dies at the same time.
const WORLDS_AT_ONCE: usize = 8;

/// When a process dies, as seen from a call of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The call never leaves.
    BeforeTheCall,
    /// What was asked for is done, and the answer has come, but nobody is there any more.
    AfterTheAnswer,
}

/// What is to come, and whether it has.
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

    /// Counts a call; when in it the process dies, if it does.
    pub(super) fn next_call(&self) -> Option<Moment> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.at.and_then(|(at, moment)| (at == call).then_some(moment))
    }

    /// Tells whoever watches, and never returns.
    pub(super) async fn come(&self) -> ! {
        self.is_dead.send_replace(true);
        match pending::<std::convert::Infallible>().await {}
    }

    async fn watch(&self) {
        // The sender is our own, so waiting can't fail.
        let _ = self.is_dead.subscribe().wait_for(|is_dead| *is_dead).await;
    }
}

impl Faults {
    /// Lets whoever makes this call (counted from 0, of all services) die in it. Only
    /// [`unless_it_dies`](Self::unless_it_dies) sees to it that nothing goes on.
    #[must_use]
    pub fn dying_at(self, call: usize, moment: Moment) -> Self {
        self.with_death(Some((call, moment)))
    }

    /// Does this work, unless the plan has it die: then it is dropped where it is, no call leaves any more, and those that had
    /// left are over.
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

/// Has work die at each of its calls, before it leaves and after its answer, each time in a world of its own, and then done
/// again: the world has to be as if it had been done once. How often it died.
///
/// The work makes whatever a process of its own would make, clients above all, and is told the plan for them.
///
/// # Panics
/// When the work does, or what looks at the world afterwards.
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

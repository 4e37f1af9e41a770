//! What AWS does and the emulator doesn't.
//!
//! - [`Faults`] is the plan: what happens, how often, in which order.
//! - `connector` stands between the SDK and the network, and carries it out.
//! - `answers` are the answers of AWS to calls that it refuses.
//! - `late` keeps new index entries back for a while.
//! - `death` ends a process in the middle of a call.
//! - `full` is an item that takes no more.
//! - `silence` keeps answers back for good.
//! - [`Calls`] counts what went through.

mod answers;
mod calls;
mod connector;
mod death;
mod full;
mod late;
mod silence;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

pub use calls::Calls;
pub(crate) use connector::Connector;
use death::Death;
pub use death::{Moment, dying_at_each_call};
use full::Full;
use late::Late;
use silence::Silence;

/// A plan of faults, which a seed fixes; clones share it. Carried out in the SDK's own HTTP layer, so that its retries
/// and its error types are those of production.
///
/// ```no_run
/// # async fn test() {
/// use ees_test_aws::{Faults, LocalAws};
/// let faults = Faults::seeded(7).throttled(0.2).lost(0.1);
/// let config = LocalAws::account().await.sdk_config_with(&faults);
/// # }
/// ```
///
/// Odds are from 0 (never) to 1 (always), for each attempt of each call.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

struct Shared {
    odds: Odds,
    rng: Mutex<Rng>,
    late: Mutex<Late>,
    calls: Calls,
    cut_off: AtomicBool,
    death: Death,
    full: Full,
    silence: Silence,
    under_way: watch::Sender<usize>,
}

#[derive(Clone, Copy, Default)]
struct Odds {
    throttled: f64,
    conflict: f64,
    failed: f64,
    lost: f64,
    unreached: f64,
    delayed: f64,
    delay_max: Duration,
    unprocessed: f64,
    late: f64,
    late_max: Duration,
}

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Throttled,
    Conflict,
    Failed,
    /// Carried out, but the connection breaks before the answer.
    Lost,
    /// The connection breaks before the request.
    Unreached,
}

impl Faults {
    /// No faults at all: for counting calls.
    pub fn none() -> Self {
        Self::with(0, Odds::default())
    }

    /// No faults yet; add those you want.
    pub fn seeded(seed: u64) -> Self {
        Self::with(seed, Odds::default())
    }

    /// A bad day: everything that can happen does, at a rate at which work still gets done.
    pub fn everything(seed: u64) -> Self {
        Self::with(
            seed,
            Odds {
                throttled: 0.04,
                conflict: 0.08,
                failed: 0.02,
                lost: 0.04,
                unreached: 0.02,
                delayed: 0.1,
                delay_max: Duration::from_millis(15),
                unprocessed: 0.2,
                late: 0.2,
                late_max: Duration::from_millis(60),
            },
        )
    }

    /// Calls that are refused as too many.
    #[must_use]
    pub fn throttled(self, odds: f64) -> Self {
        self.having(|it| it.throttled = odds)
    }

    /// Writes that are refused because of another transaction on the same item.
    #[must_use]
    pub fn conflicting(self, odds: f64) -> Self {
        self.having(|it| it.conflict = odds)
    }

    /// Calls that are answered with an internal error, and not carried out.
    #[must_use]
    pub fn failing(self, odds: f64) -> Self {
        self.having(|it| it.failed = odds)
    }

    /// Calls that are carried out, and their answer lost.
    #[must_use]
    pub fn lost(self, odds: f64) -> Self {
        self.having(|it| it.lost = odds)
    }

    /// Calls that never arrive.
    #[must_use]
    pub fn unreached(self, odds: f64) -> Self {
        self.having(|it| it.unreached = odds)
    }

    /// Calls that take so much longer, before or after they are carried out.
    #[must_use]
    pub fn delayed(self, odds: f64, at_most: Duration) -> Self {
        self.having(|it| (it.delayed, it.delay_max) = (odds, at_most))
    }

    /// `BatchGetItem` that leaves a part of its keys unprocessed.
    #[must_use]
    pub fn unprocessed(self, odds: f64) -> Self {
        self.having(|it| it.unprocessed = odds)
    }

    /// Entries of a global index that do not show up before this long after a query has first found them.
    #[must_use]
    pub fn late(self, odds: f64, at_most: Duration) -> Self {
        self.having(|it| (it.late, it.late_max) = (odds, at_most))
    }

    /// What went through, faults included.
    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// As if the process had been killed: from now on no call leaves it. Returns when those that had left are over.
    pub async fn cut_off(&self) {
        self.0.cut_off.store(true, Ordering::SeqCst);
        // The sender is our own, so waiting can't fail.
        let _ = self.0.under_way.subscribe().wait_for(|&calls| calls == 0).await;
    }

    /// Lets a call leave; it is under way as long as the result is kept.
    fn leave(&self) -> Option<UnderWay> {
        self.0.under_way.send_modify(|calls| *calls += 1);
        let under_way = UnderWay(self.0.clone());
        (!self.0.cut_off.load(Ordering::SeqCst)).then_some(under_way)
    }

    fn with(seed: u64, odds: Odds) -> Self {
        Self::planned(seed, odds, Death::at(None))
    }

    fn planned(seed: u64, odds: Odds, death: Death) -> Self {
        let rng = Mutex::new(Rng::with_seed(seed));
        Self(Arc::new(Shared {
            odds,
            rng,
            late: Mutex::default(),
            calls: Calls::default(),
            cut_off: AtomicBool::new(false),
            death,
            full: Full::default(),
            silence: Silence::default(),
            under_way: watch::Sender::new(0),
        }))
    }

    fn having(self, change: impl FnOnce(&mut Odds)) -> Self {
        let mut odds = self.0.odds;
        change(&mut odds);
        let seed = self.roll(|rng| rng.clone().u64(..));
        Self::planned(seed, odds, Death::at(self.0.death.due()))
    }

    fn with_death(self, at: Option<(usize, Moment)>) -> Self {
        let seed = self.roll(|rng| rng.clone().u64(..));
        Self::planned(seed, self.0.odds, Death::at(at))
    }

    fn roll<T>(&self, roll: impl FnOnce(&mut Rng) -> T) -> T {
        roll(&mut self.0.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fate(&self, operation: &str) -> Fate {
        let odds = self.0.odds;
        let mut at = self.roll(Rng::f64);
        let writes = matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems");
        for (fate, odds) in [
            (Fate::Throttled, odds.throttled),
            (Fate::Failed, odds.failed),
            (Fate::Lost, odds.lost),
            (Fate::Unreached, odds.unreached),
            (Fate::Conflict, if writes { odds.conflict } else { 0.0 }),
        ] {
            if at < odds {
                return fate;
            }
            at -= odds;
        }
        Fate::Served
    }

    /// How much longer than usual to take.
    fn delay(&self) -> Duration {
        let Odds { delayed, delay_max, .. } = self.0.odds;
        self.roll(|rng| if rng.f64() < delayed { delay_max.mul_f64(rng.f64()) } else { Duration::ZERO })
    }

    fn leaves_unprocessed(&self) -> bool {
        self.roll(|rng| rng.f64() < self.0.odds.unprocessed)
    }

    /// Whether this entry of a global index is not there yet.
    fn is_late(&self, entry: &str) -> bool {
        let Odds { late, late_max, .. } = self.0.odds;
        if late == 0.0 {
            return false;
        }
        let lag = || self.roll(|rng| (rng.f64() < late).then(|| late_max.mul_f64(rng.f64())));
        self.0.late.lock().unwrap_or_else(PoisonError::into_inner).hides(entry, lag)
    }
}

/// A call on its way.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|calls| *calls -= 1);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

//! Faults that AWS has and the emulator doesn't.
//!
//! - [`Faults`] is the plan: which faults happen, how often, in which order.
//! - `connector` sits between the SDK and the network, and executes the plan.
//! - `answers` has the answers of AWS to calls that it refuses.
//! - `late` hides new index entries for a while.
//! - `death` ends a process in the middle of a call.
//! - `full` has items that take no more.
//! - `silence` withholds answers for ever.
//! - `small` refuses transactions that are too large.
//! - `transactions` lets transactions take their time: they conflict, and commit item by item.
//! - [`Calls`] counts attempts.

mod answers;
mod calls;
mod connector;
mod death;
mod full;
mod late;
mod silence;
mod small;
mod transactions;

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
use small::Small;
use transactions::Script;

/// A plan of faults, determined by a seed. Clones share it. It runs in the SDK's own HTTP layer, so the SDK's
/// retries and errors are those of production.
///
/// ```no_run
/// # async fn test() {
/// use ees_test_aws::{Faults, LocalAws};
/// let faults = Faults::seeded(7).throttled(0.2).lost(0.1);
/// let config = LocalAws::account().await.sdk_config_with(&faults);
/// # }
/// ```
///
/// Probabilities are from 0 (never) to 1 (always), for each attempt of each call.
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
    small: Small,
    script: Script,
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
    item_by_item: f64,
    lasting: Duration,
}

/// What happens to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Throttled,
    Conflict,
    Failed,
    /// Executed, but the connection breaks before the answer.
    Lost,
    /// The connection breaks before the request.
    Unreached,
}

impl Faults {
    /// A plan without faults, to count calls.
    pub fn none() -> Self {
        Self::with(0, Odds::default())
    }

    /// A plan without faults yet: add those that you want.
    pub fn seeded(seed: u64) -> Self {
        Self::with(seed, Odds::default())
    }

    /// A bad day: faults of all kinds happen, at a rate at which work still succeeds. Add
    /// [`item_by_item`](Self::item_by_item) where plain reads beside transactions are to be tried too.
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
                item_by_item: 0.0,
                lasting: Duration::ZERO,
            },
        )
    }

    /// Refuses calls as too many.
    #[must_use]
    pub fn throttled(self, odds: f64) -> Self {
        self.having(|it| it.throttled = odds)
    }

    /// Refuses writes, and reads in transactions, because of another transaction on the same item: any of the
    /// actions. The others keep their own reasons.
    #[must_use]
    pub fn conflicting(self, odds: f64) -> Self {
        self.having(|it| it.conflict = odds)
    }

    /// Answers calls with an internal error, without executing them.
    #[must_use]
    pub fn failing(self, odds: f64) -> Self {
        self.having(|it| it.failed = odds)
    }

    /// Executes calls, and loses their answers.
    #[must_use]
    pub fn lost(self, odds: f64) -> Self {
        self.having(|it| it.lost = odds)
    }

    /// Lets calls never arrive.
    #[must_use]
    pub fn unreached(self, odds: f64) -> Self {
        self.having(|it| it.unreached = odds)
    }

    /// Delays calls, before or after they are executed.
    #[must_use]
    pub fn delayed(self, odds: f64, at_most: Duration) -> Self {
        self.having(|it| (it.delayed, it.delay_max) = (odds, at_most))
    }

    /// Lets `BatchGetItem` leave a part of its keys unprocessed.
    #[must_use]
    pub fn unprocessed(self, odds: f64) -> Self {
        self.having(|it| it.unprocessed = odds)
    }

    /// Hides entries of a global index for this long after a query has first found them.
    #[must_use]
    pub fn late(self, odds: f64, at_most: Duration) -> Self {
        self.having(|it| (it.late, it.late_max) = (odds, at_most))
    }

    /// The attempts so far, faults included.
    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    /// Acts as if the process had been killed: from now on no call leaves it. Returns when the calls that had
    /// left have ended.
    pub async fn cut_off(&self) {
        self.0.cut_off.store(true, Ordering::SeqCst);
        // We hold the sender, so waiting can't fail.
        let _ = self.0.under_way.subscribe().wait_for(|&calls| calls == 0).await;
    }

    /// Lets a call leave. It counts as running while the result is kept.
    fn leave(&self) -> Option<UnderWay> {
        let under_way = self.stay();
        (!self.0.cut_off.load(Ordering::SeqCst)).then_some(under_way)
    }

    /// Counts a call that runs for longer than its caller.
    fn stay(&self) -> UnderWay {
        self.0.under_way.send_modify(|calls| *calls += 1);
        UnderWay(self.0.clone())
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
            small: Small::default(),
            script: Script::default(),
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
        let may_conflict = matches!(
            operation,
            "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" | "TransactGetItems"
        );
        for (fate, odds) in [
            (Fate::Throttled, odds.throttled),
            (Fate::Failed, odds.failed),
            (Fate::Lost, odds.lost),
            (Fate::Unreached, odds.unreached),
            (Fate::Conflict, if may_conflict { odds.conflict } else { 0.0 }),
        ] {
            if at < odds {
                return fate;
            }
            at -= odds;
        }
        Fate::Served
    }

    /// The extra time that a call takes.
    fn delay(&self) -> Duration {
        let Odds { delayed, delay_max, .. } = self.0.odds;
        self.roll(|rng| if rng.f64() < delayed { delay_max.mul_f64(rng.f64()) } else { Duration::ZERO })
    }

    fn leaves_unprocessed(&self) -> bool {
        self.roll(|rng| rng.f64() < self.0.odds.unprocessed)
    }

    /// Whether this entry of a global index is still hidden.
    fn is_late(&self, entry: &str) -> bool {
        let Odds { late, late_max, .. } = self.0.odds;
        if late == 0.0 {
            return false;
        }
        let lag = || self.roll(|rng| (rng.f64() < late).then(|| late_max.mul_f64(rng.f64())));
        self.0.late.lock().unwrap_or_else(PoisonError::into_inner).hides(entry, lag)
    }
}

/// A running call.
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

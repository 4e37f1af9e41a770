//! A read model that is built side by side with the live one, where the database can do that.

use super::Subject;
use super::support::{ChangingLog, Journal, fresh, note, settings, start};
use crate::database::Database;
use crate::{OperateError, SideBySide, StandbyRole, State, Status};

/// What the database says of itself is so.
pub async fn side_by_side_is_offered_as_the_database_says<S: Subject>() {
    assert_eq!(S::Database::SIDE_BY_SIDE, S::CAPABILITIES.side_by_side);
}

/// The new read model is compared with the live one, swapped with it, and swapped back; readers see the same rows.
/// Where the database can't do that, it is refused, and nothing has changed.
pub async fn a_read_model_is_swapped_and_back_or_that_is_refused<S: Subject>() {
    let (log, subject) = (ChangingLog::new(), fresh::<S>().await);
    for n in 0..30 {
        log.append(&format!("s{}", n % 4), &note(&n.to_string())).await;
    }
    let bench = start(&log, &subject, &Journal::new(), settings());
    bench.caught_up().await;
    let before = subject.table("journal").await;
    let wanted = SideBySide { verify: true, ..SideBySide::default() };
    let begun = bench.handle().rebuild_side_by_side("journal", wanted, "to see").await;
    if S::CAPABILITIES.side_by_side {
        begun.unwrap();
        let swapped = |role| role == Some(StandbyRole::Following);
        bench.status_when(|status| swapped(status.standby.as_ref().map(|it| it.plan.role))).await;
        assert_eq!(subject.table("journal").await, before);
        log.append("s0", &note("more")).await;
        bench.caught_up().await;
        bench.handle().rollback("journal", false, "back").await.unwrap();
        assert!(bench.texts("s0").await.unwrap().ends_with(" more"), "the old one has followed");
        assert!(bench.handle().verify("journal").await.unwrap().is_equal());
    } else {
        assert!(matches!(begun, Err(OperateError::NotSupported(_))), "{begun:?}");
        let verified = bench.handle().verify("journal").await;
        assert!(matches!(verified, Err(OperateError::NotSupported(_))), "{verified:?}");
        let begun = bench.handle().begin_verification("journal");
        assert!(matches!(begun, Err(OperateError::NotSupported(_))), "{begun:?}");
        let status = bench.status_when(|status| status.state == State::Following).await;
        assert!(status.standby.is_none());
        assert_eq!(subject.table("journal").await, before);
    }
}

/// What is skipped in the live read model while a standby follows is left out by the standby, and known after the
/// swap.
pub async fn a_skip_reaches_the_standby_and_outlives_the_swap<S: Subject>() {
    if !S::CAPABILITIES.side_by_side {
        return;
    }
    let (log, subject, journal) = (ChangingLog::new(), fresh::<S>().await, Journal::new());
    log.append("a", &note("x")).await;
    let bench = start(&log, &subject, &journal, settings());
    bench.caught_up().await;
    let wanted = SideBySide { no_swap: true, ..SideBySide::default() };
    bench.handle().rebuild_side_by_side("journal", wanted, "to see").await.unwrap();
    let is_in = |status: &Status, state| status.standby.as_ref().is_some_and(|it| it.state == state);
    bench.status_when(|status| is_in(status, State::Following)).await;
    journal.faults.fail("bad");
    log.append("bad", &note("x")).await;
    let at = bench.paused().await.checkpoint;
    bench.status_when(|status| is_in(status, State::Paused)).await;
    bench.handle().skip("journal", at, "it is broken").await.unwrap();
    journal.faults.mend();
    bench.handle().resume("journal__standby", "the live one has skipped it").await.unwrap();
    bench.status_when(|status| is_in(status, State::Following)).await;
    bench.handle().swap("journal", false, "done").await.unwrap();
    let status = bench.status_when(|status| status.checkpoint.get() == 2).await;
    assert_eq!((status.skipped, status.pause), (vec![1], None));
    assert_eq!(bench.texts("bad").await, None);
}

//! What a cancelled transaction of an indexer says. Pure.

use super::error::{Reasons, is_condition, is_contention, is_refusal};

/// What was in the way of a transaction that gives places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstruction {
    /// The counter is where it was expected. Some of the batch has its place already, or does not exist.
    Known,
    /// Another indexer is under way, or has moved the counter; perhaps with some of the same changesets.
    Met { at_the_same: bool },
}

/// What the reasons tell, of which the first is the counter's own; nothing if it is neither.
pub(super) fn obstruction(reasons: &Reasons) -> Option<Obstruction> {
    let is_met = |reason| is_condition(reason) || is_contention(reason);
    let (of_counter, of_others) = reasons.split_first()?;
    let at_the_same = of_others.iter().any(is_met);
    if is_met(of_counter) {
        return Some(Obstruction::Met { at_the_same });
    }
    // Without the counter's word, a condition counts when nothing is under way.
    if is_refusal(reasons) {
        return Some(Obstruction::Known);
    }
    at_the_same.then_some(Obstruction::Met { at_the_same })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::CancellationReason;

    use super::*;

    #[test]
    fn who_meets_others_is_told_from_who_comes_twice() {
        let reasons = |codes: &[&str]| {
            let reason = |code: &&str| CancellationReason::builder().code(*code).build();
            obstruction(&codes.iter().map(reason).collect::<Vec<_>>())
        };
        let (none, failed, conflict) = ("None", "ConditionalCheckFailed", "TransactionConflict");
        let met = |at_the_same| Some(Obstruction::Met { at_the_same });
        assert_eq!(reasons(&[none, failed, none]), Some(Obstruction::Known));
        assert_eq!(reasons(&[none, failed, conflict]), met(true), "it is under way, and may be the same one");
        assert_eq!(reasons(&[failed, none]), met(false));
        assert_eq!(reasons(&[failed, failed]), met(true));
        assert_eq!(reasons(&[conflict, failed]), met(true));
        assert_eq!(reasons(&[none, none]), None);
        assert_eq!(reasons(&[]), None);
    }
}

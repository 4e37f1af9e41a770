//! Decides which items of a batch are reported as failed. Pure.

/// One item of a batch.
pub(super) struct Item<'a> {
    pub(super) id: &'a str,
    /// Items of one group keep their order. An item without a group is independent.
    pub(super) group: Option<&'a str>,
    pub(super) done: bool,
}

/// The ids of the items that must be delivered again: each item that is not done, and every later item of its
/// group, done or not. Only then the queue delivers the group again in order.
pub(super) fn failed<'a>(items: &[Item<'a>]) -> Vec<&'a str> {
    let mut held: Vec<&str> = Vec::new();
    let mut failed = Vec::new();
    for item in items {
        let follows = item.group.is_some_and(|group| held.contains(&group));
        if item.done && !follows {
            continue;
        }
        failed.push(item.id);
        if let Some(group) = item.group.filter(|_| !follows) {
            held.push(group);
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_failure_in_its_group_comes_again_with_it() {
        let item = |(id, group, done)| Item { id, group, done };
        let items = [
            ("1", Some("a"), true),
            ("2", Some("a"), false),
            ("3", Some("b"), true),
            ("4", Some("a"), true),
            ("5", None, false),
            ("6", None, true),
        ];
        assert_eq!(failed(&items.map(item)), ["2", "4", "5"]);
        assert_eq!(failed(&[]), [""; 0]);
    }
}

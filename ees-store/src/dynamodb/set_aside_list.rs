//! The streams that are set aside, written down in the table. A process that ends forgets its own, and the alarm
//! must not end before its cause.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;

use super::error::failed;
use super::item;
use super::plan::Candidate;
use super::table::{Table, names, values};
use crate::{ChangesetId, Result, StreamId};

const LIST: &str = "!!!RESERVED:SET-ASIDE!!!";
/// A set of texts: the number of the changeset that is stuck, a space, and its stream.
const STREAMS: &str = "streams";
/// More are not written down, so that the item stays small. The next sweep finds them.
const STREAMS_MAX: usize = 100;

/// What this process knows of the list. Other processes change it too, each what it has seen.
#[derive(Default)]
pub(super) struct SetAsideList {
    known: BTreeSet<String>,
    /// Those of them that no call has tried since they were read, or since a call failed: they stay on the list.
    untried: BTreeSet<String>,
}

/// What a call of the indexer has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// What [`SetAsideList::read`] returned, among others.
    OfTheList,
    OfOthers,
    /// Nobody knows.
    Failed,
}

impl SetAsideList {
    /// Reads the list. Returns the changesets on it that are in the table still.
    pub(super) async fn read(&mut self, table: &Table) -> Result<Vec<Candidate>> {
        let found = table.get(item::key(LIST, 0)).await?;
        let listed = found.as_ref().and_then(|found| found.get(STREAMS)?.as_ss().ok());
        self.known = listed.into_iter().flatten().cloned().collect();
        self.untried = self.known.clone();
        let mut candidates = Vec::new();
        for (changeset_id, stream_id) in self.known.iter().filter_map(|entry| entry.split_once(' ')) {
            let Ok(changeset_id) = changeset_id.parse() else { continue };
            let found = table.get(item::key(stream_id, changeset_id)).await?;
            candidates.extend(found.as_ref().map(item::candidate).transpose()?);
        }
        Ok(candidates)
    }

    /// The list as it should be after a call.
    fn after<'s>(
        &mut self,
        set_aside: impl Iterator<Item = (&'s StreamId, ChangesetId)>,
        call: Call,
    ) -> BTreeSet<String> {
        match call {
            Call::OfTheList => self.untried.clear(),
            Call::OfOthers => {}
            Call::Failed => self.untried.clone_from(&self.known),
        }
        let all: BTreeSet<_> = set_aside.map(|(stream_id, at)| format!("{at} {stream_id}")).collect();
        all.into_iter().take(STREAMS_MAX).chain(self.untried.iter().cloned()).collect()
    }

    /// Writes down what has changed: these are set aside now. What else was known is over, if it was tried.
    pub(super) async fn write(
        &mut self,
        table: &Table,
        set_aside: impl Iterator<Item = (&StreamId, ChangesetId)>,
        call: Call,
    ) -> Result<()> {
        let now = self.after(set_aside, call);
        let added: Vec<_> = now.difference(&self.known).cloned().collect();
        let removed: Vec<_> = self.known.difference(&now).cloned().collect();
        for (action, entries) in [("ADD #s :e", added), ("DELETE #s :e", removed)] {
            if entries.is_empty() {
                continue;
            }
            let update =
                table.client.update_item().table_name(&*table.name).set_key(Some(item::key(LIST, 0)));
            let update =
                update.update_expression(action).set_expression_attribute_names(names([("#s", STREAMS)]));
            let update =
                update.set_expression_attribute_values(values([(":e", AttributeValue::Ss(entries))]));
            table.call(|| update.clone().send()).await.map_err(failed)?;
        }
        self.known = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_stays_on_the_list_until_a_call_has_tried_it() {
        let (a, b) = ("a".parse::<StreamId>().unwrap(), "b".parse::<StreamId>().unwrap());
        let listed = || BTreeSet::from(["1 a".to_owned()]);
        let mut list = SetAsideList { known: listed(), untried: listed() };
        let none = std::iter::empty::<(&StreamId, ChangesetId)>;
        // Its own call fails; those that follow have other changesets.
        assert_eq!(list.after(none(), Call::Failed), listed());
        assert_eq!(list.after(none(), Call::OfOthers), listed());
        list.known = list.after([(&b, 2.into())].into_iter(), Call::OfOthers);
        assert_eq!(list.known, BTreeSet::from(["1 a".to_owned(), "2 b".to_owned()]));
        // A call that fails has tried none of them.
        assert_eq!(list.after(none(), Call::Failed), list.known);
        assert_eq!(list.after([(&a, 1.into())].into_iter(), Call::OfTheList), listed());
        assert!(list.after(none(), Call::OfTheList).is_empty());
    }
}

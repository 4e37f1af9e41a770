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
}

impl SetAsideList {
    /// Reads the list. Returns the changesets on it that are in the table still.
    pub(super) async fn read(&mut self, table: &Table) -> Result<Vec<Candidate>> {
        let found = table.get(item::key(LIST, 0)).await?;
        let listed = found.as_ref().and_then(|found| found.get(STREAMS)?.as_ss().ok());
        self.known = listed.into_iter().flatten().cloned().collect();
        let mut candidates = Vec::new();
        for (changeset_id, stream_id) in self.known.iter().filter_map(|entry| entry.split_once(' ')) {
            let Ok(changeset_id) = changeset_id.parse() else { continue };
            let found = table.get(item::key(stream_id, changeset_id)).await?;
            candidates.extend(found.as_ref().map(item::candidate).transpose()?);
        }
        Ok(candidates)
    }

    /// Writes down what has changed: these are set aside now. What else was known is over, if all of it was `tried`.
    pub(super) async fn write(
        &mut self,
        table: &Table,
        set_aside: impl Iterator<Item = (&StreamId, ChangesetId)>,
        tried: bool,
    ) -> Result<()> {
        let all: BTreeSet<_> = set_aside.map(|(stream_id, at)| format!("{at} {stream_id}")).collect();
        let mut now: BTreeSet<_> = all.into_iter().take(STREAMS_MAX).collect();
        if !tried {
            now.extend(self.known.iter().cloned());
        }
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

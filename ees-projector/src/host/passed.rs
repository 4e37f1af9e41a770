//! What the projections and reactors of a process did with one changeset, and when, as far as that is known.
//!
//! Nothing is written for each changeset, so the time at which one was passed is known within bounds only. Each entry
//! of the audit says where the projection was at its time.

use ees_store::{ChangesetId, ChangesetLog as _, Checkpoint, LogQuery, StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use super::handle::Handle;
use crate::projection_state::{AuditEntry, ChangesetRef, ParkedStream};
use crate::status::{Kind, State, Status};
use crate::worker::operations::operation::OperateError;

/// The most entries of an audit that are read.
const AUDIT_MAX: usize = 1_000;

/// What the projections and reactors of a process did with one changeset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Passed {
    /// The stream of the changeset.
    #[cfg_attr(feature = "http", schema(value_type = String))]
    pub stream_id: StreamId,
    /// The number of the changeset in its stream.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub changeset_id: ChangesetId,
    /// Its checkpoint.
    #[cfg_attr(feature = "http", schema(value_type = u64))]
    pub checkpoint: Checkpoint,
    /// What each did with it.
    pub projections: Vec<PassedBy>,
}

/// What a projection or a reactor did with a changeset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct PassedBy {
    /// The name of the projection or the reactor.
    pub name: String,
    /// A projection or a reactor.
    pub kind: Kind,
    /// What it did.
    #[serde(flatten)]
    #[cfg_attr(feature = "http", schema(inline))]
    pub verdict: Verdict,
}

/// What a projection or a reactor did with a changeset, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "verdict")]
#[non_exhaustive]
pub enum Verdict {
    /// It has applied it, or its filter leaves it out: between these times. No write is made for each changeset, so the
    /// exact time is not known.
    Passed {
        /// Not before: the changeset was committed then, or an operator found the projection before it.
        #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
        after: Timestamp,
        /// Not later: an operator found the projection past it then, or it is now.
        #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
        before: Timestamp,
    },
    /// An operator set the checkpoint past it.
    PassedOver {
        /// When.
        #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
        at: Timestamp,
    },
    /// An operator skipped it.
    Skipped {
        /// When, if the audit still has it.
        #[cfg_attr(feature = "http", schema(value_type = Option<String>, format = DateTime))]
        at: Option<Timestamp>,
    },
    /// It waits with its stream.
    Parked {
        /// The first parked changeset of the stream.
        #[cfg_attr(feature = "http", schema(value_type = u64))]
        first: ChangesetId,
        /// Since when the stream is parked.
        #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
        since: Timestamp,
    },
    /// It is paused before it.
    PausedBefore {
        /// Since when.
        #[cfg_attr(feature = "http", schema(value_type = String, format = DateTime))]
        since: Timestamp,
    },
    /// So many changesets come before it.
    NotYet {
        /// Their number.
        changesets_before: u64,
    },
    /// Some partitions have passed it.
    Perhaps,
    /// The process does not know where the read model is.
    Unknown,
}

impl Handle {
    /// Returns what each projection and reactor of this process did with a changeset, and when, as far as that is known.
    ///
    /// # Errors
    /// [`OperateError::NoChangeset`] if the log does not have it. [`OperateError::Unavailable`] if the log can't be read. Of
    /// a projection whose database can't be read, the verdict is unknown.
    pub async fn passed(
        &self,
        stream_id: &StreamId,
        changeset_id: ChangesetId,
    ) -> Result<Passed, OperateError> {
        let unread =
            |error: ees_store::Error| OperateError::Unavailable(format!("the log can't be read: {error}"));
        let none = || OperateError::NoChangeset { stream_id: stream_id.clone(), changeset_id };
        let checkpoint = self.log.locate(stream_id, changeset_id).await.map_err(unread)?.ok_or_else(none)?;
        let page = self.log.read(LogQuery::from(checkpoint, 1)).await.map_err(unread)?;
        let timestamp = page.changesets.first().map(|entry| entry.timestamp).unwrap_or_default();
        let changeset = ChangesetRef { checkpoint, stream_id: stream_id.clone(), changeset_id, timestamp };
        let mut projections = Vec::new();
        for status in self.list().await {
            let verdict = self.verdict(&status, &changeset).await.unwrap_or_else(|error| {
                tracing::warn!(projection = status.name, %error, "it can't be told whether it has passed a changeset");
                Verdict::Unknown
            });
            projections.push(PassedBy { name: status.name, kind: status.kind, verdict });
        }
        Ok(Passed { stream_id: stream_id.clone(), changeset_id, checkpoint, projections })
    }

    async fn verdict(&self, status: &Status, changeset: &ChangesetRef) -> Result<Verdict, OperateError> {
        if matches!(status.state, State::Starting | State::Absent) {
            return Ok(Verdict::Unknown);
        }
        if status.parked_streams > 0 {
            let parked = self.parked(&status.name).await?;
            let stream = parked.into_iter().find(|parked| parked.stream_id == changeset.stream_id);
            let waits = |parked: &ParkedStream| changeset.changeset_id >= parked.first;
            if let Some(ParkedStream { first, since, .. }) = stream.filter(waits) {
                return Ok(Verdict::Parked { first, since });
            }
        }
        let place = changeset.checkpoint;
        if status.skipped.contains(&place.get()) {
            let audit = self.audit(&status.name, AUDIT_MAX).await?;
            return Ok(Verdict::Skipped { at: skipped_at(&audit, changeset) });
        }
        let partitions: Vec<_> = status.partitions.iter().map(|partition| partition.checkpoint).collect();
        let positions = if partitions.is_empty() { vec![status.checkpoint] } else { partitions };
        Ok(if positions.iter().all(|checkpoint| *checkpoint > place) {
            // The row of a projection in partitions does not say where they are.
            let audit = match positions.len() {
                1 => self.audit(&status.name, AUDIT_MAX).await?,
                _ => Vec::new(),
            };
            when_passed(&audit, changeset, Timestamp::now())
        } else if positions.iter().any(|checkpoint| *checkpoint > place) {
            Verdict::Perhaps
        } else if let Some(pause) = status.pause.as_ref().filter(|_| status.checkpoint == place) {
            Verdict::PausedBefore { since: pause.since }
        } else {
            Verdict::NotYet { changesets_before: place.get().saturating_sub(status.checkpoint.get()) }
        })
    }
}

/// When an operator skipped a changeset. `audit` is the newest entry first.
fn skipped_at(audit: &[AuditEntry], changeset: &ChangesetRef) -> Option<Timestamp> {
    let is_skip = |entry: &&AuditEntry| {
        matches!(entry.action.as_str(), "skip" | "discard_effects")
            && entry.detail.starts_with(&changeset.in_words())
    };
    audit.iter().find(is_skip).map(|entry| entry.at)
}

/// When a changeset was passed, by what the audit says of where the projection was. `audit` is the newest entry first.
fn when_passed(audit: &[AuditEntry], changeset: &ChangesetRef, now: Timestamp) -> Verdict {
    let place = changeset.checkpoint;
    let (mut after, mut before) = (changeset.timestamp, now);
    for entry in audit {
        match entry.action.as_str() {
            // The standby was where it says.
            "discard" => continue,
            // Before, another read model was live, or the row did not say where the partitions were.
            "swap" | "rollback" | "set_partitions" => break,
            "rebuild" => {
                after = after.max(entry.at);
                break;
            }
            "new_version" if entry.detail.starts_with("in place") => {
                after = after.max(entry.at);
                break;
            }
            "set_checkpoint" => match entry.detail.strip_prefix("to ").and_then(|to| to.parse().ok()) {
                Some(to) if Checkpoint::new(to) <= place => {
                    after = after.max(entry.at);
                    break;
                }
                _ if entry.checkpoint <= place => return Verdict::PassedOver { at: entry.at },
                _ => before = entry.at,
            },
            _ if entry.checkpoint <= place => {
                after = after.max(entry.at);
                break;
            }
            _ => before = entry.at,
        }
    }
    // Clocks differ.
    Verdict::Passed { after, before: before.max(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, action: &str, checkpoint: u64, detail: &str) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_micros(at),
            action: action.to_owned(),
            reason: String::new(),
            checkpoint: Checkpoint::new(checkpoint),
            detail: detail.to_owned(),
        }
    }

    fn told(audit: &[AuditEntry]) -> Verdict {
        let changeset = ChangesetRef {
            checkpoint: Checkpoint::new(7),
            stream_id: "a".parse().unwrap(),
            changeset_id: 2.into(),
            timestamp: Timestamp::from_micros(10),
        };
        when_passed(audit, &changeset, Timestamp::from_micros(100))
    }

    fn between(after: i64, before: i64) -> Verdict {
        Verdict::Passed { after: Timestamp::from_micros(after), before: Timestamp::from_micros(before) }
    }

    #[test]
    fn the_audit_narrows_down_when_a_changeset_was_passed() {
        assert_eq!(told(&[]), between(10, 100));
        let [late, past, before] =
            [(90, 30), (50, 8), (40, 7)].map(|(at, checkpoint)| entry(at, "pause", checkpoint, ""));
        assert_eq!(
            told(&[late.clone(), past.clone(), before.clone(), entry(30, "pause", 9, "")]),
            between(40, 50)
        );
        assert_eq!(told(&[late.clone(), past.clone()]), between(10, 50));
        assert_eq!(told(std::slice::from_ref(&before)), between(40, 100));
        // What was before a rebuild or a step back says nothing of the read model of now.
        let back = entry(60, "set_checkpoint", 9, "to 3");
        let version = entry(60, "new_version", 9, "in place, up to 9");
        for anew in [entry(60, "rebuild", 9, "up to 9"), version, back] {
            assert_eq!(told(&[late.clone(), anew, past.clone()]), between(60, 90));
        }
        for other in ["swap", "rollback", "set_partitions"] {
            assert_eq!(told(&[late.clone(), entry(60, other, 9, ""), before.clone()]), between(10, 90));
        }
        assert_eq!(told(&[entry(60, "discard", 2, ""), past]), between(10, 50));
        let on = entry(60, "set_checkpoint", 5, "to 9");
        assert_eq!(told(&[late, on]), Verdict::PassedOver { at: Timestamp::from_micros(60) });
    }
}

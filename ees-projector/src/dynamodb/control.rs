//! The projections' rows, what is parked, and the audit.
//!
//! A projection's row is the item `control` of the partition `!NAME`; beside it stand its audit entries, by time. A stream that
//! is parked is an item of a table of the projection's own, and each of its changesets one of the stream's partition.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use ees_store::{ChangesetId, Checkpoint, LogId, StreamId, Timestamp};
use uuid::Uuid;

use super::item::{self, Item, KEY, number, text, to_number, to_number_if, to_text};
use super::tx::{Condition, Tx};
use crate::control::{Applied, AuditEntry, Control, ParkedStream, Position};
use crate::database::Transaction;
use crate::projection::BoxError;

/// The key of a projection's row.
pub(super) const CONTROL: &str = "control";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const EPOCH: &str = "epoch";
/// What the keys of audit entries begin with.
const AUDIT: &str = "audit/";
/// Entries of the audit that one transaction takes away.
const SWEPT_MAX: usize = 90;

/// The partition of a projection's row. No table's rows are in one that begins so.
pub(super) fn home(name: &str) -> String {
    format!("!{name}")
}

/// The table of a projection's parked streams, as far as generations are concerned.
fn parking(name: &str) -> String {
    format!("{name}/parked")
}

/// Where a parked stream's changesets are.
fn waiting_room(parked: &str, stream_id: &StreamId) -> String {
    format!("{parked}/{stream_id}")
}

fn of_checkpoint(checkpoint: Checkpoint) -> String {
    format!("{:020}", checkpoint.get())
}

fn of_moment(moment: Timestamp) -> String {
    format!("{AUDIT}{:020}", moment.as_micros())
}

impl Transaction for Tx {
    async fn load(&mut self, name: &str) -> Result<Option<Control>, BoxError> {
        self.get(&home(name), CONTROL).await?.as_ref().map(to_control).transpose()
    }

    async fn insert(&mut self, name: &str, control: &Control) -> Result<bool, BoxError> {
        if self.load(name).await?.is_some() {
            return Ok(false);
        }
        self.stage_if(&home(name), CONTROL, Some(of_control(control)?), Some(Condition::Absent))?;
        Ok(true)
    }

    /// Sure only after the commit: which is refused if the row stands elsewhere by then.
    async fn replace(&mut self, name: &str, believed: Position, control: &Control) -> Result<bool, BoxError> {
        let condition = Some(Condition::StandsAt(believed));
        self.stage_if(&home(name), CONTROL, Some(of_control(control)?), condition)?;
        Ok(true)
    }

    async fn park(
        &mut self,
        name: &str,
        changeset: &Applied,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), BoxError> {
        let parked = self.partition_of(&parking(name)).await?;
        let stream_id = changeset.stream_id.as_str();
        let room = waiting_room(&parked, &changeset.stream_id);
        let place = of_checkpoint(changeset.checkpoint);
        if self.get(&room, &place).await?.is_some() {
            return Ok(());
        }
        let stream = match self.get(&parked, stream_id).await? {
            Some(mut stream) => {
                let changesets: u64 = to_number(&stream, "changesets")?;
                stream.insert("changesets".to_owned(), number(changesets + 1));
                // The checkpoint may have been moved back over it.
                let first: u64 = to_number(&stream, "first")?;
                stream.insert("first".to_owned(), number(first.min(changeset.changeset_id.get())));
                stream
            }
            None => item_of([
                ("first", number(changeset.changeset_id.get())),
                ("changesets", number(1)),
                ("attempts", number(1)),
                ("error", text(error)),
                ("since", number(Timestamp::now().as_micros())),
                ("retry_at", number(retry_at.as_micros())),
            ]),
        };
        self.stage(&parked, stream_id, Some(stream))?;
        let waiting = item_of([("changeset_id", number(changeset.changeset_id.get()))]);
        self.stage(&room, &place, Some(waiting))
    }

    async fn parked(&mut self, name: &str) -> Result<Vec<ParkedStream>, BoxError> {
        let parked = self.partition_of(&parking(name)).await?;
        let mut streams = Vec::new();
        for stream in self.query(&parked, usize::MAX).await? {
            streams.push(ParkedStream {
                stream_id: StreamId::new(to_text(&stream, KEY)?)?,
                first: ChangesetId::new(to_number(&stream, "first")?),
                changesets: to_number(&stream, "changesets")?,
                attempts: to_number(&stream, "attempts")?,
                error: to_text(&stream, "error")?.to_owned(),
                since: Timestamp::from_micros(to_number(&stream, "since")?),
                retry_at: Timestamp::from_micros(to_number(&stream, "retry_at")?),
            });
        }
        streams.sort_by_key(|stream| stream.retry_at);
        Ok(streams)
    }

    async fn parked_places(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        limit: usize,
    ) -> Result<Vec<Checkpoint>, BoxError> {
        let room = waiting_room(&self.partition_of(&parking(name)).await?, stream_id);
        let places = self.query(&room, limit).await?;
        places.iter().map(|place| Ok(Checkpoint::new(to_text(place, KEY)?.parse()?))).collect()
    }

    async fn unpark(
        &mut self,
        name: &str,
        stream_id: &StreamId,
        checkpoint: Checkpoint,
    ) -> Result<bool, BoxError> {
        let parked = self.partition_of(&parking(name)).await?;
        let room = waiting_room(&parked, stream_id);
        let place = of_checkpoint(checkpoint);
        if self.get(&room, &place).await?.is_none() {
            return Ok(false);
        }
        self.stage(&room, &place, None)?;
        let next = self.query(&room, 1).await?;
        let stream = match (self.get(&parked, stream_id.as_str()).await?, next.first()) {
            (Some(mut stream), Some(next)) => {
                let changesets: u64 = to_number(&stream, "changesets")?;
                stream.insert("changesets".to_owned(), number(changesets.saturating_sub(1)));
                stream.insert("first".to_owned(), number(to_number::<u64>(next, "changeset_id")?));
                Some(stream)
            }
            _ => None,
        };
        self.stage(&parked, stream_id.as_str(), stream)?;
        Ok(true)
    }

    async fn update_parked(&mut self, name: &str, stream: &ParkedStream) -> Result<(), BoxError> {
        let parked = self.partition_of(&parking(name)).await?;
        let Some(mut item) = self.get(&parked, stream.stream_id.as_str()).await? else { return Ok(()) };
        item.insert("attempts".to_owned(), number(stream.attempts));
        item.insert("error".to_owned(), text(&stream.error));
        item.insert("since".to_owned(), number(stream.since.as_micros()));
        item.insert("retry_at".to_owned(), number(stream.retry_at.as_micros()));
        self.stage(&parked, stream.stream_id.as_str(), Some(item))
    }

    async fn clear_parked(&mut self, name: &str) -> Result<(), BoxError> {
        self.next_generation(&parking(name)).await
    }

    async fn audit(&mut self, name: &str, entry: &AuditEntry) -> Result<(), BoxError> {
        let key = format!("{}/{}", of_moment(entry.at), Uuid::new_v4().simple());
        let item = item_of([
            ("at", number(entry.at.as_micros())),
            ("action", text(&entry.action)),
            ("reason", text(&entry.reason)),
            (CHECKPOINT, number(entry.checkpoint.get())),
            ("detail", text(&entry.detail)),
        ]);
        self.stage(&home(name), &key, Some(item))
    }

    async fn audit_entries(&mut self, name: &str, limit: usize) -> Result<Vec<AuditEntry>, BoxError> {
        let found = self.query_between(&home(name), AUDIT, None, limit, false).await?;
        let entry = |item: &Item| {
            Ok(AuditEntry {
                at: Timestamp::from_micros(to_number(item, "at")?),
                action: to_text(item, "action")?.to_owned(),
                reason: to_text(item, "reason")?.to_owned(),
                checkpoint: Checkpoint::new(to_number(item, CHECKPOINT)?),
                detail: to_text(item, "detail")?.to_owned(),
            })
        };
        found.iter().map(entry).collect()
    }

    async fn sweep(&mut self, name: &str, audit_before: Timestamp, limit: usize) -> Result<usize, BoxError> {
        let home = home(name);
        let until = of_moment(audit_before);
        let old = self.query_between(&home, AUDIT, Some(&until), limit.min(SWEPT_MAX), true).await?;
        for entry in &old {
            self.stage(&home, to_text(entry, KEY)?, None)?;
        }
        // Rows that nobody reads any more need no transaction.
        let dropped = self.database.remove_dropped(limit).await?;
        Ok(if old.len() == SWEPT_MAX { limit } else { old.len().max(dropped) })
    }

    async fn commit(self) -> Result<(), BoxError> {
        self.write_all().await
    }
}

impl Tx {
    /// The first changeset of a stream that waits, if it does.
    pub(super) async fn first_parked(
        &self,
        name: &str,
        stream_id: &StreamId,
    ) -> Result<Option<ChangesetId>, BoxError> {
        let parked = self.partition_of(&parking(name)).await?;
        let stream = self.get(&parked, stream_id.as_str()).await?;
        stream.map(|stream| Ok(ChangesetId::new(to_number(&stream, "first")?))).transpose()
    }

    /// Items of a partition in the order of their keys, what is staged included.
    async fn query(&self, partition: &str, limit: usize) -> Result<Vec<Item>, BoxError> {
        self.query_between(partition, "", None, limit, true).await
    }

    /// As [`Database::query`](super::Database::query), what is staged included.
    async fn query_between(
        &self,
        partition: &str,
        begin: &str,
        until: Option<&str>,
        limit: usize,
        ascending: bool,
    ) -> Result<Vec<Item>, BoxError> {
        let is_wanted = |key: &str| key.starts_with(begin) && until.is_none_or(|until| key < until);
        let staged: Vec<_> = self.staged_in(partition).filter(|(key, _)| is_wanted(key)).collect();
        let enough = limit.saturating_add(staged.len());
        let stored = self.database.query(partition, begin, until, enough, ascending).await?;
        let mut items = BTreeMap::new();
        for item in stored {
            items.insert(to_text(&item, KEY)?.to_owned(), item);
        }
        for (key, item) in staged {
            match item {
                Some(item) => items.insert(key.to_owned(), item.clone()),
                None => items.remove(key),
            };
        }
        let items = items.into_values();
        Ok(if ascending { items.take(limit).collect() } else { items.rev().take(limit).collect() })
    }
}

fn item_of<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_control(control: &Control) -> Result<Item, BoxError> {
    let mut item = item_of([
        ("version", number(control.version)),
        (CHECKPOINT, number(control.position.next.get())),
        (EPOCH, number(control.position.epoch)),
    ]);
    let mut set = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
    if let Some(log_id) = control.log_id {
        set("log_id", text(log_id.to_string()));
    }
    if let Some(last) = &control.last {
        set("last_checkpoint", number(last.checkpoint.get()));
        set("last_stream_id", text(last.stream_id.as_str()));
        set("last_changeset_id", number(last.changeset_id.get()));
        set("last_timestamp", number(last.timestamp.as_micros()));
    }
    if let Some(until) = control.rebuild_until {
        set("rebuild_until", number(until.get()));
    }
    if let Some(pause) = &control.pause {
        set("pause", text(serde_json::to_string(pause)?));
    }
    Ok(item)
}

fn to_control(item: &Item) -> Result<Control, BoxError> {
    let last = match to_number_if(item, "last_checkpoint")? {
        Some(checkpoint) => Some(Applied {
            checkpoint: Checkpoint::new(checkpoint),
            stream_id: StreamId::new(to_text(item, "last_stream_id")?)?,
            changeset_id: ChangesetId::new(to_number(item, "last_changeset_id")?),
            timestamp: Timestamp::from_micros(to_number(item, "last_timestamp")?),
        }),
        None => None,
    };
    let text_if = |name: &str| item.contains_key(name).then(|| to_text(item, name)).transpose();
    Ok(Control {
        version: to_number(item, "version")?,
        position: Position { next: checkpoint(item)?, epoch: to_number(item, EPOCH)? },
        log_id: text_if("log_id")?.map(|id| id.parse().map(LogId)).transpose()?,
        last,
        rebuild_until: to_number_if(item, "rebuild_until")?.map(Checkpoint::new),
        pause: text_if("pause")?.map(serde_json::from_str).transpose()?,
        split: None,
        standby: None,
    })
}

/// The checkpoint that a projection reads next, by its row.
pub(super) fn checkpoint(control: &Item) -> Result<Checkpoint, super::Error> {
    item::to_number(control, CHECKPOINT).map(Checkpoint::new)
}

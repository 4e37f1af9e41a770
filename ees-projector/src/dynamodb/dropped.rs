//! Deletes the rows of dropped tables. Nothing reads them any more.

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};

use super::Database;
use super::error::Error;
use super::item::{self, KEY, to_text};
use super::rows::DROPPED;
use super::unprocessed::Rounds;
use crate::error::BoxError;

/// The most requests in one call of `BatchWriteItem`.
const REQUESTS_MAX: usize = 25;
/// The most dropped partitions that one sweep looks at.
const PARTITIONS_MAX: usize = 100;

impl Database {
    /// Deletes at most `limit` items of dropped tables. Returns how many.
    pub(super) async fn remove_dropped(&self, limit: usize) -> Result<usize, BoxError> {
        let mut removed = 0;
        for dropped in self.query(DROPPED, "", None, PARTITIONS_MAX, true).await? {
            let partition = to_text(&dropped, KEY)?.to_owned();
            removed += self.remove_partition(&partition, limit - removed).await?;
            if removed >= limit {
                break;
            }
            // Deleted last, so that the next sweep continues after a crash.
            self.remove(DROPPED, &[&partition]).await?;
        }
        Ok(removed)
    }

    async fn remove_partition(&self, partition: &str, limit: usize) -> Result<usize, BoxError> {
        let mut removed = 0;
        while removed < limit {
            let items = self.query(partition, "", None, REQUESTS_MAX.min(limit - removed), true).await?;
            let keys: Vec<_> = items.iter().map(|item| to_text(item, KEY)).collect::<Result<_, _>>()?;
            if keys.is_empty() {
                break;
            }
            // The changesets of a parked stream are in a partition of their own. They are few: with many, the
            // projection would be paused.
            for key in keys.iter().filter(|_| partition.contains("/parked@")) {
                let room = format!("{partition}/{key}");
                while let places @ [_, ..] = &self.query(&room, "", None, REQUESTS_MAX, true).await?[..] {
                    let keys: Vec<_> = places.iter().map(|it| to_text(it, KEY)).collect::<Result<_, _>>()?;
                    self.remove(&room, &keys).await?;
                }
            }
            self.remove(partition, &keys).await?;
            removed += keys.len();
        }
        Ok(removed)
    }

    async fn remove(&self, partition: &str, keys: &[&str]) -> Result<(), BoxError> {
        let mut left = Vec::with_capacity(keys.len());
        for key in keys {
            let delete = DeleteRequest::builder().set_key(Some(item::key(partition, key))).build()?;
            left.push(WriteRequest::builder().delete_request(delete).build());
        }
        let mut rounds = Rounds::new();
        while !left.is_empty() {
            let before = left.len();
            let call = self.client.batch_write_item().request_items(&*self.table, left);
            let answer = Box::pin(call.send()).await.map_err(Error::of)?;
            left = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, left)| left).collect();
            rounds.next(before, left.len()).await?;
        }
        Ok(())
    }
}

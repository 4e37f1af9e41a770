//! Leases: which worker runs which read model. A lease is kept in the read model's row; a table lists the
//! workers that could have it.

use sqlx::Row;

use super::Tx;
use crate::database::{Lease, take_turns};
use crate::error::BoxError;

/// Seconds after which a lease ends that is not renewed, and after which a worker counts as gone.
pub(super) const LEASE_SECONDS: f64 = 5.0;

impl Tx {
    /// Takes or renews the lease, or leaves it to another worker.
    pub(super) async fn take_turns(
        &mut self,
        name: &str,
        version: u32,
        stays: bool,
    ) -> Result<Lease, BoxError> {
        let me = self.worker.clone();
        if stays {
            self.show_up(name, version).await?;
        }
        let row = sqlx::query(
            "SELECT owner, coalesce(leased_until > clock_timestamp(), false), ARRAY(
                SELECT id FROM ees.workers WHERE projection = $1 AND version = $2
                    AND seen_at > clock_timestamp() - make_interval(secs => $3) ORDER BY id)
             FROM ees.projections WHERE name = $1 FOR UPDATE SKIP LOCKED",
        )
        .bind(name)
        .bind(i64::from(version))
        .bind(LEASE_SECONDS)
        .fetch_optional(self.inner())
        .await?;
        let Some(row) = row else { return Ok(Lease::Busy) };
        let owner: Option<String> = row.try_get(0)?;
        let held: bool = row.try_get(1)?;
        let workers: Vec<String> = row.try_get(2)?;
        let ours = owner.as_deref() == Some(&*me);
        let lease = take_turns(name, &me, owner.map(|owner| (owner, held)), &workers, stays);
        match lease {
            Lease::Ours { .. } => self.keep(name, if ours { 0 } else { 1 }).await?,
            _ if ours => self.give_back(name).await?,
            _ => {}
        }
        Ok(lease)
    }

    /// A worker that takes the lease from another raises the epoch, so that the fence refuses what the other
    /// still writes.
    async fn keep(&mut self, name: &str, epochs: i64) -> Result<(), BoxError> {
        let me = self.worker.clone();
        sqlx::query(
            "UPDATE ees.projections SET owner = $2, epoch = epoch + $3,
                leased_until = clock_timestamp() + make_interval(secs => $4) WHERE name = $1",
        )
        .bind(name)
        .bind(&*me)
        .bind(epochs)
        .bind(LEASE_SECONDS)
        .execute(self.inner())
        .await?;
        Ok(())
    }

    async fn show_up(&mut self, name: &str, version: u32) -> Result<(), BoxError> {
        let me = self.worker.clone();
        sqlx::query(
            "WITH gone AS (
                DELETE FROM ees.workers WHERE projection = $2 AND id <> $1
                    AND seen_at < clock_timestamp() - make_interval(secs => $4)
             )
             INSERT INTO ees.workers (id, projection, version, seen_at) VALUES ($1, $2, $3, clock_timestamp())
             ON CONFLICT (projection, id) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
        )
        .bind(&*me)
        .bind(name)
        .bind(i64::from(version))
        .bind(LEASE_SECONDS * 10.0)
        .execute(self.inner())
        .await?;
        Ok(())
    }

    /// Deletes workers that were not seen for ten times the lease. This clears projections that no worker
    /// runs any more; otherwise each worker does it when it reports.
    pub(super) async fn forget_gone_workers(&mut self, limit: usize) -> Result<(), BoxError> {
        sqlx::query(
            "DELETE FROM ees.workers WHERE (projection, id) IN (
                SELECT projection, id FROM ees.workers WHERE seen_at < clock_timestamp() - make_interval(secs => $1)
                LIMIT $2 FOR UPDATE SKIP LOCKED
            )",
        )
        .bind(LEASE_SECONDS * 10.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Releases the lease and removes this worker, so that another worker can take over at once.
    pub(super) async fn leave(&mut self, name: &str) -> Result<(), BoxError> {
        self.give_back(name).await?;
        let me = self.worker.clone();
        sqlx::query("DELETE FROM ees.workers WHERE projection = $1 AND id = $2")
            .bind(name)
            .bind(&*me)
            .execute(self.inner())
            .await?;
        Ok(())
    }

    async fn give_back(&mut self, name: &str) -> Result<(), BoxError> {
        let me = self.worker.clone();
        sqlx::query(
            "UPDATE ees.projections SET owner = NULL, leased_until = NULL WHERE name = $1 AND owner = $2",
        )
        .bind(name)
        .bind(&*me)
        .execute(self.inner())
        .await?;
        Ok(())
    }
}

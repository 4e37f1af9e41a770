//! Checks the settings of a table.

use aws_sdk_dynamodb::types::StreamViewType;
use aws_sdk_dynamodb::{Client, Config};

use super::calls::client;
use super::item::{self, EXPIRES_AT, STREAM_TYPE, UPDATED_AT};
use super::options::Options;
use super::schema::Layout;
use super::table::Table;
use super::table_format::TableFormat;
use crate::aws::told;
use crate::{Changeset, Quarantined, Result};

/// One check of a table, as `ees dynamodb check` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked.
    pub what: &'static str,
    /// Whether the check passed.
    pub is_well: bool,
    /// What was found, and what to do if the check did not pass.
    pub detail: String,
}

/// Checks a table: what a [`Store`](super::Store) needs, and what we recommend.
///
/// # Errors
/// [`Error::InvalidRequest`](crate::Error::InvalidRequest) when the table does not exist, or can't be used
/// for a store; the message says why.
pub async fn check(config: impl Into<Config>, table: &str) -> Result<Vec<Check>> {
    let client = &client(config);
    let layout = Layout::of(client, table).await?;
    let mut checks = vec![
        Check {
            what: "keys and indexes",
            is_well: true,
            detail: format!("{} enumerates", layout.enumeration),
        },
        Check {
            what: "table format",
            is_well: true,
            detail: match layout.format {
                TableFormat::V3 => {
                    "3: idempotency keys are in their changesets, and each page of the order has 8 stripes"
                        .to_owned()
                }
                older => format!(
                    "{older}: idempotency keys are items of their own, so a commit with a key is a transaction, and each \
                     page of the order is in one partition; `ees dynamodb cost --table` says what that costs and how \
                     much it takes; only a new table can have another format"
                ),
            },
        },
        Check {
            what: "size of a changeset",
            is_well: layout.copies == 0,
            detail: match layout.copies {
                0 => format!("up to {} bytes", layout.limit_bytes),
                copies => format!(
                    "up to {} bytes, because {copies} local indexes hold copies; this can't be changed",
                    layout.limit_bytes
                ),
            },
        },
        Check {
            what: "stream of changes",
            is_well: matches!(
                layout.stream,
                Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages)
            ),
            detail: match &layout.stream {
                Some(view) => {
                    format!("has {}; needs NEW_IMAGE to index and publish by functions", view.as_str())
                }
                None => "off; indexing and publishing by functions needs it, with NEW_IMAGE".to_owned(),
            },
        },
        Check {
            what: "index of typed streams",
            is_well: layout.by_type.is_some(),
            detail: format!(
                "a global index with the keys {STREAM_TYPE} and {UPDATED_AT}, for listing typed streams"
            ),
        },
    ];
    checks.push(expiry(client, table).await);
    checks.push(recovery(client, table).await);
    Ok(checks)
}

/// Reads the whole table, at half a read unit for 4 KB, and gives every changeset that can't be read to `told`.
/// Returns the number of changesets that it has read.
///
/// # Errors
/// As for [`check`].
pub async fn check_bodies(
    config: impl Into<Config>,
    table: &str,
    mut told: impl FnMut(&Changeset, &Quarantined) + Send,
) -> Result<u64> {
    let (table, _) = Table::find(config, table, Options::default().patience).await?;
    let mut changesets = 0;
    table
        .scan(|found| {
            if item::is_reserved(found) {
                return Ok(());
            }
            let changeset = item::to_changeset(found)?;
            changesets += 1;
            if let Some(quarantined) = changeset.events.quarantined() {
                told(&changeset, quarantined);
            }
            Ok(())
        })
        .await?;
    Ok(changesets)
}

async fn expiry(client: &Client, table: &str) -> Check {
    let (is_well, detail) = match client.describe_time_to_live().table_name(table).send().await {
        Ok(answer) => {
            let found = answer.time_to_live_description();
            let found = found.and_then(|it| it.attribute_name()).map(str::to_owned);
            let detail = format!("by {}; should be by {EXPIRES_AT}", found.as_deref().unwrap_or("nothing"));
            (found.as_deref() == Some(EXPIRES_AT), detail)
        }
        Err(error) => (false, format!("unknown: {}", told(&error))),
    };
    Check { what: "expiry of idempotency keys", is_well, detail }
}

async fn recovery(client: &Client, table: &str) -> Check {
    let (is_well, detail) = match client.describe_continuous_backups().table_name(table).send().await {
        Ok(answer) => {
            let status = answer
                .continuous_backups_description()
                .and_then(|it| it.point_in_time_recovery_description());
            let status =
                status.and_then(|it| it.point_in_time_recovery_status()).map_or("DISABLED", |it| it.as_str());
            (status == "ENABLED", status.to_owned())
        }
        Err(error) => (false, format!("unknown: {}", told(&error))),
    };
    Check { what: "point-in-time recovery", is_well, detail }
}

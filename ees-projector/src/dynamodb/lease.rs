//! The leases of those who share a rebuild. A lease is an item beside the worker's row, so that renewing it is in
//! nobody's way, and holds by the clock of its owner. A wrong clock costs time or double work and nothing else: the
//! row of the worker fences.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use ees_store::Timestamp;

use super::error::Error;
use super::item::{self, Item, PARTITION, item_of, number, text, to_number, to_text};
use super::row_key::row_of;
use crate::database::Lease;
use crate::read_model_id::ReadModelId;

/// Ends the key of a lease, which begins with that of the worker's row.
pub(super) const LEASE: &str = "/lease";
/// How long a lease holds that is not renewed.
const HOLDS: Duration = Duration::from_secs(5);
/// For each lease that a process has, it leaves a further one to others for so long: processes that start together
/// get equal shares.
const LEFT_TO_OTHERS: Duration = Duration::from_millis(500);

const OWNER: &str = "owner";
const UNTIL: &str = "until";

/// What this process knows of leases.
#[derive(Default)]
pub(super) struct Leases(Mutex<HashMap<String, Known>>);

#[derive(Clone, Copy)]
enum Known {
    OursUntil(Instant),
    FreeSince(Instant),
}

impl Leases {
    /// Returns `true` if this process may take a lease that is free now.
    fn may_take(&self, key: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ours = known.values().filter(|it| matches!(it, Known::OursUntil(until) if *until > now)).count();
        let free = known.entry(key.to_owned()).or_insert(Known::FreeSince(now));
        if !matches!(free, Known::FreeSince(_)) {
            *free = Known::FreeSince(now);
        }
        let Known::FreeSince(since) = *free else { return false };
        now.duration_since(since) >= LEFT_TO_OTHERS * u32::try_from(ours).unwrap_or(u32::MAX)
    }

    fn note(&self, key: &str, is_ours: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match is_ours {
            true => known.insert(key.to_owned(), Known::OursUntil(Instant::now() + HOLDS)),
            false => known.remove(key),
        };
    }
}

/// The owner of a lease, if it holds.
pub(super) fn owner(lease: &Item) -> Result<Option<String>, Error> {
    let until = Timestamp::from_micros(to_number(lease, UNTIL)?);
    Ok(Some(to_text(lease, OWNER)?.to_owned()).filter(|_| until > Timestamp::now()))
}

impl super::Database {
    /// Takes or renews the lease of a worker's row. A host that does not stay takes what is free at once.
    pub(super) async fn take_lease(&self, model: &ReadModelId, stays: bool) -> Result<Lease, Error> {
        let (home, key) = lease_of(model);
        let name = format!("{home} {key}");
        let found = self.get(&home, &key).await?;
        let owner = found.as_ref().map(owner).transpose()?.flatten();
        if owner.as_deref().is_some_and(|owner| owner != &*self.worker) {
            self.leases.note(&name, false);
            return Ok(Lease::Elsewhere { worker: owner });
        }
        if owner.is_none() && stays && !self.leases.may_take(&name) {
            return Ok(Lease::Elsewhere { worker: None });
        }
        let until = Timestamp::now().later_by(HOLDS).as_micros();
        let lease = item_of([(OWNER, text(&*self.worker)), (UNTIL, number(until))]);
        let put = self.client.put_item().table_name(&*self.table);
        let put = put.set_item(Some(lease.into_iter().chain(item::key(&home, &key)).collect()));
        let put = match found {
            Some(found) => {
                let put = put.condition_expression("#o = :o AND #u = :u");
                let put = put.expression_attribute_names("#o", OWNER).expression_attribute_names("#u", UNTIL);
                let was = item_of([
                    (":o", text(to_text(&found, OWNER)?)),
                    (":u", number(to_number::<i64>(&found, UNTIL)?)),
                ]);
                put.set_expression_attribute_values(Some(was))
            }
            None => {
                let put = put.condition_expression("attribute_not_exists(#p)");
                put.expression_attribute_names("#p", PARTITION)
            }
        };
        match Box::pin(put.send()).await {
            Ok(_) => {
                self.leases.note(&name, true);
                Ok(Lease::Ours { worker: self.worker.to_string() })
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Lease::Busy)
            }
            Err(error) => Err(Error::of(error)),
        }
    }

    /// Ends the lease on a worker's row, if this process has it.
    pub(super) async fn give_lease_back(&self, model: &ReadModelId) -> Result<(), Error> {
        let (home, key) = lease_of(model);
        self.leases.note(&format!("{home} {key}"), false);
        let delete = self.client.delete_item().table_name(&*self.table);
        let delete = delete.set_key(Some(item::key(&home, &key))).condition_expression("#o = :o");
        let delete = delete.expression_attribute_names("#o", OWNER);
        let delete = delete.expression_attribute_values(":o", text(&*self.worker));
        match Box::pin(delete.send()).await {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::of(error)),
        }
    }
}

fn lease_of(model: &ReadModelId) -> (String, String) {
    let (home, row) = row_of(model);
    (home, format!("{row}{LEASE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_lease_leaves_the_next_one_to_others_for_a_moment() {
        let leases = Leases::default();
        assert!(leases.may_take("first"));
        leases.note("first", true);
        assert!(!leases.may_take("second"));
        leases.note("first", false);
        assert!(leases.may_take("second"));
    }
}

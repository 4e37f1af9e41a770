//! What a check of idempotency keys found.

/// Faults that a check describes; it counts the rest.
pub(crate) const FAULTS_MAX: usize = 1_000;

/// What a check of the idempotency keys of a store found.
///
/// A key is stored as the digest of its stream and itself. So a check can't tell for which stream it was made,
/// only which changeset it became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCheck {
    /// The keys that were checked.
    pub keys: u64,
    /// Those of them that need not be kept any more. The store deletes them before long.
    pub expired: u64,
    /// The number of faults.
    pub faults: u64,
    /// The first 1,000 faults, in a sentence each that names the key by its digest.
    pub described: Vec<String>,
}

impl KeyCheck {
    pub(crate) fn fault(&mut self, describe: impl FnOnce() -> String) {
        self.faults += 1;
        if self.described.len() < FAULTS_MAX {
            self.described.push(describe());
        }
    }
}

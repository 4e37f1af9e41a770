//! API keys and their scopes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// What a key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reading streams, the log, statistics, metrics and the description of the API.
    Read,
    /// Appending to streams.
    Commit,
    /// Everything, including operating the projections.
    Admin,
}

impl Scope {
    pub(crate) const ALL: [Self; 3] = [Self::Read, Self::Commit, Self::Admin];

    /// Its name, in lists of keys and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Commit => "commit",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The scopes of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    read: bool,
    commit: bool,
    admin: bool,
}

impl Scopes {
    /// The names of what it allows.
    pub(super) fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.allow(*scope)).map(Scope::name).collect()
    }

    pub(crate) fn allow(self, scope: Scope) -> bool {
        self.admin
            || match scope {
                Scope::Read => self.read,
                Scope::Commit => self.commit,
                Scope::Admin => false,
            }
    }

    fn and(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            commit: self.commit || other.commit,
            admin: self.admin || other.admin,
        }
    }

    fn of(scope: Scope) -> Self {
        Self { read: scope == Scope::Read, commit: scope == Scope::Commit, admin: scope == Scope::Admin }
    }
}

/// The keys that a server accepts. It keeps only their SHA-256 hashes.
///
/// Clones share one list: [`replace`](Self::replace) changes it in a server that runs.
///
/// ```
/// use ees_store::http::ApiKeys;
/// // One key for all, one that may read, and one that may read and commit, of which only the hash is written down.
/// let keys: ApiKeys = "8Cq2o5nYyP, read:TTLzEw9xcH, read+commit:sha256=\
///     9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".parse()?;
/// assert!("raed:TTLzEw9xcH".parse::<ApiKeys>().is_err());
/// # Ok::<(), ees_store::http::InvalidKeys>(())
/// ```
#[derive(Clone)]
pub struct ApiKeys(watch::Sender<Vec<Entry>>);

type Hash = [u8; 32];

#[derive(Clone, Copy)]
struct Entry {
    scopes: Scopes,
    hash: Hash,
}

/// A key that is known, as a request has shown it.
pub(crate) struct Pass {
    keys: ApiKeys,
    hash: Hash,
    pub(crate) scopes: Scopes,
}

impl Pass {
    /// Completes when the key does not have this scope any more.
    pub(super) async fn loses(self, scope: Scope) {
        let mut list = self.keys.0.subscribe();
        while scopes_in(&list.borrow_and_update(), &self.hash).is_some_and(|scopes| scopes.allow(scope)) {
            if list.changed().await.is_err() {
                return;
            }
        }
    }
}

/// An invalid list of keys. The message names the entry, but never contains a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// The list is empty.
    #[error("the list of API keys is empty")]
    Empty,
    /// An entry is not `KEY`, `SCOPES:KEY`, `SCOPES:sha256=HEX` or `sha256=HEX`.
    #[error("API key {number}: {why}")]
    Entry {
        /// Which entry of the list, from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl ApiKeys {
    /// No keys: the server refuses every call that needs one.
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    fn of(list: Vec<Entry>) -> Self {
        Self(watch::Sender::new(list))
    }

    /// Accepts these keys from now on, and no others, in every server that has a clone of this list.
    ///
    /// Requests under way are finished. Event streams of keys that are gone end.
    ///
    /// ```
    /// use ees_store::http::ApiKeys;
    /// let keys: ApiKeys = "admin:8Cq2o5nYyP".parse()?;
    /// // `api.with_keys(keys.clone())`, and later, when a key has leaked:
    /// keys.replace(&"admin:TTLzEw9xcH".parse()?);
    /// # Ok::<(), ees_store::http::InvalidKeys>(())
    /// ```
    pub fn replace(&self, keys: &Self) {
        let list = keys.0.borrow().clone();
        self.0.send_replace(list);
    }

    /// One key, for everything.
    #[cfg(feature = "client")]
    pub(super) fn of_one(key: &str) -> Self {
        Self::of(vec![Entry { scopes: Scopes::of(Scope::Admin), hash: Sha256::digest(key).into() }])
    }

    /// Reads a comma-separated list of `SCOPES:KEY` or `SCOPES:sha256=HEX`.
    ///
    /// `SCOPES` is one of `read`, `commit` and `admin`, or several joined by `+`; `admin` includes the
    /// others, and an entry without scopes has all. A key is visible ASCII without a comma or a colon.
    ///
    /// # Errors
    /// [`InvalidKeys`] names the entry that can't be read.
    pub fn parse(text: &str) -> Result<Self, InvalidKeys> {
        let entries = text.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let keys: Vec<_> = entries
            .map(|(at, entry)| read_entry(entry).map_err(|why| InvalidKeys::Entry { number: at + 1, why }))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidKeys::Empty) } else { Ok(Self::of(keys)) }
    }

    /// The scopes of each key, in their order.
    pub(super) fn scopes(&self) -> Vec<Scopes> {
        self.0.borrow().iter().map(|entry| entry.scopes).collect()
    }

    /// What the bearer of this key may do; `None` when the key is not known.
    pub(crate) fn pass(&self, key: &[u8]) -> Option<Pass> {
        let hash = Sha256::digest(key).into();
        let scopes = scopes_in(&self.0.borrow(), &hash)?;
        Some(Pass { keys: self.clone(), hash, scopes })
    }
}

/// Every entry is compared, each in constant time: how long it takes says nothing about the keys.
fn scopes_in(list: &[Entry], hash: &Hash) -> Option<Scopes> {
    list.iter().fold(None, |found, known| {
        if bool::from(known.hash.ct_eq(hash)) {
            Some(found.unwrap_or_default().and(known.scopes))
        } else {
            found
        }
    })
}

impl FromStr for ApiKeys {
    type Err = InvalidKeys;
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        Self::parse(text)
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.borrow().len())
    }
}

fn read_entry(entry: &str) -> Result<Entry, &'static str> {
    let (scopes, key) = match entry.split_once(':') {
        // A colon always ends the scopes, or a typing error in them would make a key that may do everything.
        Some((scopes, key)) => (read_scopes(scopes)?, key),
        None => (Scopes::of(Scope::Admin), entry),
    };
    if let Some(hex) = key.strip_prefix("sha256=") {
        let hash = read_hash(hex).ok_or("after `sha256=` 64 hexadecimal digits are expected")?;
        return Ok(Entry { scopes, hash });
    }
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is one or more visible ASCII characters");
    }
    Ok(Entry { scopes, hash: Sha256::digest(key).into() })
}

fn read_scopes(text: &str) -> Result<Scopes, &'static str> {
    text.split('+').try_fold(Scopes::default(), |scopes, name| {
        let scope = Scope::ALL.into_iter().find(|scope| scope.name() == name);
        let scope = scope
            .ok_or("before the colon `read`, `commit` or `admin` is expected, or several joined by `+`")?;
        Ok(scopes.and(Scopes::of(scope)))
    })
}

fn read_hash(hex: &str) -> Option<Hash> {
    let digits = hex.bytes().map(|byte| char::from(byte).to_digit(16)).collect::<Option<Vec<_>>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(keys: &str, key: &str) -> Option<Vec<&'static str>> {
        let scopes = ApiKeys::parse(keys).unwrap().pass(key.as_bytes())?.scopes;
        Some(scopes.names())
    }

    #[test]
    fn a_key_has_the_scopes_it_was_given() {
        let keys = "all, read:r ,commit:c,read+commit:rc,admin:a,read:twice,commit:twice";
        for (key, scopes) in [
            ("all", vec!["read", "commit", "admin"]),
            ("r", vec!["read"]),
            ("c", vec!["commit"]),
            ("rc", vec!["read", "commit"]),
            ("a", vec!["read", "commit", "admin"]),
            ("twice", vec!["read", "commit"]),
        ] {
            assert_eq!(allowed(keys, key), Some(scopes), "{key}");
        }
        for unknown in ["", "R", "r ", "read:r", "x"] {
            assert_eq!(allowed(keys, unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn where_there_are_no_keys_none_is_known() {
        for key in ["", "key"] {
            assert!(ApiKeys::none().pass(key.as_bytes()).is_none());
        }
    }

    #[tokio::test]
    async fn a_pass_loses_what_its_key_loses() {
        let keys = ApiKeys::parse("read+commit:rc,read:r").unwrap();
        let mut lost = Box::pin(keys.pass(b"rc").unwrap().loses(Scope::Read));
        assert!(futures::poll!(&mut lost).is_pending());
        keys.replace(&ApiKeys::parse("read:rc").unwrap());
        assert!(futures::poll!(&mut lost).is_pending(), "it may still read");
        assert!(keys.pass(b"r").is_none());
        keys.replace(&ApiKeys::parse("commit:rc").unwrap());
        assert!(futures::poll!(&mut lost).is_ready());
    }

    #[test]
    fn a_key_may_be_given_as_its_hash() {
        let keys = "read:sha256=9f86d081884c7d659a2feaa0c55ad015A3BF4F1B2B0B822CD15D6C15B0F00A08";
        assert_eq!(allowed(keys, "test"), Some(vec!["read"]));
        assert_eq!(allowed(keys, &keys[5..]), None);
    }

    #[test]
    fn a_list_that_can_not_be_right_is_refused_without_telling_the_key() {
        assert_eq!(ApiKeys::parse(" , ").unwrap_err(), InvalidKeys::Empty);
        for (bad, number) in [
            ("good,raed:secret", 2),
            ("read+:secret", 1),
            (":secret", 1),
            ("read:", 1),
            ("sec ret", 1),
            ("sha256=12", 1),
            ("read:sha256=zz86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 1),
        ] {
            let refused = ApiKeys::parse(bad).unwrap_err();
            assert!(matches!(refused, InvalidKeys::Entry { number: at, .. } if at == number), "{bad}");
            assert!(!refused.to_string().contains("sec"), "{refused}");
        }
    }
}

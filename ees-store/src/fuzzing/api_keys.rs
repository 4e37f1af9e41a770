//! Lists of API keys.

use sha2::{Digest, Sha256};

use crate::http::{ApiKeys, InvalidKeys, Scope};

/// A list is accepted if and only if each of its entries is, alone; each key has the scopes of its entries and no others, also
/// when only its hash is written down. A refusal names the entry and tells no key.
pub fn api_keys(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    let keys = match ApiKeys::parse(text) {
        Ok(keys) => keys,
        Err(InvalidKeys::Empty) => return assert!(entries.iter().all(|entry| entry.is_empty())),
        Err(refused @ InvalidKeys::Entry { number, .. }) => {
            let at = number - 1;
            assert!(entries[..at].iter().all(|entry| entry.is_empty() || ApiKeys::parse(entry).is_ok()));
            let alone = ApiKeys::parse(entries[at]).map(|_| ());
            assert!(matches!(alone, Err(InvalidKeys::Entry { number: 1, .. })), "{alone:?}");
            let key = entries[at].rsplit(':').next().unwrap_or_default();
            assert!(key.len() < 12 || !refused.to_string().contains(key), "{refused}");
            return;
        }
    };
    let known: Vec<_> = entries.iter().filter(|entry| !entry.is_empty()).map(|entry| read(entry)).collect();
    for (_, key) in &known {
        let Key::Shown(shown) = key else { continue };
        let hash = key.hash();
        let allowed = |scope: Scope| {
            let of_key = known.iter().filter(|(_, key)| key.hash() == hash);
            of_key.flat_map(|(scopes, _)| scopes).any(|name| ["admin", scope.name()].contains(name))
        };
        let Some(pass) = keys.pass(shown.as_bytes()) else {
            panic!("{shown:?} was accepted, and is not known")
        };
        for scope in Scope::ALL {
            assert_eq!(pass.scopes.allow(scope), allowed(scope), "{scope} of {shown:?}");
        }
        let other = format!("{shown} ");
        assert!(keys.pass(other.as_bytes()).is_none(), "no key has a space");
    }
}

enum Key<'k> {
    Shown(&'k str),
    Hashed(&'k str),
}

impl Key<'_> {
    fn hash(&self) -> String {
        match self {
            Self::Shown(key) => hex::encode(Sha256::digest(key)),
            Self::Hashed(hash) => hash.to_ascii_lowercase(),
        }
    }
}

/// The names of an entry's scopes, and its key.
fn read(entry: &str) -> (Vec<&str>, Key<'_>) {
    let (scopes, key) = entry.split_once(':').unwrap_or(("admin", entry));
    let key = key.strip_prefix("sha256=").map_or(Key::Shown(key), Key::Hashed);
    (scopes.split('+').collect(), key)
}

//! The trait that users implement: a state, its events, and its decisions.

use ees_store::event::Reading;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A business entity whose history is one stream: a state built from its events, and rules that decide
/// commands.
///
/// The default value is the entity before its first event. All methods are pure: no clock, no I/O, no
/// randomness. What a decision needs from outside comes with the command. A [`Repository`](crate::Repository)
/// does the rest.
///
/// ```
/// use ees_aggregate::Aggregate;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(tag = "type", rename_all = "snake_case")]
/// enum AccountEvent { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
///
/// enum AccountCommand { Deposit { cents: u64 }, Withdraw { cents: u64 } }
///
/// #[derive(Debug, PartialEq)]
/// struct Overdrawn;
/// # impl std::fmt::Display for Overdrawn {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("not enough money") }
/// # }
/// # impl std::error::Error for Overdrawn {}
///
/// #[derive(Default)]
/// struct Account { cents: u64 }
///
/// impl Aggregate for Account {
///     const TYPE: &'static str = "account";
///     type Event = AccountEvent;
///     type Command = AccountCommand;
///     type Error = Overdrawn;
///
///     fn apply(&mut self, event: &AccountEvent) {
///         match event {
///             AccountEvent::Deposited { cents } => self.cents += cents,
///             AccountEvent::Withdrawn { cents } => self.cents -= cents,
///         }
///     }
///
///     fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, Overdrawn> {
///         match *command {
///             AccountCommand::Deposit { cents } => Ok(vec![AccountEvent::Deposited { cents }]),
///             AccountCommand::Withdraw { cents } if cents > self.cents => Err(Overdrawn),
///             AccountCommand::Withdraw { cents } => Ok(vec![AccountEvent::Withdrawn { cents }]),
///         }
///     }
/// }
/// ```
pub trait Aggregate: Default + Send + Sync + 'static {
    /// The type of its streams. The first commit sets it, and [`load_all`](crate::Repository::load_all) finds
    /// streams by it. 1 to 255 bytes without control characters; anything else does not compile.
    const TYPE: &'static str;

    /// Its events: an enum tagged with `type`. An event must read back as it was written.
    type Event: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Its commands.
    type Command: Send + Sync;

    /// Why a command is refused. A refused command stores nothing.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Applies an event to the state. The event has happened, so it can't be refused.
    fn apply(&mut self, event: &Self::Event);

    /// Decides a command: returns the events to commit, all in one changeset; none if there is nothing to do.
    ///
    /// After a conflict it is called again, on the new state.
    ///
    /// # Errors
    /// Why the command is refused in this state.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// How its events are read. By default, an event of an unknown type is an error, because a decision on an
    /// incomplete state would be worse. Add upcasters for events of older types and versions.
    fn reading() -> Reading {
        Reading::refusing_unknown()
    }
}

/// Whether a text can be a stream type. Known when the program is compiled, so that nobody has to handle it
/// later.
///
/// ```compile_fail,E0080
/// # use ees_aggregate::{Aggregate, Repository};
/// # #[derive(Default)] struct Nameless;
/// # impl Aggregate for Nameless {
/// const TYPE: &'static str = "";
/// #     type Event = (); type Command = (); type Error = std::convert::Infallible;
/// #     fn apply(&mut self, (): &()) {}
/// #     fn decide(&self, (): &()) -> Result<Vec<()>, Self::Error> { Ok(vec![]) }
/// # }
/// # let store = ees_store::memory::Store::new();
/// Repository::<Nameless>::new(std::sync::Arc::new(store));
/// ```
pub(crate) const fn is_stream_type(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_control = bytes[at] < 0x20
            || bytes[at] == 0x7f
            || (bytes[at] == 0xc2 && at + 1 < bytes.len() && bytes[at + 1] >= 0x80 && bytes[at + 1] < 0xa0);
        if is_control {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= ees_store::StreamType::BYTES_MAX
}

#[cfg(test)]
mod tests {
    use ees_store::StreamType;

    use super::is_stream_type;

    #[test]
    fn what_compiles_as_a_type_is_one_for_the_store() {
        let long = "ä".repeat(127);
        let longer = "ä".repeat(128);
        for text in ["", "account", "a\nb", "a\u{7f}", "a\u{85}", "a\u{a0}", "¿", "konto ä", &long, &longer]
        {
            assert_eq!(is_stream_type(text), StreamType::new(text).is_ok(), "{text:?}");
        }
    }
}

//! Tests of your own aggregates, without a store: given events, when a command, then events or a refusal.
//!
//! ```
//! # use ees_aggregate::Aggregate;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! # #[serde(tag = "type", rename_all = "snake_case")]
//! # enum AccountEvent { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
//! # struct Withdraw { cents: u64 }
//! # #[derive(Debug, PartialEq)] struct Overdrawn;
//! # impl std::fmt::Display for Overdrawn {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("not enough") }
//! # }
//! # impl std::error::Error for Overdrawn {}
//! # #[derive(Default)] struct Account { cents: u64 }
//! # impl Aggregate for Account {
//! #     const TYPE: &'static str = "account";
//! #     type Event = AccountEvent; type Command = Withdraw; type Error = Overdrawn;
//! #     fn apply(&mut self, event: &AccountEvent) {
//! #         match event {
//! #             AccountEvent::Deposited { cents } => self.cents += cents,
//! #             AccountEvent::Withdrawn { cents } => self.cents -= cents,
//! #         }
//! #     }
//! #     fn decide(&self, &Withdraw { cents }: &Withdraw) -> Result<Vec<AccountEvent>, Overdrawn> {
//! #         if cents > self.cents { Err(Overdrawn) } else { Ok(vec![AccountEvent::Withdrawn { cents }]) }
//! #     }
//! # }
//! use ees_aggregate::testkit::given;
//!
//! given::<Account>([AccountEvent::Deposited { cents: 500 }])
//!     .when(Withdraw { cents: 42 })
//!     .then([AccountEvent::Withdrawn { cents: 42 }]);
//!
//! given::<Account>([]).when(Withdraw { cents: 1 }).then_refused(Overdrawn);
//! ```

use std::fmt::Debug;

use ees_store::{Filter, Json};
use serde::Serialize;

use crate::{Aggregate, Snapshotted};

/// Begins a test with these events.
///
/// # Panics
/// When an event does not read back as it was written.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let given = Given { texts: Vec::new(), state: A::default() };
    events.into_iter().fold(given, Given::and)
}

/// A test with the events so far.
#[derive(Clone, Debug)]
pub struct Given<A> {
    texts: Vec<String>,
    state: A,
}

impl<A: Aggregate> Given<A> {
    /// Adds an event.
    ///
    /// # Panics
    /// When the event does not read back as it was written.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a test gives it away, and reads better")]
    pub fn and(self, event: A::Event) -> Self {
        self.and_text(stored_today::<A>(&event))
    }

    /// Adds an event as JSON, in an older form, to test upcasters.
    ///
    /// # Panics
    /// When the event can't be read.
    #[must_use]
    pub fn and_stored(self, event: impl Serialize) -> Self {
        self.and_text(text_of(&event))
    }

    fn and_text(mut self, text: String) -> Self {
        if let Some(event) = read::<A>(&text) {
            self.state.apply(&event);
        }
        self.texts.push(text);
        self
    }

    /// The state after the events so far.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// Lets the aggregate decide a command.
    pub fn when(self, command: impl Into<A::Command>) -> When<A> {
        let decided = self.state.decide(&command.into());
        When { state: self.state, decided }
    }

    /// Checks that a snapshot after any of the events leads to the same state.
    ///
    /// # Panics
    /// When a snapshot does not; the message shows both states.
    #[track_caller]
    pub fn check_snapshots(&self)
    where
        A: Snapshotted + PartialEq + Debug,
    {
        for cut in 0..=self.texts.len() {
            let (before, after) = self.texts.split_at(cut);
            let snapshot = text_of(&replay(A::default(), before));
            let state: A = serde_json::from_str(&snapshot)
                .unwrap_or_else(|error| fail(&format!("the state {snapshot} does not read back: {error}")));
            let end = replay(state, after);
            assert_eq!(end, self.state, "by a snapshot after event {cut} (left), and without one (right)");
        }
    }
}

/// The decision of an aggregate.
#[derive(Debug)]
pub struct When<A: Aggregate> {
    state: A,
    decided: Result<Vec<A::Event>, A::Error>,
}

impl<A: Aggregate> When<A> {
    /// Checks that the aggregate decided these events, in this order, and that they can be stored. Returns
    /// the state after them.
    ///
    /// # Panics
    /// When it decided other events (the message shows both); when it refused the command; when an event does
    /// not read back as it was written.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> A
    where
        A::Event: PartialEq + Debug,
    {
        let decided = match self.decided {
            Ok(decided) => decided,
            Err(refusal) => fail(&format!("the command was refused: {refusal}")),
        };
        let expected: Vec<A::Event> = events.into_iter().collect();
        assert_eq!(decided, expected, "the events (left) are not the ones expected (right)");
        let mut state = self.state;
        for event in decided {
            let stored = read::<A>(&stored_today::<A>(&event));
            assert_eq!(
                stored.as_ref(),
                Some(&event),
                "what is stored (left) is not what was decided (right)"
            );
            state.apply(&event);
        }
        state
    }

    /// Checks that the aggregate decided no events.
    ///
    /// # Panics
    /// When it decided events, or refused the command.
    #[track_caller]
    pub fn then_nothing(self) -> A
    where
        A::Event: PartialEq + Debug,
    {
        self.then([])
    }

    /// Checks that the aggregate refused the command with this error.
    ///
    /// # Panics
    /// When it did not refuse, or with another error.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test gives it away, and reads better")]
    pub fn then_refused(self, refusal: A::Error)
    where
        A::Event: Debug,
        A::Error: PartialEq,
    {
        let other = match self.decided {
            Ok(events) => fail(&format!("it was not refused ({refusal}), but decided {events:?}")),
            Err(other) => other,
        };
        assert_eq!(other, refusal, "refused for another reason (left) than expected (right)");
    }
}

fn replay<A: Aggregate>(mut state: A, texts: &[String]) -> A {
    texts.iter().filter_map(|text| read::<A>(text)).for_each(|event| state.apply(&event));
    state
}

/// As a repository writes it.
#[track_caller]
fn stored_today<A: Aggregate>(event: &A::Event) -> String {
    A::reading().upcasters().stamped(&text_of(event)).into_owned()
}

/// As a repository reads it.
#[track_caller]
fn read<A: Aggregate>(text: &str) -> Option<A::Event> {
    A::reading()
        .read(text, &Filter::default())
        .unwrap_or_else(|error| fail(&format!("an event can't be read: {error}: {text}")))
}

#[track_caller]
fn text_of<T: Serialize>(value: &T) -> String {
    match Json::of(value) {
        Ok(text) => text.as_str().to_owned(),
        Err(error) => fail(&format!("this has no JSON form: {error}")),
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a test kit speaks by failing the test")]
fn fail(message: &str) -> ! {
    panic!("{message}")
}

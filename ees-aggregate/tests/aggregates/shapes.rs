//! An aggregate whose events have changed over the years, strict and lenient.

use std::convert::Infallible;
use std::sync::LazyLock;

use ees_aggregate::Aggregate;
use ees_store::event::{Reading, Unknown, Upcasters};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum WalletEvent {
    Opened {
        owner: String,
    },
    /// Once `paid_in` with whole euros, then `deposited` with euros, now with cents.
    Deposited {
        cents: u64,
    },
}

static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| {
    Upcasters::new()
        .step(("paid_in", 1), ("deposited", 1), |event| {
            event.rename("amount", "euros");
            Ok(())
        })
        .and_then(|steps| {
            steps.step(("deposited", 1), ("deposited", 2), |event| {
                let euros: u64 = event.take("euros")?;
                Ok(event.set("cents", &(euros * 100))?)
            })
        })
        .unwrap()
});

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Wallet {
    pub(crate) cents: u64,
}

impl Aggregate for Wallet {
    const TYPE: &'static str = "wallet";
    type Event = WalletEvent;
    type Command = WalletEvent;
    type Error = Infallible;

    fn apply(&mut self, event: &WalletEvent) {
        if let WalletEvent::Deposited { cents } = event {
            self.cents += cents;
        }
    }
    fn decide(&self, command: &WalletEvent) -> Result<Vec<WalletEvent>, Infallible> {
        Ok(vec![command.clone()])
    }
    fn reading() -> Reading {
        Reading::refusing_unknown().with_upcasters(UPCASTERS.clone())
    }
}

/// The same, interested in what it knows only.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lenient(pub(crate) Wallet);

impl Aggregate for Lenient {
    const TYPE: &'static str = Wallet::TYPE;
    type Event = WalletEvent;
    type Command = WalletEvent;
    type Error = Infallible;

    fn apply(&mut self, event: &WalletEvent) {
        self.0.apply(event);
    }
    fn decide(&self, command: &WalletEvent) -> Result<Vec<WalletEvent>, Infallible> {
        self.0.decide(command)
    }
    fn reading() -> Reading {
        Wallet::reading().with_unknown(Unknown::Skip)
    }
}

//! The events, and the decision that appends them.

use disintegrate::{Decision, Event, StateMutate, StateQuery};
use peers_workload::Payload;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
#[stream(AccountEvent, [Moved])]
pub enum DomainEvent {
    Moved {
        #[id]
        account_id: String,
        amount: i64,
        currency: String,
        seq: i64,
        memo: String,
    },
}

impl From<Payload> for DomainEvent {
    fn from(payload: Payload) -> Self {
        let Payload { account_id, amount, currency, seq, memo } = payload;
        Self::Moved { account_id, amount, currency, seq, memo }
    }
}

#[derive(Clone, Debug, Default, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
pub struct Account {
    #[id]
    account_id: String,
    events: usize,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: Self::Event) {
        let AccountEvent::Moved { .. } = event;
        self.events += 1;
    }
}

#[derive(Clone)]
pub(crate) struct Move {
    pub(crate) account_id: String,
    pub(crate) version: usize,
    pub(crate) payloads: Vec<Payload>,
}

impl Decision for Move {
    type Event = DomainEvent;
    type StateQuery = Account;
    type Error = std::io::Error;

    fn state_query(&self) -> Account {
        Account { account_id: self.account_id.clone(), events: 0 }
    }

    fn process(&self, account: &Account) -> Result<Vec<DomainEvent>, std::io::Error> {
        if account.events != self.version {
            return Err(std::io::Error::other(format!("{} events, not {}", account.events, self.version)));
        }
        Ok(self.payloads.iter().cloned().map(DomainEvent::from).collect())
    }
}

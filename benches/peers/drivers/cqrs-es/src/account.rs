//! The aggregate.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, View};
use peers_workload::Payload;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    Moved(Payload),
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        "Moved".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    events: usize,
}

pub(crate) struct Move {
    pub(crate) version: usize,
    pub(crate) payloads: Vec<Payload>,
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Move;
    type Event = AccountEvent;
    type Error = std::io::Error;
    type Services = ();

    async fn handle(&mut self, command: Move, (): &(), sink: &EventSink<Self>) -> Result<(), std::io::Error> {
        if self.events != command.version {
            return Err(std::io::Error::other(format!("{} events, not {}", self.events, command.version)));
        }
        for payload in command.payloads {
            sink.write(AccountEvent::Moved(payload), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, _: AccountEvent) {
        self.events += 1;
    }
}

/// The view of a `GenericQuery`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct AccountView {
    balance: i64,
    event_count: i64,
    last_event_id: i64,
}

impl View<Account> for AccountView {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        let AccountEvent::Moved(moved) = &event.payload;
        self.balance += moved.amount;
        self.event_count += 1;
        self.last_event_id = event.sequence as i64;
    }
}

//! Two ways to append.

use std::collections::HashMap;

use disintegrate::serde::json::Json;
use disintegrate::{DecisionError, EventStore, NoSnapshot, query};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventId, decision_maker};
use peers_workload::append::Append;
use peers_workload::{Payload, account_id};

use crate::Store;
use crate::account::{DomainEvent, Move};

pub(crate) struct Deciding(PgDecisionMaker<DomainEvent, Json<DomainEvent>, NoSnapshot>);

impl Deciding {
    pub(crate) fn new(store: &Store) -> Self {
        Self(decision_maker(store.clone(), NoSnapshot))
    }
}

impl Append for Deciding {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let decision = Move { account_id: account_id(stream), version, payloads };
        loop {
            match self.0.make(decision.clone()).await {
                Ok(_) => return,
                Err(DecisionError::EventStore(error) | DecisionError::StateStore(error))
                    if error.downcast_ref::<Error>().is_some_and(is_conflict) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

pub(crate) struct Appending {
    store: Store,
    last: HashMap<usize, PgEventId>,
}

impl Appending {
    pub(crate) fn new(store: &Store) -> Self {
        Self { store: store.clone(), last: HashMap::new() }
    }
}

impl Append for Appending {
    async fn append(&mut self, stream: usize, version: usize, payloads: Vec<Payload>) {
        let events: Vec<DomainEvent> = payloads.into_iter().map(DomainEvent::from).collect();
        let last = self.last.get(&stream).copied().unwrap_or_default();
        assert_eq!(version == 0, last == 0);
        loop {
            let account = query!(DomainEvent; account_id == account_id(stream));
            match self.store.append(events.clone(), account, last).await {
                Ok(appended) => {
                    self.last.insert(stream, appended.last().unwrap().id());
                    return;
                }
                Err(error) if is_conflict(&error) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// PostgreSQL also sees conflicts of serializable transactions where no stream is the same.
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::Concurrency => true,
        Error::Database(sqlx::Error::Database(error)) => error.code().as_deref() == Some("40001"),
        _ => false,
    }
}

//! The aggregate, and the handler that keeps the read model.

use async_trait::async_trait;
use esrs::Aggregate;
use esrs::handler::TransactionalEventHandler;
use esrs::store::StoreEvent;
use esrs::store::postgres::PgStoreError;
use peers_workload::Payload;
use peers_workload::account::UPSERT;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

pub(crate) struct Account;

#[derive(Default)]
pub(crate) struct State {
    events: usize,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Moved(Payload);

pub(crate) struct Move {
    pub(crate) version: usize,
    pub(crate) payloads: Vec<Payload>,
}

#[derive(Debug, thiserror::Error)]
#[error("{found} events, not {expected}")]
pub(crate) struct Unexpected {
    found: usize,
    expected: usize,
}

impl Aggregate for Account {
    const NAME: &'static str = "account";
    type State = State;
    type Command = Move;
    type Event = Moved;
    type Error = Unexpected;

    fn handle_command(state: &State, command: Move) -> Result<Vec<Moved>, Unexpected> {
        if state.events != command.version {
            return Err(Unexpected { found: state.events, expected: command.version });
        }
        Ok(command.payloads.into_iter().map(Moved).collect())
    }

    fn apply_event(state: State, _: Moved) -> State {
        State { events: state.events + 1 }
    }
}

pub(crate) struct AccountTable;

#[async_trait]
impl TransactionalEventHandler<Account, PgStoreError, PgConnection> for AccountTable {
    async fn handle(
        &self,
        event: &StoreEvent<Moved>,
        transaction: &mut PgConnection,
    ) -> Result<(), PgStoreError> {
        let Moved(moved) = &event.payload;
        let place = i64::from(event.sequence_number);
        let upsert = sqlx::query(UPSERT).bind(&moved.account_id).bind(moved.amount).bind(place);
        upsert.execute(transaction).await?;
        Ok(())
    }
}

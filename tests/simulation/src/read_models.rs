//! What the workers build.

use std::time::Duration;

use ees_projector::memory::Tx;
use ees_projector::{BoxError, Fold, Order, Projection, Recorded};
use serde::{Deserialize, Serialize};

use crate::machine;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    Noted {
        value: u64,
        /// It can't be applied before.
        good_after_seconds: u64,
        /// The mailer reminds of it so much later, if it is more than 0.
        remind_after_seconds: u64,
    },
}

/// Counts how often each event was applied, and lists the events of each stream in the order that they came.
pub(crate) struct Journal {
    pub(crate) name: &'static str,
    pub(crate) order: Order,
}

impl Projection<Tx> for Journal {
    type Event = Event;

    fn name(&self) -> &str {
        self.name
    }

    fn order(&self) -> Order {
        self.order
    }

    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.table(self.name);
        Ok(())
    }

    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        tx.drop_table(self.name);
        Ok(())
    }

    async fn apply(&self, event: Recorded<'_, Event>, tx: &mut Tx) -> Result<(), BoxError> {
        let Event::Noted { good_after_seconds, .. } = event.event;
        let rows = tx.table(self.name);
        let (stream, id) = (event.stream_id().to_string(), event.event_id);
        let count = rows.entry(format!("{stream}#{id}")).or_insert_with(|| "0".to_owned());
        *count = (count.parse::<u64>()? + 1).to_string();
        let list = rows.entry(stream).or_default();
        *list = format!("{list} {id}");
        if fastrand::u32(..10) == 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
        }
        // After it has written: what it wrote must not stay.
        if machine::now() < Duration::from_secs(*good_after_seconds) {
            return Err("not yet".into());
        }
        Ok(())
    }
}

/// A number for each stream that depends on its events, on their order, and on the version.
pub(crate) struct Digest {
    pub(crate) version: u32,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Digested {
    pub(crate) events: u64,
    pub(crate) digest: u64,
}

impl Fold for Digest {
    type Event = Event;
    type Key = String;
    type State = Digested;

    fn name(&self) -> &str {
        "digest"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn order(&self) -> Order {
        Order::Stream
    }

    fn key(&self, event: Recorded<'_, Event>) -> Option<String> {
        Some(event.stream_id().to_string())
    }

    fn fold(&self, row: Option<Digested>, event: Recorded<'_, Event>) -> Option<Digested> {
        let Event::Noted { value, .. } = event.event;
        Some(row.unwrap_or_default().with(*value, self.version))
    }
}

impl Digested {
    pub(crate) fn with(self, value: u64, version: u32) -> Self {
        let digest = (self.digest * 31 + value * u64::from(version)) % 1_000_003;
        Self { events: self.events + 1, digest }
    }
}

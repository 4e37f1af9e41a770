//! The aggregate under test: a product and how many of it are left.

use ees_aggregate::{Aggregate, Snapshotted};
use ees_store::StreamId;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum StockEvent {
    Restocked { count: u64 },
    Reserved { buyer: String },
}

#[derive(Clone, Debug)]
pub(crate) enum StockCommand {
    Restock(u64),
    Reserve(String),
    /// Fills up to this many, if fewer are left.
    Fill(u64),
}

#[derive(Debug, PartialEq)]
pub(crate) struct SoldOut;

impl std::fmt::Display for SoldOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sold out")
    }
}

impl std::error::Error for SoldOut {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) left: u64,
    pub(crate) buyers: Vec<String>,
}

impl Aggregate for Stock {
    const TYPE: &'static str = "stock";
    type Event = StockEvent;
    type Command = StockCommand;
    type Error = SoldOut;

    fn apply(&mut self, event: &StockEvent) {
        match event {
            StockEvent::Restocked { count } => self.left += count,
            StockEvent::Reserved { buyer } => {
                self.left -= 1;
                self.buyers.push(buyer.clone());
            }
        }
    }

    fn decide(&self, command: &StockCommand) -> Result<Vec<StockEvent>, SoldOut> {
        match command {
            StockCommand::Restock(count) => Ok(vec![StockEvent::Restocked { count: *count }]),
            StockCommand::Reserve(_) if self.left == 0 => Err(SoldOut),
            StockCommand::Reserve(buyer) => Ok(vec![StockEvent::Reserved { buyer: buyer.clone() }]),
            StockCommand::Fill(count) if self.left >= *count => Ok(vec![]),
            StockCommand::Fill(count) => Ok(vec![StockEvent::Restocked { count: count - self.left }]),
        }
    }
}

impl Snapshotted for Stock {
    const SCHEMA: &'static str = "1";
}

pub(crate) fn reserve(buyer: impl Into<String>) -> StockCommand {
    StockCommand::Reserve(buyer.into())
}

pub(crate) fn id(text: &str) -> StreamId {
    text.parse().unwrap()
}

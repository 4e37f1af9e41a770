//! The rules of a product. Each has a stream: `product/` and its name.

use std::num::NonZeroU32;

use ees_aggregate::Aggregate;
use ees_store::StreamId;
use serde::{Deserialize, Serialize};

/// What happens to a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ProductEvent {
    /// So many came in.
    Restocked {
        /// How many.
        count: NonZeroU32,
    },
    /// One of them belongs to somebody.
    Reserved {
        /// Who that is.
        buyer: String,
    },
    /// That was the last one. Follows from `Reserved`, in the same changeset: whoever reacts to it need not count.
    SoldOut,
}

/// What is asked of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductCommand {
    /// Put so many on the shelf.
    Restock {
        /// How many.
        count: NonZeroU32,
    },
    /// Put one aside for somebody.
    Reserve {
        /// Who that is.
        buyer: String,
    },
}

/// Why a product refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was never in stock.
    #[error("there is no such product")]
    Unknown,
    /// Others were faster.
    #[error("it is sold out")]
    SoldOut,
}

/// A product as its events have made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Product {
    /// On the shelf.
    pub in_stock: u64,
    /// Put aside, ever.
    pub reserved: u64,
}

impl Aggregate for Product {
    const TYPE: &'static str = "product";
    type Event = ProductEvent;
    type Command = ProductCommand;
    type Error = Refusal;

    fn apply(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Restocked { count } => self.in_stock += u64::from(count.get()),
            ProductEvent::Reserved { .. } => {
                self.in_stock = self.in_stock.saturating_sub(1);
                self.reserved += 1;
            }
            ProductEvent::SoldOut => {}
        }
    }

    fn decide(&self, command: &ProductCommand) -> Result<Vec<ProductEvent>, Refusal> {
        match command {
            &ProductCommand::Restock { count } => Ok(vec![ProductEvent::Restocked { count }]),
            ProductCommand::Reserve { buyer } => {
                let reserved = ProductEvent::Reserved { buyer: buyer.clone() };
                match (self.in_stock, self.reserved) {
                    (0, 0) => Err(Refusal::Unknown),
                    (0, _) => Err(Refusal::SoldOut),
                    (1, _) => Ok(vec![reserved, ProductEvent::SoldOut]),
                    _ => Ok(vec![reserved]),
                }
            }
        }
    }
}

/// The longest name of a product, in bytes: other streams are named after it, and have names that are no longer than 1,024.
pub const NAME_BYTES_MAX: usize = 200;

/// The stream of a product; none when that can't be its name.
pub fn stream_of(name: &str) -> Option<StreamId> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
    StreamId::new(&format!("product/{name}")).ok().filter(|_| is_name)
}

/// The product whose stream it is.
pub fn name_of(stream: &StreamId) -> Option<&str> {
    stream.as_str().strip_prefix("product/")
}

#[cfg(test)]
mod tests {
    use ees_aggregate::testkit::given;

    use super::*;

    fn restocked(count: u32) -> ProductEvent {
        ProductEvent::Restocked { count: count.try_into().unwrap() }
    }

    fn reserved() -> ProductEvent {
        ProductEvent::Reserved { buyer: "ada".to_owned() }
    }

    fn reserve() -> ProductCommand {
        ProductCommand::Reserve { buyer: "ada".to_owned() }
    }

    #[test]
    fn what_is_in_stock_can_be_reserved() {
        given::<Product>([restocked(2)]).when(reserve()).then([reserved()]);
    }

    #[test]
    fn whoever_takes_the_last_one_sells_it_out() {
        given::<Product>([restocked(1)]).when(reserve()).then([reserved(), ProductEvent::SoldOut]);
    }

    #[test]
    fn what_is_sold_out_can_not_be_reserved_until_more_comes() {
        let history = [restocked(1), reserved(), ProductEvent::SoldOut];
        given::<Product>(history.clone()).when(reserve()).then_refused(Refusal::SoldOut);
        given::<Product>([&history[..], &[restocked(5)]].concat()).when(reserve()).then([reserved()]);
    }

    #[test]
    fn what_was_never_there_is_unknown() {
        given::<Product>([]).when(reserve()).then_refused(Refusal::Unknown);
    }
}

//! The rules of a product. Its stream is `product/NAME`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use ees_aggregate::Aggregate;
use ees_store::StreamId;
use serde::{Deserialize, Serialize};

/// What happens to a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ProductEvent {
    /// Items arrived.
    Restocked {
        /// The number of items.
        count: NonZeroU32,
    },
    /// An item was reserved.
    Reserved {
        /// The buyer.
        buyer: String,
    },
    /// The last item was reserved. In the same changeset as its `Reserved`, so that reactors need not count.
    SoldOut,
    /// A buyer paid for all items that are reserved for him.
    Paid {
        /// The buyer.
        buyer: String,
    },
    /// Items that a buyer had reserved and not paid went back into the stock.
    Released {
        /// The buyer.
        buyer: String,
        /// The number of items.
        count: NonZeroU32,
    },
}

/// A command to a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductCommand {
    /// Add items to the stock.
    Restock {
        /// The number of items.
        count: NonZeroU32,
    },
    /// Reserve an item.
    Reserve {
        /// The buyer.
        buyer: String,
    },
    /// Pay for all items that are reserved.
    Pay {
        /// The buyer.
        buyer: String,
    },
    /// Take back what is reserved and not paid, if anything is.
    Release {
        /// The buyer.
        buyer: String,
    },
}

/// Why a product refuses a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was never restocked.
    #[error("there is no such product")]
    Unknown,
    /// No item is left.
    #[error("it is sold out")]
    SoldOut,
    /// The buyer has reserved nothing, has paid, or has paid too late.
    #[error("nothing is reserved that is to be paid")]
    NothingToPay,
}

/// The state of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Product {
    /// Items in stock.
    pub in_stock: u64,
    /// Items that are reserved or paid.
    pub reserved: u64,
    /// Items that are reserved and not paid, by buyer.
    #[serde(skip)]
    unpaid: BTreeMap<String, NonZeroU32>,
}

impl Aggregate for Product {
    const TYPE: &'static str = "product";
    type Event = ProductEvent;
    type Command = ProductCommand;
    type Error = Refusal;

    fn apply(&mut self, event: &ProductEvent) {
        match event {
            ProductEvent::Restocked { count } => self.in_stock += u64::from(count.get()),
            ProductEvent::Reserved { buyer } => {
                self.in_stock = self.in_stock.saturating_sub(1);
                self.reserved += 1;
                let unpaid = self.unpaid.get(buyer).map_or(NonZeroU32::MIN, |count| count.saturating_add(1));
                self.unpaid.insert(buyer.clone(), unpaid);
            }
            ProductEvent::SoldOut => {}
            ProductEvent::Paid { buyer } => {
                self.unpaid.remove(buyer);
            }
            ProductEvent::Released { buyer, count } => {
                self.in_stock += u64::from(count.get());
                self.reserved = self.reserved.saturating_sub(count.get().into());
                self.unpaid.remove(buyer);
            }
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
            ProductCommand::Pay { buyer } if self.unpaid.contains_key(buyer) => {
                Ok(vec![ProductEvent::Paid { buyer: buyer.clone() }])
            }
            ProductCommand::Pay { .. } => Err(Refusal::NothingToPay),
            ProductCommand::Release { buyer } => {
                let unpaid = self.unpaid.get(buyer).copied();
                Ok(unpaid
                    .map(|count| ProductEvent::Released { buyer: buyer.clone(), count })
                    .into_iter()
                    .collect())
            }
        }
    }
}

/// The longest name of a product, in bytes. Ids of other streams contain it, and an id has at most 1,024
/// bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// The stream of a product; `None` when the name is not allowed.
pub fn stream_of(name: &str) -> Option<StreamId> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
    StreamId::new(&format!("product/{name}")).ok().filter(|_| is_name)
}

/// The name of the product that the stream belongs to.
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
    fn the_last_one_that_is_reserved_sells_it_out() {
        given::<Product>([restocked(1)]).when(reserve()).then([reserved(), ProductEvent::SoldOut]);
    }

    #[test]
    fn what_is_sold_out_can_not_be_reserved_until_more_comes() {
        let history = [restocked(1), reserved(), ProductEvent::SoldOut];
        given::<Product>(history.clone()).when(reserve()).then_refused(Refusal::SoldOut);
        given::<Product>([&history[..], &[restocked(5)]].concat()).when(reserve()).then([reserved()]);
    }

    #[test]
    fn what_is_not_paid_is_released_and_can_be_reserved_again() {
        let release = ProductCommand::Release { buyer: "ada".to_owned() };
        let pay = ProductCommand::Pay { buyer: "ada".to_owned() };
        let paid = ProductEvent::Paid { buyer: "ada".to_owned() };
        let released = ProductEvent::Released { buyer: "ada".to_owned(), count: 2.try_into().unwrap() };
        let history = [restocked(2), reserved(), reserved(), ProductEvent::SoldOut];
        given::<Product>(history.clone()).when(release.clone()).then([released.clone()]);
        given::<Product>(history.clone()).when(pay.clone()).then([paid.clone()]);
        let late = [&history[..], &[released]].concat();
        given::<Product>(late.clone()).when(pay).then_refused(Refusal::NothingToPay);
        given::<Product>(late).when(reserve()).then([reserved()]);
        given::<Product>([&history[..], &[paid]].concat()).when(release).then([]);
    }

    #[test]
    fn what_was_never_there_is_unknown() {
        given::<Product>([]).when(reserve()).then_refused(Refusal::Unknown);
    }
}

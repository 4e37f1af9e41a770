//! The promises of the shop, on each database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod buyers;
mod functions;
mod opened;
mod paying;
mod rebuilding;

macro_rules! in_every_place {
    ($($module:ident::$promise:ident),+ $(,)?) => {
        in_every_place!(@in sqlite $($module::$promise),+);
        in_every_place!(@in postgres $($module::$promise),+);
        in_every_place!(@in dynamodb $($module::$promise),+);
    };
    (@in $place:ident $($module:ident::$promise:ident),+) => {
        mod $place {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $promise() {
                crate::$module::$promise(crate::opened::$place().await).await;
            })+
        }
    };
}

in_every_place! {
    buyers::fifty_of_two_hundred_buyers_get_one,
    buyers::a_buyer_who_asks_again_gets_one,
    paying::what_is_not_paid_in_time_goes_back_into_the_stock,
    rebuilding::a_rebuild_tells_nobody_again,
}

//! The history of a real repository, from eight clients to two servers on one PostgreSQL, with three workers on one set
//! of read models, while processes are killed and frozen and connections cut at random: each changeset is stored once and
//! applied once, in one order, and the read models are the same to the byte, built anew as well.
//!
//! `EES_KILL_MINUTES` makes it last longer: the history is committed again and again to new databases.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod checks;
mod clients;
mod fire;
mod rebuilding;
mod world;

use ees_tests::history::under_fire;

use crate::fire::Aim;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn committed_and_applied_once_while_everything_is_killed_frozen_and_cut_off() {
    let runtime = tokio::runtime::Handle::current();
    let rounds = move || under_fire(|seed| runtime.block_on(round(fastrand::Rng::with_seed(seed))));
    tokio::task::spawn_blocking(rounds).await.unwrap();
}

async fn round(mut chance: fastrand::Rng) {
    let world = tokio::task::spawn_blocking(World::new).await.unwrap();
    let clients = clients::start(world.urls(), &mut chance);
    let fire = fire::open(world, Aim::Everything, chance.fork());
    let acknowledged = clients.acknowledged().await;
    let (world, hits) = fire.cease().await;
    println!("while importing: {hits:?}");
    assert!(hits.kills > 0, "nothing was killed: the import was too fast to prove anything");
    checks::log(&world, &acknowledged).await;
    checks::read_models(&world).await;
    rebuilding::a_new_version_and_back(world, chance).await;
}

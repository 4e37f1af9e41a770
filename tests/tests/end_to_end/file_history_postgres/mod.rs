//! The history of a real repository, from eight clients to two servers on one PostgreSQL, with three workers on one set
//! of read models, while processes are killed and frozen and connections cut at random: each changeset is stored once and
//! applied once, in one order, and the read models are the same to the byte, built anew as well.
//!
//! `EES_KILL_MINUTES` and `EES_KILLS` make it last longer: the history is committed again and again to new databases.
#![allow(unreachable_pub, reason = "the parts of one test")]

mod checks;
mod rebuilding;
mod world;

use std::time::Duration;

use ees_tests::history;
use ees_tests::kills::{Tally, rounds_under_fire};

use self::world::World;
use crate::under_fire::clients;
use crate::under_fire::fire::{self, Aim};

#[tokio::test(flavor = "multi_thread")]
async fn committed_and_applied_once_while_everything_is_killed_frozen_and_cut_off() {
    let runtime = tokio::runtime::Handle::current();
    let rounds = move || {
        rounds_under_fire("PostgreSQL", |seed| runtime.block_on(round(fastrand::Rng::with_seed(seed))));
    };
    tokio::task::spawn_blocking(rounds).await.unwrap();
}

async fn round(mut chance: fastrand::Rng) -> Tally {
    let world = tokio::task::spawn_blocking(World::new).await.unwrap();
    let answer_time = Duration::from_millis(500);
    let clients = clients::start(&history::lines(), &world.urls(), answer_time, &mut chance);
    let fire = fire::open(world, Aim::Everything, chance.fork());
    let (acknowledged, mut tally) = clients.acknowledged().await;
    let (world, hits) = fire.cease().await;
    println!("while importing: {hits}");
    assert!(hits.kills() > 0, "nothing was killed: the import was too fast to prove anything");
    tally += hits;
    checks::log(&world, &acknowledged).await;
    checks::read_models(&world).await;
    tally += rebuilding::a_new_version_and_back(world, chance).await;
    tally
}

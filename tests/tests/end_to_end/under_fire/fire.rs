//! Kills and freezes processes at random.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_tests::kills::Tally;
use ees_tests::{Killed, Server};
use tokio::task::JoinHandle;

use super::Worker;

/// The targets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Servers, workers, and the connections to the database.
    Everything,
    /// Workers only, which clients don't notice.
    Workers,
}

/// The processes of a test.
pub trait World: Send + 'static {
    fn servers(&mut self) -> &mut Vec<Server>;
    fn workers(&mut self) -> &mut Vec<Worker>;
    /// Cuts a connection to the database, if there is any. Returns how many.
    fn cut_a_connection(&self) -> u64;
}

pub struct Fire<W> {
    cease: Arc<AtomicBool>,
    shooting: JoinHandle<(W, Tally)>,
}

impl<W: World> Fire<W> {
    /// Stops, and returns the world with all processes running again.
    pub async fn cease(self) -> (W, Tally) {
        self.cease.store(true, SeqCst);
        self.shooting.await.unwrap()
    }
}

pub fn open<W: World>(mut world: W, aim: Aim, mut chance: fastrand::Rng) -> Fire<W> {
    let cease = Arc::new(AtomicBool::new(false));
    let ceased = cease.clone();
    let shooting = tokio::task::spawn_blocking(move || {
        let hits = shoot(&mut world, aim, &mut chance, &ceased);
        (world, hits)
    });
    Fire { cease, shooting }
}

fn shoot(world: &mut impl World, aim: Aim, chance: &mut fastrand::Rng, ceased: &AtomicBool) -> Tally {
    let mut hits = Tally::default();
    // The end of each frozen time.
    let mut frozen = BTreeMap::<usize, Instant>::new();
    let servers = if aim == Aim::Everything { world.servers().len() } else { 0 };
    while !ceased.load(SeqCst) {
        // Leaves time for work between two hits. Which work is hit is random.
        std::thread::sleep(Duration::from_millis(match aim {
            Aim::Everything => chance.u64(50..350),
            // After each hit, another worker must wait until the lease ends.
            Aim::Workers => chance.u64(50..1_000),
        }));
        frozen.retain(|victim, until| {
            let stays = Instant::now() < *until;
            if !stays {
                process(world, servers, *victim).thaw();
            }
            stays
        });
        let victim = chance.usize(..servers + world.workers().len());
        for (number, worker) in world.workers().iter_mut().enumerate() {
            if !frozen.contains_key(&(servers + number)) {
                worker.restart_if_ended();
            }
        }
        match chance.u8(..10) {
            0 if aim == Aim::Everything => {
                hits.cuts += world.cut_a_connection();
            }
            1..4 if !frozen.contains_key(&victim) => {
                hits.freezes += 1;
                process(world, servers, victim).freeze();
                frozen.insert(victim, Instant::now() + how_long(chance));
            }
            _ => {
                frozen.remove(&victim);
                if let Some(worker) = victim.checked_sub(servers) {
                    hits.workers += 1;
                    world.workers()[worker].kill_and_restart();
                } else {
                    hits.servers += 1;
                    world.servers()[victim].kill_and_restart();
                }
            }
        }
    }
    frozen.keys().for_each(|victim| process(world, servers, *victim).thaw());
    world.workers().iter_mut().for_each(|worker| worker.restart_if_ended());
    hits
}

/// Mostly short, but sometimes longer than a lease that is not renewed.
fn how_long(chance: &mut fastrand::Rng) -> Duration {
    let millis = if chance.u8(..4) == 0 { 5_500..8_000 } else { 50..2_000 };
    Duration::from_millis(chance.u64(millis))
}

fn process(world: &mut impl World, servers: usize, victim: usize) -> &Killed {
    match victim.checked_sub(servers) {
        Some(worker) => &world.workers()[worker].process,
        None => world.servers()[victim].process(),
    }
}

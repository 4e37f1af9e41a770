//! Kills and freezes processes at random.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ees_tests::Killed;
use tokio::task::JoinHandle;

use super::world::World;

/// The targets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Servers, workers, and the connections to the database.
    Everything,
    /// Workers only, which clients don't notice.
    Workers,
}

#[derive(Debug, Default)]
pub struct Hits {
    pub kills: u32,
    pub freezes: u32,
    pub cuts: u32,
}

pub struct Fire {
    cease: Arc<AtomicBool>,
    shooting: JoinHandle<(World, Hits)>,
}

impl Fire {
    /// Stops, and returns the world with all processes running again.
    pub async fn cease(self) -> (World, Hits) {
        self.cease.store(true, SeqCst);
        self.shooting.await.unwrap()
    }
}

pub fn open(mut world: World, aim: Aim, mut chance: fastrand::Rng) -> Fire {
    let cease = Arc::new(AtomicBool::new(false));
    let ceased = cease.clone();
    let shooting = tokio::task::spawn_blocking(move || {
        let hits = shoot(&mut world, aim, &mut chance, &ceased);
        (world, hits)
    });
    Fire { cease, shooting }
}

fn shoot(world: &mut World, aim: Aim, chance: &mut fastrand::Rng, ceased: &AtomicBool) -> Hits {
    let mut hits = Hits::default();
    // The end of each frozen time.
    let mut frozen = BTreeMap::<usize, Instant>::new();
    let servers = if aim == Aim::Everything { world.servers.len() } else { 0 };
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
        let victim = chance.usize(..servers + world.workers.len());
        for (number, worker) in world.workers.iter_mut().enumerate() {
            if !frozen.contains_key(&(servers + number)) {
                worker.restart_if_ended();
            }
        }
        match chance.u8(..10) {
            0 if aim == Aim::Everything => {
                hits.cuts += 1;
                cut_a_connection(world);
            }
            1..4 if !frozen.contains_key(&victim) => {
                hits.freezes += 1;
                process(world, servers, victim).freeze();
                frozen.insert(victim, Instant::now() + how_long(chance));
            }
            _ => {
                hits.kills += 1;
                frozen.remove(&victim);
                match victim.checked_sub(servers) {
                    Some(worker) => world.workers[worker].kill_and_restart(),
                    None => world.servers[victim].kill_and_restart(),
                }
            }
        }
    }
    frozen.keys().for_each(|victim| process(world, servers, *victim).thaw());
    world.workers.iter_mut().for_each(|worker| worker.restart_if_ended());
    hits
}

/// Mostly short, but sometimes longer than a lease that is not renewed.
fn how_long(chance: &mut fastrand::Rng) -> Duration {
    let millis = if chance.u8(..4) == 0 { 5_500..8_000 } else { 50..2_000 };
    Duration::from_millis(chance.u64(millis))
}

fn process(world: &World, servers: usize, victim: usize) -> &Killed {
    match victim.checked_sub(servers) {
        Some(worker) => &world.workers[worker].process,
        None => world.servers[victim].process(),
    }
}

fn cut_a_connection(world: &World) {
    world.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
    );
}

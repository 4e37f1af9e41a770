//! A store, a database, and the processes that use them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use ees_projector::{NewVersion, OnFailure, Order, Parking, Projector, Retry, Settings, memory, reactor};
use ees_store::memory as memory_store;
use futures::FutureExt;

use crate::client::{self, Told};
use crate::diary::Diary;
use crate::link::{Link, Weather};
use crate::mailer::{Mailer, Mails};
use crate::process::{Process, Surroundings};
use crate::read_models::{Digest, Journal};
use crate::remote_store::RemoteStore;
use crate::servers::{Server, Servers};
use crate::{HAS_PANICKED, checks, machine, operator};

/// How long a process runs before the next one has its turn.
const TURN: Duration = Duration::from_millis(5);
const TROUBLE_FOR: Duration = Duration::from_secs(60);
/// Within so long, everything is applied once there is no trouble.
const CALM_MAX: Duration = Duration::from_secs(300);
/// How wrong a wall clock is at most.
pub(crate) const WRONG_BY_MAX: Duration = Duration::from_secs(5);
const GOOD_WEATHER: Weather = Weather { delay_max: Duration::from_millis(10), lost: 3, is_cut: false };
/// Longer than a worker goes without a look at its row.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const WORKERS: usize = 3;
const CLIENTS: usize = 2;

pub(crate) const JOURNAL: &str = "journal";
pub(crate) const LINES: &str = "lines";
pub(crate) const NAMES: [&str; 4] = [JOURNAL, LINES, "digest", "mailer"];

pub(crate) struct World {
    servers: Arc<Servers>,
    pub(crate) store: Arc<memory_store::Store>,
    pub(crate) database: memory::Database,
    pub(crate) mails: Mails,
    pub(crate) told: Told,
    pub(crate) workers: Vec<Process>,
    clients: Vec<Process>,
    is_calm: Arc<AtomicBool>,
    /// The version of the workers that start.
    version: Arc<AtomicU32>,
    /// When a worker's open transaction is rolled back by the server, if it is frozen.
    cut_off_at: Option<Duration>,
    /// When the database cut off the connection of a worker.
    cut_offs: Vec<Duration>,
    /// What happened, for those who look into a failure.
    pub(crate) diary: Diary,
}

impl World {
    pub(crate) fn new() -> Self {
        let (store, database) = (Arc::new(memory_store::Store::new()), memory::Database::new());
        let (mails, told, is_calm) = (Mails::default(), Told::default(), Arc::<AtomicBool>::default());
        let (version, servers) = (Arc::new(AtomicU32::new(1)), Arc::<Servers>::default());
        let link = || Link::new(GOOD_WEATHER, servers.clone());
        let new_version =
            if fastrand::bool() { NewVersion::InPlace } else { NewVersion::SideBySide { verify: false } };
        let worker = |number| {
            let (store, database, mails) = (store.clone(), database.clone(), mails.clone());
            let version = version.clone();
            let program = move |around: Surroundings| {
                let deployed = Deployed { version: version.load(SeqCst), new_version };
                work(around, deployed, store.clone(), database.clone(), mails.clone()).boxed()
            };
            Process::new(format!("worker-{number}"), link(), Box::new(program))
        };
        let client = |number| {
            let (store, told, is_calm) = (store.clone(), told.clone(), is_calm.clone());
            let program = move |around: Surroundings| {
                let is_calm = is_calm.clone();
                let store = RemoteStore { store: store.clone(), link: around.link };
                client::run(store, told.clone(), move || is_calm.load(SeqCst)).boxed()
            };
            Process::new(format!("client-{number}"), link(), Box::new(program))
        };
        let (workers, clients) = ((0..WORKERS).map(worker).collect(), (0..CLIENTS).map(client).collect());
        let diary = Diary::default();
        Self {
            servers,
            store,
            database,
            mails,
            told,
            workers,
            clients,
            is_calm,
            version,
            cut_off_at: None,
            cut_offs: Vec::new(),
            diary,
        }
    }

    /// Runs it, with trouble and then without.
    ///
    /// # Panics
    /// When a promise is broken.
    pub(crate) fn run(&mut self) {
        let mut next_trouble = Duration::from_secs(1);
        while machine::now() < TROUBLE_FOR {
            self.turn();
            if machine::now() >= next_trouble {
                self.trouble();
                next_trouble = machine::now() + millis(100..4_000);
            }
            self.look();
        }
        self.calm();
        // Twice, because a worker may not know yet what another one has begun.
        let mut applied = 0;
        while applied < 2 {
            assert!(machine::now() < TROUBLE_FOR + CALM_MAX, "{}", checks::what_is_missing(self));
            operator::help(self);
            let next_look = machine::now() + LOOK_EVERY;
            while machine::now() < next_look {
                self.turn();
                self.look();
            }
            applied = if checks::all_is_applied(self) { applied + 1 } else { 0 };
        }
        checks::at_the_end(self);
    }

    /// Looks at what must be true at any time; not after each turn, because that takes longer than the turn.
    fn look(&self) {
        assert!(!HAS_PANICKED.load(SeqCst), "a task has panicked");
        if fastrand::u32(..20) == 0 {
            checks::at_any_time(self);
        }
    }

    pub(crate) fn version(&self) -> u32 {
        self.version.load(SeqCst)
    }

    pub(crate) fn clients_are_done(&self) -> bool {
        self.clients.iter().all(Process::is_done)
    }

    pub(crate) fn kills_of_clients(&self) -> usize {
        self.clients.iter().map(|client| client.kills.len()).sum()
    }

    fn worker_of(&self, name: &str) -> &Process {
        let is_of =
            |worker: &&Process| name.strip_prefix(&worker.name).is_some_and(|rest| rest.starts_with('.'));
        self.workers.iter().find(is_of).expect("a worker that was started")
    }

    pub(crate) fn freezes_of(&self, name: &str) -> &[Duration] {
        &self.worker_of(name).freezes
    }

    /// When the worker may have been unable to record what it did.
    pub(crate) fn troubles_of(&self, name: &str) -> Vec<Duration> {
        let worker = self.worker_of(name);
        let losses = worker.link.losses();
        [&worker.kills, &worker.freezes, &losses, &self.cut_offs].into_iter().flatten().copied().collect()
    }

    /// What happened, in a line.
    pub(crate) fn summary(&self) -> String {
        let told = self.told.lock().unwrap();
        let mails: usize = self.mails.all().values().map(Vec::len).sum();
        let (kills, freezes) = self
            .workers
            .iter()
            .chain(&self.clients)
            .fold((0, 0), |(kills, freezes), it| (kills + it.kills.len(), freezes + it.freezes.len()));
        format!(
            "{:.1} s, {} changesets, {} conflicts, {} commits sent again, {mails} attempts to mail, {kills} kills, {freezes} freezes, {} deaths of servers, {} entries in the diary",
            machine::now().as_secs_f64(),
            told.all.len(),
            told.refused.len(),
            told.repeats,
            self.servers.deaths_in_all(),
            self.diary.len()
        )
    }

    fn turn(&mut self) {
        machine::advance(TURN);
        let mut all: Vec<_> = self.workers.iter_mut().chain(&mut self.clients).collect();
        fastrand::shuffle(&mut all);
        for process in all {
            process.run(TURN);
        }
        if self.cut_off_at.is_some_and(|at| machine::now() >= at) {
            self.cut_off();
            self.cut_off_at = None;
        }
    }

    fn cut_off(&mut self) {
        self.database.cut_off();
        self.cut_offs.push(machine::now());
    }

    fn trouble(&mut self) {
        let mut all: Vec<_> = self.workers.iter_mut().chain(&mut self.clients).collect();
        let at = fastrand::usize(..all.len());
        let process = &mut *all[at];
        let (name, now) = (process.name.clone(), machine::now());
        let what = match fastrand::u32(..14) {
            0 | 1 => {
                process.kill(millis(0..8_000));
                format!("{name} is killed")
            }
            2 => {
                process.freeze(millis(100..12_000));
                self.cut_off_at = Some(now + millis(100..5_000));
                format!("{name} is frozen")
            }
            3 | 4 => {
                let bad = Weather {
                    is_cut: fastrand::u32(..3) == 0,
                    lost: fastrand::u32(..100),
                    delay_max: millis(0..200),
                };
                process.link.set(bad);
                format!("{name} has {bad:?}")
            }
            5 => {
                process.link.set(GOOD_WEATHER);
                format!("{name} has a good connection")
            }
            6 => {
                let max = WRONG_BY_MAX.as_millis() as i64;
                process.wall_clock_wrong_by = fastrand::i64(-max..max);
                format!("{name}: the clock is wrong by {} ms", process.wall_clock_wrong_by)
            }
            7 if fastrand::bool() => {
                self.version.store(2, SeqCst);
                process.kill(Duration::ZERO);
                format!("version 2 is deployed, and {name} starts again")
            }
            7 => {
                self.cut_off();
                "the database cuts the connection of who has a transaction".to_owned()
            }
            8 => {
                let (server, dead_for) = (any_server(), millis(0..6_000));
                self.servers.kill(server, dead_for);
                if server == Server::Database {
                    self.cut_off();
                }
                format!("{server:?} dies, and starts again after {dead_for:?}")
            }
            9 => {
                // With a database that is slower, a worker may not record in time that a mail was sent.
                let (server, disk_max) = match any_server() {
                    Server::Store => (Server::Store, millis(0..2_000)),
                    Server::Database => (Server::Database, millis(0..100)),
                };
                let disk_max = if fastrand::bool() { disk_max } else { Duration::ZERO };
                self.servers.slow_down(server, disk_max);
                format!("{server:?} has a disk that takes up to {disk_max:?}")
            }
            _ => operator::act(self),
        };
        self.diary.note(what);
    }

    fn calm(&mut self) {
        self.is_calm.store(true, SeqCst);
        self.cut_off();
        self.servers.mend();
        for process in self.workers.iter_mut().chain(&mut self.clients) {
            process.thaw();
            process.link.set(Weather::default());
            process.wall_clock_wrong_by = 0;
        }
        // A deploy comes to its end.
        self.workers.iter_mut().for_each(|worker| worker.kill(Duration::ZERO));
        self.diary.note("no more trouble".to_owned());
    }
}

pub(crate) fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}

fn any_server() -> Server {
    if fastrand::bool() { Server::Store } else { Server::Database }
}

/// What a worker is started with.
struct Deployed {
    version: u32,
    new_version: NewVersion,
}

/// A worker: it runs everything, together with the others.
async fn work(
    around: Surroundings,
    deployed: Deployed,
    store: Arc<memory_store::Store>,
    database: memory::Database,
    mails: Mails,
) {
    let log = RemoteStore { store, link: around.link.clone() };
    let database = database.over(&around.name, around.link);
    let retry = Retry { times: 2, delay_min: Duration::from_millis(50), delay_max: Duration::from_secs(1) };
    // Small pages: those of 50 changesets and more are decoded on another thread, at a time that no seed decides.
    let settings = Settings {
        retry,
        batch_changesets_max: 10,
        span_changesets_max: 20,
        poll_interval: Duration::from_secs(2),
        new_version: deployed.new_version,
        ..Settings::default()
    };
    let parking = Parking {
        retry_after_min: Duration::from_millis(500),
        retry_after_max: Duration::from_secs(5),
        ..Parking::default()
    };
    let mut projector = Projector::new(Arc::new(log));
    let journal = Journal { name: JOURNAL, order: Order::Log };
    let lines = Journal { name: LINES, order: Order::Stream };
    let parks = Settings { on_failure: OnFailure::Park(parking), ..settings };
    let reacts = reactor::Settings {
        start: reactor::Start::Beginning,
        streams_at_once: 4,
        effect_timeout: Duration::from_secs(3),
        poll_interval: settings.poll_interval,
        parking,
        retry,
        ..reactor::Settings::default()
    };
    let mailer = Mailer { worker: around.name, mails };
    let registered = projector
        .projection(journal, database.clone(), settings)
        .and_then(|()| projector.projection(lines, database.clone(), parks))
        .and_then(|()| projector.fold(Digest { version: deployed.version }, database.clone(), settings))
        .and_then(|()| projector.reactor(mailer, database, reacts));
    registered.expect("the names are valid");
    let running = projector.start();
    around.shown.lock().unwrap().handle = Some(running.handle().clone());
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let statuses = running.handle().list().await;
        around.shown.lock().unwrap().statuses = statuses;
    }
}

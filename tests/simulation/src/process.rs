//! A process: a program with a runtime and clocks of its own. It can be killed and frozen.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ees_projector::{Handle, Status};
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::link::Link;
use crate::machine;

/// What a process shows to the outside.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) handle: Option<Handle>,
    pub(crate) statuses: Vec<Status>,
}

/// What a program gets from its process.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Unique for each start.
    pub(crate) name: String,
    pub(crate) link: Arc<Link>,
    pub(crate) shown: Arc<Mutex<Shown>>,
}

type Program = Box<dyn Fn(Surroundings) -> BoxFuture<'static, ()>>;

pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) link: Arc<Link>,
    program: Program,
    runtime: Option<Runtime>,
    main: Option<JoinHandle<()>>,
    starts: u32,
    shown: Arc<Mutex<Shown>>,
    starts_again_at: Duration,
    frozen_until: Duration,
    /// How far its clock is behind, because it was frozen.
    behind: Duration,
    pub(crate) wall_clock_wrong_by: i64,
    /// When it was killed, and when it was frozen.
    pub(crate) kills: Vec<Duration>,
    pub(crate) freezes: Vec<Duration>,
}

impl Process {
    pub(crate) fn new(name: String, link: Link, program: Program) -> Self {
        Self {
            name,
            link: Arc::new(link),
            program,
            runtime: None,
            main: None,
            starts: 0,
            shown: Arc::default(),
            starts_again_at: Duration::ZERO,
            frozen_until: Duration::ZERO,
            behind: Duration::ZERO,
            wall_clock_wrong_by: 0,
            kills: Vec::new(),
            freezes: Vec::new(),
        }
    }

    /// Lets it run for so long, unless it is dead or frozen.
    pub(crate) fn run(&mut self, time: Duration) {
        machine::set_wall_clock_wrong_by(self.wall_clock_wrong_by);
        if self.runtime.is_none() && machine::now() >= self.starts_again_at {
            self.start();
        }
        let Some(runtime) = &self.runtime else { return };
        if machine::now() < self.frozen_until {
            self.behind += time;
            return;
        }
        let behind = std::mem::take(&mut self.behind);
        runtime.block_on(async {
            if !behind.is_zero() {
                tokio::time::advance(behind).await;
            }
            tokio::time::sleep(time).await;
        });
    }

    fn start(&mut self) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime needs nothing of the system");
        self.starts += 1;
        *self.shown.lock().unwrap() = Shown::default();
        let name = format!("{}.{}", self.name, self.starts);
        let around = Surroundings { name, link: self.link.clone(), shown: self.shown.clone() };
        self.main = Some(runtime.spawn((self.program)(around)));
        self.runtime = Some(runtime);
    }

    /// Everything that runs in it ends, wherever it waits. It starts again later.
    pub(crate) fn kill(&mut self, dead_for: Duration) {
        if self.runtime.take().is_some() {
            self.kills.push(machine::now());
        }
        (self.behind, self.frozen_until) = (Duration::ZERO, Duration::ZERO);
        self.starts_again_at = machine::now() + dead_for;
    }

    /// It stands still, and does not know it when it goes on.
    pub(crate) fn freeze(&mut self, for_so_long: Duration) {
        if self.runtime.is_some() {
            self.freezes.push(machine::now());
            self.frozen_until = machine::now() + for_so_long;
        }
    }

    pub(crate) fn thaw(&mut self) {
        (self.frozen_until, self.starts_again_at) = (Duration::ZERO, Duration::ZERO);
    }

    /// Runs a task beside its program.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// Whether its program has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.main.as_ref().is_some_and(JoinHandle::is_finished)
    }

    pub(crate) fn shown(&self) -> Shown {
        self.shown.lock().unwrap().clone()
    }
}

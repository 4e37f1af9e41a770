//! Lets the peers take turns, so that a busy minute of the machine does not hit one of them alone.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::databases::Databases;
use crate::drivers::{self, Program};
use crate::figure::{Figure, Line, Report};
use crate::machine::Machine;
use crate::peers::{Part, Peer, Usage};
use crate::sizes::Sizes;
use crate::verdict::{Verdict, Whole, verdict};
use crate::{Result, folder, idle};

/// What a driver needs beside the time that it measures: to connect, to look at the end state.
const BESIDE: Duration = Duration::from_secs(120);
/// The name of the database and folder of a measurement.
const SCRATCH: &str = "scratch";

/// A peer that can be measured.
struct Ready {
    peer: &'static Peer,
    program: Program,
    /// The database and folder that hold all of the workload.
    loaded: Option<String>,
}

pub(crate) async fn run(
    peers: &[&'static Peer],
    sizes: Sizes,
    record: &mut impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let databases = Databases::start().await?;
    record(Line::Machine(Machine::look(sizes, &databases).await?))?;
    let version = databases.version().await?;
    let (peers, too_new): (Vec<_>, Vec<_>) =
        peers.iter().copied().partition(|peer: &&Peer| peer.postgres_min <= version);
    for peer in too_new {
        let why = format!("it needs PostgreSQL {}", peer.postgres_min / 10_000);
        record(Line::LeftOut { peer: peer.name.to_owned(), why })?;
    }
    // All are built before anything is measured.
    let prepared = tokio::task::spawn_blocking(move || drivers::prepare(&peers)).await;
    let mut ready = Vec::new();
    for (peer, program) in prepared.map_err(|error| error.to_string())? {
        match program {
            Ok(program) => ready.push(Ready { peer, program, loaded: None }),
            Err(why) => record(Line::LeftOut { peer: peer.name.to_owned(), why })?,
        }
    }
    let run = Run { databases, sizes };
    for ready in &mut ready {
        if ready.peer.usages.iter().any(|usage| usage.parts.iter().any(|part| part.is_of_loaded())) {
            match run.load(ready).await {
                Ok(loaded) => ready.loaded = Some(loaded),
                Err(why) => eprintln!("{}: {why}", ready.peer.name),
            }
        }
    }
    for round in 1..=sizes.rounds {
        for ready in &ready {
            let idle = idle::percent().await;
            for usage in ready.peer.usages {
                for part in usage.parts {
                    for clients in part.clients(ready.peer) {
                        let turn = Turn { ready, usage, part: *part, clients: *clients, round, idle };
                        record(run.measure(&turn).await)?;
                    }
                }
            }
        }
    }
    folder::remove(&folder::ours().join("data")).map_err(|error| error.to_string())
}

struct Turn<'a> {
    ready: &'a Ready,
    usage: &'static Usage,
    part: Part,
    clients: usize,
    round: usize,
    idle: Option<f64>,
}

struct Run {
    databases: Databases,
    sizes: Sizes,
}

impl Run {
    /// Appends all of the workload, for the parts that begin with it.
    async fn load(&self, ready: &Ready) -> Result<String> {
        let (usage, clients) = ready.peer.loaded_by;
        let name = format!("loaded_{}", ready.peer.name.replace('-', "_"));
        eprintln!("{}: {} events are loaded", ready.peer.name, self.sizes.events);
        self.databases.renew(&name, None).await?;
        folder::renew(&data(&name), None)?;
        let call = Call { part: Part::Append, usage, clients, time: self.sizes.load, place: &name };
        let report = self.call(ready, &call).await?;
        match verdict(Part::Append, self.whole(), false, &report) {
            Verdict::Wrong(why) => return Err(why),
            _ if report.events < self.sizes.events => {
                return Err(format!("{} s were too few for all events", self.sizes.load.as_secs()));
            }
            _ => {}
        }
        self.databases.settle(&name).await?;
        Ok(name)
    }

    async fn measure(&self, turn: &Turn<'_>) -> Line {
        let Turn { ready, usage, part, clients, round, idle } = *turn;
        eprint!("round {round}: {}, {}, {}, {clients} clients: ", ready.peer.name, usage.name, part.name());
        let time = match part {
            Part::Append => self.sizes.append,
            Part::CatchUp => self.sizes.catch_up,
            Part::Live => self.sizes.live,
            Part::Read => self.sizes.read,
            Part::Enumerate => self.sizes.enumerate,
        };
        let call = Call { part, usage: usage.name, clients, time, place: SCRATCH };
        let (peer, usage) = (ready.peer.name.to_owned(), usage.name.to_owned());
        match self.call_afresh(ready, &call).await {
            Ok(report) => {
                let verdict = verdict(part, self.whole(), report.seconds >= time.as_secs_f64(), &report);
                eprintln!("{:.0} events/s, {verdict:?}", report.events as f64 / report.seconds);
                Line::Figure(Figure { peer, usage, part, clients, round, idle, verdict, report })
            }
            Err(why) => {
                eprintln!("{why}");
                Line::Failed { peer, usage, part, why }
            }
        }
    }

    /// Calls the driver with a database and a folder for this call alone.
    async fn call_afresh(&self, ready: &Ready, call: &Call<'_>) -> Result<Report> {
        let from = if call.part.is_of_loaded() {
            Some(ready.loaded.as_deref().ok_or("the workload could not be loaded")?)
        } else {
            None
        };
        self.databases.renew(call.place, from).await?;
        folder::renew(&data(call.place), from.map(data).as_deref())?;
        let report = self.call(ready, call).await;
        self.databases.remove(call.place).await?;
        report
    }

    async fn call(&self, ready: &Ready, call: &Call<'_>) -> Result<Report> {
        let log = folder::ours().join(format!("{}.log", ready.peer.name));
        let errors = File::options().create(true).append(true).open(&log);
        let errors = errors.map_err(|error| format!("{}: {error}", log.display()))?;
        let mut words = ready.program.words.iter();
        let mut command = Command::new(words.next().ok_or("a driver is a program")?);
        command.args(words).args([call.part.name(), call.usage]);
        command.envs(ready.program.variables.iter().map(|(name, value)| (name, value)));
        command.env("PEERS_DATABASE", self.databases.url(call.place));
        command.env("PEERS_FOLDER", data(call.place));
        command.env("PEERS_CLIENTS", call.clients.to_string());
        command.env("PEERS_SECONDS", call.time.as_secs().to_string());
        command.env("PEERS_EVENTS", self.sizes.events.to_string());
        command.env("PEERS_STREAMS", self.sizes.streams.to_string());
        command.stdin(Stdio::null()).stderr(errors).kill_on_drop(true);
        let output = tokio::time::timeout(call.time + BESIDE, command.output()).await;
        let output = output.map_err(|_| "it did not end")?.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("it failed ({}): see {}", output.status, log.display()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))
    }

    fn whole(&self) -> Whole {
        Whole { events: self.sizes.events, streams: self.sizes.streams }
    }
}

/// One call of a driver.
struct Call<'a> {
    part: Part,
    usage: &'a str,
    clients: usize,
    time: Duration,
    /// The name of the database and of the folder.
    place: &'a str,
}

fn data(name: &str) -> PathBuf {
    folder::ours().join("data").join(name)
}

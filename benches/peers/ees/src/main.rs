//! ees, in process, on PostgreSQL and on SQLite.
//!
//! Each writer commits a changeset of two events with `Expectation::LastEvent`. The read model is a fold onto
//! columns, the usual form by docs/projections.md; or a `Projection` that runs a statement for each event,
//! queued as that page advises (`postgres-queued`), or one by one as other frameworks do it
//! (`postgres-one-by-one`). Rows and position change in one transaction. All settings are the defaults.

mod account;
mod postgres;
mod sqlite;
mod store;

use std::sync::Arc;
use std::time::Instant;

use ees_projector::{Projector, Running};
use ees_store::{ChangesetLog, EventStore};
use peers_workload::live::Look;
use peers_workload::{Part, Report, Task, View, append, live, read};

use account::NAME;
use postgres::Form;

/// Where the read model is kept.
trait ReadModels {
    fn register(&self, projector: &mut Projector);
    async fn view(&self) -> View;
    async fn look(&self) -> impl Look;
}

#[tokio::main]
async fn main() {
    let task = Task::given();
    let report = match task.usage.as_str() {
        "postgres-fold" => on_postgres(&task, Form::Fold).await,
        "postgres-queued" => on_postgres(&task, Form::Queued).await,
        "postgres-one-by-one" => on_postgres(&task, Form::OneByOne).await,
        "sqlite-fold" => {
            let store = ees_store::sqlite::Store::open(task.folder.join("log.db")).unwrap();
            measure(&task, Arc::new(store), sqlite::Database::new(&task)).await
        }
        other => panic!("{other} is no usage of ees"),
    };
    report.print();
}

async fn on_postgres(task: &Task, form: Form) -> Report {
    let store = ees_store::postgres::Store::connect(&task.database).await.unwrap();
    measure(task, Arc::new(store), postgres::Database::connect(task, form).await).await
}

async fn measure<S: EventStore + ChangesetLog>(
    task: &Task,
    store: Arc<S>,
    read_models: impl ReadModels,
) -> Report {
    match task.part {
        Part::Append => {
            let writers = (0..task.clients).map(|_| store::Writer(store.clone())).collect();
            let report = append::append(task, writers).await;
            report.stored(store::count(&*store).await)
        }
        Part::CatchUp => catch_up(task, store, read_models).await,
        Part::Live => {
            let running = follow(store.clone(), &read_models);
            let report = live::live(task, store::Writer(store), read_models.look().await).await;
            running.shut_down().await;
            report.view(read_models.view().await)
        }
        Part::Read => {
            let readers = (0..task.clients).map(|_| store::Reader(store.clone())).collect();
            read::read(task, readers).await
        }
        Part::Enumerate => {
            let begun = Instant::now();
            let events = store::count(&*store).await;
            Report::new(events, begun.elapsed())
        }
    }
}

async fn catch_up(task: &Task, log: Arc<impl ChangesetLog>, read_models: impl ReadModels) -> Report {
    let head = log.head().await.unwrap().checkpoint;
    let begun = Instant::now();
    let running = follow(log, &read_models);
    // When the time is over, the read model says how far this has come.
    let _ = running.handle().when_reached(NAME, head, task.time).await;
    let took = begun.elapsed();
    let view = read_models.view().await;
    running.shut_down().await;
    Report::new(view.events as usize, took).view(view)
}

fn follow(log: Arc<impl ChangesetLog>, read_models: &impl ReadModels) -> Running {
    let mut projector = Projector::new(log);
    read_models.register(&mut projector);
    projector.start()
}

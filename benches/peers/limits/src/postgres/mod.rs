//! PostgreSQL by plain statements.

mod append;
mod catch_up;
mod follow;
mod read;

use std::time::Instant;

use peers_workload::append::append;
use peers_workload::live::{PostgresTable, live};
use peers_workload::postgres::{connect, number};
use peers_workload::{Part, Report, Task, account};

const LOG: &str =
    "CREATE TABLE log (position bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL,
    data text NOT NULL, UNIQUE (stream, version));
    CREATE TABLE checkpoint (position bigint NOT NULL);
    INSERT INTO checkpoint VALUES (0)";

pub(crate) async fn measure(task: &Task, grouped: bool) -> Report {
    match task.part {
        Part::Append => {
            create(task).await;
            let report = if grouped {
                append(task, vec![append::Grouped::start(task).await; task.clients]).await
            } else {
                append(task, append::singly(task).await).await
            };
            report.stored(number(&task.database, "SELECT count(*) FROM log").await as usize)
        }
        Part::CatchUp => {
            account::create(task).await;
            catch_up::catch_up(task, grouped).await
        }
        Part::Live => {
            create(task).await;
            account::create(task).await;
            let follower = follow::start(task).await;
            let report =
                live(task, append::Notifying::new(task).await, PostgresTable::account(task).await).await;
            follower.abort();
            report.view(account::view(task).await)
        }
        Part::Read => read::streams(task).await,
        Part::Enumerate => {
            let begun = Instant::now();
            Report::new(read::log(task).await, begun.elapsed())
        }
    }
}

async fn create(task: &Task) {
    connect(&task.database).await.batch_execute(LOG).await.unwrap();
}

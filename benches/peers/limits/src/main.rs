//! What the machine and the databases themselves do with the workload: the limits that every figure stands
//! beside.
//!
//! - `disk`: writes the bytes of an append to a file, and syncs it.
//! - `postgres-singly`: a statement and transaction for each append; a statement for each event of the read
//!   model.
//! - `postgres-grouped`: all appends that wait are one statement, as a store in one process can do it; the
//!   read model is folded, and written by one statement for 5,000 events.
//! - `sqlite-singly`, `sqlite-grouped`: the same with SQLite, by one writer, which syncs at each commit.

mod disk;
mod fold;
mod postgres;
mod sqlite;

use peers_workload::Task;

#[tokio::main]
async fn main() {
    let task = Task::given();
    let report = match task.usage.as_str() {
        "disk" => disk::measure(&task).await,
        "postgres-singly" => postgres::measure(&task, false).await,
        "postgres-grouped" => postgres::measure(&task, true).await,
        "sqlite-singly" => tokio::task::block_in_place(|| sqlite::measure(&task, false)),
        "sqlite-grouped" => tokio::task::block_in_place(|| sqlite::measure(&task, true)),
        other => panic!("{other} is no limit"),
    };
    report.print();
}

//! Attack 1: bursts of commits and reads on two servers of one PostgreSQL.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde_json::Value;

use super::wire::{get, post};

const WRITERS: u64 = 24;
const COMMITS: u64 = 15;

#[test]
fn bursts_on_two_servers_leave_one_order_in_which_nothing_is_lost_repeated_or_late() {
    let database = TestDatabase::new_blocking();
    let folder = tempfile::tempdir().unwrap();
    let serve = |name| Server::start_with(folder.path().join(name), &["--store", database.url()]);
    let servers = [serve("one"), serve("other")];
    let (start, done) = (Barrier::new(usize::try_from(WRITERS).unwrap()), AtomicBool::new(false));

    let (acknowledged, orders) = thread::scope(|scope| {
        let (servers, start, done) = (&servers, &start, &done);
        let readers: Vec<_> =
            (0..4).map(|reader| scope.spawn(move || followed(servers, reader, done))).collect();
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || wrote(servers, writer, start))).collect();
        let acknowledged: Vec<String> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, SeqCst);
        let orders: Vec<Vec<String>> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (acknowledged, orders)
    });

    let order = &orders[0];
    assert!(orders.iter().all(|other| other == order), "readers saw different orders");
    let distinct: BTreeSet<&String> = order.iter().collect();
    assert_eq!((order.len(), distinct.len()), (acknowledged.len(), acknowledged.len()));
    assert!(acknowledged.iter().all(|changeset| distinct.contains(changeset)), "one is lost");
    assert_eq!(acknowledged.len() as u64, 2 * WRITERS * COMMITS);
    for server in &servers {
        let all = order.len().to_string();
        let reached = ["projections", "status", "statistics", "--min-checkpoint", &all, "--timeout", "60"];
        run(&mut server.ees(&reached)).ok();
        assert_eq!(server.get_json("/streams")["total_changesets"], order.len());
    }
}

/// Commits to a stream of its own, and to one for which all race, through both servers in turn. Returns what was
/// acknowledged, as `STREAM CHANGESET`.
fn wrote(servers: &[Server; 2], writer: u64, start: &Barrier) -> Vec<String> {
    let mut acknowledged = Vec::new();
    start.wait();
    for number in 0..COMMITS {
        let server = |turn: u64| &servers[usize::try_from((writer + turn) % 2).unwrap()];
        let own = format!("/streams/own-{writer}?expected_last_changeset={number}");
        let answer = post(server(number), &own, &format!("{{\"events\":[{number}]}}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        acknowledged.push(format!("own-{writer} {}", number + 1));
        let mut last = 0;
        for turn in 0.. {
            let shared = format!("/streams/shared-{}?expected_last_changeset={last}", writer % 3);
            let answer = post(server(turn), &shared, "{\"events\":[\"raced\"]}");
            if answer.status == 200 {
                acknowledged.push(format!("shared-{} {}", writer % 3, last + 1));
                break;
            }
            assert_eq!(answer.status, 409, "{answer:?}");
            let ahead = answer.json();
            let seen = ahead["forthcoming_changesets"].as_array().unwrap().len() as u64;
            assert!(seen > 0, "a conflict shows what is ahead: {ahead}");
            last += seen;
        }
    }
    acknowledged
}

/// Reads the log from its start with waits, from both servers in turn, until there is nothing more after the end.
fn followed(servers: &[Server; 2], reader: usize, done: &AtomicBool) -> Vec<String> {
    let (mut order, mut next) = (Vec::new(), 0);
    for turn in reader.. {
        let was_done = done.load(SeqCst);
        let target = format!("/changesets?checkpoint={next}&limit={}&wait=0.2", 7 + reader);
        let page: Value = get(&servers[turn % 2], &target).json();
        let changesets = page["changesets"].as_array().unwrap();
        for changeset in changesets {
            assert_eq!(changeset["checkpoint"], order.len(), "nothing is left out or comes late");
            order.push(format!("{} {}", changeset["stream_id"].as_str().unwrap(), changeset["changeset_id"]));
        }
        if was_done && changesets.is_empty() {
            break;
        }
        next = page["next_checkpoint"].as_u64().unwrap();
    }
    order
}

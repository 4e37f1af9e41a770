//! The columns of a fold's table, as PostgreSQL has them.

use ees_projector::{Fold, Order, Projector, ReadModel, Recorded, Running, State, Table};
use ees_store::{ChangesetLog, Commit, EventStore, Events, Expectation, Timestamp};
use serde::{Deserialize, Serialize};

use crate::support::{Bank, LONG, hasty, until};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ReadModel)]
#[read_model(table = "items", key(number = "bigint"), index(kind), check = "amount >= 0")]
struct Item {
    kind: Kind,
    amount: i64,
    #[read_model(column = "decimal")]
    price: String,
    tags: Vec<String>,
    times: Option<Vec<Timestamp>>,
    #[read_model(jsonb)]
    details: Details,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[read_model(added)]
    note: Option<String>,
    changes: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Book,
    Game,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Details {
    zebra: f64,
    ant: Option<i64>,
}

#[derive(Deserialize)]
struct Change {
    number: i64,
    amount: i64,
    touch: bool,
}

#[derive(Clone, Copy, Default)]
struct Items {
    /// As a program from before the column was there.
    before_note: bool,
}

impl Fold for Items {
    type Event = Change;
    type Key = i64;
    type State = Item;

    fn name(&self) -> &str {
        "items"
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    fn table(&self) -> Table {
        let mut table = Item::table();
        table.columns.retain(|column| !self.before_note || column.name != "note");
        table
    }
    fn key(&self, event: Recorded<'_, Change>) -> Option<i64> {
        Some(event.event.number)
    }
    fn fold(&self, row: Option<Item>, event: Recorded<'_, Change>) -> Option<Item> {
        let Change { number, amount, touch } = event.event;
        if !touch && row.is_some() {
            return row;
        }
        Some(Item {
            kind: if number % 2 == 0 { Kind::Book } else { Kind::Game },
            amount: *amount,
            price: format!("{number}.50"),
            tags: vec![format!("t\"{number}"), "\\N\t".to_owned()],
            times: (number % 3 > 0).then(|| vec![Timestamp::from_micros(*number)]),
            details: Details { zebra: *number as f64, ant: (number % 2 == 0).then_some(*number) },
            note: None,
            changes: row.map_or(0, |row| row.changes) + 1,
        })
    }
}

async fn start(bank: &Bank, items: Items) -> Running {
    let mut projector = Projector::new(bank.log.clone());
    projector.fold(items, bank.connect().await, hasty()).unwrap();
    projector.start()
}

async fn caught_up(bank: &Bank, running: &Running) {
    let head = bank.log.head().await.unwrap().checkpoint;
    running.handle().when_reached("items", head, LONG).await.unwrap();
}

async fn commit(bank: &Bank, stream: &str, numbers: impl Iterator<Item = i64>, touch: bool) {
    let event = |number| serde_json::json!({"number": number, "amount": number, "touch": touch});
    let events = Events::of(&numbers.map(event).collect::<Vec<_>>()).unwrap();
    let commit = Commit::new(stream.parse().unwrap(), Expectation::NewStream, events);
    bank.log.commit(commit).await.unwrap();
}

const SAME: &str = "SELECT count(*) FROM items.items WHERE kind = CASE number % 2 WHEN 0 THEN 'book' ELSE 'game' END
    AND price = number + 0.5 AND tags = ARRAY[format('t\"%s', number), E'\\\\N\\t']
    AND (times[1] = to_timestamp(0) + number * interval '1 microsecond' OR times IS NULL AND number % 3 = 0)
    AND (details->>'zebra')::float8 = number AND (details @> jsonb_build_object('ant', number)) = (number % 2 = 0)";

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_every_type_go_in_one_statement() {
    let bank = Bank::new().await;
    // As many as go by COPY, and some that go by arrays.
    commit(&bank, "many", 0..2_500, true).await;
    let running = start(&bank, Items::default()).await;
    caught_up(&bank, &running).await;
    assert_eq!(bank.number(SAME).await, 2_500);
    commit(&bank, "more", 2_490..2_600, true).await;
    caught_up(&bank, &running).await;
    assert_eq!(bank.number(SAME).await, 2_600);
    let types = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'items.items'::regclass
        AND (attname, format_type(atttypid, atttypmod)) IN (('kind', 'text'), ('price', 'numeric'), ('tags', 'text[]'),
            ('times', 'timestamp with time zone[]'), ('details', 'jsonb'))";
    assert_eq!(bank.number(types).await, 5);
    // What a row was read as is what it was written as: one that did not change is not written.
    let newest = "SELECT max(xmin::text::bigint) FROM items.items";
    let before = bank.number(newest).await;
    commit(&bank, "same", 0..100, false).await;
    caught_up(&bank, &running).await;
    assert_eq!(bank.number(newest).await, before);
    assert!(running.handle().verify("items").await.unwrap().is_equal());
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_added_to_a_table_is_no_difference() {
    let bank = Bank::new().await;
    commit(&bank, "few", 0..10, true).await;
    let first = start(&bank, Items { before_note: true }).await;
    caught_up(&bank, &first).await;
    first.shut_down().await;
    bank.run(
        "ALTER TABLE items.items ADD COLUMN theirs text DEFAULT 'x';
         ALTER TABLE items.items ALTER COLUMN times SET DEFAULT '{}';
         UPDATE items.items SET times = '{}' WHERE times IS NULL;
         ALTER TABLE items.items ADD CONSTRAINT small CHECK (amount < 1000000);
         CREATE INDEX theirs ON items.items (amount);
         ALTER TABLE items.items ALTER COLUMN times SET NOT NULL",
    )
    .await;
    // Its own column is added, and it is the program's from then on.
    let second = start(&bank, Items::default()).await;
    commit(&bank, "next", 10..11, true).await;
    caught_up(&bank, &second).await;
    assert_eq!(bank.number("SELECT count(*) FROM items.items WHERE note IS NULL AND theirs = 'x'").await, 11);
    second.shut_down().await;
    let third = start(&bank, Items::default()).await;
    commit(&bank, "last", 11..12, true).await;
    // The one that has NOT NULL from somebody else refuses a row. That is theirs.
    caught_up(&bank, &third).await;
    third.shut_down().await;
    // Without the column, the program is another one.
    let older = start(&bank, Items { before_note: true }).await;
    until("it stops", LONG, || async {
        older.handle().status("items").await.unwrap().state == State::Stopped
    })
    .await;
    older.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_added_later_is_no_difference_to_a_rebuild() {
    let bank = Bank::new().await;
    commit(&bank, "few", 0..10, true).await;
    let first = start(&bank, Items { before_note: true }).await;
    caught_up(&bank, &first).await;
    first.shut_down().await;
    let second = start(&bank, Items::default()).await;
    caught_up(&bank, &second).await;
    // It is the last one in the table, and not in the program.
    assert!(second.handle().verify("items").await.unwrap().is_equal());
    // Its constraints are its own: nothing of others is lost or made again.
    second.handle().rebuild("items", "to compare").await.unwrap();
    caught_up(&bank, &second).await;
    assert_eq!(bank.number(SAME).await, 10);
    let constraints =
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'items.items'::regclass AND contype = 'c'";
    assert_eq!(bank.number(constraints).await, 2);
    second.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_that_add_a_column_at_once_add_it_once() {
    let bank = Bank::new().await;
    commit(&bank, "few", 0..10, true).await;
    let first = start(&bank, Items { before_note: true }).await;
    caught_up(&bank, &first).await;
    first.shut_down().await;
    let both = [start(&bank, Items::default()).await, start(&bank, Items::default()).await];
    for running in both {
        caught_up(&bank, &running).await;
        let status = running.handle().status("items").await.unwrap();
        assert_eq!(status.last_error, None);
        running.shut_down().await;
    }
}

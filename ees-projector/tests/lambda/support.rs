//! A bank, and functions that count its deposits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use aws_lambda_events::dynamodb::Event as Records;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use ees_projector::lambda::Function;
use ees_projector::{BoxError, OnDemand, Projection, Recorded, Retry, Settings, postgres, sqlite};
use ees_store::publish::{Message, group_id};
use ees_store::{
    Changeset, ChangesetId, ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogHead,
    LogPage, LogQuery, Result, StreamId, StreamQuery, Timestamp, memory,
};
use ees_test_postgres::TestDatabase;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Far longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(30);
/// Long enough for what there is to do, and soon over when there is nothing.
pub const SHORT: Duration = Duration::from_millis(700);

pub fn within(time: Duration) -> Instant {
    Instant::now() + time
}

/// Notes each event as a row, and fails at an event `"bad"`.
#[derive(Clone, Copy)]
pub struct Journal;

impl Projection<sqlite::Tx> for Journal {
    type Event = Value;
    fn name(&self) -> &str {
        "journal"
    }
    async fn create_tables(&self, tx: &mut sqlite::Tx) -> std::result::Result<(), BoxError> {
        Ok(tx.connection().execute_batch("CREATE TABLE journal (stream TEXT, event INTEGER)")?)
    }
    async fn drop_tables(&self, tx: &mut sqlite::Tx) -> std::result::Result<(), BoxError> {
        Ok(tx.connection().execute_batch("DROP TABLE IF EXISTS journal")?)
    }
    async fn apply(
        &self,
        event: Recorded<'_, Value>,
        tx: &mut sqlite::Tx,
    ) -> std::result::Result<(), BoxError> {
        if event.event == "bad" {
            return Err("a bad event".into());
        }
        let row = (event.stream_id().as_str(), event.event_id.get());
        tx.connection().execute("INSERT INTO journal VALUES (?1, ?2)", row)?;
        Ok(())
    }
}

impl Projection<postgres::Tx> for Journal {
    type Event = Value;
    fn name(&self) -> &str {
        "journal"
    }
    async fn create_tables(&self, tx: &mut postgres::Tx) -> std::result::Result<(), BoxError> {
        sqlx::raw_sql("CREATE TABLE journal (stream text, event bigint)").execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut postgres::Tx) -> std::result::Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS journal").execute(tx.connection()).await?;
        Ok(())
    }
    async fn apply(
        &self,
        event: Recorded<'_, Value>,
        tx: &mut postgres::Tx,
    ) -> std::result::Result<(), BoxError> {
        if event.event == "bad" {
            return Err("a bad event".into());
        }
        let insert = sqlx::query("INSERT INTO journal VALUES ($1, $2)").bind(event.stream_id().as_str());
        insert.bind(i64::try_from(event.event_id.get())?).execute(tx.connection()).await?;
        Ok(())
    }
}

/// Where the journal is kept.
pub enum ReadModel {
    Sqlite(sqlite::Database, #[expect(dead_code, reason = "removed with it")] tempfile::TempDir),
    Postgres(postgres::Database, #[expect(dead_code, reason = "removed with it")] Box<TestDatabase>),
}

impl ReadModel {
    pub async fn each() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = sqlite::Database::open(folder.path().join("journal.db")).unwrap();
        let own = TestDatabase::new().await;
        let postgres = postgres::Database::connect(own.url()).await.unwrap();
        [Self::Sqlite(sqlite, folder), Self::Postgres(postgres, Box::new(own))]
    }

    /// As a function's own process would make it.
    pub fn function(&self, log: &Arc<Bank>) -> Function {
        let retry =
            Retry { times: 1, delay_min: Duration::from_millis(1), delay_max: Duration::from_millis(5) };
        let settings = Settings { retry, ..Settings::default() };
        let worker = match self {
            Self::Sqlite(database, _) => {
                OnDemand::projection(Journal, database.clone(), log.clone(), settings)
            }
            Self::Postgres(database, _) => {
                OnDemand::projection(Journal, database.clone(), log.clone(), settings)
            }
        };
        Function::new(worker.unwrap())
    }

    /// The rows in the order they were written, as `STREAM#EVENT`.
    pub async fn rows(&self) -> Vec<String> {
        match self {
            Self::Sqlite(database, _) => {
                let read = database.read(|connection| {
                    let mut all =
                        connection.prepare("SELECT stream || '#' || event FROM journal ORDER BY rowid")?;
                    all.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
                });
                read.await.unwrap()
            }
            Self::Postgres(database, _) => {
                let sql = "SELECT stream || '#' || event FROM journal.journal ORDER BY ctid";
                sqlx::query_scalar(sql).fetch_all(database.pool()).await.unwrap()
            }
        }
    }
}

/// A log that gives changesets their place when it is told to.
pub struct Bank {
    store: memory::Store,
    /// Nothing from here on has its place yet.
    pub end: watch::Sender<u64>,
}

impl Bank {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { store: memory::Store::new(), end: watch::Sender::new(u64::MAX) })
    }

    /// Appends events to a stream; the changeset.
    pub async fn append(&self, stream: &str, events: &str) -> Changeset {
        let id: StreamId = stream.parse().unwrap();
        let known = self.store.read_stream(StreamQuery::all(id.clone())).await;
        let last = known.map_or(0, |page| page.changesets.len()) as u64;
        let events = Events::parse(events).unwrap();
        let commit = Commit::new(id.clone(), Expectation::LastChangeset(last.into()), events);
        self.store.commit(commit).await.unwrap();
        let page = self.store.read_stream(StreamQuery::all(id)).await.unwrap();
        page.changesets.into_iter().next_back().unwrap()
    }
}

#[async_trait]
impl ChangesetLog for Bank {
    async fn read(&self, query: LogQuery) -> Result<LogPage> {
        let (from, end) = (query.from, Checkpoint::new(*self.end.borrow()));
        let mut page = self.store.read(query).await?;
        page.changesets.retain(|changeset| changeset.checkpoint < end);
        page.next = page.changesets.last().map_or(from, |last| last.checkpoint.next());
        page.head.checkpoint = page.head.checkpoint.min(end);
        Ok(page)
    }
    async fn locate(&self, stream_id: &StreamId, changeset_id: ChangesetId) -> Result<Option<Checkpoint>> {
        let place = self.store.locate(stream_id, changeset_id).await?;
        Ok(place.filter(|place| place.get() < *self.end.borrow()))
    }
    async fn head(&self) -> Result<LogHead> {
        let head = self.store.head().await?;
        Ok(LogHead { checkpoint: head.checkpoint.min(Checkpoint::new(*self.end.borrow())), ..head })
    }
}

/// The event of a FIFO queue, as Lambda gives it to a function. Messages are named 0, 1, ...
pub fn messages(bodies: &[(&str, String)]) -> SqsEvent {
    let records = bodies.iter().enumerate().map(|(number, (stream, body))| {
        json!({
            "messageId": number.to_string(), "receiptHandle": "r", "body": body, "md5OfBody": "",
            "attributes": {
                "MessageGroupId": group_id(&stream.parse().unwrap()), "ApproximateReceiveCount": "1",
            },
            "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "eu-central-1",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:mine.fifo",
        })
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

pub fn message_of(changeset: &Changeset) -> (&str, String) {
    (changeset.stream_id.as_str(), Message::of_changeset(changeset).unwrap().body().to_owned())
}

pub fn failures(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|it| it.item_identifier.as_str()).collect()
}

/// The event of a table's stream. Records have the sequence numbers 0, 1, ...
pub fn records(items: &[Value]) -> Records {
    let records = items.iter().enumerate().map(|(number, item)| {
        let mut record = json!({
            "eventID": number.to_string(), "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "eu-central-1", "eventSourceARN": "arn",
            "dynamodb": {
                "ApproximateCreationDateTime": 1_700_000_000, "SequenceNumber": number.to_string(), "SizeBytes": 1,
                "StreamViewType": "NEW_IMAGE",
                "Keys": {"stream_id": item["stream_id"], "changeset_id": item["changeset_id"]}, "NewImage": item,
            },
        });
        if !item["page"].is_null() {
            record["eventName"] = json!("MODIFY");
        }
        record
    });
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

/// A changeset as its item in the table.
pub fn item_of(changeset: &Changeset) -> Value {
    let number = |number: u64| json!({"N": number.to_string()});
    json!({
        "stream_id": {"S": changeset.stream_id}, "changeset_id": number(changeset.changeset_id.get()),
        "events": {"S": changeset.events.as_stored()}, "metadata": {"S": changeset.metadata.as_str()},
        "timestamp": {"S": Timestamp::now().to_string()},
        "first_event_id": number(changeset.first_event_id.get()),
        "last_event_id": number(changeset.last_event_id().get()),
    })
}

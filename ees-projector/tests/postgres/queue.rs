//! Statements that are queued, and rows that are written many at a time.

use ees_projector::postgres::Tx;
use ees_projector::{BoxError, Projection, Projector, Recorded, Settings, State};
use ees_store::{Commit, EventStore, Events, Expectation};
use sqlx::{Connection, PgConnection};

use crate::support::{AccountEvent, Balances, Bank, LONG, hasty};

/// A statement for each event, and a row that depends on the order in which they ran.
struct Queued;

impl Projection<Tx> for Queued {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "queued"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let sql = "CREATE TABLE accounts (account text PRIMARY KEY, cents bigint NOT NULL CHECK (cents >= 0), seen text NOT NULL)";
        sqlx::raw_sql(sql).execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS accounts").execute(tx.connection()).await?;
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, AccountEvent>, tx: &mut Tx) -> Result<(), BoxError> {
        let AccountEvent::Deposited { amount } = event.event else { return Ok(()) };
        let account = event.stream_id().as_str();
        tx.queue(
            "INSERT INTO accounts VALUES ($2, $1, ($1)::text) ON CONFLICT (account) DO UPDATE
                SET cents = accounts.cents + $1, seen = accounts.seen || ' ' || $1",
            [(*amount).into(), account.into()],
        )
        .await
    }
}

async fn run(bank: &Bank) -> ees_projector::Running {
    let mut projector = Projector::new(bank.log.clone());
    projector.projection(Queued, bank.connect().await, hasty()).unwrap();
    projector.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_statements_run_in_their_order_each_once() {
    let bank = Bank::new().await;
    for amount in 1..=9 {
        bank.deposit("a", amount).await;
        bank.deposit("quotes '\" and \\ and ü", amount * 10).await;
    }
    let head = bank.deposit("a", 10).await;
    let running = run(&bank).await;
    running.handle().when_reached("queued", head, LONG).await.unwrap();
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT account, cents, seen FROM queued.accounts ORDER BY account")
            .fetch_all(bank.connect().await.pool())
            .await
            .unwrap();
    assert_eq!(rows[0], ("a".to_owned(), 55, "1 2 3 4 5 6 7 8 9 10".to_owned()));
    assert_eq!((rows[1].0.as_str(), rows[1].1), ("quotes '\" and \\ and ü", 450));
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_queued_statements_the_one_that_fails_is_blamed_on_its_changeset() {
    let bank = Bank::new().await;
    for amount in [5, 6, 7, -100, 8] {
        bank.deposit("a", amount).await;
    }
    let running = run(&bank).await;
    let failed = tokio::time::timeout(LONG, async {
        loop {
            let status = running.handle().status("queued").await.unwrap();
            if status.state == State::Paused {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let failure = failed.await.unwrap().pause.unwrap();
    assert_eq!(failure.failure.unwrap().checkpoint.get(), 3);
    assert!(failure.reason.contains("accounts_cents_check"), "{}", failure.reason);
    let cents: i64 = sqlx::query_scalar("SELECT cents FROM queued.accounts")
        .fetch_one(bank.connect().await.pool())
        .await
        .unwrap();
    assert_eq!(cents, 18, "what came before stays");
    running.shut_down().await;
}

/// Runs statements as a queue sends them.
async fn send(connection: &mut PgConnection, texts: &[&str], which: &[i32]) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    let arguments: Vec<String> = (0..which.len()).map(|number| format!("{{\"{number}\"}}")).collect();
    let run = sqlx::query("SELECT ees.run($1, $2, $3)").bind(texts).bind(which).bind(arguments);
    run.execute(&mut *tx).await?;
    tx.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_failed_is_not_in_the_way_of_the_next_on_its_connection() {
    let bank = Bank::new().await;
    let _framework = bank.connect().await;
    bank.run("CREATE TABLE numbers (number bigint CHECK (number < 50))").await;
    let mut connection = PgConnection::connect(bank.url()).await.unwrap();
    let insert = "INSERT INTO numbers VALUES (($1)[1]::bigint)";
    send(&mut connection, &[insert], &[1; 60]).await.unwrap_err();
    send(&mut connection, &[insert], &[1; 40]).await.unwrap();
    send(&mut connection, &["  update numbers SET number = ($1)[1]::bigint"], &[1; 20]).await.unwrap();
    assert_eq!(bank.number("SELECT count(*) FROM numbers WHERE number = 19").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_may_make_and_empty_the_tables_it_writes() {
    let bank = Bank::new().await;
    let _framework = bank.connect().await;
    let mut connection = PgConnection::connect(bank.url()).await.unwrap();
    let texts =
        ["CREATE TABLE numbers (number text)", "INSERT INTO numbers VALUES (($1)[1])", "TRUNCATE numbers"];
    let mut which = vec![2; 40];
    (which[0], which[30]) = (1, 3);
    send(&mut connection, &texts, &which).await.unwrap();
    assert_eq!(bank.number("SELECT count(*) FROM numbers").await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_far_behind_takes_large_spans_and_ends_in_the_same_rows() {
    let bank = Bank::new().await;
    let commits = (0..30_000_u64).map(|number| {
        let stream = format!("account\t{}\\\n", number % 5_000);
        let event = if number % 5_000 == 7 && number > 10_000 {
            r#"[{"type":"closed"}]"#.to_owned()
        } else {
            format!(r#"[{{"type":"deposited","amount":{number}}}]"#)
        };
        let stream = stream.replace(['\t', '\n'], "|").parse().unwrap();
        let expectation = Expectation::LastChangeset((number / 5_000).into());
        Commit::new(stream, expectation, Events::parse(&event).unwrap())
    });
    for verdict in bank.log.commit_in_order(commits.collect()).await {
        verdict.unwrap();
    }
    let spans = Settings { batch_changesets_max: 500, span_changesets_max: 12_000, ..Settings::default() };
    let running = bank.start(Balances::default(), spans).await;
    bank.caught_up(&running).await;
    let database = bank.connect().await;
    // All amounts but those of the account that was closed.
    let closed: i64 = (0..30_000).filter(|number| number % 5_000 == 7).sum();
    assert_eq!(bank.total(&database).await, (0..30_000).sum::<i64>() - closed);
    running.handle().rebuild("balances", "again").await.unwrap();
    bank.status_when(&running, |status| status.rebuild.is_none() && status.checkpoint.get() == 30_000).await;
    assert_eq!(bank.total(&database).await, (0..30_000).sum::<i64>() - closed);
    assert!(running.handle().verify("balances").await.unwrap().is_equal());
    running.shut_down().await;
}

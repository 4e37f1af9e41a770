//! Projections with statements of their own, each in its schema.

use ees_projector::postgres::Tx;
use ees_projector::{BoxError, Projection, Projector, Recorded, Running, State};

use crate::support::{AccountEvent, Bank, LONG, hasty, status_of};

/// What the statements of a ledger do besides.
#[derive(Clone, Copy, PartialEq)]
enum Slip {
    None,
    /// One fails, and nobody looks.
    IgnoresAnError,
    /// One ends the transaction.
    Commits,
    /// Two of the same name, as two clients of one pooling proxy would prepare them.
    PreparesTwice,
}

/// Names its tables plainly, and uses what others made in `public`.
#[derive(Clone, Copy)]
struct Ledger {
    name: &'static str,
    factor: i64,
    slip: Slip,
}

impl Projection<Tx> for Ledger {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        self.name
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        let sql = "CREATE TABLE entries (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, amount bigint NOT NULL);
            CREATE VIEW totals AS SELECT account, sum(amount)::bigint AS amount FROM entries GROUP BY account";
        sqlx::raw_sql(sql).execute(tx.connection()).await?;
        Ok(())
    }
    async fn drop_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        sqlx::raw_sql("DROP VIEW IF EXISTS totals; DROP TABLE IF EXISTS entries")
            .execute(tx.connection())
            .await?;
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, AccountEvent>, tx: &mut Tx) -> Result<(), BoxError> {
        let AccountEvent::Deposited { amount } = event.event else { return Ok(()) };
        sqlx::query("INSERT INTO entries (account, amount) VALUES ($1, multiplied($2, $3))")
            .bind(event.stream_id().as_str())
            .bind(amount)
            .bind(self.factor)
            .execute(tx.connection())
            .await?;
        let slip = match self.slip {
            Slip::None => return Ok(()),
            Slip::IgnoresAnError => "SELECT 1 / 0",
            Slip::Commits => "COMMIT",
            Slip::PreparesTwice => "PREPARE s AS SELECT 1; PREPARE s AS SELECT 1",
        };
        if self.slip == Slip::PreparesTwice {
            sqlx::raw_sql(slip).execute(tx.connection()).await?;
        }
        let _ = sqlx::raw_sql(slip).execute(tx.connection()).await;
        Ok(())
    }
}

async fn bank() -> Bank {
    let bank = Bank::new().await;
    bank.run("CREATE FUNCTION multiplied(bigint, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 * $2'")
        .await;
    bank
}

async fn start(bank: &Bank, ledgers: &[Ledger]) -> Running {
    let database = bank.connect().await;
    let mut projector = Projector::new(bank.log.clone());
    for ledger in ledgers {
        projector.projection(*ledger, database.clone(), hasty()).unwrap();
    }
    projector.start()
}

const SOUND: Ledger = Ledger { name: "ledger", factor: 1, slip: Slip::None };

#[tokio::test(flavor = "multi_thread")]
async fn equally_named_tables_of_two_projections_do_not_meet() {
    let bank = bank().await;
    bank.deposit_to_many(20).await;
    let running = start(&bank, &[SOUND, Ledger { name: "doubled", factor: 2, ..SOUND }]).await;
    let last = bank.deposit("account-1", 5).await;
    for name in ["ledger", "doubled"] {
        running.handle().when_reached(name, last, LONG).await.unwrap();
    }
    for (schema, total) in [("ledger", 25), ("doubled", 50)] {
        assert_eq!(bank.number(&format!("SELECT sum(amount)::bigint FROM {schema}.entries")).await, total);
        assert_eq!(bank.number(&format!("SELECT sum(amount)::bigint FROM {schema}.totals")).await, total);
        assert_eq!(bank.number(&format!("SELECT count(*) FROM {schema}.entries")).await, 21);
    }
    running.handle().rebuild("doubled", "to see").await.unwrap();
    running.handle().when_reached("doubled", last, LONG).await.unwrap();
    assert_eq!(bank.number("SELECT sum(amount)::bigint FROM doubled.entries").await, 50);
    assert_eq!(bank.number("SELECT sum(amount)::bigint FROM ledger.entries").await, 25);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_names_mean_the_read_model_that_is_built_also_beside_another() {
    let bank = bank().await;
    bank.deposit_to_many(20).await;
    let running = start(&bank, &[SOUND]).await;
    let last = bank.deposit("account-1", 5).await;
    running.handle().when_reached("ledger", last, LONG).await.unwrap();
    assert!(running.handle().verify("ledger").await.unwrap().is_equal());
    bank.run("UPDATE ledger.entries SET amount = 1000 WHERE account = 'account-7'").await;
    running.handle().rebuild_side_by_side("ledger", Default::default(), "damaged").await.unwrap();
    status_of(&running, "ledger", |status| {
        status
            .standby
            .as_ref()
            .is_some_and(|standby| standby.plan.role == ees_projector::StandbyRole::Following)
    })
    .await;
    assert_eq!(bank.number("SELECT sum(amount)::bigint FROM ledger.totals").await, 25);
    assert_eq!(bank.number("SELECT sum(amount)::bigint FROM ledger__standby.totals").await, 1024);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_somebody_else_is_not_touched() {
    let bank = bank().await;
    bank.run(
        "CREATE SCHEMA ledger; CREATE TABLE ledger.entries (theirs text); INSERT INTO ledger.entries VALUES ('a');
         CREATE SCHEMA other__standby; CREATE TABLE other__standby.kept (); CREATE SCHEMA other__scratch;
         CREATE TABLE other__scratch.kept ()",
    )
    .await;
    let last = bank.deposit("account-1", 5).await;
    let running = start(&bank, &[SOUND, Ledger { name: "other", ..SOUND }]).await;
    let status = status_of(&running, "ledger", |status| status.state == State::Stopped).await;
    let said = status.last_error.unwrap().message;
    assert!(said.contains("schema \"ledger\"") && said.contains("rename"), "{said}");
    running.handle().when_reached("other", last, LONG).await.unwrap();
    let refused = running.handle().rebuild_side_by_side("other", Default::default(), "").await.unwrap_err();
    assert!(refused.to_string().contains("schema \"other__standby\""), "{refused}");
    let refused = running.handle().verify("other").await.unwrap_err();
    assert!(refused.to_string().contains("schema \"other__scratch\""), "{refused}");
    let refused = running.handle().discard_standby("other", "").await.unwrap_err();
    assert!(refused.to_string().contains("standby"), "{refused}");
    running.shut_down().await;
    assert_eq!(bank.number("SELECT count(*) FROM ledger.entries WHERE theirs = 'a'").await, 1);
    assert_eq!(bank.schemas().await, ["ledger", "other", "other__scratch", "other__standby"]);
    assert_eq!(bank.number("SELECT count(*) FROM pg_class WHERE relname = 'kept'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_statement_that_the_projection_ignores_is_a_failure() {
    let bank = bank().await;
    bank.deposit("account-1", 5).await;
    let running = start(&bank, &[Ledger { slip: Slip::IgnoresAnError, ..SOUND }]).await;
    let status = status_of(&running, "ledger", |status| status.state == State::Paused).await;
    let said = status.pause.unwrap().reason;
    assert!(said.contains("statement failed"), "{said}");
    assert_eq!(bank.number("SELECT count(*) FROM ledger.entries").await, 0);
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_projection_ends_is_a_failure() {
    let bank = bank().await;
    bank.deposit("account-1", 5).await;
    let running = start(&bank, &[Ledger { slip: Slip::Commits, ..SOUND }]).await;
    // The changeset was applied with the position, by what the projection did: so it is told by the next one.
    let said = async {
        loop {
            if let Some(failure) = running.handle().status("ledger").await.unwrap().last_error {
                return failure.message;
            }
            bank.deposit("account-1", 5).await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let said = tokio::time::timeout(LONG, said).await.unwrap();
    assert!(said.contains("ended the framework's transaction"), "{said}");
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn colliding_prepared_statements_name_the_parameter() {
    let bank = bank().await;
    let running = start(&bank, &[Ledger { slip: Slip::PreparesTwice, ..SOUND }]).await;
    bank.deposit("account-1", 5).await;
    let status = status_of(&running, "ledger", |status| status.state == State::Paused).await;
    let reason = status.pause.unwrap().reason;
    assert!(reason.contains("statement-cache-capacity=0"), "{reason}");
    assert!(!reason.contains("at line"), "PostgreSQL's own source line: {reason}");
    running.shut_down().await;
}

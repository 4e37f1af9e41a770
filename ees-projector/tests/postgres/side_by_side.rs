//! What is particular to read models that are built beside the live one in PostgreSQL.

use ees_projector::postgres::Tx;
use ees_projector::{BoxError, Projection, Projector, Recorded, Settings};

use crate::support::{Bank, LONG};

/// Keeps tables that have only the names of their columns in common with aliases.
struct Hostile;

const HOSTILE: &[&str] = &["t", "a", "Upper\"quoted", "größe", "select"];

impl Projection<Tx> for Hostile {
    type Event = serde::de::IgnoredAny;

    fn name(&self) -> &str {
        "hostile"
    }
    async fn create_tables(&self, tx: &mut Tx) -> Result<(), BoxError> {
        for table in HOSTILE {
            let table = table.replace('"', "\"\"");
            let sql = format!(
                "CREATE TABLE \"{table}\" (t text, a text, b text, key text, rows text, live text,
                    \"Upper\" text, \"quo\"\"te\" text, \"größe\" text, {long} text, PRIMARY KEY (t, \"quo\"\"te\"));
                 INSERT INTO \"{table}\" VALUES ('1', '1', '1', '1', '1', '1', '1', '1', '1', '1');
                 CREATE TABLE \"{table} without key\" (t text, a text);
                 INSERT INTO \"{table} without key\" VALUES ('1', '1'), ('1', '2')",
                long = "l".repeat(63)
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(tx.connection()).await?;
        }
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, Self::Event>, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_is_compared_whatever_tables_and_columns_are_called() {
    let bank = Bank::new().await;
    let last = bank.deposit("account-1", 1).await;
    let mut projector = Projector::new(bank.log.clone());
    projector.projection(Hostile, bank.connect().await, Settings::default()).unwrap();
    let running = projector.start();
    running.handle().when_reached("hostile", last, LONG).await.unwrap();
    let equal = running.handle().verify("hostile").await.unwrap();
    assert_eq!((equal.rows, equal.differences), (15, vec![]));
    for column in ["a", "b", "key", "rows", "live", "\"Upper\"", "\"größe\""] {
        bank.run(&format!(
            "UPDATE hostile.t SET {column} = '2'; UPDATE hostile.\"größe\" SET {column} = '2'"
        ))
        .await;
        let found = running.handle().verify("hostile").await.unwrap().differences;
        assert_eq!(found.len(), 2, "{column}: {found:?}");
        assert!(found.iter().all(|it| it.contains("changed row (1,1)")), "{column}: {found:?}");
        bank.run(&format!(
            "UPDATE hostile.t SET {column} = '1'; UPDATE hostile.\"größe\" SET {column} = '1'"
        ))
        .await;
    }
    bank.run("UPDATE hostile.\"t without key\" SET a = '3' WHERE a = '2'").await;
    assert_eq!(
        running.handle().verify("hostile").await.unwrap().differences.len(),
        2,
        "one extra, one missing"
    );
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_an_empty_database_at_once_all_succeed() {
    for _ in 0..3 {
        let bank = Bank::new().await;
        let opening = (0..6).map(|_| ees_projector::postgres::Database::connect(bank.url()));
        for opened in futures::future::join_all(opening).await {
            opened.unwrap();
        }
    }
}

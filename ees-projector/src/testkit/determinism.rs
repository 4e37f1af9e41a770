//! Searches for a sequence of crashes, batch boundaries and repeated deliveries that breaks a projection.

use super::accidents::{Disturbance, run_with_accidents};
use super::given::{Given, fail, sqlite_database};
use super::snapshot::tables;
use crate::composite::IntoComposite;
use crate::folded::Folded;
use crate::{Order, Projection, sqlite};

/// The number of random sequences of accidents.
const SEEDS: u64 = 30;

impl Given {
    /// Checks a fold or a composite as [`check_projection`](Given::check_projection) checks a projection. Then it asks
    /// the read model: the [explanation](crate::Handle::explain) of each row ends in the row (up to 50 of each table), the
    /// [fingerprint](crate::Settings::fingerprint) is that of the rows, and [as of](crate::Handle::as_of) the present the
    /// read model is the live one.
    ///
    /// # Panics
    /// As for [`check_projection`](Given::check_projection), and if an answer is another one.
    pub async fn check_fold<F: IntoComposite>(&self, fold: impl Fn() -> F) {
        self.check_projection(|| Folded::new(fold())).await;
        Box::pin(self.check_asking(Folded::new(fold()))).await;
    }

    /// Runs a projection on the history 31 times: once undisturbed, then with random accidents. Batches have
    /// random sizes. A worker that was asleep delivers each batch a second time. The process crashes inside
    /// batches, before commits and after them. Errors make the worker apply a batch one changeset at a time.
    /// All runs must end with the same rows.
    ///
    /// It finds state outside the transaction, clocks and random numbers, results that depend on the batch
    /// size, and writes outside the framework's transaction.
    ///
    /// A projection that declares [`Order::Stream`] also runs on some of the streams, and on the others
    /// apart: put together, the rows must be those of all streams. It finds rows that depend on several
    /// streams.
    ///
    /// # Panics
    /// If a run ends with other rows than the undisturbed run. The message shows both side by side. If the
    /// projection recognizes no event.
    pub async fn check_projection<P: Projection<sqlite::Tx>>(&self, projection: impl Fn() -> P) {
        let log = self.log().await;
        let (_folder, calm) = sqlite_database();
        Box::pin(self.run(log.clone(), projection(), calm.clone())).await;
        let expected = calm.read(tables).await;
        if let (Ok(whole), Order::Stream) = (&expected, projection().order()) {
            Box::pin(self.check_order_of_streams(&log, &projection, whole)).await;
        }
        for seed in 0..SEEDS {
            let (_folder, database) = sqlite_database();
            let mut chance = fastrand::Rng::with_seed(seed);
            let disturbances = || Disturbance::random(&mut chance);
            Box::pin(run_with_accidents(&log, &projection, &database, disturbances)).await;
            match (&expected, database.read(tables).await) {
                (Ok(expected), Ok(found)) => assert_eq!(
                    found, *expected,
                    "after the accidents of seed {seed} the tables (left) are not those of a calm run (right)"
                ),
                (Err(error), _) => fail(&format!("the tables can't be read: {error}")),
                (_, Err(error)) => fail(&format!("the tables can't be read: {error}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use crate::testkit::given;
    use crate::{BoxError, Fold, Projection, Recorded, sqlite};

    /// Counts in memory what it should count in its table.
    #[derive(Default)]
    struct Forgetful(Mutex<i64>);

    impl Projection<sqlite::Tx> for Forgetful {
        type Event = Value;
        fn name(&self) -> &str {
            "forgetful"
        }
        async fn create_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            Ok(tx
                .connection()
                .execute_batch("CREATE TABLE counted (n INTEGER); INSERT INTO counted VALUES (0)")?)
        }
        async fn drop_tables(&self, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            Ok(tx.connection().execute_batch("DROP TABLE counted")?)
        }
        async fn apply(&self, _: Recorded<'_, Value>, tx: &mut sqlite::Tx) -> Result<(), BoxError> {
            let counted = {
                let mut count = self.0.lock().map_err(|_| "poisoned")?;
                *count += 1;
                *count
            };
            tx.connection().execute("UPDATE counted SET n = ?1", [counted])?;
            Ok(())
        }
    }

    #[tokio::test]
    #[should_panic(expected = "not those of a calm run")]
    async fn a_projection_that_keeps_its_state_in_memory_is_found_out() {
        let history = given((0..40).map(|n| ("s", json!(n))));
        history.check_projection(Forgetful::default).await;
    }

    /// Sums up numbers that are not exact, or too large, for a careless reader.
    struct Numbers;

    #[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
    struct Sums {
        float: f64,
        beyond_floats: i64,
        beyond_integers: u128,
    }

    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "snake_case")]
    enum Counted {
        Counted { float: f64, whole: i64 },
    }

    impl Fold for Numbers {
        type Event = Counted;
        type Key = String;
        type State = Sums;
        fn name(&self) -> &str {
            "numbers"
        }
        fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
            Some(event.stream_id().to_string())
        }
        fn fold(&self, row: Option<Sums>, event: Recorded<'_, Counted>) -> Option<Sums> {
            let Counted::Counted { float, whole } = event.event;
            let mut row = row.unwrap_or_default();
            row.float += float;
            row.beyond_floats += whole;
            row.beyond_integers += u128::from(u64::MAX) + u128::from(whole.unsigned_abs());
            Some(row)
        }
    }

    #[tokio::test]
    async fn a_pure_fold_of_numbers_passes() {
        let whole = (1_i64 << 53) + 1;
        let history = given((0..40).map(|n| {
            (["a", "b", "c"][n % 3], json!({"type": "counted", "float": 123.45 * n as f64, "whole": whole}))
        }));
        history.check_fold(|| Numbers).await;
        let rows = history.fold(Numbers).await.rows;
        assert_eq!(rows["b"].beyond_floats, 13 * whole);
        assert_eq!(rows["b"].beyond_integers, 13 * (u128::from(u64::MAX) + whole.unsigned_abs() as u128));
    }
}

//! The promises of the projector, written once and run on every read-model database.
#![cfg(all(
    feature = "dynamodb",
    feature = "postgres",
    feature = "sqlite",
    feature = "testkit",
    feature = "derive"
))]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod applying;
mod effects;
mod failing;
mod log_replaced;
mod operating;
mod parking;
mod reacting;
mod reading;
mod support;
mod sweeping;
mod typed_rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::BoxError;
use ees_projector::database::Database;
use support::TestDatabase;

#[async_trait]
impl TestDatabase for ees_projector::memory::Database {
    async fn fresh() -> Self {
        Self::new()
    }
    async fn table(&self, table: &str) -> BTreeMap<String, String> {
        self.rows(table).await
    }
}

#[async_trait]
impl TestDatabase for ees_projector::sqlite::Database {
    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The folder goes at once; the open file stays as long as the database. Readers open it by name, so it is
        // kept until the process ends.
        Self::open(folder.keep().join("read-model.db")).unwrap()
    }
    async fn table(&self, table: &str) -> BTreeMap<String, String> {
        let sql = format!("SELECT key, state FROM {table}");
        let read = self.read(move |connection| {
            connection.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        });
        read.await.unwrap()
    }
}

/// A database of the test's own, which goes with it.
#[derive(Clone)]
pub struct Postgres {
    database: ees_projector::postgres::Database,
    _own: Arc<ees_test_postgres::TestDatabase>,
}

impl Database for Postgres {
    type Tx = ees_projector::postgres::Tx;
    const SIDE_BY_SIDE: bool = true;
    const PARTITIONS: bool = true;

    async fn begin(&self) -> Result<Self::Tx, BoxError> {
        self.database.begin().await
    }
    fn is_transient(error: &(dyn std::error::Error + 'static)) -> bool {
        ees_projector::postgres::Database::is_transient(error)
    }
}

#[async_trait]
impl TestDatabase for Postgres {
    async fn fresh() -> Self {
        let own = ees_test_postgres::TestDatabase::new().await;
        let database = ees_projector::postgres::Database::connect(own.url()).await.unwrap();
        Self { database, _own: Arc::new(own) }
    }
    async fn table(&self, table: &str) -> BTreeMap<String, String> {
        let sql = sqlx::AssertSqlSafe(format!("SELECT key, state::text FROM {table}.{table}"));
        sqlx::query_as(sql).fetch_all(self.database.pool()).await.unwrap().into_iter().collect()
    }
}

/// A table in an account of the test's own.
#[async_trait]
impl TestDatabase for ees_projector::dynamodb::Database {
    async fn fresh() -> Self {
        let account = ees_test_aws::LocalAws::account().await;
        let client = aws_sdk_dynamodb::Client::new(&account.sdk_config());
        ees_projector::dynamodb::create_table(&client, "read-models").await.unwrap();
        Self::new(client, "read-models")
    }
    async fn table(&self, table: &str) -> BTreeMap<String, String> {
        let partition = AttributeValue::S(self.partition(table).await.unwrap());
        let query = self.client().query().table_name("read-models").consistent_read(true);
        let query = query.key_condition_expression("ees_partition = :p");
        let pages = query.expression_attribute_values(":p", partition).into_paginator().items().send();
        let rows = pages.try_collect().await.unwrap();
        let text = |value: &AttributeValue| value.as_s().unwrap().clone();
        rows.iter().map(|row| (text(&row["ees_key"]), text(&row["state"]))).collect()
    }
}

macro_rules! laws {
    ($($module:ident: $($law:ident),+ $(,)?;)+) => {
        mod memory {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    crate::$module::$law::<ees_projector::memory::Database>().await;
                })+
            })+
        }
        mod dynamodb {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    crate::$module::$law::<ees_projector::dynamodb::Database>().await;
                })+
            })+
        }
        mod postgres {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    crate::$module::$law::<crate::Postgres>().await;
                })+
            })+
        }
        mod sqlite {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    crate::$module::$law::<ees_projector::sqlite::Database>().await;
                })+
            })+
        }
    };
}

laws! {
    applying:
        every_event_is_applied_once_in_order,
        two_workers_on_one_projection_apply_each_event_once,
        a_worker_that_starts_again_goes_on_where_it_was,
        events_of_others_are_passed_over,
        a_filter_moves_past_what_it_leaves_out,
        a_newer_version_builds_anew,
        an_older_version_does_not_touch_newer_tables,
        draining_stops_at_the_end_of_the_log;
    effects:
        the_ledger_has_every_effect_and_what_it_gave,
        a_crash_inside_an_effect_repeats_that_one_and_the_ledger_shows_it,
        a_stream_that_fails_holds_up_no_other_and_keeps_its_order,
        what_fails_is_tried_again_by_itself_and_given_up_in_the_end,
        what_is_refused_waits_for_an_operator_who_can_discard_it,
        what_is_given_up_behind_many_effects_is_so_in_the_ledger,
        an_effect_that_takes_too_long_has_failed,
        a_panic_is_the_fault_of_its_own_stream,
        nobody_is_asked_before_the_time_that_was_said,
        several_streams_are_acted_upon_at_once_each_in_its_order,
        whoever_lost_its_turn_begins_nothing_more,
        a_host_begins_nothing_after_its_deadline,
        what_was_done_long_ago_is_forgotten_and_what_waits_is_not;
    failing:
        a_failing_changeset_pauses_the_projection_before_it,
        a_pause_survives_a_restart,
        an_unreadable_event_is_a_failure_not_a_skip,
        a_panic_is_a_failure,
        what_a_failing_batch_wrote_does_not_stay;
    log_replaced:
        another_log_is_noticed_before_anything_is_applied,
        a_shorter_log_is_noticed,
        a_log_of_the_same_length_with_another_past_is_noticed,
        the_same_place_with_other_content_is_noticed,
        what_a_filter_left_out_counts_too,
        a_rebuild_takes_the_new_log;
    parking:
        a_failing_stream_waits_and_the_others_go_on,
        a_parked_stream_gets_through_in_order,
        a_parked_stream_is_tried_again_by_itself,
        what_is_parked_survives_a_restart,
        a_stream_that_got_through_is_parked_for_no_worker,
        a_worker_that_fails_where_another_succeeds_takes_nothing_back,
        too_many_parked_streams_pause_the_projection,
        too_many_parked_changesets_pause_the_projection,
        the_first_parked_changeset_can_be_skipped,
        a_rebuild_clears_what_is_parked;
    reacting:
        a_reactor_starts_at_now_and_goes_on_where_it_was,
        a_reactor_can_be_told_to_start_at_the_beginning,
        a_crash_repeats_what_was_begun_and_skips_nothing,
        what_is_unfinished_goes_on_behind_what_is_done_and_nothing_went_wrong,
        what_can_not_be_read_waits_for_an_operator,
        a_reactor_holds_when_no_more_may_wait,
        an_error_that_passes_never_pauses_a_reactor,
        a_reactor_is_not_rebuilt,
        a_reactor_does_not_take_a_projection_for_itself,
        a_reactor_sees_old_events_by_their_names_of_today,
        two_workers_on_one_reactor_leave_nothing_out;
    operating:
        a_paused_projection_stands_still_until_it_is_resumed,
        a_pause_and_its_end_reach_every_worker,
        one_changeset_can_be_skipped_and_the_reason_is_kept,
        a_changeset_that_is_not_next_can_not_be_skipped,
        the_checkpoint_moves_only_from_where_it_is_believed_to_be,
        a_rebuild_ends_in_the_same_rows,
        a_rebuild_goes_on_after_a_restart,
        moving_back_over_parked_changesets_parks_them_once,
        waiting_ends_when_the_own_write_is_applied,
        a_changeset_that_has_no_place_yet_is_waited_for,
        waiting_times_out_and_says_where_it_stands,
        an_unknown_name_is_answered_with_the_known_ones,
        a_projection_that_does_not_move_is_reported;
    sweeping:
        old_entries_of_the_audit_go_a_bounded_number_at_a_time,
        a_worker_forgets_the_audit_in_time;
    typed_rows:
        rows_are_written_changed_and_removed,
        columns_and_documents_end_in_the_same_states,
        a_rebuild_makes_the_same_columns,
        a_key_that_does_not_fit_pauses_the_projection,
        a_table_that_can_not_be_is_refused_at_once;
}

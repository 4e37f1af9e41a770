//! The promises of aggregates, written once and run over every kind of store, and of snapshots over every
//! place they are kept in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod evolving;
mod executing;
mod keys;
mod loading;
mod rigged;
mod shapes;
mod snapshots;
mod stock;
mod stores;

macro_rules! laws {
    ($($module:ident: $($law:ident),+ $(,)?;)+) => {
        laws!(@over memory $($module: $($law),+;)+);
        laws!(@over sqlite $($module: $($law),+;)+);
        laws!(@over postgres $($module: $($law),+;)+);
        laws!(@over client $($module: $($law),+;)+);
    };
    (@over $store:ident $($module:ident: $($law:ident),+;)+) => {
        mod $store {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $law() {
                    crate::$module::$law(crate::stores::$store().await).await;
                })+
            })+
        }
    };
}

laws! {
    loading:
        an_aggregate_is_what_its_events_have_made_of_it,
        a_stream_of_many_pages_is_read_whole,
        an_aggregate_can_be_loaded_as_it_was,
        all_aggregates_of_a_type_are_loaded_once_each,
        one_that_can_not_be_loaded_does_not_hide_the_others,
        an_aggregate_is_not_made_without_a_quarantined_changeset,
        a_stream_of_another_type_is_refused,
        a_stream_without_a_type_is_taken_as_it_is;
    executing:
        many_executors_at_once_lose_nothing,
        what_is_scarce_is_given_out_once,
        what_is_scarce_is_given_out_once_among_several,
        a_lost_answer_is_not_a_second_commit,
        a_lost_answer_is_not_a_second_commit_when_others_came_after,
        a_request_that_was_lost_is_sent_again,
        a_store_that_stays_away_is_an_error,
        only_what_is_new_is_read_after_a_conflict,
        a_conflict_that_does_not_end_is_seen,
        a_refusal_stores_nothing,
        a_command_that_changes_nothing_stores_nothing,
        metadata_is_kept_with_the_changeset,
        a_trace_is_kept_with_the_changeset;
    keys:
        a_repeat_under_the_callers_key_is_answered_like_the_first,
        a_repeat_that_would_be_refused_is_told_apart_from_a_refusal,
        a_repeat_that_decides_otherwise_changes_nothing,
        a_refusal_under_a_new_key_is_a_refusal;
    evolving:
        old_events_are_read_by_their_names_of_today,
        new_events_say_which_version_they_are,
        an_event_that_nobody_knows_stops_the_aggregate_unless_it_skips;
}

macro_rules! snapshot_laws {
    ($($law:ident),+ $(,)?) => {
        snapshot_laws!(@in kept_in_memory $($law),+);
        snapshot_laws!(@in kept_in_sqlite $($law),+);
        snapshot_laws!(@in kept_in_postgres $($law),+);
    };
    (@in $place:ident $($law:ident),+) => {
        mod $place {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() {
                let place = crate::stores::$place().await;
                crate::snapshots::$law(place.snapshots.clone()).await;
            })+
        }
    };
}

snapshot_laws! {
    a_long_stream_is_read_from_its_snapshot_on,
    with_snapshots_every_state_is_the_same_as_without,
    numbers_come_back_from_a_snapshot_as_they_were,
    a_snapshot_of_another_schema_is_not_used_and_replaced,
    a_snapshot_past_the_end_is_not_used,
    a_snapshot_of_another_past_is_not_used,
    a_snapshot_of_another_log_is_not_used,
    executing_goes_on_from_a_snapshot,
}

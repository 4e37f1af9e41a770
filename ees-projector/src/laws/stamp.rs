//! The list of laws, and the macro that makes a test of each.

/// Stamps every law onto a read-model database: one `#[tokio::test]` each, in a module for each topic.
///
/// Takes the type that is the database's [`Subject`](crate::laws::Subject).
#[macro_export]
macro_rules! database_laws {
    ($subject:ty) => {
        $crate::stamp_database_laws! {
            $subject;
            applying {
                every_event_is_applied_once_in_order
                a_subscription_from_a_time_leaves_out_what_is_older
                two_workers_on_one_projection_apply_each_event_once
                a_worker_that_starts_again_goes_on_where_it_was
                events_of_others_are_passed_over
                events_are_counted_by_what_became_of_them
                an_event_enum_that_is_not_tagged_is_refused_at_once
                a_filter_moves_past_what_it_leaves_out
                a_newer_version_builds_anew
                an_older_version_does_not_touch_newer_tables
                draining_stops_at_the_end_of_the_log
            }
            as_of {
                a_read_model_is_built_as_it_was
                a_projection_does_not_take_a_copy_for_its_own
                a_copy_is_not_made_of_another_log
                a_copy_goes_on_where_it_was
                a_copy_is_cancelled_and_gone_on_with_or_dropped
                a_copy_leaves_out_what_the_live_read_model_does
            }
            columns {
                every_value_comes_back_as_it_was
                a_key_names_the_same_row_at_the_edges
                what_a_database_can_not_keep_is_refused_by_event_and_column
                what_no_column_holds_is_refused_by_event_and_column
                a_table_that_is_not_the_one_of_the_program_stops_it
                an_added_column_needs_no_rebuild
                an_added_column_is_no_difference_to_a_rebuild
                each_table_of_a_composite_is_compared
                a_row_that_breaks_a_condition_is_refused
                a_column_that_can_not_be_is_refused_at_once
            }
            composites {
                an_event_looks_up_rows_as_of_its_place
                a_rebuild_of_a_composite_replaces_all_tables
                the_stages_of_a_composite_fail_as_one
                a_composite_parks_a_stream_in_all_tables
                rows_refer_to_rows_of_an_earlier_stage
                a_composite_is_swapped_and_verified_as_one
            }
            effects {
                the_ledger_has_every_effect_and_what_it_gave
                the_effects_of_all_partitions_are_counted
                a_crash_inside_an_effect_repeats_that_one_and_the_ledger_shows_it
                a_late_failure_ends_no_later_attempt
                a_stream_that_fails_holds_up_no_other_and_keeps_its_order
                what_fails_is_tried_again_by_itself_and_given_up_in_the_end
                what_is_refused_waits_for_an_operator_who_can_discard_it
                what_is_given_up_behind_many_effects_is_so_in_the_ledger
                an_effect_that_takes_too_long_has_failed
                a_panic_is_the_fault_of_its_own_stream
                nobody_is_asked_before_the_time_that_was_said
                several_streams_are_acted_upon_at_once_each_in_its_order
                a_worker_without_the_lease_begins_no_more_effects
                a_host_begins_nothing_after_its_deadline
                what_was_done_long_ago_is_forgotten_and_what_waits_is_not
            }
            explaining {
                an_explanation_ends_in_the_row_that_is_stored
                a_row_is_explained_by_the_events_that_made_it
                a_row_is_explained_whatever_else_its_events_change
                what_was_left_out_is_named_in_an_explanation
                a_row_that_no_event_made_is_found_out
                the_progress_of_an_explanation_is_told
                a_row_of_a_partition_is_explained
                what_can_not_be_explained_is_refused
            }
            previewing {
                previews_are_offered_as_the_database_says
                a_preview_of_the_same_version_finds_nothing
                a_preview_tells_what_another_version_changes
                a_preview_goes_on_behind_what_it_can_not_apply
                a_preview_leaves_out_what_the_live_read_model_does
                a_preview_that_can_read_nothing_ends
                a_preview_is_right_while_the_live_read_model_moves_on
                a_preview_that_is_stopped_leaves_nothing
                the_preview_of_a_reactor_lists_effects_and_does_none
                a_reactor_that_acts_beside_its_effects_is_not_previewed
                what_a_rebuild_writes_on_dynamodb_is_estimated_anywhere
            }
            failing {
                a_failing_changeset_pauses_the_projection_before_it
                a_rebuild_ends_whose_last_changeset_is_skipped
                a_pause_survives_a_restart
                an_unreadable_event_is_a_failure_not_a_skip
                a_panic_is_a_failure
                what_a_failing_batch_wrote_does_not_stay
                a_quarantined_changeset_is_a_failure_until_it_is_skipped
                a_quarantined_changeset_parks_its_stream
            }
            fingerprints {
                a_fingerprint_is_that_of_the_rows
                a_row_changed_past_the_projector_is_found
                kills_and_rivals_leave_the_fingerprint_right
                what_is_parked_or_skipped_is_not_in_the_fingerprint
                a_standby_a_copy_and_partitions_keep_the_fingerprint
                a_fingerprint_begins_with_a_rebuild_and_ends_without_the_setting
                a_swap_is_seen_in_the_status_of_a_projection_at_rest
                what_has_no_fingerprint_is_refused
            }
            log_replaced {
                another_log_is_noticed_before_anything_is_applied
                a_shorter_log_is_noticed
                a_log_of_the_same_length_with_another_past_is_noticed
                the_same_place_with_other_content_is_noticed
                what_a_filter_left_out_counts_too
                a_rebuild_takes_the_new_log
                a_log_that_grows_did_not_go_back
            }
            multi_folds {
                an_event_changes_each_row_that_it_names
            }
            naming {
                names_that_statements_use_themselves_work_everywhere
                names_that_a_database_can_not_take_are_refused_at_once
            }
            parking {
                a_failing_stream_waits_and_the_others_go_on
                a_parked_stream_gets_through_in_order
                a_parked_stream_is_tried_again_by_itself
                what_is_parked_survives_a_restart
                a_stream_that_got_through_is_parked_for_no_worker
                a_worker_that_fails_where_another_succeeds_takes_nothing_back
                too_many_parked_streams_pause_the_projection
                too_many_parked_changesets_pause_the_projection
                the_first_parked_changeset_can_be_skipped
                a_rebuild_clears_what_is_parked
            }
            reacting {
                a_reactor_starts_at_now_and_goes_on_where_it_was
                a_reactor_can_be_told_to_start_at_the_beginning
                a_reactor_can_be_told_to_start_at_a_time
                a_crash_repeats_what_was_begun_and_skips_nothing
                what_is_unfinished_goes_on_behind_what_is_done_and_nothing_went_wrong
                what_can_not_be_read_waits_for_an_operator
                a_reactor_holds_when_no_more_may_wait
                an_error_that_passes_never_pauses_a_reactor
                a_reactor_is_not_rebuilt
                a_reactor_does_not_take_a_projection_for_itself
                a_reactor_sees_old_events_by_their_names_of_today
                two_workers_on_one_reactor_leave_nothing_out
            }
            operating {
                a_paused_projection_stands_still_until_it_is_resumed
                a_pause_and_its_end_reach_every_worker
                one_changeset_can_be_skipped_and_the_reason_is_kept
                a_changeset_that_is_not_next_can_not_be_skipped
                the_checkpoint_moves_only_from_where_it_is_believed_to_be
                a_rebuild_ends_in_the_same_rows
                a_rebuild_leaves_out_again_what_was_skipped
                a_new_version_keeps_earlier_skips_if_it_is_told_to
                a_rebuild_goes_on_after_a_restart
                moving_back_over_parked_changesets_parks_them_once
                waiting_ends_when_the_own_write_is_applied
                a_changeset_that_has_no_place_yet_is_waited_for
                waiting_times_out_and_says_where_it_stands
                an_unknown_name_is_answered_with_the_known_ones
                a_projection_that_does_not_move_is_reported
            }
            sweeping {
                old_entries_of_the_audit_go_a_bounded_number_at_a_time
                a_worker_forgets_the_audit_during_a_pause
                a_worker_forgets_the_audit_in_time
            }
            timers {
                timers_are_read_in_the_order_of_their_time_page_by_page
                a_timer_fires_once_and_never_before_it_is_due
                a_timer_is_replaced_or_cancelled_by_its_key
                cancelling_a_timer_that_has_fired_has_an_answer
                a_firing_cancels_a_timer_that_is_due_with_it
                two_workers_on_one_reactor_leave_out_no_timer
                a_worker_wakes_for_its_next_timer
                a_worker_that_waits_leaves_the_database_alone
                a_timer_survives_a_restart
                a_crash_in_a_firing_repeats_it_and_the_ledger_shows_it
                events_from_before_a_timer_come_first
                events_from_before_a_timer_come_first_in_a_reactor_that_goes_back
                timers_of_a_parked_stream_wait_with_it
                a_timer_that_fails_is_retried_and_an_event_can_cancel_it
                a_firing_sets_the_next_timer_of_a_series
                a_series_goes_on_after_a_firing_that_failed
                a_timer_stays_when_its_effect_could_not_be_recorded
                what_is_replayed_sets_no_timer_again
                an_operator_sees_timers_and_cancels_them
                hundreds_of_timers_due_at_once_fire_once_each
                a_timer_fires_in_the_partition_of_its_stream
            }
            typed_rows {
                rows_are_written_changed_and_removed
                columns_and_documents_end_in_the_same_states
                a_rebuild_makes_the_same_columns
                sums_of_floats_do_not_depend_on_how_batches_are_cut
                a_key_that_does_not_fit_pauses_the_projection
                an_enum_without_data_is_text
                a_table_that_can_not_be_is_refused_at_once
            }
            transactions {
                a_row_comes_back_as_it_was_written
                a_row_is_made_once
                a_row_moves_only_from_where_it_stands
                of_racing_moves_one_commits
                a_dropped_transaction_leaves_no_trace
                each_name_has_its_own
                a_parked_stream_is_there_until_its_last_changeset_goes
            }
            reopening {
                a_reopened_database_goes_on_where_it_was
                a_reopened_database_knows_what_was_begun
            }
            side_by_side {
                side_by_side_is_offered_as_the_database_says
                a_read_model_is_swapped_and_back_or_that_is_refused
                a_skip_reaches_the_standby_and_outlives_the_swap
                a_skip_of_what_is_parked_reaches_the_standby
                readers_find_whole_read_models_through_a_new_version_and_back
                a_version_that_differs_is_swapped_by_an_operator_only
                a_read_model_of_another_version_is_not_verified
                rows_that_differ_from_the_log_are_found
                a_verification_beside_new_events_finds_what_differs_only
                a_swap_beside_new_events_loses_none
                two_swaps_at_once_are_one
                a_swap_waits_for_what_the_log_does_not_show_yet
                a_host_that_does_not_stay_builds_and_swaps_a_standby
                a_standby_is_completed_and_swapped_after_a_restart
                a_standby_is_operated_by_its_own_name
                an_estimate_leaves_nothing
            }
            stream_rebuilds {
                wrong_rows_are_mended_by_the_rebuild_of_their_streams
                a_dry_run_changes_nothing
                streams_are_rebuilt_under_load
                a_step_in_progress_does_not_bring_a_wrong_row_back
                what_is_skipped_or_parked_stays_so
                streams_are_read_as_the_projection_reads_them
                all_tables_of_a_composite_are_rebuilt
                rows_of_partitions_are_rebuilt
                what_can_not_be_rebuilt_by_streams_is_refused
            }
            segments {
                a_rebuild_by_segments_gives_the_rows_of_the_log
                a_rebuild_by_segments_goes_on_wherever_it_was_cut_off
                several_workers_read_a_segment_each
                hosts_that_do_not_stay_finish_a_rebuild_by_segments
                a_new_version_goes_live_while_nobody_reads_the_segments_of_the_live_one
                what_fails_in_a_segment_is_retried_skipped_or_parked
                a_skip_reaches_the_standby_in_whichever_segment_it_is
                the_changeset_that_stopped_a_segment_can_be_skipped_whatever_is_before_it
                a_log_that_is_replaced_while_segments_are_read_is_noticed
                what_can_not_be_read_by_segments_is_refused
                an_estimate_needs_no_right_to_read_segments
                rows_of_some_segments_are_not_taken_for_those_of_a_checkpoint
            }
            partitions {
                partitions_are_offered_as_the_database_says
                each_event_is_applied_once_with_any_number_of_partitions
                a_rebuild_leaves_out_again_what_was_skipped_in_a_partition
                partitions_are_compared_and_swapped_while_events_come
                a_standby_gets_the_number_of_partitions_of_the_live_one
                a_new_version_goes_live_while_nobody_ends_a_change_of_the_live_one
                a_new_version_that_is_to_be_compared_waits_for_a_change_of_the_live_one
                a_rebuild_is_dealt_out_to_workers_and_joined
                a_rebuild_that_can_not_be_dealt_out_is_refused
                hosts_that_do_not_stay_finish_a_rebuild_that_is_dealt_out
                partitions_that_a_killed_worker_left_standing_still_go_on
                a_new_version_that_needs_the_global_order_has_no_partitions
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! stamp_database_laws {
    ($subject:ty; $($topic:ident { $($law:ident)+ })+) => {
        $(
            mod $topic {
                #[allow(unused_imports, reason = "the subject may be given by its full path")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $law() {
                        $crate::laws::$topic::$law::<$subject>().await;
                    }
                )+
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    /// A law that is written but not listed would be skipped in silence.
    #[test]
    fn every_law_is_stamped() {
        let list = include_str!("stamp.rs");
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/laws")).unwrap() {
            let path = entry.unwrap().path();
            let topic = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let laws = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next());
            for law in laws {
                let of_topic = list.split(&format!("            {topic} {{\n")).nth(1).unwrap_or("");
                let of_topic = of_topic.split('}').next().unwrap_or("");
                assert!(of_topic.lines().any(|line| line.trim() == law), "{topic}::{law} is not in the list");
            }
        }
    }
}

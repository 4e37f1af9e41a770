//! The list of laws, and the macro that turns each into a test.

/// Stamps every law onto a backend: one `#[tokio::test]` for each, in a module for each topic.
///
/// Its argument is the backend's [`Subject`](crate::laws::Subject).
#[macro_export]
macro_rules! store_laws {
    ($subject:ty) => {
        $crate::stamp_store_laws! {
            $subject;
            concurrency {
                a_stream_begins_at_changeset_1_and_event_1
                a_commit_goes_after_what_it_expects
                an_outdated_expectation_is_refused
                an_expectation_ahead_of_the_stream_is_refused
                a_refused_commit_leaves_no_trace
                of_racing_commits_with_one_expectation_exactly_one_wins
                of_racing_first_commits_exactly_one_wins
                writers_that_try_again_all_get_in
                refusals_do_not_disturb_commits_at_the_same_time
                every_stream_has_its_own_end
                a_dropped_commit_does_no_harm
            }
            batches {
                commits_in_order_get_each_their_own_verdict
                an_empty_batch_has_no_verdicts
                commits_in_order_stand_in_the_order_given
                a_repeat_within_a_batch_is_stored_once
                a_type_given_within_a_batch_holds_at_once
                a_long_batch_is_stored_whole
            }
            streams {
                a_stream_nobody_wrote_to_is_not_found
                a_range_of_changesets_includes_both_ends
                a_range_of_events_gives_whole_changesets
                the_largest_numbers_are_ordinary_bounds
                pages_cut_by_a_limit_add_up_to_the_whole
                a_page_that_reaches_the_end_of_its_range_is_not_cut
                pages_cut_by_bytes_add_up_to_the_whole
                a_stream_of_many_megabytes_reads_whole
                a_changeset_reads_back_with_all_its_members
            }
            log {
                an_empty_log_ends_at_its_start
                every_log_has_its_own_id
                two_stores_are_two_histories
                the_log_and_the_streams_tell_the_same
                pages_cut_by_a_limit_add_up_to_the_whole
                pages_cut_by_bytes_add_up_to_the_whole
                a_log_of_many_megabytes_reads_whole
                reading_at_or_past_the_end_gives_nothing
                a_page_with_something_in_it_does_not_wait
                each_changeset_is_located
                an_empty_page_has_reached_the_head
            }
            filters {
                a_filter_gives_exactly_what_passes_it
                a_filter_works_from_any_checkpoint
                a_filtered_page_cut_by_bytes_loses_nothing
                what_a_filter_passes_over_does_not_hold_the_reader_back
            }
            waiting {
                a_waiting_reader_wakes_when_something_arrives
                nothing_arrives_unnoticed_between_looking_and_waiting
                waiting_readers_hold_nobody_up
                a_wait_for_nothing_ends_empty
                a_waiting_reader_with_a_filter_gets_what_passes
                a_dropped_wait_does_no_harm
            }
            quarantine {
                what_can_not_be_read_is_quarantined_at_its_place
                what_is_repaired_is_read_again
                a_body_that_has_changed_is_quarantined
            }
            order {
                the_order_is_that_of_the_commits
                a_commit_is_answered_with_its_place
                refusals_and_repeats_leave_no_gap
            }
            racing {
                all_readers_see_the_same_sequence_while_writers_race
                a_stream_read_while_it_grows_has_no_gaps
                a_stream_begins_with_its_first_changeset
                an_answered_commit_can_be_read_at_once
                no_page_ends_behind_its_head
                changesets_are_located_where_they_are_read
            }
            idempotency {
                a_repeat_answers_with_the_first_and_stores_nothing
                a_repeats_expectation_is_not_looked_at
                a_key_with_another_body_is_refused
                the_same_key_on_another_stream_is_another_commit
                a_key_may_hold_any_visible_character
                a_refused_commit_does_not_use_up_its_key
                concurrent_attempts_that_expect_different_ends_are_stored_once
                concurrent_repeats_are_stored_once
                of_concurrent_bodies_under_one_key_one_is_stored
            }
            fidelity {
                every_token_of_an_event_comes_back
                events_stay_apart
                every_token_of_metadata_comes_back
                white_space_between_tokens_is_all_that_goes
                a_changeset_may_hold_many_events
            }
            names {
                every_id_is_a_stream_of_its_own
                every_id_is_located_and_refused_by_its_name
            }
            times {
                a_changeset_is_stamped_when_it_is_committed
                times_ascend_within_a_stream
                a_given_time_is_kept_or_refused
                a_clock_that_went_back_does_not_turn_a_stream_round
                the_first_and_the_last_moment_are_kept
                a_time_has_its_place_in_the_log
                a_time_has_its_place_in_a_stream
                a_time_has_a_place_in_a_log_whose_times_do_not_ascend
            }
            traces {
                a_trace_comes_back_wherever_a_changeset_does
                a_trace_leaves_metadata_alone
                each_commit_of_a_batch_has_a_trace_of_its_own
                a_reopened_store_has_the_traces
                a_repeat_keeps_the_trace_of_the_first
                a_quarantined_changeset_keeps_its_trace
                the_largest_changeset_has_room_for_the_longest_trace
            }
            types {
                a_stream_keeps_the_type_of_its_first_commit
                another_type_is_refused
                a_refused_first_commit_fixes_no_type
                types_are_any_text
                of_racing_types_one_wins
            }
            by_type {
                a_stream_ends_with_its_last_changeset
                a_type_lists_its_streams_by_their_last_changesets
                a_type_is_listed_from_a_moment_on
                pages_of_a_type_add_up_to_the_whole
                a_stream_updated_between_pages_is_not_missed
                a_reopened_store_lists_the_same
            }
            sizes {
                a_changeset_of_exactly_the_limit_is_kept_and_one_byte_more_refused
                far_too_much_is_refused_likewise
                the_limit_is_about_what_is_stored
            }
            reopening {
                a_reopened_store_has_everything
                a_reopened_store_goes_on
                a_killed_store_has_everything
                a_killed_store_goes_on
                an_empty_log_keeps_its_id
                a_store_killed_while_it_writes_loses_nothing_it_answered
            }
            segments {
                segments_are_offered_as_the_store_says
                each_changeset_is_in_one_segment_and_each_stream_in_its_order
                a_segment_goes_on_after_any_changeset
                a_filter_and_bytes_cut_a_segment_and_lose_nothing
                segments_hold_all_before_the_head_while_writers_race
            }
            several {
                a_log_is_shared_or_not_as_the_store_says
                all_stores_see_one_sequence_while_all_write
                of_commits_racing_on_two_stores_exactly_one_wins
                an_answered_commit_can_be_read_on_another_store_at_once
                no_page_ends_behind_its_head_whichever_store_is_asked
                an_expectation_outdated_elsewhere_is_refused
                a_key_is_known_to_every_store
                a_waiting_reader_wakes_for_another_stores_commit
                a_type_given_on_one_store_holds_on_all
                a_store_that_is_killed_holds_no_other_up
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! stamp_store_laws {
    ($subject:ty; $($topic:ident { $($law:ident)+ })+) => {
        $(
            mod $topic {
                #[allow(unused_imports, reason = "the subject may be given by its full path")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
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

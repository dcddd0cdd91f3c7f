//! One suite for both databases: each story is a function over a [`place::Place`], run on SQLite always and on Postgres when
//! `PATCHBAY_TEST_POSTGRES_URL` names a server on which databases may be made.
//!
//! With `PATCHBAY_TEST_REQUIRE_SERVICES` set, a missing server is a failure and not a shorter run.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod admin_keys;
mod admin_requests;
mod audit;
mod catalogs;
mod changes;
mod issuers;
mod keys;
mod migrating;
mod notes;
mod opening;
mod place;
mod resealing;
mod retention;
mod revocations;
mod samples;
mod server_tokens;
mod session_notes;
mod tenants;
mod writers;

/// Declares the stories of the suite: each becomes a test on SQLite and one on Postgres.
macro_rules! suite {
    ($($noun:ident: [$($story:ident),+ $(,)?])+) => {
        mod on_sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    let place = crate::place::Place::sqlite();
                    crate::place::tell(place, |place| crate::$noun::$story(place)).await;
                }
            )+)+
        }

        mod on_postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(place) = crate::place::Place::postgres().await {
                        crate::place::tell(place, |place| crate::$noun::$story(place)).await;
                    }
                }
            )+)+
        }
    };
}

suite! {
    tenants: [
        unknown_tenant_is_none_and_cannot_be_deleted,
        secret_to_keep_that_was_never_given_is_refused_and_nothing_is_written,
        stale_generation_is_a_conflict,
        wrong_vault_key_is_said_and_fresh_values_are_the_way_out,
        secrets_are_sealed_at_rest,
        applied_tenant_comes_back_whole,
        same_file_twice_changes_nothing,
        every_difference_adds_one_to_the_generation,
        server_keeps_its_id_while_its_name_stays,
        kept_secrets_stay_and_unnamed_ones_go,
        unreadable_spec_is_said_and_replaced_by_the_next_file,
    ]
    writers: [
        twenty_writers_at_once_lose_no_update,
        deleted_tenant_takes_everything_but_its_audit,
        tenant_made_again_goes_on_counting,
        deletion_of_another_state_deletes_nothing,
        busy_tenant_is_deleted_and_made_again_without_harm,
    ]
    keys: [
        key_of_an_unknown_tenant_and_key_made_twice_are_refused,
        foreign_key_cannot_be_revoked_or_touched,
        key_comes_back_as_it_was_made,
        revoked_key_stays_revoked_since_the_first_time,
        replaced_key_ends_with_the_making_of_the_new_one_or_after_an_overlap,
        last_use_only_moves_forward_and_changes_no_generation,
        keys_made_at_once_each_add_one,
    ]
    admin_keys: [
        admin_key_of_an_unknown_tenant_and_one_made_twice_are_refused,
        change_of_an_admin_key_and_its_record_are_both_there_or_neither,
        admin_key_comes_back_as_it_was_made,
        admin_key_is_replaced_with_its_record_or_not_at_all,
        revoked_admin_key_stays_revoked_since_the_first_time,
        rotated_admin_key_gives_way_to_its_successor_once,
        last_use_of_an_admin_key_is_noted_once_a_minute,
        one_of_ten_makes_the_first_admin_key,
        admin_keys_go_with_their_tenant,
        admin_keys_of_a_tenant_that_comes_and_goes_do_no_harm,
    ]
    admin_requests: [
        request_that_runs_or_was_done_is_not_done_again,
        of_ten_who_reserve_at_once_one_may_do_it,
        released_request_may_be_done_again_and_an_answered_one_may_not,
        answer_that_cannot_be_kept_is_refused,
        answer_is_sealed_and_one_that_stays_closed_counts_as_begun,
        expired_requests_count_as_absent_and_are_deleted,
    ]
    resealing: [
        what_no_key_opens_is_counted_and_left_as_it_is,
        everything_is_sealed_anew_and_the_former_key_may_go,
        concurrent_changes_win_and_nothing_is_lost,
        long_tables_are_gone_over_page_by_page,
    ]
    issuers: [
        issuer_secret_to_keep_that_was_never_given_is_refused_and_nothing_is_written,
        kept_issuer_secret_stays_and_an_unnamed_one_goes,
        wrong_vault_key_is_said_of_issuers_too,
        unreadable_issuer_is_said_and_replaced_by_the_next_file,
        nothing_sealed_opens_where_it_was_moved_to,
        tenants_do_not_share_issuers,
    ]
    revocations: [
        revocation_of_an_unknown_tenant_and_the_same_twice_are_refused,
        foreign_revocation_is_not_listed_and_cannot_be_lifted,
        revocation_comes_back_as_it_was_made,
        lifted_revocation_is_gone_and_may_come_again,
        expired_revocations_are_left_out_deleted_and_in_nobodys_way,
        refused_revocation_holds_nothing_up,
        same_thing_revoked_again_for_longer_or_from_later_on_counts,
        same_thing_revoked_by_many_at_once_is_there_once,
    ]
    server_tokens: [
        token_of_a_foreign_server_is_neither_given_nor_taken,
        token_is_sealed_and_one_that_stays_closed_is_none,
        token_is_replaced_and_only_the_same_one_is_forgotten,
        one_of_many_holders_gets_the_lease,
        lease_ends_by_time_or_by_a_new_token,
        token_goes_when_the_server_or_the_identity_there_is_another_one,
    ]
    catalogs: [
        catalog_of_a_foreign_server_is_refused,
        catalog_is_replaced_and_goes_with_its_server,
        catalog_goes_when_the_server_is_reached_otherwise,
        tombstone_of_an_unknown_tenant_is_refused,
        only_the_first_of_many_buries_a_digest,
        expired_tombstones_are_gone,
    ]
    session_notes: [
        notes_of_an_unknown_tenant_are_passed_over,
        last_word_on_a_thing_counts_and_others_stay,
        who_reads_on_misses_no_note_of_many_writers,
        expired_notes_are_deleted,
        second_handle_hears_of_notes,
    ]
    audit: [
        rows_that_do_not_continue_their_chain_are_refused_and_nothing_is_written,
        of_two_who_write_one_chain_one_is_refused,
        rows_sent_twice_are_there_once,
        rows_sent_by_many_at_once_are_there_once,
        rows_of_an_older_patchbay_are_taken_beside_and_are_in_no_chain,
        odd_texts_are_kept_and_found,
        heads_say_where_each_chain_is,
        every_filter_gives_its_rows_page_by_page,
        chain_comes_in_the_order_of_its_numbers,
        chain_whose_head_was_removed_is_still_known,
        row_is_found_as_it_says_also_with_odd_texts,
        checkpoints_come_back_once_and_by_their_places,
        cursors_only_move_forward,
        one_holder_at_a_time_has_the_lease,
    ]
    retention: [
        nothing_expires_before_its_time,
        chain_loses_its_beginning_only_and_is_verified_from_its_anchor,
        row_that_comes_late_is_not_removed_unsaid,
        rows_in_no_chain_go_by_their_time_alone,
        long_chain_goes_in_batches_and_the_next_time_goes_on,
        many_chains_expire_at_once,
        whole_chain_goes_and_its_head_stays,
        many_prepare_at_once_and_again,
    ]
    notes: [
        change_that_fails_leaves_no_record,
        change_whose_record_cannot_be_written_is_not_made,
        every_change_leaves_a_record_in_one_chain,
        what_is_no_change_leaves_no_record,
        operators_at_once_make_one_chain,
    ]
    changes: [
        second_handle_hears_of_every_change,
        own_changes_are_heard_once,
        what_is_no_change_is_not_told,
        second_handle_hears_of_tombstones,
        taken_back_calls_are_told_to_other_handles_alone,
        change_that_nobody_announced_is_found,
    ]
    opening: [
        many_handles_at_once_make_one_set_of_tables,
        store_that_needs_a_newer_program_is_not_touched,
        step_that_nobody_knows_is_refused,
        closed_store_refuses_at_once,
    ]
    migrating: [
        store_of_the_first_version_comes_along_with_all_that_it_holds,
        many_handles_at_once_bring_an_old_store_up_to_date,
        newer_store_that_allows_it_is_worked_on_by_many_at_once,
        what_the_release_before_writes_and_reads_is_still_understood,
    ]
}

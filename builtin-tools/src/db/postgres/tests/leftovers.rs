//! What a use of a connection leaves behind: nothing for the next one, and no query without an owner.

use super::*;

#[tokio::test]
async fn client_that_goes_in_mid_query_ends_it_in_the_database() {
    tell(async |place: Arc<Place>| {
        let source = Arc::new(place.source(&[Layer::Judge, Layer::StatementTimeout], json!({ "timeout_ms": 60000 })));
        for sql in ["SELECT pg_sleep(600)", "SELECT count(*) FROM generate_series(1, 100000000000)"] {
            let task = tokio::spawn({
                let source = Arc::clone(&source);
                async move { query(&source, sql).await.map(drop) }
            });
            wait_until("it runs", async || place.runs(sql).await == 1).await;
            task.abort();
            wait_until("it has ended", async || place.running().await == 0).await;
        }
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn cancelled_call_says_so_when_its_query_has_ended() {
    tell(async |place: Arc<Place>| {
        let source = place.source(&[Layer::Judge, Layer::StatementTimeout], json!({ "timeout_ms": 60000 }));
        let token = CancellationToken::new();
        let call_cx = Cx::new(token.clone(), None);
        let call = source.query(asked("SELECT pg_sleep(600)", json!([])), &call_cx);
        let cancel = async {
            wait_until("it runs", async || place.runs("pg_sleep(600)").await == 1).await;
            token.cancel();
        };
        let (answer, ()) = tokio::join!(call, cancel);
        assert!(matches!(answer, Err(QueryError::Cancelled)));
        assert_eq!(place.runs("pg_sleep(600)").await, 0);
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_use_survives_into_the_next() {
    tell(async |place: Arc<Place>| {
        let off = [Layer::Judge, Layer::Wrapper, Layer::Probe, Layer::ReadOnly];
        let source = place.source_as(true, &off, json!({ "connections_max": 1 }));
        for sql in [
            "SELECT pg_advisory_lock(42)",
            "PREPARE p AS SELECT 1",
            "LISTEN news",
            "SELECT set_config('work_mem', '1GB', false)",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SET ROLE pg_monitor",
            "SET search_path = app",
            "CREATE TEMP TABLE t (id int)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            // These two end our transaction, so that what follows is outside of it.
            "COMMIT",
            "ROLLBACK",
        ] {
            query(&source, sql).await.unwrap();
            let left = "SELECT (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql)::text, \
                (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory')::text, \
                (SELECT count(*) FROM pg_catalog.pg_listening_channels())::text, current_setting('work_mem'), \
                current_setting('search_path'), current_user::text, \
                (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable)::text, \
                current_setting('default_transaction_read_only'), to_regclass('pg_temp.t')::text";
            let owner = place.server.username();
            let clean = json!([["0", "0", "0", "16MB", "pg_catalog", owner, "0", "on", null]]);
            assert_eq!(rows(&source, left).await, clean, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_done_outside_of_our_transaction_is_undone_on_the_same_connection() {
    tell(async |place: Arc<Place>| {
        let source = place.source_as(true, &[Layer::Judge, Layer::Probe], json!({ "connections_max": 1 }));
        // Settings that a beginning does not set anew, and what only cleaning takes away.
        let state = "SELECT pg_backend_pid()::text, current_setting('TimeZone'), current_setting('bytea_output'), \
            current_user::text, (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory')::text, \
            (SELECT count(*) FROM pg_catalog.pg_listening_channels())::text, \
            (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable)::text, to_regclass('pg_temp.t')::text";
        let clean = rows(&source, state).await;
        assert_eq!(
            clean[0].as_array().unwrap()[1..],
            json!(["UTC", "hex", place.server.username(), "0", "0", "0", null]).as_array().unwrap()[..]
        );
        for sql in [
            "SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'",
            "SET ROLE pg_monitor",
            "SET SESSION AUTHORIZATION pg_monitor",
            "SELECT pg_advisory_lock(42)",
            "LISTEN news",
            "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
            "BEGIN READ WRITE; CREATE TEMP TABLE t (id int); COMMIT",
        ] {
            let call_cx = cx();
            let using = Clock::run(Duration::from_secs(20), &call_cx, async |clock: Arc<Clock>| {
                let session = source.begin(&clock, Mode::Read).await?;
                session.client().batch_execute(&format!("COMMIT; {sql}")).await.unwrap();
                session.done();
                Ok(())
            });
            using.await.unwrap();
            assert_eq!(rows(&source, state).await, clean, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn place_is_free_only_when_its_connection_is_clean_or_gone() {
    tell(async |place: Arc<Place>| {
        let source = place.source(&[Layer::Judge, Layer::StatementTimeout], json!({ "connections_max": 1 }));
        let call_cx = cx();
        let using = Clock::run(Duration::from_secs(20), &call_cx, async |clock: Arc<Clock>| {
            for is_done in [true, false] {
                let session = source.begin(&clock, Mode::Read).await?;
                assert_eq!(source.pool.places_free(), 0);
                if is_done {
                    session.done();
                } else {
                    drop(session);
                }
                // This runtime has one thread: what was set off by that has not begun yet.
                assert_eq!(source.pool.places_free(), 0);
                wait_until("it is free", async || source.pool.places_free() == 1).await;
            }
            Ok(())
        });
        using.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn names_that_were_prepared_cost_the_connection_and_types_that_were_looked_up_do_not() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TYPE app.mood AS ENUM ('sad', 'ok'); CREATE TYPE app.pair AS (a int, b app.mood)").await;
        place.run("CREATE TYPE app.other AS ENUM ('x')").await;
        let off = [Layer::Judge, Layer::Wrapper, Layer::Probe];
        let source = place.source_as(true, &off, json!({ "connections_max": 1 }));
        let wrapped = place.source(&[Layer::Judge], json!({ "connections_max": 1 }));
        let pid = async |source: &PostgresSource| rows(source, "SELECT pg_backend_pid()").await;
        let first = pid(&source).await;
        assert_eq!(pid(&source).await, first);
        query(&source, "PREPARE p AS SELECT 1").await.unwrap();
        assert_ne!(pid(&source).await, first);
        let first = pid(&wrapped).await;
        place.run(&format!("GRANT USAGE ON SCHEMA app TO {}", place.name)).await;
        // Each looks up a type that the connection does not know yet, after it was made clean.
        for (sql, cell) in [
            ("SELECT 'ok'::app.mood", json!("ok")),
            ("SELECT (1, 'sad')::app.pair", json!("(1,sad)")),
            ("SELECT ARRAY['x'::app.other]", json!(["x"])),
        ] {
            assert_eq!(rows(&wrapped, sql).await, json!([[cell]]));
            assert_eq!(pid(&wrapped).await, first, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn source_that_is_dropped_leaves_no_connection() {
    tell(async |place: Arc<Place>| {
        let source = place.open();
        rows(&source, "SELECT 1").await;
        assert!(place.connections().await >= 1);
        drop(source);
        wait_until("it is closed", async || place.connections().await == 0).await;
    })
    .await;
}

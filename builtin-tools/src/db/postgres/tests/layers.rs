//! Each layer around a statement alone, the others off.

use super::*;

#[tokio::test]
async fn read_only_transaction_refuses_what_an_owner_writes() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.t AS SELECT 1 AS id").await;
        let source = place.bare(json!({}));
        for sql in [
            "INSERT INTO app.t VALUES (2)",
            "WITH w AS (DELETE FROM app.t RETURNING id) SELECT * FROM w",
            "CREATE TABLE app.u (id int)",
            "TRUNCATE app.t",
            "SELECT nextval('app.s')",
            "GRANT ALL ON app.t TO PUBLIC",
            "COPY app.t FROM PROGRAM 'echo 2'",
            "DROP SCHEMA app CASCADE",
        ] {
            if sql.contains("nextval") {
                place.run("CREATE SEQUENCE app.s").await;
            }
            let told = refusal(&source, sql).await;
            assert!(told.starts_with("NOT_ALLOWED") && told.contains("write"), "{sql}: {told}");
        }
        assert_eq!(place.ask::<i64>("SELECT count(*) FROM app.t").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_written_without_the_read_only_layer_is_rolled_back() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.t AS SELECT 1 AS id").await;
        let off = [Layer::Judge, Layer::Wrapper, Layer::Probe, Layer::ReadOnly];
        let source = place.source_as(true, &off, json!({}));
        query(&source, "INSERT INTO app.t VALUES (2)").await.unwrap();
        rows(&source, "SELECT 1").await;
        assert_eq!(place.ask::<i64>("SELECT count(*) FROM app.t").await, 1);
    })
    .await;
}

#[tokio::test]
async fn extended_protocol_takes_one_statement() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.t AS SELECT 1 AS id").await;
        let off = [Layer::Judge, Layer::Wrapper, Layer::Probe, Layer::ReadOnly];
        for source in [place.source_as(true, &off, json!({})), place.open()] {
            for sql in [
                "COMMIT; DROP TABLE app.t",
                "SELECT 1; DROP TABLE app.t; --",
                "SELECT 1) AS i LIMIT 1) AS q(c1); DROP TABLE app.t; --",
                "SELECT 1 /* ; */; SELECT 2",
            ] {
                let told = refusal(&source, sql).await;
                assert!(told.starts_with("42601"), "{sql}: {told}");
            }
        }
        assert_eq!(place.ask::<i64>("SELECT count(*) FROM app.t").await, 1);
    })
    .await;
}

#[tokio::test]
async fn query_around_the_query_takes_nothing_but_queries() {
    tell(async |place: Arc<Place>| {
        let source = place.source_as(true, &[Layer::Judge, Layer::Probe, Layer::ReadOnly], json!({}));
        for sql in [
            "COMMIT",
            "SET TRANSACTION READ WRITE",
            "DO $$ BEGIN END $$",
            "LISTEN x",
            "PREPARE p AS SELECT 1",
            "CREATE TABLE app.t (id int)",
            "SHOW ALL",
            "LOCK TABLE pg_class",
            "COPY (SELECT 1) TO STDOUT",
            "",
            "-- nothing",
        ] {
            let told = refusal(&source, sql).await;
            assert!(told.starts_with("42601") || told.starts_with("NOT_ALLOWED"), "{sql}: {told}");
        }
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn own_clock_ends_a_statement_that_turned_the_servers_off() {
    tell(async |place: Arc<Place>| {
        let off = [Layer::Judge, Layer::StatementTimeout];
        let source = place.source(&off, json!({ "timeout_ms": 1000 }));
        for sql in [
            "SELECT pg_sleep(600)",
            "SELECT set_config('statement_timeout', '0', false), pg_sleep(600)",
            "SELECT count(*) FROM generate_series(1, 100000000000)",
            "SELECT g FROM generate_series(1, 10000000000) g ORDER BY g DESC",
        ] {
            let begun = Instant::now();
            let told = refusal(&source, sql).await;
            assert!(told.starts_with("TIMEOUT") && begun.elapsed() < Duration::from_secs(10), "{sql}: {told}");
            wait_until("nothing runs there", async || place.running().await == 0).await;
        }
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn servers_clock_ends_a_statement_when_nobody_is_left_to() {
    tell(async |place: Arc<Place>| {
        // A connection as a source begins it, with nobody who cancels.
        let source = place.source(&[Layer::Judge], json!({ "timeout_ms": 100 }));
        let call_cx = cx();
        let story = Clock::run(Duration::from_secs(20), &call_cx, |clock| {
            let source = &source;
            async move {
                let session = source.begin(&clock, Mode::Read).await?;
                let told = session.client().query("SELECT pg_catalog.pg_sleep(600)", &[]).await.unwrap_err();
                assert_eq!(told.code().unwrap().code(), "57014");
                session.done();
                Ok(())
            }
        });
        story.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn counted_socket_ends_a_cell_that_nobody_cuts() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.attic AS SELECT repeat('x', 64 * 1024 * 1024) AS cell").await;
        let source = place.source(&[Layer::Judge, Layer::Cut], json!({ "timeout_ms": 60000 }));
        rows(&source, "SELECT 1").await;
        let before = resident_peak_kib();
        let told = refusal(&source, "SELECT cell FROM app.attic").await;
        assert!(told.starts_with("TOO_LARGE"), "{told}");
        let grown = resident_peak_kib() - before;
        assert!(grown < 40 * 1024, "this process grew by {grown} KiB");
        wait_until("nothing runs there", async || place.running().await == 0).await;
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn cell_is_cut_by_the_database_when_nobody_counts() {
    tell(async |place: Arc<Place>| {
        place
            .run(
                "CREATE TABLE app.attic AS SELECT repeat('x', 64 * 1024 * 1024) AS long, \
                 decode(repeat('ab', 8 * 1024 * 1024), 'hex') AS bytes, to_jsonb(repeat('y', 8 * 1024 * 1024)) AS doc, \
                 array_fill(7, ARRAY[1000000]) AS list, repeat('é', 1000000)::varchar AS two",
            )
            .await;
        let source = place.source(&[Layer::Judge, Layer::Count], json!({ "timeout_ms": 60000, "connections_max": 1 }));
        rows(&source, "SELECT 1").await;
        let answer = query(&source, "SELECT * FROM app.attic").await.unwrap();
        wait_until("the connection is clean", async || source.pool.left().is_some()).await;
        let came = usize::MAX - source.pool.left().unwrap();
        assert!(came < 2 * 1024 * 1024, "{came} bytes came of it");
        assert!(answer.truncated && answer.note.unwrap().contains("5 long values are cut"));
        assert!(json!(answer.rows).to_string().len() <= 1024 * 1024 + 64);
        for (index, begins) in ["xxx", "\\xabab", "\"yyy", "{7,7", "ééé"].iter().enumerate() {
            let cell = answer.rows[0][index].as_str().unwrap();
            assert!(cell.starts_with(begins) && cell.ends_with('…') && cell.len() > 100_000, "{begins}");
        }
    })
    .await;
}

#[tokio::test]
async fn role_that_may_too_much_reads_nothing_until_it_is_accepted() {
    tell(async |place: Arc<Place>| {
        place.run("CREATE TABLE app.t AS SELECT 1 AS id").await;
        let source = place.source_as(true, &[Layer::Judge], json!({}));
        for _ in 0..2 {
            let told = refusal(&source, "SELECT * FROM app.t").await;
            assert!(told.starts_with("UNAVAILABLE") && !told.contains("superuser"), "{told}");
            assert!(matches!(source.list_tables(ListFilter::default(), &cx()).await, Err(QueryError::Closed)));
        }
        let told = source.check().await.unwrap_err();
        assert!(told.contains("superuser") && told.contains("accepted_risks") && !told.contains("hunter2"), "{told}");
    })
    .await;
}

/// The most memory that this process has held so far, in KiB.
fn resident_peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

//! Connections that wait for the next call: what they carry over, and when they are not used again.

use serde_json::json;

use super::*;

async fn one(source: &SqliteSource, sql: &str) -> Value {
    rows(source, sql).await.unwrap()[0][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_connection_sees_what_others_wrote_and_made() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::shop();
        let hand = place.hand();
        hand.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        let source = place.source();
        assert_eq!(one(&source, "SELECT count(*) FROM products").await, json!(24));
        assert_eq!(source.warm.waiting(), 1);
        hand.execute_batch("DELETE FROM order_items; DELETE FROM products WHERE id = 1").unwrap();
        assert_eq!(one(&source, "SELECT count(*) FROM products").await, json!(23), "{mode}");
        hand.execute_batch("CREATE TABLE fresh (a); INSERT INTO fresh VALUES (7)").unwrap();
        assert_eq!(one(&source, "SELECT a FROM fresh").await, json!(7), "{mode}");
        hand.execute_batch("DROP TABLE fresh").unwrap();
        assert!(rows(&source, "SELECT a FROM fresh").await.is_err());
        assert!(!source.table_names("", &cx()).await.unwrap().contains(&"fresh".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_with_a_log_that_nobody_else_has_open_is_read_and_left_as_it_is() {
    let place = Place::shop();
    place.hand().query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    let before = place.files();
    let source = place.source();
    assert_eq!(one(&source, "SELECT count(*) FROM products").await, json!(24));
    drop(source);
    let after = place.files();
    assert_eq!(after[&place.database()], before[&place.database()]);
    // SQLite itself puts its two companions beside such a file, also for a reader; the log is empty.
    let names = after.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    assert!(names.clone().all(|name| ["shop.db", "shop.db-shm", "shop.db-wal"].contains(&name.as_str())), "{names:?}");
    assert!(after.get(&place.folder.path().join("shop.db-wal")).is_none_or(Vec::is_empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_that_was_made_after_the_last_call_is_not_taken_for_a_name_of_the_query() {
    for mode in ["DELETE", "WAL"] {
        let place = Place::shop();
        let hand = place.hand();
        hand.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).unwrap();
        let source = place.source_of(Some(&["products"]), &[], 5_000);
        one(&source, "SELECT 1").await;
        hand.execute_batch("CREATE TABLE secrets (a); INSERT INTO secrets VALUES (1)").unwrap();
        assert!(matches!(rows(&source, "SELECT count(*) FROM secrets").await, Err(QueryError::Unlisted)), "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_is_as_new_after_any_sort_of_call() {
    let place = Place::shop();
    let source = place.source_of(None, &["orders"], 400);
    let endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    for sql in ["SELECT * FROM order_items", "SELECT nope", "CREATE TEMP TABLE x (a)", "BEGIN", "SELECT 1;;", endless] {
        let _ = rows(&source, sql).await;
        assert!(source.warm.waiting() <= 1);
        let state = source
            .with_session(&cx(), |session| {
                let conn = session.conn();
                let get = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
                let temporary = get("SELECT count(*) FROM temp.sqlite_schema");
                let databases = get("SELECT count(*) FROM pragma_database_list WHERE name <> 'temp'");
                let limit = conn.limit(rusqlite::limits::Limit::SQLITE_LIMIT_ATTACHED).unwrap();
                Ok((temporary, databases, get("PRAGMA query_only"), limit, conn.is_autocommit(), conn.total_changes()))
            })
            .await
            .unwrap();
        assert_eq!(state, (0, 1, 1, 0, false, 0), "{sql}");
    }
    // The one that was interrupted was not kept; the one after it was.
    assert_eq!(source.warm.waiting(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_was_replaced_or_removed_is_not_read_from_memory() {
    let place = Place::shop();
    let source = place.source();
    one(&source, "SELECT count(*) FROM products").await;
    let other = place.folder.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE products (id); INSERT INTO products VALUES (5)")
        .unwrap();
    fs::rename(&other, place.database()).unwrap();
    assert_eq!(one(&source, "SELECT count(*) FROM products").await, json!(1));
    fs::remove_file(place.database()).unwrap();
    assert!(matches!(rows(&source, "SELECT 1").await, Err(QueryError::Unavailable)));
    assert!(place.files().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_interrupt_of_one_call_never_meets_the_next() {
    let place = Place::shop();
    let source = Arc::new(place.source());
    let work = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 2000) SELECT count(*) FROM c";
    for round in 0..200_u32 {
        let cancelled = CancellationToken::new();
        let first = {
            let (source, cancelled) = (Arc::clone(&source), cancelled.clone());
            tokio::spawn(async move { source.query(query(work), &Cx::new(cancelled, None)).await })
        };
        for _ in 0..round % 40 {
            tokio::task::yield_now().await;
        }
        cancelled.cancel();
        let second = rows(&source, work).await;
        assert_eq!(second.unwrap(), [[json!(2000)]], "round {round}");
        let _ = first.await.unwrap();
    }
}

#[tokio::test]
async fn connection_that_nobody_wants_is_closed() {
    let place = Place::shop();
    let mut source = place.source();
    source.warm = Arc::new(Warm::new(Duration::from_millis(20)));
    one(&source, "SELECT 1").await;
    let began = std::time::Instant::now();
    while source.warm.waiting() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

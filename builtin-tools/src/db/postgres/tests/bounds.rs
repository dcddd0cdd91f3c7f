//! How much an answer holds, and what it says when there is more.

use super::*;

#[tokio::test]
async fn rows_end_at_their_bound_and_the_answer_says_so() {
    tell(async |place: Arc<Place>| {
        let source = place.source(&[Layer::Judge], json!({ "rows_max": 10, "connections_max": 1 }));
        let before = rows(&source, "SELECT pg_backend_pid()").await;
        let sql = "SELECT generate_series(1, 100000000000) AS g";
        let answer = query(&source, sql).await.unwrap();
        assert_eq!((answer.row_count, answer.truncated), (10, true));
        assert!(answer.note.unwrap().contains("more than these 10 rows"));
        let limited = async |limit| source.query(Query { limit: Some(limit), ..asked(sql, json!([])) }, &cx()).await;
        assert_eq!(limited(3).await.unwrap().row_count, 3);
        assert_eq!(limited(300).await.unwrap().row_count, 10);
        assert_eq!(limited(u64::MAX).await.unwrap().row_count, 10);
        assert!(matches!(limited(0).await, Err(QueryError::Arguments(_))));
        // The database ended them by itself: none had to be cancelled.
        assert_eq!(rows(&source, "SELECT pg_backend_pid()").await, before);
        let answer = query(&source, "SELECT g FROM generate_series(1, 10) g").await.unwrap();
        assert_eq!((answer.row_count, answer.truncated, answer.note), (10, false, None));
    })
    .await;
}

#[tokio::test]
async fn bytes_end_at_their_bound_and_the_database_is_left_in_peace() {
    tell(async |place: Arc<Place>| {
        let source =
            place.source(&[Layer::Judge], json!({ "rows_max": 10000, "bytes_max": 20000, "timeout_ms": 60000 }));
        // Many rows; then some that take long, behind those that do not fit. (The server sends by blocks, so a few more.)
        for sql in [
            "SELECT repeat('é', 1000), generate_series(1, 100000000000)",
            "SELECT repeat('x', 7000), pg_sleep(CASE WHEN g > 40 THEN 600 END)::text FROM generate_series(1, 9000) g",
        ] {
            let answer = query(&source, sql).await.unwrap();
            assert!(answer.truncated && answer.note.unwrap().contains("reached its size"), "{sql}");
            assert!(json!(answer.rows).to_string().len() <= 20_000);
            wait_until("nothing runs there", async || place.running().await == 0).await;
        }
        assert_eq!(rows(&source, "SELECT 1").await, json!([[1]]));
    })
    .await;
}

#[tokio::test]
async fn columns_have_a_bound() {
    tell(async |place: Arc<Place>| {
        let source = place.open();
        let many = |count: usize| format!("SELECT {}", vec!["1"; count].join(", "));
        let told = refusal(&source, &many(257)).await;
        assert!(told.starts_with("INVALID_ARGUMENTS") && told.contains("257"), "{told}");
        assert!(refusal(&source, &many(1600)).await.contains("1600"));
        assert_eq!(query(&source, &many(256)).await.unwrap().columns.len(), 256);
        assert!(refusal(&source, &many(1700)).await.starts_with("54011"));
    })
    .await;
}

#[tokio::test]
async fn smallest_answer_still_has_a_row() {
    tell(async |place: Arc<Place>| {
        let source = place.source(&[Layer::Judge], json!({ "bytes_max": 1024 }));
        let answer =
            query(&source, "SELECT repeat('漢', 5000), 1, true, ARRAY[1, 2], '{\"a\": 1}'::jsonb").await.unwrap();
        assert_eq!(answer.row_count, 1);
        assert!(json!(answer.rows).to_string().len() <= 1024);
        assert_eq!(answer.rows[0][1..], [json!(1), json!(true), json!([1, 2]), json!({"a": 1})]);
    })
    .await;
}

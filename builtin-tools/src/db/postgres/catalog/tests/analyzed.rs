//! Analyses: by rows, by statistics and by samples; types that cannot be compared; time that is up.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::place::{all_of, cx, owned, tell};
use crate::db::{
    answer::{ColumnAnalysis, TableAnalysis},
    error::QueryError,
    postgres::catalog,
};

fn column<'a>(analysis: &'a TableAnalysis, name: &str) -> &'a ColumnAnalysis {
    analysis.columns.iter().find(|column| column.name == name).unwrap()
}

/// Whether the number is that, give or take a part of it.
fn about(number: Option<u64>, expected: u64, part: f64) -> bool {
    number.is_some_and(|number| number.abs_diff(expected) as f64 <= expected as f64 * part)
}

#[tokio::test]
async fn small_table_is_told_exactly() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok');
                 CREATE TABLE s.t (id int, city text, price numeric, score float8, born date, mood s.mood, yes bool);
                 INSERT INTO s.t SELECT g, CASE WHEN g % 4 = 0 THEN NULL WHEN g % 4 = 1 THEN 'Lyon' ELSE 'Turku' END, g / 4.0,
                     CASE WHEN g = 1 THEN float8 'NaN' ELSE g END, date '2026-01-01' + g,
                     CASE WHEN g < 60 THEN 'ok' ELSE 'sad' END::s.mood, g % 2 = 0
                 FROM generate_series(1, 100) g",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "t", &[]).await.unwrap();
        assert_eq!((analysis.rows, analysis.rows_estimated, analysis.basis), (Some(100), false, "rows"));
        assert_eq!((analysis.rows_read, analysis.note.as_deref()), (Some(100), None));
        let city = column(&analysis, "city");
        assert_eq!((city.null_share, city.distinct), (Some(0.25), Some(2)));
        assert_eq!((&city.min, &city.max), (&json!("Lyon"), &json!("Turku")));
        assert_eq!(city.samples, [json!("Turku"), json!("Lyon")], "the most frequent first");
        let id = column(&analysis, "id");
        assert_eq!((id.distinct, &id.min, &id.max), (Some(100), &json!(1), &json!(100)));
        assert_eq!(column(&analysis, "price").min, json!("0.25000000000000000000"));
        assert_eq!(column(&analysis, "score").max, json!("NaN"));
        assert_eq!(column(&analysis, "born").max, json!("2026-04-11"));
        assert_eq!((&column(&analysis, "mood").min, column(&analysis, "mood").declared.as_str()), (&json!("sad"), "s.mood"));
        let yes = column(&analysis, "yes");
        assert_eq!((yes.distinct, &yes.min), (Some(2), &Value::Null));
        assert_eq!(yes.samples.len(), 2);
        let two = session.analyze(&visible, "t", &["yes", "id"]).await.unwrap();
        assert_eq!(two.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "yes"]);
    })
    .await;
}

#[tokio::test]
async fn types_without_equality_or_order_are_counted_and_sampled() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TYPE s.pair AS (a int, b int); CREATE DOMAIN s.doc AS json; CREATE DOMAIN s.plus AS int;
                 CREATE TABLE s.t (j json, b jsonb, p point, x xml, r int4range, a int[], ps point[], c s.pair, d s.doc,
                     n s.plus, u uuid, i inet, o oid, xi xid, ts tsvector, by bytea, v varbit, m money, ch \"char\", na name);
                 INSERT INTO s.t VALUES ('{\"k\": 1}', '{\"k\": 1}', '(1,2)', '<a/>', '[1,5)', '{1,2}', '{\"(1,2)\"}', '(1,2)',
                     '[1]', 7, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', 5, '7', 'cat', '\\x01', B'101', 12.5, 'q', 'n'),
                     (NULL, NULL, NULL, NULL, NULL, NULL, NULL, '(,)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                     NULL, NULL, NULL)",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "t", &[]).await.unwrap();
        assert_eq!(analysis.columns.len(), 20);
        for column in &analysis.columns {
            let nulls = if column.name == "c" { 0.0 } else { 0.5 };
            assert_eq!(column.null_share, Some(nulls), "{}", column.name);
            assert_eq!(column.samples.len(), if column.name == "c" { 2 } else { 1 }, "{}", column.name);
            let comparable = !["j", "p", "x", "ps", "c", "d"].contains(&column.name.as_str());
            assert_eq!(column.distinct.is_some(), comparable, "{}", column.name);
        }
        assert_eq!(column(&analysis, "n").max, json!(7), "a domain is read as its type is shown");
        assert_eq!(column(&analysis, "xi").min, Value::Null);
        assert_eq!(column(&analysis, "a").samples, [json!("{1,2}")]);
    })
    .await;
}

#[tokio::test]
async fn empty_table_has_no_shares_and_no_samples() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE TABLE s.t (id int, j json); CREATE TABLE s.none ()").await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "t", &[]).await.unwrap();
        assert_eq!((analysis.rows, analysis.columns.len()), (Some(0), 2));
        assert!(analysis.columns.iter().all(|column| column.null_share.is_none() && column.samples.is_empty()));
        assert_eq!(column(&analysis, "id").distinct, Some(0));
        let none = session.analyze(&visible, "none", &[]).await.unwrap();
        assert_eq!((none.rows, none.columns.len()), (Some(0), 0));
    })
    .await;
}

#[tokio::test]
async fn long_values_are_cut_and_the_note_says_so() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT repeat('é', 5000) AS long, 'short' AS short").await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "t", &[]).await.unwrap();
        assert_eq!(column(&analysis, "long").samples[0].as_str().unwrap().chars().count(), 101);
        assert!(analysis.note.unwrap().contains("longer than 100 characters"));
    })
    .await;
}

/// A table that is too large to be read: 200,000 rows.
const LARGE: &str = "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok');
    CREATE TABLE s.big AS SELECT g AS id, CASE WHEN g % 10 = 0 THEN NULL ELSE 'city ' || g % 7 END AS city,
        CASE WHEN g % 3 = 0 THEN 'sad' ELSE 'ok' END::s.mood AS mood, g % 1000 AS bucket, ('{\"n\":' || g || '}')::json AS j,
        ARRAY[g % 2] AS pair FROM generate_series(1, 200000) g;";

#[tokio::test]
async fn large_table_is_told_by_its_statistics() {
    tell(|place| async move {
        place.run(&format!("{LARGE} ANALYZE s.big")).await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "big", &[]).await.unwrap();
        assert_eq!((analysis.basis, analysis.rows_estimated, analysis.rows_read), ("statistics", true, None));
        assert!(about(analysis.rows, 200_000, 0.02), "{:?}", analysis.rows);
        let city = column(&analysis, "city");
        assert!((city.null_share.unwrap() - 0.1).abs() < 0.02);
        assert_eq!((city.distinct, &city.min, &city.max), (Some(7), &json!("city 0"), &json!("city 6")));
        assert_eq!(city.samples.len(), 5);
        let id = column(&analysis, "id");
        assert!(about(id.distinct, 200_000, 0.05), "{:?}", id.distinct);
        assert!(id.min.as_u64().unwrap() < 2_000 && id.max.as_u64().unwrap() > 198_000);
        assert!(about(column(&analysis, "bucket").distinct, 1_000, 0.1));
        assert_eq!(column(&analysis, "mood").min, json!("sad"), "an enum in its own order");
        assert_eq!(column(&analysis, "pair").samples.len(), 2);
        assert!(column(&analysis, "j").null_share.is_some() && column(&analysis, "j").samples.is_empty());
        assert!(analysis.note.unwrap().contains("estimates"));
        // A column that came later has no statistics yet.
        place.run("ALTER TABLE s.big ADD COLUMN late int").await;
        let analysis = session.analyze(&visible, "big", &["id", "late"]).await.unwrap();
        assert!(analysis.note.unwrap().contains("none for these columns: late"));
    })
    .await;
}

#[tokio::test]
async fn large_table_without_statistics_is_sampled() {
    tell(|place| async move {
        place.run(&format!("{LARGE} ALTER TABLE s.big SET (autovacuum_enabled = off)")).await;
        place.run("CREATE VIEW s.seen AS SELECT * FROM s.big").await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analysis = session.analyze(&visible, "big", &[]).await.unwrap();
        assert_eq!((analysis.basis, analysis.rows_estimated), ("sample", true));
        assert!(about(analysis.rows, 200_000, 0.25), "{:?}", analysis.rows);
        let read = analysis.rows_read.unwrap();
        assert!(read > 1_000 && read <= 50_000, "{read}");
        assert!((column(&analysis, "city").null_share.unwrap() - 0.1).abs() < 0.03);
        assert_eq!(column(&analysis, "city").distinct, Some(7));
        assert!(about(column(&analysis, "id").distinct, 200_000, 0.3), "{:?}", column(&analysis, "id").distinct);
        assert!(analysis.note.unwrap().contains("sample"));
        let view = session.analyze(&visible, "seen", &["city"]).await.unwrap();
        assert_eq!((view.basis, view.rows, view.rows_read), ("sample", None, Some(50_000)));
    })
    .await;
}

#[tokio::test]
async fn partitioned_table_is_analysed_as_a_whole() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TABLE s.p (day int, n int) PARTITION BY LIST (day);
                 CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES IN (1); CREATE TABLE s.p2 PARTITION OF s.p FOR VALUES IN (2);
                 INSERT INTO s.p SELECT 1 + g % 2, g FROM generate_series(1, 60000) g",
            )
            .await;
        let role = place.role("s").await;
        place.run(&format!("GRANT SELECT ON s.p TO {role}")).await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        assert_eq!(visible.names(), ["p"]);
        let sampled = session.analyze(&visible, "p", &[]).await.unwrap();
        assert_eq!((sampled.basis, column(&sampled, "day").distinct), ("sample", Some(2)));
        place.run("ANALYZE s.p").await;
        let told = session.analyze(&visible, "p", &[]).await.unwrap();
        assert_eq!(told.basis, "statistics");
        assert!(about(told.rows, 60_000, 0.02), "{:?}", told.rows);
        assert_eq!(column(&told, "day").distinct, Some(2));
    })
    .await;
}

#[tokio::test]
async fn what_is_done_is_told_when_the_time_is_up() {
    tell(|place| async move {
        // Eight columns are fast; the ninth never ends.
        let fast: Vec<_> = (0..8).map(|n| format!("g AS c{n}")).collect();
        place
            .run(&format!(
                "CREATE SCHEMA s; CREATE FUNCTION s.slow(g int) RETURNS int LANGUAGE plpgsql STABLE AS
                     'BEGIN PERFORM pg_sleep(60); RETURN g; END';
                 CREATE VIEW s.v AS SELECT {}, s.slow(g) AS slow, g AS last FROM generate_series(1, 3) g;
                 CREATE VIEW s.stuck AS SELECT s.slow(1) AS only WHERE s.slow(1) = 1",
                fast.join(", ")
            ))
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let analyze = async |table: &str| {
            let until = Instant::now() + Duration::from_secs(2);
            let table = visible.find(table).unwrap();
            catalog::analyze(session.begin().await, &visible, &table, &[], &cx(), until).await
        };
        let analysis = analyze("v").await.unwrap();
        assert_eq!(analysis.columns.len(), 8);
        let note = analysis.note.unwrap();
        assert!(note.contains("slow, last") && note.contains("time was up"), "{note}");
        assert!(matches!(analyze("stuck").await, Err(QueryError::Deadline(_))));
    })
    .await;
}

#[tokio::test]
async fn cancelled_analysis_ends() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE TABLE s.t (id int)").await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let cx = cx();
        cx.cancelled.cancel();
        let until = Instant::now() + Duration::from_secs(5);
        let table = visible.find("t").unwrap();
        let ended = catalog::analyze(session.begin().await, &visible, &table, &owned(&[]), &cx, until).await;
        assert!(matches!(ended, Err(QueryError::Cancelled)));
    })
    .await;
}

//! Lists of many tables: paged, filtered, and counted within the deadline.

use serde_json::json;

use super::*;

fn many(tables: usize) -> Place {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    let made =
        (0..tables).map(|n| format!("CREATE TABLE t{n:04} (id INTEGER PRIMARY KEY, v{n} TEXT);")).collect::<String>();
    place.execute(&format!(
        "PRAGMA synchronous = OFF; BEGIN; {made}
         INSERT INTO t0000 (id) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1500) SELECT n FROM c;
         INSERT INTO t0001 SELECT id, NULL FROM t0000; INSERT INTO t0002 (id) VALUES (1), (2);
         COMMIT;"
    ));
    place
}

async fn list(source: &SqliteSource, filter: ListFilter) -> TableList {
    source.list_tables(filter, &cx()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_tables_are_listed_in_pages_without_a_gap() {
    let place = many(1_000);
    let source = place.source();
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = list(&source, ListFilter { after: after.clone(), ..ListFilter::default() }).await;
        names.extend(page.tables.iter().map(|table| table.name.clone()));
        pages += 1;
        assert_eq!(page.truncated, page.next.is_some());
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((names.len(), pages), (1_000, 2));
    assert!(names.is_sorted() && names[999] == "t0999");
    let some = list(&source, ListFilter { contains: Some("T099".to_owned()), ..ListFilter::default() }).await;
    assert_eq!(some.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>().len(), 10);
    assert_eq!(some.tables[3].columns, ["id", "v993"]);
    let none = list(&source, ListFilter { contains: Some("x".to_owned()), ..ListFilter::default() }).await;
    assert!(none.tables.is_empty() && !none.truncated);
    let wrong =
        source.list_tables(ListFilter { schema: Some("public".to_owned()), ..ListFilter::default() }, &cx()).await;
    assert!(wrong.unwrap_err().to_text().contains("SQLite has one, `main`"));
    assert_eq!(source.table_names("T000", &cx()).await.unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tables_are_counted_less_far_and_statistics_help() {
    let place = many(600);
    let first = |list: &TableList| {
        let line = |n: usize| serde_json::to_value(&list.tables[n]).unwrap();
        [line(0), line(1), line(2)]
    };
    let [large, _, small] = first(&list(&place.source(), ListFilter::default()).await);
    assert_eq!((&large["rows"], &large["rows_at_least"]), (&json!(400), &json!(true)));
    assert_eq!((&small["rows"], &small["rows_at_least"]), (&json!(2), &json!(null)));
    place.execute("ANALYZE");
    let source = place.source();
    let [large, ..] = first(&list(&source, ListFilter::default()).await);
    assert_eq!((&large["rows"], &large["rows_estimated"]), (&json!(1_500), &json!(true)));
    let few = list(&source, ListFilter { contains: Some("t0000".to_owned()), ..ListFilter::default() }).await;
    assert_eq!((few.tables[0].rows, few.tables[0].rows_estimated), (Some(1_500), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_is_held_to_the_bytes_of_an_answer() {
    let columns = (0..200).map(|n| format!("a_column_with_a_long_name_{n}")).collect::<Vec<_>>().join(", ");
    let place = Place::new(&(0..40).map(|n| format!("CREATE TABLE t{n:02} ({columns});")).collect::<String>());
    let mut settings = place.settings(None, &[], 5_000);
    settings.about.bounds.bytes_max = 64 * 1024;
    let source = SqliteSource::new(settings).unwrap();
    let first = list(&source, ListFilter::default()).await;
    assert!(serde_json::to_string(&first).unwrap().len() <= 64 * 1024);
    assert_eq!((first.truncated, first.tables.len() > 5), (true, true));
    let next = list(&source, ListFilter { after: first.next, ..ListFilter::default() }).await;
    assert_eq!(next.tables[0].name, format!("t{:02}", first.tables.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_that_cannot_be_read_spoils_its_own_line_only() {
    let place = Place::new(
        "CREATE TABLE bad (a); CREATE VIEW broken AS SELECT * FROM nowhere;
         CREATE TABLE fine (a); CREATE INDEX i ON fine (a); INSERT INTO fine VALUES (1);
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'i') WHERE name = 'bad';",
    );
    let list = list(&place.source(), ListFilter::default()).await;
    assert_eq!(list.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["bad", "broken", "fine"]);
    assert_eq!((list.tables[0].rows, list.tables[2].rows), (None, Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_a_writer_keeps_locked_is_busy_and_not_gone() {
    let place = Place::shop();
    let source = place.source();
    rows(&source, "SELECT 1").await.unwrap();
    let hand = place.hand();
    // The connection that waits holds no lock.
    hand.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for _ in 0..2 {
        let refused = source.list_tables(ListFilter::default(), &cx()).await.unwrap_err().to_text();
        assert!(refused.starts_with("SQLITE_BUSY: "), "{refused}");
    }
    hand.execute_batch("ROLLBACK").unwrap();
    assert_eq!(list(&source, ListFilter::default()).await.tables.len(), 4);
}

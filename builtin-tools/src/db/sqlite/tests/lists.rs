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

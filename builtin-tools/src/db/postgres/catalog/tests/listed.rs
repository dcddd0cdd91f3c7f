//! Lists: strange names, many tables, sorts of tables, and locks that somebody holds.

use patchbay_sql_policy::{TableName, Tables};

use super::place::{all_of, bounds, rules, tell};
use crate::db::{error::QueryError, postgres::catalog, source::ListFilter};

fn after(next: &str) -> ListFilter {
    ListFilter { after: Some(next.to_owned()), ..ListFilter::default() }
}

#[tokio::test]
async fn strange_names_come_out_as_they_are_and_are_found_again() {
    const NAMES: [&str; 8] =
        ["Orders", "orders", "a.b", "with \"quotes\"", "ünïcode 漢字", "'; DROP TABLE x; --", " ", "select"];
    tell(|place| async move {
        let mut sql = "CREATE SCHEMA \"My.Schema\"; CREATE SCHEMA s; CREATE TABLE s.\"Schema.c\" (x int);".to_owned();
        for name in NAMES {
            sql += &format!("CREATE TABLE \"My.Schema\".\"{}\" (\"Col \"\"x\" int);", name.replace('"', "\"\""));
        }
        place.run(&sql).await;
        let role = place.reader("\"My.Schema\"").await;
        let session = place.session(&role).await;
        for several in [false, true] {
            let schemas: &[&str] = if several { &["My.Schema", "s"] } else { &["My.Schema"] };
            let visible = session.visible(&rules(schemas, None, &[]).unwrap()).await;
            let list = session.list(&visible, &ListFilter::default()).await;
            assert_eq!(list.tables.len(), NAMES.len());
            for line in &list.tables {
                let found = visible.find(&line.name).unwrap();
                assert_eq!(visible.shown(&found), line.name);
                assert_eq!(session.describe(&visible, &line.name).await.unwrap().columns[0].name, "Col \"x");
                assert_eq!(session.analyze(&visible, &line.name, &[]).await.unwrap().rows, Some(0));
                assert_eq!(
                    visible.find(&format!("\"My.Schema\".\"{}\"", found.name.replace('"', "\"\""))).unwrap(),
                    found
                );
            }
            assert_eq!(visible.find("Orders").unwrap().name, "Orders");
            assert_eq!(visible.find("ORDERS").unwrap().name, "orders", "as PostgreSQL folds it");
            assert!(visible.resolve(None, "ORDERS").is_none(), "the judge folds, not we");
        }
    })
    .await;
}

#[tokio::test]
async fn unqualified_names_are_looked_up_in_the_order_of_the_schemas() {
    tell(|place| async move {
        place.run("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (i int); CREATE TABLE b.t (i int); CREATE TABLE b.u (i int)").await;
        let role = place.reader("a").await;
        place.run(&format!("GRANT USAGE ON SCHEMA b TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA b TO {role}")).await;
        let session = place.session(&role).await;
        let visible = session.visible(&rules(&["b", "a"], None, &[]).unwrap()).await;
        let table = |schema: &str, name: &str| Some(TableName { schema: schema.into(), name: name.into() });
        assert_eq!(visible.resolve(None, "t"), table("b", "t"));
        assert_eq!(visible.resolve(Some("a"), "t"), table("a", "t"));
        assert_eq!(visible.resolve(Some("a"), "u"), None);
        let only = |schema: &str| ListFilter { schema: Some(schema.into()), ..ListFilter::default() };
        assert_eq!(session.list(&visible, &only("a")).await.tables[0].name, "a.t");
        let refused = catalog::list(session.begin().await, &visible, &only("secret"), &bounds()).await.unwrap_err();
        assert!(matches!(&refused, QueryError::Arguments(text) if text.contains("it has: b, a")), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn thousand_tables_are_listed_page_by_page_within_the_bounds() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; DO $$ BEGIN FOR i IN 1..1000 LOOP
                 EXECUTE format('CREATE TABLE s.%I (id int, label text, made_at timestamptz)', 'table_' || lpad(i::text, 4, '0'));
                 END LOOP; END $$",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let (mut names, mut filter, mut pages) = (Vec::new(), ListFilter::default(), 0);
        loop {
            let list = session.list(&visible, &filter).await;
            assert!(list.tables.len() <= 500);
            assert_eq!(list.truncated, list.next.is_some());
            names.extend(list.tables.into_iter().map(|line| line.name));
            pages += 1;
            match list.next {
                Some(next) => filter = after(&next),
                None => break,
            }
        }
        assert_eq!((names.len(), pages), (1000, 2));
        assert!(names.is_sorted());
        let small = crate::db::source::Bounds { bytes_max: 4096, ..bounds() };
        let list = catalog::list(session.begin().await, &visible, &ListFilter::default(), &small).await.unwrap();
        assert!(list.truncated && !list.tables.is_empty());
        assert!(serde_json::to_string(&list).unwrap().len() <= 4096 + 100);
        assert_eq!(list.next.as_ref(), list.tables.last().map(|line| &line.name));
        // The table where a page ended may be gone by the next.
        place.run("DROP TABLE s.table_0500").await;
        let visible = session.visible(&all_of("s")).await;
        assert_eq!(session.list(&visible, &after("table_0500")).await.tables[0].name, "table_0501");
        let part = ListFilter { contains: Some("E_099".into()), ..ListFilter::default() };
        assert_eq!(session.list(&visible, &part).await.tables.len(), 10);
    })
    .await;
}

#[tokio::test]
async fn line_of_a_very_wide_table_fits_into_the_smallest_answer() {
    tell(|place| async move {
        let columns: Vec<_> = (0..1500).map(|n| format!("a_column_with_a_rather_long_name_{n} int")).collect();
        place.run(&format!("CREATE SCHEMA s; CREATE TABLE s.wide ({})", columns.join(", "))).await;
        place.run(&format!("COMMENT ON TABLE s.wide IS '{}'", "long ".repeat(1000))).await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let list = session.list(&visible, &ListFilter::default()).await;
        assert_eq!(list.tables[0].columns.len(), 101);
        assert!(list.tables[0].columns[100].contains("1400 more"));
        let small = crate::db::source::Bounds { bytes_max: 1024, ..bounds() };
        let list = catalog::list(session.begin().await, &visible, &ListFilter::default(), &small).await.unwrap();
        let bytes = serde_json::to_string(&list).unwrap().len();
        assert!(bytes <= 1024 + 200, "{bytes}");
        assert_eq!(session.describe(&visible, "wide").await.unwrap().columns.len(), 1500);
        let analysis = session.analyze(&visible, "wide", &[]).await.unwrap();
        assert_eq!(analysis.columns.len(), 100);
        assert!(analysis.note.unwrap().contains("other 1400"));
    })
    .await;
}

#[tokio::test]
async fn sorts_sizes_and_comments_are_told() {
    tell(|place| async move {
        place
            .run(
                "CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
                 CREATE SCHEMA s;
                 CREATE TABLE s.plain AS SELECT g FROM generate_series(1, 1000) g; ANALYZE s.plain;
                 CREATE TABLE s.fresh (id int);
                 CREATE VIEW s.seen AS SELECT * FROM s.plain;
                 CREATE MATERIALIZED VIEW s.kept AS SELECT * FROM s.plain;
                 CREATE FOREIGN TABLE s.far (id int) SERVER far;
                 CREATE TABLE s.parted (day date, n int) PARTITION BY RANGE (day);
                 CREATE TABLE s.parted_a PARTITION OF s.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
                 CREATE TABLE s.parted_b PARTITION OF s.parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
                 INSERT INTO s.parted SELECT '2026-01-05', g FROM generate_series(1, 500) g; ANALYZE s.parted;
                 COMMENT ON TABLE s.plain IS 'It''s plain.'; CREATE SEQUENCE s.numbers",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let list = session.list(&visible, &ListFilter::default()).await;
        let sorts: Vec<_> = list.tables.iter().map(|line| (line.name.as_str(), line.kind)).collect();
        assert_eq!(
            sorts,
            [
                ("far", "foreign table"),
                ("fresh", "table"),
                ("kept", "materialized view"),
                ("parted", "partitioned table"),
                ("plain", "table"),
                ("seen", "view")
            ]
        );
        let line = |name: &str| list.tables.iter().find(|line| line.name == name).unwrap();
        assert_eq!((line("plain").rows, line("plain").rows_estimated), (Some(1000), true));
        assert_eq!(line("plain").comment.as_deref(), Some("It's plain."));
        assert!(line("plain").bytes.unwrap() >= 8192);
        assert_eq!((line("fresh").rows, line("fresh").rows_estimated), (None, false), "nobody knows yet");
        assert_eq!((line("seen").rows, line("seen").bytes), (None, None));
        assert_eq!(line("parted").rows, Some(500));
        assert!(line("parted").bytes.unwrap() >= 8192);
        // A part is still there for who asks for it.
        assert!(visible.resolve(None, "parted_a").is_some());
        let only = session.visible(&rules(&["s"], Some(&["parted_*"]), &[]).unwrap()).await;
        assert_eq!(only.names(), ["parted_a", "parted_b"]);
        let detail = session.describe(&visible, "parted").await.unwrap();
        assert_eq!(detail.constraints[0].definition, "PARTITION BY RANGE (day), 2 partitions");
        let part = session.describe(&visible, "parted_a").await.unwrap();
        assert!(part.constraints[0].definition.starts_with("PARTITION FOR VALUES FROM"), "{:?}", part.constraints);
    })
    .await;
}

#[tokio::test]
async fn table_that_somebody_has_locked_is_listed_without_its_size() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE TABLE s.a (id int); CREATE TABLE s.b (id int)").await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let owner = place.superuser().await;
        owner.batch_execute("BEGIN; LOCK TABLE s.a IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let list = session.list(&visible, &ListFilter::default()).await;
        assert_eq!((list.tables[0].bytes, list.tables[1].bytes), (None, Some(0)));
        owner.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(session.list(&visible, &ListFilter::default()).await.tables[0].bytes, Some(0));
    })
    .await;
}

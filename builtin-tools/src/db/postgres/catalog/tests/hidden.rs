//! What is not listed or not granted shows up nowhere.

use super::place::{all_of, rules, tell};
use crate::db::{error::QueryError, source::ListFilter};

/// Tables with secrets beside one that may be read, tied to it in every way that a catalog knows.
const TIED: &str = "
CREATE SCHEMA s; CREATE SCHEMA other;
CREATE TABLE s.open (id int PRIMARY KEY, label text);
CREATE TABLE s.classified (id int PRIMARY KEY REFERENCES s.open, open_id int, pin text);
CREATE TABLE other.classified_too (id int PRIMARY KEY REFERENCES s.open);
ALTER TABLE s.open ADD COLUMN boss int REFERENCES s.classified;
COMMENT ON TABLE s.classified IS 'classified remark';
";

#[tokio::test]
async fn table_without_a_grant_is_nowhere() {
    tell(|place| async move {
        place.run(TIED).await;
        let role = place.role("s").await;
        place.run(&format!("GRANT SELECT ON s.open TO {role}")).await;
        let session = place.session(&role).await;
        let visible = session.visible(&rules(&["s", "other"], None, &[]).unwrap()).await;
        assert_eq!(visible.names(), ["s.open"]);
        for name in ["classified", "s.classified", "other.classified_too", "\"s\".\"classified\""] {
            assert!(matches!(visible.find(name), Err(QueryError::NoSuchTable)), "{name}");
        }
        let said = serde_json::to_string(&session.list(&visible, &ListFilter::default()).await).unwrap()
            + &serde_json::to_string(&session.describe(&visible, "open").await.unwrap()).unwrap();
        assert!(said.contains("boss") && !said.contains("classified"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn table_that_the_rules_do_not_list_is_nowhere_although_it_is_granted() {
    tell(|place| async move {
        place.run(TIED).await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&rules(&["s"], Some(&["open"]), &[]).unwrap()).await;
        assert_eq!(visible.names(), ["open"]);
        assert!(visible.find("classified").is_err());
        let said = serde_json::to_string(&session.describe(&visible, "open").await.unwrap()).unwrap();
        assert!(!said.contains("classified"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn column_without_a_grant_is_nowhere_and_neither_is_what_speaks_of_it() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s;
                 CREATE TABLE s.staff (
                     id int PRIMARY KEY, name text, salary int DEFAULT 4711 CHECK (salary > 4000),
                     rank int GENERATED ALWAYS AS (salary / 1000) STORED,
                     UNIQUE (name) INCLUDE (salary), UNIQUE (salary), CHECK (id < salary),
                     EXCLUDE USING btree ((salary + id) WITH =)
                 );
                 CREATE TABLE s.bonus (salary int REFERENCES s.staff (salary), id int REFERENCES s.staff);
                 CREATE INDEX by_pay ON s.staff (salary);
                 CREATE INDEX by_sum ON s.staff ((salary + 1));
                 CREATE INDEX by_name_of_rich ON s.staff (name) WHERE salary > 9000;
                 CREATE INDEX by_name ON s.staff (name);
                 COMMENT ON COLUMN s.staff.salary IS 'salary remark';
                 INSERT INTO s.staff (id, name, salary) VALUES (1, 'a', 5000); ANALYZE s.staff;",
            )
            .await;
        let role = place.role("s").await;
        place
            .run(&format!("GRANT SELECT (id, name, rank) ON s.staff TO {role}; GRANT SELECT ON s.bonus TO {role}"))
            .await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let detail = session.describe(&visible, "staff").await.unwrap();
        let list = session.list(&visible, &ListFilter::default()).await;
        assert_eq!(list.tables[1].columns, ["id", "name", "rank"]);
        let said = serde_json::to_string(&detail).unwrap();
        for word in ["salary", "4711", "by_pay", "by_sum", "by_name_of_rich", "9000"] {
            assert!(!said.contains(word), "{word}: {said}");
        }
        assert_eq!(detail.primary_key, ["id"]);
        assert_eq!(
            detail.indexes.iter().filter_map(|index| index.name.as_deref()).collect::<Vec<_>>(),
            ["by_name", "staff_pkey"]
        );
        assert_eq!(detail.referenced_by.len(), 1);
        assert_eq!(detail.columns[2].made, Some("generated"));
        let analysis = session.analyze(&visible, "staff", &[]).await.unwrap();
        assert_eq!(
            analysis.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(),
            ["id", "name", "rank"]
        );
        let refused = session.analyze(&visible, "staff", &["salary"]).await.unwrap_err().to_string();
        assert!(refused.contains("no column `salary`") && refused.contains("id, name, rank"), "{refused}");
        let bonus = session.describe(&visible, "bonus").await.unwrap();
        assert_eq!(bonus.foreign_keys.len(), 1, "{:?}", bonus.foreign_keys);
    })
    .await;
}

#[tokio::test]
async fn schema_without_usage_and_grant_that_was_taken_back_hide_their_tables() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE SCHEMA shut; CREATE TABLE s.a (id int); CREATE TABLE shut.b (id int)").await;
        let role = place.reader("s").await;
        place.run(&format!("GRANT SELECT ON shut.b TO {role}")).await;
        let session = place.session(&role).await;
        let visible = session.visible(&rules(&["s", "shut"], None, &[]).unwrap()).await;
        assert_eq!(visible.names(), ["s.a"]);
        place.run(&format!("REVOKE SELECT ON s.a FROM {role}")).await;
        // What was read before still names it; PostgreSQL's own word counts.
        assert!(session.list(&visible, &ListFilter::default()).await.tables.is_empty());
        assert!(matches!(session.describe(&visible, "a").await, Err(QueryError::NoSuchTable)));
        assert!(session.analyze(&visible, "a", &[]).await.is_err());
        place.run("DROP TABLE s.a").await;
        assert!(matches!(session.describe(&visible, "a").await, Err(QueryError::NoSuchTable)));
    })
    .await;
}

#[tokio::test]
async fn rows_that_row_security_hides_are_not_counted_or_sampled() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TABLE s.mail AS SELECT g AS id, 'secret ' || g AS body FROM generate_series(1, 1000) g;
                 ALTER TABLE s.mail ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON s.mail USING (id <= 3); ANALYZE s.mail",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let line = &session.list(&visible, &ListFilter::default()).await.tables[0];
        assert_eq!((line.rows, line.bytes), (None, None));
        let analysis = session.analyze(&visible, "mail", &[]).await.unwrap();
        assert_eq!((analysis.rows, analysis.basis), (Some(3), "rows"));
        assert_eq!(analysis.columns[0].max, 3);
    })
    .await;
}

//! Descriptions of tables.

use super::place::{all_of, tell};

#[tokio::test]
async fn all_that_a_table_is_made_of_is_told() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s;
                 CREATE TYPE s.mood AS ENUM ('sad', 'ok', 'happy');
                 CREATE DOMAIN s.short AS varchar(8) NOT NULL DEFAULT 'x';
                 CREATE TABLE s.person (
                     id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                     name varchar(40) NOT NULL, nick s.short, mood s.mood DEFAULT 'ok', code char(2),
                     born date, upper text GENERATED ALWAYS AS (upper(name)) STORED, tags text[] DEFAULT '{}',
                     boss int REFERENCES s.person, UNIQUE (name, born), CONSTRAINT grown CHECK (born < '2020-01-01')
                 );
                 CREATE TABLE s.visit (
                     person int, on_day date, spot point, CONSTRAINT visitor FOREIGN KEY (person) REFERENCES s.person (id),
                     PRIMARY KEY (on_day, person)
                 );
                 CREATE INDEX by_lower ON s.person (lower(name), born DESC) WHERE mood = 'sad';
                 CREATE INDEX by_tag ON s.person USING gin (tags);
                 COMMENT ON TABLE s.person IS 'People.'; COMMENT ON COLUMN s.person.nick IS 'For friends.'",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let detail = session.describe(&visible, "person").await.unwrap();
        let column = |name: &str| detail.columns.iter().find(|column| column.name == name).unwrap();
        assert_eq!(detail.comment.as_deref(), Some("People."));
        assert_eq!((column("id").made, column("id").nullable), (Some("identity"), false));
        assert_eq!((column("name").declared.as_str(), column("name").length_max), ("character varying(40)", Some(40)));
        assert_eq!((column("nick").declared.as_str(), column("nick").length_max), ("s.short", Some(8)));
        assert!(!column("nick").nullable, "its domain says so");
        assert_eq!(column("nick").comment.as_deref(), Some("For friends."));
        assert_eq!(column("mood").values, ["sad", "ok", "happy"]);
        assert_eq!(column("mood").default.as_deref(), Some("'ok'::s.mood"));
        assert_eq!(column("code").length_max, Some(2));
        assert_eq!((column("upper").made, column("upper").default.as_deref()), (Some("generated"), Some("upper((name)::text)")));
        assert_eq!(detail.primary_key, ["id"]);
        assert_eq!(detail.foreign_keys.len(), 1);
        assert_eq!((detail.foreign_keys[0].table.as_str(), &*detail.foreign_keys[0].columns), ("person", &["boss".to_owned()][..]));
        let from: Vec<_> = detail.referenced_by.iter().map(|key| (key.table.as_str(), key.columns[0].as_str())).collect();
        assert_eq!(from, [("person", "boss"), ("visit", "person")]);
        let definitions: Vec<_> = detail.constraints.iter().map(|constraint| constraint.definition.as_str()).collect();
        assert!(definitions.contains(&"CHECK (born < '2020-01-01'::date)"), "{definitions:?}");
        assert!(definitions.contains(&"UNIQUE (name, born)"), "{definitions:?}");
        let index = |name: &str| detail.indexes.iter().find(|index| index.name.as_deref() == Some(name)).unwrap();
        assert_eq!(index("by_lower").columns, [None, Some("born".to_owned())]);
        assert_eq!(index("by_lower").condition.as_deref(), Some("mood = 'sad'::s.mood"));
        assert_eq!(index("by_tag").method.as_deref(), Some("gin"));
        assert!(index("person_pkey").unique && !detail.insertable && !detail.truncated);
        let visit = session.describe(&visible, "visit").await.unwrap();
        assert_eq!(visit.primary_key, ["on_day", "person"]);
        assert_eq!((&*visit.foreign_keys[0].to_columns, visit.foreign_keys[0].table.as_str()), (&["id".to_owned()][..], "person"));
    })
    .await;
}

#[tokio::test]
async fn long_lists_are_cut_and_say_so() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TABLE s.hub (id int PRIMARY KEY);
                 DO $$ BEGIN FOR i IN 1..250 LOOP
                 EXECUTE format('CREATE TABLE s.spoke_%s (id int REFERENCES s.hub)', i); END LOOP; END $$",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let detail = session.describe(&visible, "hub").await.unwrap();
        assert!(detail.truncated);
        assert_eq!(detail.primary_key, ["id"], "its own come first");
        assert_eq!(detail.referenced_by.len(), 199);
    })
    .await;
}

#[tokio::test]
async fn view_shows_its_columns_by_its_own_grant() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE SCHEMA hidden; CREATE TABLE hidden.pay (id int, euros numeric(8, 2));
                 INSERT INTO hidden.pay VALUES (1, 10), (2, 30);
                 CREATE VIEW s.sums AS SELECT count(*) AS people, sum(euros) AS euros FROM hidden.pay",
            )
            .await;
        let role = place.reader("s").await;
        let session = place.session(&role).await;
        let visible = session.visible(&all_of("s")).await;
        let detail = session.describe(&visible, "sums").await.unwrap();
        assert_eq!((detail.kind, detail.columns.len()), ("view", 2));
        assert!(!serde_json::to_string(&detail).unwrap().contains("hidden"));
        let analysis = session.analyze(&visible, "sums", &[]).await.unwrap();
        assert_eq!((analysis.rows, analysis.columns[1].max.as_str()), (Some(1), Some("40.00")));
    })
    .await;
}

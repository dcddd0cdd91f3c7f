//! Adding rows: what is not opened, what does not fit, and what comes back.

use serde_json::{Map, Value, json};

use super::place::{Place, Session, all_of, bounds, rules, tell};
use crate::db::{
    answer::Inserted,
    error::QueryError,
    postgres::catalog::{self, TableRules},
};

const SHOP: &str = "
CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok');
CREATE TABLE s.person (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name varchar(10) NOT NULL UNIQUE, age int CHECK (age > 0),
    mood s.mood DEFAULT 'ok', tags text[], doc jsonb, born date, big bigint, shout text GENERATED ALWAYS AS (upper(name)) STORED,
    boss int REFERENCES s.person, secret text DEFAULT 'hunter2', \"We\"\"ird\" text
);
CREATE TABLE s.closed (id serial, note text);
INSERT INTO s.person (name, age) VALUES ('planted', 77);
";

/// A role that may add persons and read all of them but the secret.
async fn clerk(place: &Place) -> (Session, TableRules) {
    place.run(SHOP).await;
    let role = place.role("s").await;
    place
        .run(&format!(
            "GRANT SELECT (id, name, age, mood, tags, doc, born, big, shout, boss, \"We\"\"ird\") ON s.person TO {role};
             GRANT INSERT ON s.person TO {role}; GRANT SELECT, INSERT ON s.closed TO {role}"
        ))
        .await;
    (place.session(&role).await, rules(&["s"], None, &["person"]).unwrap())
}

async fn insert(session: &Session, rules: &TableRules, table: &str, values: Value) -> Result<Inserted, QueryError> {
    let visible = session.visible(rules).await;
    let begin = "ROLLBACK; BEGIN READ WRITE; SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = '5s'";
    session.client.batch_execute(begin).await.unwrap();
    let values: Map<String, Value> = serde_json::from_value(values).unwrap();
    let table = visible.find(table)?;
    let inserted = catalog::insert(&session.client, &visible, &table, &values, &bounds()).await;
    // After an error COMMIT is a rollback.
    session.client.batch_execute("COMMIT").await.unwrap();
    inserted
}

async fn count(place: &Place, table: &str) -> i64 {
    place.superuser().await.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn table_that_is_not_opened_takes_no_row_although_it_is_granted() {
    tell(|place| async move {
        let (session, rules) = clerk(&place).await;
        assert!(matches!(
            insert(&session, &rules, "closed", json!({"note": "x"})).await,
            Err(QueryError::NotInsertable)
        ));
        let none = all_of("s");
        assert!(matches!(
            insert(&session, &none, "person", json!({"name": "x"})).await,
            Err(QueryError::NotInsertable)
        ));
        assert!(matches!(insert(&session, &rules, "pg_authid", json!({})).await, Err(QueryError::NoSuchTable)));
        assert_eq!(count(&place, "s.closed").await, 0);
        assert!(session.describe(&session.visible(&rules).await, "person").await.unwrap().insertable);
        assert!(!session.describe(&session.visible(&rules).await, "closed").await.unwrap().insertable);
    })
    .await;
}

#[tokio::test]
async fn columns_that_cannot_be_filled_are_refused_by_name() {
    tell(|place| async move {
        let (session, rules) = clerk(&place).await;
        for (values, word) in [
            (json!({"nom": "x"}), "no column `nom`"),
            (json!({"name\") VALUES ('x'); DROP TABLE s.closed; --": "x"}), "no column"),
            (json!({"Name": "x"}), "no column `Name`"),
            (json!({"ctid": "(0,1)"}), "no column `ctid`"),
            (json!({"name": "x", "id": 5}), "identity"),
            (json!({"name": "x", "shout": "X"}), "generated"),
        ] {
            let refused = insert(&session, &rules, "person", values).await.unwrap_err();
            assert!(matches!(refused, QueryError::Arguments(_)), "{refused}");
            assert!(refused.to_string().contains(word), "{refused}");
        }
        assert_eq!((count(&place, "s.person").await, count(&place, "s.closed").await), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn row_that_does_not_fit_is_refused_without_a_word_of_other_rows() {
    tell(|place| async move {
        let (session, rules) = clerk(&place).await;
        for (values, code, word) in [
            (json!({"name": "planted"}), "23505", "`person_name_key`"),
            (json!({"age": 3}), "23502", "`name` must not be NULL"),
            (json!({"name": null}), "23502", "`name` must not be NULL"),
            (json!({"name": "a", "age": -1}), "23514", "`person_age_check`"),
            (json!({"name": "a", "boss": 4711}), "23503", "`person_boss_fkey`"),
            (json!({"name": "a", "age": "old"}), "22P02", "`age` is no integer"),
            (json!({"name": "a", "age": 99_999_999_999_i64}), "22003", "`age` is no integer"),
            (json!({"name": "a", "mood": "furious"}), "22P02", "`mood` is no s.mood"),
            (json!({"name": "a", "born": "yesterdayish"}), "22007", "`born` is no date"),
            (json!({"name": "a", "doc": "{broken"}), "22P02", "`doc` is no jsonb"),
            (json!({"name": "a", "tags": [["a"], ["b", "c"]]}), "22P02", "`tags` is no text[]"),
            (json!({"name": "elevenchars"}), "22001", "`name` is longer than its 10"),
            (json!({"name": "nul\u{0}"}), "22021", "`name` is no"),
        ] {
            let refused = insert(&session, &rules, "person", values.clone()).await.unwrap_err();
            let text = refused.to_text();
            assert!(text.starts_with(code) && text.contains(word), "{values}: {text}");
            for other in ["77", "hunter2", "Key (", "4711", "furious"] {
                assert!(!text.contains(other), "{values}: {text}");
            }
        }
        assert_eq!(count(&place, "s.person").await, 1);
    })
    .await;
}

#[tokio::test]
async fn added_row_comes_back_as_the_database_has_it_without_what_may_not_be_read() {
    tell(|place| async move {
        let (session, rules) = clerk(&place).await;
        let evil = "'); DROP TABLE s.closed; --";
        let values = json!({
            "name": "it's me", "age": 30, "tags": ["a,b", null, "\"q\""], "doc": {"a": [1, null]}, "born": "2001-02-03",
            "big": 9_007_199_254_740_993_i64, "We\"ird": evil, "secret": "told"
        });
        let added = insert(&session, &rules, "person", values).await.unwrap();
        assert_eq!(added.table, "person");
        assert_eq!(
            Value::Object(added.row),
            json!({
                "id": 2, "name": "it's me", "age": 30, "mood": "ok", "tags": ["a,b", null, "\"q\""], "doc": {"a": [1, null]},
                "born": "2001-02-03", "big": "9007199254740993", "shout": "IT'S ME", "boss": null, "We\"ird": evil
            })
        );
        assert_eq!((count(&place, "s.person").await, count(&place, "s.closed").await), (2, 0));
        assert_eq!(count(&place, "s.person WHERE secret = 'told'").await, 1, "may be filled, may not be read");
    })
    .await;
}

#[tokio::test]
async fn row_of_defaults_needs_no_values() {
    tell(|place| async move {
        place.run("CREATE SCHEMA s; CREATE TABLE s.tick (id int GENERATED ALWAYS AS IDENTITY, at date DEFAULT '2026-01-01')").await;
        let role = place.role("s").await;
        place.run(&format!("GRANT SELECT, INSERT ON s.tick TO {role}")).await;
        let session = place.session(&role).await;
        let added = insert(&session, &rules(&["s"], None, &["s.tick"]).unwrap(), "tick", json!({})).await.unwrap();
        assert_eq!(Value::Object(added.row), json!({"id": 1, "at": "2026-01-01"}));
    })
    .await;
}

#[tokio::test]
async fn triggers_and_late_constraints_are_told_without_their_own_words() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TABLE s.audit (note text UNIQUE); INSERT INTO s.audit VALUES ('seen');
                 CREATE TABLE s.one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO s.one VALUES (1);
                 CREATE TABLE s.raises (id int); CREATE TABLE s.writes (id int); CREATE TABLE s.eats (id int);
                 CREATE TABLE s.careless (id int);
                 CREATE FUNCTION s.raises() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''hunter2''; END';
                 CREATE FUNCTION s.eats() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                 CREATE FUNCTION s.careless() RETURNS trigger LANGUAGE plpgsql AS
                     'BEGIN INSERT INTO audit VALUES (''x''); RETURN NEW; END';
                 CREATE FUNCTION s.writes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
                     'BEGIN INSERT INTO s.audit VALUES (''seen''); RETURN NEW; END';
                 CREATE TRIGGER t BEFORE INSERT ON s.raises FOR EACH ROW EXECUTE FUNCTION s.raises();
                 CREATE TRIGGER t BEFORE INSERT ON s.eats FOR EACH ROW EXECUTE FUNCTION s.eats();
                 CREATE TRIGGER t BEFORE INSERT ON s.careless FOR EACH ROW EXECUTE FUNCTION s.careless();
                 CREATE TRIGGER t BEFORE INSERT ON s.writes FOR EACH ROW EXECUTE FUNCTION s.writes()",
            )
            .await;
        let role = place.reader("s").await;
        place.run(&format!("GRANT INSERT ON ALL TABLES IN SCHEMA s TO {role}")).await;
        let session = place.session(&role).await;
        let rules = rules(&["s"], None, &["*"]).unwrap();
        for (table, word) in [
            ("one", "`one_id_key`"),
            ("raises", "trigger of the table refused"),
            ("eats", "added none"),
            ("careless", "search_path"),
            ("writes", "what its triggers write"),
        ] {
            let text = insert(&session, &rules, table, json!({"id": 1})).await.unwrap_err().to_text();
            assert!(text.contains(word), "{table}: {text}");
            assert!(!text.contains("hunter2") && !text.contains("seen") && !text.contains("audit"), "{table}: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn row_security_and_missing_grants_are_told_plainly() {
    tell(|place| async move {
        place
            .run(
                "CREATE SCHEMA s; CREATE TABLE s.mail (id int); ALTER TABLE s.mail ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY few ON s.mail USING (id < 10); CREATE TABLE s.read (id int)",
            )
            .await;
        let role = place.reader("s").await;
        place.run(&format!("GRANT INSERT ON s.mail TO {role}")).await;
        let session = place.session(&role).await;
        let rules = rules(&["s"], None, &["*"]).unwrap();
        assert!(insert(&session, &rules, "mail", json!({"id": 1})).await.is_ok());
        let text = insert(&session, &rules, "mail", json!({"id": 99})).await.unwrap_err().to_text();
        assert!(text.contains("may not add this row"), "{text}");
        let text = insert(&session, &rules, "read", json!({"id": 1})).await.unwrap_err().to_text();
        assert!(text.contains("`id` is not open"), "{text}");
    })
    .await;
}

//! Descriptions: keys both ways, checks, indexes, and nothing of tables that are not offered.

use serde_json::json;

use super::*;

async fn describe(source: &SqliteSource, table: &str) -> Value {
    serde_json::to_value(source.describe_table(table, &cx()).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_is_described_with_its_keys_both_ways_checks_and_indexes() {
    let place = Place::new(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL DEFAULT 'x', boss INT REFERENCES people);
         CREATE TABLE visits (person INT NOT NULL, day TEXT, kind TEXT CONSTRAINT known CHECK (kind IN ('a', 'b')),
             twice INT AS (person * 2), UNIQUE (person, day), FOREIGN KEY (person) REFERENCES PEOPLE (id));
         CREATE TABLE hidden (person INT REFERENCES people (id), visit INT);
         CREATE INDEX early ON visits (lower(kind), day) WHERE day < '2026';",
    );
    let source = place.source_of(Some(&["people", "visits"]), &["visits"], 5_000);
    let people = describe(&source, "people").await;
    assert_eq!(people["columns"][0]["made"], "identity");
    assert_eq!((&people["columns"][1]["length_max"], &people["columns"][1]["default"]), (&json!(40), &json!("'x'")));
    assert_eq!(people["primary_key"], json!(["id"]));
    assert_eq!(
        people["referenced_by"],
        json!([
            { "columns": ["boss"], "table": "people", "to_columns": [] },
            { "columns": ["person"], "table": "visits", "to_columns": ["id"] }
        ])
    );
    assert_eq!(people["insertable"], false);
    assert!(!people.to_string().contains("hidden"));
    let visits = describe(&source, "visits").await;
    assert_eq!(visits["foreign_keys"][0], json!({ "columns": ["person"], "table": "PEOPLE", "to_columns": ["id"] }));
    assert_eq!(visits["constraints"], json!([{ "name": "known", "definition": "CHECK (kind IN ('a', 'b'))" }]));
    assert_eq!(visits["columns"][3]["made"], "generated");
    assert_eq!(
        visits["indexes"],
        json!([
            { "name": "early", "columns": [null, "day"], "unique": false, "condition": "day < '2026'" },
            { "columns": ["person", "day"], "unique": true }
        ])
    );
    assert_eq!(visits["insertable"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_with_a_trigger_for_new_rows_is_not_insertable() {
    let place = Place::new(
        "CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE log (x);
         CREATE TRIGGER on_a BEFORE INSERT ON a BEGIN INSERT INTO log VALUES (new.x); END;
         CREATE TRIGGER on_b AFTER UPDATE OF x ON b BEGIN INSERT INTO log VALUES (new.x); END;",
    );
    let source = place.source_of(None, &["a", "b"], 5_000);
    assert_eq!(describe(&source, "a").await["insertable"], false);
    assert_eq!(describe(&source, "b").await["insertable"], true);
}

//! Adding rows: what is refused, what a row may bring about, and when it is there.

use serde_json::json;

use super::*;

const TABLES: &str = "
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
INSERT INTO authors VALUES (1, 'Aino'), (2, 'Farid');
CREATE TABLE books (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL CHECK (length(title) < 20),
    isbn TEXT UNIQUE ON CONFLICT REPLACE,
    author_id INTEGER REFERENCES authors (id),
    later_id INTEGER REFERENCES authors (id) DEFERRABLE INITIALLY DEFERRED,
    token TEXT DEFAULT (lower(hex(randomblob(4)))),
    added TEXT DEFAULT CURRENT_TIMESTAMP,
    kind TEXT GENERATED ALWAYS AS (upper(substr(title, 1, 1))) VIRTUAL
);
INSERT INTO books (title, isbn) VALUES ('First', 'x-1');
CREATE TABLE strict_one (a INTEGER, b REAL, c TEXT, d BLOB, e ANY) STRICT;
CREATE TABLE \"odd \"\"name\"\"; --\" (\"a column\" TEXT, \"select\" TEXT);
CREATE TABLE watched (a);
CREATE TABLE watcher (a);
CREATE TRIGGER watch AFTER INSERT ON watched BEGIN INSERT INTO watcher VALUES (new.a); END;
CREATE TABLE closed (a);
CREATE VIEW seen AS SELECT title FROM books;
";

const OPEN: &[&str] = &["books", "strict_one", "odd \"name\"; --", "watched"];

fn place() -> Place {
    Place::new(TABLES)
}

async fn insert(source: &SqliteSource, table: &str, values: Value) -> Result<Value, QueryError> {
    let inserted = source.insert_record(table, values.as_object().unwrap().clone(), &cx()).await?;
    Ok(Value::Object(inserted.row))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_that_does_not_fit_is_refused_in_words_and_leaves_nothing() {
    let place = place();
    let source = place.source_of(None, OPEN, 5_000);
    let before = place.files();
    for (table, values, said) in [
        ("closed", json!({"a": 1}), "NOT_ALLOWED: Rows cannot be added to this table here."),
        ("seen", json!({"title": "x"}), "NOT_ALLOWED"),
        ("nowhere", json!({"a": 1}), "NO_SUCH_TABLE"),
        ("sqlite_sequence", json!({"name": "x"}), "NO_SUCH_TABLE"),
        ("watched", json!({"a": 1}), "has triggers for new rows (`watch`)"),
        ("books", json!({"titel": "x"}), "no column `titel`; it has: `id`, `title`"),
        ("books", json!({"title": "x", "rowid": 7}), "no column `rowid`"),
        ("books", json!({"title\") VALUES (1); --": "x"}), "no column"),
        ("books", json!({"title": "x", "TITLE": "y"}), "given twice"),
        ("books", json!({"title": "x", "kind": "y"}), "`kind` is computed"),
        ("books", json!({}), "NOT NULL constraint failed: books.title"),
        ("books", json!({"title": null}), "NOT NULL constraint failed: books.title"),
        ("books", json!({"title": "far too long for this column"}), "CHECK constraint failed: length(title) < 20"),
        ("books", json!({"title": "x", "isbn": "x-1"}), "UNIQUE constraint failed: books.isbn"),
        ("books", json!({"title": "x", "id": 1}), "UNIQUE constraint failed: books.id"),
        ("books", json!({"title": "x", "id": "one"}), "SQLITE_MISMATCH"),
        ("books", json!({"title": "x", "author_id": 9}), "FOREIGN KEY constraint failed"),
        ("books", json!({"title": "x", "later_id": 9}), "FOREIGN KEY constraint failed"),
        ("books", json!({"title": "x", "id": 18_446_744_073_709_551_615_u64}), "beyond 64 bits"),
        ("books", json!({"title": "x", "isbn": "y".repeat(2 * 1024 * 1024)}), "SQLITE_TOOBIG"),
        ("strict_one", json!({"a": "words"}), "cannot store TEXT value in INTEGER column strict_one.a"),
        ("strict_one", json!({"d": "words"}), "cannot store TEXT value in BLOB column strict_one.d"),
    ] {
        let refused = insert(&source, table, values.clone()).await.unwrap_err().to_text();
        assert!(refused.contains(said), "{table} {values}\n{refused}");
    }
    assert_eq!(place.files(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_is_shown_as_the_database_has_it() {
    let place = place();
    let source = place.source_of(None, OPEN, 5_000);
    let row =
        insert(&source, "Books", json!({"title": "Second", "AUTHOR_ID": 2, "isbn": "'); DROP TABLE books; --"})).await;
    let row = row.unwrap();
    assert_eq!((&row["id"], &row["title"], &row["author_id"]), (&json!(2), &json!("Second"), &json!(2)));
    assert_eq!((&row["isbn"], &row["kind"]), (&json!("'); DROP TABLE books; --"), &json!("S")));
    assert_eq!(row["token"].as_str().unwrap().len(), 8);
    assert!(row["added"].as_str().unwrap().starts_with("20"));
    let odd =
        insert(&source, "odd \"name\"; --", json!({"a column": {"deep": [1, null]}, "SELECT": true})).await.unwrap();
    assert_eq!(odd, json!({"a column": "{\"deep\":[1,null]}", "select": "1"}));
    let values = json!({"a": 9_007_199_254_740_993_i64, "b": 2, "c": "9", "e": [1]});
    let strict = insert(&source, "strict_one", values).await.unwrap();
    assert_eq!(strict, json!({"a": "9007199254740993", "b": 2.0, "c": "9", "d": null, "e": "[1]"}));
    let nothing = insert(&source, "main.strict_one", json!({})).await.unwrap();
    assert_eq!(nothing["a"], json!(null));
    assert_eq!((place.count("books"), place.count("strict_one")), (2, 2));
    assert_eq!(
        rows(&source, "SELECT title FROM books ORDER BY id").await.unwrap(),
        [[json!("First")], [json!("Second")]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_is_taken_back_when_its_caller_has_gone() {
    let place = place();
    let source = place.source_of(None, OPEN, 5_000);
    // Somebody else holds the lock, so that the insert waits; its caller does not.
    let hand = place.hand();
    hand.execute_batch("BEGIN IMMEDIATE").unwrap();
    let cancelled = CancellationToken::new();
    let values = json!({"title": "Never"}).as_object().unwrap().clone();
    let call = source.insert_record("books", values, &Cx::new(cancelled.clone(), None)).await;
    assert!(
        call.unwrap_err().to_text().starts_with("SQLITE_BUSY"),
        "a second is the longest that a writer is waited for"
    );
    cancelled.cancel();
    hand.execute_batch("ROLLBACK").unwrap();
    let values = json!({"title": "Never"}).as_object().unwrap().clone();
    let call = source.insert_record("books", values, &Cx::new(cancelled, None)).await;
    assert!(matches!(call, Err(QueryError::Cancelled)));
    assert_eq!(place.count("books"), 1);
    insert(&source, "books", json!({"title": "Now"})).await.unwrap();
}

#[test]
fn row_that_is_stopped_before_its_commit_is_not_there() {
    let place = place();
    let settings = place.settings(None, OPEN, 5_000);
    let stop = Arc::new(Stop::at(std::time::Instant::now() + Duration::from_secs(5), i64::MAX));
    stop.interrupt(stop::Reason::Cancelled);
    let values = json!({"title": "Never"}).as_object().unwrap().clone();
    assert!(insert::run(&settings, "books", &values, &stop).is_err());
    assert_eq!(place.count("books"), 1);
    let late = Arc::new(Stop::at(std::time::Instant::now() + Duration::from_secs(5), i64::MAX));
    assert!(late.claim_commit(), "a stop that was claimed by another gives no second claim");
    assert!(insert::run(&settings, "books", &values, &late).is_err());
    assert_eq!(place.count("books"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_the_operator_of_triggers_and_options_name_tables_only() {
    let place = place();
    assert_eq!(
        place.source_of(None, OPEN, 5_000).check().await.unwrap_err(),
        "rows cannot be added to `watched`. The table has triggers for new rows (`watch`), and this source runs none."
    );
    place.source_of(None, &["books"], 5_000).check().await.unwrap();
    place.source().check().await.unwrap();
    let refused = SqliteSource::new(place.settings(None, &["seen"], 5_000)).unwrap_err().to_string();
    assert!(refused.contains("`seen` is a view"), "{refused}");
    let refused = SqliteSource::new(place.settings(Some(&["authors"]), &["books"], 5_000)).unwrap_err().to_string();
    assert!(refused.contains("`books` is no table that this source offers"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_that_became_the_gateways_own_file_takes_no_row_and_shows_none() {
    let place = place();
    let (own, moved) = (place.folder.path().join("own.db"), place.folder.path().join("moved.db"));
    create_sample_shop(&own).unwrap();
    let mut settings = place.settings(None, &["books"], 5_000);
    settings.off_limits.push(own.clone());
    let source = SqliteSource::new(settings).unwrap();
    rows(&source, "SELECT 1").await.unwrap();
    fs::rename(place.database(), moved).unwrap();
    fs::hard_link(&own, place.database()).unwrap();
    let before = place.files();
    assert!(matches!(rows(&source, "SELECT 1").await, Err(QueryError::Unavailable)));
    assert!(matches!(insert(&source, "books", json!({"title": "x"})).await, Err(QueryError::Unavailable)));
    assert_eq!(place.files(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorizer_alone_allows_one_table_and_nothing_beside_it() {
    let place = place();
    let conn = place.hand();
    conn.authorizer(Some(insert::authorizer("books", vec!["authors".to_owned()]))).unwrap();
    for sql in [
        "INSERT INTO closed VALUES (1)",
        "INSERT INTO authors VALUES (7, 'x')",
        "INSERT INTO books (title) SELECT a FROM closed",
        "INSERT INTO books (title) VALUES ('x') RETURNING (SELECT a FROM closed)",
        "INSERT INTO books (title) VALUES (load_extension('x'))",
        "INSERT OR REPLACE INTO books (id, title) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET title = 'y'",
        "UPDATE books SET title = 'x'",
        "DELETE FROM books",
        "DROP TABLE books",
        "PRAGMA foreign_keys = OFF",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "COMMIT",
        "CREATE TABLE x (a)",
        "ALTER TABLE books ADD COLUMN x",
    ] {
        assert!(conn.execute_batch(sql).is_err(), "{sql}");
    }
    assert!(conn.execute_batch("INSERT INTO books (title) VALUES ('x') RETURNING *").is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_that_cannot_be_stored_beside_a_long_reader_is_not_there() {
    let place = place();
    let source = place.source_of(None, OPEN, 5_000);
    let hand = place.hand();
    hand.execute_batch("BEGIN; SELECT count(*) FROM books").unwrap();
    let refused = insert(&source, "books", json!({"title": "Never"})).await.unwrap_err().to_text();
    assert!(refused.starts_with("SQLITE_BUSY: Others were reading"), "{refused}");
    hand.execute_batch("ROLLBACK").unwrap();
    assert_eq!(place.count("books"), 1);
    insert(&source, "books", json!({"title": "Now"})).await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_that_may_not_be_written_is_told_as_that() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    let source = place.source_of(None, &["books"], 5_000);
    fs::set_permissions(place.database(), fs::Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().write(true).open(place.database()).is_ok() {
        // Whoever runs the tests may write everything; then there is nothing to see.
        return;
    }
    let refused = insert(&source, "books", json!({"title": "x"})).await.unwrap_err().to_text();
    assert!(refused.starts_with("SQLITE_READONLY: "), "{refused}");
    assert!(source.check().await.unwrap_err().contains("may not write the file"));
}

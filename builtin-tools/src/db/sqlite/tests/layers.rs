//! Each layer of the fence alone, with the others off: the authorizer on a handle that may write, the read-only handle, the
//! limits, the clock, the count of memory. What a layer lets through by itself is named here, which is why there are others.

use std::time::Instant;

use rusqlite::{Batch, ErrorCode, OpenFlags, fallible_iterator::FallibleIterator};

use super::{access::Denial, catalog::Catalog, *};

const HIDDEN: &str = "
CREATE TABLE secrets (name TEXT, password TEXT);
INSERT INTO secrets VALUES ('root', 'hunter2');
CREATE INDEX secrets_by_name ON secrets (name);
CREATE VIEW secret_view AS SELECT * FROM secrets;
CREATE VIEW lent_view AS SELECT * FROM secrets;
CREATE TABLE json_tree (password);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE VIRTUAL TABLE search USING fts5(body);
ANALYZE;
";
const OFFERED: &[&str] = &["products", "orders", "order_items", "order_totals", "lent_view"];

/// Without the authorizer these would change the tests beside this one, too.
const OF_THE_PROCESS: &[&str] = &["heap limit", "soft heap limit", "folder of temporary files"];

fn guarded() -> Place {
    let place = Place::shop();
    place.execute(HIDDEN);
    place
}

/// Runs all statements of the text to their end, as an interface without a fence would; what the first that fails says.
fn run_all(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut batch = Batch::new(conn, sql);
    while let Some(mut statement) = batch.next()? {
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// The names of the hostile statements that `conn` runs without an error. Relative names of files lead into the folder.
fn let_through(place: &Place, open: impl Fn() -> Connection) -> Vec<&'static str> {
    let folder = format!("{}/", place.folder.path().display());
    let mut through = Vec::new();
    // A name that SQL puts together leads who knows where.
    let is_tried = |case: &&corpus::Hostile| {
        case.expect != "BOUNDED" && !OF_THE_PROCESS.contains(&case.name) && !case.sql.contains("' || '")
    };
    for case in corpus::hostile().iter().filter(is_tried) {
        let sql = ["other.db", "copy.db"]
            .iter()
            .fold(case.sql.to_owned(), |sql, name| sql.replace(name, &format!("{folder}{name}")));
        let sql = sql.replace("/tmp/patchbay-copy.db", &format!("{folder}elsewhere.db"));
        // A connection for each, since one may change the connection that it runs on.
        if run_all(&open(), &sql).is_ok() {
            through.push(case.name);
        }
    }
    through
}

fn writable(place: &Place, names: &Arc<access::Names>) -> Connection {
    let conn = place.hand();
    conn.authorizer(Some(access::authorizer(Arc::clone(names), Denial::default()))).unwrap();
    conn
}

#[test]
fn authorizer_alone_refuses_every_hostile_statement_on_a_handle_that_may_write() {
    let place = guarded();
    let settings = place.settings(Some(OFFERED), &[], 5_000);
    let names = Catalog::read(&place.hand(), &settings).unwrap().names;
    let before = place.files();
    let mut through = let_through(&place, || writable(&place, &names));
    // These have nothing in them, or more than one query; that is looked at where a statement is prepared.
    through.retain(|name| {
        !["nothing", "blanks", "a semicolon", "a comment", "a comment that is never closed"].contains(name)
    });
    // And this is a matter of a switch, by which a misspelt column is no text.
    through.retain(|name| *name != "columns in double quotes are no texts");
    assert_eq!(
        through,
        [
            "two queries",
            "a query behind a query that ends in a comment",
            "explain without a plan",
            "explain of an offered table"
        ]
    );
    assert_eq!(place.files(), before);
}

#[test]
fn read_only_handle_with_limits_changes_nothing_also_without_the_authorizer() {
    let place = guarded();
    let before = place.files();
    let through = let_through(&place, || {
        let conn = Connection::open_with_flags(place.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        bounds::switch(&conn).unwrap();
        bounds::read_only(&conn).unwrap();
        bounds::limit(&conn).unwrap();
        conn
    });
    assert_eq!(place.files(), before);
    // No writer and no opener of files is among them but those that change the connection only; reading what is not
    // offered, settings, functions and transactions are the authorizer's.
    let writers: Vec<_> = corpus::hostile()
        .iter()
        .filter(|case| {
            let first = case.sql.trim_start_matches("/**/").split(|c: char| !c.is_ascii_alphabetic()).next().unwrap();
            ["ATTACH", "VACUUM", "INSERT", "REPLACE", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "ANALYZE"]
                .contains(&first.to_ascii_uppercase().as_str())
        })
        .map(|case| case.name)
        .filter(|name| through.contains(name))
        .collect();
    assert_eq!(writers, ["create a temporary view of a hidden table"; 0]);
    for known in ["turn writing on", "hidden table", "the schema", "names of the files", "begin"] {
        assert!(through.contains(&known), "{known}: the authorizer is not needed for it any more");
    }
}

#[test]
fn read_only_handle_alone_makes_files() {
    let place = guarded();
    let before = place.files();
    let through = let_through(&place, || {
        Connection::open_with_flags(place.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    });
    assert_eq!(before[&place.database()], place.files()[&place.database()]);
    assert!(place.files().len() > before.len(), "a handle that only reads is fence enough now");
    for known in ["vacuum into a copy", "attach memory", "create a temporary table", "begin immediate"] {
        assert!(through.contains(&known), "{known}: {through:?}");
    }
}

#[test]
fn limits_alone_refuse_what_is_monstrous() {
    let conn = Connection::open_in_memory().unwrap();
    bounds::limit(&conn).unwrap();
    for (sql, said) in [
        ("ATTACH ':memory:' AS a".to_owned(), "too many attached databases"),
        ("SELECT zeroblob(1048577)".to_owned(), "too big"),
        ("SELECT hex(zeroblob(1000000))".to_owned(), "too big"),
        (format!("SELECT '{}'", "x".repeat(66_000)), "too long"),
        (format!("SELECT {}1", "NOT ".repeat(101)), "Expression tree is too large"),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(51)), "too many terms in compound SELECT"),
        (format!("SELECT 1{}", ", 1".repeat(256)), "too many columns"),
        (format!("SELECT coalesce(1{})", ", 1".repeat(32)), "too many arguments on function"),
        ("SELECT ?251".to_owned(), "variable number must be between"),
        (format!("SELECT 'a' LIKE '{}'", "%".repeat(513)), "LIKE or GLOB pattern too complex"),
    ] {
        let error = run_all(&conn, &sql).map_or_else(|error| error.to_string(), |()| "nothing".to_owned());
        assert!(error.contains(said), "{sql:.60}\n{error}");
    }
}

const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
const HUNGRY: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT group_concat(hex(zeroblob(500))) FROM c";

/// What ends the statement on a connection without a fence and without limits.
fn ended(sql: &str, stop: Stop) -> QueryError {
    let (conn, stop) = (Connection::open_in_memory().unwrap(), Arc::new(stop));
    stop.watch(&conn);
    let error = run_all(&conn, sql).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
    stop.error(Duration::from_millis(400))
}

#[test]
fn clock_alone_ends_what_nothing_else_does() {
    let began = Instant::now();
    let stop = Stop::at(began + Duration::from_millis(400), i64::MAX);
    assert!(matches!(ended(ENDLESS, stop), QueryError::Deadline(400)));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn count_of_memory_alone_ends_what_nothing_else_does() {
    let stop = Stop::at(Instant::now() + Duration::from_secs(60), 4 * 1024 * 1024);
    assert!(matches!(ended(HUNGRY, stop), QueryError::Memory));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_query_ends_in_the_database_too() {
    let place = Place::shop();
    let source = Arc::new(place.source_of(None, &[], 60_000));
    let cancelled = CancellationToken::new();
    let call = {
        let (source, cx) = (Arc::clone(&source), Cx::new(cancelled.clone(), None));
        tokio::spawn(async move { source.query(query(ENDLESS), &cx).await })
    };
    // While it runs, its transaction keeps a writer from committing; afterwards nothing does.
    let hand = place.hand();
    hand.busy_timeout(Duration::ZERO).unwrap();
    let write = || hand.execute_batch("UPDATE products SET stock = stock");
    let began = Instant::now();
    while write().is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "the query never began");
        // A writer without a pause would keep the query from reading at all.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cancelled.cancel();
    assert!(matches!(call.await.unwrap(), Err(QueryError::Cancelled)));
    while write().is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the query never ended");
    }
}

//! Statements of the generator at the fence: whatever is accepted leaves the files and the data as they are and shows nothing
//! of what is not offered. `PATCHBAY_SOAK_STATEMENTS` says how many are made, and `PATCHBAY_SOAK_SEED` which.

use std::time::Instant;

use rusqlite::{Batch, fallible_iterator::FallibleIterator};

use super::{
    access::Denial,
    catalog::Catalog,
    generator::{Chance, statement},
    *,
};

const SEED: u64 = 0x5eed_0f5e_1ec7;
const STATEMENTS: usize = 5_000;
const OFFERED: &[&str] = &["products", "orders", "order_items", "order_totals", "lent_view"];
const HIDDEN: &str = "
CREATE TABLE secrets (id INTEGER PRIMARY KEY, name TEXT, stock TEXT);
INSERT INTO secrets VALUES (886112886112, 'hunter2', 'hunter2');
CREATE VIEW secret_view AS SELECT * FROM secrets;
CREATE VIEW lent_view AS SELECT * FROM secrets;
CREATE TABLE json_tree (id, name);
INSERT INTO json_tree VALUES (886112886112, 'hunter2');
CREATE VIRTUAL TABLE search USING fts5(name);
INSERT INTO search VALUES ('hunter2');
ANALYZE;
";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn statements() -> usize {
    number("PATCHBAY_SOAK_STATEMENTS").map_or(STATEMENTS, |count| usize::try_from(count).unwrap())
}

fn seed() -> u64 {
    number("PATCHBAY_SOAK_SEED").unwrap_or(SEED)
}

fn guarded() -> Place {
    let place = Place::shop();
    place.execute(HIDDEN);
    place
}

/// Bounded in time alone, since memory is counted for the whole process, and other tests run in it.
fn stop_in(time: Duration) -> Arc<Stop> {
    Arc::new(Stop::at(Instant::now() + time, i64::MAX))
}

/// Enough of both, or the generator says nothing.
fn is_telling(accepted: usize, of: usize) {
    assert!(accepted * 5 > of && accepted * 10 < of * 9, "{accepted} of {of} statements were accepted");
}

#[test]
fn accepted_statements_change_nothing_and_show_nothing_hidden() {
    let place = guarded();
    let settings = Arc::new(place.settings(Some(OFFERED), &[], 5_000));
    let (warm, before) = (Arc::new(Warm::default()), place.files());
    let (seed, count) = (seed(), statements());
    let (mut chance, mut accepted) = (Chance::new(seed), 0);
    for number in 0..count {
        let sql = statement(&mut chance);
        let session = Session::open(Arc::clone(&settings), &warm, &stop_in(Duration::from_millis(200))).unwrap();
        let answer = query::run(session, &query(&sql));
        let said = match &answer {
            Ok(answer) => serde_json::to_string(answer).unwrap(),
            Err(error) => error.to_text(),
        };
        accepted += usize::from(answer.is_ok());
        for hidden in ["hunter2", "886112886112", "shop.db"] {
            assert!(!said.contains(hidden), "seed {seed}, statement {number}:\n{sql}\n{said}");
        }
        if answer.is_ok() || number % 100 == 0 {
            assert_eq!(place.files(), before, "seed {seed}, statement {number}:\n{sql}");
        }
    }
    is_telling(accepted, count);
}

#[test]
fn authorizer_alone_accepts_nothing_that_changes_a_writable_database() {
    let place = guarded();
    let settings = place.settings(Some(OFFERED), &[], 5_000);
    let conn = place.hand();
    let names = Catalog::read(&conn, &settings).unwrap().names;
    let denial = Denial::default();
    conn.authorizer(Some(access::authorizer(names, denial))).unwrap();
    let before = place.files();
    let (seed, count) = (seed(), statements());
    let (mut chance, mut accepted) = (Chance::new(!seed), 0);
    for number in 0..count {
        let sql = statement(&mut chance);
        let stop = stop_in(Duration::from_millis(200));
        stop.watch(&conn);
        // All statements of the text, also those after the first.
        let mut batch = Batch::new(&conn, &sql);
        while let Ok(Some(mut statement)) = batch.next() {
            let mut rows = statement.raw_query();
            let mut read = 0;
            while matches!(rows.next(), Ok(Some(_))) && read < 1_000 {
                read += 1;
            }
            accepted += 1;
        }
        let is_same = conn.total_changes() == 0 && conn.is_autocommit() && place.files() == before;
        assert!(is_same, "seed {seed}, statement {number}:\n{sql}");
    }
    is_telling(accepted.min(count), count);
}

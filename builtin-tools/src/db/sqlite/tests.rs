//! The SQLite source from inside, where its layers can be had one by one. What a client sees of it is tested in `tests/db`.

mod analyses;
#[path = "../../../tests/db/corpus.rs"]
mod corpus;
mod describes;
mod generator;
mod inserts;
mod layers;
mod lists;
mod reuse;
mod soak;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Mutex,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::db::source::{Bounds, Dialect, Progress};

/// A folder with one database in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(sql: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.execute(sql);
        place
    }

    fn shop() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        create_sample_shop(&place.database()).unwrap();
        place
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("shop.db")
    }

    /// A connection of somebody else.
    fn hand(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.hand().execute_batch(sql).unwrap();
    }

    fn count(&self, table: &str) -> i64 {
        self.hand().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
    }

    fn settings(&self, tables: Option<&[&str]>, inserts: &[&str], timeout_ms: u64) -> SqliteSettings {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let bounds = Bounds { rows_max: 200, bytes_max: 1024 * 1024, timeout: Duration::from_millis(timeout_ms) };
        let about = About { name: "shop".to_owned(), dialect: Dialect::Sqlite, bounds, inserts: !inserts.is_empty() };
        SqliteSettings::new(about, &self.database(), tables.map(set), set(inserts), &[]).unwrap()
    }

    fn source(&self) -> SqliteSource {
        self.source_of(None, &[], 20_000)
    }

    fn source_of(&self, tables: Option<&[&str]>, inserts: &[&str], timeout_ms: u64) -> SqliteSource {
        let mut source = SqliteSource::new(self.settings(tables, inserts, timeout_ms)).unwrap();
        // Memory is counted for the whole process, and other tests run in it.
        source.workers = Workers::new(i64::MAX);
        source
    }
}

fn cx() -> Cx {
    Cx::new(CancellationToken::new(), None)
}

fn query(sql: &str) -> Query {
    Query { sql: sql.to_owned(), params: Vec::new(), limit: None }
}

async fn rows(source: &SqliteSource, sql: &str) -> Result<Vec<Vec<Value>>, QueryError> {
    Ok(source.query(query(sql), &cx()).await?.rows)
}

/// What was told of progress.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<(u32, u32)>>);

#[async_trait]
impl Progress for Told {
    async fn tell(&self, done: u32, total: u32, _: String) {
        self.0.lock().unwrap().push((done, total));
    }
}

//! What a database has: which tables and views the source offers, and every name that exists, which the authorizer must
//! know to tell a table from a name that a query made up. Read inside the transaction that the query then runs in.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use rusqlite::Connection;

use super::{SqliteSettings, access::Names};
use crate::db::error::QueryError;

/// The tables of a source, as of one version of its schema.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// What the source offers, by names in lower case.
    pub(crate) offered: BTreeMap<String, Offered>,
    /// For the authorizer.
    pub(crate) names: Arc<Names>,
    /// SQLite's own number of the schema; it changes with it.
    pub(crate) version: i64,
}

/// A table or view that the source offers.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) is_view: bool,
    /// Whether its rows have numbers, by which parts of a large table are found fast.
    pub(crate) has_rowid: bool,
}

impl Catalog {
    /// Virtual tables are never offered, since reading them runs code of modules; nor are SQLite's own tables.
    pub(crate) fn read(conn: &Connection, settings: &SqliteSettings) -> rusqlite::Result<Self> {
        let (mut offered, mut tables) = (BTreeMap::new(), HashSet::new());
        let mut listed = conn.prepare("SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'")?;
        let mut rows = listed.query([])?;
        while let Some(row) = rows.next()? {
            let (name, kind, without_rowid): (String, String, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let key = name.to_ascii_lowercase();
            let wanted = settings.tables.as_ref().is_none_or(|tables| tables.contains(&key));
            if wanted && matches!(kind.as_str(), "table" | "view") && !key.starts_with("sqlite_") {
                let is_view = kind == "view";
                offered.insert(key.clone(), Offered { name, is_view, has_rowid: !is_view && !without_rowid });
            }
            tables.insert(key);
        }
        let mut modules = conn.prepare("SELECT lower(name) FROM pragma_module_list")?;
        let modules = modules.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let names = Arc::new(Names { offered: offered.keys().cloned().collect(), tables, modules });
        Ok(Self { offered, names, version: version(conn)? })
    }

    /// The offered table or view of that name, with or without the name of SQLite's one schema before it.
    pub(crate) fn find(&self, name: &str) -> Result<&Offered, QueryError> {
        let key = name.to_ascii_lowercase();
        let bare = || key.strip_prefix("main.").and_then(|bare| self.offered.get(bare));
        self.offered.get(&key).or_else(bare).ok_or(QueryError::NoSuchTable)
    }
}

/// The schema's number; reading it begins the snapshot of a transaction.
pub(crate) fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("PRAGMA main.schema_version", [], |row| row.get(0))
}

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

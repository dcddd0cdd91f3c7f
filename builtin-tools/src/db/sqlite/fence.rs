//! A connection to the source, in two states: a [`Session`] runs only SQL of our own, and becomes a [`Fenced`] one, with
//! the authorizer on, before it sees SQL of a caller. There is no way back and no third way to a connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use rusqlite::{Batch, Connection, OpenFlags, Statement, fallible_iterator::FallibleIterator};

use super::{
    SqliteSettings,
    access::{self, Denial, Names},
    bounds,
    worker::Stop,
};
use crate::{OptionsError, db::error::QueryError};

/// How long a query waits for a writer of the same database.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);

/// A connection for our own, fixed SQL.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: Connection,
    pub(crate) settings: Arc<SqliteSettings>,
    /// Tables and views that the source offers, by their names in lower case.
    pub(crate) offered: BTreeMap<String, Offered>,
    existing: Vec<String>,
}

/// A table or view that the source offers.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) is_view: bool,
}

/// A connection that callers' SQL may run on.
#[derive(Debug)]
pub(crate) struct Fenced {
    conn: Connection,
    denial: Denial,
}

impl Session {
    /// Opens the source for reading. `stop` ends whatever runs on it.
    pub(crate) fn open(settings: Arc<SqliteSettings>, stop: &Arc<Stop>) -> Result<Self, QueryError> {
        let session = Self::connect(settings).map_err(|error| unavailable(&error))?;
        stop.watch(&session.conn);
        Ok(session)
    }

    fn connect(settings: Arc<SqliteSettings>) -> rusqlite::Result<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let conn = Connection::open_with_flags(&settings.database, flags)?;
        conn.busy_timeout(BUSY_WAIT_MAX.min(settings.about.bounds.timeout))?;
        bounds::apply(&conn)?;
        let (offered, existing) = catalog(&conn, &settings)?;
        Ok(Self { conn, settings, offered, existing })
    }

    /// The offered table or view of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&Offered, QueryError> {
        self.offered.get(&name.to_ascii_lowercase()).ok_or(QueryError::NoSuchTable)
    }

    /// Puts the authorizer on.
    pub(crate) fn fence(self) -> Result<Fenced, QueryError> {
        let names =
            Names { offered: self.offered.into_keys().collect(), existing: self.existing.into_iter().collect() };
        let denial = Denial::default();
        let authorizer = access::authorizer(names, Arc::clone(&denial));
        self.conn.authorizer(Some(authorizer)).map_err(|error| unavailable(&error))?;
        Ok(Fenced { conn: self.conn, denial })
    }
}

impl Fenced {
    /// Compiles the one query in `sql`.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>, QueryError> {
        if sql.contains('\0') {
            return Err(QueryError::Arguments("The SQL text has a NUL character in it.".to_owned()));
        }
        // One by one: `Connection::prepare` looks for a second statement by recursion, as deep as there are statements.
        let mut batch = Batch::new(&self.conn, sql);
        let statement = batch.next().map_err(|error| self.explain(&error))?.ok_or(QueryError::Empty)?;
        match batch.next() {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Err(QueryError::Several),
        }
        if statement.column_count() == 0 || !statement.readonly() {
            return Err(QueryError::NotAQuery);
        }
        Ok(statement)
    }

    /// What an error of SQLite on this connection is for the model; the judge's first word if it was the judge.
    pub(crate) fn explain(&self, error: &rusqlite::Error) -> QueryError {
        let denied = self.denial.lock().unwrap_or_else(PoisonError::into_inner).take();
        denied.unwrap_or_else(|| QueryError::of_sqlite(error))
    }
}

/// Opens the source once, to tell the operator what is wrong with it.
pub(crate) fn check(settings: &Arc<SqliteSettings>) -> Result<(), OptionsError> {
    let session = Session::connect(Arc::clone(settings))
        .map_err(|error| OptionsError::Database { path: settings.database.clone(), reason: error.to_string() })?;
    let named = settings.tables.iter().flatten().chain(&settings.inserts);
    match named.into_iter().find(|name| !session.offered.contains_key(*name)) {
        Some(name) => Err(OptionsError::Table(name.clone())),
        None => Ok(()),
    }
}

fn unavailable(error: &rusqlite::Error) -> QueryError {
    tracing::warn!(error = %error, "a database source cannot be opened");
    QueryError::Unavailable
}

/// What the database has: what is offered of it, and every name that exists. Virtual tables are never offered, since
/// reading them runs code of modules.
fn catalog(conn: &Connection, settings: &SqliteSettings) -> rusqlite::Result<(BTreeMap<String, Offered>, Vec<String>)> {
    let mut offered = BTreeMap::new();
    let mut existing: Vec<String> = Vec::new();
    let mut tables = conn.prepare("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")?;
    let mut rows = tables.query([])?;
    while let Some(row) = rows.next()? {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        let key = name.to_ascii_lowercase();
        let listed = settings.tables.as_ref().is_none_or(|tables| tables.contains(&key));
        if listed && matches!(kind.as_str(), "table" | "view") && !key.starts_with("sqlite_") {
            offered.insert(key.clone(), Offered { name, is_view: kind == "view" });
        }
        existing.push(key);
    }
    let mut modules = conn.prepare("SELECT lower(name) FROM pragma_module_list")?;
    for name in modules.query_map([], |row| row.get(0))? {
        existing.push(name?);
    }
    Ok((offered, existing))
}

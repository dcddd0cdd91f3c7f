//! A connection to the source, in two states: a [`Session`] runs only SQL of our own, and becomes a [`Fenced`] one, with
//! the authorizer on, before it sees SQL of a caller. There is no way back within a call, and no third way to a connection
//! that reads. Both live inside one read transaction, so that what was judged is what is read.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use rusqlite::{Batch, Connection, ErrorCode, OpenFlags, Statement, fallible_iterator::FallibleIterator};

use super::{
    SqliteSettings,
    access::{self, Denial},
    bounds,
    catalog::{self, Catalog, Offered},
    stop::Stop,
    warm::{FileState, Lent, Open, Warm},
};
use crate::{OptionsError, db::error::QueryError};

/// How long a query waits for a writer of the same database.
pub(crate) const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);

/// A connection for our own, fixed SQL.
#[derive(Debug)]
pub(crate) struct Session {
    lent: Lent,
    pub(crate) settings: Arc<SqliteSettings>,
}

/// A connection that callers' SQL may run on.
#[derive(Debug)]
pub(crate) struct Fenced {
    lent: Lent,
    denial: Denial,
}

impl Session {
    /// A transaction on the source, for reading. `stop` ends whatever runs in it.
    pub(crate) fn open(settings: Arc<SqliteSettings>, warm: &Arc<Warm>, stop: &Arc<Stop>) -> Result<Self, QueryError> {
        let again = warm.take(&settings.database).and_then(|open| resume(open, stop));
        let open = match again {
            Some(open) => open,
            None => connect(&settings, Some(stop)).map_err(|error| unavailable(&error))?,
        };
        Ok(Self { lent: Lent::new(open, Arc::clone(warm), Arc::clone(stop)), settings })
    }

    pub(crate) fn conn(&self) -> &Connection {
        self.lent.conn()
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        self.lent.catalog()
    }

    pub(crate) fn stop(&self) -> &Arc<Stop> {
        self.lent.stop()
    }

    /// The offered table or view of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&Offered, QueryError> {
        self.catalog().find(name)
    }

    /// Puts the authorizer on.
    pub(crate) fn fence(self) -> Result<Fenced, QueryError> {
        let denial = Denial::default();
        let authorizer = access::authorizer(Arc::clone(&self.catalog().names), Arc::clone(&denial));
        self.conn().authorizer(Some(authorizer)).map_err(|error| unavailable(&error))?;
        Ok(Fenced { lent: self.lent, denial })
    }
}

/// A connection that waited, with a new transaction; `None` when the schema is another or anything is odd about it.
fn resume(open: Open, stop: &Arc<Stop>) -> Option<Open> {
    stop.watch(&open.conn);
    let begun = open.conn.execute_batch("BEGIN").and_then(|()| catalog::version(&open.conn));
    match begun {
        Ok(version) if version == open.catalog.version => Some(open),
        _ => {
            stop.unwatch();
            None
        }
    }
}

/// A new connection in a transaction. The schema is read before the limits are on: they are for callers' SQL, and the owner's
/// may have a wider table or a longer view.
fn connect(settings: &SqliteSettings, stop: Option<&Arc<Stop>>) -> rusqlite::Result<Open> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let file = FileState::of(&settings.database);
    let conn = Connection::open_with_flags(&settings.database, flags)?;
    if settings.is_off_limits() {
        return Err(rusqlite::Error::InvalidPath(settings.database.clone()));
    }
    if let Some(stop) = stop {
        stop.watch(&conn);
    }
    conn.busy_timeout(BUSY_WAIT_MAX.min(settings.about.bounds.timeout))?;
    bounds::switch(&conn)?;
    bounds::read_only(&conn)?;
    conn.execute_batch("BEGIN")?;
    let catalog = Arc::new(Catalog::read(&conn, settings)?);
    bounds::limit(&conn)?;
    Ok(Open { conn, catalog, file })
}

impl Fenced {
    /// Compiles the one query in `sql`.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>, QueryError> {
        if sql.len() > bounds::SQL_BYTES_MAX {
            return Err(QueryError::Arguments(format!("The SQL text is longer than {} bytes.", bounds::SQL_BYTES_MAX)));
        }
        if sql.contains('\0') {
            return Err(QueryError::Arguments("The SQL text has a NUL character in it.".to_owned()));
        }
        // One by one: `Connection::prepare` looks for a second statement by recursion, as deep as there are statements.
        let mut batch = Batch::new(self.lent.conn(), sql);
        let statement = batch.next().map_err(|error| self.explain(&error))?.ok_or(QueryError::Empty)?;
        match batch.next() {
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return Err(QueryError::Several),
        }
        if statement.column_count() == 0 || !statement.readonly() {
            return Err(QueryError::NotAQuery);
        }
        match statement.is_explain() {
            1 => Err(bytecode()),
            _ => Ok(statement),
        }
    }

    pub(crate) fn stop(&self) -> &Arc<Stop> {
        self.lent.stop()
    }

    /// What an error of SQLite on this connection is for the model; the judge's first word if it was the judge.
    pub(crate) fn explain(&self, error: &rusqlite::Error) -> QueryError {
        let denied = self.denial.lock().unwrap_or_else(PoisonError::into_inner).take();
        denied.unwrap_or_else(|| QueryError::of_sqlite(error))
    }
}

/// `EXPLAIN` alone prints instructions of SQLite's machine, of which a query has hundreds and a model can read none.
fn bytecode() -> QueryError {
    QueryError::Sql {
        code: "NOT_ALLOWED".to_owned(),
        message: "EXPLAIN without QUERY PLAN prints SQLite's instructions, which are not offered here.".to_owned(),
        hint: "Call explain_query with the statement alone, or write EXPLAIN QUERY PLAN before it.".to_owned(),
    }
}

/// Opens the source once, to tell the operator what is wrong with it.
pub(crate) fn check(settings: &SqliteSettings) -> Result<(), OptionsError> {
    let open = connect(settings, None)
        .map_err(|error| OptionsError::Database { path: settings.database.clone(), reason: error.to_string() })?;
    let offered = &open.catalog.offered;
    if let Some(name) = settings.tables.iter().flatten().find(|name| !offered.contains_key(*name)) {
        return Err(OptionsError::Table(name.clone()));
    }
    for name in &settings.inserts {
        let why = match offered.get(name) {
            None => "is no table that this source offers",
            Some(table) if table.is_view => "is a view, and rows can be added to tables only",
            Some(_) => continue,
        };
        return Err(OptionsError::Meaning("inserts".into(), format!("`{name}` {why}")));
    }
    Ok(())
}

/// That the source cannot be opened, with the reason in the operator's log. A writer that has it locked is told, since it
/// goes away.
pub(crate) fn unavailable(error: &rusqlite::Error) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted) => {
            QueryError::of_sqlite(error)
        }
        _ => {
            tracing::warn!(error = %error, "a database source cannot be opened");
            QueryError::Unavailable
        }
    }
}

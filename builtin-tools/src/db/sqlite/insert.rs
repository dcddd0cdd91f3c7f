//! Adds one row to a table that the operator opened for it, on a connection of its own that lives no longer than that.
//! The SQL is ours: names are checked against the table and quoted, values are bound. An authorizer that allows just this
//! one table stands behind it all the same, and the row is made lasting only while the caller still waits.

mod row;

use std::sync::Arc;

use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    hooks::{AuthAction, AuthContext, Authorization},
    params_from_iter,
};
use serde_json::{Map, Value};

use super::{
    SqliteSettings, bounds,
    catalog::{Catalog, Offered, quoted},
    cells::cell,
    fence::{self, BUSY_WAIT_MAX},
    functions, schema,
    stop::Stop,
};
use crate::db::{answer::Inserted, error::QueryError};
use row::Row;

/// Adds the row.
pub(crate) fn run(
    settings: &SqliteSettings,
    table: &str,
    values: &Map<String, Value>,
    stop: &Arc<Stop>,
) -> Result<Inserted, QueryError> {
    let conn = open(settings, stop)?;
    let inserted = add(&conn, settings, table, values)?;
    if !stop.claim_commit() {
        // The connection is closed without a commit, which takes the row back.
        return Err(QueryError::Cancelled);
    }
    conn.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .and_then(|()| conn.execute_batch("COMMIT"))
        .map_err(|error| not_stored(&error))?;
    Ok(inserted)
}

/// Asks whether rows can be added as the settings say, without adding any; a sentence for the operator if not.
pub(crate) fn check(settings: &SqliteSettings) -> Result<(), String> {
    let conn = connect(settings).map_err(|error| format!("rows cannot be added ({error})."))?;
    for name in &settings.inserts {
        let triggers = schema::insert_triggers(&conn, name).map_err(|error| error.to_string())?;
        if !triggers.is_empty() {
            return Err(format!("rows cannot be added to `{name}`. {}", triggers_do_not_run(&triggers)));
        }
    }
    match conn.is_readonly("main") {
        Ok(false) => Ok(()),
        Ok(true) => Err("rows cannot be added, since this user may not write the file.".to_owned()),
        Err(error) => Err(format!("rows cannot be added ({error}).")),
    }
}

/// A connection that writes, in a transaction that nobody else writes beside.
fn open(settings: &SqliteSettings, stop: &Arc<Stop>) -> Result<Connection, QueryError> {
    let conn = connect(settings).map_err(|error| fence::unavailable(&error))?;
    stop.watch(&conn);
    if conn.is_readonly("main").unwrap_or(true) {
        return Err(read_only());
    }
    conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| not_begun(&error))?;
    Ok(conn)
}

fn connect(settings: &SqliteSettings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(&settings.database, flags)?;
    if settings.is_off_limits() {
        return Err(rusqlite::Error::InvalidPath(settings.database.clone()));
    }
    conn.busy_timeout(BUSY_WAIT_MAX.min(settings.about.bounds.timeout))?;
    bounds::switch(&conn)?;
    conn.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(conn)
}

fn add(
    conn: &Connection,
    settings: &SqliteSettings,
    table: &str,
    values: &Map<String, Value>,
) -> Result<Inserted, QueryError> {
    let catalog = Catalog::read(conn, settings).map_err(|error| fence::unavailable(&error))?;
    let table = catalog.find(table)?;
    if table.is_view || !settings.inserts.contains(&table.name.to_ascii_lowercase()) {
        return Err(QueryError::NotInsertable);
    }
    let of_sqlite = |error| QueryError::of_sqlite(&error);
    let triggers = schema::insert_triggers(conn, &table.name).map_err(of_sqlite)?;
    if !triggers.is_empty() {
        return Err(QueryError::Sql {
            code: "NOT_ALLOWED".to_owned(),
            message: triggers_do_not_run(&triggers),
            hint: "Ask the person who runs this source to add the row, or to drop the trigger.".to_owned(),
        });
    }
    let columns = schema::columns(conn, table).map_err(of_sqlite)?;
    let row = Row::new(table, &columns, values)?;
    let parents = schema::parents(conn, &table.name).map_err(of_sqlite)?;
    bounds::limit(conn).map_err(of_sqlite)?;
    conn.authorizer(Some(authorizer(&table.name, parents))).map_err(of_sqlite)?;
    let added = put(conn, &row, settings.about.bounds.bytes_max).map_err(|error| refused(&error))?;
    Ok(Inserted { table: table.name.clone(), row: added })
}

/// Triggers are off, so that a row never does more than be there; and a table that counts on its triggers gets no rows without.
fn triggers_do_not_run(triggers: &[String]) -> String {
    let names = triggers.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!("The table has triggers for new rows ({names}), and this source runs none.")
}

/// What adding that row needs: the table itself, and the tables that its keys point to, whose rows SQLite looks up. The
/// functions are those of the table's own defaults, checks and generated columns.
pub(crate) fn authorizer(
    table: &str,
    parents: Vec<String>,
) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send + 'static + use<> {
    let target = table.to_owned();
    move |context| {
        let in_main = context.database_name.is_none_or(|name| name.eq_ignore_ascii_case("main"));
        let is_allowed = match context.action {
            AuthAction::Insert { table_name } => in_main && table_name.eq_ignore_ascii_case(&target),
            AuthAction::Read { table_name, .. } => {
                let parent = || parents.iter().any(|parent| table_name.eq_ignore_ascii_case(parent));
                in_main && (table_name.eq_ignore_ascii_case(&target) || parent())
            }
            AuthAction::Select => true,
            AuthAction::Function { function_name } => functions::is_allowed_in_schema(function_name),
            _ => false,
        };
        if is_allowed { Authorization::Allow } else { Authorization::Deny }
    }
}

/// `OR ABORT` overrules a constraint that would replace another row, or leave this one out without a word.
fn put(conn: &Connection, row: &Row, bytes_max: usize) -> rusqlite::Result<Map<String, Value>> {
    let mut statement = conn.prepare(&row.sql())?;
    let shown = row.shown();
    let cell_bytes_max = bytes_max / shown.len().max(1);
    let mut rows = statement.query(params_from_iter(row.values()))?;
    let mut added = Map::new();
    if let Some(found) = rows.next()? {
        for (index, name) in shown.iter().enumerate() {
            added.insert(name.clone(), cell(found.get_ref(index)?, cell_bytes_max).0);
        }
    }
    // Keys and checks that wait for the statement's end have their say now.
    while rows.next()?.is_some() {}
    Ok(added)
}

fn refused(error: &rusqlite::Error) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::TypeMismatch) => QueryError::Sql {
            code: "SQLITE_MISMATCH".to_owned(),
            message: "A value has a type that its column cannot store.".to_owned(),
            hint: "Call describe_table for the columns' types; an INTEGER PRIMARY KEY takes only whole numbers."
                .to_owned(),
        },
        Some(ErrorCode::AuthorizationForStatementDenied) => {
            tracing::warn!("adding a row would have touched more than its table");
            QueryError::NotInsertable
        }
        _ => not_begun(error),
    }
}

fn not_begun(error: &rusqlite::Error) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => read_only(),
        Some(ErrorCode::SystemIoFailure) => {
            tracing::warn!(error = %error, "a row cannot be written");
            QueryError::Unavailable
        }
        _ => QueryError::of_sqlite(error),
    }
}

/// After a failed commit: SQLite has taken the row back, or, when the disk failed, nobody knows.
fn not_stored(error: &rusqlite::Error) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure | ErrorCode::OperationInterrupted) => {
            tracing::warn!(error = %error, "a row may not have been stored");
            QueryError::MayHaveRun
        }
        Some(ErrorCode::DatabaseBusy) => QueryError::Sql {
            code: "SQLITE_BUSY".to_owned(),
            message: "Others were reading the database for too long; nothing was added.".to_owned(),
            hint: "Wait a moment and call again.".to_owned(),
        },
        _ => refused(error),
    }
}

fn read_only() -> QueryError {
    QueryError::Sql {
        code: "SQLITE_READONLY".to_owned(),
        message: "The gateway may not write the database file or its folder; nothing was added.".to_owned(),
        hint: "Tell the person who runs this source.".to_owned(),
    }
}

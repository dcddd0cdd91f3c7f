//! What an error of PostgreSQL is to a caller when the statement was ours: a sentence without any of the server's words,
//! which may quote data. The server's words go to the operator's log.

use tokio_postgres::{Error, error::SqlState};
use tracing::warn;

use crate::db::error::QueryError;

/// The error for the caller. `doing` says in the log what was tried.
pub(super) fn of_ours(error: &Error, doing: &str) -> QueryError {
    warn!(error = %causes(error), "PostgreSQL refused while {doing}");
    let sql = |code: &SqlState, message: &str, hint: &str| QueryError::Sql {
        code: code.code().to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    };
    match error.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => sql(
            code,
            "The database ended the work because it took too long.",
            "Ask for fewer columns, or of a smaller table.",
        ),
        Some(code) if [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) => {
            sql(code, "The table is being changed by somebody else.", "Wait a moment and call again.")
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => QueryError::Unlisted,
        Some(code) if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(code) => sql(
            code,
            "The table has just been changed or dropped.",
            "Call list_tables and use the names that it gives.",
        ),
        Some(code) if ["22", "53", "54"].contains(&&code.code()[..2]) => sql(
            code,
            "The database could not compute this from the values that are there.",
            "Ask for fewer columns, or query the table yourself.",
        ),
        _ => QueryError::Unavailable,
    }
}

/// The error and what caused it, for the log.
fn causes(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

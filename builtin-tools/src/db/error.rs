//! What can go wrong with a query, as the model may read it: a code, a sentence and a hint on what to try. SQLite's own
//! words pass only where they are about the query's text; no text here can name a file.

use rusqlite::{Error as Sqlite, ErrorCode, ffi};

/// The longest message of SQLite that is passed on, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("The statement would {0}, and this source allows only reading.")]
    Refused(String),
    #[error("The function `{0}` is not offered here.")]
    Function(String),
    #[error("The query reads something that this source does not offer.")]
    Unlisted,
    #[error("There is no table or view of that name in this source.")]
    NoSuchTable,
    #[error("There is no source `{0}`; there are: {1}.")]
    NoSuchSource(String, String),
    #[error("There are several sources ({0}), and the call does not say which one.")]
    WhichSource(String),
    #[error("Rows cannot be added to this table here.")]
    NotInsertable,
    #[error("The text has no statement in it.")]
    Empty,
    #[error("The text has more than one statement.")]
    Several,
    #[error("The statement gives no rows; it is not a query.")]
    NotAQuery,
    #[error("{0}")]
    Arguments(String),
    #[error("The query did not finish within {0} ms.")]
    Deadline(u128),
    #[error("The query needed more working memory than one query may use.")]
    Memory,
    #[error("The database sent more than {0} bytes for this answer.")]
    TooLarge(usize),
    #[error("The query was cancelled.")]
    Cancelled,
    #[error("Too many queries are running or waiting on this source.")]
    Crowded,
    #[error("The source cannot be read at the moment.")]
    Unavailable,
    #[error(
        "The source is closed: its role in the database may do more than reading, and the operator has not accepted that."
    )]
    Closed,
    /// What the database, or the judge of its statements, has to say about the text.
    #[error("{message}")]
    Sql { code: String, message: String, hint: String },
}

impl QueryError {
    /// The class of the error: the database's own code where it spoke, else a word of ours.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Refused(_) | Self::Function(_) | Self::Unlisted | Self::NotInsertable => "NOT_ALLOWED",
            Self::NoSuchTable => "NO_SUCH_TABLE",
            Self::NoSuchSource(..) | Self::WhichSource(_) => "NO_SUCH_SOURCE",
            Self::Empty | Self::Several | Self::NotAQuery | Self::Arguments(_) => "INVALID_ARGUMENTS",
            Self::Deadline(_) => "TIMEOUT",
            Self::Cancelled => "CANCELLED",
            Self::Memory | Self::TooLarge(_) => "TOO_LARGE",
            Self::Crowded => "BUSY",
            Self::Unavailable | Self::Closed => "UNAVAILABLE",
            Self::Sql { code, .. } => code,
        }
    }

    /// What to try.
    pub(crate) fn hint(&self) -> &str {
        match self {
            Self::Refused(_) | Self::NotAQuery => "Write one SELECT, VALUES or WITH … SELECT statement.",
            Self::Function(_) => "Use plain SQL, or functions for text, dates, numbers, JSON, aggregates and windows.",
            Self::NotInsertable => "Ask the person who runs this source, if rows should be added.",
            Self::NoSuchSource(..) | Self::WhichSource(_) => "Call list_data_sources, and pass a name as `source`.",
            Self::Unlisted | Self::NoSuchTable => "Call list_tables and use the names that it gives.",
            Self::Empty => "Put one SELECT statement into `sql`.",
            Self::Several => "Send one statement per call.",
            Self::Arguments(_) => "Compare the arguments with the tool's input schema.",
            Self::Deadline(_) => "Filter earlier, join fewer rows, aggregate, or end a recursive query with a LIMIT.",
            Self::TooLarge(_) => "Select fewer or shorter columns, or aggregate.",
            Self::Memory => "Sort, group or collect fewer or narrower rows.",
            Self::Cancelled => "Call again if the answer is still wanted.",
            Self::Crowded => "Wait a moment and call again.",
            Self::Unavailable | Self::Closed => {
                "Try again later; if it stays so, tell the person who runs this source."
            }
            Self::Sql { hint, .. } => hint,
        }
    }

    /// All of it, as the text of a tool's error result.
    pub(crate) fn to_text(&self) -> String {
        format!("{}: {} {}", self.code(), sentence(&self.to_string()), self.hint())
    }

    /// What an error of SQLite is for the model.
    pub(crate) fn of_sqlite(error: &Sqlite) -> Self {
        match error {
            Sqlite::SqlInputError { error, msg, .. } => Self::of_code(*error, Some(msg)),
            Sqlite::SqliteFailure(error, msg) => Self::of_code(*error, msg.as_deref()),
            _ => Self::of_code(ffi::Error::new(ffi::SQLITE_INTERNAL), None),
        }
    }

    fn of_code(error: ffi::Error, message: Option<&str>) -> Self {
        let sql = |code: &str, text: &str, hint: &str| Self::Sql {
            code: code.to_owned(),
            message: text.to_owned(),
            hint: hint.to_owned(),
        };
        match error.code {
            ErrorCode::Unknown => sql("SQLITE_ERROR", &of_the_query(message), hint_for(message.unwrap_or_default())),
            ErrorCode::AuthorizationForStatementDenied => Self::Unlisted,
            ErrorCode::OperationInterrupted => Self::Cancelled,
            ErrorCode::OutOfMemory => Self::Memory,
            ErrorCode::ReadOnly => Self::Refused("write".to_owned()),
            ErrorCode::TooBig => sql(
                "SQLITE_TOOBIG",
                "A text, a value or the statement itself is longer than this source allows (1 MiB for a value, 64 KiB for SQL).",
                "Use substr() or length() instead of whole values.",
            ),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                sql("SQLITE_BUSY", "Another program is writing to the database.", "Wait a moment and call again.")
            }
            ErrorCode::TypeMismatch => {
                sql("SQLITE_MISMATCH", "A value has a type that does not fit there.", "Check LIMIT, OFFSET and CAST.")
            }
            ErrorCode::ParameterOutOfRange => sql(
                "SQLITE_RANGE",
                "A parameter number is out of range.",
                "Number parameters ?1, ?2 … and give one value for each.",
            ),
            _ => Self::Unavailable,
        }
    }
}

/// SQLite's words about the query. Its generic errors speak of names and syntax; anything with a path in it does not pass.
fn of_the_query(message: Option<&str>) -> String {
    match message {
        Some(text) if !text.contains("unable to open") => text.chars().take(MESSAGE_CHARS_MAX).collect(),
        _ => "SQLite could not run the statement".to_owned(),
    }
}

fn hint_for(message: &str) -> &'static str {
    if message.starts_with("no such table") {
        "Call list_tables and use the names that it gives."
    } else if message.starts_with("no such column") {
        "Call describe_table for the columns; write texts in single quotes."
    } else if message.starts_with("no such function") {
        "Use SQLite's functions; those of other databases have other names here."
    } else {
        "Check the statement against SQLite's syntax."
    }
}

/// SQLite's messages have no full stop and a small first letter; ours are sentences already.
fn sentence(text: &str) -> String {
    let stop = if text.ends_with('.') { "" } else { "." };
    format!("{text}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_files_never_pass() {
        let error = Sqlite::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_ERROR),
            Some("unable to open database: /srv/secret/shop.db".to_owned()),
        );
        assert!(!QueryError::of_sqlite(&error).to_text().contains("/srv"));
        let error = Sqlite::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_CANTOPEN),
            Some("unable to open database file: /srv/secret/shop.db".to_owned()),
        );
        assert!(!QueryError::of_sqlite(&error).to_text().contains("/srv"));
    }
}

//! Why a row was not added, in words that name the column or the constraint of this table and nothing of any row.

use patchbay_sql_policy::TableName;
use tokio_postgres::{
    Error,
    error::{DbError, ErrorPosition},
};
use tracing::warn;

use super::Column;
use crate::db::error::QueryError;

/// The most names that an error lists.
const NAMES_MAX: usize = 40;

/// What PostgreSQL's refusal is told by.
pub(super) struct Refused<'a> {
    pub(super) table: &'a TableName,
    pub(super) columns: &'a [Column],
    /// The columns of the parameters, in order.
    pub(super) filled: Vec<&'a Column>,
}

impl Refused<'_> {
    /// The refusal, if it is about the row.
    pub(super) fn of(&self, error: &Error) -> Option<QueryError> {
        let error = error.as_db_error()?;
        let (message, hint) = self.words(error)?;
        warn!(code = error.code().code(), table = ?self.table, "a row was not added");
        Some(refused(error.code().code(), message, hint))
    }

    fn words(&self, error: &DbError) -> Option<(String, &'static str)> {
        let constraint = self.constraint(error);
        Some(match error.code().code() {
            "23505" => (
                format!("The row would repeat what {constraint} allows once."),
                "Give other values, or look whether the row is there already.",
            ),
            "23502" => (
                format!("{} must not be NULL.", self.column(error)),
                "Give a value for it; describe_table tells which columns need one.",
            ),
            "23503" => (
                format!("The row would point to a row that is not there: {constraint}."),
                "Add that row first, or give a value that exists.",
            ),
            "23514" | "44000" => {
                (format!("The row does not fulfil {constraint}."), "describe_table tells the conditions.")
            }
            "23P01" => (format!("The row is in conflict with another one by {constraint}."), "Give other values."),
            code if code.starts_with("22") => {
                (self.unreadable(error), "describe_table tells the types of the columns.")
            }
            "42501" => {
                ("The role of this source may not add this row.".to_owned(), "Ask the person who runs this source.")
            }
            "428C9" => (
                "The database makes one of these values itself.".to_owned(),
                "Leave out generated and identity columns.",
            ),
            "P0001" => (
                "A trigger of the table refused the row.".to_owned(),
                "Ask the person who runs this source what it expects.",
            ),
            "42P01" | "42883" | "42704" if !matches!(error.position(), Some(ErrorPosition::Original(_))) => (
                "A trigger of the table failed: it speaks of something without naming its schema.".to_owned(),
                "Ask the person who runs this source to set the trigger function's search_path.",
            ),
            "25006" => ("The database is read-only at the moment.".to_owned(), "Try again later."),
            _ => return None,
        })
    }

    /// The constraint, by name only if it is this table's own.
    fn constraint(&self, error: &DbError) -> String {
        match error.constraint().filter(|_| self.is_own(error)) {
            Some(name) => format!("the constraint `{name}`"),
            None => "a constraint of the table, of its parts or of what its triggers write".to_owned(),
        }
    }

    fn column(&self, error: &DbError) -> String {
        let known = |name: &&str| self.columns.iter().any(|column| column.name == **name);
        match error.column().filter(|_| self.is_own(error)).filter(known) {
            Some(name) => format!("The column `{name}`"),
            None => "A column that cannot be filled here".to_owned(),
        }
    }

    fn is_own(&self, error: &DbError) -> bool {
        (error.schema(), error.table()) == (Some(&self.table.schema), Some(&self.table.name))
    }

    fn unreadable(&self, error: &DbError) -> String {
        match self.parameter(error) {
            Some(column) => format!("The value for the column `{}` is no {}.", column.name, column.declared),
            None => "A value does not fit the type of its column.".to_owned(),
        }
    }

    /// The column whose value could not be read. Only the number is taken from the server's words, which quote the value.
    fn parameter(&self, error: &DbError) -> Option<&Column> {
        let (_, after) = error.where_()?.split_once("parameter $")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        let number: usize = digits.parse().ok()?;
        self.filled.get(number.checked_sub(1)?).copied()
    }
}

fn refused(code: &str, message: String, hint: &str) -> QueryError {
    QueryError::Sql { code: code.to_owned(), message, hint: hint.to_owned() }
}

/// No such column, as far as this role can see.
pub(super) fn unknown(columns: &[Column], name: &str) -> QueryError {
    let open: Vec<_> =
        columns.iter().filter(|column| column.fill && column.made.is_none()).map(|c| c.name.as_str()).collect();
    let more = if open.len() > NAMES_MAX { " and more" } else { "" };
    let listed = open.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    let name: String = name.chars().take(64).collect();
    QueryError::Arguments(format!("The table has no column `{name}`; these can be filled: {listed}{more}."))
}

/// The database fills the column itself.
pub(super) fn made(name: &str, how: &str) -> QueryError {
    QueryError::Arguments(format!(
        "The column `{name}` is {how}: the database makes its value. Leave it out of `values`."
    ))
}

/// The role may read the column and not fill it.
pub(super) fn closed(name: &str) -> QueryError {
    QueryError::Arguments(format!("The column `{name}` is not open for adding here. Leave it out of `values`."))
}

pub(super) fn too_long(name: &str, chars_max: usize) -> QueryError {
    let message = format!("The value for the column `{name}` is longer than its {chars_max} characters.");
    refused("22001", message, "Give a shorter value.")
}

/// Nothing came back, and nothing says that anything was added.
pub(super) fn swallowed(table: &str) -> QueryError {
    let message = format!("A trigger or rule of `{table}` took the row and added none.");
    refused("02000", message, "Look whether what you wanted is there; do not repeat the call before.")
}

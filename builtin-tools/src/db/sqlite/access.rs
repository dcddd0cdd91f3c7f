//! What a statement may do: the judge behind SQLite's authorizer, which is asked about every table, column, function and
//! action while a statement is compiled. Whatever is not allowed here is refused, also what SQLite may bring later.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::functions;
use crate::db::error::QueryError;

/// The names in a database, in lower case, by what may be done with them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Tables and views that the source offers.
    pub(crate) offered: HashSet<String>,
    /// All tables and views that exist, and all modules that SQLite could make a table of.
    pub(crate) existing: HashSet<String>,
}

/// Why a statement was refused first; SQLite's own error says only that it was.
pub(crate) type Denial = Arc<Mutex<Option<QueryError>>>;

/// The authorizer's callback.
pub(crate) fn authorizer(
    names: Names,
    denial: Denial,
) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send + 'static {
    move |context| match judge(&names, &context) {
        Ok(()) => Authorization::Allow,
        Err(error) => {
            denial.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            Authorization::Deny
        }
    }
}

fn judge(names: &Names, context: &AuthContext<'_>) -> Result<(), QueryError> {
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Ok(()),
        AuthAction::Read { table_name, column_name } => read(names, table_name, column_name, context.database_name),
        AuthAction::Function { function_name } if functions::is_allowed(function_name) => Ok(()),
        AuthAction::Function { function_name } => Err(QueryError::Function(function_name.chars().take(64).collect())),
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
            Err(QueryError::Refused("write".to_owned()))
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
            Err(QueryError::Refused("open or close another file".to_owned()))
        }
        AuthAction::Pragma { .. } => Err(QueryError::Refused("read or change a setting".to_owned())),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            Err(QueryError::Refused("begin or end a transaction".to_owned()))
        }
        _ => Err(QueryError::Refused("change the database".to_owned())),
    }
}

/// A read of a table, or the read without a column that SQLite reports for a table whose columns nobody reads
/// (`SELECT count(*) FROM t`). The latter carries the name as it was typed, which may be the name of a CTE, and then
/// nothing is read. A CTE cannot lend its name to an unlisted table: that one is reported under its own.
///
/// The view or CTE through which a read happens (the accessor) is no argument for it: a CTE can take any view's name.
fn read(names: &Names, table: &str, column: &str, database: Option<&str>) -> Result<(), QueryError> {
    let table = table.to_ascii_lowercase();
    let in_main = database.is_some_and(|name| name.eq_ignore_ascii_case("main"));
    let nothing_read = column.is_empty() && database.is_none();
    let offered = names.offered.contains(&table) || functions::is_allowed_table(&table);
    let of_the_query = nothing_read && !is_existing(names, &table);
    if (offered && (in_main || nothing_read)) || of_the_query { Ok(()) } else { Err(QueryError::Unlisted) }
}

fn is_existing(names: &Names, table: &str) -> bool {
    table.starts_with("sqlite_") || table.starts_with("pragma_") || names.existing.contains(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names { offered: set(&["products"]), existing: set(&["products", "secrets", "dbstat"]) }
    }

    #[test]
    fn a_read_that_names_an_unlisted_table_is_refused_with_and_without_a_column() {
        for (table, column, database) in [
            ("secrets", "password", Some("main")),
            ("secrets", "", None),
            ("SECRETS", "", Some("main")),
            ("dbstat", "", None),
            ("sqlite_master", "sql", Some("main")),
            ("sqlite_schema", "", None),
            ("pragma_database_list", "", None),
            ("products", "name", Some("temp")),
            ("cte", "x", Some("main")),
        ] {
            assert!(read(&names(), table, column, database).is_err(), "{table}.{column} in {database:?}");
        }
    }

    #[test]
    fn a_read_of_an_offered_table_or_of_a_name_that_the_query_made_is_allowed() {
        for (table, column, database) in [
            ("Products", "name", Some("main")),
            ("products", "", None),
            ("cte", "", None),
            ("json_each", "value", Some("main")),
        ] {
            assert!(read(&names(), table, column, database).is_ok(), "{table}.{column} in {database:?}");
        }
    }
}

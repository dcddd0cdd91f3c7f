//! What an error of PostgreSQL is for a model: its SQLSTATE, a sentence of ours, the place in the statement, and a hint. Never
//! the server's own words: they quote rows, and name what the caller may not know of. Those go to the operator's log.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio_postgres::{
    Error,
    error::{DbError, ErrorPosition},
};

use crate::db::error::QueryError;

/// The longest word of the statement that is quoted.
const WORD_CHARS_MAX: usize = 64;

/// The statement that an error is about, so that a place in it can be named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    /// The statement as it was judged.
    pub(crate) sql: &'a str,
    /// How many characters stood before it in what was sent.
    pub(crate) offset: usize,
}

impl Statement<'_> {
    /// For what the server gets as it is.
    pub(crate) fn whole(sql: &str) -> Statement<'_> {
        Statement { sql, offset: 0 }
    }
}

/// What to say of the error.
pub(crate) fn of(error: &Error, statement: Option<Statement<'_>>) -> QueryError {
    let Some(told) = error.as_db_error() else {
        tracing::debug!("a connection to a database broke off: {error}");
        return QueryError::Unavailable;
    };
    if let Some(known) = by_class(told.code().code()) {
        tracing::debug!(db.code = told.code().code(), "a database refused a statement: {told}");
        return known;
    }
    let word = statement.and_then(|statement| word_at(told, statement));
    let place = word.map(|word| format!(" near `{word}`")).unwrap_or_default();
    let code = told.code().code().to_owned();
    match in_words(&code) {
        Some((text, hint)) => {
            tracing::debug!(db.code = code, "a database refused a statement: {told}");
            let of = param_of(told).map(|number| format!(" (it is about parameter ${number})")).unwrap_or_default();
            QueryError::Sql { code, message: format!("{text}{place}{of}"), hint: hint.to_owned() }
        }
        None => unexpected(code, &place, told),
    }
}

/// An error that there are no words for: the operator finds the server's own by the number.
fn unexpected(code: String, place: &str, told: &DbError) -> QueryError {
    let incident = format!("{:08x}", RandomState::new().build_hasher().finish() & 0xffff_ffff);
    tracing::warn!(db.code = code, incident, "a database refused a statement (incident {incident}): {told}");
    QueryError::Sql {
        code,
        message: format!("The database could not run the statement{place} (incident {incident})"),
        hint: "Try another way to write it; the person who runs this source finds the reason by the incident's number."
            .to_owned(),
    }
}

/// What the explorer has its own words for, whatever database it is.
fn by_class(code: &str) -> Option<QueryError> {
    match code {
        "42501" => Some(QueryError::Unlisted),
        "25006" => Some(QueryError::Refused("write".to_owned())),
        "53300" => Some(QueryError::Crowded),
        "53000" | "53100" | "53200" | "53400" => Some(QueryError::Memory),
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Some(QueryError::Unavailable),
        _ if code.starts_with("08") || code.starts_with("28") => Some(QueryError::Unavailable),
        _ => None,
    }
}

/// A sentence without its full stop, and a hint.
fn in_words(code: &str) -> Option<(&'static str, &'static str)> {
    const NAMES: &str =
        "Call list_tables and describe_table, and use the names that they give; quote those with capitals.";
    const TYPES: &str = "Compare the columns' types (describe_table) and write a cast where they differ.";
    const VALUES: &str = "Filter out or guard the rows where it happens, with CASE, NULLIF or a pattern.";
    const SYNTAX: &str = "Check the statement against PostgreSQL's syntax.";
    Some(match code {
        "42703" => ("There is no such column", "Call describe_table for the columns; write texts in single quotes."),
        "42P01" => ("There is no such table or view", NAMES),
        "42883" => ("There is no function or operator of that name for arguments of these types", TYPES),
        "42704" => ("There is no such type, collation or other object", SYNTAX),
        "42702" => ("The column's name fits more than one column", "Put the table's name or alias in front of it."),
        "42725" => {
            ("The call fits more than one function or operator", "Cast the arguments to the types that are meant.")
        }
        "42712" => ("The same alias is used twice", "Give each table an alias of its own."),
        "42701" => ("The same column is named twice", "Give each column a name of its own."),
        "42803" => (
            "A column is neither in GROUP BY nor inside of an aggregate, or an aggregate stands where none may",
            "Add the column to GROUP BY or aggregate it; filter aggregates in HAVING.",
        ),
        "42P20" => ("A window function stands where none may", "Put it into a sub-query and filter outside of it."),
        "42804" | "42846" => ("The types do not fit together", TYPES),
        "42P18" => ("The type of a parameter or value is not clear", "Cast it, as in `$1::integer`."),
        "42P02" => ("There is no such parameter", "Number parameters $1, $2 … and give one value for each."),
        "42P10" => ("A column reference is not possible there", "With DISTINCT, ORDER BY takes only selected columns."),
        "42P19" => {
            ("The recursive query is not of a form that PostgreSQL runs", "Write it as base UNION ALL recursive part.")
        }
        "42P21" | "42P22" => ("The collation is not clear", "Write COLLATE \"C\" at the comparison."),
        "42601" | "42000" => ("PostgreSQL does not understand the statement", SYNTAX),
        "42611" | "42P13" | "42P17" | "42809" | "42622" => {
            ("The statement is not of a form that PostgreSQL runs", SYNTAX)
        }
        "22P02" | "22007" | "22023" | "22P03" => ("A value is not of the form that its type has", VALUES),
        "22018" => ("A text cannot be read as the type of the cast", VALUES),
        "22003" => ("A number is out of the range of its type", "Cast to bigint or numeric before calculating."),
        "22008" | "22015" => ("A date, time or interval is out of range", VALUES),
        "22012" => ("Something is divided by zero", "Guard the divisor, as in `a / NULLIF(b, 0)`."),
        "22001" => ("A text is longer than its type allows", "Cast to text instead."),
        "22011" => ("A part of a text has a negative length", VALUES),
        "22021" | "22P05" => ("A text has characters that its encoding does not have", VALUES),
        "22025" | "22019" => {
            ("The escape of a LIKE pattern is not complete", "Double the backslash, or choose another ESCAPE.")
        }
        "2201B" => ("The regular expression is not valid", "Check it against PostgreSQL's syntax."),
        "2201W" | "2201X" => ("LIMIT or OFFSET is negative", "Use numbers from 0."),
        "2201E" | "2201F" => ("The function is not defined for that number", VALUES),
        "2202E" => ("The parts of an array differ in length, or a subscript is wrong", VALUES),
        "22030" | "22032" | "22033" | "22034" | "22035" | "22036" | "22038" | "22039" | "2203A" | "2203F" => {
            ("The JSON or its path is not as the function needs it", "Look at the values with a plain SELECT first.")
        }
        "21000" => {
            ("A sub-query gives more than one row where one value is needed", "Add LIMIT 1 or an aggregate to it.")
        }
        "40001" | "40P01" => ("The database ended the statement because of other work on the same rows", "Call again."),
        "55P03" => ("A table is locked by other work at the moment", "Wait a moment and call again."),
        "57014" => ("The database ended the statement, since it ran too long", "Filter earlier or aggregate."),
        "54001" | "54000" | "54011" | "54023" => (
            "The statement or one of its values is too large for PostgreSQL",
            "Write it simpler, or take less at once.",
        ),
        "0A000" => ("PostgreSQL does not support that", SYNTAX),
        "25P02" | "25000" | "25P01" => ("The transaction cannot be used for that", SYNTAX),
        "23502" | "23503" | "23505" | "23514" | "23P01" => {
            ("The row does not fit the table's constraints", "Call describe_table for them.")
        }
        _ => return None,
    })
}

/// The word of the caller's statement where the server found the error.
fn word_at(told: &DbError, statement: Statement<'_>) -> Option<String> {
    let Some(ErrorPosition::Original(position)) = told.position() else { return None };
    let index = (*position as usize).checked_sub(1 + statement.offset)?;
    let rest = &statement.sql[statement.sql.char_indices().nth(index)?.0..];
    let word = word(rest);
    (!word.is_empty()).then(|| word.chars().take(WORD_CHARS_MAX).collect())
}

/// A name with its qualifiers, quoted or not; else what stands there up to the next blank.
fn word(text: &str) -> &str {
    let (mut end, bytes) = (0, text.as_bytes());
    loop {
        match bytes.get(end) {
            Some(b'"') => end += text[end + 1..].find('"').map_or(text.len() - end, |at| at + 2),
            Some(_) => {
                let rest = &text[end..];
                end += rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            }
            None => return text,
        }
        match bytes.get(end) {
            Some(b'.') if end > 0 => end += 1,
            _ if end > 0 => return &text[..end],
            _ => return text.split([' ', '\n', ')', '(']).next().unwrap_or_default(),
        }
    }
}

/// The number of the parameter whose value was refused; the context has it, with words that stay here.
fn param_of(told: &DbError) -> Option<u32> {
    let (_, rest) = told.where_()?.split_once("portal parameter $")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_names_with_their_qualifiers() {
        assert_eq!(word("updatd_at, x"), "updatd_at");
        assert_eq!(word("o.\"Weird name\".x FROM"), "o.\"Weird name\".x");
        assert_eq!(word("\"unended"), "\"unended");
        assert_eq!(word("=== 2"), "===");
        assert_eq!(word("über(1)"), "über");
        assert_eq!(word("'a secret'"), "'a");
        assert_eq!(word(""), "");
    }

    #[test]
    fn sentences_have_no_full_stop_and_hints_have_one() {
        for class in 0..100 {
            for rest in ["000", "001", "003", "007", "012", "501", "601", "703", "804", "883", "P01", "P02", "P18"] {
                if let Some((text, hint)) = in_words(&format!("{class:02}{rest}")) {
                    assert!(!text.ends_with('.') && hint.ends_with('.'), "{text} {hint}");
                }
            }
        }
    }
}

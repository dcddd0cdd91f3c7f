//! The SQL functions that a query may call. A short list of what is known to be harmless; what is missing here is refused,
//! whatever SQLite offers now or later.
//!
//! Left out on purpose: everything with reach (`load_extension`, `readfile`, `edit`, `fts3_tokenizer`), and the ones
//! that make much of nothing in one step that no deadline can interrupt (`zeroblob`, `randomblob`, `printf`, `format`).

/// Sorted, for the binary search; a test holds the order.
const ALLOWED: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "glob",
    "group_concat",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_length",
    "json_each",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_tree",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "pi",
    "pow",
    "power",
    "quote",
    "radians",
    "random",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "soundex",
    "sqrt",
    "strftime",
    "string_agg",
    "substr",
    "substring",
    "subtype",
    "sum",
    "tan",
    "tanh",
    "time",
    "timediff",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unixepoch",
    "unlikely",
    "upper",
];

/// Table-valued functions, which SQLite reports as tables that are read.
const ALLOWED_TABLES: &[&str] = &["json_each", "json_tree", "jsonb_each", "jsonb_tree"];

/// Whether a query may call that function.
pub(crate) fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ALLOWED.binary_search(&name.as_str()).is_ok()
}

/// Functions that a table's own defaults and checks may call beside those, since their owner wrote the calls.
const ALLOWED_IN_SCHEMA: &[&str] = &["format", "printf", "randomblob", "zeroblob"];

/// Whether the default, check or generated column of a table may call that function when a row is added.
pub(crate) fn is_allowed_in_schema(name: &str) -> bool {
    is_allowed(name) || ALLOWED_IN_SCHEMA.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a query may read from that table-valued function.
pub(crate) fn is_allowed_table(name: &str) -> bool {
    ALLOWED_TABLES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_sorted_so_that_the_search_finds_all() {
        assert!(ALLOWED.is_sorted());
        assert!(ALLOWED.iter().all(|name| is_allowed(&name.to_ascii_uppercase())));
    }

    #[test]
    fn functions_with_reach_are_not_on_the_list() {
        for name in [
            "load_extension",
            "printf",
            "format",
            "zeroblob",
            "randomblob",
            "readfile",
            "writefile",
            "edit",
            "fts3_tokenizer",
            "sqlite_compileoption_get",
            "changes",
            "last_insert_rowid",
            "match",
            "regexp",
        ] {
            assert!(!is_allowed(name), "{name}");
        }
    }
}

//! The bounds of one query, and their numbers: what SQLite itself holds a connection to, before any SQL of a caller.
//! Rows, bytes and time of an answer are options and live in `answer` and `worker`.

use std::ffi::c_int;

use rusqlite::{Connection, Result, config::DbConfig, limits::Limit};

/// The longest SQL text, in bytes.
pub(crate) const SQL_BYTES_MAX: usize = 64 * 1024;
/// The most columns of a result, and so the most values that one row can make.
pub(crate) const COLUMNS_MAX: c_int = 256;
/// The most parameters of a statement.
pub(crate) const PARAMS_MAX: c_int = crate::db::tools::PARAMS_MAX as c_int;
/// The longest text, blob or row that SQLite may make, in bytes. Functions such as `instr` are quadratic in it, and one
/// call of a function cannot be interrupted.
const VALUE_BYTES_MAX: c_int = 1024 * 1024;
/// How much more memory than before the query all of SQLite may hold, in bytes. The count is of the process, since
/// SQLite has no other that includes sorters and temporary tables.
pub(crate) const MEMORY_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// SQLite looks at the clock and the memory after so many instructions of its virtual machine.
pub(crate) const STEPS_BETWEEN_LOOKS: c_int = 100;

/// Sorted from the most telling; each is far above what people write.
const LIMITS: &[(Limit, c_int)] = &[
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX as c_int),
    (Limit::SQLITE_LIMIT_COLUMN, COLUMNS_MAX),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, PARAMS_MAX),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 512),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Switches of the connection. Double-quoted texts are off because they turn a misspelt column into a silent constant.
const SWITCHES: &[(DbConfig, bool)] = &[
    (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
    (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
];

/// Temporary tables and sorters stay in memory, where they are counted, and never become files.
const PRAGMAS: &str = "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;";

/// Holds the statements of the connection to the limits.
pub(crate) fn limit(conn: &Connection) -> Result<()> {
    LIMITS.iter().try_for_each(|&(limit, most)| conn.set_limit(limit, most).map(|_| ()))
}

/// Sets the switches of the connection.
pub(crate) fn switch(conn: &Connection) -> Result<()> {
    for &(switch, on) in SWITCHES {
        conn.set_db_config(switch, on)?;
    }
    conn.execute_batch(PRAGMAS)
}

/// Refuses writing, beside the way in which the file is opened.
pub(crate) fn read_only(conn: &Connection) -> Result<()> {
    conn.execute_batch("PRAGMA query_only = ON")
}

/// The memory that all of SQLite holds in this process, in bytes.
pub(crate) fn memory_bytes() -> i64 {
    // SAFETY: the function takes nothing, may be called at any time from any thread and only reads a counter.
    unsafe { rusqlite::ffi::sqlite3_memory_used() }
}

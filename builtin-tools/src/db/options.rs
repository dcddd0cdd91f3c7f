//! The options of a DB explorer: read from JSON once, into settings that cannot be wrong.
//! Whether the database itself is usable is checked in `fence`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use crate::OptionsError;

/// The options of the DB explorer, one line each.
pub const OPTIONS_HELP: &str = "\
database (required): path of an existing SQLite file; it is opened read-only
source: the name in resource URIs, default the file's name without its ending
tables: the tables and views that may be read, default all; a view shows only what its own tables, listed too, show
rows_max: the most rows of one answer, default 200, at most 10000
bytes_max: the most bytes of one answer's rows, default 1048576, at most 8388608
timeout_ms: the most milliseconds of one query, default 5000, at most 60000";

/// What the options say, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) source: String,
    /// Canonical, so that neither a relative name nor a `file:` URI reaches SQLite.
    pub(crate) database: PathBuf,
    /// In lower case, since SQLite compares names so; `None` allows all tables of the database.
    pub(crate) tables: Option<BTreeSet<String>>,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    database: PathBuf,
    source: Option<String>,
    tables: Option<Vec<String>>,
    #[serde(default = "rows_max_default")]
    rows_max: u64,
    #[serde(default = "bytes_max_default")]
    bytes_max: u64,
    #[serde(default = "timeout_ms_default")]
    timeout_ms: u64,
}

const fn rows_max_default() -> u64 {
    200
}

const fn bytes_max_default() -> u64 {
    1024 * 1024
}

const fn timeout_ms_default() -> u64 {
    5000
}

impl Settings {
    pub(crate) fn parse(options: Value) -> Result<Self, OptionsError> {
        let given: Options =
            serde_json::from_value(options).map_err(|error| OptionsError::Shape(error, OPTIONS_HELP))?;
        let database = canonical(&given.database)?;
        let source = match given.source {
            Some(name) => checked_source(name)?,
            None => source_of(&given.database),
        };
        Ok(Self {
            source,
            database,
            tables: given.tables.map(|names| names.iter().map(|name| name.to_ascii_lowercase()).collect()),
            rows_max: in_range("rows_max", given.rows_max, 1, 10_000)?,
            bytes_max: in_range("bytes_max", given.bytes_max, 1024, 8 * 1024 * 1024)?,
            timeout: Duration::from_millis(in_range("timeout_ms", given.timeout_ms, 10, 60_000)? as u64),
        })
    }
}

fn in_range(option: &'static str, given: u64, least: u64, most: u64) -> Result<usize, OptionsError> {
    match usize::try_from(given) {
        Ok(number) if (least..=most).contains(&given) => Ok(number),
        _ => Err(OptionsError::Range { option, given, least, most }),
    }
}

fn canonical(path: &Path) -> Result<PathBuf, OptionsError> {
    let refuse = |reason: String| OptionsError::Database { path: path.to_owned(), reason };
    let canonical = fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
    match fs::metadata(&canonical) {
        Ok(metadata) if metadata.is_file() => Ok(canonical),
        Ok(_) => Err(refuse("it is not a regular file".to_owned())),
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn checked_source(name: String) -> Result<String, OptionsError> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if fits { Ok(name) } else { Err(OptionsError::Source(name)) }
}

fn source_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    if name.is_empty() { "database".to_owned() } else { name }
}

/// Whether both names lead to one file. Compares what the file system compares where that is possible.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
            return (one.dev(), one.ino()) == (other.dev(), other.ino());
        }
    }
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

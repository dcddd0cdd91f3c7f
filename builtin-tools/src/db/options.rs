//! The options of a DB explorer: read from JSON once, into settings that cannot be wrong. Whether a database is usable is
//! checked by its source.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    postgres::{self, PostgresSettings},
    source::{About, Bounds, Dialect},
    sqlite::SqliteSettings,
};
use crate::{Given, OptionsError, Reach};

/// The most sources of one explorer.
pub(crate) const SOURCES_MAX: usize = 32;

/// The options of the DB explorer, one line each.
pub const OPTIONS_HELP: &str = "\
database: path of an existing SQLite file, or the URL of a PostgreSQL database (a URL with a password belongs under `secrets`, and is named here as `secret:NAME`)
source: the name of the source, default the database's name
tables: the tables and views that may be read, default all; a view of SQLite shows only what its own tables, listed too, show; for PostgreSQL names or globs, with a schema in front where there are several
inserts: the tables that insert_record may add rows to, default none
rows_max: the most rows of one answer, default 200, at most 10000
bytes_max: the most bytes of one answer's rows, default 1048576, at most 4194304
timeout_ms: the most milliseconds of one call, default 5000, at most 60000
schemas (PostgreSQL): the schemas that may be read, in the order in which unqualified names are looked up, default public
connections_max (PostgreSQL): the most connections at once, default 4, at most 64
ca_file (PostgreSQL): a file with the certificates (PEM) that may sign the server's, beside those of the system
accepted_risks (PostgreSQL): what the role may do although it should not, as the refusal names it, default none
sources: several sources instead of one; an object with an entry for each, from its name to the options above";

/// The settings of one source.
#[derive(Debug)]
pub(crate) enum Settings {
    /// A SQLite file.
    Sqlite(SqliteSettings),
    /// A PostgreSQL database.
    Postgres(Box<PostgresSettings>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    sources: BTreeMap<String, One>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    database: String,
    source: Option<String>,
    tables: Option<Vec<String>>,
    #[serde(default)]
    inserts: Vec<String>,
    #[serde(default = "rows_max_default")]
    rows_max: u64,
    #[serde(default = "bytes_max_default")]
    bytes_max: u64,
    #[serde(default = "timeout_ms_default")]
    timeout_ms: u64,
    schemas: Option<Vec<String>>,
    connections_max: Option<u64>,
    ca_file: Option<PathBuf>,
    accepted_risks: Option<Vec<String>>,
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

/// Reads the options; at least one source comes out, in the order of their names.
pub(crate) fn parse(given: &Given) -> Result<Vec<Settings>, OptionsError> {
    sources(given)?.into_iter().map(|(name, one)| settings(one, name, given)).collect()
}

/// What the sources are at. Whether anything is there is not looked at.
pub(crate) fn reach(given: &Given) -> Result<Reach, OptionsError> {
    let mut reach = Reach::default();
    for (_, one) in sources(given)? {
        let database = given.resolve("database", &one.database)?;
        if is_url(&database) {
            let config = postgres::config(&database, one.database.starts_with(crate::SECRET_PREFIX))?;
            reach.hosts.extend(postgres::hosts(&config));
        } else {
            reach.files.push(PathBuf::from(database.expose_secret()));
        }
        reach.files.extend(one.ca_file);
    }
    Ok(reach)
}

fn is_url(database: &SecretString) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| database.expose_secret().starts_with(scheme))
}

/// The sources as they are written, with their names where these stand outside.
fn sources(given: &Given) -> Result<Vec<(Option<String>, One)>, OptionsError> {
    let shape = |error| OptionsError::Shape(error, OPTIONS_HELP);
    if given.options.get("sources").is_none() {
        return Ok(vec![(None, serde_json::from_value(given.options.clone()).map_err(shape)?)]);
    }
    let many: Many = serde_json::from_value(given.options.clone()).map_err(shape)?;
    if !(1..=SOURCES_MAX).contains(&many.sources.len()) {
        let sources = many.sources.len() as u64;
        return Err(OptionsError::Range { option: "sources", given: sources, least: 1, most: SOURCES_MAX as u64 });
    }
    Ok(many.sources.into_iter().map(|(name, one)| (Some(name), one)).collect())
}

fn settings(one: One, name: Option<String>, given: &Given) -> Result<Settings, OptionsError> {
    if let (Some(_), Some(_)) = (&name, &one.source) {
        return Err(OptionsError::Meaning("source".into(), "under `sources` the entry's key is the name".into()));
    }
    let database = given.resolve("database", &one.database)?;
    let is_secret = one.database.starts_with(crate::SECRET_PREFIX);
    if is_url(&database) {
        postgres_of(one, name, &database, is_secret, given)
    } else {
        sqlite_of(&one, name, &database, given)
    }
}

fn sqlite_of(
    one: &One,
    name: Option<String>,
    database: &SecretString,
    given: &Given,
) -> Result<Settings, OptionsError> {
    let foreign = [
        ("schemas", one.schemas.is_some()),
        ("connections_max", one.connections_max.is_some()),
        ("ca_file", one.ca_file.is_some()),
        ("accepted_risks", one.accepted_risks.is_some()),
    ];
    if let Some((option, _)) = foreign.iter().find(|(_, given)| *given) {
        return Err(OptionsError::Meaning((*option).into(), "it is for PostgreSQL, and this is a SQLite file".into()));
    }
    let path = PathBuf::from(database.expose_secret());
    let name = match name.or(one.source.clone()) {
        Some(name) => checked_source(name)?,
        None => source_of(&path.file_stem().unwrap_or_default().to_string_lossy()),
    };
    let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    Ok(Settings::Sqlite(SqliteSettings::new(
        about(one, name, Dialect::Sqlite)?,
        &path,
        one.tables.as_deref().map(lower),
        lower(&one.inserts),
        &given.off_limits.files,
    )?))
}

fn postgres_of(
    one: One,
    name: Option<String>,
    database: &SecretString,
    is_secret: bool,
    given: &Given,
) -> Result<Settings, OptionsError> {
    let config = postgres::config(database, is_secret)?;
    let name = match name.or(one.source.clone()) {
        Some(name) => checked_source(name)?,
        None => source_of(config.get_dbname().unwrap_or("database")),
    };
    Ok(Settings::Postgres(Box::new(PostgresSettings {
        about: about(&one, name, Dialect::Postgres)?,
        config,
        schemas: one.schemas.unwrap_or_else(|| vec!["public".to_owned()]),
        tables: one.tables,
        inserts: one.inserts,
        connections_max: in_range("connections_max", one.connections_max.unwrap_or(4), 1, 64)?,
        ca_file: one.ca_file,
        accepted_risks: one.accepted_risks.unwrap_or_default().into_iter().collect(),
        off_limits: given.off_limits.databases.clone(),
    })))
}

fn about(one: &One, name: String, dialect: Dialect) -> Result<About, OptionsError> {
    let bounds = Bounds {
        rows_max: in_range("rows_max", one.rows_max, 1, 10_000)?,
        bytes_max: in_range("bytes_max", one.bytes_max, 1024, 4 * 1024 * 1024)?,
        timeout: Duration::from_millis(in_range("timeout_ms", one.timeout_ms, 10, 60_000)? as u64),
    };
    Ok(About { name, dialect, bounds, inserts: !one.inserts.is_empty() })
}

fn in_range(option: &'static str, given: u64, least: u64, most: u64) -> Result<usize, OptionsError> {
    match usize::try_from(given) {
        Ok(number) if (least..=most).contains(&given) => Ok(number),
        _ => Err(OptionsError::Range { option, given, least, most }),
    }
}

fn checked_source(name: String) -> Result<String, OptionsError> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
    if fits { Ok(name) } else { Err(OptionsError::Source(name)) }
}

fn source_of(stem: &str) -> String {
    let stem = stem.to_ascii_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    if name.is_empty() { "database".to_owned() } else { name }
}

/// Whether both names lead to one file. Compares what the file system compares where that is possible.
pub(crate) fn same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(one), Ok(other)) = (std::fs::metadata(one), std::fs::metadata(other)) {
            return (one.dev(), one.ino()) == (other.dev(), other.ino());
        }
    }
    matches!((std::fs::canonicalize(one), std::fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reach_names_hosts_and_files_without_opening_any() {
        let of = |options, secret: &str| {
            let secrets = [("url".to_owned(), secret.into())].into();
            reach(&Given { options, secrets, ..Given::default() })
        };
        let hosts = |url: &str| of(json!({ "database": "secret:url" }), url).unwrap().hosts;
        assert_eq!(hosts("postgres://u:hunter2@db.example/x"), [("db.example".to_owned(), 5432)]);
        assert_eq!(
            hosts("postgres://u:hunter2@a.example:1,b.example:2/x"),
            [("a.example".to_owned(), 1), ("b.example".to_owned(), 2)]
        );
        assert_eq!(hosts("postgres://u@name.example:7/x?hostaddr=10.0.0.1"), [("10.0.0.1".to_owned(), 7)]);
        assert_eq!(hosts("postgres:///x?host=other.example&user=u"), [("other.example".to_owned(), 5432)]);
        assert_eq!(hosts("postgres://u@%2Fvar%2Frun/x"), [("/var/run".to_owned(), 5432)]);
        let many = json!({ "sources": {
            "a": { "database": "/nowhere/a.db" },
            "b": { "database": "postgres://u@db.example/x", "ca_file": "/nowhere/ca.pem" },
        } });
        let found = of(many, "").unwrap();
        assert_eq!(found.files, [PathBuf::from("/nowhere/a.db"), PathBuf::from("/nowhere/ca.pem")]);
        assert_eq!((found.hosts.len(), found.urls.len()), (1, 0));
        for wrong in [json!({}), json!({ "database": "secret:none" }), json!({ "sources": {} })] {
            assert!(of(wrong.clone(), "").is_err(), "{wrong}");
        }
    }
}

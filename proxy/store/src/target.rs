//! From the text of the store's URL to what it names, with sentences for what newcomers get wrong.
//!
//! No error here repeats the URL: a password is in it.

use std::path::{Path, PathBuf};

use url::Url;

use crate::StoreError;

const EXPECTED: &str = "expected `sqlite://PATH`, as in sqlite://patchbay-data/patchbay.db, or \
                        `postgres://user:password@host:port/database`";

/// Parameters of a Postgres URL that the driver knows. It would only log others, with their values.
const POSTGRES_PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];

/// What a URL names.
pub(crate) enum Target {
    SqliteFile(PathBuf),
    SqliteMemory,
    Postgres(Url),
}

pub(crate) fn parse(url: &str) -> Result<Target, StoreError> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("sqlite") => sqlite(&url["sqlite:".len()..]),
        Some("postgres" | "postgresql") => postgres(url),
        Some(other) if url.contains("://") => Err(refused(&format!("has the scheme `{other}`, which is no store"))),
        _ => Err(refused("has no scheme")),
    }
}

fn refused(why: &str) -> StoreError {
    StoreError::Url(format!("the URL of the store {why}: {EXPECTED}"))
}

fn sqlite(rest: &str) -> Result<Target, StoreError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    match path {
        ":memory:" => Ok(Target::SqliteMemory),
        "" | "/" => Err(refused("names no file")),
        path if path.contains('?') => Err(refused("has options after a `?`; SQLite takes none here, only a path")),
        path if path.contains('\0') => Err(refused("has a path with a NUL character")),
        // SQLite would read a name that begins like this as a URI of its own.
        path if path.starts_with("file:") => Ok(Target::SqliteFile(Path::new(".").join(path))),
        path => Ok(Target::SqliteFile(PathBuf::from(path))),
    }
}

fn postgres(text: &str) -> Result<Target, StoreError> {
    let url = Url::parse(text).map_err(|error| {
        refused(&format!(
            "cannot be read ({error}); in a user name or password, write characters such as @ : / ? # % as %40 %3A %2F %3F %23 %25"
        ))
    })?;
    if url.fragment().is_some() {
        return Err(refused("has a `#`; in a user name or password, write it as %23"));
    }
    // A `/` or `?` in a password ends the host too early, and what is left of the password stands where it might be shown.
    if url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(refused(
            "has a `@` after the host; in a user name or password, write / as %2F, ? as %3F and @ as %40",
        ));
    }
    for (key, _) in url.query_pairs() {
        if !(POSTGRES_PARAMETERS.contains(&&*key) || key == "options" || key.starts_with("options[")) {
            let key: String = key.chars().take(40).collect();
            return Err(refused(&format!("has the parameter `{key}`, which is not known (`sslmode` is one that is)")));
        }
    }
    Ok(Target::Postgres(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_urls_are_answered_by_a_sentence_without_the_password() {
        for (bad, said) in [
            ("", "no scheme"),
            ("patchbay.db", "no scheme"),
            ("C:\\hunter2", "no scheme"),
            ("mysql://root:hunter2@db/patchbay", "scheme `mysql`"),
            ("sqlite://", "names no file"),
            ("sqlite:///", "names no file"),
            ("sqlite://x.db?mode=rwc", "SQLite takes none"),
            ("postgres://u:hun#ter2@db:5432/patchbay", "%23"),
            ("postgres://u:hunter2#@db:5432/patchbay", "%23"),
            ("postgres://u:hunter2@db:port/patchbay", "invalid port"),
            ("postgres://u:1/hunter2@db/patchbay", "%2F"),
            ("postgres://u:1?hunter2@db/patchbay", "%3F"),
            ("postgres://u@db/patchbay?pasword=hunter2", "parameter `pasword`"),
        ] {
            let Err(StoreError::Url(text)) = parse(bad) else { panic!("{bad} was taken") };
            assert!(text.contains(said) && text.contains("expected `sqlite://PATH`"), "{bad}: {text}");
            assert!(!text.contains("hunter2") && !text.contains("ter2@"), "{text}");
        }
    }

    #[test]
    fn sqlite_paths_are_taken_as_they_stand() {
        for (url, path) in [
            ("sqlite://patchbay-data/a b%20.db", "patchbay-data/a b%20.db"),
            ("sqlite:///var/lib/x.db", "/var/lib/x.db"),
            ("sqlite:x.db", "x.db"),
            ("sqlite://file:x", "./file:x"),
        ] {
            assert!(matches!(parse(url), Ok(Target::SqliteFile(found)) if found == Path::new(path)), "{url}");
        }
        assert!(matches!(parse("sqlite::memory:"), Ok(Target::SqliteMemory)));
        assert!(matches!(parse("sqlite://:memory:"), Ok(Target::SqliteMemory)));
    }

    #[test]
    fn postgres_urls_keep_their_parameters() {
        assert!(matches!(parse("postgresql://u:p%40@h:5433/d?sslmode=require"), Ok(Target::Postgres(_))));
    }
}

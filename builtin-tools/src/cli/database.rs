//! Which database a command is about. A URL with a password comes from the environment, because everybody on a machine can
//! read the command lines of its programs.

use anyhow::bail;
use clap::Args;
use secrecy::SecretString;

/// Where a URL with a password is put.
const VARIABLE: &str = "PATCHBAY_TOOLS_DATABASE";

/// The database that a command is about.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// A SQLite file, or the URL of a PostgreSQL database [env: PATCHBAY_TOOLS_DATABASE]
    ///
    /// A URL with a password is taken from the environment variable PATCHBAY_TOOLS_DATABASE only, since everybody on this
    /// machine can read command lines.
    #[arg(long, value_name = "PATH|URL")]
    database: Option<String>,
}

impl Database {
    /// The path or URL.
    pub(crate) fn read(self) -> anyhow::Result<SecretString> {
        // A variable that is set to nothing is not set.
        let of_environment = || std::env::var(VARIABLE).ok().filter(|database| !database.is_empty());
        match self.database {
            Some(database) if has_password(&database) => bail!(
                "The URL on the command line has a password in it, which everybody on this machine can read. Put the URL \
                 into the environment variable {VARIABLE} and leave --database out."
            ),
            Some(database) => Ok(database.into()),
            None => match of_environment() {
                Some(database) => Ok(database.into()),
                None => bail!(
                    "No database is named. Give a SQLite file or the URL of a PostgreSQL database by --database, or by \
                     the environment variable {VARIABLE}."
                ),
            },
        }
    }
}

/// Whether it names a PostgreSQL database; else it is a file.
pub(crate) fn is_postgres(database: &str) -> bool {
    database.starts_with("postgres://") || database.starts_with("postgresql://")
}

fn has_password(database: &str) -> bool {
    let Some((_, rest)) = database.split_once("://").filter(|_| is_postgres(database)) else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user).unwrap_or_default();
    // A slash in a password that should have been encoded must not hide it.
    user.contains(':') || rest.contains("password=") || rest.split_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_a_url_has_them() {
        for (database, has) in [
            ("postgres://reader:secret@db/shop", true),
            ("postgresql://reader:sec/ret@db/shop", true),
            ("postgres://db/shop?user=reader&password=secret", true),
            ("postgres://reader@db:5432/shop", false),
            ("postgres://db:5432/shop", false),
            ("postgres://h1:5432,h2:5432/shop", false),
            ("./a:b@c.db", false),
        ] {
            assert_eq!(has_password(database), has, "{database}");
        }
    }
}

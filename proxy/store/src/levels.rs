//! Whether this program may work on tables that a newer one has brought up to date. Both databases ask here, under the lock that
//! they migrate under, before they touch anything.
//!
//! A level is the number of a migration. Each program knows those up to its own; the table `schema_needs` says which level a
//! program must know at the least (the largest of its rows counts). The rule for those who write migrations stands in
//! migrations/README.md.

use sqlx::migrate::Migrator;
use tracing::warn;

use crate::StoreError;

/// What the tables say of themselves.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// The migrations that were made, oldest first.
    pub(crate) made: Vec<i64>,
    /// The level that a program must know; `None` for tables from before that was said.
    pub(crate) oldest: Option<i64>,
}

impl Levels {
    /// Lets a program work on these tables, or says why it must not.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when they need a newer program, or have a step that no program made.
    pub(crate) fn admit(&self, named: &str, known: &Migrator) -> Result<(), StoreError> {
        let ours = known.iter().map(|step| step.version).max().unwrap_or(0);
        let unknown = || self.made.iter().copied().filter(|step| !known.version_exists(*step));
        if let Some(odd) = unknown().find(|step| *step < ours) {
            return Err(StoreError::Corrupt(format!(
                "the tables in {named} were not made by a released Patchbay (nobody knows their step {odd}): restore a backup, or \
                 name an empty store"
            )));
        }
        let theirs = unknown().max();
        let oldest = self.oldest.unwrap_or(if theirs.is_some() { i64::MAX } else { 0 });
        if ours < oldest {
            return Err(StoreError::Corrupt(format!(
                "{named} was last used by a newer Patchbay, and its tables need that one (they are at step {}, this program knows \
                 step {ours}): start that version, or a newer one; to go back to this one, restore a backup from before the update",
                theirs.unwrap_or(oldest)
            )));
        }
        if let Some(theirs) = theirs {
            warn!(
                store.step = theirs,
                program.step = ours,
                "{named} was brought up to date by a newer Patchbay (its tables are at step {theirs}, this program knows step \
                 {ours}); both may work on it, until all replicas run the newer one"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use sqlx::{
        AssertSqlSafe, SqlSafeStr,
        migrate::{Migration, MigrationType},
    };

    use super::*;

    /// A program that knows these steps.
    fn program(steps: &[i64]) -> Migrator {
        let step = |version: &i64| {
            let sql = AssertSqlSafe(String::new()).into_sql_str();
            Migration::new(*version, Cow::Borrowed("a step"), MigrationType::Simple, sql, false)
        };
        Migrator::with_migrations(steps.iter().map(step).collect())
    }

    fn admitted(made: &[i64], oldest: Option<i64>) -> Result<(), String> {
        let levels = Levels { made: made.to_vec(), oldest };
        levels.admit("the store", &program(&[1, 2, 3, 4])).map_err(|error| error.to_string())
    }

    #[test]
    fn newer_tables_are_worked_on_as_long_as_they_allow_it() {
        for (made, oldest) in [
            (&[][..], None),
            (&[1, 2, 3], None),
            (&[1, 2, 3, 4], Some(3)),
            (&[1, 2, 3, 4, 5], Some(3)),
            (&[1, 2, 3, 4, 5, 9], Some(4)),
        ] {
            assert_eq!(admitted(made, oldest), Ok(()), "{made:?} {oldest:?}");
        }
        for (made, oldest) in
            [(&[1, 2, 3, 4, 5][..], Some(5)), (&[1, 2, 3, 4, 9], Some(5)), (&[1, 2, 3, 4, 5], None), (&[1, 2], Some(9))]
        {
            let refused = admitted(made, oldest).expect_err("they need a newer program");
            assert!(refused.contains("newer Patchbay") && refused.contains("knows step 4"), "{refused}");
        }
    }

    #[test]
    fn step_between_that_nobody_knows_is_refused() {
        let levels = Levels { made: vec![1, 2, 3], oldest: Some(1) };
        let refused = levels.admit("the store", &program(&[1, 3])).expect_err("step 2 is unknown").to_string();
        assert!(refused.contains("their step 2"), "{refused}");
    }
}

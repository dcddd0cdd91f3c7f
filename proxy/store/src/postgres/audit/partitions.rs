//! The partitions of the audit in Postgres: one for each UTC day, by the time with which event ids begin, made some days ahead;
//! and the default one, which takes what has no other place.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    StoreError,
    audit::event_floor,
    error::{Fault, doing},
    postgres::PostgresStore,
    rows::count,
};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// For how many days after today partitions are made.
const AHEAD_DAYS: i64 = 7;
/// The advisory lock under which they are made ("patchbay", as a number).
const LOCK: i64 = 0x7061_7463_6862_6179;

const LIST: &str = "SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), greatest(c.reltuples, 0)::bigint \
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit'::regclass";

/// A partition with a range, the default one not being one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    /// Its name as statements write it.
    pub(super) name: String,
    /// The smallest id that it takes.
    pub(super) from: u128,
    /// The smallest id after it.
    pub(super) to: u128,
    /// How many rows Postgres believes that it has.
    pub(super) rows: u64,
}

/// The partitions, oldest first.
pub(super) async fn partitions(connection: &mut PgConnection) -> Result<Vec<Partition>, Fault> {
    let listed: Vec<(String, String, i64)> = sqlx::query_as(LIST).fetch_all(connection).await?;
    let mut partitions = Vec::new();
    for (name, bounds, rows) in listed {
        if bounds != "DEFAULT" {
            let (from, to) = range(&bounds).ok_or_else(|| {
                StoreError::Corrupt(format!(
                    "the partition {name} of the table audit has bounds that are no range of event ids ({bounds}): detach it, or \
                     make it one of days"
                ))
            })?;
            partitions.push(Partition { name, from, to, rows: count(rows)? });
        }
    }
    partitions.sort_by_key(|partition| partition.from);
    Ok(partitions)
}

/// The ids between the bounds, as Postgres writes them.
fn range(bounds: &str) -> Option<(u128, u128)> {
    let (from, to) = bounds.strip_prefix("FOR VALUES FROM (")?.strip_suffix(')')?.split_once(") TO (")?;
    Some((bound(from)?, bound(to)?))
}

fn bound(text: &str) -> Option<u128> {
    match text {
        "MINVALUE" => Some(0),
        "MAXVALUE" => Some(u128::MAX),
        text => {
            let digits = text.strip_prefix("'\\x")?.strip_suffix('\'')?;
            // A shorter one counts as if zeros followed.
            (digits.len() <= 32).then(|| u128::from_str_radix(&format!("{digits:0<32}"), 16).ok())?
        }
    }
}

/// Where a removal of what is before this moment ends: at that moment, or at the beginning of the partition in which it lies.
pub(super) fn cut(before_ms: i64, partitions: &[Partition]) -> u128 {
    let floor = event_floor(before_ms);
    let around = partitions.iter().find(|partition| partition.from < floor && floor < partition.to);
    around.map_or(floor, |partition| partition.from)
}

impl PostgresStore {
    /// Makes the partitions of today and the next days, as far as they are not there.
    pub(super) async fn prepare(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut failed = None;
        let today = now_ms.div_euclid(DAY_MS);
        for day in today..=today + AHEAD_DAYS {
            if let Err(error) = doing("make a partition of the audit", self.prepare_day(day)).await {
                // Other days may still be free; when nobody answers, they are not.
                let answered = code(&error).is_some();
                failed.get_or_insert_with(|| unprepared(day, error));
                if !answered {
                    break;
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn prepare_day(&self, day: i64) -> Result<(), Fault> {
        let (from, to) = (event_floor(day * DAY_MS), event_floor((day + 1) * DAY_MS));
        let has = |all: &[Partition]| all.iter().any(|partition| partition.from <= from && to <= partition.to);
        if has(&partitions(&mut *self.pool.acquire().await?).await?) {
            return Ok(());
        }
        let mut tx = self.writing().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
        if has(&partitions(&mut tx).await?) {
            return Ok(());
        }
        // Whoever writes waits for this moment: a row on its way to the default partition would be refused there once its day has
        // a partition of its own. Readers go on, since the table is made first and attached then.
        let name = format!("audit_{}", date(day, ""));
        let make = format!(
            "SET LOCAL lock_timeout = '2s'; LOCK TABLE ONLY audit IN SHARE ROW EXCLUSIVE MODE; \
             CREATE TABLE {name} (LIKE audit INCLUDING DEFAULTS); \
             ALTER TABLE audit ATTACH PARTITION {name} FOR VALUES FROM ('\\x{from:032x}') TO ('\\x{to:032x}')"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What Postgres says is wrong, as far as it was Postgres.
fn code(error: &StoreError) -> Option<String> {
    let StoreError::Unavailable { source, .. } = error else { return None };
    Some(source.downcast_ref::<sqlx::Error>()?.as_database_error()?.code()?.into_owned())
}

fn unprepared(day: i64, error: StoreError) -> StoreError {
    let why = match code(&error).as_deref() {
        // insufficient_privilege
        Some("42501") => {
            "the user in the URL of the store must own the table audit and may have to make tables in its schema"
        }
        // check_violation
        Some("23514") => "rows of that day are in the default partition already",
        // duplicate_table
        Some("42P07") => {
            "a table of that name is there already and is not a partition: attach it, or name it otherwise"
        }
        _ => "see the source",
    };
    let tried = format!(
        "could not make the partition audit_{} for {}: {why} (rows of that day go to the default partition, from which they are \
         removed one by one)",
        date(day, ""),
        date(day, "-")
    );
    match error {
        StoreError::Unavailable { source, .. } => StoreError::Unavailable { tried, source },
        other => other,
    }
}

/// A day as people write it. (Days are counted from March on, so that the leap day comes last.)
fn date(day: i64, between: &str) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{between}{month:02}{between}{of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(from: u128, to: u128) -> Partition {
        Partition { name: "p".to_owned(), from, to, rows: 0 }
    }

    #[test]
    fn bounds_are_read_as_postgres_writes_them_and_others_are_none() {
        let low = "'\\x01a2008d740000000000000000000000'";
        let number = 0x01a2_008d_7400_0000_0000_0000_0000_0000;
        assert_eq!(range(&format!("FOR VALUES FROM (MINVALUE) TO ({low})")), Some((0, number)));
        assert_eq!(range(&format!("FOR VALUES FROM ({low}) TO (MAXVALUE)")), Some((number, u128::MAX)));
        assert_eq!(bound("'\\x01a2008d74'"), Some(number));
        for odd in ["DEFAULT", "FOR VALUES IN (1)", "FOR VALUES FROM (1) TO (2)", "FOR VALUES FROM ('a') TO ('b')"] {
            assert_eq!(range(odd), None, "{odd}");
        }
        assert_eq!(bound(&format!("'\\x{}'", "0".repeat(34))), None);
    }

    #[test]
    fn a_removal_ends_where_the_partition_of_its_moment_begins() {
        let day = |number: i64| event_floor(number * DAY_MS);
        let all = [partition(0, day(10)), partition(day(10), day(11)), partition(day(11), day(12))];
        assert_eq!(cut(11 * DAY_MS, &all), day(11), "a whole day");
        assert_eq!(cut(11 * DAY_MS + 5, &all), day(11));
        assert_eq!(cut(9 * DAY_MS, &all), 0, "the first partition has no beginning");
        assert_eq!(cut(20 * DAY_MS + 5, &all), event_floor(20 * DAY_MS + 5), "no partition there");
    }

    #[test]
    fn days_have_their_dates() {
        for (day, said) in [(0, "1970-01-01"), (11_016, "2000-02-29"), (11_017, "2000-03-01"), (20_818, "2026-12-31")] {
            assert_eq!(date(day, "-"), said);
        }
        assert_eq!(date(20_819, ""), "20270101");
    }
}

//! What is known of one column while its rows go by, in bounded memory: how many are NULL, the least and the greatest, about how
//! many are different, and some of them.
//!
//! Different values are counted by their hashes. While there are few, all are kept; then only the least ones, which are
//! a fair sample of the values (not of the rows), and how densely they lie tells how many there are.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use rusqlite::types::ValueRef;
use serde_json::Value;

use crate::db::{
    answer::{ColumnAnalysis, integer_cell, real_cell, text_cell},
    sqlite::{cells, schema::PlacedColumn},
};

/// Hashes that all columns of a call keep together, and the least that one keeps.
const HASHES_TOGETHER_MAX: usize = 1_000_000;
const HASHES_MIN: usize = 4_096;
const HASHES_MAX: usize = 50_000;
/// Values that are kept to be shown, and how many are.
const VALUES_KEPT_MAX: usize = 256;
const SAMPLES: usize = 5;
/// Of a text or blob, this beginning is kept; more is not shown.
const BEGINNING_BYTES: usize = 512;

/// What is known of the table when all is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    /// Its rows, if anybody knows.
    pub(crate) rows: Option<u64>,
    /// Whether all of them were read.
    pub(crate) is_read: bool,
}

/// A value, or its beginning.
#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Integer(i64),
    Real(f64),
    Text(Box<[u8]>),
    Blob(Box<[u8]>, usize),
}

/// One column.
#[derive(Debug)]
pub(crate) struct Tally {
    rows: u64,
    nulls: u64,
    long: u64,
    least: Option<Kept>,
    greatest: Option<Kept>,
    hashes: BTreeMap<u64, u32>,
    hashes_max: usize,
    is_full: bool,
    kept: Vec<(u64, Kept)>,
}

impl Tally {
    /// For one of so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            rows: 0,
            nulls: 0,
            long: 0,
            least: None,
            greatest: None,
            hashes: BTreeMap::new(),
            hashes_max: (HASHES_TOGETHER_MAX / columns.max(1)).clamp(HASHES_MIN, HASHES_MAX),
            is_full: false,
            kept: Vec::new(),
        }
    }

    /// How many values were too long to be read.
    pub(crate) const fn long(&self) -> u64 {
        self.long
    }

    /// Takes the value of the next row; one that has a length and is NULL was too long to be read.
    pub(crate) fn take(&mut self, value: ValueRef<'_>, length: Option<u64>) {
        self.rows += 1;
        let Some(length) = length else {
            self.nulls += 1;
            return;
        };
        if value == ValueRef::Null {
            self.long += 1;
            self.count(hash(&(u8::MAX, length)));
            return;
        }
        let hash = hash_of(value);
        if self.count(hash) && self.kept.len() < VALUES_KEPT_MAX {
            self.kept.extend(kept(value).map(|kept| (hash, kept)));
        }
        if self.least.as_ref().is_none_or(|least| compared(value, least) == Ordering::Less) {
            self.least = kept(value);
        }
        if self.greatest.as_ref().is_none_or(|greatest| compared(value, greatest) == Ordering::Greater) {
            self.greatest = kept(value);
        }
    }

    /// Counts the hash; whether it is new among those that are kept.
    fn count(&mut self, hash: u64) -> bool {
        if let Some(times) = self.hashes.get_mut(&hash) {
            *times = times.saturating_add(1);
            return false;
        }
        let is_beyond = self.is_full && self.hashes.last_key_value().is_some_and(|(greatest, _)| hash > *greatest);
        if is_beyond {
            return false;
        }
        self.hashes.insert(hash, 1);
        if self.hashes.len() > self.hashes_max {
            self.hashes.pop_last();
            self.is_full = true;
        }
        true
    }

    pub(crate) fn finish(self, column: &PlacedColumn, whole: Whole, cell_bytes_max: usize) -> ColumnAnalysis {
        let cell = |kept: &Option<Kept>| kept.as_ref().map_or(Value::Null, |kept| kept.cell(cell_bytes_max));
        ColumnAnalysis {
            name: column.name.clone(),
            declared: column.declared.clone(),
            null_share: (self.rows > 0).then(|| self.nulls as f64 / self.rows as f64),
            distinct: (self.rows > 0).then(|| self.distinct(whole)),
            min: cell(&self.least),
            max: cell(&self.greatest),
            samples: self.samples(cell_bytes_max),
        }
    }

    /// The values that were met most often, of those that were kept.
    fn samples(&self, cell_bytes_max: usize) -> Vec<Value> {
        let mut kept: Vec<_> =
            self.kept.iter().map(|(hash, kept)| (self.hashes.get(hash).copied().unwrap_or_default(), kept)).collect();
        kept.sort_by_key(|(times, _)| std::cmp::Reverse(*times));
        kept.into_iter().take(SAMPLES).map(|(_, kept)| kept.cell(cell_bytes_max)).collect()
    }

    /// About how many different values the column has; of a sample, as Haas and Stokes estimate it (PostgreSQL does
    /// likewise): values that were met once speak for values that were not met.
    fn distinct(&self, whole: Whole) -> u64 {
        let met = self.met();
        let read = (self.rows - self.nulls) as f64;
        let Some(rows) = whole.rows.filter(|_| !whole.is_read) else { return met.round() as u64 };
        if read == 0.0 {
            return 0;
        }
        let all = (rows as f64 * read / self.rows as f64).max(read);
        let once = self.hashes.values().filter(|times| **times == 1).count() as f64;
        let met_once = met * once / self.hashes.len().max(1) as f64;
        let estimate = read * met / (read - met_once + met_once * read / all);
        estimate.clamp(met, all).round() as u64
    }

    fn met(&self) -> f64 {
        match self.hashes.last_key_value() {
            Some((greatest, _)) if self.is_full => {
                (self.hashes.len() - 1) as f64 / (*greatest as f64 / u64::MAX as f64)
            }
            _ => self.hashes.len() as f64,
        }
    }
}

impl Kept {
    fn cell(&self, bytes_max: usize) -> Value {
        match self {
            Self::Integer(number) => integer_cell(*number),
            Self::Real(number) => real_cell(*number),
            Self::Text(bytes) => text_cell(&String::from_utf8_lossy(bytes), bytes_max).0,
            Self::Blob(bytes, length) => cells::blob(bytes, *length, bytes_max),
        }
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(BEGINNING_BYTES)]
}

fn kept(value: ValueRef<'_>) -> Option<Kept> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(Kept::Integer(number)),
        ValueRef::Real(number) => Some(Kept::Real(number)),
        ValueRef::Text(bytes) => Some(Kept::Text(beginning(bytes).into())),
        ValueRef::Blob(bytes) => Some(Kept::Blob(beginning(bytes).into(), bytes.len())),
    }
}

/// In SQLite's order: numbers, then texts, then blobs. Texts are compared byte by byte.
fn compared(value: ValueRef<'_>, to: &Kept) -> Ordering {
    match (value, to) {
        (ValueRef::Integer(one), Kept::Integer(other)) => one.cmp(other),
        (ValueRef::Integer(one), Kept::Real(other)) => (one as f64).total_cmp(other),
        (ValueRef::Real(one), Kept::Integer(other)) => one.total_cmp(&(*other as f64)),
        (ValueRef::Real(one), Kept::Real(other)) => one.total_cmp(other),
        (ValueRef::Text(one), Kept::Text(other)) => beginning(one).cmp(other),
        (ValueRef::Blob(one), Kept::Blob(other, _)) => beginning(one).cmp(other),
        (ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_), _) => Ordering::Less,
        (ValueRef::Text(_), Kept::Blob(..)) => Ordering::Less,
        (ValueRef::Text(_) | ValueRef::Blob(_), _) => Ordering::Greater,
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Equal for values that SQLite calls equal: 1 and 1.0 are.
fn hash_of(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => hash(&0_u8),
        ValueRef::Integer(number) => hash(&(1_u8, number)),
        ValueRef::Real(number) if number as i64 as f64 == number && number.abs() < 9.0e18 => {
            hash(&(1_u8, number as i64))
        }
        ValueRef::Real(number) => hash(&(2_u8, number.to_bits())),
        ValueRef::Text(bytes) => hash(&(3_u8, bytes)),
        ValueRef::Blob(bytes) => hash(&(4_u8, bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(tally: &mut Tally, value: ValueRef<'_>) {
        let length = (value != ValueRef::Null).then_some(1);
        tally.take(value, length);
    }

    #[test]
    fn order_and_sameness_are_sqlites() {
        let mut tally = Tally::new(1);
        for value in [
            ValueRef::Text(b"a"),
            ValueRef::Integer(2),
            ValueRef::Real(2.0),
            ValueRef::Null,
            ValueRef::Blob(b"\0"),
            ValueRef::Real(-1.5),
            ValueRef::Text(b"a"),
        ] {
            take(&mut tally, value);
        }
        assert_eq!((tally.least.clone(), tally.nulls), (Some(Kept::Real(-1.5)), 1));
        assert_eq!(tally.greatest, Some(Kept::Blob(Box::new([0]), 1)));
        assert_eq!(tally.distinct(Whole { rows: Some(7), is_read: true }), 4);
        assert_eq!(tally.samples(100)[..2], [Value::from("a"), Value::from(2)]);
    }

    #[test]
    fn many_different_values_are_estimated_in_bounded_memory() {
        let mut tally = Tally::new(1_000);
        for number in 0..200_000 {
            take(&mut tally, ValueRef::Integer(number % 100_000));
        }
        assert_eq!(tally.hashes.len(), HASHES_MIN);
        let met = tally.distinct(Whole { rows: None, is_read: true });
        assert!((90_000..110_000).contains(&met), "{met}");
    }

    #[test]
    fn sample_speaks_for_the_whole() {
        let (mut unique, mut few) = (Tally::new(2), Tally::new(2));
        for number in 0..10_000 {
            take(&mut unique, ValueRef::Integer(number));
            take(&mut few, ValueRef::Integer(number % 7));
        }
        let whole = Whole { rows: Some(1_000_000), is_read: false };
        assert_eq!(unique.distinct(whole), 1_000_000);
        assert_eq!(few.distinct(whole), 7);
    }
}

//! The words that PostgreSQL takes for the name of a column only behind AS. sqlparser takes them without it, too, and would
//! quietly make a name of `FILTER` or of a `DAY` that was meant to belong to something.

/// PostgreSQL's keywords that are no bare label and that sqlparser would take for one, sorted.
const NO_BARE_LABELS: &[&str] = &[
    "day",
    "filter",
    "hour",
    "isnull",
    "minute",
    "month",
    "notnull",
    "over",
    "overlaps",
    "precision",
    "second",
    "to",
    "varying",
    "within",
    "without",
    "year",
];

/// Whether `word`, folded, names a column only behind AS.
pub(crate) fn wants_as(word: &str) -> bool {
    NO_BARE_LABELS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_of_labels_is_sorted() {
        assert!(super::NO_BARE_LABELS.is_sorted_by(|a, b| a < b));
    }
}

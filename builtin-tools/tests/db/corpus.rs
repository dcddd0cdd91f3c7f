//! The statements of `corpus/`: data files that name each of their statements on a line before it.

/// What the legitimate corpus reads beside the sample shop.
pub(crate) const ODD_TABLES: &str = "
CREATE TABLE \"group\" (\"select\" TEXT, \"order\" INTEGER, deleted INTEGER, attached TEXT, pragma_value TEXT);
INSERT INTO \"group\" VALUES ('a', 2, 0, 'x', NULL), ('b', 1, 1, NULL, 'y');
CREATE TABLE \"odd; \"\"name\"\" --\" (\"a \"\"b\"\"\" TEXT);
INSERT INTO \"odd; \"\"name\"\" --\" VALUES ('found');
CREATE TABLE mixed (v);
INSERT INTO mixed VALUES (1), (1.5), ('text'), (NULL), (x'00ff');
CREATE TABLE made (k INTEGER PRIMARY KEY, doubled INTEGER AS (k * 2) STORED);
INSERT INTO made (k) VALUES (1), (2);
";

/// A statement of the hostile corpus.
#[derive(Debug)]
pub(crate) struct Hostile {
    pub(crate) name: &'static str,
    /// The code of the refusal, or `BOUNDED`.
    pub(crate) expect: &'static str,
    pub(crate) sql: &'static str,
}

/// A statement of the legitimate corpus.
#[derive(Debug)]
pub(crate) struct Legitimate {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

pub(crate) fn hostile() -> Vec<Hostile> {
    let read = |(name, rest): (&'static str, &'static str)| {
        let rest = rest.strip_prefix("-- expect: ").unwrap();
        let (expect, sql) = rest.split_once('\n').unwrap_or((rest, ""));
        Hostile { name, expect, sql }
    };
    named(include_str!("corpus/sqlite_hostile.sql")).into_iter().map(read).collect()
}

pub(crate) fn legitimate() -> Vec<Legitimate> {
    let read = |(name, sql)| Legitimate { name, sql };
    named(include_str!("corpus/sqlite_legitimate.sql")).into_iter().map(read).collect()
}

/// Names and what follows them, without the headings of sections and the empty line before the next.
fn named(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let entries = file.split("-- name: ").skip(1).map(|entry| {
        let entry = entry.split("-- section: ").next().unwrap();
        let (name, rest) = entry.split_once('\n').unwrap();
        (name, rest.trim_end_matches('\n'))
    });
    entries.collect()
}

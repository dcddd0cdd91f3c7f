//! The functions that a statement may call, all of pg_catalog, by family. Volatility is no guide (dumps of whole schemas
//! are "stable", memory bombs are "immutable"), so a name is here because somebody looked at every function of that name:
//! it only computes from its arguments, reaches for nothing, and makes nothing much bigger than what it is given.
//! `repeat`, `lpad`, `rpad`, `array_fill`, `set_config`, `current_setting`, `pg_*`, XML and the like are left out on purpose.

mod families;

use self::families::FAMILIES;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its name in pg_catalog.
    Plain,
    /// A construct of the grammar that looks like a function; it has no schema.
    Construct(&'static str),
    /// A construct of the grammar without parentheses, or with one number in them.
    Moment(&'static str),
    /// `format`, whose widths could ask for any amount of memory.
    Format,
}

const CONSTRUCTS: &[(&str, &str)] = &[
    ("coalesce", "COALESCE"),
    ("greatest", "GREATEST"),
    ("grouping", "GROUPING"),
    ("least", "LEAST"),
    ("nullif", "NULLIF"),
    ("row", "ROW"),
];

const MOMENTS: &[(&str, &str)] = &[
    ("current_date", "CURRENT_DATE"),
    ("current_time", "CURRENT_TIME"),
    ("current_timestamp", "CURRENT_TIMESTAMP"),
    ("localtime", "LOCALTIME"),
    ("localtimestamp", "LOCALTIMESTAMP"),
];

/// How the function `name` of pg_catalog is called, if it may be.
pub(crate) fn plain(name: &str) -> Option<Form> {
    if name == "format" {
        return Some(Form::Format);
    }
    FAMILIES.iter().any(|family| family.binary_search(&name).is_ok()).then_some(Form::Plain)
}

/// The construct of the grammar that the bare word `name` begins, if there is one.
pub(crate) fn construct(name: &str) -> Option<Form> {
    let find =
        |list: &[(&str, &'static str)]| list.iter().find(|(known, _)| *known == name).map(|(_, written)| *written);
    find(CONSTRUCTS).map(Form::Construct).or_else(|| find(MOMENTS).map(Form::Moment))
}

/// Whether `format`'s pattern only puts its arguments in, without widths.
pub(crate) fn is_harmless_format(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(percent) = rest.find('%') {
        rest = &rest[percent + 1..];
        let numbered = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let directive = if numbered.len() < rest.len() { numbered.strip_prefix('$') } else { Some(rest) };
        match directive.and_then(|directive| directive.strip_prefix(['%', 's', 'I', 'L'])) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_family_is_sorted_and_no_name_is_in_two() {
        let mut seen = BTreeSet::new();
        for family in FAMILIES {
            assert!(family.is_sorted_by(|a, b| a < b), "{family:?}");
            for name in *family {
                assert!(seen.insert(*name), "{name} is there twice");
            }
        }
    }

    #[test]
    fn functions_that_reach_or_explode_are_not_on_the_list() {
        for name in [
            "repeat",
            "lpad",
            "rpad",
            "array_fill",
            "set_config",
            "current_setting",
            "pg_sleep",
            "pg_read_file",
            "lo_import",
            "dblink",
            "nextval",
            "currval",
            "setval",
            "lastval",
            "query_to_xml",
            "xpath",
            "ts_stat",
            "ts_rewrite",
            "pg_notify",
            "pg_advisory_lock",
            "txid_current",
            "has_table_privilege",
            "to_regclass",
            "setseed",
            "current_user",
            "inet_server_addr",
            "obj_description",
            "pg_get_viewdef",
            "current_schema",
            "current_database",
            "has_any_column",
        ] {
            assert_eq!((plain(name), construct(name)), (None, None), "{name}");
        }
    }

    #[test]
    fn a_width_makes_format_harmful() {
        for pattern in ["", "plain", "%s and %I", "100 %%", "%1$s %2$L"] {
            assert!(is_harmless_format(pattern), "{pattern}");
        }
        for pattern in ["%10s", "%-5s", "%*s", "%1$*2$s", "%1$5s", "%", "%d", "%1$", "%99999999s"] {
            assert!(!is_harmless_format(pattern), "{pattern}");
        }
    }
}

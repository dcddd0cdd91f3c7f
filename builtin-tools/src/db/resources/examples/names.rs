//! How names are written in SQL: plain where they are plain words, in quotes where anything else would be read into them.

use crate::db::answer::{TableDetail, TableLine};

/// Words that one of the databases does not take as a name without quotes.
const RESERVED: &str = "\
    add all alter analyse analyze and any array as asc between both case cast check collate column commit \
    constraint create cross current_date current_time current_timestamp current_user default deferrable delete \
    desc distinct do drop else end escape except exists false fetch for foreign from full grant group having if in \
    index initially inner insert intersect into is isnull join lateral leading left like limit localtime natural \
    not notnull null offset on only or order outer primary references returning right select session_user set some \
    table then to trailing transaction true union unique user using values variadic when where window with";

/// The name as SQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = begins_well && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match plain && !RESERVED.split(' ').any(|word| word == name) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// What has a table's name, with or without its schema in front.
pub(crate) trait Named {
    /// The name, and the schema.
    fn names(&self) -> (&str, Option<&str>);
}

impl Named for TableDetail {
    fn names(&self) -> (&str, Option<&str>) {
        (&self.name, self.schema.as_deref())
    }
}

impl Named for TableLine {
    fn names(&self) -> (&str, Option<&str>) {
        (&self.name, self.schema.as_deref())
    }
}

/// The table as SQL takes it; the schema is written where the tools write it.
pub(crate) fn table(named: &impl Named) -> String {
    let (name, schema) = named.names();
    let parts = schema.and_then(|schema| Some((schema, name.strip_prefix(schema)?.strip_prefix('.')?)));
    match parts {
        Some((schema, name)) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::fake::line;

    #[test]
    fn names_are_in_quotes_where_they_need_them() {
        for (name, sql) in [
            ("orders", "orders"),
            ("_id2", "_id2"),
            ("order", "\"order\""),
            ("with", "\"with\""),
            ("Orders", "\"Orders\""),
            ("a b", "\"a b\""),
            ("2nd", "\"2nd\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a; DROP TABLE b", "\"a; DROP TABLE b\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(quoted(name), sql);
        }
        let mut of_a_schema = line("app.user", &[]);
        assert_eq!(table(&of_a_schema), "\"app.user\"");
        of_a_schema.schema = Some("app".to_owned());
        assert_eq!(table(&of_a_schema), "app.\"user\"");
    }
}

//! Names of schemas, tables and columns as SQL and as callers write them. Whoever puts a name into SQL does it with
//! [`quoted`]; whoever gets one from a caller reads it with [`readings`].

use patchbay_sql_policy::TableName;

/// The name as an identifier that means exactly it.
pub(in crate::db::postgres) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The table's name as SQL, with its schema.
pub(super) fn qualified(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.schema), quoted(&table.name))
}

/// The text as a literal, whatever `standard_conforming_strings` says.
pub(in crate::db::postgres) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// What a caller may mean by `text`, the likeliest first: the name as it is, a schema and a name at each of its dots, and
/// what PostgreSQL would read there.
pub(super) fn readings(text: &str) -> Vec<(Option<String>, String)> {
    let whole = (None, text.to_owned());
    let parted = text.match_indices('.').map(|(dot, _)| (Some(text[..dot].to_owned()), text[dot + 1..].to_owned()));
    let mut readings: Vec<_> = std::iter::once(whole).chain(parted.take(DOTS_MAX)).collect();
    readings.extend(as_sql(text));
    readings
}

/// The most dots that are tried; more are in no name that somebody chose.
const DOTS_MAX: usize = 8;

/// One or two identifiers as PostgreSQL reads them: quoted ones exactly, others in lower case.
fn as_sql(text: &str) -> Option<(Option<String>, String)> {
    let (first, rest) = identifier(text.trim())?;
    if rest.is_empty() {
        return Some((None, first));
    }
    let (second, rest) = identifier(rest.strip_prefix('.')?)?;
    rest.is_empty().then_some((Some(first), second))
}

fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_lowercase(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_quotes_stays_one_name() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
        assert_eq!(literal(r"it's \ all"), r"E'it''s \\ all'");
    }

    #[test]
    fn names_are_read_as_they_are_listed_and_as_sql_writes_them() {
        let read = |text: &str| readings(text);
        let part = |schema: &str, name: &str| (Some(schema.to_owned()), name.to_owned());
        assert_eq!(read("orders")[0], (None, "orders".to_owned()));
        assert!(read("Shop.Orders").contains(&part("shop", "orders")));
        assert!(read("a.b.c").contains(&part("a.b", "c")) && read("a.b.c").contains(&part("a", "b.c")));
        assert!(read(r#""We""ird"."a.b""#).contains(&part("We\"ird", "a.b")));
        for broken in ["", "\"open", "a.", ".b", "\"a\"b"] {
            assert!(as_sql(broken).is_none(), "{broken}");
        }
        assert!(readings(&".".repeat(10_000)).len() < 12);
    }
}

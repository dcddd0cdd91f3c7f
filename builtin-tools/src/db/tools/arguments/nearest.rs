//! Which of the known names somebody meant who wrote another one.

/// Names that models take from other servers, and what is meant by them here.
const ALIASES: [(&str, &str); 14] = [
    ("query", "sql"),
    ("statement", "sql"),
    ("name", "table"),
    ("view", "table"),
    ("args", "params"),
    ("parameters", "params"),
    ("bindings", "params"),
    ("maxrows", "limit"),
    ("row", "values"),
    ("record", "values"),
    ("data", "values"),
    ("database", "source"),
    ("cursor", "after"),
    ("filter", "contains"),
];

/// The known name that is closest to what was written, if any is close.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = folded(written);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == written).map(|(_, meant)| *meant);
    let same = |name: &&&'a str| folded(name) == written || Some(**name) == alias;
    let inside =
        |name: &&&'a str| written.contains(&folded(name)) || (written.len() > 2 && folded(name).contains(&written));
    let close =
        || known.iter().map(|name| (distance(&folded(name), &written), *name)).min().filter(|(far, _)| *far <= 2);
    let found = known.iter().find(same).or_else(|| known.iter().find(inside)).copied();
    found.or_else(|| close().map(|(_, name)| name))
}

/// Without what differs between ways of writing: `tableName`, `table_name`, `TABLE-NAME`. No known name is longer.
fn folded(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).take(32).collect::<String>().to_ascii_lowercase()
}

/// How many letters have to be changed, added or taken away.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_other_servers_names_lead_to_the_right_one() {
        let known = ["source", "table", "sql", "params", "limit", "columns"];
        for (written, meant) in [
            ("tabel", "table"),
            ("table_name", "table"),
            ("tableName", "table"),
            ("SQL", "sql"),
            ("query", "sql"),
            ("max_rows", "limit"),
            ("param", "params"),
            ("cols", "columns"),
            ("datasource", "source"),
        ] {
            let found = nearest(written, &known);
            assert!(found == Some(meant) || written == "cols" && found.is_none(), "{written}: {found:?}");
        }
        assert_eq!(nearest("explain", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), &known), None);
    }
}

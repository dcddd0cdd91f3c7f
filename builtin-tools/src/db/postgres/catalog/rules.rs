//! Which tables the operator offers, as the options say: schemas, names and globs. Pure; `visible` asks for each table
//! that the role may read, `probe` for each that it may add to.

use globset::{Glob, GlobMatcher};
use patchbay_sql_policy::TableName;

use crate::OptionsError;

/// The most schemas of a source, and the most names or globs in a list.
const SCHEMAS_MAX: usize = 64;
const RULES_MAX: usize = 1_000;
/// What makes a name a glob.
const GLOB_SIGNS: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// Which tables are offered.
///
/// A rule is a name or a glob (`*`, `?`, `[a-z]`, `{one,two}`, and `\` before a sign that is meant as it is). With a dot
/// in it, what stands before the first dot is the schema and the rest the table; without, it is the table in any of the
/// source's schemas. Names are compared exactly, as the catalog has them: `Orders` is not `orders`.
#[derive(Debug, Clone)]
pub(crate) struct TableRules {
    schemas: Vec<String>,
    tables: Option<Vec<Rule>>,
    inserts: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    text: String,
    schema: Option<GlobMatcher>,
    table: GlobMatcher,
}

impl TableRules {
    /// Of the options `schemas`, `tables` (`None` is all) and `inserts`.
    pub(crate) fn new(schemas: &[String], tables: Option<&[String]>, inserts: &[String]) -> Result<Self, OptionsError> {
        let schemas = checked_schemas(schemas)?;
        let tables = tables.map(|tables| rules("tables", tables, &schemas)).transpose()?;
        let inserts = rules("inserts", inserts, &schemas)?;
        Ok(Self { schemas, tables, inserts })
    }

    /// The schemas, in the order of looking up.
    pub(crate) fn schemas(&self) -> &[String] {
        &self.schemas
    }

    /// Whether the table is offered, if the role may read it.
    pub(super) fn offers(&self, table: &TableName) -> bool {
        self.schemas.contains(&table.schema)
            && self.tables.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.matches(table)))
    }

    /// Whether rows may be added to the table.
    pub(super) fn opens(&self, table: &TableName) -> bool {
        self.offers(table) && self.inserts.iter().any(|rule| rule.matches(table))
    }

    /// The rules that none of `tables` meets, as they were written: the misspelt ones.
    pub(super) fn unmet<'a>(&'a self, tables: &(impl Iterator<Item = &'a TableName> + Clone)) -> Vec<&'a str> {
        let rules = self.tables.iter().flatten().chain(&self.inserts);
        rules.filter(|rule| !tables.clone().any(|table| rule.matches(table))).map(|rule| rule.text.as_str()).collect()
    }
}

impl Rule {
    fn matches(&self, table: &TableName) -> bool {
        self.schema.as_ref().is_none_or(|schema| schema.is_match(&table.schema)) && self.table.is_match(&table.name)
    }
}

fn checked_schemas(given: &[String]) -> Result<Vec<String>, OptionsError> {
    let refuse = |why: String| Err(OptionsError::Meaning("schemas".into(), why));
    if !(1..=SCHEMAS_MAX).contains(&given.len()) {
        return refuse(format!("expected 1 to {SCHEMAS_MAX} names of schemas"));
    }
    let mut schemas: Vec<String> = Vec::new();
    for schema in given {
        let own = schema == "information_schema" || schema.starts_with("pg_");
        if own || schema.is_empty() {
            return refuse(format!("`{schema}` is no schema with tables of yours; name one that is"));
        }
        if !schemas.contains(schema) {
            schemas.push(schema.clone());
        }
    }
    Ok(schemas)
}

fn rules(option: &'static str, given: &[String], schemas: &[String]) -> Result<Vec<Rule>, OptionsError> {
    if given.len() > RULES_MAX {
        return Err(OptionsError::Meaning(option.into(), format!("expected at most {RULES_MAX} names or globs")));
    }
    given.iter().map(|text| rule(option, text, schemas)).collect()
}

fn rule(option: &'static str, text: &str, schemas: &[String]) -> Result<Rule, OptionsError> {
    let refuse = |why: String| OptionsError::Meaning(option.into(), why);
    let glob = |part: &str| match Glob::new(part) {
        Ok(glob) if !part.is_empty() => Ok(glob.compile_matcher()),
        Ok(_) => Err(refuse(format!("`{text}` has an empty part; write `table` or `schema.table`"))),
        Err(error) => Err(refuse(format!(
            "`{text}` is no name and no glob ({}); write \\ before a sign that is \
             part of the name",
            error.kind()
        ))),
    };
    let (schema, table) = parted(text);
    let schema = match schema {
        Some(schema) => Some(glob(schema)?),
        None => None,
    };
    if schema.as_ref().is_some_and(|schema| !schemas.iter().any(|offered| schema.is_match(offered))) {
        let offered = schemas.join(", ");
        return Err(refuse(format!("the schema of `{text}` is none of the option `schemas` ({offered})")));
    }
    Ok(Rule { text: text.to_owned(), schema, table: glob(table)? })
}

/// The schema and the table of a rule.
pub(super) fn parted(rule: &str) -> (Option<&str>, &str) {
    match rule.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, rule),
    }
}

/// Whether the text is a glob that is more than a name.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(GLOB_SIGNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn table(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn rule_never_reaches_beyond_the_schemas_or_its_own_schema() {
        let rules = TableRules::new(&owned(&["shop", "hr"]), Some(&owned(&["shop.*", "staff"])), &[]).unwrap();
        assert!(rules.offers(&table("shop", "orders")) && rules.offers(&table("hr", "staff")));
        assert!(!rules.offers(&table("hr", "salaries")));
        assert!(!rules.offers(&table("hr", "shop.orders")), "a table with a dot in its name is not the schema `shop`");
        assert!(!rules.offers(&table("secret", "staff")));
        assert!(!rules.offers(&table("shop2", "orders")) && !rules.offers(&table("hr", "Staff")));
    }

    #[test]
    fn globs_mean_what_the_documentation_says() {
        let rules = TableRules::new(&owned(&["s"]), Some(&owned(&["o?d*", "{a,b}", "s.x.y", r"lit\*"])), &[]).unwrap();
        for name in ["orders", "odd", "a", "b", "x.y", "lit*"] {
            assert!(rules.offers(&table("s", name)), "{name}");
        }
        assert!(!rules.offers(&table("s", "od")) && !rules.offers(&table("s", "c")));
        assert!(!rules.offers(&table("s", "xxy")) && !rules.offers(&table("s", "literal")));
    }

    #[test]
    fn inserts_need_the_table_to_be_offered_too() {
        let rules = TableRules::new(&owned(&["s"]), Some(&owned(&["a"])), &owned(&["*"])).unwrap();
        assert!(rules.opens(&table("s", "a")) && !rules.opens(&table("s", "b")));
        let none = TableRules::new(&owned(&["s"]), None, &[]).unwrap();
        assert!(none.offers(&table("s", "b")) && !none.opens(&table("s", "b")));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let refused = |schemas: &[&str], tables: &[&str]| {
            TableRules::new(&owned(schemas), Some(&owned(tables)), &[]).unwrap_err().to_string()
        };
        assert!(refused(&[], &[]).contains("schemas"));
        assert!(refused(&["pg_catalog"], &[]).contains("pg_catalog"));
        assert!(refused(&["information_schema"], &[]).contains("information_schema"));
        assert!(refused(&["s"], &["hr.staff"]).contains("hr.staff"));
        assert!(refused(&["s"], &["a[b"]).contains("a[b"));
        assert!(refused(&["s"], &["s."]).contains("empty"));
    }

    #[test]
    fn rules_that_meet_nothing_are_told() {
        let rules =
            TableRules::new(&owned(&["s"]), Some(&owned(&["orders", "ordres", "x*"])), &owned(&["new"])).unwrap();
        let there = [table("s", "orders")];
        assert_eq!(rules.unmet(&there.iter()), ["ordres", "x*", "new"]);
    }
}

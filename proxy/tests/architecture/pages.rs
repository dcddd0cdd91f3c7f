//! The tables of docs/ against the code that they describe: errors, fields of the configuration. The metrics are in `eyes.rs`.

use std::collections::BTreeSet;

use crate::{bounds, nothing_of, product, read};

/// The texts in quotes that follow a mark.
fn after<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    let quoted = |(at, _): (usize, &str)| text[at + mark.len()..].split('"').next();
    text.match_indices(mark).filter_map(quoted).collect()
}

fn missing(page: &str, what: &str, wanted: &BTreeSet<&str>, at_least: usize) -> Vec<String> {
    assert!(wanted.len() >= at_least, "only {} of the {what} were found: {wanted:?}", wanted.len());
    let text = read(page);
    let gone = wanted.iter().filter(|word| !text.contains(&format!("`{word}`")));
    gone.map(|word| format!("{page} lacks the {what} `{word}`: add its row")).collect()
}

#[test]
fn every_label_and_code_of_the_error_table_is_on_its_page() {
    let code = product(&read("proxy/src/error.rs"));
    let labels = ["Caller, \"", "Gateway, \"", "Server, \""].iter().flat_map(|blame| after(&code, blame)).collect();
    let mut findings = missing("docs/errors.md", "label", &labels, 20);
    let codes =
        code.lines().filter_map(|line| line.strip_prefix("pub const CODE_")?.split(" = ").nth(1)?.strip_suffix(';'));
    let codes: BTreeSet<_> = codes.collect();
    assert!(codes.len() >= 5, "only {} codes were found: {codes:?}", codes.len());
    let page = read("docs/errors.md");
    let gone = codes.iter().filter(|code| !page.contains(&format!("| {code} |")));
    findings.extend(gone.map(|code| format!("docs/errors.md has no row with the code {code}")));
    let relay = product(&read("proxy/src/dispatch/relay.rs"));
    let faults = relay.split("fn fault_label").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    findings.extend(missing("docs/errors.md", "fault", &after(faults, "=> \""), 8));
    nothing_of(&findings);
}

#[test]
fn every_field_of_the_configuration_is_on_its_page_with_its_default() {
    let page = read("docs/configuration.md");
    let mut findings = Vec::new();
    for (field, default) in bounds::fields() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{field}` |")));
        match row {
            None => findings.push(format!("docs/configuration.md lacks the field `{field}`: add its row")),
            Some(row) if !default.is_null() && !row.contains(&format!("`{}`", shown(&default))) => {
                findings.push(format!(
                    "docs/configuration.md gives another default for `{field}` than {default}: correct it"
                ));
            }
            Some(_) => {}
        }
    }
    nothing_of(&findings);
}

/// A default as the page writes it.
fn shown(default: &serde_json::Value) -> String {
    match default {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

//! docs/limits.md against the code: every bound that the page names is there with that number, and every bound of the code is
//! on the page. The page's rows are `| what | name | number | where | beyond |`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Source, names, nothing_of, read, sources};

const PAGE: &str = "docs/limits.md";
/// The shipped code; a bound of the tests is theirs.
const SHIPPED: [&str; 9] = [
    "proxy/src/",
    "proxy/core/src/",
    "proxy/store/src/",
    "proxy/limit/src/",
    "proxy/downstream/src/",
    "proxy/token/src/",
    "config/src/",
    "builtin-tools/src/",
    "builtin-tools/sql-policy/src/",
];

/// A row of the page.
struct Row {
    name: String,
    number: String,
    place: String,
}

fn rows() -> Vec<Row> {
    let page = read(PAGE);
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with('|')).map(cells).filter(|cells| cells.len() == 5);
    let ticked = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let rows = rows.filter_map(|cells| {
        Some(Row { name: ticked(&cells[1])?, number: cells[2].clone(), place: ticked(&cells[3])? })
    });
    rows.collect()
}

fn is_constant(name: &str) -> bool {
    name.len() > 2 && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The constants of a source with what they are set to.
fn constants(source: &Source) -> BTreeMap<&str, &str> {
    let of_line = |line| {
        let (_, constant): (&str, &str) = str::split_once(line, "const ")?;
        let (name, rest) = constant.split_once(':')?;
        let (_, value) = rest.split_once(" = ")?;
        Some((name, value.trim_end_matches(';')))
    };
    source.product.lines().filter_map(of_line).collect()
}

/// A number of the code; times in milliseconds. `None` for what is no plain number.
fn of_code(name: &str, text: &str) -> Option<u64> {
    let text = text.replace("std::time::", "");
    if let Some(inner) = text.strip_prefix("Duration::from_").and_then(|rest| rest.strip_suffix(')')) {
        let (unit, count) = inner.split_once('(')?;
        return Some(product(count)? * if unit == "secs" { 1000 } else { 1 });
    }
    let number = product(&text)?;
    Some(if name.ends_with("_S") { number * 1000 } else { number })
}

fn product(text: &str) -> Option<u64> {
    let plain = |part: &str| part.trim().replace('_', "").parse::<u64>().ok();
    match text.split_once("<<") {
        Some((one, shift)) => Some(plain(one)? << plain(shift)?),
        None => text.split('*').map(plain).product(),
    }
}

/// A number of the page: `64 KiB`, `1,024`, `250 ms`.
fn of_page(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = number.replace(',', "").parse::<u64>().ok()?;
    let factor = match unit {
        "" | "ms" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(number * factor)
}

/// The fields of `patchbay.yaml` with their defaults.
pub(crate) fn fields() -> BTreeMap<String, Value> {
    let schema: Value = serde_json::from_str(&read("config/patchbay.schema.json")).unwrap();
    let mut found = BTreeMap::new();
    walk(&schema, &schema, "", &mut found);
    found
}

fn walk(schema: &Value, node: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let named = node["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
    let whole = named.map_or(node, |name| &schema["$defs"][name]);
    match whole["properties"].as_object() {
        Some(fields) => fields.iter().for_each(|(name, field)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(schema, field, &path, found);
        }),
        None => drop(found.insert(path.to_owned(), node["default"].clone())),
    }
}

#[test]
fn every_bound_on_the_page_is_in_the_code_with_that_number() {
    let (sources, fields) = (sources(), fields());
    let mut findings = Vec::new();
    for Row { name, number, place } in rows() {
        let mut say = |what: String| findings.push(format!("{PAGE} says `{name}` is {number} in {place}, but {what}"));
        if let Some(default) = fields.get(&name) {
            let stated = of_page(&number).map(|number| {
                if name.ends_with("_s") {
                    number / 1000
                } else if name.ends_with("_hours") {
                    number / 3_600_000
                } else if name.ends_with("_mib") {
                    number >> 20
                } else {
                    number
                }
            });
            if default.as_u64().is_some() && default.as_u64() != stated {
                say(format!("its default is {default}"));
            }
            continue;
        }
        let Some(source) = sources.iter().find(|source| source.path == place) else {
            say("there is no such file".to_owned());
            continue;
        };
        if !is_constant(&name) {
            if !names(&source.product, &name) {
                say("it is not named there".to_owned());
            }
            continue;
        }
        match constants(source).get(&*name) {
            None => say("there is no such constant".to_owned()),
            Some(text) => match (of_code(&name, text), of_page(&number)) {
                (Some(is), Some(stated)) if is != stated => say(format!("it is {text}")),
                _ => {}
            },
        }
    }
    nothing_of(&findings);
}

#[test]
fn every_bound_of_the_code_is_on_the_page() {
    let rows: BTreeSet<_> = rows().into_iter().map(|row| (row.place, row.name)).collect();
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| source.is_under(&SHIPPED) && !source.is_test()) {
        for (name, text) in constants(source) {
            if name.ends_with("_MAX") && !rows.contains(&(source.path.clone(), name.to_owned())) {
                findings.push(format!("{}: {name} = {text} is a bound, and every bound is in {PAGE}: add its row, with what happens beyond it", source.path));
            }
        }
    }
    let on_page: BTreeSet<_> = rows.iter().map(|(_, name)| name.as_str()).collect();
    let limits = fields();
    let bounds = limits.iter().filter(|(field, default)| field.starts_with("limits.") && !default.is_boolean());
    let missing = bounds.map(|(field, _)| field).filter(|field| !on_page.contains(field.as_str()));
    findings.extend(
        missing.map(|field| format!("{field} of patchbay.yaml is a bound, and every bound is in {PAGE}: add its row")),
    );
    nothing_of(&findings);
}

#[test]
fn names_in_ticks_on_the_page_exist() {
    let (page, sources) = (read(PAGE), sources());
    let ticked = page.split('`').skip(1).step_by(2);
    let constants: BTreeSet<_> =
        ticked.filter(|name| is_constant(name) && !name.starts_with("PATCHBAY_") && name.contains('_')).collect();
    assert!(constants.len() > 50, "only {} constants were found in {PAGE}", constants.len());
    let gone = constants
        .into_iter()
        .filter(|name| !sources.iter().any(|source| names(&source.product, &format!("const {name}"))));
    let findings: Vec<_> =
        gone.map(|name| format!("{PAGE} names {name}, which is in no source: correct the page")).collect();
    nothing_of(&findings);
}

#[test]
fn numbers_are_read_as_people_and_programs_write_them() {
    for (name, code, page) in [
        ("A_MAX", "1 << 20", "1 MiB"),
        ("A_MAX", "32 * 1024", "32 KiB"),
        ("A_MAX", "100_000", "100,000"),
        ("A_MAX", "Duration::from_millis(250)", "250 ms"),
        ("IDLE_S", "900", "15 min"),
        ("A_MAX", "std::time::Duration::from_secs(60 * 60)", "1 h"),
    ] {
        assert_eq!(of_code(name, code), of_page(page), "{code} and {page}");
        assert!(of_page(page).is_some());
    }
    assert_eq!(of_code("A_MAX", "4 * OTHER"), None);
}

//! What operators look at against the code: docs/metrics.md, the dashboards and the alert rules. Every metric that they name is
//! one of the gateway's, with the labels that it has. Queries are read roughly here; that they evaluate is shown by a real
//! Prometheus in the end-to-end tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    process::Command,
};

use patchbay::metrics::{Described, Kind, Metrics};
use serde_json::Value;

use crate::{nothing_of, read, root};

const PAGE: &str = "docs/metrics.md";
const DASHBOARDS: &str = "helm/dashboards";
const RULES: &str = "helm/rules/patchbay.yaml";
const RULE_TESTS: &str = "helm/rules/tests";
/// Labels that Prometheus puts on every series.
const ITS_OWN: [&str; 2] = ["job", "instance"];
/// Grafana's grid.
const GRID_COLUMNS: u64 = 24;

fn metrics() -> Vec<Described> {
    Metrics::default().described().to_vec()
}

/// A query on the page, a panel or a rule, with where it stands.
struct Query {
    place: String,
    text: String,
    /// Labels that are shown beside its result.
    shown: Vec<String>,
}

/// What a query says of one metric.
#[derive(Debug, PartialEq)]
struct Named<'a> {
    name: &'a str,
    labels: Vec<&'a str>,
}

/// The metrics of ours that a query names, with the labels that it selects by.
fn named(query: &str) -> Vec<Named<'_>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let begins = query.match_indices("patchbay_").map(|(at, _)| at);
    let begins = begins.filter(|at| !query[..*at].ends_with(is_part) && !is_in_quotes(query, *at));
    let one = |at: usize| {
        let rest = &query[at..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let selector = rest[end..].trim_start().strip_prefix('{');
        Named { name: &rest[..end], labels: selector.map(selected).unwrap_or_default() }
    };
    begins.map(one).collect()
}

fn is_in_quotes(text: &str, at: usize) -> bool {
    text[..at].matches('"').count() % 2 == 1
}

/// The labels of a selector, of which the opening brace is gone.
fn selected(rest: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once(['=', '!']) {
        labels.push(label.trim_matches([',', ' ', '\n']));
        let Some((_, after)) = after.split_once('"') else { break };
        let Some((_, after)) = after.split_once('"') else { break };
        rest = after;
        if rest.trim_start().starts_with('}') {
            break;
        }
    }
    labels
}

/// The labels that a query groups or joins by.
fn grouped(query: &str) -> BTreeSet<&str> {
    let words = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    let mut labels = BTreeSet::new();
    for (at, _) in query.match_indices('(') {
        let before = query[..at].trim_end();
        let word = before.rsplit(|c: char| !(c.is_ascii_alphabetic() || c == '_')).next().unwrap_or_default();
        if words.contains(&word) {
            let inside = query[at + 1..].split(')').next().unwrap_or_default();
            labels.extend(inside.split(',').map(str::trim).filter(|label| !label.is_empty()));
        }
    }
    labels
}

/// The metric that a name in a query stands for: of a histogram there are three.
fn described<'a>(all: &'a [Described], name: &str) -> Option<&'a Described> {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    let of = |name: &str, is_histogram: bool| {
        all.iter().find(|one| one.name == name && (one.kind == Kind::Histogram) == is_histogram)
    };
    of(name, false).or_else(|| histogram.and_then(|name| of(name, true)))
}

/// What is wrong with a query.
fn faults(all: &[Described], query: &Query) -> Vec<String> {
    let mut known: BTreeSet<&str> = ITS_OWN.into();
    let mut found = Vec::new();
    let place = &query.place;
    for Named { name, labels } in named(&query.text) {
        let Some(one) = described(all, name) else {
            found.push(format!("{place} names {name}, which the gateway does not have"));
            continue;
        };
        let mut has: BTreeSet<&str> = one.labels.iter().copied().chain(ITS_OWN).collect();
        if one.kind == Kind::Histogram {
            has.insert("le");
        }
        let wrong = labels.iter().filter(|label| !has.contains(*label));
        found.extend(wrong.map(|label| format!("{place} selects {name} by {label}, which is no label of it")));
        known.extend(has);
    }
    let by = grouped(&query.text);
    let shown = query.shown.iter().map(String::as_str);
    let wrong = by.iter().copied().chain(shown).filter(|label| !known.contains(label));
    found.extend(wrong.map(|label| format!("{place} uses the label {label}, which none of its metrics has")));
    found
}

/// The words in double braces, as legends have them.
fn braced(text: &str) -> Vec<String> {
    text.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned())).collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root().join(DASHBOARDS)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.ends_with(".json"), "{DASHBOARDS}/{name} is no dashboard");
        (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let all = dashboard["panels"].as_array().unwrap();
    assert!(all.len() > 5);
    all.iter()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Each alert of the rules, as YAML has it.
fn alerts() -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let place = format!("{DASHBOARDS}/{file}, panel `{}`,", text(panel, "title"));
            for target in panel["targets"].as_array().into_iter().flatten() {
                let shown = braced(text(target, "legendFormat"));
                queries.push(Query { place: place.clone(), text: text(target, "expr").to_owned(), shown });
            }
        }
        for variable in dashboard["templating"]["list"].as_array().unwrap() {
            let place = format!("{DASHBOARDS}/{file}, variable {},", text(variable, "name"));
            // `label_values(metric{…}, label)`
            if let Some(inside) = text(variable, "definition").strip_prefix("label_values(") {
                let (metric, label) = inside.trim_end_matches(')').rsplit_once(',').unwrap();
                queries.push(Query { place, text: metric.to_owned(), shown: vec![label.trim().to_owned()] });
            }
        }
    }
    for alert in alerts() {
        let shown = alert["annotations"].as_object().unwrap().values().filter_map(Value::as_str);
        let labels = shown.flat_map(|text| {
            let used = text.split("$labels.").skip(1);
            used.filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next())
        });
        queries.push(Query {
            place: format!("{RULES}, {},", text(&alert, "alert")),
            shown: labels.map(str::to_owned).collect(),
            text: text(&alert, "expr").to_owned(),
        });
    }
    assert!(queries.len() > 100, "only {} queries were found", queries.len());
    queries
}

#[test]
fn the_page_has_every_metric_with_its_type_and_its_labels() {
    let page = read(PAGE);
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `patchbay_")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert!(rows.insert(cells[0].trim_matches('`'), cells).is_none(), "{PAGE} has a metric twice: {line}");
    }
    let mut findings = Vec::new();
    let metrics = metrics();
    assert!(metrics.len() > 50, "only {} metrics were found", metrics.len());
    for Described { name, kind, labels } in &metrics {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let wanted = [format!("`{name}`"), kind.as_str().to_owned(), labels.join(", ")];
        match rows.remove(name) {
            None => findings.push(format!("{PAGE} lacks {name}: add its row")),
            Some(cells) if cells.len() != 5 || cells[..3] != wanted || cells[3].is_empty() => {
                findings.push(format!(
                    "{PAGE} says otherwise of {name}: expected | {} | meaning | what to do |",
                    wanted.join(" | ")
                ));
            }
            Some(_) => {}
        }
    }
    findings.extend(
        rows.into_keys().map(|name| format!("{PAGE} has {name}, which the gateway does not: take its row out")),
    );
    nothing_of(&findings);
}

#[test]
fn every_query_names_what_the_gateway_has() {
    let all = metrics();
    let findings: Vec<_> = queries().iter().flat_map(|query| faults(&all, query)).collect();
    nothing_of(&findings);
}

#[test]
fn every_metric_is_looked_at_by_somebody() {
    let (all, queries) = (metrics(), queries());
    let used: BTreeSet<_> = queries
        .iter()
        .flat_map(|query| named(&query.text))
        .filter_map(|named| described(&all, named.name).map(|one| one.name))
        .collect();
    let unused = all.iter().filter(|one| !used.contains(one.name));
    let findings: Vec<_> = unused.map(|one| format!("no dashboard and no rule looks at {}", one.name)).collect();
    nothing_of(&findings);
}

#[test]
fn dashboards_can_be_loaded_anywhere_and_each_panel_explains_itself() {
    let mut findings = Vec::new();
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        let mut say = |what: String| findings.push(format!("{DASHBOARDS}/{file}: {what}"));
        if !uids.insert(text(&dashboard, "uid").to_owned()) || text(&dashboard, "title").is_empty() {
            say("needs a uid of its own and a title".to_owned());
        }
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let names: BTreeSet<_> = variables.iter().map(|variable| text(variable, "name")).collect();
        if text(&variables[0], "type") != "datasource" || text(&variables[0], "name") != "datasource" {
            say("its first variable has to be the data source".to_owned());
        }
        let mut ids = BTreeSet::new();
        let parts = panels(&dashboard)
            .flat_map(|panel| std::iter::once(panel).chain(panel["targets"].as_array().into_iter().flatten()));
        for part in parts.chain(variables).filter(|part| part.get("datasource").is_some()) {
            if text(&part["datasource"], "uid") != "${datasource}" {
                say(format!("{} has a data source of its own", text(part, "title")));
            }
        }
        for panel in panels(&dashboard) {
            let title = text(panel, "title");
            if title.is_empty() || !ids.insert(panel["id"].as_u64()) {
                say(format!("a panel needs a title and an id of its own: `{title}`"));
            }
            if text(panel, "type") == "row" {
                continue;
            }
            if text(panel, "description").len() < 10 || text(&panel["fieldConfig"]["defaults"], "unit").is_empty() {
                say(format!("the panel `{title}` needs a description and a unit"));
            }
            let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
            if targets.is_empty() {
                say(format!("the panel `{title}` has no query"));
            }
            for query in targets.iter().map(|target| text(target, "expr")) {
                let used = query
                    .split('$')
                    .skip(1)
                    .map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
                let unknown = used.flatten().filter(|name| !names.contains(name) && *name != "__rate_interval");
                unknown
                    .for_each(|name| say(format!("the panel `{title}` uses the variable {name}, which is not there")));
                if !query.contains("instance=~\"$instance\"") {
                    say(format!("the panel `{title}` does not follow the choice of instances"));
                }
            }
        }
        overlaps(&dashboard).into_iter().for_each(&mut say);
    }
    nothing_of(&findings);
}

/// Panels that lie over each other, or beyond the edge.
fn overlaps(dashboard: &Value) -> Vec<String> {
    let mut taken: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        let title = text(panel, "title");
        if at("w") == 0 || at("h") == 0 || at("x") + at("w") > GRID_COLUMNS {
            found.push(format!("the panel `{title}` is not on the grid"));
        }
        let fields = (at("y")..at("y") + at("h")).flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)));
        let under: BTreeSet<_> = fields.filter_map(|field| taken.insert(field, title)).collect();
        found.extend(under.into_iter().map(|under| format!("the panel `{title}` lies over `{under}`")));
    }
    found
}

#[test]
fn every_alert_says_what_is_and_where_to_read_on() {
    let page = read(PAGE);
    let mut findings = Vec::new();
    let alerts = alerts();
    for alert in &alerts {
        let name = text(alert, "alert");
        let mut say = |what: &str| findings.push(format!("{RULES}: {name} {what}"));
        let (severity, notes) = (text(&alert["labels"], "severity"), &alert["annotations"]);
        if !name.starts_with("Patchbay") || !["critical", "warning", "info"].contains(&severity) {
            say("needs a name that begins with Patchbay, and a severity");
        }
        if text(notes, "summary").len() < 10 || text(notes, "description").len() < 10 {
            say("needs a summary and a description");
        }
        let (book, anchor) = text(notes, "runbook").split_once('#').unwrap_or_default();
        if !book.starts_with("docs/") || !headings(&read(book)).contains(anchor) {
            say("needs a runbook: a page in docs/ and a heading of it");
        }
        if !page.contains(&format!("| `{name}` | {severity} |")) {
            say(&format!("is not in the table of alerts in {PAGE}, with its severity {severity}"));
        }
    }
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `Patchbay")?.split('`').next());
    let gone =
        rows.filter(|row| !alerts.iter().any(|alert| text(alert, "alert").strip_prefix("Patchbay") == Some(*row)));
    findings.extend(gone.map(|row| format!("{PAGE} has an alert Patchbay{row} that is not in {RULES}")));
    nothing_of(&findings);
}

/// The anchors of a page's headings.
fn headings(page: &str) -> BTreeSet<String> {
    let heads = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    heads
        .map(|head| {
            let kept =
                head.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
            kept.replace(' ', "-")
        })
        .collect()
}

/// The program that checks rules, where it is: always in `cargo xtask test`.
fn promtool() -> Option<Command> {
    let named = env::var_os("PATCHBAY_TEST_PROMTOOL").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        named.or_else(|| env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.is_file()));
    let is_required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
    assert!(found.is_some() || !is_required, "promtool is not here: it is in the package prometheus");
    found.map(Command::new)
}

fn expect_good(mut command: Command) {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}\n{text}");
}

#[test]
fn rules_are_well_formed_and_fire_when_they_should() {
    let Some(mut check) = promtool() else { return };
    check.args(["check", "rules"]).arg(root().join(RULES));
    expect_good(check);
    let mut test = promtool().unwrap();
    let files: Vec<_> = fs::read_dir(root().join(RULE_TESTS)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3);
    test.args(["test", "rules"]).args(files);
    expect_good(test);
}

#[test]
fn every_alert_that_wakes_somebody_has_a_test_of_when_it_fires() {
    let files = fs::read_dir(root().join(RULE_TESTS)).unwrap();
    let tests: String = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let critical = alerts().into_iter().filter(|alert| text(&alert["labels"], "severity") == "critical");
    let untested = critical.filter(|alert| !tests.contains(&format!("alertname: {}\n", text(alert, "alert"))));
    let findings: Vec<_> =
        untested.map(|alert| format!("{RULE_TESTS} has no test of {}", text(&alert, "alert"))).collect();
    nothing_of(&findings);
}

#[test]
fn what_a_query_names_is_found_in_all_its_spellings() {
    let query = r#"sum by (tenant, le) (rate(patchbay_a_bucket{job=~"$job",tenant!="patchbay_x", le = "1"}[5m])) / on(job) group_left (tenant) patchbay_b > patchbay_c{}"#;
    let found = named(query);
    assert_eq!(found[0], Named { name: "patchbay_a_bucket", labels: vec!["job", "tenant", "le"] });
    assert_eq!(
        found[1..],
        [Named { name: "patchbay_b", labels: vec![] }, Named { name: "patchbay_c", labels: vec![] }]
    );
    assert_eq!(grouped(query), BTreeSet::from(["job", "le", "tenant"]));
    assert_eq!(braced("{{ tenant }} p{{le}}"), ["tenant", "le"]);
    assert_eq!(headings("# A `b`, c\n## It is-well\n").into_iter().collect::<Vec<_>>(), ["a-b-c", "it-is-well"]);
}

#[test]
fn a_query_that_is_wrong_is_found() {
    let all = metrics();
    let query = |text: &str, shown: &[&str]| Query {
        place: "here".to_owned(),
        text: text.to_owned(),
        shown: shown.iter().map(|label| (*label).to_owned()).collect(),
    };
    for (text, shown, expected) in [
        ("patchbay_no_such", &[][..], "names patchbay_no_such"),
        ("patchbay_request_seconds", &[], "names patchbay_request_seconds"),
        ("patchbay_in_flight_count", &[], "names patchbay_in_flight_count"),
        (r#"patchbay_in_flight{tenant="a"}"#, &[], "selects patchbay_in_flight by tenant"),
        ("sum by (server) (patchbay_in_flight)", &[], "uses the label server"),
        ("patchbay_in_flight", &["mode"], "uses the label mode"),
    ] {
        let found = faults(&all, &query(text, shown));
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
    let good = query(r#"sum by (job, le) (patchbay_request_seconds_bucket{method="x",le="1"})"#, &["job"]);
    assert_eq!(faults(&all, &good), [""; 0]);
}

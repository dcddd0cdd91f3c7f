//! What every client does at the toolset, and what it has to find there: exactly what the servers answer without the gateway,
//! but for the names and URIs that carry the server, and for what the two eras say differently.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

/// A server behind the gateway.
pub(crate) struct Server {
    /// Its name, which is its prefix too.
    pub(crate) name: &'static str,
    /// As the tenant's file has it.
    pub(crate) configured: Value,
    /// How it is reached without the gateway.
    reached: Value,
    /// What it answers then.
    pub(crate) answers: Value,
}

/// The parts of a tour, as scripts take them and as their answers are called.
const PARTS: [(&str, &str); 4] =
    [("calls", "called"), ("prompts", "got"), ("reads", "read"), ("completions", "completed")];
/// The lists, and the member by which an item is known.
const LISTS: [(&str, &str); 4] =
    [("tools", "name"), ("prompts", "name"), ("resources", "uri"), ("templates", "uriTemplate")];
/// What only one of the eras says of a result (2026-07-28, changes to results).
const OF_ONE_ERA: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

impl Server {
    pub(crate) fn new(name: &'static str, configured: Value, reached: Value) -> Self {
        Self { name, configured, reached, answers: Value::Null }
    }

    /// The tour of this server alone, without the gateway.
    pub(crate) fn direct(&self) -> Value {
        let mut tour = tour(self.name);
        for (name, value) in self.reached.as_object().unwrap() {
            tour[name] = value.clone();
        }
        tour
    }

    /// What clients of the toolset call one of its tools or prompts.
    pub(crate) fn exposed(&self, native: &str) -> String {
        format!("{}_{native}", self.name)
    }

    /// What clients of the toolset call one of its resources or templates. The two instances of server-everything have the same
    /// ones, so that each URI has to say which of them it belongs to.
    fn exposed_uri(&self, native: &str) -> String {
        match native.strip_prefix("demo://resource/") {
            None => native.to_owned(),
            Some(rest) if rest.starts_with("dynamic/") => format!("patchbay://{}/!{native}", self.name),
            Some(_) => format!("patchbay://{}/{}", self.name, percent_encoded(native)),
        }
    }

    /// A request in the words of the toolset.
    fn exposed_request(&self, mut request: Value) -> Value {
        if let Value::String(uri) = &request {
            return json!(self.exposed_uri(uri));
        }
        self.rename(&mut request);
        if let Some(reference) = request.get_mut("ref") {
            self.rename(reference);
        }
        request
    }

    fn rename(&self, item: &mut Value) {
        if let Some(name) = item["name"].as_str().map(|name| self.exposed(name)) {
            item["name"] = json!(name);
        }
        if let Some(uri) = item["uri"].as_str().map(|uri| self.exposed_uri(uri)) {
            item["uri"] = json!(uri);
        }
    }

    /// An item of a list in the words of the toolset.
    fn exposed_item(&self, mut item: Value, known_by: &str) -> Value {
        let native = item[known_by].as_str().expect("an item has its name").to_owned();
        item[known_by] = json!(if known_by == "name" { self.exposed(&native) } else { self.exposed_uri(&native) });
        item
    }

    /// A result in the words of the toolset: its links lead to where the client finds them.
    fn exposed_links(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| match value.as_str().filter(|_| name == "uri").map(|uri| self.exposed_uri(uri)) {
                    Some(uri) => (name, json!(uri)),
                    None => (name, self.exposed_links(value)),
                })
                .collect(),
            Value::Array(items) => items.into_iter().map(|item| self.exposed_links(item)).collect(),
            other => other,
        }
    }
}

/// All but letters, digits and `-._~` as `%` and two digits.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes everything");
        }
        out
    })
}

/// What is done at a server, in its own words.
fn tour(name: &str) -> Value {
    match name {
        "every" | "web" => json!({
            "calls": [
                { "name": "echo", "arguments": { "message": "Příliš “žluťoučký” kůň \u{1f40e}\n\u{7f}" } },
                { "name": "get-sum", "arguments": { "a": 2, "b": 40.5 } },
                { "name": "get-structured-content", "arguments": { "location": "Chicago" } },
                { "name": "get-annotated-message", "arguments": { "messageType": "error", "includeImage": true } },
                { "name": "get-tiny-image", "arguments": {} },
                { "name": "get-resource-links", "arguments": { "count": 2 } },
                { "name": "get-sum", "arguments": { "a": "not a number" } },
            ],
            "prompts": [
                { "name": "simple-prompt", "arguments": {} },
                { "name": "args-prompt", "arguments": { "city": "Brno", "state": "Moravia" } },
            ],
            "reads": ["demo://resource/static/document/architecture.md", "demo://resource/dynamic/text/7"],
            "completions": [
                {
                    "ref": { "type": "ref/prompt", "name": "completable-prompt" },
                    "argument": { "name": "department", "value": "E" },
                },
                {
                    "ref": { "type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}" },
                    "argument": { "name": "resourceId", "value": "12" },
                },
            ],
        }),
        "fast" => json!({
            "calls": [
                { "name": "add", "arguments": { "a": 40, "b": 2 } },
                { "name": "describe_order", "arguments": { "order": { "product": "tea", "pieces": 3 } } },
                { "name": "fail", "arguments": { "reason": "nothing is left" } },
            ],
            "prompts": [{ "name": "write_note", "arguments": { "topic": "rain" } }],
            "reads": ["note://welcome", "note://topics/rain"],
            "completions": [
                { "ref": { "type": "ref/prompt", "name": "write_note" }, "argument": { "name": "topic", "value": "we" } },
                {
                    "ref": { "type": "ref/resource", "uri": "note://topics/{topic}" },
                    "argument": { "name": "topic", "value": "wo" },
                },
            ],
        }),
        "words" => json!({
            "calls": [
                { "name": "reverse", "arguments": { "text": "kůň" } },
                { "name": "count", "arguments": { "text": "rivers" } },
            ],
            "prompts": [{ "name": "rhyme", "arguments": { "word": "river" } }],
            "reads": ["word://motto", "word://upper/river"],
            "completions": [
                { "ref": { "type": "ref/prompt", "name": "rhyme" }, "argument": { "name": "word", "value": "riv" } },
            ],
        }),
        "shop" => json!({
            "calls": [
                { "name": "list_data_sources", "arguments": {} },
                { "name": "list_tables", "arguments": {} },
                { "name": "describe_table", "arguments": { "table": "order_items" } },
                { "name": "analyze_table", "arguments": { "table": "products", "columns": ["category", "price_cents"] } },
                { "name": "explain_query", "arguments": { "sql": "SELECT * FROM orders WHERE status = ?1", "params": ["new"] } },
                { "name": "query_database", "arguments": {
                    "sql": "SELECT name, price_cents FROM products ORDER BY id",
                    "limit": 5,
                } },
                { "name": "query_database", "arguments": { "sql": "DELETE FROM products", "limit": 5 } },
            ],
            "prompts": [
                { "name": "data_analyst", "arguments": { "question": "What sells best?" } },
                { "name": "analyze_table", "arguments": { "table": "orders", "focus": "late orders" } },
            ],
            "reads": ["db://shop/overview", "db://shop/info", "db://shop/examples", "db://shop/tables/orders/schema"],
            "completions": [
                { "ref": { "type": "ref/resource", "uri": "db://shop/tables/{table}/schema" },
                  "argument": { "name": "table", "value": "order" } },
                { "ref": { "type": "ref/prompt", "name": "report_query" }, "argument": { "name": "report_type", "value": "" } },
            ],
        }),
        // Its provider is out of reach here; what it says then is part of the tour.
        "weather" => json!({
            "calls": [
                { "name": "get_alerts", "arguments": { "state": "Atlantis" } },
                { "name": "get_alerts", "arguments": { "state": "CA" } },
            ],
            "prompts": [],
            "reads": [],
            "completions": [
                { "ref": { "type": "ref/resource", "uri": "alerts://{state}/active" },
                  "argument": { "name": "state", "value": "C" } },
            ],
        }),
        other => panic!("there is no tour of {other}"),
    }
}

/// The tour of the whole toolset, in its words.
pub(crate) fn through(servers: &[Server]) -> Value {
    let mut whole = json!({ "calls": [], "prompts": [], "reads": [], "completions": [] });
    for server in servers {
        let tour = tour(server.name);
        for (part, _) in PARTS {
            let requests = tour[part].as_array().unwrap().iter().cloned();
            let exposed = requests.map(|request| server.exposed_request(request));
            whole[part].as_array_mut().unwrap().extend(exposed);
        }
    }
    whole
}

/// Holds what a client found at the toolset against what the servers said without the gateway. `blind_to` are members of items,
/// as dotted paths, that this client's SDK does not hand on.
pub(crate) fn compare(client: &str, found: &Value, servers: &[Server], blind_to: &[&str]) {
    assert_eq!(found["server"]["name"], "patchbay", "{client}");
    let names: Vec<_> = found["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{client}: the tools are in order: {names:?}");
    for (list, known_by) in LISTS {
        let expected = servers.iter().flat_map(|server| {
            let items = server.answers[list].as_array().unwrap().iter().filter(|item| !needs_task(item)).cloned();
            items.map(|item| server.exposed_item(item, known_by))
        });
        let (expected, found) =
            (by_name(expected, known_by, blind_to), by_name(listed(found, list), known_by, blind_to));
        let names = |items: &BTreeMap<String, Value>| items.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(&expected), "{client}: the names of all {list}");
        for (name, item) in &expected {
            assert_eq!(&found[name], item, "{client}: {name} of {list}");
        }
    }
    for (part, answers) in PARTS {
        let mut found = found[answers].as_array().unwrap().iter();
        for server in servers {
            let requests = tour(server.name)[part].as_array().unwrap().clone();
            let expected = server.answers[answers].as_array().unwrap();
            assert_eq!(requests.len(), expected.len());
            for (request, expected) in requests.iter().zip(expected) {
                let found = found.next().unwrap_or_else(|| panic!("{client}: no answer to {request}"));
                let expected = server.exposed_links(expected.clone());
                assert_eq!(
                    plain_result(found.clone()),
                    plain_result(expected),
                    "{client} at {}: {request}",
                    server.name
                );
            }
        }
        assert!(found.next().is_none(), "{client}: more {answers} than were asked for");
    }
}

/// Whether a tool can only be called as a task, which the gateway does not carry: it is in no list of ours.
pub(crate) fn needs_task(tool: &Value) -> bool {
    tool["execution"]["taskSupport"] == "required"
}

fn listed(found: &Value, list: &str) -> Vec<Value> {
    found[list].as_array().unwrap_or_else(|| panic!("no {list}")).clone()
}

fn by_name(items: impl IntoIterator<Item = Value>, known_by: &str, blind_to: &[&str]) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for mut item in items {
        for path in blind_to {
            forget(&mut item, path);
        }
        let name = item[known_by].as_str().unwrap().to_owned();
        assert!(all.insert(name.clone(), plain(item)).is_none(), "{name} is there twice");
    }
    all
}

/// Removes the member at a dotted path; arrays on the way are gone through.
fn forget(value: &mut Value, path: &str) {
    match (value, path.split_once('.')) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| forget(item, path)),
        (Value::Object(members), None) => drop(members.remove(path)),
        (Value::Object(members), Some((first, rest))) => {
            if let Some(member) = members.get_mut(first) {
                forget(member, rest);
            }
        }
        _ => {}
    }
}

/// A result without what the eras and the SDKs say differently about the same thing.
fn plain_result(mut result: Value) -> Value {
    let members = result.as_object_mut().unwrap();
    members.retain(|name, _| !OF_ONE_ERA.contains(&name.as_str()));
    if members.get("isError") == Some(&json!(false)) {
        members.remove("isError");
    }
    if let Some(meta) = members.get_mut("_meta").and_then(Value::as_object_mut) {
        // The gateway speaks for itself where the server named itself.
        meta.remove(SERVER_INFO);
        if meta.is_empty() {
            members.remove("_meta");
        }
    }
    plain(result)
}

/// A value in which equal numbers are equal however they were written, absent is the same as null, and the time of day that
/// server-everything puts into its texts does not stand.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.into_iter().filter(|(_, value)| !value.is_null());
            there.map(|(name, value)| (name, plain(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Number(number) => json!(number.as_f64()),
        Value::String(text) => match text.split_once(" created at ") {
            Some((before, _time)) => json!(before),
            None => json!(text),
        },
        other => other,
    }
}

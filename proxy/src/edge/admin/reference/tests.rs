use serde_json::json;

use super::{
    super::openapi::document,
    fields::Shapes,
    html::{chapters, escape, prose},
    *,
};

fn page() -> String {
    page::page(document(), STYLE)
}

/// The values of an attribute on the page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn every_operation_has_its_place_on_the_page_and_every_link_an_end() {
    let page = page();
    let paths = document()["paths"].as_object().unwrap();
    for operation in paths.values().flat_map(|item| item.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(page.matches(&format!("<article id=\"{id}\">")).count(), 1, "{id}");
        assert!(page.contains(&format!("href=\"#{id}\"")), "{id} is not in the contents");
    }
    let ids: Vec<_> = values(&page, "id").into_iter().chain(["about", "problems", "shapes"]).collect();
    let mut once: Vec<_> = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "two places have the same name");
    for link in values(&page, "href") {
        match link.strip_prefix('#') {
            Some(place) => assert!(ids.contains(&place), "#{place} leads nowhere"),
            None => assert_eq!(link, "/admin/v1/openapi.json", "nothing outside is linked"),
        }
    }
}

#[test]
fn the_page_needs_no_script_and_no_network() {
    let page = page();
    for word in ["<script", " style=", " src=", " onclick", "@import", "url(", "<form", "<iframe"] {
        assert!(!page.contains(word), "{word}");
    }
    let policy = policy();
    let policy = policy.to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(page.contains(&format!("<style>{STYLE}</style>")), "the hash is of what stands in the page");
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
}

#[test]
fn what_opens_on_the_page_is_closed_again() {
    let page = page();
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let name = tag.split([' ', '>']).next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "near {tag:.60}");
        } else if !["!DOCTYPE", "meta", "br", "b"].contains(&name) || name == "b" {
            open.push(name);
        }
    }
    assert_eq!(open, [] as [&str; 0]);
}

#[test]
fn no_text_of_the_document_is_markup() {
    assert_eq!(escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    assert_eq!(prose("see `<x>`\nand <y>"), "see <code>&lt;x&gt;</code> and &lt;y&gt;");
    let (lead, parts) = chapters("One.\n\nTwo.\n\n## A <b>\n\nThree.\n");
    assert_eq!((lead.as_str(), parts.len(), parts[0].1.as_str()), ("<p>One.</p><p>Two.</p>", 1, "<p>Three.</p>"));
    let odd = json!({
        "info": { "title": "<script>", "version": "<i>", "description": "<script>" },
        "tags": [{ "name": "<script>", "description": "<script>" }],
        "paths": { "/<script>": { "get": { "operationId": "<script>", "tags": ["<script>"], "summary": "<script>",
            "parameters": [{ "name": "<script>", "in": "query", "description": "<script>", "schema": { "type": "<script>" } }],
            "responses": { "200": { "description": "<script>", "headers": { "<script>": {} },
                "content": { "<script>": {} } } } } } },
        "components": { "schemas": { "<script>": { "description": "<script>", "properties": {
            "<script>": { "enum": ["<script>"] }, "b": { "default": "<script>", "const": "<script>" } } } } },
    });
    assert!(!page::page(&odd, "").contains("<script>"));
}

#[test]
fn fields_are_told_in_words() {
    let schemas = json!({
        "Word": { "oneOf": [{ "const": "a", "description": "One." }, { "const": "b", "description": "Two." }] },
        "Part": { "type": "object", "properties": { "x": { "type": "integer" } } },
        "Loop": { "type": "object", "properties": { "inner": { "type": "object", "properties": { "l": { "$ref": "#/components/schemas/Loop" } } } } },
        "All": { "allOf": [{ "$ref": "#/components/schemas/Part" }, { "type": "object", "required": ["y"], "properties": { "y": { "type": "string" } } }] },
    });
    let shapes = Shapes(&schemas);
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    for (schema, words) in [
        (
            json!({ "type": ["string", "null"], "maxLength": 40 }),
            "string, <span class=bound>up to 40 characters</span>",
        ),
        (json!({ "type": "integer", "minimum": 1, "maximum": 9 }), "integer, <span class=bound>1 to 9</span>"),
        (json!({ "type": "array", "items": reference("Part") }), "list of <a href=\"#shape-part\">Part</a>"),
        (json!({ "type": "object", "additionalProperties": { "type": "boolean" } }), "map to boolean"),
        (json!({ "anyOf": [reference("Word"), { "type": "null" }] }), "<code>a</code> | <code>b</code>"),
        (json!({ "oneOf": [{ "type": "string" }, { "type": "integer" }] }), "string or integer"),
        (json!({ "type": "string", "format": "date-time" }), "time"),
        (json!({}), "anything"),
    ] {
        assert_eq!(shapes.words(&schema), words, "{schema}");
    }
    let all = shapes.table(&reference("All"));
    assert!(all.contains("<code>x</code>") && all.contains("<code>y</code> <b class=must>required</b>"), "{all}");
    assert!(shapes.table(&reference("Loop")).contains("<summary>Fields</summary>"));
    assert_eq!(example::value(shapes, &reference("All")), json!({ "x": 3, "y": "…" }));
}

#[test]
fn a_request_on_the_command_line_has_what_it_needs() {
    let paths = &document()["paths"];
    let of = |method: &str, path: &str| example::curl(method, path, &paths[path][method]);
    let put = of("put", "/admin/v1/tenants/{tenant}/servers/{server}");
    assert!(put.starts_with("curl -X PUT \"$PATCHBAY/admin/v1/tenants/acme/servers/shop\" \\\n"), "{put}");
    assert!(
        put.contains("-H 'If-Match: \"…\"'")
            && put.contains("-H 'Content-Type: application/json'")
            && put.contains("-d '{"),
        "{put}"
    );
    let get = of("get", "/admin/v1/tenants");
    assert_eq!(get, "curl \"$PATCHBAY/admin/v1/tenants\" \\\n  -H \"Authorization: Bearer $PATCHBAY_ADMIN_KEY\"");
}

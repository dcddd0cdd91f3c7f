//! Odd items, and what must survive of the others.

use proptest::prelude::*;

use super::*;

fn reason(raw: &str) -> FaultReason {
    tool(raw).expect_err("an odd tool").reason
}

fn rendered(raw: &str, edits: &Edits<'_>) -> String {
    let mut out = String::new();
    render(raw, edits, &mut out);
    out
}

const fn named(name: &str) -> Edits<'_> {
    Edits { name: ("name", name), description: None, drop_output: false, link: None }
}

#[test]
fn odd_tools_are_faults_of_their_own() {
    let cases = [
        ("", FaultReason::NotAnObject),
        ("[]", FaultReason::NotAnObject),
        (r#"{"name":"a","inputSchema":{"x":[1,}]}"#, FaultReason::NotAnObject),
        (r#"{"name":"a","inputSchema":{}} x"#, FaultReason::NotAnObject),
        (r#"{"inputSchema":{}}"#, FaultReason::Missing("name")),
        (r#"{"name":7,"inputSchema":{}}"#, FaultReason::Shape("name", "a string")),
        (r#"{"name":"","inputSchema":{}}"#, FaultReason::Text("name")),
        (r#"{"name":"a\u0007","inputSchema":{}}"#, FaultReason::Text("name")),
        (r#"{"name":"a\ud800","inputSchema":{}}"#, FaultReason::Text("name")),
        (r#"{"name":"a"}"#, FaultReason::Missing("inputSchema")),
        (r#"{"name":"a","inputSchema":null}"#, FaultReason::Shape("inputSchema", "an object")),
        (r#"{"name":"a","inputSchema":true}"#, FaultReason::Shape("inputSchema", "an object")),
        (r#"{"name":"a","inputSchema":{"type":"string"}}"#, FaultReason::InputType),
        (r#"{"name":"a","inputSchema":{"type":"object","type":"string"}}"#, FaultReason::InputType),
        (r#"{"name":"a","n\u0061me":"b","inputSchema":{}}"#, FaultReason::Twice("name")),
        (r#"{"name":"a","inputSchema":{},"inputSchema":{}}"#, FaultReason::Twice("inputSchema")),
        (r#"{"name":"a","inputSchema":{},"description":{}}"#, FaultReason::Shape("description", "a string")),
        (r#"{"name":"a","inputSchema":{},"annotations":[]}"#, FaultReason::Shape("annotations", "an object")),
    ];
    for (raw, expected) in cases {
        assert_eq!(reason(raw), expected, "{raw}");
    }
    let deep = format!(r#"{{"name":"a","inputSchema":{{"x":{}{}}}}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(reason(&deep), FaultReason::TooDeep);
    let large = format!(r#"{{"name":"a","inputSchema":{{}},"x":"{}"}}"#, "x".repeat(ITEM_BYTES_MAX));
    assert_eq!(reason(&large), FaultReason::TooLarge);
    assert_eq!(tool(&large).expect_err("a large tool").name.as_deref(), Some("a"));
}

#[test]
fn odd_prompts_resources_and_templates_are_faults_too() {
    assert!(prompt(r#"{"name":"p","arguments":{}}"#).is_err());
    assert!(prompt(r#"{"name":"p","arguments":[]}"#).is_ok());
    assert!(resource(r#"{"uri":"a:b","uri":"a:c","name":"r"}"#).is_err());
    assert!(resource(r#"{"uri":"a:b"}"#).is_err());
    assert!(resource(r#"{"uri":"a:\n","name":"r"}"#).is_err());
    assert_eq!(resource(r#"{"uri":"a:b","name":"r"}"#).expect("a resource").uri, "a:b");
    assert_eq!(template(r#"{"uriTemplate":"a:{b}","name":"r"}"#).expect("a template").uri, "a:{b}");
}

#[test]
fn unknown_members_survive_byte_for_byte_at_every_level() {
    let raw = r#"{"zz":1e400,"name" : "native","x":{"a" : [1.0,{"b":-0}],"é":"\u00e9"},"inputSchema":{"type":"object","y":0.10,"properties":{"p":{"q":[ ]}}},"annotations":{"readOnlyHint":true,"new":[null]},"_meta":{"a/b":{"c":1E5},"ui":{"resourceUri":"ui://x","k":"\/"}},"execution":{"later":{}},"outputSchema":{"type":"object","w":2}}"#;
    let expected = raw.replace(r#""name" : "native""#, r#""name":"db_native""#);
    assert_eq!(rendered(raw, &named("db_native")), expected);
}

#[test]
fn a_rendered_item_is_one_line() {
    let raw = "{\n  \"name\": \"a\",\r\n  \"inputSchema\": {\n    \"type\": \"object\"\n  }\n}";
    let out = rendered(raw, &named("b"));
    assert_eq!(out, r#"{"name":"b","inputSchema": {     "type": "object"   }}"#);
}

#[test]
fn a_description_is_replaced_or_added() {
    let edits = Edits { description: Some("mine \"x\""), ..named("a") };
    assert_eq!(
        rendered(r#"{"name":"a","description":null,"z":1}"#, &edits),
        r#"{"name":"a","description":"mine \"x\"","z":1}"#
    );
    assert_eq!(rendered(r#"{"name":"a"}"#, &edits), r#"{"name":"a","description":"mine \"x\""}"#);
}

#[test]
fn links_to_pages_follow_the_map_in_both_spellings() {
    let link = |uri: &str| (uri == "ui://x").then(|| "patchbay://s/ui".to_owned());
    let edits = Edits { link: Some(&link), ..named("a") };
    let raw = r#"{"name":"a","_meta":{"ui/resourceUri":"ui:\/\/x","k": 1,"ui":{"csp":{},"resourceUri":"ui://x"}}}"#;
    assert_eq!(
        rendered(raw, &edits),
        r#"{"name":"a","_meta":{"ui/resourceUri":"patchbay://s/ui","k": 1,"ui":{"csp":{},"resourceUri":"patchbay://s/ui"}}}"#
    );
    let other = r#"{"name":"a","_meta":{"ui":{"resourceUri":"ui://y"}}}"#;
    assert_eq!(rendered(other, &edits), other);
    assert_eq!(rendered(r#"{"name":"a","_meta":null}"#, &edits), r#"{"name":"a","_meta":null}"#);
}

#[test]
fn an_output_schema_is_shown_to_those_who_can_use_it() {
    let output = |schema: &str| {
        tool(&format!(r#"{{"name":"a","inputSchema":{{}},"outputSchema":{schema}}}"#)).expect("a tool").output
    };
    assert_eq!(output(r#"{"type":"object"}"#), OutputSchema::Everyone);
    assert_eq!(output(r#"{"type":"array"}"#), OutputSchema::ModernOnly);
    assert_eq!(output(r#"{"anyOf":[]}"#), OutputSchema::ModernOnly);
    assert_eq!(output("null"), OutputSchema::Nobody);
    let edits = Edits { drop_output: true, ..named("b") };
    assert_eq!(rendered(r#"{"outputSchema":{"type":"array"},"name":"a"}"#, &edits), r#"{"name":"b"}"#);
}

#[test]
fn tasks_and_pages_are_seen() {
    let raw = r#"{"name":"a","inputSchema":{},"execution":{"taskSupport":"required"},"_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://x"}}}"#;
    let tool = tool(raw).expect("a tool");
    assert!(tool.needs_task && tool.app_only);
    assert_eq!(tool.ui_uris, ["ui://x"]);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(raw in "\\PC*") {
        let _ = (tool(&raw), prompt(&raw), resource(&raw), template(&raw));
    }

    #[test]
    fn what_is_rendered_reads_as_the_same_item(name in "\\PC{1,30}", extra in "\\PC*", exposed in "[a-z]{1,9}") {
        let raw = serde_json::json!({"x": extra, "name": name, "inputSchema": {"type": "object", "y": [extra]}}).to_string();
        let out = rendered(&raw, &named(&exposed));
        let read = tool(&out).expect("a tool");
        prop_assert_eq!(&*read.name, &*exposed);
        let back = rendered(&out, &named(&name));
        prop_assert_eq!(back, raw);
    }
}

//! A tenant as JSON: what programs get wrong, what they hear and where it points; then what files become.

use serde_json::json;

use super::*;
use crate::refuse_references;

fn pointers(document: &Json) -> Vec<(String, String)> {
    let errors = tenant_from_json(document, "acme", &refuse_references()).unwrap_err();
    errors.iter().map(|error| (error.pointer(), error.message.clone())).collect()
}

#[test]
fn a_reference_is_refused_wherever_a_secret_may_stand_and_none_is_looked_up() {
    let document = json!({
        "tenant": "a",
        "issuers": { "i": { "issuer": "https://i", "introspection": { "client_id": "c", "client_secret": "${env:HOME}" } } },
        "servers": {
            "h": { "url": "https://h", "headers": { "X": "Bearer ${file:/etc/passwd}" },
                   "oauth": { "client_id": "c", "auth": "private_key_jwt", "algorithm": "ES256", "private_key": "${env:HOME}" } },
            "c": { "command": "x", "env": { "A": "${env:HOME}" } },
            "b": { "builtin": "db", "secrets": { "url": "${env:HOME}" } },
        },
    });
    let said = pointers(&document);
    let places: Vec<&str> = said.iter().map(|(pointer, _)| pointer.as_str()).collect();
    assert_eq!(
        places,
        [
            "/issuers/i/introspection/client_secret",
            "/servers/b/secrets/url",
            "/servers/c/env/A",
            "/servers/h/headers/X",
            "/servers/h/oauth/private_key",
        ]
    );
    for (_, message) in said {
        assert!(message.starts_with("references are looked up where the command line runs"), "{message}");
    }
    // Outside of secrets it is text like any other.
    assert!(tenant_from_json(&json!({ "tenant": "a", "title": "${env:HOME}" }), "a", &refuse_references()).is_ok());
}

#[test]
fn every_mistake_has_a_pointer_that_leads_to_it() {
    let server = |fields: Json| json!({ "tenant": "a", "servers": { "s": fields } });
    for (document, pointer, message) in [
        (json!([]), "", "expected a mapping, found a list"),
        (json!(null), "", "expected a mapping, found nothing"),
        (json!({}), "/tenant", "expected a text, found nothing"),
        (json!({ "tenant": null }), "/tenant", "expected a text, found nothing"),
        (json!({ "tenant": 42 }), "/tenant", "expected a text, found 42"),
        (json!({ "tenant": "A b" }), "/tenant", "`a-b` would be one"),
        (json!({ "tenant": "a", "enabled": "yes" }), "/enabled", "expected true or false, found \"yes\""),
        (json!({ "tenant": "a", "servers": null }), "/servers", "expected a mapping, found nothing"),
        (json!({ "tenant": "a", "a/b~c": 1 }), "/a~1b~0c", "no such field"),
        (json!({ "tenant": "a", "servers": { "x/y": { "builtin": "db" } } }), "/servers/x~1y", "is not a valid name"),
        (server(json!({})), "/servers/s", "expected exactly one of `url`"),
        (
            server(json!({ "builtin": "db", "call_timeout_s": "5" })),
            "/servers/s/call_timeout_s",
            "expected a whole number",
        ),
        (
            server(json!({ "builtin": "db", "call_timeout_s": 5.5 })),
            "/servers/s/call_timeout_s",
            "expected a whole number",
        ),
        (
            server(json!({ "builtin": "db", "concurrency_max": -1 })),
            "/servers/s/concurrency_max",
            "from 1 to 4096, found -1",
        ),
        (server(json!({ "builtin": "db", "concurrency_max": 1e300 })), "/servers/s/concurrency_max", "from 1 to 4096"),
        (server(json!({ "command": "x", "args": ["a", 1] })), "/servers/s/args/1", "expected a text, found 1"),
        (server(json!({ "command": "x", "args": "-y" })), "/servers/s/args", "expected a list, found a text"),
        (
            server(json!({ "command": "x", "env": { "A": true } })),
            "/servers/s/env/A",
            "expected a text, found true or false",
        ),
        (
            server(json!({ "builtin": "db", "tools": { "rename": { "a/b": "x y" } } })),
            "/servers/s/tools/rename/a~1b",
            "expected",
        ),
        (
            json!({ "tenant": "a", "limits": { "rules": { "r": {} } } }),
            "/limits/rules/r",
            "expected exactly one of `count`",
        ),
        (
            json!({ "tenant": "a", "audit": { "level": 1 } }),
            "/audit/level",
            "expected `sync`, `ack` or `async`, found 1",
        ),
        (
            json!({ "tenant": "a", "audit": { "keep": [{ "tools": "*/*" }] } }),
            "/audit/keep/0/arguments",
            "expected a list",
        ),
    ] {
        let said = pointers(&document);
        assert_eq!(said.len(), 1, "{document}: {said:?}");
        assert!(said[0].0 == pointer && said[0].1.contains(message), "{document}: {said:?}");
    }
}

#[test]
fn all_mistakes_are_said_at_once_and_of_endless_ones_the_first() {
    let document = json!({ "tenant": "A", "colour": 1, "servers": { "s": { "url": "ftp://x", "prefix": "p_" } } });
    let mut places: Vec<String> = pointers(&document).into_iter().map(|(pointer, _)| pointer).collect();
    places.sort();
    assert_eq!(places, ["/colour", "/servers/s/prefix", "/servers/s/url", "/tenant"]);

    let mut document = json!({ "tenant": "a" });
    for at in 0..5000 {
        document[format!("unknown{at}")] = json!(1);
    }
    let errors = tenant_from_json(&document, "acme", &refuse_references()).unwrap_err();
    assert_eq!(errors.iter().count(), 1000);
    assert!(errors.to_string().ends_with("\n… and 4950 more"));
}

#[test]
fn no_message_shows_a_secret() {
    let document = json!({
        "tenant": "a",
        "issuers": { "i": { "issuer": "https://i", "introspection": { "client_id": "c", "client_secret": ["hunter2"] } } },
        "servers": {
            "h": { "url": "https://h", "headers": { "X": "hunter2\nx", "Y": ["hunter2"] } },
            "c": { "command": "x", "env": "hunter2" },
            "b": { "builtin": "db", "secrets": { "url": "hunter2 ${x}", "v": { "hunter2": 1 } } },
        },
    });
    let errors = tenant_from_json(&document, "acme", &refuse_references()).unwrap_err();
    assert_eq!(errors.iter().count(), 6, "{errors}");
    assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
}

#[test]
fn texts_stay_texts_and_null_stands_where_nothing_may() {
    let odd = ["yes", "1e3", "~", "null", "0x1F", "- a", "a: b", "", "\u{feff}", "#x", "2001-01-01"];
    let document = json!({
        "tenant": "42",
        "title": null,
        "servers": {
            "s": { "command": "x", "args": odd, "cwd": null, "era": null, "call_timeout_s": 5.0, "trust_read_only_hint": null },
            "b": { "builtin": "db", "options": { "a": null, "b": [1.5, "1.5", { "c": false }] } },
        },
        "limits": { "principal_burst": null },
    });
    let doc = tenant_from_json(&document, "acme", &refuse_references()).unwrap();
    let Transport::Stdio { args, .. } = &doc.servers["s"].spec.transport else { panic!() };
    assert_eq!(args, &odd);
    assert_eq!((doc.slug.as_str(), doc.servers["s"].spec.call_timeout_s), ("42", Some(5)));
    let Transport::Builtin { options, .. } = &doc.servers["b"].spec.transport else { panic!() };
    assert_eq!(options, &document["servers"]["b"]["options"]);
}

#[test]
fn the_order_of_weights_survives() {
    let text = r#"{"tenant":"a","limits":{"weights":{"z/*":3,"a/*":2,"m/*":1}}}"#;
    let doc = tenant_from_json(&serde_json::from_str(text).unwrap(), "acme", &refuse_references()).unwrap();
    let shown = tenant_to_json(&row(&doc));
    assert_eq!(shown["limits"].to_string(), r#"{"weights":{"z/*":3,"a/*":2,"m/*":1}}"#);
}

#[test]
fn a_file_becomes_a_document_with_its_references_replaced() {
    let text = "tenant: 42\ntitle: '${env:TOKEN}'\nservers:\n  h: {url: 'https://h', headers: {A: 'Bearer ${env:TOKEN}', B: '${sealed}', C: '$${env:TOKEN}', D: '${env:ODD}'}}\n  c: {command: x, args: [8080, '${env:TOKEN}'], env: {P: '${env:PEM}'}}\n";
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) if name == "ODD" => Ok("x${sealed}$${y".to_owned()),
        other => no_secrets(other),
    };
    let document = tenant_document(text, "t.yaml", &resolve).unwrap();
    assert_eq!((&document["tenant"], &document["title"]), (&json!("42"), &json!("${env:TOKEN}")));
    let headers = &document["servers"]["h"]["headers"];
    assert_eq!(headers["A"], "Bearer hunter2");
    assert_eq!(headers["B"], "${sealed}");
    assert_eq!(document["servers"]["c"]["args"], json!(["8080", "${env:TOKEN}"]));
    let sent = tenant_from_json(&document, "acme", &refuse_references()).unwrap();
    let here = tenant_from_yaml(text, "t.yaml", &resolve).unwrap();
    for (name, server) in &here.servers {
        let shown = |secrets: &patchbay_core::model::ServerDoc| {
            let shown = |value: &Option<SecretString>| value.as_ref().map(|value| value.expose_secret().to_owned());
            secrets.secrets.iter().map(|(name, value)| (name.clone(), shown(value))).collect::<Vec<_>>()
        };
        assert_eq!(shown(server), shown(&sent.servers[name]), "{name}");
        assert_eq!(server.spec, sent.servers[name].spec);
    }
    assert!(sent.servers["h"].secrets["header:B"].is_none());
}

#[test]
fn the_mistakes_of_a_file_are_said_with_their_lines_before_anything_is_sent() {
    let text = "tenant: a\nservers:\n  h: {url: 'https://h', headers: {A: '${env:NO}', B: 'x${sealed}', C: '${env:LINES}', D: '${env'}}\n  x: {}\n";
    let said = tenant_document(text, "t.yaml", &no_secrets).unwrap_err();
    let yaml = tenant_from_yaml(text, "t.yaml", &no_secrets).unwrap_err();
    assert_eq!(said.iter().count(), 5, "{said}");
    let lines = |errors: &ConfigErrors| {
        let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&said), lines(&yaml));
    assert!(!said.to_string().contains("hunter2"), "{said}");
}

#[test]
fn the_examples_mean_the_same_as_files_and_as_documents() {
    for text in [
        include_str!("../../../examples/acme.yaml"),
        include_str!("../../../examples/orbit.yaml"),
        include_str!("../../../examples/lyra.yaml"),
    ] {
        let resolve = |_: &SecretRef| Ok("hunter2${x".to_owned());
        let document = tenant_document(text, "t.yaml", &resolve).unwrap();
        let sent = tenant_from_json(&document, "t", &refuse_references()).unwrap();
        let here = row(&tenant_from_yaml(text, "t.yaml", &resolve).unwrap());
        assert_eq!(diff(Some(&here), &sent), format!("  tenant {}\n    nothing changes\n", here.slug));
        let again = tenant_from_json(&tenant_to_json(&here), "t", &refuse_references()).unwrap();
        assert_eq!(diff(Some(&here), &again), format!("  tenant {}\n    nothing changes\n", here.slug));
    }
}

//! Whatever a client sends, a record shows what its tenant's policy lets through, and no secret.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: DigestKey = DigestKey::new([3; 32]);
const ACME: TenantId = TenantId::from_bits(1);

fn line(how: AuditArguments, raw: Option<&str>, keep: &[&str]) -> Vec<u8> {
    let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
    let mut line = b"{\"x\":0".to_vec();
    let before = line.len();
    Arguments { raw, keep: &keep }.write(how, &KEY, ACME, &mut line);
    assert!(line.len() - before <= ARGUMENTS_BYTES_MAX, "{} bytes", line.len() - before);
    line.push(b'}');
    line
}

fn shown(how: AuditArguments, raw: &str, keep: &[&str]) -> Value {
    let line = line(how, Some(raw), keep);
    let record: Value =
        serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)));
    record["arguments"].clone()
}

fn redacted(raw: &str, keep: &[&str]) -> Value {
    shown(AuditArguments::Redacted, raw, keep)
}

#[test]
fn none_says_nothing() {
    assert_eq!(line(AuditArguments::None, Some(r#"{"a":1}"#), &["a"]), b"{\"x\":0}");
}

#[test]
fn keys_are_the_names_of_the_top_level_alone() {
    let raw = r#"{"city":"Bern","nested":{"inner":1},"\u0061":null,"pb_0123456789abcdef":1}"#;
    assert_eq!(shown(AuditArguments::Keys, raw, &["city"]), json!({"keys": ["city", "nested", "a", "[secret]"]}));
    assert_eq!(shown(AuditArguments::Keys, "[1]", &[]), json!({"keys": []}));
    let absent: Value = serde_json::from_slice(&line(AuditArguments::Keys, None, &[])).unwrap();
    assert_eq!(absent["arguments"], json!({"keys": []}));
}

#[test]
fn a_digest_tells_equal_arguments_without_showing_them() {
    let of = |raw: &str| shown(AuditArguments::Digest, raw, &["a"])["digest"].as_str().unwrap().to_owned();
    assert_eq!(of(r#"{"a":1,"b":2}"#), of(r#"{ "b":2, "a":1 }"#));
    assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
    assert_eq!(of("{}").len(), 64);
    let absent: Value = serde_json::from_slice(&line(AuditArguments::Digest, None, &[])).unwrap();
    assert_eq!(absent["arguments"]["digest"], of("{}"));
}

#[test]
fn redacted_shows_what_is_kept_and_the_sizes_of_the_rest() {
    let raw = r#"{"city":"Bern","days":3,"note":"secret text","on":true,"none":null,"list":[1,2],"deep":{"a":1},"units":{"t":"C","n":[1.5,false]}}"#;
    let expected = json!({
        "city": "Bern", "days": 3, "note": "[string, 13 bytes]", "on": "[boolean]", "none": "[null]",
        "list": "[array, 5 bytes]", "deep": "[object, 7 bytes]", "units": {"t": "C", "n": [1.5, false]},
    });
    assert_eq!(redacted(raw, &["city", "days", "units"]), json!({ "redacted": expected }));
    assert_eq!(redacted("[1]", &["city"]), json!({"redacted": "[array, 3 bytes]"}));
}

#[test]
fn a_statement_is_kept_without_what_was_filled_in() {
    let raw = r#"{"sql":"select * from people where name = 'Ada' and age > 36","params":["Ada"],"limit":5}"#;
    let expected =
        json!({"sql": "select * from people where name = ? and age > ?", "params": "[array, 7 bytes]", "limit": 5});
    assert_eq!(redacted(raw, &["sql", "params", "limit"])["redacted"], expected);
    let raw = r#"{"SQL":"select 1","Params":["Ada"],"deep":{"sql":"select 2","parameters":["Ada"]}}"#;
    let expected = json!({"SQL": "select ?", "Params": "[array, 7 bytes]",
        "deep": {"sql": "select ?", "parameters": "[array, 7 bytes]"}});
    assert_eq!(redacted(raw, &["SQL", "Params", "deep"])["redacted"], expected);
    let unsure = redacted(r#"{"sql":"select 'it\\'s hunter2'"}"#, &["sql"]);
    assert_eq!(unsure["redacted"]["sql"], "[string, 25 bytes]");
}

/// Secrets in their shapes, and in none that could be known by itself (under a name that says what it is).
const CANARIES: [&str; 10] = [
    "pb_CANARY0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.CANARY.x",
    "-----BEGIN PRIVATE KEY-----CANARY",
    "AKIACANARY0123456789",
    "ghp_CANARY0123456789",
    "xoxb-CANARY-0123456789",
    "postgres://app:CANARY@db/app",
    "host=db password=CANARY",
    "Bearer CANARY01",
    "qV7CANARY9zKx2LmB4nR8tYw",
];

fn hides(raw: &str, keep: &[&str]) {
    for how in [AuditArguments::Keys, AuditArguments::Digest, AuditArguments::Redacted] {
        let line = String::from_utf8(line(how, Some(raw), keep)).unwrap();
        assert!(!line.contains("CANARY"), "{raw} became {line}");
        let _: Value = serde_json::from_str(&line).unwrap();
    }
}

#[test]
fn no_canary_comes_out_of_a_kept_value_or_a_name() {
    let escaped = |text: &str| text.chars().map(|c| format!("\\u{:04x}", c as u32)).collect::<String>();
    for canary in CANARIES {
        for text in [canary.to_owned(), escaped(canary), format!("see {canary} there"), canary.replace('/', "\\/")] {
            hides(&format!(r#"{{"kept":"{text}"}}"#), &["kept"]);
            hides(&format!(r#"{{"kept":{{"a":[1,["{text}"]]}}}}"#), &["kept"]);
            hides(&format!(r#"{{"kept":{{"{text}":1}}}}"#), &["kept"]);
            hides(&format!(r#"{{"{text}":1}}"#), &[canary]);
            hides(&format!(r#"{{"kept":"{}{text}"}}"#, " ".repeat(secrets::shown_max() - 9)), &["kept"]);
            hides(&format!(r#"{{"sql":"select * from t where a = '{text}' -- {text}"}}"#), &["sql"]);
            hides(&format!(r#"{{"other":"{text}"}}"#), &["kept"]);
        }
    }
}

#[test]
fn what_stands_under_the_name_of_a_secret_is_not_shown_though_it_is_kept() {
    for name in
        ["password", "apiKey", "ACCESS_TOKEN", "Authorization", "cookie", "dsn", "p\\u0061ssword", "client-secret"]
    {
        let keep = [name.replace("\\u0061", "a")];
        let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
        for value in [r#""CANARY""#, r#"{"CANARY":1}"#, r#"["CANARY"]"#] {
            hides(&format!(r#"{{"{name}":{value}}}"#), &keep);
            hides(&format!(r#"{{"kept":{{"a":{{"{name}":{value}}}}}}}"#), &["kept"]);
        }
        assert_eq!(redacted(&format!(r#"{{"{name}":12345}}"#), &keep)["redacted"][keep[0]], "[secret]");
    }
}

#[test]
fn arguments_beyond_the_bound_are_cut_and_say_so() {
    let many: Vec<String> = (0..2000).map(|number| format!(r#""argument-{number}":"v""#)).collect();
    let many = format!("{{{}}}", many.join(","));
    let keys = shown(AuditArguments::Keys, &many, &[]);
    assert!(keys["keys"].as_array().unwrap().len() > 100);
    assert_eq!(keys["cut"], true);
    let cut = redacted(&many, &["argument-0"]);
    assert_eq!((&cut["cut"], &cut["redacted"]["argument-0"]), (&json!(true), &json!("v")));

    let long = json!({"a": "word ".repeat(2000), "b": vec!["word ".repeat(100); 40], "c": 1}).to_string();
    let long = redacted(&long, &["a", "b", "c"]);
    assert!(long["redacted"]["a"].as_str().unwrap().ends_with('…'));
    assert!(long["redacted"]["b"].as_str().unwrap().starts_with("[array, "), "{long}");
    assert_eq!((&long["redacted"]["c"], &long["cut"]), (&json!(1), &Value::Null));

    let name = "n".repeat(70);
    assert_eq!(
        shown(AuditArguments::Keys, &json!({ "äß".repeat(40): 1, name: 1 }).to_string(), &[])["keys"][0]
            .as_str()
            .map(|name| name.ends_with('…')),
        Some(true)
    );
    let huge = json!({"a": "x ".repeat(KEPT_BYTES_MAX), "n": 1}).to_string();
    assert!(redacted(&huge, &["a"])["redacted"]["a"].as_str().unwrap().starts_with("[string, "));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(60), "]".repeat(60));
    assert!(redacted(&deep, &["a"])["redacted"].to_string().contains("[array, "));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "[a-z\\\\\"\n'$-]{0,2000}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((".{0,80}", inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_arguments_make_a_line_of_json_within_the_bound(value in any_json(), pretty in any::<bool>()) {
        let raw = json!({ "kept": value, "sql": value, "other": value });
        let raw = if pretty { serde_json::to_string_pretty(&raw).unwrap() } else { raw.to_string() };
        for how in [AuditArguments::None, AuditArguments::Keys, AuditArguments::Digest, AuditArguments::Redacted] {
            let line = line(how, Some(&raw), &["kept", "sql"]);
            prop_assert!(serde_json::from_slice::<Value>(&line).is_ok(), "{}", String::from_utf8_lossy(&line));
            prop_assert!(line.iter().all(|byte| *byte >= 0x20));
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm(raw in ".*") {
        for how in [AuditArguments::Keys, AuditArguments::Digest, AuditArguments::Redacted] {
            let line = line(how, Some(&raw), &["a"]);
            prop_assert!(serde_json::from_slice::<Value>(&line).is_ok(), "{}", String::from_utf8_lossy(&line));
        }
    }
}

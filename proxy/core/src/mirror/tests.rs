//! The rules of the annotations, and headers held against bodies.

use proptest::prelude::*;

use super::*;

fn params(properties: &str) -> Result<HeaderParams, AnnotationError> {
    HeaderParams::of(&format!(r#"{{"type":"object","properties":{properties}}}"#))
}

fn of_three() -> HeaderParams {
    params(
        r#"{"region":{"type":"string","x-mcp-header":"Region"},
            "n":{"type":"integer","x-mcp-header":"N"},
            "deep":{"type":"object","properties":{"on":{"type":"boolean","x-mcp-header":"On"}}}}"#,
    )
    .expect("good annotations")
}

fn check(arguments: &str, headers: &[(&str, &str)]) -> Result<(), Mismatch> {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a header name");
        map.append(name, value.parse().expect("a header value"));
    }
    of_three().check(Some(arguments), |name| Sent::of(&map, name))
}

#[test]
fn each_broken_rule_is_found() {
    let path = |schema: &str| HeaderParams::of(schema).expect_err("a broken schema");
    let cases = [
        r#"{"p":{"type":"string","x-mcp-header":""}}"#,
        r#"{"p":{"type":"string","x-mcp-header":"My Region"}}"#,
        r#"{"p":{"type":"string","x-mcp-header":"a:b"}}"#,
        r#"{"p":{"type":"string","x-mcp-header":"Région"}}"#,
        r#"{"p":{"type":"string","x-mcp-header":"a\tb"}}"#,
        r#"{"p":{"type":"string","x-mcp-header":7}}"#,
    ];
    for case in cases {
        assert_eq!(params(case), Err(AnnotationError::Name("p".into())), "{case}");
    }
    for kind in [r#""object""#, r#""array""#, r#""null""#, r#""number""#, r#"["string","null"]"#, "null"] {
        let case = format!(r#"{{"p":{{"type":{kind},"x-mcp-header":"P"}}}}"#);
        assert_eq!(params(&case), Err(AnnotationError::Type("p".into())), "{case}");
    }
    let twice = r#"{"a":{"type":"string","x-mcp-header":"My"},"b":{"type":"string","x-mcp-header":"mY"}}"#;
    assert_eq!(params(twice), Err(AnnotationError::Twice("b".into())));
    let annotated = r#"{"type":"string","x-mcp-header":"P"}"#;
    for keyword in ["items", "not", "if", "then", "else", "additionalProperties", "contains"] {
        assert_eq!(path(&format!(r#"{{"properties":{{"p":{{"{keyword}":{annotated}}}}}}}"#)), AnnotationError::OffPath);
    }
    for keyword in ["oneOf", "anyOf", "allOf", "prefixItems"] {
        assert_eq!(path(&format!(r#"{{"{keyword}":[{annotated}]}}"#)), AnnotationError::OffPath);
    }
    for keyword in ["$defs", "definitions", "patternProperties"] {
        assert_eq!(path(&format!(r#"{{"{keyword}":{{"p":{annotated}}}}}"#)), AnnotationError::OffPath);
    }
    assert_eq!(path(annotated), AnnotationError::OffPath);
    assert_eq!(path(r#"{"x-mcp-\u0068eader":"P"}"#), AnnotationError::OffPath);
    let under = format!(r#"{{"allOf":[{{"properties":{{"p":{annotated}}}}}]}}"#);
    assert_eq!(path(&under), AnnotationError::OffPath);
}

#[test]
fn data_and_properties_of_that_name_are_no_annotations() {
    let found =
        params(r#"{"x-mcp-header":{"type":"string","default":{"x-mcp-header":"A"},"enum":[{"x-mcp-header":1}]}}"#);
    assert_eq!(found, Ok(HeaderParams::default()));
    assert!(HeaderParams::of(r#"{"type":"object"}"#).expect("nothing").is_empty());
}

#[test]
fn values_are_rebuilt_from_the_body() {
    let found = of_three();
    assert_eq!(found.names().collect::<Vec<_>>(), ["Mcp-Param-Region", "Mcp-Param-N", "Mcp-Param-On"]);
    let owned = |list: &[(&'static str, &str)]| list.iter().map(|(n, v)| (*n, v.to_string())).collect::<Vec<_>>();
    assert_eq!(
        found.values(Some(r#"{"n":4.2e1,"deep":{"on":true},"region":"eu"}"#)),
        owned(&[("Mcp-Param-Region", "eu"), ("Mcp-Param-N", "42"), ("Mcp-Param-On", "true")])
    );
    assert_eq!(
        found.values(Some(r#"{"n":null,"deep":7,"region":" ü\r\n"}"#)),
        owned(&[("Mcp-Param-Region", "=?base64?IMO8DQo=?=")])
    );
    assert!(found.values(None).is_empty());
    assert!(found.values(Some(r#"{"region":["eu"]}"#)).is_empty());
}

#[test]
fn headers_that_differ_from_the_body_are_refused() {
    let refused = |arguments, headers: &[(&str, &str)]| check(arguments, headers).expect_err("a mismatch");
    let name = || "Mcp-Param-Region".into();
    assert_eq!(refused(r#"{"region":"eu"}"#, &[]), Mismatch::Missing(name()));
    assert_eq!(refused(r#"{"region":"eu"}"#, &[("mcp-param-region", "us")]), Mismatch::Different(name()));
    assert_eq!(refused(r#"{"region":"eu"}"#, &[("mcp-param-region", "EU")]), Mismatch::Different(name()));
    assert_eq!(refused(r#"{}"#, &[("mcp-param-region", "us")]), Mismatch::Unexpected(name()));
    assert_eq!(refused(r#"{"region":null}"#, &[("mcp-param-region", "null")]), Mismatch::Unexpected(name()));
    assert_eq!(
        refused(r#"{"region":"eu"}"#, &[("mcp-param-region", "eu"), ("mcp-param-region", "eu")]),
        Mismatch::Malformed(name())
    );
    assert_eq!(
        refused(r#"{"region":"Hello"}"#, &[("mcp-param-region", "=?base64?SGVs!!!bG8=?=")]),
        Mismatch::Malformed(name())
    );
    assert_eq!(
        refused(r#"{"region":"Hello"}"#, &[("mcp-param-region", "=?base64?SGVsbG8?=")]),
        Mismatch::Malformed(name())
    );
    assert_eq!(
        refused(r#"{"region":"eu","regi\u006fn":"us"}"#, &[("mcp-param-region", "eu")]),
        Mismatch::Ambiguous(name())
    );
    assert_eq!(refused(r#"{"region":{}}"#, &[("mcp-param-region", "{}")]), Mismatch::Different(name()));
}

#[test]
fn headers_that_say_the_same_pass() {
    fn passes(arguments: &str, headers: &[(&str, &str)]) {
        assert_eq!(check(arguments, headers), Ok(()), "{arguments}");
    }
    passes("{}", &[]);
    passes(r#"{"region":null,"other":1}"#, &[("mcp-param-other", "2")]);
    passes(r#"{"region":"Hello"}"#, &[("mcp-param-region", "=?base64?SGVsbG8=?=")]);
    passes(r#"{"region":"SGVsbG8=?="}"#, &[("mcp-param-region", "SGVsbG8=?=")]);
    passes(r#"{"region":"=?base64?SGVsbG8="}"#, &[("mcp-param-region", "=?base64?SGVsbG8=")]);
    passes(r#"{"region":""}"#, &[("mcp-param-region", "")]);
    for spelled in ["42", "42.0", "4.2e1"] {
        passes(&format!(r#"{{"n":{spelled}}}"#), &[("mcp-param-n", "42")]);
        passes(r#"{"n":42}"#, &[("mcp-param-n", spelled)]);
    }
    passes(r#"{"deep":{"on":false}}"#, &[("mcp-param-on", "false")]);
}

#[test]
fn integers_beyond_the_safe_range_are_compared_as_they_are_written() {
    assert_eq!(check(r#"{"n":9007199254740993}"#, &[("mcp-param-n", "9007199254740993")]), Ok(()));
    assert!(check(r#"{"n":9007199254740993}"#, &[("mcp-param-n", "9007199254740992")]).is_err());
    assert!(check(r#"{"n":1}"#, &[("mcp-param-n", "+1")]).is_err());
}

proptest! {
    #[test]
    fn any_text_survives_its_header(text in prop_oneof![".*", "[ -~]*", "=\\?base64\\?[a-zA-Z=]*\\?="]) {
        let sent = encode_value(&text);
        prop_assert!(sent.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        prop_assert_eq!(sent.trim(), &*sent);
        prop_assert!(sent.parse::<http::HeaderValue>().is_ok());
        let back = decode_value(&sent);
        prop_assert_eq!(back.as_deref(), Some(&*text));
    }

    #[test]
    fn what_is_built_passes_the_check(region in ".*", n in any::<i64>(), on in any::<Option<bool>>()) {
        let arguments = serde_json::json!({"region": region, "n": n, "deep": {"on": on}}).to_string();
        let values = of_three().values(Some(&arguments)).into_iter().map(|(n, v)| (n.to_owned(), v)).collect::<Vec<_>>();
        let lookup = |name: &str| values.iter().find(|(n, _)| n == name).map_or(Sent::Nothing, |(_, v)| Sent::One(v));
        prop_assert_eq!(of_three().check(Some(&arguments), lookup), Ok(()));
    }

    #[test]
    fn no_schema_and_no_header_makes_it_panic(schema in "\\PC*", sent in "\\PC*") {
        let _ = HeaderParams::of(&schema);
        let _ = decode_value(&sent);
        let _ = integer(&sent);
    }
}

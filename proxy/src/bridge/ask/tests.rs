//! What of a server's question reaches a client, and what the server is told of the rest.

use super::*;

const ALL: Capabilities = Capabilities::of_bits(511);

fn put_all(method: &str, params: &str) -> Result<String, Refused> {
    put(method, Some(params), ALL, "weather").map(|asked| String::from_utf8(asked.params.to_vec()).unwrap())
}

fn code(method: &str, params: &str, offered: Capabilities) -> Option<i32> {
    put(method, Some(params), offered, "weather").err().map(|refused| refused.code)
}

const FORM: &str = r#"{"message":"City?","requestedSchema":{}}"#;
const URL: &str = r#"{"mode":"url","message":"Sign in","url":"https://a.example/","elicitationId":"e1"}"#;

#[test]
fn what_was_not_offered_is_not_asked() {
    let none = Capabilities::default();
    for (method, params) in [(ELICIT, FORM), (ELICIT, URL), (SAMPLE, "{}"), (ROOTS, "{}"), ("tools/list", "{}")] {
        assert_eq!(code(method, params, none), Some(-32601), "{method}");
    }
    let forms = Capabilities { elicitation: true, ..none };
    assert_eq!((code(ELICIT, FORM, forms), code(ELICIT, URL, forms)), (None, Some(-32602)));
    let urls = Capabilities { elicitation_url: true, ..none };
    assert_eq!((code(ELICIT, FORM, urls), code(ELICIT, URL, urls)), (Some(-32602), None));
    let sampling = Capabilities { sampling: true, ..none };
    for (params, refused) in [
        (r#"{"includeContext":"none"}"#, None),
        (r#"{"includeContext":"allServers"}"#, Some(-32602)),
        (r#"{"tools":[]}"#, Some(-32602)),
        (r#"{"toolChoice":{}}"#, Some(-32602)),
    ] {
        assert_eq!(code(SAMPLE, params, sampling), refused, "{params}");
    }
    assert_eq!(code("initialize", "{}", ALL), Some(-32601));
}

#[test]
fn a_question_that_two_parsers_read_differently_is_void() {
    for params in [
        r#"{"message":"a","mode":"form","mode":"url"}"#,
        r#"{"message":"a","Mode":"url"}"#,
        r#"{"message":"a","me\u017f\u017fage":"b"}"#,
        r#"{"message":"a","\u006dessage":"b"}"#,
        r#"{"message":"a","mode":"other"}"#,
        r#"{"message":"a","mode":null}"#,
        r#"{"message":7}"#,
        r#"{"message":"a","_meta":[]}"#,
        r#"{"mode":"url","message":"a","url":"javascript:alert(1)"}"#,
        r#"{"mode":"url","message":"a"}"#,
        "[]",
        "{",
    ] {
        assert_eq!(code(ELICIT, params, ALL), Some(-32602), "{params}");
    }
}

#[test]
fn the_user_and_the_client_read_who_asks_and_the_rest_stays_as_it_was() {
    let asked = put_all(
        ELICIT,
        r#"{ "message" : "[bank] Ci\u0074y?", "x": 1.50 ,"_meta":{"a":1,"dev.patchbay/server":"bank"}}"#,
    );
    let expected =
        r#"{"message":"[weather] [bank] Ci\u0074y?","x": 1.50,"_meta":{"a":1,"dev.patchbay/server":"weather"}}"#;
    assert_eq!(asked.unwrap(), expected);
    let asked = put_all(SAMPLE, r#"{"message":"m","messages":[],"task":{"ttl":1}}"#);
    assert_eq!(asked.unwrap(), r#"{"message":"m","messages":[],"_meta":{"dev.patchbay/server":"weather"}}"#);
    let asked = put(ROOTS, None, ALL, "weather").unwrap();
    assert_eq!(asked.params, r#"{"_meta":{"dev.patchbay/server":"weather"}}"#);
    assert_eq!(
        asked.message(b"\"pb-1\""),
        r#"{"jsonrpc":"2.0","id":"pb-1","method":"roots/list","params":{"_meta":{"dev.patchbay/server":"weather"}}}"#
    );
}

#[test]
fn a_question_by_url_has_an_id_in_the_legacy_era_alone() {
    let asked = put(ELICIT, Some(URL), ALL, "s").unwrap();
    assert_eq!(asked.elicitation_id().as_deref(), Some("e1"));
    let legacy = asked.clone().with_elicitation_id(|| unreachable!("it has one"));
    assert_eq!(legacy, asked);
    let modern = asked.without_elicitation_id();
    assert!(modern.elicitation_id().is_none() && modern.is_url());
    assert_eq!(modern.with_elicitation_id(|| "new".to_owned()).elicitation_id().as_deref(), Some("new"));
    let form = put(ELICIT, Some(FORM), ALL, "s").unwrap();
    assert_eq!(form.clone().with_elicitation_id(|| "new".to_owned()), form);
}

#[test]
fn an_answer_is_read_for_the_other_era() {
    let said = |text: &'static str| said(&Bytes::from_static(text.as_bytes())).map(|said| format!("{said:?}"));
    assert_eq!(said(r#""result" : {"action":"accept"}"#).unwrap(), r#"Result("{\"action\":\"accept\"}")"#);
    assert_eq!(said(r#""error":{"code":-1}"#).unwrap(), r#"Error("{\"code\":-1}")"#);
    assert_eq!(said(r#""id":1"#), None);
    assert_eq!(result_outcome("{}"), r#""result":{}"#);
    assert_eq!(error_outcome(-1, "a\"b"), r#""error":{"code":-1,"message":"a\"b"}"#);
}

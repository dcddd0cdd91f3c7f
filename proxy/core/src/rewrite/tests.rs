//! Golden answers, cut at every byte: what goes out does not depend on how it came in.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const INFO: &str = r#"{"name":"patchbay"}"#;

fn plan(from: Era, to: Era) -> Plan {
    Plan { id: Bytes::from_static(b"\"c-1\""), from, to, cacheable: false, server_info: INFO }
}

/// Rewrites the text in one piece and in two pieces cut at every byte; all must agree.
fn rewritten(text: &str, plan: &Plan) -> Result<String, RewriteError> {
    let message = Bytes::copy_from_slice(text.as_bytes());
    let once = whole(&message, plan.clone()).map(|(bytes, _)| String::from_utf8(bytes.into()).expect("UTF-8"));
    for cut in 0..=text.len() {
        let mut rewriter = Rewriter::new(plan.clone());
        let mut pieces = Vec::new();
        let pushed = rewriter
            .push(&message.slice(..cut), &mut pieces)
            .and_then(|()| rewriter.push(&message.slice(cut..), &mut pieces))
            .and_then(|()| rewriter.finish());
        let cut_up = pushed.map(|_| String::from_utf8(join(pieces).into()).expect("UTF-8"));
        if once.is_ok() {
            assert_eq!(cut_up, once, "cut at {cut}");
        }
    }
    once
}

#[test]
fn between_equal_legacy_peers_only_the_id_changes() {
    let text = r#" {"result": {"z":1.50, "content":[{"type":"text","text":"a\"}{\\"}],"x":{"n":1E+2}} , "odd":[{}], "id":17,"jsonrpc":"2.0"}"#;
    let expected = text.trim_start().replace("\"id\":17", "\"id\":\"c-1\"");
    assert_eq!(rewritten(text, &plan(Era::Legacy, Era::Legacy)), Ok(expected));
}

#[test]
fn a_legacy_result_becomes_a_complete_modern_one() {
    let out =
        rewritten(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, &plan(Era::Legacy, Era::Modern)).expect("a response");
    assert_eq!(
        out,
        r#"{"jsonrpc":"2.0","id":"c-1","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"patchbay"}}}}"#
    );
}

#[test]
fn a_modern_result_loses_what_a_legacy_client_does_not_know() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete", "content":[],"structuredContent":[1],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"x"}}}}"#;
    let out = rewritten(text, &plan(Era::Modern, Era::Legacy));
    assert_eq!(out.as_deref(), Ok(r#"{"jsonrpc":"2.0","id":"c-1","result":{ "content":[]}}"#));
}

#[test]
fn the_servers_own_name_is_replaced_and_the_rest_of_meta_stays() {
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"a":1e9,"io.modelcontextprotocol/serverInfo":{}},"resultType":"complete"}}"#;
    let out = rewritten(text, &plan(Era::Modern, Era::Modern)).expect("a response");
    assert!(out.contains(r#""_meta":{"a":1e9,"io.modelcontextprotocol/serverInfo":{"name":"patchbay"}}"#), "{out}");
}

#[test]
fn a_read_is_private_and_has_a_ttl_in_the_modern_era() {
    let mut plan = plan(Era::Modern, Era::Modern);
    plan.cacheable = true;
    let text = r#"{"jsonrpc":"2.0","id":1,"result":{"contents":[],"cacheScope":"public","ttlMs":5,"resultType":"complete","_meta":{}}}"#;
    let out: Value = serde_json::from_str(&rewritten(text, &plan).expect("a response")).expect("JSON");
    assert_eq!((&out["result"]["cacheScope"], &out["result"]["ttlMs"]), (&"private".into(), &5.into()));
    plan.to = Era::Legacy;
    assert_eq!(
        rewritten(text, &plan).as_deref(),
        Ok(r#"{"jsonrpc":"2.0","id":"c-1","result":{"contents":[],"_meta":{}}}"#.replace(r#","_meta":{}"#, "").as_str())
    );
}

#[test]
fn an_error_passes_and_is_seen() {
    let text = Bytes::from_static(br#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"no","data":1.0},"id":1}"#);
    let (out, seen) = whole(&text, plan(Era::Legacy, Era::Modern)).expect("a response");
    assert!(seen.error && out.ends_with(br#""data":1.0},"id":"c-1"}"#));
}

#[test]
fn a_missing_id_is_added_and_a_failed_tool_is_seen() {
    let text = Bytes::from_static(br#"{"jsonrpc":"2.0","result":{"isError" : true,"content":[]}}"#);
    let (out, seen) = whole(&text, plan(Era::Legacy, Era::Legacy)).expect("a response");
    assert!(seen.is_error && !seen.incomplete);
    assert!(out.ends_with(br#"{"isError" : true,"content":[]},"id":"c-1"}"#), "{out:?}");
}

#[test]
fn garbage_and_short_answers_are_errors() {
    for text in
        ["", "<html>", "[]", "{\"jsonrpc\":\"2.0\"}", "{\"result\":3}", "{\"id\":1,\"result\":{}", "{\"result\":{}}x"]
    {
        let outcome = rewritten(text, &plan(Era::Legacy, Era::Legacy));
        assert!(outcome.is_err(), "{text:?} gave {outcome:?}");
    }
    let twice = r#"{"id":1,"result":{"isError":false,"isError":true}}"#;
    assert_eq!(rewritten(twice, &plan(Era::Legacy, Era::Legacy)), Err(RewriteError::Member));
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_result_holds_comes_out_as_it_was(
        members in prop::collection::btree_map("[a-z\u{e4}\"\\\\]{1,8}", json_value(), 0..6),
        cuts in prop::collection::vec(0.0_f64..1.0, 0..5),
    ) {
        let mut members = members;
        members.retain(|name, _| !["id", "result", "error", "isError", "resultType", "_meta"].contains(&name.as_str()));
        let result = serde_json::to_string(&members).expect("JSON");
        let text = format!(r#"{{"jsonrpc":"2.0","id":5,"result":{result}}}"#);
        let message = Bytes::from(text.clone().into_bytes());
        let mut marks: Vec<usize> = cuts.iter().map(|cut| (cut * message.len() as f64) as usize).collect();
        marks.push(message.len());
        marks.sort_unstable();
        let (mut rewriter, mut pieces, mut last) = (Rewriter::new(plan(Era::Legacy, Era::Legacy)), Vec::new(), 0);
        for mark in marks {
            rewriter.push(&message.slice(last..mark), &mut pieces).expect("a response");
            last = mark;
        }
        rewriter.finish().expect("whole");
        prop_assert_eq!(join(pieces), text.replacen("\"id\":5", "\"id\":\"c-1\"", 1));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Rewriter::new(plan(Era::Modern, Era::Legacy)).push(&bytes.into(), &mut Vec::new());
    }
}

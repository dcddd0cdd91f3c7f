//! Reading a server's lists: whole ones, endless ones, odd ones, and some that fail.

#[path = "support/fake.rs"]
mod fake;

use std::{sync::Arc, time::Duration};

use fake::{Fake, one};
use patchbay_core::era::Era;
use patchbay_downstream::{
    Answer, DownstreamError, Fault, Message, MessageStream, Outgoing, Reply,
    catalog::{CatalogBounds, CatalogList, RawCatalog, fetch},
};
use serde_json::{Value, json};
use tokio::time::Instant;

fn bounds() -> CatalogBounds {
    let deadline = Instant::now() + Duration::from_secs(10);
    CatalogBounds { pages_max: 10, items_max: 1000, bytes_max: 100_000, deadline, capabilities: "{}" }
}

/// A server whose lists answer as this says: method and cursor to result, or to a whole message.
fn lists(script: impl Fn(&str, Option<&str>) -> Result<String, Fault> + Send + Sync + 'static) -> Arc<Fake> {
    Fake::new(move |_, request: Outgoing| {
        let params: Vec<u8> = request.params.concat();
        let params: Value = serde_json::from_slice(&[b"{", &*params, b"}"].concat()).expect("JSON");
        let outcome = script(request.method, params["cursor"].as_str());
        async move { outcome.map(one).map_err(|fault| DownstreamError::may_have_run(fault, "scripted")) }
    })
}

fn page(member: &str, items: &Value, next: Option<&str>) -> Result<String, Fault> {
    let mut result = json!({ member: items });
    if let Some(next) = next {
        result["nextCursor"] = next.into();
    }
    Ok(json!({"result": result, "id": 1, "jsonrpc": "2.0"}).to_string())
}

fn none() -> Result<String, Fault> {
    Ok(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#.to_owned())
}

async fn read(server: &Fake) -> RawCatalog {
    fetch(server, bounds()).await.expect("a catalog")
}

#[tokio::test]
async fn all_pages_are_read_as_they_are_written_and_an_empty_cursor_is_a_cursor() {
    let server = lists(|method, cursor| match (method, cursor) {
        ("tools/list", None) => {
            Ok(r#"{"id":1,"result":{"tools":[ {"name" : "a", "x":1e400} ],"nextCursor":"","ttlMs":9000}}"#.to_owned())
        }
        ("tools/list", Some("")) => {
            Ok(r#"{"id":1,"result":{"ttlMs":5000,"tools":[{"name":"b"}],"nextCursor":"\"x"}}"#.to_owned())
        }
        ("tools/list", Some("\"x")) => page("tools", &json!([]), None),
        ("resources/templates/list", None) => page("resourceTemplates", &json!([{"t": 1}]), None),
        _ => none(),
    });
    let catalog = read(&server).await;
    assert_eq!(catalog.tools, [r#"{"name" : "a", "x":1e400}"#, r#"{"name":"b"}"#]);
    assert_eq!((catalog.templates, catalog.ttl_ms), (vec![r#"{"t":1}"#.to_owned()], Some(5000)));
    assert!(catalog.prompts.is_empty() && catalog.warnings.is_empty() && catalog.failed.is_empty());
}

#[tokio::test]
async fn pages_that_go_round_in_a_circle_are_read_once() {
    let server = lists(|method, cursor| match (method, cursor) {
        ("tools/list", None) => page("tools", &json!([{"n": 1}]), Some("x")),
        ("tools/list", Some("x")) => page("tools", &json!([{"n": 2}]), Some("y")),
        ("tools/list", Some("y")) => page("tools", &json!([{"n": 3}]), Some("x")),
        _ => none(),
    });
    let catalog = read(&server).await;
    assert_eq!(catalog.tools.len(), 3);
    assert!(catalog.warnings[0].contains("circle"), "{:?}", catalog.warnings);
}

#[tokio::test]
async fn what_is_over_a_bound_is_left_out_with_a_warning() {
    let endless = |cursor: Option<&str>| {
        let n: usize = cursor.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        (n, (n + 1).to_string())
    };
    let server = lists(move |method, cursor| {
        let (n, next) = endless(cursor);
        match method {
            "tools/list" => page("tools", &json!([{"n": n}]), Some(&next)),
            "prompts/list" => page("prompts", &json!(vec![json!({"n": n}); 600]), Some(&next)),
            "resources/list" => page("resources", &json!([{"n": "x".repeat(40_000)}]), Some(&next)),
            _ => none(),
        }
    });
    let catalog = read(&server).await;
    assert_eq!((catalog.tools.len(), catalog.prompts.len(), catalog.resources.len()), (10, 1000, 2));
    assert_eq!(catalog.warnings.len(), 3, "{:?}", catalog.warnings);
    assert!(catalog.failed.is_empty());
}

#[tokio::test]
async fn a_list_that_fails_leaves_the_others_and_keeps_its_last_good_part() {
    let good = lists(|method, _| match method {
        "tools/list" => page("tools", &json!([{"name": "old"}]), None),
        "prompts/list" => page("prompts", &json!([{"name": "p"}]), None),
        _ => none(),
    });
    let earlier = read(&good).await;
    for broken in
        ["not json", r#"{"id":1,"result":{"tools":{}}}"#, r#"{"id":1,"error":{"code":-32603,"message":"m"}}"#, ""]
    {
        let server = lists(move |method, _| match method {
            "tools/list" if broken.is_empty() => Err(Fault::Timeout),
            "tools/list" => Ok(broken.to_owned()),
            _ => none(),
        });
        let mut catalog = read(&server).await;
        assert!(catalog.tools.is_empty());
        assert_eq!(catalog.failed.iter().map(|failed| failed.list).collect::<Vec<_>>(), [CatalogList::Tools]);
        catalog.keep_failed_from(&earlier);
        assert_eq!(catalog.tools, earlier.tools);
        assert!(catalog.prompts.is_empty(), "a list that is empty now took the old items");
    }
}

#[tokio::test]
async fn a_server_of_which_nothing_can_be_read_is_an_error() {
    let server = lists(|_, _| Err(Fault::Closed));
    let error = fetch(&*server, bounds()).await.expect_err("nothing was read");
    assert_eq!(error.fault, Fault::Closed);
    let server = lists(|_, _| page("tools", &json!([{"n": "x".repeat(200_000)}]), None));
    let error = fetch(&*server, bounds()).await.expect_err("the first pages are too large");
    assert_eq!(error.fault, Fault::TooLarge);
}

#[tokio::test]
async fn odd_items_and_cursors_are_left_out_with_a_warning() {
    let server = lists(|method, _| match method {
        "tools/list" => Ok(r#"{"id":1,"result":{"tools":[1,null,{"name":"a"},"x"],"nextCursor":7}}"#.to_owned()),
        "prompts/list" => Ok(r#"{"id":1,"result":{"prompts":[],"nextCursor":null,"ttlMs":-5}}"#.to_owned()),
        _ => none(),
    });
    let catalog = read(&server).await;
    assert_eq!((catalog.tools.len(), catalog.warnings.len(), catalog.ttl_ms), (1, 2, None));
}

#[tokio::test]
async fn a_response_in_pieces_behind_notifications_is_read() {
    struct Pieces(u8);
    impl MessageStream for Pieces {
        fn next(&mut self) -> futures_util::future::BoxFuture<'_, Result<Message, DownstreamError>> {
            self.0 += 1;
            let rest = futures_util::stream::iter([Ok(r#"[{"name":"a"}"#.into()), Ok("]}}".into())]);
            let message = match self.0 {
                1 => Message::Notification("{}".into()),
                _ => Message::Response(Answer {
                    head: r#"{"id":1,"result":{"tools":"#.into(),
                    rest: Some(Box::pin(rest)),
                    era: Era::Modern,
                }),
            };
            Box::pin(async move { Ok(message) })
        }
    }
    let server = Fake::new(|_, request: Outgoing| async move {
        match request.method {
            "tools/list" => Ok(Reply::Stream(Box::new(Pieces(0)))),
            _ => Ok(one(none().expect("a message"))),
        }
    });
    let catalog = read(&server).await;
    assert_eq!(catalog.tools, [r#"{"name":"a"}"#]);
    let stored = serde_json::to_string(&catalog).expect("it can be stored");
    assert_eq!(serde_json::from_str::<RawCatalog>(&stored).expect("and read"), catalog);
}

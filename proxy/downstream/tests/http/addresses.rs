//! Where servers may be, and what is secret about them.

use crate::*;

#[tokio::test]
async fn addresses_that_are_not_allowed_are_refused_with_one_text_and_not_a_packet() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let mut texts = Vec::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fec0::1]",
        "100.64.0.1",
        "169.254.169.254",
    ] {
        let net = NetPolicy { allow_private: vec![], allow_plain_http: true };
        let url = format!("http://{host}:{port}/mcp").parse().unwrap();
        let http = HttpDownstream::new(HttpOptions { net, ..HttpOptions::new(url) }).unwrap();
        let error = http.hello(soon()).await.unwrap_err();
        assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent), "{host}");
        texts.push(error.detail);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(canary.accept().now_or_never().is_none(), "somebody connected");
}

#[tokio::test]
async fn urls_that_cannot_be_are_refused_with_the_reason() {
    let made = |url: &str, plain| {
        let net = NetPolicy { allow_private: vec![], allow_plain_http: plain };
        HttpDownstream::new(HttpOptions { net, ..HttpOptions::new(url.parse().unwrap()) }).map(drop)
    };
    assert_eq!(made("http://example.com/", false), Err(HttpError::PlainHttp));
    assert_eq!(made("https://me:secret@example.com/", false), Err(HttpError::Credentials));
    assert!(matches!(made("ftp://example.com/", true), Err(HttpError::Url(_))));
    assert_eq!(made("https://example.com/mcp?a=b", false), Ok(()));
}

#[tokio::test]
async fn fixed_headers_are_sent_and_shown_nowhere() {
    let server = Server::modern(|seen| {
        let said = format!("the token {} is bad", seen.header("authorization").unwrap());
        ready(bytes(500, "text/plain", said))
    })
    .await;
    let secret = HeaderValue::from_static("Bearer canary-7f3a");
    let mut made = options(server.address);
    made.headers.push((HeaderName::from_static("authorization"), secret));
    made.url.set_query(Some("key=canary-query"));
    made.era = EraPin::Modern;
    let shown = format!("{made:?}");
    let http = HttpDownstream::new(made).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    let call = server.log.wait_for(|seen| seen.method() == "tools/call").await;
    assert_eq!((call.header("authorization"), &*call.path), (Some("Bearer canary-7f3a"), "/mcp?key=canary-query"));
    for text in [shown, format!("{http:?}"), format!("{error:?} {error}"), format!("{:?}", http.health())] {
        assert!(!text.contains("canary"), "{text}");
    }
}

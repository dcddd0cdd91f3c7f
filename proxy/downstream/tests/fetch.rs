//! Documents from elsewhere, over real sockets: where a fetch may go, what it sends, and what ends it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use patchbay_downstream::{
    fetch::{FetchBounds, FetchFault, Fetcher},
    http::NetPolicy,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

const BOUNDS: FetchBounds = FetchBounds { bytes_max: 10_000, timeout: Duration::from_secs(10) };

fn fetcher() -> Fetcher {
    Fetcher::new(NetPolicy { allow_private: vec!["127.0.0.0/8".parse().unwrap()], allow_plain_http: true })
}

fn get(url: impl AsRef<str>) -> Request<Bytes> {
    Request::get(url.as_ref()).body(Bytes::new()).unwrap()
}

/// Answers one request with pieces, each after the pause before it; gives the heads that it saw, and holds the connection.
async fn script(pieces: Vec<(Duration, Vec<u8>)>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, heads) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let _ = seen.send(read_head(&mut tcp).await).await;
            for (pause, piece) in &pieces {
                tokio::time::sleep(*pause).await;
                if tcp.write_all(piece).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, heads)
}

async fn at_once(answer: impl Into<Vec<u8>>) -> (SocketAddr, mpsc::Receiver<String>) {
    script(vec![(Duration::ZERO, answer.into())]).await
}

async fn read_head(tcp: &mut TcpStream) -> String {
    let mut all = Vec::new();
    while !all.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => all.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn refused_addresses_share_one_text_and_get_not_a_packet() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let shut = Fetcher::new(NetPolicy { allow_private: vec![], allow_plain_http: true });
    let mut faults = Vec::new();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:7f00:1]", "169.254.169.254", "10.0.0.1"] {
        faults.push(shut.send(get(format!("http://{host}:{port}/keys")), BOUNDS).await.unwrap_err());
    }
    faults.dedup();
    assert!(matches!(&*faults, [FetchFault::Forbidden(_)]), "{faults:?}");
    assert!(canary.accept().now_or_never().is_none(), "somebody connected");
}

#[tokio::test]
async fn urls_that_may_not_be_asked_are_refused_before_anything_is_resolved() {
    let strict = Fetcher::new(NetPolicy::default());
    for url in ["http://issuer.example/keys", "https://me:secret@issuer.example/keys", "/keys", "ftp://issuer.example/"]
    {
        let fault = strict.send(get(url), BOUNDS).await.unwrap_err();
        assert!(matches!(&fault, FetchFault::Forbidden(text) if !text.contains("secret")), "{url}: {fault:?}");
    }
}

#[tokio::test]
async fn the_request_names_its_host_asks_for_plain_bytes_and_keeps_nothing_open() {
    let (address, mut heads) =
        at_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-control: max-age=9\r\n\r\n{}").await;
    let url = format!("http://{address}/a/keys?x=%20y");
    let mut request = get(url);
    request.headers_mut().insert("host", "elsewhere.example".parse().unwrap());
    let answer = fetcher().send(request, BOUNDS).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..], &answer.headers()["cache-control"]),
        (200, &b"{}"[..], &"max-age=9".parse().unwrap())
    );
    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /a/keys?x=%20y http/1.1\r\n"), "{head}");
    for line in [&format!("host: {address}"), "accept-encoding: identity", "connection: close", "user-agent: patchbay/"]
    {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(!head.contains("elsewhere"));
}

#[tokio::test]
async fn a_form_is_posted_whole() {
    let (address, mut heads) = at_once("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    let mut request = Request::new(Bytes::from_static(b"a=b"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{address}/token").parse().unwrap();
    let fetcher = fetcher();
    let answer = fetcher.send(request, BOUNDS);
    // A body without a length ends with the connection.
    let listener_gone = async { heads.recv().await.unwrap() };
    let (answer, head) = tokio::join!(answer, listener_gone);
    assert!(head.starts_with("POST /token ") && head.contains("content-length: 3"), "{head}");
    assert_eq!(&answer.unwrap().body()[..], b"until the end");
}

#[tokio::test]
async fn a_redirect_is_given_back_and_not_followed() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/keys", canary.local_addr().unwrap());
    let (address, _heads) =
        at_once(format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n")).await;
    let answer = fetcher().send(get(format!("http://{address}/")), BOUNDS).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (302, &*elsewhere));
    assert!(canary.accept().now_or_never().is_none(), "somebody followed");
}

#[tokio::test]
async fn a_body_that_drips_ends_by_the_timeout() {
    let mut pieces = vec![(Duration::ZERO, b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n".to_vec())];
    pieces.extend((0..9000).map(|_| (Duration::from_millis(20), b"x".to_vec())));
    let (address, _heads) = script(pieces).await;
    let began = Instant::now();
    let bounds = FetchBounds { timeout: Duration::from_millis(200), ..BOUNDS };
    let fault = fetcher().send(get(format!("http://{address}/")), bounds).await.unwrap_err();
    assert!(matches!(&fault, FetchFault::Unreachable(text) if text.contains("200 ms")), "{fault:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_huge_body_is_cut_whether_it_is_announced_or_not() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n".to_owned();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}",
        "400\r\n".to_owned() + &"x".repeat(1024) + "\r\n"
    );
    let chunks = chunked.clone() + &("400\r\n".to_owned() + &"x".repeat(1024) + "\r\n").repeat(9);
    for answer in [announced, chunks] {
        // The rest never comes: the bound is what ends it.
        let (address, _heads) =
            script(vec![(Duration::ZERO, answer.into_bytes()), (Duration::from_secs(60), vec![])]).await;
        let fault = fetcher().send(get(format!("http://{address}/")), BOUNDS).await.unwrap_err();
        assert_eq!(fault, FetchFault::TooLarge(10_000));
    }
}

#[tokio::test]
async fn what_is_no_http_or_breaks_off_or_is_compressed_is_a_fault_in_words() {
    for answer in [
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx",
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
    ] {
        let (address, _heads) = at_once(answer).await;
        let fault = fetcher().send(get(format!("http://{address}/")), BOUNDS).await.unwrap_err();
        assert!(matches!(fault, FetchFault::Unreachable(_)), "{fault:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fault = fetcher().send(get(format!("http://{gone}/")), BOUNDS).await.unwrap_err();
    assert!(matches!(fault, FetchFault::Unreachable(_)), "{fault:?}");
}

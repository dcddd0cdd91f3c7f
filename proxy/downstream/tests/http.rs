//! Servers over Streamable HTTP, as the trunk sees them: real sockets, scripted servers. What needs no socket is tested
//! beside its code.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "http/addresses.rs"]
mod addresses;
#[path = "http/cancellation.rs"]
mod cancellation;
#[path = "http/connections.rs"]
mod connections;
#[path = "http/directions.rs"]
mod directions;
#[path = "http/eras.rs"]
mod eras;
#[path = "http/events.rs"]
mod events;
#[path = "http/independent.rs"]
mod independent;
#[path = "http/oauth.rs"]
mod oauth;
#[path = "http/oldest.rs"]
mod oldest;
#[path = "http/replies.rs"]
mod replies;
#[path = "http/server.rs"]
mod server;
#[path = "http/sessions.rs"]
mod sessions;
#[path = "http/time.rs"]
mod time;
#[path = "http/watching.rs"]
mod watching;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::join_all};
use http::{HeaderName, HeaderValue};
use patchbay_core::{
    era::{Era, Version},
    model::EraPin,
};
use patchbay_downstream::{
    Answer, CallCx, Delivery, Downstream, DownstreamError, Event, Extension, Fault, HealthState, Hello, List, Message,
    MessageStream, Outgoing, Reply, ShareKey,
    http::{HttpDownstream, HttpError, HttpOptions, NetPolicy, SseDownstream},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::server::{Server, bytes, empty, events, ready, result, rpc_error};

fn loopback() -> NetPolicy {
    NetPolicy { allow_private: vec!["127.0.0.0/8".parse().unwrap()], allow_plain_http: true }
}

fn options(address: std::net::SocketAddr) -> HttpOptions {
    HttpOptions { net: loopback(), ..HttpOptions::new(format!("http://{address}/mcp").parse().unwrap()) }
}

fn pinned(address: std::net::SocketAddr, era: EraPin) -> Arc<HttpDownstream> {
    HttpDownstream::new(HttpOptions { era, ..options(address) }).unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn cx() -> CallCx {
    CallCx { deadline: soon(), extension: None, share: ShareKey::Tenant, capabilities: "{}".into() }
}

fn echo(text: &str) -> Outgoing {
    let params = format!(r#""name":"echo","arguments":{{"text":{}}}"#, json!(text));
    let mut request = Outgoing::plain("tools/call", vec![params.into()]);
    request.mirror_name = Some("echo".into());
    request
}

fn remembered(version: Version) -> Option<Hello> {
    Some(Hello { version, capabilities: "{}".into(), server_info: "{}".into(), instructions: None })
}

async fn whole(answer: Answer) -> Result<Bytes, DownstreamError> {
    let mut all = answer.head.to_vec();
    if let Some(mut rest) = answer.rest {
        while let Some(piece) = rest.next().await {
            all.extend_from_slice(&piece?);
        }
    }
    Ok(all.into())
}

async fn one(reply: Result<Reply, DownstreamError>) -> Value {
    match reply.expect("a reply") {
        Reply::One(answer) => serde_json::from_slice(&whole(answer).await.expect("a whole answer")).unwrap(),
        Reply::Stream(_) => panic!("expected one answer"),
    }
}

fn stream(reply: Result<Reply, DownstreamError>) -> Box<dyn MessageStream> {
    match reply.expect("a reply") {
        Reply::Stream(stream) => stream,
        Reply::One(answer) => panic!("expected a stream and got {answer:?}"),
    }
}

fn failed(reply: Result<Reply, DownstreamError>) -> DownstreamError {
    reply.expect_err("an error")
}

fn echoed(seen: &server::Seen) -> server::Reply {
    result(seen, json!({"text": seen.body["params"]["arguments"]["text"]}))
}

/// A server of raw bytes: reads a request, writes this, and closes.
async fn raw(answer: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            read_request(&mut tcp).await;
            // The client may have seen enough before the end.
            let _ = tcp.write_all(&answer).await;
        }
    });
    address
}

/// Reads one request with a body of announced length.
async fn read_request(tcp: &mut TcpStream) -> bool {
    let mut all = Vec::new();
    loop {
        let mut piece = [0; 4096];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => all.extend_from_slice(&piece[..count]),
        }
        let text = String::from_utf8_lossy(&all);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            return true;
        }
    }
}

//! Deliveries over real connections: a batch that is not wanted, and what is signed after its records went out.

use std::sync::{Mutex, PoisonError};

use patchbay_core::audit::{CheckpointReason, Facets, Link, WriterId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

type Bodies = Arc<Mutex<Vec<String>>>;

/// A webhook that takes no body with this in it, and none of more records than this. It keeps what it took.
async fn webhook(poison: &'static str, records_max: usize) -> (url::Url, Bodies) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let kept = Bodies::default();
    let bodies = kept.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut text, mut chunk) = (String::new(), [0; 65536]);
            let body = loop {
                let read = stream.read(&mut chunk).await.unwrap();
                text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    break body.to_owned();
                }
            };
            let is_taken = !body.contains(poison) && body.matches("\"type\":\"record\"").count() <= records_max;
            if is_taken {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            }
            let status = if is_taken { "200 OK" } else { "413 Content Too Large" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, bodies)
}

async fn grow(store: &Arc<dyn Store>, chain: ChainId, at: &mut Link, texts: &[&str]) {
    let row = |(text, number): (&&str, u128)| {
        let json = format!(r#"{{"text":"{text}"}}"#);
        let event_id = number << 64 | u128::from(chain.writer.0) << 8 | u128::from(at.seq + 1) << 32;
        *at = at.next(chain, event_id, 1000, "list", &json);
        let (kind, facets) = ("list".to_owned(), Facets::default());
        AuditRow { event_id, chain, link: *at, at_ms: 1000, kind, facets, json }
    };
    let rows: Vec<_> = texts.iter().zip(1..).map(row).collect();
    store.audit_append(&rows).await.unwrap();
}

async fn sink(url: url::Url) -> Sink {
    let vault = patchbay_store::Vault::new(1, [7; 32]);
    Sink {
        name: "siem".parse().unwrap(),
        config: SinkConfig { kind: SinkKind::Webhook, url, secret: None, headers: Default::default(), tenants: vec![] },
        fetcher: Fetcher::new(outbound::operator_policy()),
        store: patchbay_store::open("sqlite::memory:", vault, Default::default()).await.unwrap(),
        holder: 1,
        cursors: None,
        signed: HashMap::new(),
        names: HashMap::new(),
        named: None,
        stats: SinkStats::default(),
    }
}

fn taken(bodies: &Bodies) -> String {
    bodies.lock().unwrap_or_else(PoisonError::into_inner).concat()
}

#[tokio::test]
async fn a_batch_that_the_sink_does_not_take_holds_up_its_chain_alone_and_shows_as_lag() {
    let (url, bodies) = webhook("poison", 2).await;
    let mut sink = sink(url).await;
    let [bad, good] = [1, 2].map(|writer| ChainId { tenant: None, writer: WriterId(writer) });
    grow(&sink.store, bad, &mut Link::START.clone(), &["a", "poison", "b"]).await;
    grow(&sink.store, good, &mut Link::START.clone(), &["c", "d", "e", "f", "g"]).await;
    for number in 0..6 {
        let mut round = Round::default();
        let done = sink.round(&mut round).await;
        assert_eq!(done.is_err(), number > 0, "round {number}");
        sink.note(&round, done.ok());
    }
    let taken = taken(&bodies);
    for (text, is_there) in [("a", true), ("b", false), ("c", true), ("g", true)] {
        assert_eq!(taken.contains(&format!(r#""text":"{text}""#)), is_there, "{text}");
    }
    assert_eq!((sink.stats.sent, sink.stats.lag_records), (6, 2));
    assert!(sink.stats.lag > Duration::from_secs(3600), "by the time of the first that waits: {:?}", sink.stats.lag);
}

#[tokio::test]
async fn a_checkpoint_that_was_signed_after_its_records_comes_with_the_next_ones() {
    let (url, bodies) = webhook("nothing like that", 100).await;
    let mut sink = sink(url).await;
    let (chain, mut at) = (ChainId { tenant: None, writer: WriterId(1) }, Link::START);
    grow(&sink.store, chain, &mut at, &["a", "b"]).await;
    assert!(sink.round(&mut Round::default()).await.unwrap());
    let reason = CheckpointReason::Head;
    let signed = Checkpoint { chain, link: at, reason, at_ms: 0, signature: [0; 64] };
    sink.store.audit_checkpoint_put(&[signed]).await.unwrap();
    for text in ["c", "d"] {
        grow(&sink.store, chain, &mut at, &[text]).await;
        assert!(sink.round(&mut Round::default()).await.unwrap());
    }
    assert_eq!(taken(&bodies).matches(r#""type":"checkpoint""#).count(), 1);
}

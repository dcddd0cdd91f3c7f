//! What is found out after a response has begun, while its client waits.

use std::{pin::Pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use patchbay_core::era::Version;
use patchbay_limit::{Ask, Decision, Limiter, Mode, Refused, Standing, Take};
use serde_json::json;

use super::*;
use crate::{
    admission::told::Telling,
    auth::tests::house::{House, site},
    caller::{Caller, Capabilities},
};

/// Refuses, but not at once.
struct Late(Duration);

impl Limiter for Late {
    fn take(&self, _: &Ask<'_>, _: u64) -> Take {
        let after = self.0;
        Take::Pending(Box::pin(async move {
            tokio::time::sleep(after).await;
            Decision::Denied(Refused { at: 0, retry_after: Duration::from_millis(2_300), away: false })
        }))
    }

    fn look<'a>(&'a self, _: &'a Ask<'a>, _: u64) -> Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn mode(&self) -> Mode {
        Mode::Shared
    }
}

/// The answer to a call that is refused after this time, as status, content type and text.
async fn refused_after(era: Version, delay: Duration, sse_after: Duration) -> (u16, String, String) {
    let mut house = House::with(|config| config.limits.sse_after = sse_after).await;
    Arc::get_mut(&mut house.app).unwrap().limits.tenants = Arc::new(Late(delay));
    house.open("acme", |_, _| ());
    let (principal, tenant) = house.enter("acme", &house.issuer.token(&json!({}))).await.unwrap();
    house.app.tenants.settle(&tenant.snapshot().slug);
    let caller = Caller {
        version: era,
        can: Capabilities::default(),
        share: principal.digest(),
        log_level: None,
        params_sent: Vec::new(),
    };
    let telling = Telling::begin(&house.app.limits);
    let cx = Cx { app: house.app.clone(), tenant, principal, caller, site: Some(Arc::new(site())), telling };
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "shop_get" } });
    let Ok(Incoming::Request(request)) = Incoming::parse(&Bytes::from(body.to_string()), 64) else { panic!() };
    let call = Call::new(cx, request, None, house.trail());
    let local = tokio::task::LocalSet::new();
    let reply = local.run_until(async {
        let reply = answer(&house.app, call).await.ok().unwrap();
        let kind = reply.headers()["content-type"].to_str().unwrap().to_owned();
        let retry_after = reply.headers().get("retry-after").is_some();
        let status = reply.status().as_u16();
        assert_eq!(retry_after, status == 429);
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    });
    let reply = reply.await;
    assert_eq!(house.app.metrics.in_flight.get(), 0);
    reply
}

const SAID: &str = r#"{"jsonrpc":"2.0","id":7,"error":{"code":42901,"message":"over the limit principal","data":{"limit":"principal","retryAfterMs":2300}}}"#;

#[tokio::test]
async fn a_refusal_before_the_response_has_begun_is_a_status() {
    for era in [Version::NEWEST_LEGACY, Version::V2026_07_28] {
        let (status, kind, text) = refused_after(era, Duration::ZERO, Duration::from_secs(60)).await;
        assert_eq!((status, &*kind, &*text), (429, "application/json", SAID));
    }
}

#[tokio::test]
async fn a_refusal_within_a_stream_is_an_event_with_the_same_words() {
    for era in [Version::NEWEST_LEGACY, Version::V2026_07_28] {
        let (status, kind, text) = refused_after(era, Duration::from_millis(50), Duration::from_millis(1)).await;
        assert_eq!((status, &*kind), (200, "text/event-stream"));
        let last = format!("event: message\ndata: {SAID}\n\n");
        match era.era() {
            Era::Modern => assert_eq!(text, last),
            Era::Legacy => {
                let (priming, answer) = text.split_once("\n\n").unwrap();
                assert!(priming.starts_with("id: p") && priming.ends_with(".0\nretry: 2000\ndata: "), "{text}");
                assert!(answer.starts_with("id: p") && answer.ends_with(&format!(".end\n{last}")), "{text}");
            }
        }
    }
}

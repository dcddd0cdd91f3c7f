//! The answer as HTTP: one JSON object where there is nothing else to say, events from the first other message on, or after
//! some seconds of silence.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join_all};
use http::StatusCode;
use patchbay_core::{
    audit::How,
    envelope::{Incoming, Request},
    era::Era,
    json,
    trace::TraceContext,
};
use patchbay_downstream::Because;
use tracing::warn;

use super::{
    body::{Broken, ReplyBody},
    mcp::{Reply, empty, json as json_response},
    refusal::{Refusal, note_rule, refuse},
    replay::Owner,
    sse::{self, Source},
    stream, trace, watch,
};
use crate::{
    app::App,
    audit::Trail,
    dispatch::{self, Answer, Cx},
    error::{GatewayError, error_body},
    telemetry::log::{self, LogIds},
};

/// What becomes of a request: its answer, or an error with the trail that is still to be closed.
type Outcome = Result<Answer, (GatewayError, Trail)>;
/// The work on a request, as a future that can be handed on whole.
type Work = Pin<Box<dyn Future<Output = Outcome>>>;

/// One request on its way through the gateway, as a future that can be handed on whole.
pub(super) struct Call {
    work: Work,
    era: Era,
    id: Bytes,
    /// Whose its stream will be, in a legacy session.
    owner: Option<Owner>,
    log: Option<LogIds>,
}

impl Call {
    /// A call. A legacy one can be taken back by a notification of its session. `http` is the trace context of its HTTP request.
    pub(super) fn new(cx: Cx, request: Request, http: Option<&TraceContext>, mut trail: Trail) -> Self {
        let app = cx.app.clone();
        let log = trace::calling(&cx, &request, http, &mut trail);
        let (era, id) = (cx.caller.era(), request.id.clone());
        let meter = cx.tenant.meter().clone();
        // A legacy caller shares with the rest of its session, and that is what the session is called here.
        let owner =
            (era == Era::Legacy).then(|| Owner::new(&cx.tenant, &cx.principal, cx.caller.share, cx.caller.version));
        let running = (era == Era::Legacy).then(|| app.calls.enter(cx.caller.share, id.clone()));
        let work = async move {
            let began = Instant::now();
            let method = request.method.clone();
            let _flight = InFlight::enter(&app);
            let outcome = {
                // Said to the server when the answer is dropped below; so it is made before it.
                let _because;
                // Pinned where it is made: it is some kilobytes long, and to await it by value would copy them twice.
                let mut answer = pin!(dispatch::run(cx, request, &mut trail));
                match &running {
                    None => answer.await,
                    Some(running) => tokio::select! {
                        biased;
                        outcome = &mut answer => outcome,
                        () = running.token.cancelled() => {
                            _because = running.token.reason().map(Because::of);
                            Ok(Answer::Cancelled)
                        }
                    },
                }
            };
            let how = how(&outcome);
            app.metrics.request(&method, how, began.elapsed());
            meter.request(how);
            match outcome {
                Ok(Answer::Messages(messages)) => Ok(Answer::Messages(messages.until(running))),
                Ok(answer) => Ok(answer),
                Err(error) => Err((error, trail)),
            }
        };
        Self { work: Box::pin(work), era, id, owner, log }
    }
}

/// How a request ended, for the metrics; what a long answer comes to later is the trail's to say.
const fn how(outcome: &Result<Answer, GatewayError>) -> How {
    match outcome {
        Ok(Answer::Cancelled) => How::Cancelled,
        Ok(_) => How::Answered,
        Err(GatewayError::Server { .. } | GatewayError::Internal(_)) => How::Failed,
        Err(_) => How::Refused,
    }
}

/// Counts a call among those that run.
struct InFlight(Arc<App>);

impl InFlight {
    fn enter(app: &Arc<App>) -> Self {
        app.metrics.in_flight.inc();
        Self(app.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

/// Answers a request, as JSON if it can.
pub(super) async fn answer(app: &Arc<App>, call: Call) -> Result<Reply, Refusal> {
    let (era, id, owner, ids) = (call.era, call.id.clone(), call.owner, call.log);
    let mut work = Detached { work: Some(log::within(ids, call.work)), outlives: owner.is_some() };
    let outcome = match tokio::time::timeout(app.config.limits.sse_after, until_broken_off(&mut work)).await {
        Ok(Some(outcome)) => Ok(outcome),
        Ok(None) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(json_response(status, ReplyBody::Whole(broken_off(&id))));
        }
        Err(silence) => Err(silence),
    };
    match outcome {
        Ok(Ok(Answer::Messages(messages))) => {
            Ok(sse::respond(app, Source::Answer(Box::new(Answer::Messages(messages))), owner.as_ref(), id))
        }
        Ok(Ok(Answer::Listening(listening))) => Ok(stream::modern(app, *listening)),
        Ok(Ok(Answer::Cancelled)) => Ok(sse::nothing()),
        Ok(Ok(Answer::Whole(body))) => Ok(json_response(StatusCode::OK, ReplyBody::Whole(body))),
        Ok(Ok(Answer::Lacking(body))) => Ok(json_response(StatusCode::BAD_REQUEST, ReplyBody::Whole(body))),
        Ok(Ok(Answer::Pieces(pieces))) => Ok(json_response(StatusCode::OK, ReplyBody::pieces(pieces))),
        Ok(Ok(Answer::Streaming(streaming))) => {
            let body = streaming.map_err(|error| Box::new(error) as Broken).boxed_local();
            Ok(json_response(StatusCode::OK, ReplyBody::Stream(body)))
        }
        Ok(Err((error, mut trail))) => Ok(refused(app, Refusal { error, era, id: Some(id) }, &mut trail).await),
        Err(_silence) => {
            let (own, asked) = (app.clone(), id.clone());
            let pending = async move {
                match work.await {
                    Ok(answer) => answer,
                    Err((error, mut trail)) => Answer::Whole(late_refusal(&own, error, era, &id, &mut trail).await),
                }
            };
            let pending = Box::pin(log::within(ids, Box::pin(pending)));
            Ok(sse::respond(app, Source::Pending(pending), owner.as_ref(), asked))
        }
    }
}

/// The work's outcome; `None` when a gateway that stops can wait for it no longer. Costs a look at each poll and no more.
async fn until_broken_off(work: &mut Detached) -> Option<Outcome> {
    std::future::poll_fn(|cx| match Pin::new(&mut *work).poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending if watch::is_breaking() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What is said to a request that a gateway that stops can wait for no longer.
pub(super) fn broken_off(id: &Bytes) -> Bytes {
    let facts = GatewayError::Stopping.facts(Era::Modern);
    error_body(Some(id), facts.code, &facts.public, None).into()
}

/// A refusal, once its record is kept as the tenant wants it. It leaves also when it is not: nothing was carried out.
pub(super) async fn refused(app: &App, refusal: Refusal, trail: &mut Trail) -> Reply {
    let reply = refuse(app, &refusal, trail);
    if let Err(error) = trail.kept().await {
        warn!(%error, "a refusal was answered, though its audit record is not on the disk");
    }
    reply
}

/// An error that is found out after the response has begun: only its body can still be sent.
async fn late_refusal(app: &App, error: GatewayError, era: Era, id: &Bytes, trail: &mut Trail) -> Bytes {
    let facts = error.facts(era);
    refused(app, Refusal { error, era, id: Some(id.clone()) }, trail).await;
    error_body(Some(id), facts.code, &facts.public, facts.data.as_deref()).into()
}

/// The work of a call. When its client leaves before the answer, a legacy call goes on in a task of its own
/// (2025-11-25, transports: a disconnect is no cancellation); a modern one is dropped, which cancels it.
struct Detached {
    work: Option<log::Within<Work>>,
    outlives: bool,
}

impl Future for Detached {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let outcome = Pin::new(work).poll(cx);
        if outcome.is_ready() {
            self.work = None;
        }
        outcome
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(work) = self.work.take().filter(|_| self.outlives) {
            tokio::task::spawn_local(async move {
                // The messages of a long answer carry the ids themselves.
                match work.await {
                    Ok(Answer::Messages(mut messages)) => while messages.next().await.is_some() {},
                    Ok(_) => {}
                    Err((error, mut trail)) => {
                        let facts = error.facts(Era::Legacy);
                        note_rule(&error, &mut trail);
                        trail.refuse(facts.status, facts.code, facts.label);
                    }
                }
            });
        }
    }
}

/// Answers a batch of 2025-03-26 with an array, in any order as JSON-RPC allows, or with nothing when nobody asked.
pub(super) async fn batch(cx: &Cx, messages: Vec<Incoming>, http: Option<&TraceContext>, trail: &mut Trail) -> Reply {
    let calls = messages.into_iter().filter_map(|message| match message {
        Incoming::Request(request) => {
            let call = Call::new(cx.clone(), request, http, trail.sibling());
            Some(log::within(call.log, Box::pin(whole(&cx.app, call))))
        }
        Incoming::Notification(_) | Incoming::Response(_) => None,
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().flatten().collect();
    if answers.is_empty() {
        return empty(StatusCode::ACCEPTED);
    }
    let mut pieces = vec![Bytes::from_static(b"[")];
    for (at, answer) in answers.into_iter().enumerate() {
        if at > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(answer);
    }
    pieces.push(Bytes::from_static(b"]"));
    json_response(StatusCode::OK, ReplyBody::pieces(pieces))
}

/// The response to one request of a batch; what comes before it has no place there.
async fn whole(app: &Arc<App>, call: Call) -> Option<Bytes> {
    let (era, id) = (call.era, call.id);
    match call.work.await {
        Ok(Answer::Whole(body) | Answer::Lacking(body)) => Some(body),
        Ok(Answer::Pieces(pieces)) => Some(patchbay_core::rewrite::join(pieces)),
        Ok(Answer::Streaming(streaming)) => streaming.try_collect().await.ok().map(patchbay_core::rewrite::join),
        Ok(Answer::Messages(mut messages)) => {
            let mut last = None;
            while let Some(message) = messages.next().await {
                last = Some(message);
            }
            last.filter(|message| {
                std::str::from_utf8(message).is_ok_and(|text| json::at_path(text, &["method"]).is_none())
            })
        }
        // No batch is of the era that has such streams.
        Ok(Answer::Cancelled | Answer::Listening(_)) => None,
        Err((error, mut trail)) => Some(late_refusal(app, error, era, &id, &mut trail).await),
    }
}

#[cfg(test)]
mod tests;

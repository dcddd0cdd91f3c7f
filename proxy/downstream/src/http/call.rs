//! One call: the request in the era of the server, the reply, and what is mended unseen — a session that the server lost, an
//! era that was remembered wrongly. Both only when the server said that it did not take the request, and once each.

use std::sync::{Arc, atomic::Ordering};

use http::{HeaderMap, Response, StatusCode};
use patchbay_core::era::Era;

use super::{
    aside::CancelOnDrop,
    client::Lane,
    heads::{self, Kind},
    live::Body,
    messages::Messages,
    patience::Patience,
    peer::Peer,
    refusal::{Verdict, read_refusal},
    reply,
    session::{Session, Slot, Unopened},
};
use crate::{CallCx, Delivery, DownstreamError, Fault, Message, Outgoing, Reply, wire};

/// How one attempt ended.
enum Turn {
    /// This is the reply.
    Reply(Reply),
    /// The server does not know the session.
    SessionLost(Leg, DownstreamError),
    /// The server may be of the other era. What to say when it is not.
    EraDoubt(Result<Reply, DownstreamError>),
}

/// What one attempt goes by.
struct Leg {
    era: Era,
    headers: HeaderMap,
    session: Option<(Arc<Slot>, Arc<Session>)>,
}

impl Leg {
    fn in_session(&self) -> bool {
        self.session.as_ref().is_some_and(|(_, session)| session.id.is_some())
    }
}

impl Peer {
    /// Sends a request and gives the reply once its first message is there.
    pub(crate) async fn call(self: &Arc<Self>, cx: CallCx, request: Outgoing) -> Result<Reply, DownstreamError> {
        self.refuse_when_closed()?;
        let reply = self.call_mended(&cx, &request).await;
        match &reply {
            Ok(_) => self.status.up(),
            Err(error) => self.status.failed(error),
        }
        reply
    }

    async fn call_mended(self: &Arc<Self>, cx: &CallCx, request: &Outgoing) -> Result<Reply, DownstreamError> {
        let patience = self.patience(cx.deadline);
        let (mut session_mended, mut era_mended) = (false, false);
        loop {
            let (era, seen) = self.era(cx.deadline).await?;
            let turn = match self.leg(era, cx, request, &patience).await {
                Ok(leg) => self.attempt(leg, cx, request, &patience).await?,
                Err(misfit @ Unopened::Misfit(_)) => Turn::EraDoubt(Err(misfit.into_error())),
                Err(failed) => return Err(failed.into_error()),
            };
            match turn {
                Turn::Reply(reply) => return Ok(reply),
                Turn::SessionLost(leg, error) => {
                    if let Some((slot, session)) = &leg.session {
                        slot.forget(session);
                    }
                    if std::mem::replace(&mut session_mended, true) {
                        return Err(error);
                    }
                }
                Turn::EraDoubt(otherwise) => {
                    if std::mem::replace(&mut era_mended, true) {
                        return otherwise;
                    }
                    match Box::pin(self.ask_again(seen, true, cx.deadline)).await {
                        Ok(hello) if hello.era() != era => {}
                        _ => return otherwise,
                    }
                }
            }
        }
    }

    async fn leg(
        self: &Arc<Self>,
        era: Era,
        cx: &CallCx,
        request: &Outgoing,
        patience: &Patience,
    ) -> Result<Leg, Unopened> {
        match era {
            Era::Modern => {
                let headers = self.client.heads.modern(request).ok_or_else(|| {
                    DownstreamError::not_sent(Fault::Protocol, "a value of the call cannot be mirrored into a header")
                })?;
                Ok(Leg { era, headers, session: None })
            }
            Era::Legacy => {
                let key = (cx.share.clone(), cx.capabilities.clone());
                let (slot, session) = self.session(&key, patience).await?;
                if let Some(lower) = session.level.lowered(request.log_level.as_ref()) {
                    Box::pin(self.lower_level(&session, &lower, patience)).await;
                }
                Ok(Leg { era, headers: session.headers.clone(), session: Some((slot, session)) })
            }
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        mut leg: Leg,
        cx: &CallCx,
        request: &Outgoing,
        patience: &Patience,
    ) -> Result<Turn, DownstreamError> {
        let id = self.next_id();
        let message = wire::request(id, request, leg.era, &cx.capabilities).into();
        let in_session = leg.session.as_ref().map(|(_, session)| session.clone());
        let mut cancel = CancelOnDrop::new(self.clone(), in_session, id);
        let in_flight = self.status.enter();
        let mut headers = std::mem::take(&mut leg.headers);
        if let Some(context) = &request.trace {
            heads::trace(&mut headers, context);
        }
        let sent = self.client.post(headers, message, Lane::Call, patience, &cancel.sent).await;
        let response = sent.inspect_err(|error| {
            cancel.sent.store(error.delivery == Delivery::MayHaveRun, Ordering::Relaxed);
        })?;
        if response.status() != StatusCode::OK {
            cancel.disarm();
            return Box::pin(self.refused(leg, id, response, patience)).await;
        }
        match Kind::of(response.headers()) {
            Kind::Json => {
                // The server is done with the request: there is nothing to cancel.
                cancel.disarm();
                let answer = reply::answer(self, response, leg.era, patience, in_flight).await?;
                Ok(Turn::Reply(Reply::One(answer)))
            }
            Kind::Sse => {
                reply::identity(response.headers())?;
                let session = leg.session.map(|(_, session)| session);
                let body = response.into_body();
                let patience = (patience.clone(), cx.extension);
                let messages = Messages::of_call(body, leg.era, session, patience, cancel, in_flight);
                Box::pin(first_of(messages)).await.map(Turn::Reply)
            }
            Kind::Other => {
                cancel.disarm();
                Err(DownstreamError::may_have_run(
                    Fault::Protocol,
                    "expected application/json or text/event-stream as the type of the server's answer",
                ))
            }
        }
    }

    async fn refused(
        self: &Arc<Self>,
        leg: Leg,
        id: u64,
        response: Response<Body>,
        patience: &Patience,
    ) -> Result<Turn, DownstreamError> {
        if response.status().is_success() {
            let status = response.status().as_u16();
            response.into_body().finish_aside();
            let detail = format!("the server took the request as if it were a notification (HTTP {status})");
            return Err(DownstreamError::may_have_run(Fault::Protocol, detail));
        }
        let refusal = read_refusal(&self.client, response, patience).await?;
        match refusal.verdict(id, leg.era, leg.in_session()) {
            Verdict::Response => Ok(Turn::Reply(Reply::One(refusal.into_answer(leg.era)))),
            Verdict::Refused => Err(refusal.error()),
            Verdict::SessionLost => {
                let lost = DownstreamError::not_sent(Fault::SessionLost, refusal.error().detail);
                Ok(Turn::SessionLost(leg, lost))
            }
            Verdict::EraDoubt => {
                let error = refusal.error();
                let answer = refusal.code().map(|_| refusal.into_answer(leg.era));
                Ok(Turn::EraDoubt(answer.map(Reply::One).ok_or(error)))
            }
        }
    }
}

/// One answer when the response comes first, else the stream. A server that lets itself be polled makes one too, before anything
/// came: the caller then knows that it takes time.
async fn first_of(mut messages: Messages) -> Result<Reply, DownstreamError> {
    match messages.first().await? {
        Some(Message::Response(answer)) => Ok(Reply::One(answer)),
        Some(other) => Ok(Reply::Stream(Box::new(messages.with_first(other)))),
        None => Ok(Reply::Stream(Box::new(messages))),
    }
}

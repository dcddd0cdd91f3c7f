//! How a server's questions reach a modern client: as a result that says `input_required`, each question as it may be put, and
//! a sealed state of ours. Questions come from a modern server's result, from a legacy server's error that asks for a URL, or
//! from a call that is parked. Called by `relay` and `parked`.

use bytes::Bytes;
use patchbay_core::{
    era::{Era, META_SERVER_INFO},
    json,
    method::Method,
};
use patchbay_downstream::{DownstreamError, Fault};
use tracing::warn;

use super::{Draft, REQUESTS_MAX, ROUNDS_MAX, Way};
use crate::{
    bridge::{
        self,
        ask::{self, Asked, Refused},
    },
    caller::Capabilities,
    dispatch::{
        call,
        relay::{Relay, Turned},
        rounds::Rounds,
    },
    metrics::{CallEnd, QuestionEnd},
};

/// Bytes of a result that asks: it is held whole.
pub(crate) const ASKING_BYTES_MAX: usize = 1024 * 1024;

/// Why a server's questions are not put to the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unasked {
    /// One of them may not be.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// There are too many of them, or too many rounds.
    #[error("It asks too often, or too much at once.")]
    TooMany,
    /// It, or what the server wants to be told again, is too long.
    #[error("What it asks, or wants to be told again, is too long for the gateway.")]
    TooLong,
    /// It is no result that asks.
    #[error("What it asks is not valid MCP.")]
    Protocol,
}

impl Relay {
    /// What the client can be asked by this server.
    pub(in crate::dispatch) fn offered(&self) -> Capabilities {
        call::offered(&self.cx, self.index)
    }

    /// A question as it may be put to this client.
    pub(in crate::dispatch) fn put(&self, method: &str, params: Option<&str>) -> Result<Asked, Refused> {
        ask::put(method, params, self.offered(), self.server.slug.as_str())
    }

    /// What becomes of a response that is not complete: `None` when it is none that asks. `message` is the server's, `body` the
    /// same rewritten for the client. Closes the trail unless the call goes on.
    pub(in crate::dispatch) fn incomplete(&mut self, message: &Bytes, body: &Bytes) -> Option<Turned> {
        let text = std::str::from_utf8(message).ok()?;
        if json::at_path(text, &["result", "resultType"])? != "\"input_required\"" {
            return None;
        }
        if !super::may_ask(&self.method) {
            let wrong = DownstreamError::may_have_run(Fault::Protocol, "questions where none are allowed");
            return Some(Turned::whole(self.failure(&wrong)));
        }
        if self.plan.to == Era::Modern {
            return Some(Turned::whole(self.asks(body)));
        }
        let again = self.asking.again.clone()?;
        self.asking.round = self.asking.round.saturating_add(1);
        self.cx.app.metrics.question(QuestionEnd::Asked);
        Some(Turned::Further(Box::new(Rounds::begin(again, self.asking.round, text))))
    }

    /// A modern server's questions for a modern client. Closes the trail.
    fn asks(&mut self, body: &Bytes) -> Bytes {
        let asked = if body.len() > ASKING_BYTES_MAX { Err(Unasked::TooLong) } else { self.sealed(body) };
        match asked {
            Ok(body) => self.asked(body),
            Err(why) => self.not_asked(&why),
        }
    }

    fn sealed(&self, body: &Bytes) -> Result<Bytes, Unasked> {
        let text = std::str::from_utf8(body).map_err(|_| Unasked::Protocol)?;
        let result = json::unique(text, "result").ok().flatten().ok_or(Unasked::Protocol)?;
        let one = |name| json::unique(result, name).map_err(|_| Unasked::Protocol);
        let (requests, own) = (one("inputRequests")?, one("requestState")?);
        let own = own.filter(|own| *own != "null");
        if own.is_some_and(|own| json::unquote(own).is_none()) || (requests.is_none() && own.is_none()) {
            return Err(Unasked::Protocol);
        }
        let requests = requests.map(|requests| self.requests(requests)).transpose()?;
        let is_asked = requests.as_ref().is_some_and(|requests| requests.len() > 2);
        let way = Way::Server(own.map(|own| Bytes::copy_from_slice(own.as_bytes())));
        let state = self.state(way, is_asked)?;
        let mut out = Vec::with_capacity(body.len() + state.len() + 64);
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(&self.plan.id);
        out.extend_from_slice(b",\"result\":{");
        for member in json::members(result).flatten() {
            if !matches!(&*member.name(), "inputRequests" | "requestState") {
                out.extend_from_slice(member.whole.as_bytes());
                out.push(b',');
            }
        }
        if let Some(requests) = &requests {
            out.extend_from_slice(b"\"inputRequests\":");
            out.extend_from_slice(requests);
            out.push(b',');
        }
        out.extend_from_slice(format!("\"requestState\":\"{state}\"}}}}").as_bytes());
        Ok(out.into())
    }

    /// The `inputRequests` of a server as they may be put.
    fn requests(&self, requests: &str) -> Result<Vec<u8>, Unasked> {
        let mut out = Vec::with_capacity(requests.len() + 256);
        out.push(b'{');
        let mut keys = Vec::new();
        for (at, member) in json::members(requests).enumerate() {
            let member = member.map_err(|_| Unasked::Protocol)?;
            let key = member.name();
            if at >= REQUESTS_MAX {
                return Err(Unasked::TooMany);
            }
            if keys.contains(&key) {
                return Err(Unasked::Protocol);
            }
            keys.push(key);
            let one = |name| json::unique(member.value, name).map_err(|_| Unasked::Protocol);
            let method = one("method")?.and_then(json::unquote).ok_or(Unasked::Protocol)?;
            let asked = self.put(&method, one("params")?)?;
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(member.key.as_bytes());
            out.push(b':');
            out.extend_from_slice(&asked.without_elicitation_id().input_request());
        }
        out.push(b'}');
        Ok(out)
    }

    /// The state of the next round.
    fn state(&self, way: Way, asked: bool) -> Result<String, Unasked> {
        let round = self.asking.round.saturating_add(1);
        if round > ROUNDS_MAX {
            return Err(Unasked::TooMany);
        }
        let draft =
            Draft { way, server: self.entry().id, method: &self.method, params: &self.asking.params, round, asked };
        draft.seal(&self.cx).ok_or(Unasked::TooLong)
    }

    /// A whole result that asks: these questions, by their keys.
    pub(in crate::dispatch) fn input_required<'a>(
        &self,
        questions: impl Iterator<Item = (&'a str, &'a Asked)>,
        way: Way,
    ) -> Result<Bytes, Unasked> {
        let state = self.state(way, true)?;
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(&self.plan.id);
        out.extend_from_slice(b",\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{");
        for (at, (key, asked)) in questions.enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(json::quote(key).as_bytes());
            out.push(b':');
            out.extend_from_slice(&asked.input_request());
        }
        let meta = format!("\"_meta\":{{\"{META_SERVER_INFO}\":{}}}", self.plan.server_info);
        out.extend_from_slice(format!("}},\"requestState\":\"{state}\",{meta}}}}}").as_bytes());
        if out.len() > ASKING_BYTES_MAX { Err(Unasked::TooLong) } else { Ok(out.into()) }
    }

    /// A legacy server's error that wants the user at a URL first, as questions; `None` when it is no such error. Once they are
    /// answered, the server is asked the same again. Closes the trail.
    pub(in crate::dispatch) fn asks_urls(&mut self, body: &Bytes) -> Option<Bytes> {
        if self.plan.to != Era::Modern || !super::may_ask(&self.method) {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let error = json::at_path(text, &["error"])?;
        if json::at_path(error, &["code"])? != URL_ELICITATION {
            return None;
        }
        let asked = self.urls(error).and_then(|asked| {
            let keyed: Vec<_> = asked.into_iter().enumerate().map(|(at, one)| (format!("q{}", at + 1), one)).collect();
            self.input_required(keyed.iter().map(|(key, one)| (&**key, one)), Way::Afresh)
        });
        Some(match asked {
            Ok(body) => self.asked(body),
            Err(why) => self.not_asked(&why),
        })
    }

    fn urls(&self, error: &str) -> Result<Vec<Asked>, Unasked> {
        // Whoever was there and is sent there again would be sent there for ever.
        if self.asking.is_afresh {
            return Err(Unasked::TooMany);
        }
        let elicitations = json::at_path(error, &["data", "elicitations"]).ok_or(Unasked::Protocol)?;
        let elicitations = json::elements(elicitations).map_err(|_| Unasked::Protocol)?;
        if elicitations.is_empty() {
            return Err(Unasked::Protocol);
        }
        if elicitations.len() > REQUESTS_MAX {
            return Err(Unasked::TooMany);
        }
        let put = |params| Ok(self.put(ask::ELICIT, Some(params))?.without_elicitation_id());
        elicitations.into_iter().map(put).collect()
    }

    /// The client is asked: closes the trail.
    pub(in crate::dispatch) fn asked(&mut self, body: Bytes) -> Bytes {
        self.cx.app.metrics.question(QuestionEnd::Asked);
        self.trail.asked(body.len());
        self.meter.end(CallEnd::Answered);
        body
    }

    /// What the client is told in the place of questions that it is not asked. Closes the trail.
    fn not_asked(&mut self, why: &Unasked) -> Bytes {
        let server = self.server.slug.as_str();
        warn!(tenant = %self.cx.tenant.snapshot().slug, server, %why, "questions of server {server} were not put to the client");
        self.cx.app.metrics.question(QuestionEnd::Refused);
        let body = unasked(&self.method, &self.plan.id, server, self.plan.to, why);
        self.trail.failed("not_asked", body.len());
        self.meter.end(CallEnd::Failed);
        body
    }
}

/// The legacy code that asks for a URL elicitation.
const URL_ELICITATION: &str = "-32042";

/// What a client reads whose server wanted to ask it something that it is not asked.
pub(in crate::dispatch) fn unasked(method: &Method, id: &[u8], server: &str, era: Era, why: &Unasked) -> Bytes {
    let text = format!(
        "The server \"{server}\" needs an answer from the user or the client before it can go on, and it was not asked for. \
         {why} Give the missing details in the arguments, if the tool takes them."
    );
    bridge::for_the_model(method, id, &text, era)
}

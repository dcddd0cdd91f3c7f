//! Where a message of the server goes: a response to the request it answers, progress to its call, a change to everybody, a
//! question to the one caller who can be meant. What belongs to nobody is dropped and counted.

use std::sync::Arc;

use bytes::Bytes;
use patchbay_core::{
    era::Era,
    json::{self, MessageHead},
};

use super::{
    Pipe,
    call::Answering,
    inbox::{Early, Slot},
    lines::Line,
    scan::{number, response_id, response_id_of_ends},
};
use crate::{DownstreamError, Event, Fault, List, Question, watched};

/// Messages that one batch may hold.
const BATCH_MAX: usize = 1000;
/// The longest id of a server's request that is sent back.
const ID_BYTES_MAX: usize = 256;
/// The key that says which listen request a message belongs to.
const META_SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routed {
    /// It was a message.
    Message,
    /// It was none.
    Garbage,
}

pub(super) fn line(pipe: &Arc<Pipe>, line: &Line) -> Routed {
    match line {
        Line::Whole(line) => message(pipe, line),
        Line::Oversized { head, tail } => match response_id_of_ends(head, tail) {
            Some(id) => {
                let limit = pipe.wiring.limits.line_bytes_max;
                let text = format!("the answer is longer than the {limit} bytes that one line may have");
                respond(pipe, id, Err(DownstreamError::may_have_run(Fault::TooLarge, text)));
                Routed::Message
            }
            None => Routed::Garbage,
        },
    }
}

fn message(pipe: &Arc<Pipe>, line: &Bytes) -> Routed {
    if let Some(id) = response_id(line) {
        let end = match std::str::from_utf8(line) {
            Ok(_) => Ok(line.clone()),
            Err(_) => Err(DownstreamError::may_have_run(Fault::Protocol, "the answer is not UTF-8")),
        };
        respond(pipe, id, end);
        return Routed::Message;
    }
    let Ok(text) = std::str::from_utf8(line) else { return Routed::Garbage };
    if text.trim_start().starts_with('[') {
        return batch(pipe, line, text);
    }
    let Ok(head) = MessageHead::read(text) else { return Routed::Garbage };
    match (head.method_name(), head.id) {
        (Some(method), Some(id)) if id.len() <= ID_BYTES_MAX => request(pipe, &method, id, line),
        (Some(method), None) => notification(pipe, &method, &head, line),
        (None, id) if head.is_response() => unmatched(pipe, id, line),
        _ => return Routed::Garbage,
    }
    Routed::Message
}

/// Revision 2025-03-26 lets a server send several messages as one array.
fn batch(pipe: &Arc<Pipe>, line: &Bytes, text: &str) -> Routed {
    let Ok(elements) = json::elements(text) else { return Routed::Garbage };
    for element in elements.into_iter().take(BATCH_MAX) {
        if element.starts_with('{') {
            message(pipe, &line.slice_ref(element.as_bytes()));
        }
    }
    Routed::Message
}

pub(super) fn respond(pipe: &Pipe, id: u64, end: Result<Bytes, DownstreamError>) {
    let slot = pipe.pending().remove(id);
    match slot {
        Some(slot) => slot.end(end),
        None => pipe.drop_one("a response that nobody waits for"),
    }
}

/// An error without id says that the request was not understood; during the handshake only one can be meant.
fn unmatched(pipe: &Pipe, id: Option<&str>, line: &Bytes) {
    let own = if matches!(id, None | Some("null")) { pipe.pending().only_own() } else { None };
    match own {
        Some(id) => respond(pipe, id, Ok(line.clone())),
        None => pipe.drop_one("a response without an id of ours"),
    }
}

fn notification(pipe: &Pipe, method: &str, head: &MessageHead<'_>, line: &Bytes) {
    let params = head.params.unwrap_or("{}");
    let subscription = json::at_path(params, &["_meta", META_SUBSCRIPTION_ID]);
    if let Some(slot) = subscription.and_then(|id| call_of(pipe, id)) {
        give(pipe, &slot, line);
    }
    let event = match method {
        "notifications/progress" => {
            let slot = json::at_path(params, &["progressToken"]).and_then(|token| call_of(pipe, token));
            return match slot {
                Some(slot) => give(pipe, &slot, line),
                None => pipe.drop_one("progress of a request that is over"),
            };
        }
        "notifications/tools/list_changed" => Event::ListChanged(List::Tools),
        "notifications/prompts/list_changed" => Event::ListChanged(List::Prompts),
        "notifications/resources/list_changed" => Event::ListChanged(List::Resources),
        "notifications/resources/updated" => match watched::updated(params) {
            Some(uri) => Event::ResourceUpdated(uri),
            None => return pipe.drop_one("an update of a resource without a uri that anybody could watch"),
        },
        "notifications/subscriptions/acknowledged" => return acknowledged(pipe, subscription, line),
        "notifications/cancelled" => return cancelled(pipe, params),
        _ => return to_only_call(pipe, line),
    };
    // Without receivers there is nobody to tell.
    let _ = pipe.wiring.events.send(event);
}

/// Tells the connection's own listening that it has begun.
fn acknowledged(pipe: &Pipe, subscription: Option<&str>, line: &Bytes) {
    let id = subscription.and_then(|raw| number(raw.as_bytes()));
    let slot = id.and_then(|id| pipe.pending().get(id).filter(|slot| !slot.is_call()).map(Arc::clone));
    if slot.is_none_or(|slot| slot.push(Early::Notification(line.clone())).is_err()) {
        pipe.drop_one("a subscription that nobody asked for");
    }
}

/// A server may end the connection's own listening by a word instead of a response; nothing else of ours is its to cancel.
fn cancelled(pipe: &Pipe, params: &str) {
    let Some(id) = json::at_path(params, &["requestId"]).and_then(|raw| number(raw.as_bytes())) else { return };
    let is_own = pipe.pending().get(id).is_some_and(|slot| !slot.is_call());
    if is_own {
        respond(pipe, id, Err(DownstreamError::may_have_run(Fault::Closed, "the server ended the request")));
    }
}

/// Log messages and the like carry no link to a call: only when one call runs, and all callers are the same, is it known whose.
fn to_only_call(pipe: &Pipe, line: &Bytes) {
    let slot = if pipe.wiring.shared { None } else { pipe.pending().only_call().map(Arc::clone) };
    match slot {
        Some(slot) => give(pipe, &slot, line),
        None => pipe.drop_one("a notification that may belong to any of several calls"),
    }
}

/// The call with this id as it is written in a message.
fn call_of(pipe: &Pipe, raw: &str) -> Option<Arc<Slot>> {
    let id = number(raw.as_bytes())?;
    pipe.pending().get(id).filter(|slot| slot.is_call()).map(Arc::clone)
}

fn give(pipe: &Pipe, slot: &Slot, line: &Bytes) {
    if !matches!(slot.push(Early::Notification(line.clone())), Ok(0)) {
        pipe.drop_one("a notification for a caller who reads too slowly");
    }
}

fn request(pipe: &Arc<Pipe>, method: &str, id: &str, line: &Bytes) {
    let refusal = match method {
        "ping" => return pipe.post(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#).into_bytes()),
        "roots/list" | "sampling/createMessage" | "elicitation/create" => match ask(pipe, id, line) {
            Ok(()) => return,
            Err(refusal) => refusal,
        },
        _ => "Patchbay does not know this method.",
    };
    pipe.post(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"{refusal}"}}}}"#).into_bytes());
}

/// Hands a question to the one call that it can belong to, or says why there is none.
fn ask(pipe: &Arc<Pipe>, id: &str, line: &Bytes) -> Result<(), &'static str> {
    if pipe.wiring.shared {
        return Err("This server is shared by several callers, so none of them can be asked.");
    }
    if pipe.era() == Era::Modern {
        return Err("This revision has no requests of servers: answer with input_required instead.");
    }
    let slot = pipe.pending().only_call().map(Arc::clone);
    let slot =
        slot.ok_or("A question can be asked only while exactly one call runs, so that it is known who is meant.")?;
    let answer = Box::new(Answering::new(Arc::clone(pipe), id));
    if slot.push(Early::Question(Question { message: line.clone(), answer })).is_err() {
        pipe.drop_one("a question to a caller who reads too slowly");
    }
    Ok(())
}

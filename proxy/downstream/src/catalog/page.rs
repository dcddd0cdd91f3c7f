//! One page of a list: its response collected within bounds, checked to be JSON, and split into its items.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use patchbay_core::{
    json::{self, MessageHead},
    rewrite::is_json,
};

use super::CatalogList;
use crate::{Answer, DownstreamError, Fault, Message, Reply, pipe::one_line};

/// The error code of a method that the server does not know.
const METHOD_NOT_FOUND: &str = "-32601";
/// Messages that may come before a response.
const EARLY_MAX: usize = 10_000;
/// What a server is told that asks while it is asked for a list.
const NOBODY_TO_ASK: &[u8] = br#""error":{"code":-32601,"message":"Nobody can be asked while lists are read."}"#;

/// One page.
pub(super) struct Page {
    pub(super) items: Vec<String>,
    pub(super) next: Option<String>,
    pub(super) ttl_ms: Option<u64>,
    pub(super) warnings: Vec<String>,
}

/// Why a page was not read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is larger than what is left of the bound.
    TooLarge,
    /// The server failed.
    Server(DownstreamError),
}

impl From<DownstreamError> for Trouble {
    fn from(error: DownstreamError) -> Self {
        if error.fault == Fault::TooLarge { Self::TooLarge } else { Self::Server(error) }
    }
}

impl From<Trouble> for DownstreamError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::TooLarge => {
                Self::may_have_run(Fault::TooLarge, "its first page is larger than the bound for a whole catalog")
            }
            Trouble::Server(error) => error,
        }
    }
}

/// The whole response of a reply.
pub(super) async fn response(reply: Reply, bytes_max: usize) -> Result<Bytes, Trouble> {
    let mut stream = match reply {
        Reply::One(answer) => return whole(answer, bytes_max).await,
        Reply::Stream(stream) => stream,
    };
    for _ in 0..EARLY_MAX {
        match stream.next().await? {
            Message::Notification(_) => {}
            // Whether the server takes the refusal shows in what it answers.
            Message::Request(question) => drop(question.answer.answer(Bytes::from_static(NOBODY_TO_ASK)).await),
            Message::Response(answer) => return whole(answer, bytes_max).await,
        }
    }
    Err(protocol(format!("more than {EARLY_MAX} messages came before the response")))
}

async fn whole(answer: Answer, bytes_max: usize) -> Result<Bytes, Trouble> {
    let Answer { head, rest, .. } = answer;
    if head.len() > bytes_max {
        return Err(Trouble::TooLarge);
    }
    let Some(mut rest) = rest else { return Ok(head) };
    let mut all = BytesMut::from(&*head);
    while let Some(chunk) = rest.next().await {
        let chunk = chunk?;
        if all.len() + chunk.len() > bytes_max {
            return Err(Trouble::TooLarge);
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}

/// What a response says; `None` when the server does not know the method.
pub(super) fn read(list: CatalogList, response: &[u8]) -> Result<Option<Page>, Trouble> {
    let broken = || protocol("its answer is no JSON-RPC response".to_owned());
    let text = std::str::from_utf8(response).ok().filter(|_| is_json(response)).ok_or_else(broken)?;
    let head = MessageHead::read(text).map_err(|_| broken())?;
    if let Some(error) = head.error {
        if json::at_path(error, &["code"]) == Some(METHOD_NOT_FOUND) {
            return Ok(None);
        }
        let message = json::at_path(error, &["message"]).and_then(json::unquote).unwrap_or_default();
        return Err(protocol(format!("it answered with an error: {}", one_line(&message))));
    }
    page(list, head.result.ok_or_else(broken)?).map(Some)
}

fn page(list: CatalogList, result: &str) -> Result<Page, Trouble> {
    let member = list.member();
    let missing = || protocol(format!("its result holds no array `{member}`"));
    let elements = json::unique(result, member).ok().flatten().and_then(|raw| json::elements(raw).ok());
    let elements = elements.ok_or_else(missing)?;
    let mut warnings = Vec::new();
    let count = elements.len();
    let items: Vec<String> = elements.into_iter().filter(|item| item.starts_with('{')).map(ToOwned::to_owned).collect();
    if items.len() < count {
        warnings.push(format!("{} items are no objects and were left out", count - items.len()));
    }
    let next = match json::at_path(result, &["nextCursor"]) {
        None | Some("null") => None,
        Some(raw) => {
            let cursor = json::unquote(raw).map(std::borrow::Cow::into_owned);
            if cursor.is_none() {
                warnings.push("its nextCursor is no string; what comes after it was left out".to_owned());
            }
            cursor
        }
    };
    // Absent and negative both say "not at all", which is what the gateway assumes anyway.
    let ttl_ms = json::at_path(result, &["ttlMs"]).and_then(|raw| raw.parse().ok());
    Ok(Page { items, next, ttl_ms, warnings })
}

fn protocol(detail: String) -> Trouble {
    Trouble::Server(DownstreamError::may_have_run(Fault::Protocol, detail))
}

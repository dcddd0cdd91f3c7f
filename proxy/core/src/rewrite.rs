//! A server's response on its way to the client, as bytes: what must change is changed where it stands, everything else is
//! handed on as the slices it came in, however they are cut. One machine for a small answer in one piece and for one of many
//! megabytes that is still coming.
//!
//! It looks at two levels: the message's own members (`id`, `result`, `error`) and the members of `result`. It counts
//! brackets below and does not check the grammar there; [`is_json`] does that for what is wholly in memory.

mod members;
mod pieces;

use bytes::Bytes;
use memchr::memchr2;

use self::{
    members::{Action, Has, Held, message_member, result_member},
    pieces::{Lead, Out},
};
use crate::era::{Era, META_SERVER_INFO};
use crate::json;

/// The longest `_meta` of a result that is rewritten; a longer one ends the answer.
const META_BYTES_MAX: usize = 256 * 1024;
/// The longest key, and the most white space before one, that is taken.
const LEAD_BYTES_MAX: usize = 4096;

/// What is to change in a response.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The client's id, raw.
    pub id: Bytes,
    /// The era that the server answered in.
    pub from: Era,
    /// The client's era.
    pub to: Era,
    /// Whether the result of this method carries cache hints in the modern era (`resources/read`).
    pub cacheable: bool,
    /// What the gateway says of itself, a JSON object; stands in the `_meta` of modern results.
    pub server_info: &'static str,
}

/// Why a response cannot be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// It is not a JSON-RPC response.
    #[error("the answer is not a JSON-RPC response")]
    NotAResponse,
    /// It ended too early.
    #[error("the answer ended too early")]
    Short,
    /// A member stands twice, or is too long to look at.
    #[error("the answer holds a member twice, or one that is too long")]
    Member,
}

/// What kind of response it was, known once its member was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// It has an `error`.
    pub error: bool,
    /// Its `resultType` says something else than `complete`.
    pub incomplete: bool,
    /// It says `task`: what was asked goes on as one.
    pub task: bool,
    /// Its result says `"isError":true`.
    pub is_error: bool,
}

/// Whether a response begins as one that asks for input, and has to be looked at whole. Costs one search where it does not.
pub fn begins_asking(head: &Bytes, plan: &Plan) -> bool {
    memchr::memmem::find(head, b"\"input_required\"").is_some() && {
        let mut rewriter = Rewriter::new(plan.clone());
        rewriter.push(head, &mut Vec::new()).is_ok() && rewriter.seen().incomplete
    }
}

/// Rewrites one response. Feed it with [`Self::push`] and close with [`Self::finish`].
#[derive(Debug)]
pub struct Rewriter {
    plan: Plan,
    at: At,
    level: Level,
    seen: Seen,
    lead: Lead,
    /// The value that is kept back to be rewritten or looked at.
    held: Vec<u8>,
    has: Has,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the message.
    Start,
    /// Before a key or the end of the object.
    Lead,
    /// In a key; `true` after a backslash.
    Key(bool),
    /// Between key and value.
    Colon,
    /// In a value.
    Value(Action, Nest),
    /// After the message.
    End,
}

/// Where in a value the machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nest {
    /// In a string; `true` after a backslash. The number is the depth of brackets around it.
    String(u32, bool),
    /// Between brackets at this depth.
    Open(u32),
    /// In a number or a word.
    Scalar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    /// 1 in the message, 2 in the result.
    depth: u8,
    /// Whether something was already written into this object; kept for the message while in the result.
    wrote: [bool; 2],
}

impl Rewriter {
    /// A machine for one response.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            at: At::Start,
            level: Level { depth: 1, wrote: [false; 2] },
            seen: Seen::default(),
            lead: Lead::default(),
            held: Vec::new(),
            has: Has::default(),
        }
    }

    /// What was seen so far.
    pub const fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes the next bytes and adds what goes out to `pieces`.
    pub fn push(&mut self, chunk: &Bytes, pieces: &mut Vec<Bytes>) -> Result<(), RewriteError> {
        let bytes: &[u8] = chunk;
        let mut out = Out { chunk, run: None, pieces };
        let mut at = 0;
        self.lead.from = 0;
        while at < bytes.len() {
            at = match self.at {
                At::Start => self.start(bytes, at, &mut out)?,
                At::Lead => self.lead(bytes, at, &mut out)?,
                At::Key(escaped) => self.in_key(bytes, at, escaped)?,
                At::Colon => self.colon(bytes, at, &mut out)?,
                At::Value(action, nest) => self.value(bytes, at, action, nest, &mut out)?,
                At::End => self.end(bytes, at)?,
            };
        }
        out.flush();
        if matches!(self.at, At::Lead | At::Key(_) | At::Colon) {
            self.lead.kept.extend_from_slice(&bytes[self.lead.from..]);
            self.lead.from = 0;
        }
        Ok(())
    }

    /// Says whether the response was whole.
    pub const fn finish(&self) -> Result<Seen, RewriteError> {
        match self.at {
            At::End if self.has.outcome => Ok(self.seen),
            At::End => Err(RewriteError::NotAResponse),
            _ => Err(RewriteError::Short),
        }
    }

    fn start(&mut self, bytes: &[u8], at: usize, out: &mut Out<'_>) -> Result<usize, RewriteError> {
        let open = json::skip_space(bytes, at);
        match bytes.get(open) {
            None => Ok(open),
            Some(b'{') => {
                out.copy(open, open + 1);
                self.lead.restart(open + 1);
                self.at = At::Lead;
                Ok(open + 1)
            }
            Some(_) => Err(RewriteError::NotAResponse),
        }
    }

    const fn end(&self, bytes: &[u8], at: usize) -> Result<usize, RewriteError> {
        if bytes[at].is_ascii_whitespace() { Ok(at + 1) } else { Err(RewriteError::NotAResponse) }
    }

    /// Between members: passes the comma and the space, up to a key or the end of the object.
    fn lead(&mut self, bytes: &[u8], at: usize, out: &mut Out<'_>) -> Result<usize, RewriteError> {
        let offset = self.lead.offset(at);
        match bytes[at] {
            _ if offset >= LEAD_BYTES_MAX => return Err(RewriteError::Member),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b',' if !self.lead.comma => self.lead.comma = true,
            b'"' => {
                self.lead.key.0 = offset;
                self.at = At::Key(false);
            }
            b'}' if !self.lead.comma => self.close(bytes, at, out),
            _ => return Err(RewriteError::NotAResponse),
        }
        Ok(at + 1)
    }

    fn in_key(&mut self, bytes: &[u8], at: usize, escaped: bool) -> Result<usize, RewriteError> {
        let offset = self.lead.offset(at);
        if offset >= LEAD_BYTES_MAX {
            return Err(RewriteError::Member);
        }
        self.at = match bytes[at] {
            _ if escaped => At::Key(false),
            b'\\' => At::Key(true),
            b'"' => {
                self.lead.key.1 = offset + 1;
                At::Colon
            }
            _ => At::Key(false),
        };
        Ok(at + 1)
    }

    fn colon(&mut self, bytes: &[u8], at: usize, out: &mut Out<'_>) -> Result<usize, RewriteError> {
        match bytes[at] {
            _ if self.lead.offset(at) >= LEAD_BYTES_MAX => Err(RewriteError::Member),
            b' ' | b'\t' | b'\n' | b'\r' => Ok(at + 1),
            b':' if !self.lead.colon => {
                self.lead.colon = true;
                Ok(at + 1)
            }
            first if self.lead.colon => self.begin_value(bytes, at, first, out),
            _ => Err(RewriteError::NotAResponse),
        }
    }

    /// At the first byte of a value: decides what becomes of the member.
    fn begin_value(&mut self, bytes: &[u8], at: usize, first: u8, out: &mut Out<'_>) -> Result<usize, RewriteError> {
        let action = {
            let lead = self.lead.bytes(bytes, at);
            let key = std::str::from_utf8(&lead[self.lead.key.0..self.lead.key.1]);
            let name = key.ok().and_then(json::unquote).ok_or(RewriteError::NotAResponse)?;
            if self.level.depth == 1 {
                message_member(&name, first, &mut self.has, &mut self.seen)?
            } else {
                result_member(&name, first, &self.plan, &mut self.has)?
            }
        };
        match action {
            Action::Copy => self.emit_lead(bytes, at, out),
            Action::Id => {
                self.emit_lead(bytes, at, out);
                out.insert(self.plan.id.clone());
            }
            Action::Descend => {
                self.emit_lead(bytes, at, out);
                out.copy(at, at + 1);
                self.level.depth = 2;
                self.lead.restart(at + 1);
                self.at = At::Lead;
                return Ok(at + 1);
            }
            Action::Hold(_) => {
                self.held.clear();
                // The lead is written when it is known that the value stays; until then it is kept.
                let lead = self.lead.bytes(bytes, at).into_owned();
                (self.lead.kept, self.lead.from) = (lead, at);
            }
            Action::Drop => {}
        }
        let nest = match first {
            b'"' => Nest::String(0, false),
            b'{' | b'[' => Nest::Open(0),
            _ => Nest::Scalar,
        };
        self.at = At::Value(action, nest);
        // A string's first quote and a scalar's first byte are consumed here; brackets are counted by `value`.
        if nest == Nest::Open(0) {
            return Ok(at);
        }
        self.take(bytes, at, at + 1, action, out)?;
        Ok(at + 1)
    }

    /// In a value: runs to its end or to the end of the chunk.
    fn value(
        &mut self,
        bytes: &[u8],
        start: usize,
        action: Action,
        mut nest: Nest,
        out: &mut Out<'_>,
    ) -> Result<usize, RewriteError> {
        let mut at = start;
        while at < bytes.len() {
            match nest {
                Nest::String(depth, true) => {
                    nest = Nest::String(depth, false);
                    at += 1;
                }
                Nest::String(depth, false) => match memchr2(b'"', b'\\', &bytes[at..]) {
                    None => at = bytes.len(),
                    Some(found) => {
                        at += found + 1;
                        if bytes[at - 1] == b'\\' {
                            nest = Nest::String(depth, true);
                        } else if depth == 0 {
                            return self.end_value(bytes, start, at, action, out);
                        } else {
                            nest = Nest::Open(depth);
                        }
                    }
                },
                Nest::Open(depth) => {
                    let byte = bytes[at];
                    at += 1;
                    match byte {
                        b'"' => nest = Nest::String(depth, false),
                        b'{' | b'[' => nest = Nest::Open(depth + 1),
                        b'}' | b']' if depth == 1 => return self.end_value(bytes, start, at, action, out),
                        b'}' | b']' => nest = Nest::Open(depth - 1),
                        _ => {}
                    }
                }
                Nest::Scalar => match bytes[at] {
                    b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r' => {
                        return self.end_value(bytes, start, at, action, out);
                    }
                    b'0'..=b'9' | b'a'..=b'z' | b'E' | b'.' | b'+' | b'-' => at += 1,
                    _ => return Err(RewriteError::NotAResponse),
                },
            }
        }
        self.take(bytes, start, at, action, out)?;
        self.at = At::Value(action, nest);
        Ok(at)
    }

    fn take(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        action: Action,
        out: &mut Out<'_>,
    ) -> Result<(), RewriteError> {
        match action {
            Action::Copy => out.copy(start, end),
            Action::Drop | Action::Id | Action::Descend => {}
            Action::Hold(_) if self.held.len() + end - start > META_BYTES_MAX => return Err(RewriteError::Member),
            Action::Hold(_) => self.held.extend_from_slice(&bytes[start..end]),
        }
        Ok(())
    }

    fn end_value(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        action: Action,
        out: &mut Out<'_>,
    ) -> Result<usize, RewriteError> {
        self.take(bytes, start, end, action, out)?;
        if let Action::Hold(held) = action {
            self.lead.from = end;
            self.release(held, bytes, end, out)?;
        }
        self.lead.restart(end);
        self.at = At::Lead;
        Ok(end)
    }

    /// At the end of a value that was kept back: writes what takes its place.
    fn release(&mut self, held: Held, bytes: &[u8], at: usize, out: &mut Out<'_>) -> Result<(), RewriteError> {
        let value = std::mem::take(&mut self.held);
        match held {
            Held::ResultType => {
                let said = std::str::from_utf8(&value).ok().and_then(json::unquote);
                self.seen.incomplete = said.as_deref() != Some("complete");
                self.seen.task = said.as_deref() == Some("task");
                if self.plan.to == Era::Modern {
                    self.emit_held(value, bytes, at, out);
                }
            }
            Held::IsError => {
                self.seen.is_error = value == b"true";
                self.emit_held(value, bytes, at, out);
            }
            Held::Meta => {
                let text = std::str::from_utf8(&value).map_err(|_| RewriteError::NotAResponse)?;
                if let Some(meta) = self.meta(text)? {
                    self.emit_lead(bytes, at, out);
                    out.insert(meta);
                }
            }
        }
        Ok(())
    }

    /// Writes a value that was kept back and stays as it is: as a slice, when it and its lead lie in this chunk.
    fn emit_held(&mut self, value: Vec<u8>, bytes: &[u8], at: usize, out: &mut Out<'_>) {
        let wrote = &mut self.level.wrote[usize::from(self.level.depth) - 1];
        let here = bytes[..at].strip_suffix(&*value).and_then(|before| before.strip_suffix(&*self.lead.kept));
        if let Some(before) = here.filter(|_| *wrote == self.lead.comma) {
            *wrote = true;
            out.copy(before.len(), at);
            return;
        }
        self.emit_lead(bytes, at, out);
        out.insert(value.into());
    }

    /// A result's `_meta` with our own `serverInfo` (modern) or none (legacy); `None` when nothing is left of it.
    fn meta(&self, text: &str) -> Result<Option<Bytes>, RewriteError> {
        let mut out = Vec::with_capacity(text.len() + 128);
        let mut rest = false;
        let mut add = |part: &str| {
            out.push(if rest { b',' } else { b'{' });
            out.extend_from_slice(part.as_bytes());
            rest = true;
        };
        for member in json::members(text) {
            let member = member.map_err(|_| RewriteError::NotAResponse)?;
            if !member.is(META_SERVER_INFO) {
                add(member.whole);
            }
        }
        if self.plan.to == Era::Modern {
            add(&format!("\"{META_SERVER_INFO}\":{}", self.plan.server_info));
        }
        out.push(b'}');
        Ok(rest.then(|| out.into()))
    }

    /// Writes comma, space, key and colon of a member. The comma goes when nothing was written before it.
    fn emit_lead(&mut self, bytes: &[u8], at: usize, out: &mut Out<'_>) {
        let wrote = &mut self.level.wrote[usize::from(self.level.depth) - 1];
        let before = std::mem::replace(wrote, true);
        if before == self.lead.comma && self.lead.kept.is_empty() {
            out.copy(self.lead.from, at);
            return;
        }
        let lead = self.lead.bytes(bytes, at);
        let lead = match lead.iter().position(|b| *b == b',').filter(|comma| *comma < self.lead.key.0) {
            Some(comma) if !before => [&lead[..comma], &lead[comma + 1..]].concat(),
            None if before => [b",", &*lead].concat(),
            _ => lead.into_owned(),
        };
        out.insert(lead.into());
    }

    /// At the end of an object: adds what the client's era demands and nobody wrote.
    fn close(&mut self, bytes: &[u8], at: usize, out: &mut Out<'_>) {
        let mut added = Vec::new();
        let wrote = self.level.wrote[usize::from(self.level.depth) - 1];
        let mut add = |member: &str| {
            if wrote || !added.is_empty() {
                added.push(b',');
            }
            added.extend_from_slice(member.as_bytes());
        };
        let depth = std::mem::replace(&mut self.level.depth, 1);
        if depth == 2 {
            if self.plan.to == Era::Modern {
                if !self.has.result_type {
                    add("\"resultType\":\"complete\"");
                }
                if !self.has.meta {
                    add(&format!("\"_meta\":{{\"{META_SERVER_INFO}\":{}}}", self.plan.server_info));
                }
                if self.plan.cacheable && !self.seen.incomplete {
                    if !self.has.ttl {
                        add("\"ttlMs\":0");
                    }
                    add("\"cacheScope\":\"private\"");
                }
            }
            self.at = At::Lead;
        } else {
            if !self.has.id {
                add(&format!("\"id\":{}", String::from_utf8_lossy(&self.plan.id)));
            }
            self.at = At::End;
        }
        if !added.is_empty() {
            out.insert(added.into());
        } else if self.lead.kept.is_empty() {
            // Space before the bracket stays where it is.
            out.copy(self.lead.from, at);
        }
        debug_assert_eq!(bytes[at], b'}');
        out.copy(at, at + 1);
        self.lead.restart(at + 1);
    }
}

/// Rewrites a response that is wholly in memory, and checks that it is JSON to the bottom.
pub fn whole(message: &Bytes, plan: Plan) -> Result<(Bytes, Seen), RewriteError> {
    pieces(message, plan).map(|(pieces, seen)| (join(pieces), seen))
}

/// The same, in pieces: what stays as it is remains where it lies.
pub fn pieces(message: &Bytes, plan: Plan) -> Result<(Vec<Bytes>, Seen), RewriteError> {
    if !is_json(message) {
        return Err(RewriteError::NotAResponse);
    }
    let mut rewriter = Rewriter::new(plan);
    let mut pieces = Vec::with_capacity(8);
    rewriter.push(message, &mut pieces)?;
    let seen = rewriter.finish()?;
    Ok((pieces, seen))
}

/// The pieces as one.
pub fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.swap_remove(0);
    }
    let mut out = Vec::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in &pieces {
        out.extend_from_slice(piece);
    }
    out.into()
}

/// Whether the bytes are one JSON value in UTF-8.
pub fn is_json(bytes: &[u8]) -> bool {
    json::grammar::text(bytes).is_some()
}

#[cfg(test)]
mod tests;

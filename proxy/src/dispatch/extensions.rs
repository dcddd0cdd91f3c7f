//! Answers to the methods of extensions, in the client's words: what the way out has to tell the way back, and the members
//! that only these results have. [`super::tasks`] and [`super::skills`] send, [`super::relay`] brings the answers here.

use std::sync::Arc;

use bytes::Bytes;
use patchbay_core::json;

use super::{Cx, links, relay::Relay, skills, tasks};

/// What an extension has to know on the way back.
pub enum About {
    /// A call that may go on as a task, since its client can follow one.
    Call {
        /// What the server calls the tool.
        native: Arc<str>,
        /// What the client calls it.
        exposed: Box<str>,
    },
    /// A task, by the id that the client has for it.
    Task(Box<str>),
    /// A skill.
    Skill,
    /// A directory, by the server's own URI.
    Directory(Box<str>),
}

impl About {
    /// Whether the answer has to be wholly there before it can be put in the client's words.
    pub(super) const fn wants_all(&self) -> bool {
        !matches!(self, Self::Call { .. })
    }
}

/// A result in the client's words; `None` where it is like any other. `body` is a whole response with a result.
pub(super) fn translated(relay: &Relay, about: &About, body: &Bytes) -> Option<Bytes> {
    match about {
        About::Call { .. } => None,
        About::Task(id) => Some(tasks::told(relay, id, body)),
        About::Skill => Some(skills::told(relay, body)),
        About::Directory(uri) => Some(skills::listed(relay, uri, body)),
    }
}

/// A response that is being put in the client's words.
pub(super) struct Draft<'a> {
    text: &'a str,
    /// The result.
    pub(super) result: &'a str,
    edits: Vec<links::Edit>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(body: &'a Bytes) -> Option<Self> {
        Self::within(body, "result")
    }

    /// The same for a message that tells in another member what a result would.
    pub(super) fn within(body: &'a Bytes, member: &str) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        Some(Self { text, result: json::at_path(text, &[member])?, edits: Vec::new() })
    }

    /// Puts something in the place of a part of the response.
    pub(super) fn swap(&mut self, part: &str, replacement: String) {
        self.edits.push(links::instead(self.text, part, replacement));
    }

    /// The `uri` of an object of the response as clients know it.
    pub(super) fn uri(&mut self, relay: &Relay, object: &str) {
        let uris = &relay.cx.tenant.view().uris;
        links::uri(self.text, object, &|native| uris.to_exposed(relay.index, native), &mut self.edits);
    }

    /// The URIs of a result of a call that stands somewhere in the response.
    pub(super) fn links(&mut self, cx: &Cx, server: usize, result: &str) {
        let uris = &cx.tenant.view().uris;
        if uris.has_mapped(server) {
            links::of_result(self.text, result, &|native| uris.to_exposed(server, native), &mut self.edits);
        }
    }

    pub(super) fn finish(self, body: &Bytes) -> Bytes {
        if self.edits.is_empty() { body.clone() } else { links::apply(self.text, self.edits) }
    }
}

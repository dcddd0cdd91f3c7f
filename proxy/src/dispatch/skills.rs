//! The Skills extension: the merged list, one skill, the directories of a server that lists them. The files themselves are
//! resources, read like any other, and none of their bytes is touched: digests hold.

use bytes::Bytes;
use patchbay_core::{
    envelope::Request,
    json,
    seal::Purpose,
    snapshot::{Extensions, View},
};

use super::{
    Answer, Cx,
    call::{self, Target},
    extensions::{About, Draft},
    links, list,
    relay::Relay,
};
use crate::{admission, audit::Trail, error::GatewayError};

/// `skills/list`
pub(super) async fn list(mut cx: Cx, request: &Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    if let Err(error) = offered(&mut cx, request, |has| has.skills).await {
        return Err(admission::refused(&cx.app, &cx.tenant, &cx.principal, error).await);
    }
    list::list(cx, request, list::Kind::Skills, trail).await
}

/// `skills/get`
pub(super) async fn get(mut cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    offered(&mut cx, &request, |has| has.skills).await?;
    let uri = call::string_param(&request, "uri", "skills/get needs params.uri, a string")?;
    let view = cx.tenant.view().clone();
    let found = route(&cx, &view, &uri, |has| has.skills);
    let (server, native) = found.ok_or_else(|| GatewayError::Unknown { kind: "skill", name: uri.clone() })?;
    let params = request.params.pieces("uri", &json::quote(&native));
    let outgoing = call::outgoing(&cx, &request, "skills/get", params)?;
    let about = Some(About::Skill.into());
    let target = Target { about, ..Target::plain(server, &native, &uri, view.server_limits[server]) };
    call::send(cx, &request, target, outgoing, trail).await
}

/// `resources/directory/read`
pub(super) async fn directory(mut cx: Cx, request: Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    offered(&mut cx, &request, |has| has.directories).await?;
    let uri = call::string_param(&request, "uri", "resources/directory/read needs params.uri, a string")?;
    let view = cx.tenant.view().clone();
    let found = route(&cx, &view, &uri, |has| has.directories);
    let (server, native) = found.ok_or_else(|| GatewayError::ResourceNotFound(uri.clone()))?;
    let quoted = json::quote(&native);
    let params = match request.params.raw("cursor") {
        None => request.params.pieces("uri", &quoted),
        Some(cursor) => {
            let opened =
                json::unquote(cursor).and_then(|cursor| Cursor { cx: &cx, server, uri: &native }.open(&cursor));
            let opened = json::quote(&opened.ok_or_else(list::bad_cursor)?);
            request.params.pieces_with(&[("uri", &quoted), ("cursor", &opened)])
        }
    };
    let outgoing = call::outgoing(&cx, &request, "resources/directory/read", params)?;
    let about = Some(About::Directory(native.as_str().into()).into());
    let target = Target { about, ..Target::plain(server, &native, &uri, view.server_limits[server]) };
    call::send(cx, &request, target, outgoing, trail).await
}

/// Whether a server of the view has it. A tenant that has only just come is waited for.
async fn offered(cx: &mut Cx, request: &Request, has: fn(Extensions) -> bool) -> Result<(), GatewayError> {
    if !has(cx.tenant.view().has.extensions) {
        super::first_word(cx).await;
    }
    let there = has(cx.tenant.view().has.extensions);
    there.then_some(()).ok_or_else(|| GatewayError::MethodNotFound(request.method.as_str().to_owned()))
}

/// The server that a URI leads to and what that server calls it, if the server has what is asked for.
fn route(cx: &Cx, view: &View, uri: &str, has: fn(Extensions) -> bool) -> Option<(usize, String)> {
    let (server, native) = view.uris.to_native(uri)?;
    has(cx.tenant.snapshot().servers[server].extensions).then(|| (server, native.into_owned()))
}

/// The answer to `skills/get` in the client's words: the URIs of the skill and its files, and nothing else of it.
pub(super) fn told(relay: &Relay, body: &Bytes) -> Bytes {
    let Some(mut draft) = Draft::of(body) else { return body.clone() };
    if let Some(skill) = json::at_path(draft.result, &["skill"]) {
        draft.uri(relay, skill);
        for file in links::elements(skill, "resources") {
            draft.uri(relay, file);
        }
    }
    draft.finish(body)
}

/// The answer to `resources/directory/read` in the client's words. The server's cursor does not leave the gateway in the clear.
pub(super) fn listed(relay: &Relay, uri: &str, body: &Bytes) -> Bytes {
    let Some(mut draft) = Draft::of(body) else { return body.clone() };
    for resource in links::elements(draft.result, "resources") {
        draft.uri(relay, resource);
    }
    if let Some(raw) = json::at_path(draft.result, &["nextCursor"])
        && let Some(cursor) = json::unquote(raw)
    {
        let sealed = Cursor { cx: &relay.cx, server: relay.index, uri }.seal(&cursor);
        draft.swap(raw, json::quote(&sealed));
    }
    draft.finish(body)
}

/// A server's cursor in a directory, sealed for one caller.
struct Cursor<'a> {
    cx: &'a Cx,
    server: usize,
    uri: &'a str,
}

impl Cursor<'_> {
    fn seal(&self, cursor: &str) -> String {
        self.bound(|parts| self.cx.app.sealer.seal(Purpose::Cursor, parts, cursor.as_bytes()))
    }

    fn open(&self, sealed: &str) -> Option<String> {
        self.bound(|parts| String::from_utf8(self.cx.app.sealer.open(Purpose::Cursor, parts, sealed)?).ok())
    }

    /// What it is bound to. Cursors of lists are bound to fewer parts, so none is taken for the other.
    fn bound<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let tenant = self.cx.tenant.id().bits().to_be_bytes();
        let principal = self.cx.principal.digest();
        let server = self.cx.tenant.snapshot().servers[self.server].id.bits().to_be_bytes();
        let toolset = self.cx.tenant.view().toolset.as_str().as_bytes();
        with(&[&tenant, &principal, b"directory", toolset, &server, self.uri.as_bytes()])
    }
}

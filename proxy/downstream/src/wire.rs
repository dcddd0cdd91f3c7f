//! A request as bytes for one leg: what [`Outgoing`] says, with the id and the `_meta` that belong to the leg's era.
//! The only place that writes JSON-RPC requests towards servers; both transports call it.

use std::io::Write;

use patchbay_core::{
    era::{Era, META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_PROTOCOL_VERSION, Version},
    json,
    trace::{TRACEPARENT, TRACESTATE},
};

use crate::Outgoing;

/// What Patchbay says of itself to servers, a JSON object.
pub fn client_info() -> &'static str {
    concat!(r#"{"name":"patchbay","title":"Patchbay","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#)
}

/// Writes the request message. `capabilities` is what the caller can be asked, a JSON object; a modern server gets it with
/// each request, a legacy one got it when its session was opened.
pub fn request(id: u64, request: &Outgoing, era: Era, capabilities: &str) -> Vec<u8> {
    let params_bytes: usize = request.params.iter().map(|piece| piece.len()).sum();
    let mut out = Vec::with_capacity(params_bytes + request.meta.len() + capabilities.len() + 384);
    let _ = write!(out, r#"{{"jsonrpc":"2.0","id":{id},"method":"{}","params":{{"#, request.method);
    for piece in &request.params {
        out.extend_from_slice(piece);
    }
    let mut meta = Meta { out: &mut out, after_params: params_bytes > 0, open: false };
    meta.raw(&request.meta);
    if let Some(trace) = &request.trace {
        meta.member(TRACEPARENT, &[b"\"", &trace.parent.write(), b"\""]);
        if let Some(state) = &trace.state {
            meta.member(TRACESTATE, &[json::quote(state.as_str()).as_bytes()]);
        }
    }
    if request.progress {
        meta.member("progressToken", &[id.to_string().as_bytes()]);
    }
    if era == Era::Modern {
        meta.member(META_PROTOCOL_VERSION, &[b"\"", Version::NEWEST.as_str().as_bytes(), b"\""]);
        meta.member(META_CLIENT_CAPABILITIES, &[capabilities.as_bytes()]);
        meta.member(META_CLIENT_INFO, &[client_info().as_bytes()]);
        if let Some(level) = &request.log_level {
            meta.member(META_LOG_LEVEL, &[level]);
        }
    }
    meta.close();
    out.extend_from_slice(b"}}");
    out
}

/// Writes `_meta` when there is something to write, and its comma.
struct Meta<'a> {
    out: &'a mut Vec<u8>,
    after_params: bool,
    open: bool,
}

impl Meta<'_> {
    fn raw(&mut self, members: &[u8]) {
        if !members.is_empty() {
            self.separate();
            self.out.extend_from_slice(members);
        }
    }

    /// Opens the object, or writes a comma.
    fn separate(&mut self) {
        if self.open {
            self.out.push(b',');
        } else {
            let start: &[u8] = if self.after_params { br#","_meta":{"# } else { br#""_meta":{"# };
            self.out.extend_from_slice(start);
            self.open = true;
        }
    }

    fn member(&mut self, name: &str, value: &[&[u8]]) {
        self.separate();
        for part in [b"\"", name.as_bytes(), b"\":"].into_iter().chain(value.iter().copied()) {
            self.out.extend_from_slice(part);
        }
    }

    fn close(self) {
        if self.open {
            self.out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use patchbay_core::trace::TraceContext;

    use super::*;

    #[test]
    fn a_plain_request_has_no_meta_in_the_legacy_era() {
        let out = Outgoing::plain("tools/list", Vec::new());
        assert_eq!(
            request(1, &out, Era::Legacy, "{}"),
            br#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#
        );
    }

    #[test]
    fn a_modern_request_says_who_asks_and_keeps_the_callers_members() {
        let mut out = Outgoing::plain("tools/call", vec![Bytes::from_static(br#""name":"echo""#)]);
        out.meta = Bytes::from_static(br#""traceparent":"00-ab""#);
        out.progress = true;
        let text = String::from_utf8(request(7, &out, Era::Modern, r#"{"roots":{}}"#)).expect("UTF-8");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let meta = &value["params"]["_meta"];
        assert_eq!(meta["traceparent"], "00-ab");
        assert_eq!(meta["progressToken"], 7);
        assert_eq!(meta[META_PROTOCOL_VERSION], "2026-07-28");
        assert_eq!(meta[META_CLIENT_CAPABILITIES]["roots"], serde_json::json!({}));
    }
    #[test]
    fn a_trace_context_stands_in_meta_in_both_eras() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut out = Outgoing::plain("tools/call", vec![Bytes::from_static(br#""name":"echo""#)]);
        out.trace = TraceContext::parse(PARENT, Some(r#"a="b\c""#));
        for era in [Era::Legacy, Era::Modern] {
            let value: serde_json::Value = serde_json::from_slice(&request(7, &out, era, "{}")).expect("JSON");
            let meta = &value["params"]["_meta"];
            assert_eq!((&meta["traceparent"], &meta["tracestate"]), (&PARENT.into(), &r#"a="b\c""#.into()), "{era:?}");
        }
    }
}

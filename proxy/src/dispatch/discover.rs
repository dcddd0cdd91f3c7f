//! What the gateway says of itself: the answer to `initialize` in the legacy era and to `server/discover` in the modern one.
//! Made per toolset; a server's own handshake is never handed on.

use bytes::Bytes;
use patchbay_core::{
    era::{META_SERVER_INFO, Version},
    json,
    snapshot::{APPS, SERVER_INFO, SKILLS, TASKS, View},
};

use crate::tenancy::Tenant;

/// How long a client may keep the answer to `server/discover`, in milliseconds.
const DISCOVER_TTL_MS: u32 = 60_000;

/// The response to `initialize`.
pub fn initialized(tenant: &Tenant, version: Version, id: &[u8]) -> Bytes {
    let view = tenant.view();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{SERVER_INFO}{}}}}}"#,
        String::from_utf8_lossy(id),
        capabilities(view, true),
        instructions(view),
    );
    body.into()
}

/// The response to `server/discover`.
pub fn discovered(tenant: &Tenant, id: &[u8]) -> Bytes {
    let view = tenant.view();
    let versions: Vec<_> = Version::ALL.iter().map(|version| json::quote(version.as_str())).collect();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"supportedVersions":[{}],"capabilities":{}{},"resultType":"complete","ttlMs":{DISCOVER_TTL_MS},"cacheScope":"private","_meta":{{"{META_SERVER_INFO}":{SERVER_INFO}}}}}}}"#,
        String::from_utf8_lossy(id),
        versions.join(","),
        capabilities(view, false),
        instructions(view),
    );
    body.into()
}

/// Only what the gateway itself can honour; extensions that it does not know are not there.
fn capabilities(view: &View, legacy: bool) -> String {
    let has = &view.has;
    let extensions = extensions(view, legacy);
    let parts = [
        (has.tools, r#""tools":{"listChanged":true}"#),
        (has.prompts, r#""prompts":{"listChanged":true}"#),
        (has.resources, r#""resources":{"subscribe":true,"listChanged":true}"#),
        (has.completions, "\"completions\":{}"),
        (legacy, "\"logging\":{}"),
        (!extensions.is_empty(), &*extensions),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(there, _)| *there).map(|(_, part)| part).collect();
    format!("{{{}}}", parts.join(","))
}

/// The extensions that a server of the view has, of those that the gateway carries. Tasks are of the modern era alone.
fn extensions(view: &View, legacy: bool) -> String {
    let has = view.has.extensions;
    let skills = if has.directories { r#"{"directoryRead":true}"# } else { "{}" };
    let parts = [(has.tasks && !legacy, TASKS, "{}"), (has.skills, SKILLS, skills), (has.apps, APPS, "{}")];
    let there = parts.into_iter().filter(|(there, ..)| *there);
    let there: Vec<_> = there.map(|(_, name, settings)| format!("\"{name}\":{settings}")).collect();
    if there.is_empty() { String::new() } else { format!("\"extensions\":{{{}}}", there.join(",")) }
}

fn instructions(view: &View) -> String {
    view.instructions.as_deref().map_or_else(String::new, |text| format!(",\"instructions\":{}", json::quote(text)))
}

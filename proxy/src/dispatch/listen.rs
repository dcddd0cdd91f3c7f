//! `subscriptions/listen`: a modern client's stream of changes. Read and opened here; what comes on it is [`crate::hub`]'s.

use std::sync::Arc;

use patchbay_core::{envelope::Request, json};

use super::{Answer, Cx};
use crate::{
    admission,
    audit::Trail,
    error::GatewayError,
    hub::{
        Hub, PROMPTS, RESOURCES, SUBSCRIPTIONS_MAX, TOOLS, Wanted,
        listening::{Listening, Voice},
    },
};

/// The lists by the names of the members that ask for their changes.
const LISTS: [(&str, u8); 3] =
    [("toolsListChanged", TOOLS), ("promptsListChanged", PROMPTS), ("resourcesListChanged", RESOURCES)];

/// Opens a stream of changes. Its opening is an answered request; its end is none of the trail's.
pub(super) async fn listen(cx: Cx, request: &Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    cx.telling.tell(admission::request(&cx.app, &cx.tenant, &cx.principal).await?);
    if !cx.app.audit.lets_on(&cx.tenant.snapshot().audit) {
        return Err(super::NO_ROOM);
    }
    let wanted = wanted(request)?;
    let lists = wanted.lists;
    let voice = Voice::Modern { id: request.id.clone() };
    let (mut listening, uris) = Hub::open(&cx.app, &cx.tenant, &cx.principal, wanted, voice)?;
    listening.begin_with(Listening::acknowledged(&request.id, &accepted(lists, &uris)));
    trail.answered(0);
    trail.kept().await.map_err(|_| super::OUTCOME_NOT_KEPT)?;
    Ok(Answer::Listening(Box::new(listening)))
}

/// What the request asks for. Kinds of news that nobody here knows are left out, as the acknowledgement says.
fn wanted(request: &Request) -> Result<Wanted, GatewayError> {
    let invalid = |text: &'static str| GatewayError::InvalidParams(text.into());
    let asked = request
        .params
        .any("notifications")
        .filter(|asked| asked.starts_with('{'))
        .ok_or(invalid("subscriptions/listen needs params.notifications, an object"))?;
    let mut lists = 0;
    for (name, list) in LISTS {
        match json::at_path(asked, &[name]) {
            Some("true") => lists |= list,
            None | Some("false" | "null") => {}
            Some(_) => {
                return Err(invalid("toolsListChanged, promptsListChanged and resourcesListChanged are booleans"));
            }
        }
    }
    let mut uris: Vec<Arc<str>> = Vec::new();
    if let Some(raw) = json::at_path(asked, &["resourceSubscriptions"]).filter(|raw| *raw != "null") {
        let not_uris = || invalid("resourceSubscriptions is an array of URIs");
        for element in json::elements(raw).map_err(|_| not_uris())? {
            let uri = json::unquote(element).ok_or_else(not_uris)?;
            if uris.len() < SUBSCRIPTIONS_MAX && !uris.iter().any(|known| **known == *uri) {
                uris.push(uri.into());
            }
        }
    }
    Ok(Wanted { lists, uris, ..Wanted::default() })
}

/// The members that say what is told.
fn accepted(lists: u8, uris: &[Arc<str>]) -> String {
    let mut members: Vec<_> =
        LISTS.iter().filter(|(_, list)| lists & list != 0).map(|(name, _)| format!("\"{name}\":true")).collect();
    if !uris.is_empty() {
        let uris: Vec<_> = uris.iter().map(|uri| json::quote(uri)).collect();
        members.push(format!("\"resourceSubscriptions\":[{}]", uris.join(",")));
    }
    members.join(",")
}

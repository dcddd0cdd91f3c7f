//! `subscriptions/listen`: a modern client's stream of changes. Read and opened here; what comes on it is [`crate::hub`]'s.

use std::sync::Arc;

use patchbay_core::{envelope::Request, json};

use super::{
    Answer, Cx,
    tasks::feed::{self, Followed, TASKS_MAX},
};
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
pub(super) async fn listen(mut cx: Cx, request: &Request, trail: &mut Trail) -> Result<Answer, GatewayError> {
    cx.telling.tell(admission::request(&cx.app, &cx.tenant, &cx.principal).await?);
    if !cx.app.audit.lets_on(&cx.tenant.snapshot().audit) {
        return Err(super::NO_ROOM);
    }
    let wanted = wanted(request)?;
    let tasks = tasks(&mut cx, request).await?;
    let lists = wanted.lists;
    let voice = Voice::Modern { id: request.id.clone() };
    let (mut listening, uris) = Hub::open(&cx.app, &cx.tenant, &cx.principal, wanted, voice)?;
    listening.begin_with(Listening::acknowledged(&request.id, &accepted(lists, &uris, &tasks)));
    if !tasks.is_empty() {
        listening.fed_by(|teller, ends_at| feed::feed(cx, tasks, teller, ends_at));
    }
    trail.answered(0);
    trail.kept().await.map_err(|_| super::OUTCOME_NOT_KEPT)?;
    Ok(Answer::Listening(Box::new(listening)))
}

/// What the request asks for. Kinds of news that nobody here knows are left out, as the acknowledgement says.
fn wanted(request: &Request) -> Result<Wanted, GatewayError> {
    let invalid = |text: &'static str| GatewayError::InvalidParams(text.into());
    let asked = notifications(request)?;
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
    let uris = texts(asked, "resourceSubscriptions", SUBSCRIPTIONS_MAX, "resourceSubscriptions is an array of URIs")?;
    Ok(Wanted { lists, uris, ..Wanted::default() })
}

/// The tasks that are asked for, as far as they are this caller's. Nothing is said of the others.
async fn tasks(cx: &mut Cx, request: &Request) -> Result<Vec<Followed>, GatewayError> {
    let ids = texts(notifications(request)?, "taskIds", TASKS_MAX, "taskIds is an array of strings")?;
    if ids.is_empty() || !cx.caller.can.tasks {
        return Ok(Vec::new());
    }
    if !cx.tenant.view().has.extensions.tasks {
        super::first_word(cx).await;
    }
    Ok(ids.into_iter().filter_map(|id| Followed::of(cx, id)).collect())
}

fn notifications(request: &Request) -> Result<&str, GatewayError> {
    let asked = request.params.any("notifications").filter(|asked| asked.starts_with('{'));
    asked.ok_or(GatewayError::InvalidParams("subscriptions/listen needs params.notifications, an object".into()))
}

/// The first of the texts of an array, each once.
fn texts(asked: &str, name: &str, count_max: usize, expected: &'static str) -> Result<Vec<Arc<str>>, GatewayError> {
    let mut texts: Vec<Arc<str>> = Vec::new();
    let Some(raw) = json::at_path(asked, &[name]).filter(|raw| *raw != "null") else { return Ok(texts) };
    let odd = || GatewayError::InvalidParams(expected.into());
    for element in json::elements(raw).map_err(|_| odd())? {
        let text = json::unquote(element).ok_or_else(odd)?;
        if texts.len() < count_max && !texts.iter().any(|known| **known == *text) {
            texts.push(text.into());
        }
    }
    Ok(texts)
}

/// The members that say what is told.
fn accepted(lists: u8, uris: &[Arc<str>], tasks: &[Followed]) -> String {
    let mut members: Vec<_> =
        LISTS.iter().filter(|(_, list)| lists & list != 0).map(|(name, _)| format!("\"{name}\":true")).collect();
    let mut texts = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            members.push(format!("\"{name}\":[{}]", texts.join(",")));
        }
    };
    texts("resourceSubscriptions", uris.iter().map(|uri| json::quote(uri)).collect());
    texts("taskIds", tasks.iter().map(|task| json::quote(&task.sealed)).collect());
    members.join(",")
}

//! News of tasks for a stream of changes: heard from the server while it tells of them, asked for with `tasks/get` while it does
//! not. One future per stream, polled and dropped with it; [`super::super::listen`] makes it, what it brings waits in the hub.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{join_all, pending};
use patchbay_core::{
    ServerId,
    era::Era,
    json,
    limits::RuleSet,
    snapshot::{ServerEntry, ServerKind},
};
use patchbay_downstream::{CallCx, Message, Outgoing, Reply};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    super::{Cx, call, extensions::Draft, relay},
    Task, put,
};
use crate::{
    admission::{self, Toll, told::Telling},
    bridge,
    hub::{feeds::Feeds, listening::Teller},
};

/// The most tasks that one stream listens for.
pub(in crate::dispatch) const TASKS_MAX: usize = 16;
/// How long a server has to say that it will tell of tasks before it is asked how they stand.
const ACK_PATIENCE: Duration = Duration::from_secs(2);
/// The shortest time between two questions about one task, whatever its server wishes.
const POLL_MIN: Duration = Duration::from_secs(2);
/// The time between them where the server wishes nothing.
const POLL_AFTER: Duration = Duration::from_secs(5);
/// The longest.
const POLL_MAX: Duration = Duration::from_secs(60);
/// The most that is told of a task at once, in bytes: beyond it without its result, which its client asks for.
const NEWS_BYTES_MAX: usize = 1024 * 1024;
/// How much longer than its client's stream a server's stream may be open: it is dropped with the former, and never late.
const STREAM_GRACE: Duration = Duration::from_secs(60);
/// What a server says of a task that it does not know.
const UNKNOWN_THERE: i32 = -32602;

/// A task that a stream listens for.
pub(in crate::dispatch) struct Followed {
    /// By the id that the client has for it.
    pub(in crate::dispatch) sealed: Arc<str>,
    task: Task,
}

impl Followed {
    /// The task of this caller with that id, if there is one that it may ask for.
    pub(in crate::dispatch) fn of(cx: &Cx, sealed: Arc<str>) -> Option<Self> {
        let task = Task::open(cx, &sealed)?;
        task.judged(cx).is_some().then_some(Self { sealed, task })
    }
}

impl Task {
    /// The place of its server, and what asking it meets, while this caller may ask.
    fn judged(&self, cx: &Cx) -> Option<(usize, RuleSet)> {
        let view = cx.tenant.view();
        let (server, _, route) = self.route(cx, view)?;
        let admitted = |needed: &Arc<[_]>| cx.tenant.admits(&cx.principal, needed, cx.site.as_deref()).is_ok();
        route.scopes.as_ref().is_none_or(admitted).then(|| (server, view.server_limits[server]))
    }
}

/// Brings a stream, which ends then at the latest, news of these tasks until they are over.
pub(in crate::dispatch) async fn feed(mut cx: Cx, followed: Vec<Followed>, teller: Teller, ends_at: Instant) {
    let mut by_server: HashMap<ServerId, Vec<Item>> = HashMap::new();
    for Followed { sealed, task } in followed {
        by_server.entry(task.server).or_default().push(Item::new(sealed, task));
    }
    // What is asked for here is not the request's own.
    cx.telling = Telling::default();
    cx.caller.params_sent = Vec::new();
    let cx = RefCell::new(cx);
    let group = |(server, items)| Group { cx: &cx, server, items, teller: &teller, ends_at };
    let groups: Vec<_> = by_server.into_iter().map(group).collect();
    join_all(groups.iter().map(Group::run)).await;
}

/// A task, and how far it was told.
struct Item {
    sealed: Arc<str>,
    task: Task,
    /// Whether its server has said that it tells of it.
    is_heard: Cell<bool>,
    is_over: Cell<bool>,
    /// News that the server told by itself.
    heard: Cell<u32>,
    /// How it stood when it was told last.
    told: RefCell<String>,
    /// Rung when one of the first two changes.
    changed: Notify,
}

impl Item {
    fn new(sealed: Arc<str>, task: Task) -> Self {
        Self {
            sealed,
            task,
            is_heard: Cell::new(false),
            is_over: Cell::new(false),
            heard: Cell::new(0),
            told: RefCell::default(),
            changed: Notify::new(),
        }
    }

    fn end(&self) {
        self.is_over.set(true);
        self.changed.notify_one();
    }
}

/// The tasks of one server that a stream listens for.
struct Group<'a> {
    /// As the client was let in last.
    cx: &'a RefCell<Cx>,
    server: ServerId,
    items: Vec<Item>,
    teller: &'a Teller,
    ends_at: Instant,
}

/// What came of asking how a task stands.
enum Looked {
    /// It was told, and its server wishes to be asked again after this time.
    Known(Option<Duration>),
    /// Not this time.
    Failed,
    /// It is not there any more, or not for this caller.
    Gone,
}

impl Group<'_> {
    /// Goes on until all of its tasks are over.
    async fn run(&self) {
        let hearing = async {
            self.hear().await;
            for item in &self.items {
                item.is_heard.set(false);
                item.changed.notify_one();
            }
            pending::<()>().await;
        };
        tokio::select! {
            _ = join_all(self.items.iter().map(|item| self.follow(item))) => {}
            () = hearing => {}
        }
    }

    /// The stream's client as it is let in now.
    fn now(&self) -> Cx {
        let mut cx = self.cx.borrow_mut();
        cx.tenant = cx.tenant.again(&cx.app.tenants, &cx.principal);
        cx.clone()
    }

    /// Has the server tell of its tasks; returns when it does not, or no longer.
    async fn hear(&self) {
        let cx = self.now();
        let servers = &cx.tenant.snapshot().servers;
        let Some(index) = servers.iter().position(|entry| entry.id == self.server) else { return };
        let entry = &servers[index];
        if !tells(entry) {
            return;
        }
        let calls_max = entry.concurrency_max.map_or(cx.app.config.limits.concurrency_per_server, |max| max as usize);
        let Some(_place) = Feeds::enter(&cx.app, self.server, calls_max) else { return };
        let ids: Vec<_> = self.items.iter().map(|item| json::quote(&item.task.id)).collect();
        let params = format!(r#""notifications":{{"taskIds":[{}]}}"#, ids.join(","));
        let outgoing = Outgoing::plain("subscriptions/listen", vec![params.into()]);
        let call_cx = call_cx(&cx, index, self.ends_at + STREAM_GRACE);
        let server = cx.tenant.server(index).clone();
        drop(cx);
        let Ok(Reply::Stream(mut stream)) = server.downstream.call(call_cx, outgoing).await else { return };
        drop(server);
        while let Ok(Message::Notification(message)) = stream.next().await {
            self.heard(&message);
        }
    }

    fn heard(&self, message: &Bytes) {
        let Ok(text) = std::str::from_utf8(message) else { return };
        let params = |path: &[&str]| json::at_path(text, &["params"]).and_then(|params| json::at_path(params, path));
        match json::at_path(text, &["method"]) {
            Some(r#""notifications/subscriptions/acknowledged""#) => {
                let taken = params(&["notifications", "taskIds"]).and_then(|ids| json::elements(ids).ok());
                let taken: Vec<_> = taken.iter().flatten().filter_map(|id| json::unquote(id)).collect();
                for item in &self.items {
                    item.is_heard.set(taken.iter().any(|id| **id == *item.task.id));
                    item.changed.notify_one();
                }
            }
            Some(r#""notifications/tasks""#) => {
                let Some(id) = params(&["taskId"]).and_then(json::unquote) else { return };
                let cx = self.now();
                for item in self.items.iter().filter(|item| item.task.id == *id && !item.is_over.get()) {
                    item.heard.set(item.heard.get().wrapping_add(1));
                    match item.task.judged(&cx) {
                        Some((server, _)) => self.tell(item, news(&cx, server, item, message, "params"), true),
                        None => item.end(),
                    }
                }
            }
            _ => {}
        }
    }

    /// Tells how a task stands, unless nothing changed since it was told.
    fn tell(&self, item: &Item, news: Option<News>, is_new: bool) {
        let Some(News { members, mark, is_over, .. }) = news.filter(|_| !item.is_over.get()) else { return };
        if is_new || *item.told.borrow() != mark {
            self.teller.task(item.sealed.clone(), members.into());
            item.told.replace(mark);
        }
        if is_over {
            item.end();
        }
    }

    /// Asks how a task stands once its server has said whether it tells of it, so that nothing falls between; and again and again
    /// while it does not.
    async fn follow(&self, item: &Item) {
        let _ = timeout(ACK_PATIENCE, item.changed.notified()).await;
        let mut pause = POLL_AFTER;
        while !item.is_over.get() {
            let looked = self.look(item).await;
            let is_known = match looked {
                Looked::Gone => return item.end(),
                Looked::Known(wished) => {
                    pause = wished.unwrap_or(POLL_AFTER).clamp(POLL_MIN, POLL_MAX);
                    true
                }
                Looked::Failed => {
                    pause = (pause * 2).min(POLL_MAX);
                    false
                }
            };
            if item.is_over.get() {
                return;
            }
            if is_known && item.is_heard.get() {
                item.changed.notified().await;
                continue;
            }
            tokio::select! {
                () = item.changed.notified() => {}
                () = sleep(jittered(pause)) => {}
            }
        }
    }

    /// Asks the server how a task stands, like `tasks/get` of its client: within its limits.
    async fn look(&self, item: &Item) -> Looked {
        let cx = self.now();
        let Some((index, rules)) = item.task.judged(&cx) else { return Looked::Gone };
        let call_timeout = call::timeout(&cx, cx.tenant.snapshot().servers[index].call_timeout_s);
        let toll = Toll { rules, cost: 1, server: self.server, tool: None, timeout: call_timeout };
        let Ok(_permit) = admission::call(&cx, toll).await else { return Looked::Failed };
        let heard = item.heard.get();
        let Some(body) = asked(&cx, index, &item.task.id, call_timeout).await else { return Looked::Failed };
        let Some(news) = news(&cx, index, item, &body, "result") else {
            let is_unknown = bridge::error_code(&body) == Some(UNKNOWN_THERE);
            return if is_unknown { Looked::Gone } else { Looked::Failed };
        };
        let wished = news.poll_after;
        // What the server has told meanwhile is newer.
        if item.heard.get() == heard {
            self.tell(item, Some(news), false);
        }
        Looked::Known(wished)
    }
}

/// Whether a server can be asked to tell of tasks. With children it cannot be known whom a message is for.
fn tells(entry: &ServerEntry) -> bool {
    entry.kind == ServerKind::Http && entry.era == Some(Era::Modern)
}

fn call_cx(cx: &Cx, index: usize, deadline: Instant) -> CallCx {
    let entry = &cx.tenant.snapshot().servers[index];
    let capabilities = call::offered(cx, index).written(entry.era.unwrap_or(Era::Legacy));
    CallCx { deadline, extension: None, share: call::share(cx, entry.sharing), capabilities }
}

/// The whole response of a server to `tasks/get`.
async fn asked(cx: &Cx, index: usize, id: &str, patience: Duration) -> Option<Bytes> {
    let params = format!("\"taskId\":{}", json::quote(id));
    let mut outgoing = Outgoing::plain("tasks/get", vec![params.into()]);
    outgoing.mirror_name = Some(id.into());
    let call_cx = call_cx(cx, index, Instant::now() + patience);
    let answer = match cx.tenant.server(index).downstream.call(call_cx, outgoing).await.ok()? {
        Reply::One(answer) => answer,
        Reply::Stream(mut stream) => loop {
            if let Message::Response(answer) = stream.next().await.ok()? {
                break answer;
            }
        },
    };
    match answer.rest {
        None => Some(answer.head),
        Some(rest) => relay::collect(answer.head, rest, cx.app.config.limits.response_bytes_max).await.ok(),
    }
}

/// How a task stands, in its client's words.
struct News {
    /// The members of `params` that say it, on one line.
    members: String,
    /// Differs when it stands otherwise.
    mark: String,
    is_over: bool,
    poll_after: Option<Duration>,
}

/// What a message says in this member of how a task stands. `None` for what says nothing of it, or asks what its client cannot be
/// asked: `tasks/get` says why.
fn news(cx: &Cx, server: usize, item: &Item, message: &Bytes, member: &str) -> Option<News> {
    let mut draft = Draft::within(message, member)?;
    if let Err(why) = put(cx, server, &mut draft, &item.sealed) {
        debug!(why, "a task that cannot be told of");
        return None;
    }
    let whole = draft.finish(message);
    let state = json::at_path(std::str::from_utf8(&whole).ok()?, &[member])?;
    let text = |name| json::at_path(state, &[name]).and_then(json::unquote);
    let status = text("status")?;
    let mut members = members(state, &["taskId", "_meta", "resultType"]);
    if members.len() > NEWS_BYTES_MAX {
        members = self::members(state, &["taskId", "_meta", "resultType", "result"]);
    }
    if members.len() > NEWS_BYTES_MAX {
        debug!("a task of which there is too much to be told");
        return None;
    }
    let mark = text("lastUpdatedAt").map_or_else(|| members.clone(), |at| format!("{status} {at}"));
    let poll_ms = json::at_path(state, &["pollIntervalMs"]).and_then(|raw| raw.parse().ok());
    Some(News {
        members,
        mark,
        is_over: matches!(&*status, "completed" | "cancelled" | "failed"),
        poll_after: poll_ms.map(Duration::from_millis),
    })
}

/// The members of an object without these. Line breaks stand only between the parts of JSON, and would end an event.
fn members(object: &str, without: &[&str]) -> String {
    let members = json::members(object).flatten().filter(|member| !without.iter().any(|name| member.is(name)));
    members.map(|member| member.whole.replace(['\n', '\r'], " ")).collect::<Vec<_>>().join(",")
}

/// Up to a tenth more, so that what began together is not asked for together.
fn jittered(pause: Duration) -> Duration {
    let random = u32::from(u16::from_ne_bytes(patchbay_core::random_bytes()));
    pause + pause / 10 * random / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests;

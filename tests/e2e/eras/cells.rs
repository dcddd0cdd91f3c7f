//! What is done in each cell, and what has to arrive. A cell gives `carried`, or how the message was refused; anything else that
//! arrives is a failure.

use futures_util::future::BoxFuture;
use patchbay_e2e::{Ask, Event, Exchange, Talk, client::META_LOG_LEVEL, talk::obliging, wait_until};
use serde_json::{Value, json};

use super::{Cell, Server};

/// The one resource of the servers.
const WATCHED: &str = "scripted://watched";
const CARRIED: &str = "carried";

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Form,
    Url,
    Sampling,
    Roots,
    Together,
    SharedChild,
    Progress,
    Log,
    Cancel,
    ListChanged,
    Update,
    Subscribe,
    RootsChanged,
    Codes,
    Structured,
}

pub(super) const TOPICS: [Topic; 15] = [
    Topic::Form,
    Topic::Url,
    Topic::Sampling,
    Topic::Roots,
    Topic::Together,
    Topic::SharedChild,
    Topic::Progress,
    Topic::Log,
    Topic::Cancel,
    Topic::ListChanged,
    Topic::Update,
    Topic::Subscribe,
    Topic::RootsChanged,
    Topic::Codes,
    Topic::Structured,
];

impl Topic {
    /// As the table has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Form => "elicitation by form",
            Self::Url => "elicitation by URL",
            Self::Sampling => "sampling",
            Self::Roots => "roots",
            Self::Together => "three questions at once",
            Self::SharedChild => "elicitation by a shared child",
            Self::Progress => "progress",
            Self::Log => "log messages",
            Self::Cancel => "cancellation",
            Self::ListChanged => "`list_changed`",
            Self::Update => "update of a resource",
            Self::Subscribe => "subscription, and its end",
            Self::RootsChanged => "`roots/list_changed`",
            Self::Codes => "error codes",
            Self::Structured => "`structuredContent` that is no object",
        }
    }

    /// Whether it is a row for this server.
    pub(super) fn is_of(self, server: Server) -> bool {
        // What happens beside calls is told of by what callers share: a child of one caller tells nobody else.
        let is_beside = matches!(self, Self::ListChanged | Self::Update | Self::Subscribe);
        if self == Self::SharedChild {
            return server.is_shared;
        }
        !server.is_child || server.is_shared == is_beside
    }

    pub(super) fn play(self, cell: Cell) -> BoxFuture<'static, String> {
        Box::pin(async move {
            // The first list of a server is there when its tools are called.
            wait_until("the server's tools are listed", || async {
                cell.client.tools().await.contains(&"play".into())
            })
            .await;
            match self {
                Self::Form => form(&cell).await,
                Self::Url => url(&cell).await,
                Self::Sampling => sampling(&cell).await,
                Self::Roots => roots(&cell).await,
                Self::Together => together(&cell).await,
                Self::SharedChild => shared_child(&cell).await,
                Self::Progress => progress(&cell).await,
                Self::Log => log(&cell).await,
                Self::Cancel => cancel(&cell).await,
                Self::ListChanged => list_changed(&cell).await,
                Self::Update => update(&cell).await,
                Self::Subscribe => subscribe(&cell).await,
                Self::RootsChanged => roots_changed(&cell).await,
                Self::Codes => codes(&cell).await,
                Self::Structured => structured(&cell).await,
            }
        })
    }
}

/// How it was refused.
fn refused(answer: &Exchange) -> String {
    if answer.is_error() {
        return format!("refused: {}", answer.text());
    }
    let error = &answer.response["error"];
    assert!(error.is_object(), "neither carried nor refused: {}", answer.raw);
    format!("refused: {} {}", error["code"], error["message"].as_str().unwrap_or_default())
}

fn ask(key: &str, method: &str, params: Value) -> Value {
    let ask = [("key", key.into()), ("method", method.into()), ("params", params)];
    json!({ "ask": Value::from_iter(ask) })
}

async fn play(cell: &Cell, steps: Value) -> Talk {
    cell.client.talk_tool("play", json!({ "steps": steps }), obliging).await
}

/// What the server heard to its questions.
fn heard(talk: &Talk) -> Value {
    serde_json::from_str(talk.last.text()).unwrap_or_else(|error| panic!("{error}: {}", talk.last.raw))
}

/// The one question that arrived, which says who asks; `None` when none did.
fn question<'a>(cell: &Cell, talk: &'a Talk, method: &str) -> Option<&'a Value> {
    let [asked] = &talk.asked[..] else {
        assert!(talk.asked.is_empty(), "{:?}", talk.asked);
        return None;
    };
    assert_eq!(asked["method"], method, "{asked}");
    assert_eq!(asked["params"]["_meta"]["dev.patchbay/server"], cell.server.name, "{asked}");
    if cell.client.is_modern() {
        assert!(asked.get("id").is_none(), "the modern era has no requests of servers: {asked}");
    } else {
        assert!(asked["id"].as_str().is_some_and(|id| id.len() > 20), "an id that nobody guesses: {asked}");
    }
    Some(asked)
}

fn form_params() -> Value {
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] });
    json!({ "message": "What is your name?", "requestedSchema": schema })
}

async fn form(cell: &Cell) -> String {
    let talk = play(cell, json!([ask("who", "elicitation/create", form_params())])).await;
    let Some(asked) = question(cell, &talk, "elicitation/create") else { return refused(&talk.last) };
    assert_eq!(asked["params"]["message"], format!("[{}] What is your name?", cell.server.name));
    assert_eq!(asked["params"]["requestedSchema"], form_params()["requestedSchema"]);
    assert_eq!(heard(&talk), json!({ "who": { "action": "accept", "content": { "name": "Ada" } } }));
    CARRIED.to_owned()
}

async fn url(cell: &Cell) -> String {
    let mut params = json!({ "mode": "url", "message": "Please sign in.", "url": "https://example.org/in?x=1" });
    let mut steps = vec![];
    if !cell.server.is_modern {
        params["elicitationId"] = json!("e-1");
        let done = json!({ "method": "notifications/elicitation/complete", "params": { "elicitationId": "e-1" } });
        steps.push(json!({ "notify": done }));
    }
    steps.insert(0, ask("in", "elicitation/create", params));
    let talk = play(cell, steps.into()).await;
    let Some(asked) = question(cell, &talk, "elicitation/create") else { return refused(&talk.last) };
    let params = &asked["params"];
    assert_eq!((&params["mode"], &params["url"]), (&json!("url"), &json!("https://example.org/in?x=1")), "{asked}");
    assert_eq!(params["message"], format!("[{}] Please sign in.", cell.server.name));
    assert_eq!(params["elicitationId"].is_string(), !cell.client.is_modern(), "{asked}");
    assert_eq!(heard(&talk)["in"]["action"], "accept");
    let done: Vec<_> = talk.told.iter().filter(|told| told["method"] == "notifications/elicitation/complete").collect();
    match (cell.client.is_modern(), cell.server.is_modern) {
        (true, _) => assert!(done.is_empty(), "the modern era has no such notification: {done:?}"),
        // The server says nothing of the end; whether the gateway does is its own affair.
        (false, true) => {}
        (false, false) => {
            assert_eq!(done.len(), 1, "{:?}", talk.told);
            assert_eq!(done[0]["params"]["elicitationId"], params["elicitationId"]);
        }
    }
    CARRIED.to_owned()
}

fn sampling_params() -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": "Say so." } });
    json!({ "messages": [message], "maxTokens": 10 })
}

async fn sampling(cell: &Cell) -> String {
    let talk = play(cell, json!([ask("said", "sampling/createMessage", sampling_params())])).await;
    let Some(asked) = question(cell, &talk, "sampling/createMessage") else { return refused(&talk.last) };
    assert_eq!(asked["params"]["messages"], sampling_params()["messages"]);
    assert_eq!(asked["params"]["maxTokens"], 10);
    assert_eq!(heard(&talk)["said"]["content"]["text"], "The model says so.");
    CARRIED.to_owned()
}

async fn roots(cell: &Cell) -> String {
    let talk = play(cell, json!([ask("roots", "roots/list", json!({}))])).await;
    if question(cell, &talk, "roots/list").is_none() {
        return refused(&talk.last);
    }
    assert_eq!(heard(&talk)["roots"]["roots"], json!([{ "uri": "file:///home/ada", "name": "home" }]));
    CARRIED.to_owned()
}

async fn together(cell: &Cell) -> String {
    let talk = play(
        cell,
        json!([
            ask("who", "elicitation/create", form_params()),
            ask("said", "sampling/createMessage", sampling_params()),
            ask("roots", "roots/list", json!({}))
        ]),
    )
    .await;
    if talk.asked.is_empty() {
        return refused(&talk.last);
    }
    let mut methods: Vec<_> = talk.asked.iter().filter_map(|asked| asked["method"].as_str()).collect();
    methods.sort_unstable();
    assert_eq!(methods, ["elicitation/create", "roots/list", "sampling/createMessage"]);
    let heard = heard(&talk);
    assert_eq!(heard["who"]["content"]["name"], "Ada", "{heard}");
    assert_eq!(heard["said"]["content"]["text"], "The model says so.", "{heard}");
    assert_eq!(heard["roots"]["roots"][0]["name"], "home", "{heard}");
    CARRIED.to_owned()
}

/// Nothing on stdio says which caller is meant, so that nobody is asked, and the child is told of nothing that it could ask.
async fn shared_child(cell: &Cell) -> String {
    let talk = play(cell, json!([ask("who", "elicitation/create", form_params())])).await;
    assert!(talk.asked.is_empty(), "a shared child has asked: {:?}", talk.asked);
    let offered = cell.seen().await["offered"].clone();
    for capability in ["elicitation", "sampling", "roots"] {
        assert!(offered.get(capability).is_none(), "{offered}");
    }
    if talk.last.response["result"].is_object() && !talk.last.is_error() {
        // It was turned down, and went on without.
        let heard = heard(&talk);
        return format!("refused: the server is told {}", heard["who"]["code"]);
    }
    refused(&talk.last)
}

fn of<'a>(answer: &'a Exchange, method: &str) -> Vec<&'a Value> {
    answer.before.iter().filter(|message| message["method"] == method).map(|message| &message["params"]).collect()
}

async fn progress(cell: &Cell) -> String {
    let params = json!({
        "name": "play", "arguments": { "steps": [{ "progress": 3 }] }, "_meta": { "progressToken": "mine" }
    });
    let answer = cell.client.request("tools/call", params).await;
    let steps = of(&answer, "notifications/progress");
    let expected =
        |step| json!({ "progressToken": "mine", "progress": step, "total": 3, "message": format!("step {step}") });
    let seen: Vec<Value> = steps
        .into_iter()
        .map(|step| {
            let mut step = step.clone();
            step.as_object_mut().unwrap().remove("_meta");
            step
        })
        .collect();
    assert_eq!(seen, (1..=3).map(expected).collect::<Vec<_>>(), "{:?}", answer.before);
    assert_eq!(answer.text(), "{}");
    // Who gives no token hears of no progress.
    let silent = cell.client.call("play", json!({ "steps": [{ "progress": 3 }] })).await;
    assert!(silent.before.is_empty(), "{:?}", silent.before);
    CARRIED.to_owned()
}

async fn log(cell: &Cell) -> String {
    let log = |level: &str, data: &str| json!({ "log": { "level": level, "data": data } });
    let mut params = json!({ "name": "play", "arguments": { "steps": [log("info", "quiet"), log("error", "loud")] } });
    if cell.client.is_modern() {
        params["_meta"] = json!({ META_LOG_LEVEL: "warning" });
    } else {
        cell.client.request("logging/setLevel", json!({ "level": "warning" })).await.result();
    }
    let answer = cell.client.request("tools/call", params).await;
    assert_eq!(answer.text(), "{}");
    match &of(&answer, "notifications/message")[..] {
        [] if cell.server.is_child => "refused: nothing on stdio says which call a message belongs to".to_owned(),
        [one] => {
            assert_eq!((&one["level"], &one["data"]), (&json!("error"), &json!("loud")));
            let logger = one["logger"].as_str().unwrap_or_default();
            assert!(logger.starts_with(cell.server.name) && logger.ends_with("scripted"), "{one}");
            CARRIED.to_owned()
        }
        other => panic!("expected the loud one alone: {other:?}"),
    }
}

async fn cancel(cell: &Cell) -> String {
    let cancelled = || async { cell.seen().await["cancelled"].as_array().unwrap().len() };
    let before = cancelled().await;
    let ask = cell.client.ask_as(r#""mine""#, "tools/call", json!({ "name": "hang", "arguments": {} }));
    let address = cell.client.address;
    let call = tokio::spawn(async move { ask.send(address).await.bytes().await });
    wait_until("the call runs", || async { cell.seen().await["calls"]["hang"] == 1 }).await;
    if cell.client.is_modern() {
        call.abort();
    } else {
        let note = cell.client.notification("notifications/cancelled", json!({ "requestId": "mine" }));
        assert_eq!(note.send(address).await.status, 202);
        let answer = call.await.unwrap().unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains("jsonrpc"), "a cancelled call was answered: {answer:?}");
    }
    wait_until("the server hears of it", || async { cancelled().await == before + 1 }).await;
    CARRIED.to_owned()
}

/// The stream of what happens beside calls: the session's own, or one that listens to this.
async fn stream(cell: &Cell, filter: Value) -> Stream {
    if !cell.client.is_modern() {
        let mut ask: Ask = cell.client.post_in_era("").without("Content-Type").with("Accept", "text/event-stream");
        ask.method = http::Method::GET;
        let reply = ask.send(cell.client.address).await;
        assert_eq!(reply.status, 200, "the stream of a legacy session");
        return Stream { events: reply.events(), id: Value::Null };
    }
    let ask = cell.client.ask_as(r#""listen""#, "subscriptions/listen", json!({ "notifications": filter }));
    let reply = ask.send(cell.client.address).await;
    if reply.kind() != "text/event-stream" {
        panic!("no stream: {}", reply.text().await);
    }
    let mut stream = Stream { events: reply.events(), id: json!("listen") };
    let first = stream.next().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!(first["params"]["notifications"], filter, "{first}");
    stream
}

struct Stream {
    events: patchbay_e2e::Events,
    /// What each message names in the modern era.
    id: Value,
}

impl Stream {
    async fn next(&mut self) -> Value {
        let message = loop {
            match self.events.next().await {
                Ok(Some(Event::Comment(_))) => {}
                Ok(Some(event)) => break event.json(),
                end => panic!("the stream ended: {end:?}"),
            }
        };
        let named = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*named, self.id, "{message}");
        message
    }
}

async fn list_changed(cell: &Cell) -> String {
    let mut stream = stream(cell, json!({ "toolsListChanged": true })).await;
    let before = cell.client.tools().await.len();
    assert!(cell.client.call("grow", json!({})).await.text().starts_with("grown_"));
    let told = stream.next().await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert_eq!(cell.client.tools().await.len(), before + 1, "who was told finds the new list");
    CARRIED.to_owned()
}

/// Whether somebody watches the resource at the server.
async fn is_watched(cell: &Cell) -> bool {
    let seen = cell.seen().await;
    let listening = seen["listening"].as_array().unwrap().iter();
    let mut filters = listening.map(|filter| &filter["resourceSubscriptions"]).chain([&seen["watched"]]);
    filters.any(|uris| uris.as_array().is_some_and(|uris| uris.contains(&json!(WATCHED))))
}

async fn watch(cell: &Cell) -> Stream {
    let stream = stream(cell, json!({ "resourceSubscriptions": [WATCHED] })).await;
    if !cell.client.is_modern() {
        cell.client.request("resources/subscribe", json!({ "uri": WATCHED })).await.result();
    }
    wait_until("the server is asked to tell", || is_watched(cell)).await;
    stream
}

async fn unwatch(cell: &Cell, stream: Stream) {
    if !cell.client.is_modern() {
        cell.client.request("resources/unsubscribe", json!({ "uri": WATCHED })).await.result();
    }
    drop(stream);
    wait_until("the server need not tell any more", || async { !is_watched(cell).await }).await;
}

async fn update(cell: &Cell) -> String {
    let mut stream = watch(cell).await;
    assert_eq!(play(cell, json!([{ "updated": WATCHED }])).await.last.text(), "{}");
    loop {
        let told = stream.next().await;
        // The session's stream tells of changed lists too.
        if told["method"] == "notifications/resources/updated" {
            assert_eq!(told["params"]["uri"], WATCHED, "{told}");
            break;
        }
        assert!(!cell.client.is_modern(), "it did not ask for {told}");
    }
    unwatch(cell, stream).await;
    CARRIED.to_owned()
}

async fn subscribe(cell: &Cell) -> String {
    // The resource is asked for once, however many watch it, and until the last does not.
    let (first, second) = (watch(cell).await, watch(cell).await);
    drop(second);
    assert!(is_watched(cell).await);
    unwatch(cell, first).await;
    CARRIED.to_owned()
}

async fn roots_changed(cell: &Cell) -> String {
    let name = "notifications/roots/list_changed";
    if cell.client.is_modern() {
        return "not in this era".to_owned();
    }
    cell.client.call("play", json!({ "steps": [] })).await.result();
    assert_eq!(cell.client.notification(name, json!({})).send(cell.client.address).await.status, 202);
    if cell.server.is_modern {
        return "not in this era".to_owned();
    }
    wait_until("the server hears that roots have changed", || async {
        cell.seen().await["heard"].as_array().unwrap().iter().any(|heard| heard["method"] == name)
    })
    .await;
    CARRIED.to_owned()
}

async fn codes(cell: &Cell) -> String {
    for (code, expected) in [(-32602, -32602), (-32603, -32603), (-32011, -32011), (42, 42)] {
        let error = json!({ "error": { "code": code, "message": "in my words", "data": { "kept": [1] } } });
        let answer = cell.client.call("play", json!({ "steps": [error] })).await;
        assert_eq!(answer.code(), expected, "{}", answer.raw);
        assert_eq!(answer.response["error"]["message"], "in my words");
        assert_eq!(answer.response["error"]["data"], json!({ "kept": [1] }));
    }
    let missing = cell.client.request("resources/read", json!({ "uri": "scripted://missing" })).await;
    assert_eq!(missing.code(), if cell.client.is_modern() { -32602 } else { -32002 }, "{}", missing.raw);
    CARRIED.to_owned()
}

async fn structured(cell: &Cell) -> String {
    let mut result = json!({ "content": [{ "type": "text", "text": "[1,2]" }], "structuredContent": [1, 2] });
    if cell.server.is_modern {
        result["resultType"] = json!("complete");
    }
    let answer = cell.client.call("play", json!({ "steps": [{ "result": result }] })).await;
    assert_eq!(answer.text(), "[1,2]");
    if cell.client.is_modern() {
        assert_eq!(answer.result()["structuredContent"], json!([1, 2]));
        return CARRIED.to_owned();
    }
    assert!(answer.result().get("structuredContent").is_none(), "{}", answer.raw);
    "left out; the text stays".to_owned()
}

//! Streams of changes over a gateway without listeners: who hears of what, who is ended, what is watched, what a slow reader costs.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Mutex};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use patchbay_core::{
    Generation, ServerId, TenantId,
    era::Era,
    model::{Access, Secrets, ServerRow, TenantLimits, TenantRow, ToolsetSpec},
    snapshot::{self, CatalogPart},
};
use patchbay_downstream::{CallCx, Downstream, DownstreamError, Event, Fault, Health, Hello, Outgoing, Reply};
use patchbay_token::Issuers;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    listening::Said,
    post::{END, MORE, News},
    *,
};
use crate::{
    audit::now_ms,
    auth::{
        sign_in::SignIn,
        tests::house::{House, bearer, strings},
    },
    control::inside::ServerInside,
    tenancy::{Made, ServerHandle, Source, TenantState},
};

/// A server that only remembers what it is to watch.
#[derive(Default)]
struct Deaf {
    watched: Mutex<Vec<BTreeSet<Arc<str>>>>,
}

impl Deaf {
    fn watched(&self) -> Vec<Vec<String>> {
        let all = self.watched.lock().unwrap();
        all.iter().map(|set| set.iter().map(ToString::to_string).collect()).collect()
    }
}

impl Downstream for Deaf {
    fn hello(&self, _: tokio::time::Instant) -> BoxFuture<'_, Result<Arc<Hello>, DownstreamError>> {
        async { Err(DownstreamError::not_sent(Fault::Closed, "deaf")) }.boxed()
    }

    fn call(&self, _: CallCx, _: Outgoing) -> BoxFuture<'_, Result<Reply, DownstreamError>> {
        async { Err(DownstreamError::not_sent(Fault::Closed, "deaf")) }.boxed()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        broadcast::channel(1).1
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn watch(&self, uris: Arc<BTreeSet<Arc<str>>>) {
        self.watched.lock().unwrap().push((*uris).clone());
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// A tenant with the server `shop`, whose tools and resources can be changed, and the toolsets `default` (both credentials) and
/// `quiet`, which has no server.
struct World {
    house: House,
    row: TenantRow,
    key: String,
    tools: Vec<&'static str>,
    resources: Vec<&'static str>,
    handle: Arc<ServerHandle>,
    shop: Arc<Deaf>,
}

impl World {
    async fn new() -> Self {
        Self::named(House::with(|config| config.limits.streams_per_principal = 3).await, "acme")
    }

    fn named(house: House, slug: &str) -> Self {
        let spec = json!({ "transport": { "kind": "http", "url": "https://shop.example/mcp" }, "classes": { "read": ["get"] } });
        let server = ServerRow {
            id: ServerId::random(),
            slug: "shop".parse().unwrap(),
            spec: serde_json::from_value(spec).unwrap(),
            secrets: Secrets::default(),
        };
        let both = ToolsetSpec { access: Access::Both, ..ToolsetSpec::default() };
        let quiet = ToolsetSpec { servers: Some(Vec::new()), ..ToolsetSpec::default() };
        let row = TenantRow {
            id: TenantId::random(),
            slug: slug.parse().unwrap(),
            title: None,
            enabled: true,
            generation: Generation(1),
            limits: TenantLimits::default(),
            audit: Default::default(),
            servers: vec![server],
            toolsets: vec![("default".parse().unwrap(), both), ("quiet".parse().unwrap(), quiet)],
            issuers: vec![crate::auth::tests::house::issuer("corp", crate::auth::tests::house::ISS)],
        };
        let (key, _) = house.key(row.id);
        let shop = Arc::new(Deaf::default());
        let handle = handle(&house, &row, shop.clone());
        let world = Self {
            house,
            row,
            key,
            tools: vec!["get", "put"],
            resources: vec!["file:///a", "file:///b"],
            handle,
            shop,
        };
        world.publish();
        world
    }

    /// Puts the tenant in force as it is now, as `control` does.
    fn publish(&self) {
        let app = &self.house.app;
        let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } }).to_string();
        let resource = |uri: &&str| json!({ "uri": uri, "name": uri }).to_string();
        let part = CatalogPart {
            era: Era::Legacy,
            tools: self.tools.iter().map(tool).collect(),
            prompts: Vec::new(),
            resources: self.resources.iter().map(resource).collect(),
            templates: Vec::new(),
            skills: Default::default(),
            capabilities: "{}".to_owned(),
            instructions: None,
            stale: false,
            fresh_until_ms: None,
        };
        let before = app.tenants.state(self.row.slug.as_str());
        let issuers = before.as_ref().map(|state| &*state.issuers);
        let options =
            snapshot::BuildOptions { limits: app.config.limits.tenants.clone(), ..snapshot::BuildOptions::default() };
        app.tenants.publish(TenantState {
            snapshot: snapshot::build(&self.row, &BTreeMap::from([(self.handle.id, part)]), &options).unwrap(),
            servers: vec![self.handle.clone()],
            issuers: Issuers::new(&self.row.issuers, &[], issuers, self.house.issuer.clone()),
            sign_in: Arc::new(SignIn::of(&self.row.issuers)),
            meter: app.metrics.tenant(self.row.slug.as_str()),
            made: Made { row: Arc::new(self.row.clone()), at_ms: now_ms(), source: Source::Store },
        });
        Hub::published(app, self.row.id, &self.row.slug);
    }

    /// Opens a stream with this credential.
    async fn open_as(&self, credential: &str, toolset: &str, wanted: Wanted) -> Result<Listening, GatewayError> {
        let door = self.house.door(self.row.slug.as_str(), Some(toolset));
        let principal = self.house.identify(&door, &bearer(credential)).await.unwrap();
        let tenant = door.enter(&principal, None)?;
        Hub::open(&self.house.app, &tenant, &principal, wanted, Voice::Legacy).map(|(listening, _)| listening)
    }

    async fn open(&self, toolset: &str, lists: u8, uris: &[&str]) -> Listening {
        let uris = uris.iter().map(|uri| (*uri).into()).collect();
        self.open_as(&self.key, toolset, Wanted { lists, uris, ..Wanted::default() }).await.unwrap()
    }

    fn updated(&self, uri: &str) {
        self.house.app.hub.updated(self.row.id, self.handle.id, uri);
    }
}

fn handle(house: &House, row: &TenantRow, downstream: Arc<Deaf>) -> Arc<ServerHandle> {
    let server = &row.servers[0];
    Arc::new(ServerHandle {
        id: server.id,
        slug: server.slug.clone(),
        downstream,
        meter: house.app.metrics.server(row.slug.as_str(), server.slug.as_str()),
        inside: ServerInside::new(server, None).0,
    })
}

const ALL: u8 = TOOLS | PROMPTS | RESOURCES;

/// What is there to be told now: methods, and URIs where there are some. `None` at the end.
fn told(listening: &mut Listening) -> Vec<Option<String>> {
    let mut all = Vec::new();
    while let Some(said) = listening.next().now_or_never() {
        let Some(said) = said else {
            all.push(None);
            break;
        };
        let Said::Message(message) = said else { continue };
        let message: Value = serde_json::from_slice(&message).unwrap();
        let method = message["method"].as_str().unwrap().trim_start_matches("notifications/").to_owned();
        let uri = message["params"]["uri"].as_str().map(|uri| format!(" {uri}")).unwrap_or_default();
        all.push(Some(method + &uri));
    }
    all
}

fn said(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

/// Until changes that were gathered are told.
async fn gathered() {
    tokio::time::sleep(GATHER * 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_ends_its_streams_at_once_and_nobody_elses() {
    let mut world = World::new().await;
    let mut mine = world.open("default", ALL, &[]).await;
    let other = World::named(House::new().await, "other");
    let mut theirs = other.open("default", ALL, &[]).await;
    world.house.app.keys.replace(world.row.id, &[]);
    world.tools.push("more");
    world.publish();
    assert_eq!(told(&mut mine), [None], "and of what changed it hears nothing more");
    assert_eq!(told(&mut theirs), []);
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_way_in_loses_the_stream() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 4] = [
        ("the tenant is switched off", |world| world.row.enabled = false),
        ("the toolset is gone", |world| world.row.toolsets.retain(|(slug, _)| slug.as_str() != "default")),
        ("the toolset takes tokens alone", |world| world.row.toolsets[0].1.access = Access::Oauth),
        ("the tenant is gone", |world| world.house.app.hub.gone(world.row.id)),
    ];
    for (what, change) in changes {
        let mut world = World::new().await;
        let mut stream = world.open("default", ALL, &[]).await;
        change(&mut world);
        world.publish();
        assert_eq!(told(&mut stream), [None], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_may_have_been_revoked_ends_its_stream_and_a_group_that_is_asked_for_too() {
    let mut world = World::new().await;
    let token = world.house.issuer.token(&json!({ "sub": "ada", "groups": ["dev"] }));
    let wanted = || Wanted { lists: ALL, ..Wanted::default() };
    let mut stream = world.open_as(&token, "default", wanted()).await.unwrap();
    world.publish();
    assert_eq!(told(&mut stream), [], "nothing changed for it");
    world.row.toolsets[0].1.rules.groups = strings(&["ops"]);
    world.publish();
    assert_eq!(told(&mut stream), [None]);
    world.row.toolsets[0].1.rules.groups = strings(&["dev"]);
    world.publish();
    let mut stream = world.open_as(&token, "default", wanted()).await.unwrap();
    world.row.issuers[0].spec.audiences = strings(&["elsewhere"]);
    world.publish();
    assert_eq!(told(&mut stream), [None], "its issuer is another one now");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_life_or_its_token() {
    let world = World::new().await;
    let mut stream = world.open("default", ALL, &[]).await;
    assert_eq!(stream.next().await, Some(Said::Alive), "silence is broken");
    tokio::time::advance(world.house.app.config.limits.stream_life).await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn one_stream_too_many_is_refused_and_a_closed_one_makes_room() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(world.open("default", ALL, &[]).await);
    }
    let wanted = || Wanted { lists: ALL, ..Wanted::default() };
    let refused = world.open_as(&world.key, "default", wanted()).await.err().unwrap();
    assert!(matches!(&refused, GatewayError::Limited { limit, .. } if **limit == *CROWDED), "{refused:?}");
    open.pop();
    world.open_as(&world.key, "default", wanted()).await.unwrap();
    world.house.app.hub.end_all();
    assert_eq!(told(&mut open[0]), [None]);
    drop(open);
    assert!(world.house.app.hub.by_principal.is_empty());
    let refused = world.open_as(&world.key, "default", wanted()).await.err().unwrap();
    assert!(matches!(refused, GatewayError::Overloaded(_)), "a gateway that stops opens none: {refused:?}");
}

#[tokio::test(start_paused = true)]
async fn only_streams_hear_whose_view_of_the_lists_changed_and_only_what_they_asked_for() {
    let mut world = World::new().await;
    world.row.toolsets[0].1.rules.write_groups = strings(&["ops"]);
    world.publish();
    gathered().await;
    let token = world.house.issuer.token(&json!({ "sub": "ada" }));
    let mut reading = world.open_as(&token, "default", Wanted { lists: ALL, ..Wanted::default() }).await.unwrap();
    let mut whole = world.open("default", ALL, &[]).await;
    let mut elsewhere = world.open("quiet", ALL, &[]).await;
    // A tool that writes is not there for who only reads.
    world.tools.push("write");
    world.publish();
    assert_eq!(told(&mut whole), [], "changes are gathered");
    gathered().await;
    assert_eq!(told(&mut whole), said(&["tools/list_changed"]));
    assert_eq!((told(&mut reading), told(&mut elsewhere)), (vec![], vec![]));

    drop(elsewhere);
    let mut deaf = world.open("default", PROMPTS, &[]).await;
    world.resources.push("file:///c");
    world.publish();
    gathered().await;
    assert_eq!(
        (told(&mut whole), told(&mut reading)),
        (said(&["resources/list_changed"]), said(&["resources/list_changed"]))
    );
    assert_eq!(told(&mut deaf), []);
    // What is there again before anybody was told was never gone.
    world.tools.pop();
    world.publish();
    world.tools.push("write");
    world.publish();
    gathered().await;
    assert_eq!(told(&mut whole), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_costs_no_more_than_what_it_listens_for() {
    let mut world = World::new().await;
    let mut slow = world.open("default", ALL, &["file:///a", "file:///b", "file:///not-listed"]).await;
    for turn in 0..5_000 {
        world.updated("file:///a");
        world.updated(&format!("file:///a/{turn}"));
        world.updated("file:///b");
        world.updated("file:///not-watched");
    }
    for name in ["x1", "x2", "x3"] {
        world.tools.push(name);
        world.publish();
        gathered().await;
    }
    let told = told(&mut slow);
    assert_eq!(
        told[..3],
        said(&["tools/list_changed", "resources/updated file:///a", "resources/updated file:///a/0"])
    );
    assert!(told.len() <= 2 * SUBSCRIPTIONS_MAX + 2, "{}", told.len());
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_watched_once_for_all_streams_and_not_at_all_without_one() {
    let mut world = World::new().await;
    let (mut one, two) =
        (world.open("default", 0, &["file:///a"]).await, world.open("default", 0, &["file:///a"]).await);
    let mut other = world.open("default", ALL, &[]).await;
    assert_eq!(world.shop.watched(), [["file:///a"]]);
    world.updated("file:///a");
    assert_eq!(told(&mut one), said(&["resources/updated file:///a"]));
    assert_eq!(told(&mut other), []);
    drop(two);
    gathered().await;
    assert_eq!(world.shop.watched().len(), 1, "somebody listens still");

    // A new connection is told anew, and has missed what there was to hear.
    let again = Arc::new(Deaf::default());
    world.handle = handle(&world.house, &world.row, again.clone());
    world.publish();
    gathered().await;
    assert_eq!(again.watched(), [["file:///a"]]);
    assert_eq!(told(&mut one), said(&["resources/updated file:///a"]));
    world.house.app.hub.all_updated(world.row.id, world.handle.id);
    assert_eq!(told(&mut one), said(&["resources/updated file:///a"]));
    drop((one, other));
    gathered().await;
    assert_eq!(again.watched(), [vec!["file:///a".to_owned()], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_one_stream_keeps_the_newest_and_comes_back_to_what_it_missed() {
    let mut world = World::new().await;
    let client = Some([9; 16]);
    let wanted = |since| Wanted { lists: ALL, client, uris: vec!["file:///a".into()], since };
    let mut first = world.open_as(&world.key, "default", wanted(None)).await.unwrap();
    let seen = first.told();
    let mut second = world.open_as(&world.key, "default", wanted(None)).await.unwrap();
    assert_eq!((told(&mut first), told(&mut second)), (vec![None], vec![]));
    drop((first, second));
    world.tools.push("more");
    world.publish();
    gathered().await;
    let mut third = world.open_as(&world.key, "default", wanted(Some(seen))).await.unwrap();
    assert_eq!(told(&mut third), said(&["tools/list_changed", "resources/updated file:///a"]));
    // While it is open, wishes of the client reach it.
    let app = &world.house.app;
    Hub::wish(app, world.row.id, [9; 16], &"file:///b".into(), true);
    Hub::wish(app, world.row.id, [9; 16], &"file:///a".into(), false);
    world.updated("file:///a");
    world.updated("file:///b");
    assert_eq!(told(&mut third), said(&["resources/updated file:///b"]));
    app.hub.end_client(world.row.id, [9; 16]);
    assert_eq!(told(&mut third), [None]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_streams_hear_of_one_change() {
    let mut world = World::named(House::with(|config| config.limits.streams_per_principal = 20_000).await, "acme");
    let mut streams = Vec::new();
    for _ in 0..10_000 {
        streams.push(world.open("default", TOOLS, &[]).await);
    }
    world.tools.push("more");
    world.publish();
    gathered().await;
    assert!(streams.iter_mut().all(|stream| told(stream) == said(&["tools/list_changed"])));
    drop(streams);
    assert_eq!(world.house.app.hub.open.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_modern_stream_carries_its_id_and_ends_with_its_response() {
    let world = World::new().await;
    let door = world.house.door("acme", None);
    let principal = world.house.identify(&door, &bearer(&world.key)).await.unwrap();
    let tenant = door.enter(&principal, None).unwrap();
    let uris = vec!["file:///a".into(), "file:///a".into(), "file:///of-nobody".into()];
    let wanted = Wanted { lists: TOOLS, uris, ..Wanted::default() };
    let voice = Voice::Modern { id: Bytes::from_static(b"\"7\"") };
    let (mut stream, accepted) = Hub::open(&world.house.app, &tenant, &principal, wanted, voice).unwrap();
    assert_eq!(accepted.iter().map(|uri| &**uri).collect::<Vec<_>>(), ["file:///a", "file:///a"]);
    world.updated("file:///a");
    stream.fed_by(async |teller, _| {
        teller.task("sealed-1".into(), Bytes::from_static(br#""status":"submitted""#));
        teller.task("sealed-1".into(), Bytes::from_static(br#""status":"working""#));
    });
    let mut next = || match stream.next().now_or_never() {
        Some(Some(Said::Message(message))) => serde_json::from_slice::<Value>(&message).unwrap(),
        other => panic!("{other:?}"),
    };
    let meta = json!({ "io.modelcontextprotocol/subscriptionId": "7" });
    assert_eq!(next()["params"], json!({ "uri": "file:///a", "_meta": meta }));
    let news = next();
    assert_eq!(news["method"], "notifications/tasks");
    assert_eq!(news["params"], json!({ "taskId": "sealed-1", "status": "working", "_meta": meta }));
    world.house.app.hub.end_all();
    let last = next();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!("7"), &json!("complete")));
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "7");
    assert_eq!(last["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "patchbay");
    assert_eq!(stream.next().now_or_never(), Some(None));
}

#[tokio::test]
async fn a_post_wakes_once_for_what_it_holds_already() {
    let world = World::new().await;
    let stream = world.open("default", TOOLS, &[]).await;
    let room = world.house.app.hub.room(world.row.id).unwrap();
    let post = room.posts().pop().unwrap();
    let waker = futures_util::task::noop_waker();
    assert_eq!(post.take(&waker), 0);
    post.updated("file:///x".into());
    post.updated("file:///x".into());
    let mut todo = post.take(&waker);
    assert_eq!(todo, MORE);
    assert_eq!(post.next(&mut todo), Some(News::Resource("file:///x".into())));
    assert_eq!((post.next(&mut todo), todo), (None, 0));
    post.end();
    assert_eq!(post.take(&waker), END);
    drop(stream);
}

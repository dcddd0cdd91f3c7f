//! Who may enter is in force whatever becomes of the rest: of the snapshot, of the store, of the tenant.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use patchbay_core::{
    Generation, RevocationId, Slug,
    issuer::{IssuerDoc, RevocationRow, Revoked},
    model::{Access, PrefixMode, ServerDoc, TenantDoc, TenantLimits, ToolsetSpec},
};
use patchbay_downstream::http::oauth::{StoredToken, TokenVault};
use patchbay_store::Note;
use patchbay_token::{TokenError, Wanted};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::{
    builtins::Checks,
    copies::Copies,
    entrance::Entrance,
    tenant::{News, TenantTask},
    vault::StoreVault,
};
use crate::{
    audit::now_ms,
    auth::tests::house::{House, ISS, issuer},
    worker::Workers,
};

const RESOURCE: &str = "https://tools.example/t/acme/mcp";

fn slug() -> Slug {
    "acme".parse().unwrap()
}

/// A tenant that people sign in to. With two servers and no prefixes no snapshot can be built.
fn doc(servers: &[&str]) -> TenantDoc {
    let server = |name: &&str| {
        let spec = json!({ "transport": { "kind": "stdio", "command": "none" } });
        let spec = serde_json::from_value(spec).unwrap();
        (name.parse().unwrap(), ServerDoc { spec, secrets: BTreeMap::new() })
    };
    let toolset = ToolsetSpec { access: Access::Oauth, prefix: PrefixMode::Never, ..ToolsetSpec::default() };
    TenantDoc {
        slug: slug(),
        title: None,
        enabled: true,
        servers: servers.iter().map(server).collect(),
        toolsets: [("default".parse().unwrap(), toolset)].into(),
        issuers: [("corp".parse().unwrap(), IssuerDoc { spec: issuer("corp", ISS).spec, secrets: BTreeMap::new() })]
            .into(),
        limits: TenantLimits::default(),
        audit: Default::default(),
    }
}

/// Puts a state of the tenant into the store.
async fn apply(house: &House, doc: &TenantDoc) -> Generation {
    house.app.store.tenant_apply(doc, None, &Note::by_operator("a test", now_ms())).await.unwrap().generation
}

async fn revoke(house: &House, subject: &str) {
    let row = house.app.store.tenant_load(&slug()).await.unwrap().unwrap();
    let revoked = RevocationRow {
        id: RevocationId::random(),
        tenant: row.id,
        what: Revoked::Subject { issuer: ISS.to_owned(), subject: subject.to_owned() },
        reason: None,
        created_ms: now_ms(),
        expires_ms: None,
    };
    house.app.store.revocation_add(&revoked, &Note::by_operator("a test", now_ms())).await.unwrap();
}

/// Whether the issuers in force take a token of that subject; `None` where no tenant is.
async fn takes(house: &House, subject: &str) -> Option<bool> {
    let state = house.app.tenants.state("acme")?;
    let token = house.issuer.token(&json!({ "sub": subject }));
    let judged = state.issuers.verify(&token, Wanted { resource: RESOURCE }, now_ms()).await;
    Some(judged.is_ok())
}

struct Task {
    sender: mpsc::Sender<News>,
    gone: Arc<AtomicBool>,
    running: tokio::task::JoinHandle<()>,
}

impl Task {
    fn begin(house: &House) -> Self {
        let workers = Arc::new(Workers::start(1).unwrap());
        let (sender, task) = TenantTask::new(house.app.clone(), workers, Checks::new(), slug());
        Self { sender, gone: task.gone(), running: tokio::spawn(task.run()) }
    }

    async fn reload(&self) {
        let (told, in_force) = oneshot::channel();
        self.sender.send(News::Reload(Some(told))).await.unwrap();
        in_force.await.unwrap();
    }

    /// Lets go of the tenant, and waits until its task has ended.
    async fn end(self) {
        drop(self.sender);
        self.running.await.unwrap();
    }
}

#[tokio::test]
async fn a_revocation_counts_also_while_no_snapshot_can_be_built() {
    let house = House::new().await;
    let first = apply(&house, &doc(&["a"])).await;
    let task = Task::begin(&house);
    task.reload().await;
    assert_eq!((takes(&house, "ann").await, takes(&house, "bob").await), (Some(true), Some(true)));
    apply(&house, &doc(&["a", "b"])).await;
    revoke(&house, "ann").await;
    task.reload().await;
    let generation = house.app.tenants.state("acme").unwrap().snapshot.generation;
    assert_eq!(generation, first, "the last good snapshot stays");
    assert_eq!((takes(&house, "ann").await, takes(&house, "bob").await), (Some(false), Some(true)));
    task.end().await;
}

#[tokio::test]
async fn a_tenant_that_was_let_go_does_not_come_back_with_its_last_news() {
    let house = House::new().await;
    apply(&house, &doc(&["a"])).await;
    let task = Task::begin(&house);
    let (told, in_force) = oneshot::channel();
    task.sender.try_send(News::Reload(Some(told))).unwrap_or_else(|_| panic!("the inbox is empty"));
    // Let go before its news are heard.
    task.end().await;
    in_force.await.unwrap();
    assert_eq!(takes(&house, "ann").await, None);
}

/// A house that keeps last good copies.
async fn with_copies() -> (House, Arc<Copies>) {
    let mut house = House::new().await;
    let app = Arc::get_mut(&mut house.app).unwrap();
    let copies = Copies::new(&app.config.data_dir, app.sealer.clone(), Duration::from_secs(3600));
    let copies = Arc::new(copies);
    app.copies = Some(copies.clone());
    (house, copies)
}

#[tokio::test]
async fn a_tenant_is_served_from_its_last_good_copy_until_the_store_is_heard() {
    let (house, copies) = with_copies().await;
    let first = apply(&house, &doc(&["a"])).await;
    revoke(&house, "bob").await;
    let task = Task::begin(&house);
    task.reload().await;
    // What is still to be written is written when the gateway ends.
    task.end().await;
    house.app.tenants.remove(&slug());
    revoke(&house, "ann").await;
    assert_eq!(takes(&house, "ann").await, None);

    let task = Task::begin(&house);
    let copy = copies.found(now_ms()).await.copies.pop().unwrap();
    assert!(copy.row.generation > first);
    let (told, in_force) = oneshot::channel();
    task.sender.send(News::Copy(Box::new(copy), told)).await.unwrap();
    in_force.await.unwrap();
    assert_eq!((takes(&house, "ann").await, takes(&house, "bob").await), (Some(true), Some(false)));
    assert!(copies.age(now_ms()) > Duration::ZERO);
    let age =
        house.app.render_metrics().lines().find_map(|line| {
            line.strip_prefix("patchbay_snapshot_age_seconds ").map(|age| age.parse::<f64>().unwrap())
        });
    assert!(age > Some(0.0), "{age:?}");

    task.reload().await;
    assert_eq!(takes(&house, "ann").await, Some(false), "the store knows more");
    assert!(
        copies.age(now_ms()).is_zero() && house.app.render_metrics().contains("\npatchbay_snapshot_age_seconds 0\n")
    );
    task.end().await;
    let copy = copies.found(now_ms()).await.copies.pop().unwrap();
    assert_eq!(copy.revoked.len(), 2, "the copy is what the store said last");
}

#[tokio::test]
async fn a_copy_from_before_a_restart_gives_way_also_to_the_same_state() {
    let (house, copies) = with_copies().await;
    apply(&house, &doc(&["a"])).await;
    let task = Task::begin(&house);
    task.reload().await;
    task.end().await;
    let task = Task::begin(&house);
    let copy = copies.found(now_ms()).await.copies.pop().unwrap();
    let (told, in_force) = oneshot::channel();
    task.sender.send(News::Copy(Box::new(copy), told)).await.unwrap();
    in_force.await.unwrap();
    let before = house.app.tenants.state("acme").unwrap();
    task.reload().await;
    let after = house.app.tenants.state("acme").unwrap();
    assert_eq!(before.snapshot.generation, after.snapshot.generation);
    assert!(!Arc::ptr_eq(&before, &after) && copies.age(now_ms()).is_zero());
    task.end().await;
}

#[tokio::test]
async fn nothing_is_kept_of_what_cannot_be_built_and_of_a_tenant_that_was_deleted() {
    let (house, copies) = with_copies().await;
    let first = apply(&house, &doc(&["a"])).await;
    let task = Task::begin(&house);
    task.reload().await;
    task.end().await;
    let task = Task::begin(&house);
    apply(&house, &doc(&["a", "b"])).await;
    task.reload().await;
    task.end().await;
    let copy = copies.found(now_ms()).await.copies.pop().unwrap();
    assert_eq!(copy.row.generation, first, "the last good one stays");
    let task = Task::begin(&house);
    apply(&house, &doc(&["b"])).await;
    task.reload().await;
    task.gone.store(true, Ordering::Release);
    copies.forget(&slug());
    task.end().await;
    while !copies.found(now_ms()).await.copies.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_was() {
    let house = House::new().await;
    apply(&house, &doc(&["a"])).await;
    revoke(&house, "ann").await;
    let row = house.app.store.tenant_load(&slug()).await.unwrap().unwrap();
    let mut entrance = Entrance::closed(&house.app);
    assert!(entrance.read(&house.app, &row).await);
    let before = entrance.issuers.epoch();
    house.app.store.close().await;
    assert!(!entrance.read(&house.app, &row).await, "it has to be read again");
    assert_eq!(entrance.issuers.epoch(), before);
    let token = house.issuer.token(&json!({ "sub": "ann" }));
    let judged = entrance.issuers.verify(&token, Wanted { resource: RESOURCE }, now_ms()).await;
    assert!(matches!(judged, Err(TokenError::Refused(patchbay_token::Reason::Revoked))), "{judged:?}");
}

#[tokio::test]
async fn until_it_is_known_what_was_revoked_no_token_opens_anything() {
    let house = House::new().await;
    apply(&house, &doc(&["a"])).await;
    let row = house.app.store.tenant_load(&slug()).await.unwrap().unwrap();
    house.app.store.close().await;
    let mut entrance = Entrance::closed(&house.app);
    assert!(!entrance.read(&house.app, &row).await);
    assert!(entrance.issuers.is_empty() && !entrance.sign_in.is_empty());
}

#[tokio::test]
async fn replicas_share_a_servers_token_and_one_at_a_time_may_get_another() {
    let house = House::new().await;
    apply(&house, &doc(&["a", "b"])).await;
    let row = house.app.store.tenant_load(&slug()).await.unwrap().unwrap();
    let [one, two] = [0, 1].map(|_| StoreVault::new(house.app.store.clone(), row.id, row.servers[0].id));
    let soon_ms = now_ms() + 60_000;
    assert!(one.lease(1, soon_ms).await.unwrap() && !two.lease(2, soon_ms).await.unwrap());
    let token = StoredToken { secret: "s3cret".into(), expires_ms: soon_ms };
    one.save(&token).await.unwrap();
    let found = two.load().await.unwrap().unwrap();
    assert_eq!((found.secret.expose_secret(), found.expires_ms), ("s3cret", soon_ms));
    assert!(two.lease(2, soon_ms).await.unwrap(), "saving ends the lease");
    let other = StoreVault::new(house.app.store.clone(), row.id, row.servers[1].id);
    assert!(other.load().await.unwrap().is_none());
    let newer = StoredToken { secret: "newer".into(), ..token.clone() };
    two.save(&newer).await.unwrap();
    one.forget(&token).await.unwrap();
    assert!(one.load().await.unwrap().is_some(), "the newer one stays");
    one.forget(&newer).await.unwrap();
    assert!(two.load().await.unwrap().is_none());
    house.app.store.close().await;
    let error = one.load().await.unwrap_err();
    assert!(!error.is_empty() && !error.contains("s3cret"), "{error}");
}

//! Tenants: what is refused, what comes back, and what counts as a change.

use std::sync::Arc;

use patchbay_core::{
    Generation,
    access::{AccessRules, ScopeRules},
    issuer::{
        Algorithm, ClaimNames, ClientAuth, INTROSPECTION_SECRET, Introspection, IssuerDoc, IssuerSpec, Registration,
    },
    model::{
        Access, EraPin, Overflow, PrefixMode, ServerDoc, Sharing, TenantDoc, TenantLimits, TenantRow, ToolRules,
        ToolsetSpec, Transport,
    },
};
use patchbay_store::{Store, StoreError, Vault};
use secrecy::SecretString;
use serde_json::json;

use crate::{
    place::{KEY, Place},
    samples::{builtin, http, issuer, note, slug, tenant, trusting, with},
};

pub(crate) const TOKEN: &str = "Bearer canary-5f2a9e";

pub(crate) async fn load(store: &Arc<dyn Store>, name: &str) -> TenantRow {
    store.tenant_load(&slug(name)).await.unwrap().unwrap()
}

pub(crate) fn acme_with_token(value: Option<&str>) -> TenantDoc {
    with(tenant("acme"), "web", http("https://example.com/mcp", &[("header:Authorization", value)]))
}

pub(crate) async fn unknown_tenant_is_none_and_cannot_be_deleted(place: Arc<Place>) {
    let store = place.open().await;
    assert!(store.tenant_load(&slug("acme")).await.unwrap().is_none());
    assert!(!store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
    assert_eq!(store.tenant_list().await.unwrap(), []);
    store.ping().await.unwrap();
}

pub(crate) async fn secret_to_keep_that_was_never_given_is_refused_and_nothing_is_written(place: Arc<Place>) {
    let store = place.open().await;
    let Err(StoreError::NotFound(text)) = store.tenant_apply(&acme_with_token(None), None, &note()).await else {
        panic!("a secret was made up")
    };
    assert!(text.contains("`header:Authorization`") && text.contains("`web`") && text.contains("`acme`"), "{text}");
    assert_eq!(store.tenant_list().await.unwrap(), []);

    store.tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap();
    let other = with(acme_with_token(None), "web-2", http("https://example.com/2", &[("header:X-Key", None)]));
    assert!(matches!(store.tenant_apply(&other, None, &note()).await, Err(StoreError::NotFound(_))));
    let row = load(&store, "acme").await;
    assert_eq!((row.generation, row.servers.len()), (Generation(1), 1));
}

pub(crate) async fn stale_generation_is_a_conflict(place: Arc<Place>) {
    let store = place.open().await;
    let missing = store.tenant_apply(&tenant("acme"), Some(Generation(3)), &note()).await;
    assert!(
        matches!(missing, Err(StoreError::Conflict { expected: Generation(3), found: Generation(0) })),
        "{missing:?}"
    );

    let made = store.tenant_apply(&tenant("acme"), Some(Generation(0)), &note()).await.unwrap();
    assert_eq!((made.generation, made.changed), (Generation(1), true));
    for stale in [0, 2] {
        let doc = with(tenant("acme"), "web", http("https://example.com/mcp", &[]));
        let refused = store.tenant_apply(&doc, Some(Generation(stale)), &note()).await;
        assert!(matches!(refused, Err(StoreError::Conflict { found: Generation(1), .. })), "{refused:?}");
    }
    assert!(load(&store, "acme").await.servers.is_empty());
    let doc = with(tenant("acme"), "web", http("https://example.com/mcp", &[]));
    assert_eq!(store.tenant_apply(&doc, Some(Generation(1)), &note()).await.unwrap().generation, Generation(2));
}

pub(crate) async fn wrong_vault_key_is_said_and_fresh_values_are_the_way_out(place: Arc<Place>) {
    place.open().await.tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap();

    for (vault, said) in
        [(Vault::new(1, [8; 32]), "not the one that sealed it"), (Vault::new(2, [8; 32]), "sealed with key 1")]
    {
        let store = place.open_with(vault).await;
        let Err(StoreError::Sealed(text)) = store.tenant_load(&slug("acme")).await else { panic!("it opened") };
        assert!(text.contains(said) && text.contains("`header:Authorization`"), "{text}");
        assert!(matches!(store.tenant_apply(&acme_with_token(None), None, &note()).await, Err(StoreError::Sealed(_))));
    }

    let store = place.open_with(Vault::new(2, [8; 32])).await;
    assert!(store.tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap().changed);
    assert_eq!(load(&store, "acme").await.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
    let both = place.open_with(Vault::new(1, KEY).with_former(2, [8; 32])).await;
    assert_eq!(load(&both, "acme").await.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
}

pub(crate) async fn secrets_are_sealed_at_rest(place: Arc<Place>) {
    let store = place.open().await;
    let mut doc = acme_with_token(Some(TOKEN));
    doc.title = Some("visible-title".to_owned());
    let doc = trusting(doc, "idp", issuer("https://idp.example", &[(INTROSPECTION_SECRET, Some(TOKEN))]));
    store.tenant_apply(&doc, None, &note()).await.unwrap();
    store.close().await;
    let dump = place.dump().await;
    let holds = |text: &str| dump.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        holds("visible-title") && holds("header:Authorization") && holds(INTROSPECTION_SECRET),
        "the dump does not show what is stored"
    );
    assert!(!holds(TOKEN) && !holds("canary"), "the secret lies open");
}

pub(crate) async fn applied_tenant_comes_back_whole(place: Arc<Place>) {
    let store = place.open().await;
    let doc = everything();
    let applied = store.tenant_apply(&doc, None, &note()).await.unwrap();
    assert_eq!((applied.generation, applied.changed), (Generation(1), true));

    let row = load(&store, "acme").await;
    assert_eq!((row.id, row.generation, row.enabled), (applied.id, Generation(1), false));
    assert_eq!((&row.title, &row.limits), (&doc.title, &doc.limits));
    let names: Vec<&str> = row.servers.iter().map(|server| server.slug.as_str()).collect();
    assert_eq!(names, ["child", "db", "web"]);
    for server in &row.servers {
        let wanted = &doc.servers[&server.slug];
        assert_eq!(server.spec, wanted.spec);
        assert_eq!(server.secrets.0.len(), wanted.secrets.len());
    }
    assert_eq!(row.servers[2].secrets.reveal("header:Authorization"), Some(TOKEN));
    assert_eq!(row.servers[0].secrets.reveal("env:TOKEN"), Some("ä\u{0}ö"));
    let toolsets: Vec<&str> = row.toolsets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(toolsets, ["default", "readers"]);
    assert_eq!(row.toolsets[0].1, ToolsetSpec::default());
    assert_eq!(row.toolsets[1].1, doc.toolsets[&slug("readers")]);
    let issuers: Vec<&str> = row.issuers.iter().map(|issuer| issuer.slug.as_str()).collect();
    assert_eq!(issuers, ["entra", "keycloak"]);
    for issuer in &row.issuers {
        assert_eq!(issuer.spec, doc.issuers[&issuer.slug].spec);
    }
    assert_eq!(row.issuers[1].secrets.reveal(INTROSPECTION_SECRET), Some(TOKEN));
    assert!(row.issuers[0].secrets.0.is_empty());

    let listed = store.tenant_list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].title, listed[0].enabled), (row.id, &row.title, false));
}

/// A tenant that uses all that a tenant file can say, with values that databases like to change.
fn everything() -> TenantDoc {
    let odd = json!({"z": 1e16, "a": 0.1, "third": 1.0 / 3.0, "nul": "a\u{0}b", "deep": [{"b": null}, 12345678901234567890_u64]});
    let doc = with(acme_with_token(Some(TOKEN)), "db", builtin(odd));
    let mut doc = with(doc, "child", child());
    doc.title = Some("Ácme \"&\" Co".to_owned());
    doc.enabled = false;
    doc.limits = TenantLimits {
        principal_per_second: Some(5),
        principal_burst: None,
        principal_concurrency: Some(9),
        ..TenantLimits::default()
    };
    let readers = ToolsetSpec {
        rules: AccessRules {
            groups: vec!["dev".to_owned()],
            write_groups: vec!["ops".to_owned()],
            scopes: ScopeRules { enter: vec!["mcp".to_owned()], ..ScopeRules::default() },
        },
        servers: Some(vec![slug("db")]),
        access: Access::Anonymous,
        prefix: PrefixMode::Never,
        tools: ToolRules { allow: vec!["db/*".to_owned()], ..ToolRules::default() },
        tools_max: Some(3),
        overflow: Overflow::Refuse,
        keep_first: vec!["db/query".to_owned()],
    };
    doc.toolsets.insert(slug("readers"), readers);
    let doc = trusting(doc, "keycloak", keycloak());
    trusting(doc, "entra", issuer("https://login.example/v2.0", &[]))
}

/// An issuer of which everything is said.
fn keycloak() -> IssuerDoc {
    let spec = IssuerSpec {
        issuer: "https://idp.example/realms/ä".to_owned(),
        metadata_url: Some("https://idp.example/metadata".to_owned()),
        jwks_url: Some("https://idp.example/jwks".to_owned()),
        audiences: vec!["api".to_owned()],
        algorithms: vec![Algorithm::EdDSA, Algorithm::RS256],
        token_types: vec!["jwt".to_owned()],
        claims: ClaimNames { groups: "realm_access.roles".to_owned(), ..ClaimNames::default() },
        scope_implies: [("admin".to_owned(), vec!["read".to_owned()])].into(),
        scopes_required: vec!["mcp".to_owned()],
        introspection: Some(Introspection {
            url: None,
            client_id: "patchbay".to_owned(),
            auth: ClientAuth::PrivateKeyJwt,
            cache_s: 60,
        }),
        registration: Registration {
            client_id: Some("ide".to_owned()),
            callback_port: Some(33418),
            ..Default::default()
        },
    };
    IssuerDoc { spec, secrets: [(INTROSPECTION_SECRET.to_owned(), Some(TOKEN.into()))].into() }
}

fn child() -> ServerDoc {
    let mut server = http("unused", &[]);
    server.spec.transport = Transport::Stdio {
        command: "npx".to_owned(),
        args: vec!["-y".to_owned(), "server".to_owned()],
        env: vec!["TOKEN".to_owned()],
        cwd: Some("/srv".to_owned()),
        sharing: Sharing::Session,
        era: EraPin::Legacy,
    };
    server.spec.tools.rename.insert("a".to_owned(), "b".to_owned());
    server.spec.idempotent_tools = vec!["read".to_owned()];
    server.secrets.insert("env:TOKEN".to_owned(), Some(SecretString::from("ä\u{0}ö")));
    server
}

pub(crate) async fn same_file_twice_changes_nothing(place: Arc<Place>) {
    let store = place.open().await;
    let first = store.tenant_apply(&everything(), None, &note()).await.unwrap();
    let second = store.tenant_apply(&everything(), Some(first.generation), &note()).await.unwrap();
    assert_eq!((second.id, second.generation, second.changed), (first.id, Generation(1), false));
}

pub(crate) async fn every_difference_adds_one_to_the_generation(place: Arc<Place>) {
    let store = place.open().await;
    let mut doc = everything();
    store.tenant_apply(&doc, None, &note()).await.unwrap();
    let edits: [fn(&mut TenantDoc); 14] = [
        |doc| doc.title = None,
        |doc| doc.enabled = true,
        |doc| doc.limits.principal_burst = Some(1),
        |doc| doc.servers.get_mut("web").unwrap().spec.enabled = false,
        |doc| drop(doc.servers.get_mut("child").unwrap().secrets.insert("env:TOKEN".to_owned(), Some("new".into()))),
        |doc| drop(doc.servers.get_mut("child").unwrap().secrets.remove("env:TOKEN")),
        |doc| drop(doc.servers.remove("db")),
        |doc| doc.toolsets.get_mut("readers").unwrap().tools_max = None,
        |doc| drop(doc.toolsets.remove("readers")),
        |doc| doc.issuers.get_mut("keycloak").unwrap().spec.introspection = None,
        |doc| {
            drop(
                doc.issuers
                    .get_mut("keycloak")
                    .unwrap()
                    .secrets
                    .insert(INTROSPECTION_SECRET.to_owned(), Some("new".into())),
            )
        },
        |doc| doc.issuers.get_mut("keycloak").unwrap().secrets.clear(),
        |doc| drop(doc.issuers.insert(slug("third"), issuer("https://third.example", &[]))),
        |doc| drop(doc.issuers.remove("keycloak")),
    ];
    for (edit, before) in edits.into_iter().zip(1..) {
        edit(&mut doc);
        let applied = store.tenant_apply(&doc, Some(Generation(before)), &note()).await.unwrap();
        assert_eq!((applied.changed, applied.generation), (true, Generation(before + 1)), "edit {before}");
        assert!(!store.tenant_apply(&doc, None, &note()).await.unwrap().changed, "edit {before}");
    }
    let row = load(&store, "acme").await;
    assert_eq!((row.servers.len(), row.toolsets.len(), row.issuers.len()), (2, 1, 2));
}

pub(crate) async fn server_keeps_its_id_while_its_name_stays(place: Arc<Place>) {
    let store = place.open().await;
    let id = async |name: &str| {
        let row = load(&store, "acme").await;
        row.servers.into_iter().find(|server| server.slug.as_str() == name).unwrap().id
    };
    store.tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap();
    let first = id("web").await;
    let moved = with(tenant("acme"), "web", http("https://elsewhere.example/mcp", &[]));
    store.tenant_apply(&moved, None, &note()).await.unwrap();
    assert_eq!(id("web").await, first);

    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    store.tenant_apply(&moved, None, &note()).await.unwrap();
    assert_ne!(id("web").await, first);
}

pub(crate) async fn kept_secrets_stay_and_unnamed_ones_go(place: Arc<Place>) {
    let store = place.open().await;
    let doc = |secrets: &[(&str, Option<&str>)]| with(tenant("acme"), "web", http("https://example.com/mcp", secrets));
    store.tenant_apply(&doc(&[("header:A", Some("1")), ("header:B", Some("2"))]), None, &note()).await.unwrap();
    let kept = store.tenant_apply(&doc(&[("header:A", None), ("header:B", Some("2"))]), None, &note()).await.unwrap();
    assert!(!kept.changed);

    store.tenant_apply(&doc(&[("header:A", None), ("header:B", Some("3"))]), None, &note()).await.unwrap();
    let secrets = load(&store, "acme").await.servers.remove(0).secrets;
    assert_eq!((secrets.reveal("header:A"), secrets.reveal("header:B")), (Some("1"), Some("3")));

    store.tenant_apply(&doc(&[("header:B", None)]), None, &note()).await.unwrap();
    let secrets = load(&store, "acme").await.servers.remove(0).secrets;
    assert_eq!((secrets.reveal("header:A"), secrets.reveal("header:B")), (None, Some("3")));
}

pub(crate) async fn unreadable_spec_is_said_and_replaced_by_the_next_file(place: Arc<Place>) {
    let store = place.open().await;
    store.tenant_apply(&acme_with_token(Some(TOKEN)), None, &note()).await.unwrap();
    place.run("UPDATE servers SET spec = '{\"transport\":{\"kind\":\"telepathy\"}}'").await;
    let Err(StoreError::Corrupt(text)) = store.tenant_load(&slug("acme")).await else { panic!("it was understood") };
    assert!(text.contains("server `web` of tenant `acme`"), "{text}");
    assert!(store.tenant_apply(&acme_with_token(None), None, &note()).await.unwrap().changed);
    assert_eq!(load(&store, "acme").await.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
}

//! Issuers: what is refused, what comes back, what counts as a change, and that nothing sealed can be moved.

use std::sync::Arc;

use patchbay_core::{Generation, issuer::INTROSPECTION_SECRET, model::TenantDoc};
use patchbay_store::{StoreError, Vault};

use crate::{
    place::Place,
    samples::{http, issuer, note, server_token, slug, tenant, trusting, with},
    tenants::{TOKEN, load},
};

const IDP: &str = "https://idp.example";

/// A tenant with an issuer whose introspection has a secret.
fn acme(value: Option<&str>) -> TenantDoc {
    trusting(tenant("acme"), "idp", issuer(IDP, &[(INTROSPECTION_SECRET, value)]))
}

pub(crate) async fn issuer_secret_to_keep_that_was_never_given_is_refused_and_nothing_is_written(place: Arc<Place>) {
    let store = place.open().await;
    let Err(StoreError::NotFound(text)) = store.tenant_apply(&acme(None), None, &note()).await else {
        panic!("a secret was made up")
    };
    assert!(text.contains("`introspection:client_secret` of issuer `idp` of tenant `acme`"), "{text}");
    assert_eq!(store.tenant_list().await.unwrap(), []);

    // The secret of another issuer, or of one that went, is no secret of this one.
    store.tenant_apply(&acme(Some(TOKEN)), None, &note()).await.unwrap();
    let other = trusting(tenant("acme"), "other", issuer(IDP, &[(INTROSPECTION_SECRET, None)]));
    assert!(matches!(store.tenant_apply(&other, None, &note()).await, Err(StoreError::NotFound(_))));
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    assert!(matches!(store.tenant_apply(&acme(None), None, &note()).await, Err(StoreError::NotFound(_))));
    assert_eq!(load(&store, "acme").await.generation, Generation(2));
}

pub(crate) async fn kept_issuer_secret_stays_and_an_unnamed_one_goes(place: Arc<Place>) {
    let store = place.open().await;
    store.tenant_apply(&acme(Some(TOKEN)), None, &note()).await.unwrap();
    assert!(!store.tenant_apply(&acme(None), None, &note()).await.unwrap().changed);
    assert!(!store.tenant_apply(&acme(Some(TOKEN)), None, &note()).await.unwrap().changed);

    let mut elsewhere = acme(None);
    elsewhere.issuers.get_mut("idp").unwrap().spec.audiences = vec!["api".to_owned()];
    assert!(store.tenant_apply(&elsewhere, None, &note()).await.unwrap().changed);
    let row = load(&store, "acme").await.issuers.remove(0);
    assert_eq!((row.secrets.reveal(INTROSPECTION_SECRET), row.spec.audiences.len()), (Some(TOKEN), 1));

    store.tenant_apply(&trusting(tenant("acme"), "idp", issuer(IDP, &[])), None, &note()).await.unwrap();
    assert!(load(&store, "acme").await.issuers[0].secrets.0.is_empty());
    assert_eq!(place.count("issuer_secrets").await, 0);
}

pub(crate) async fn wrong_vault_key_is_said_of_issuers_too(place: Arc<Place>) {
    place.open().await.tenant_apply(&acme(Some(TOKEN)), None, &note()).await.unwrap();
    let store = place.open_with(Vault::new(2, [8; 32])).await;
    let Err(StoreError::Sealed(text)) = store.tenant_load(&slug("acme")).await else { panic!("it opened") };
    assert!(text.contains("`introspection:client_secret` of issuer `idp`") && text.contains("key 1"), "{text}");
    assert!(matches!(store.tenant_apply(&acme(None), None, &note()).await, Err(StoreError::Sealed(_))));
    assert!(store.tenant_apply(&acme(Some("fresh")), None, &note()).await.unwrap().changed);
    assert_eq!(load(&store, "acme").await.issuers[0].secrets.reveal(INTROSPECTION_SECRET), Some("fresh"));
}

pub(crate) async fn unreadable_issuer_is_said_and_replaced_by_the_next_file(place: Arc<Place>) {
    let store = place.open().await;
    store.tenant_apply(&acme(Some(TOKEN)), None, &note()).await.unwrap();
    place.run("UPDATE issuers SET spec = '{}'").await;
    let Err(StoreError::Corrupt(text)) = store.tenant_load(&slug("acme")).await else { panic!("it was understood") };
    assert!(text.contains("issuer `idp` of tenant `acme`"), "{text}");
    assert!(store.tenant_apply(&acme(None), None, &note()).await.unwrap().changed);
    assert_eq!(load(&store, "acme").await.issuers[0].secrets.reveal(INTROSPECTION_SECRET), Some(TOKEN));
}

pub(crate) async fn nothing_sealed_opens_where_it_was_moved_to(place: Arc<Place>) {
    let store = place.open().await;
    let two = trusting(acme(Some("one")), "other", issuer(IDP, &[(INTROSPECTION_SECRET, Some("two"))]));
    // The same name everywhere: only whose it is keeps them apart.
    let doc = with(two, "web", http("https://example.com/mcp", &[(INTROSPECTION_SECRET, Some("three"))]));
    let id = store.tenant_apply(&doc, None, &note()).await.unwrap().id;
    let server = load(&store, "acme").await.servers[0].id;
    store.server_token_save(id, server, &server_token("four", 9)).await.unwrap();

    place.run("UPDATE server_tokens SET sealed = (SELECT sealed FROM secrets)").await;
    assert!(store.server_token_load(id, server).await.unwrap().is_none());
    for (moved, said) in [
        ("UPDATE issuer_secrets SET sealed = (SELECT sealed FROM secrets)", "of issuer `idp`"),
        ("UPDATE issuer_secrets SET sealed = (SELECT sealed FROM server_tokens)", "of issuer `idp`"),
        ("UPDATE secrets SET sealed = (SELECT sealed FROM server_tokens)", "of server `web`"),
        ("UPDATE secrets SET sealed = (SELECT sealed FROM issuer_secrets WHERE issuer = 'idp')", "of server `web`"),
        (
            "UPDATE issuer_secrets SET sealed = (SELECT sealed FROM issuer_secrets WHERE issuer = 'idp') \
             WHERE issuer = 'other'",
            "of issuer `other`",
        ),
    ] {
        store.tenant_delete(&slug("acme"), None, &note()).await.unwrap();
        let id = store.tenant_apply(&doc, None, &note()).await.unwrap().id;
        let server = load(&store, "acme").await.servers[0].id;
        store.server_token_save(id, server, &server_token("four", 9)).await.unwrap();
        place.run(moved).await;
        let Err(StoreError::Sealed(text)) = store.tenant_load(&slug("acme")).await else { panic!("{moved}") };
        assert!(text.contains(said), "{moved}: {text}");
    }
}

pub(crate) async fn tenants_do_not_share_issuers(place: Arc<Place>) {
    let store = place.open().await;
    store.tenant_apply(&acme(Some("one")), None, &note()).await.unwrap();
    let mut other = acme(Some("two"));
    other.slug = slug("other");
    store.tenant_apply(&other, None, &note()).await.unwrap();
    let secret =
        async |name| load(&store, name).await.issuers[0].secrets.reveal(INTROSPECTION_SECRET).map(str::to_owned);
    assert_eq!((secret("acme").await.as_deref(), secret("other").await.as_deref()), (Some("one"), Some("two")));

    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    assert!(load(&store, "acme").await.issuers.is_empty());
    assert_eq!(secret("other").await.as_deref(), Some("two"));
    store.tenant_apply(&acme(Some("one")), None, &note()).await.unwrap();
    place
        .run(
            "UPDATE issuer_secrets SET sealed = (SELECT sealed FROM issuer_secrets JOIN tenants ON id = tenant_id \
             WHERE slug = 'other')",
        )
        .await;
    assert!(matches!(store.tenant_load(&slug("acme")).await, Err(StoreError::Sealed(_))), "it has the other's secret");
    assert_eq!(secret("other").await.as_deref(), Some("two"));
}

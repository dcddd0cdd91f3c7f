//! The gateway's own tokens at servers: kept sealed, forgotten, and leased to one holder at a time.

use std::sync::Arc;

use patchbay_core::{
    Generation, ServerId, TenantId,
    issuer::ClientAuth,
    model::{ServerDoc, ServerOauth, TenantDoc, Transport},
};
use patchbay_store::{Store, StoreError, Vault};
use secrecy::ExposeSecret;

use crate::{
    place::Place,
    samples::{http, note, server_token, tenant, with},
    tenants::{TOKEN, load},
};

const URL: &str = "https://example.com/mcp";

/// A server where the gateway signs in with this secret.
fn signed_in(secret: Option<&str>) -> ServerDoc {
    let mut server = http(URL, &[(ServerOauth::SECRET, secret), ("header:X-Key", Some("x"))]);
    *oauth(&mut server) = Some(ServerOauth {
        client_id: "patchbay".to_owned(),
        auth: ClientAuth::Basic,
        algorithm: None,
        key_id: None,
        issuer: None,
        resource: None,
        scopes: vec!["read".to_owned()],
    });
    server
}

fn oauth(server: &mut ServerDoc) -> &mut Option<ServerOauth> {
    let Transport::Http { oauth, .. } = &mut server.spec.transport else { panic!("not http") };
    oauth
}

fn doc(name: &str) -> TenantDoc {
    with(tenant(name), "web", signed_in(Some("s")))
}

async fn made(store: &Arc<dyn Store>, name: &str) -> (TenantId, ServerId) {
    let id = store.tenant_apply(&doc(name), None, &note()).await.unwrap().id;
    (id, load(store, name).await.servers[0].id)
}

/// The token of a server in the clear, and its end.
async fn held(store: &Arc<dyn Store>, tenant: TenantId, server: ServerId) -> Option<(String, i64)> {
    let token = store.server_token_load(tenant, server).await.unwrap()?;
    Some((token.secret.expose_secret().to_owned(), token.expires_ms))
}

pub(crate) async fn token_of_a_foreign_server_is_neither_given_nor_taken(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    let (other, _) = made(&store, "other").await;
    let token = server_token(TOKEN, 9);
    store.server_token_save(acme, server, &token).await.unwrap();
    for (tenant, server) in [(other, server), (acme, ServerId::random()), (TenantId::random(), server)] {
        let refused = [
            store.server_token_save(tenant, server, &server_token("theirs", 10)).await,
            store.server_token_lease(tenant, server, 1, 0, 10).await.map(drop),
        ];
        assert!(refused.iter().all(|refused| matches!(refused, Err(StoreError::NotFound(_)))), "{refused:?}");
        assert_eq!(held(&store, tenant, server).await, None);
        store.server_token_forget(tenant, server, &token).await.unwrap();
    }
    assert_eq!(held(&store, acme, server).await, Some((TOKEN.to_owned(), 9)));
    assert!(store.server_token_lease(acme, server, 2, 0, 10).await.unwrap(), "the foreign lease left no trace");
}

pub(crate) async fn token_is_sealed_and_one_that_stays_closed_is_none(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    let token = server_token(TOKEN, 9);
    store.server_token_save(acme, server, &token).await.unwrap();
    assert!(!format!("{token:?}").contains("canary"));
    store.close().await;
    let dump = place.dump().await;
    assert!(!dump.windows(6).any(|window| window == b"canary"), "the token lies open");

    let stranger = place.open_with(Vault::new(2, [8; 32])).await;
    assert_eq!(held(&stranger, acme, server).await, None);
    stranger.server_token_forget(acme, server, &token).await.unwrap();
    let store = place.open().await;
    assert_eq!(held(&store, acme, server).await, Some((TOKEN.to_owned(), 9)), "a stranger forgets nothing");
    stranger.server_token_save(acme, server, &server_token("new", 10)).await.unwrap();
    assert_eq!(held(&stranger, acme, server).await, Some(("new".to_owned(), 10)));

    place.run("UPDATE server_tokens SET sealed = (SELECT sealed FROM secrets LIMIT 1)").await;
    assert_eq!(held(&store, acme, server).await, None);
}

pub(crate) async fn token_is_replaced_and_only_the_same_one_is_forgotten(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    assert_eq!(held(&store, acme, server).await, None);
    store.server_token_forget(acme, server, &server_token("a", 9)).await.unwrap();
    for (text, expires_ms) in [("a", 9), ("ä\u{0}", i64::MAX), ("b", -1)] {
        store.server_token_save(acme, server, &server_token(text, expires_ms)).await.unwrap();
        assert_eq!(held(&store, acme, server).await, Some((text.to_owned(), expires_ms)));
    }
    for other in [server_token("a", -1), server_token("b", 9)] {
        store.server_token_forget(acme, server, &other).await.unwrap();
        assert!(held(&store, acme, server).await.is_some());
    }
    assert!(store.server_token_lease(acme, server, 1, 0, 10).await.unwrap());
    store.server_token_forget(acme, server, &server_token("b", -1)).await.unwrap();
    assert_eq!(held(&store, acme, server).await, None);
    assert!(!store.server_token_lease(acme, server, 2, 0, 10).await.unwrap(), "forgetting ends no lease");
    assert_eq!(load(&store, "acme").await.generation, Generation(1), "none of it is a change of the tenant");
}

pub(crate) async fn one_of_many_holders_gets_the_lease(place: Arc<Place>) {
    let handles = [place.open().await, place.open().await];
    let (acme, server) = made(&handles[0], "acme").await;
    for round in 0..10 {
        let now_ms = round * 100;
        let holders: Vec<_> = (0..8)
            .map(|number| {
                let store = Arc::clone(&handles[number % 2]);
                // The largest numbers too, which no database has as they are.
                let holder = u64::MAX - number as u64;
                tokio::spawn(async move {
                    store
                        .server_token_lease(acme, server, holder, now_ms, now_ms + 100)
                        .await
                        .unwrap()
                        .then_some(holder)
                })
            })
            .collect();
        let mut taken = Vec::new();
        for holder in holders {
            taken.extend(holder.await.unwrap());
        }
        assert_eq!(taken.len(), 1, "round {round}: {taken:?}");
        let again = handles[1].server_token_lease(acme, server, taken[0], now_ms, now_ms + 100).await.unwrap();
        assert!(again, "the holder may take it again");
    }
}

pub(crate) async fn lease_ends_by_time_or_by_a_new_token(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    let lease = async |holder, now_ms, until_ms| {
        store.server_token_lease(acme, server, holder, now_ms, until_ms).await.unwrap()
    };
    assert!(lease(1, 0, 100).await);
    assert!(!lease(2, 99, 200).await);
    assert!(lease(1, 99, 150).await, "the holder makes it longer");
    assert!(!lease(2, 149, 200).await);
    assert!(lease(2, 150, 200).await);
    assert!(!lease(1, 150, 200).await);

    store.server_token_save(acme, server, &server_token(TOKEN, 9)).await.unwrap();
    assert!(lease(1, 150, 200).await, "the token is there, so nobody is getting one");
    assert_eq!(held(&store, acme, server).await, Some((TOKEN.to_owned(), 9)), "a lease leaves the token");
}

pub(crate) async fn token_goes_when_the_server_or_the_identity_there_is_another_one(place: Arc<Place>) {
    let store = place.open().await;
    let (acme, server) = made(&store, "acme").await;
    type Edit = (&'static str, fn(&mut ServerDoc));
    let harmless: [Edit; 4] = [
        ("nothing", |_| {}),
        ("a setting", |web| web.spec.instructions = true),
        ("the same secret", |web| drop(web.secrets.insert(ServerOauth::SECRET.to_owned(), None))),
        ("another header", |web| drop(web.secrets.insert("header:X-Key".to_owned(), Some("y".into())))),
    ];
    let others: [Edit; 4] = [
        ("the secret", |web| drop(web.secrets.insert(ServerOauth::SECRET.to_owned(), Some("new".into())))),
        ("the scopes", |web| oauth(web).as_mut().unwrap().scopes.clear()),
        ("the sign-in", |web| *oauth(web) = None),
        ("the address", |web| web.spec = http("https://elsewhere.example/mcp", &[]).spec),
    ];
    let all = harmless.into_iter().map(|edit| (edit, true)).chain(others.into_iter().map(|edit| (edit, false)));
    for ((what, edit), stays) in all {
        store.tenant_apply(&doc("acme"), None, &note()).await.unwrap();
        store.server_token_save(acme, server, &server_token(TOKEN, 9)).await.unwrap();
        let mut edited = doc("acme");
        edit(edited.servers.get_mut("web").unwrap());
        store.tenant_apply(&edited, None, &note()).await.unwrap();
        assert_eq!(held(&store, acme, server).await.is_some(), stays, "{what}");
    }

    store.server_token_save(acme, server, &server_token(TOKEN, 9)).await.unwrap();
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    assert_eq!(place.count("server_tokens").await, 0, "it goes with its server");
    let late = store.server_token_save(acme, server, &server_token(TOKEN, 9)).await;
    assert!(matches!(late, Err(StoreError::NotFound(_))), "{late:?}");
}

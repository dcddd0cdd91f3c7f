//! A store that an older Patchbay made comes along with all that it holds.

use std::sync::Arc;

use patchbay_core::{Generation, KeyId, ServerId, TenantId, model::ToolsetSpec};
use patchbay_store::{AuditFilter, AuditRow, Tombstone};

use crate::{
    place::Place,
    samples::{http, issuer, loose, note, revocation, server_token, slug, trusting},
    tenants::{TOKEN, acme_with_token, load},
};

/// `TOKEN` as the first Patchbay sealed it, with the key of the stories, for the tenant and the server below.
const SEALED: &str = "01c8a5a69b149f50296ea94bd49a55dd892978b72090a599728fe467546a7e7b3006895edaa592b52b0630b2f135716b6132193a97e93b623e534c2f28";
const TENANT: u128 = 0x1111_1111_1111_1111_1111_1111_1111_1111;
const SERVER: u128 = 0x2222_2222_2222_2222_2222_2222_2222_2222;
/// An event of the year 2001; what the others' bits say is far in the future.
const PAST: u128 = 0x00ff_0000_0000_7000_8000_0000_0000_0000;
const KEY: u128 = 0x3333_3333_3333_3333_3333_3333_3333_3333;

const ROWS: &str = r#"
INSERT INTO generations (slug, generation, live) VALUES ('acme', 7, true), ('gone', 3, false);
INSERT INTO tenants (id, slug, title, enabled, limits) VALUES (TENANT, 'acme', 'Acme', true,
    '{"principal_per_second":5,"principal_burst":null,"principal_concurrency":null}');
INSERT INTO servers (id, tenant_id, slug, spec) VALUES (SERVER, TENANT, 'web',
    '{"transport":{"kind":"http","url":"https://example.com/mcp","headers":["Authorization"],"sharing":"shared","era":"auto"},"enabled":true,"prefix":null,"tools":{"allow":[],"deny":[],"rename":{},"describe":{}},"call_timeout_s":null,"concurrency_max":null,"idempotent_tools":[],"instructions":false}');
INSERT INTO secrets (server_id, name, sealed) VALUES (SERVER, 'header:Authorization', SEALED);
INSERT INTO toolsets (tenant_id, slug, spec) VALUES (TENANT, 'default',
    '{"servers":null,"access":"key","prefix":"always","tools":{"allow":[],"deny":[],"rename":{},"describe":{}},"tools_max":null,"overflow":"drop","keep_first":[]}');
INSERT INTO api_keys (id, tenant_id, label, shown, digest, toolsets, created_ms, expires_ms, revoked_ms, used_ms)
    VALUES (KEY, TENANT, 'laptop', 'pb_abcd', DIGEST, '["default"]', 1, NULL, NULL, 5);
INSERT INTO catalogs (server_id, bytes) VALUES (SERVER, DIGEST);
INSERT INTO tombstones (tenant_id, digest, expires_ms) VALUES (TENANT, DIGEST, 100);
INSERT INTO audit (event_id, tenant_id, at_ms, kind, json) VALUES (KEY, TENANT, 1, 'call', '{}'), (SERVER, NULL, 2, 'call', '{}'),
    (PAST, TENANT, 3, 'call', '{}');
"#;

/// The rows that the first Patchbay would have written.
async fn fill(place: &Place) {
    place.make_first_tables().await;
    let id = |bits: u128| place.bytes(&format!("{bits:032x}"));
    let rows = ROWS
        .replace("(TENANT", &format!("({}", id(TENANT)))
        .replace(" TENANT", &format!(" {}", id(TENANT)))
        .replace("(SERVER", &format!("({}", id(SERVER)))
        .replace("(KEY", &format!("({}", id(KEY)))
        .replace("(PAST", &format!("({}", id(PAST)))
        .replace("SEALED)", &format!("{})", place.bytes(SEALED)))
        .replace("DIGEST", &place.bytes(&"44".repeat(32)));
    place.run(rows).await;
}

pub(crate) async fn store_of_the_first_version_comes_along_with_all_that_it_holds(place: Arc<Place>) {
    fill(&place).await;
    let store = place.open().await;
    let (tenant, server) = (TenantId::from_bits(TENANT), ServerId::from_bits(SERVER));

    let row = load(&store, "acme").await;
    assert_eq!((row.id, row.generation, row.title.as_deref()), (tenant, Generation(7), Some("Acme")));
    assert_eq!((row.servers[0].id, row.limits.principal_per_second), (server, Some(5)));
    assert_eq!(row.servers[0].spec, http("https://example.com/mcp", &[("header:Authorization", None)]).spec);
    assert_eq!(row.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
    assert_eq!(row.toolsets, [(slug("default"), ToolsetSpec::default())]);
    assert!(row.issuers.is_empty());
    let key = store.key_list(tenant).await.unwrap().remove(0);
    assert_eq!((key.id, key.digest, key.used_ms), (KeyId::from_bits(KEY), [0x44; 32], Some(5)));
    assert_eq!(store.catalog_list(tenant).await.unwrap(), [(server, vec![0x44; 32])]);
    let stone = Tombstone { tenant, digest: [0x44; 32], expires_ms: 100 };
    assert_eq!(store.tombstone_list(0).await.unwrap(), [stone]);
    let event = |id, tenant, at_ms| AuditRow { json: "{}".to_owned(), ..loose(id, tenant, at_ms) };
    let events = [event(KEY, Some(tenant), 1), event(SERVER, None, 2), event(PAST, Some(tenant), 3)];
    assert_eq!(store.audit_page(&AuditFilter::default(), 9).await.unwrap(), events);
    assert_eq!(store.audit_unchained(None).await.unwrap(), 3);
    assert_eq!(store.audit_unchained(Some(tenant)).await.unwrap(), 2);
    assert_eq!(store.audit_heads(None, None).await.unwrap(), []);

    let mut same = acme_with_token(None);
    (same.title, same.limits) = (Some("Acme".to_owned()), row.limits.clone());
    assert!(
        !store.tenant_apply(&same, Some(Generation(7)), &note()).await.unwrap().changed,
        "the same file is no change"
    );
    let more = trusting(same, "idp", issuer("https://idp.example", &[("introspection:client_secret", Some("s"))]));
    assert_eq!(store.tenant_apply(&more, None, &note()).await.unwrap().generation, Generation(8));
    store.server_token_save(tenant, server, &server_token(TOKEN, 9)).await.unwrap();
    store.revocation_add(&revocation(tenant, "a", 1), &note()).await.unwrap();
    assert_eq!(load(&store, "acme").await.issuers.len(), 1);
    assert_eq!(store.audit_heads(None, None).await.unwrap()[0].last.seq, 2, "changes are chained from here on");
    assert!(store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
    for table in ["issuers", "issuer_secrets", "revocations", "server_tokens"] {
        assert_eq!(place.count(table).await, 0, "{table}");
    }
}

pub(crate) async fn many_handles_at_once_bring_an_old_store_up_to_date(place: Arc<Place>) {
    fill(&place).await;
    let openers: Vec<_> = (0..6)
        .map(|_| {
            let place = Arc::clone(&place);
            tokio::spawn(async move { load(&place.open().await, "acme").await.servers.len() })
        })
        .collect();
    for opener in openers {
        assert_eq!(opener.await.unwrap(), 1);
    }
}

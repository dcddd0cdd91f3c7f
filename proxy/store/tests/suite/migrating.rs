//! A store that an older Patchbay made comes along with all that it holds.

use std::sync::Arc;

use patchbay_core::{Generation, KeyId, ServerId, TenantId, model::ToolsetSpec};
use patchbay_store::{AuditFilter, AuditRow, Tombstone};

use crate::{
    place::Place,
    samples::{http, issuer, loose, note, revocation, server_token, slug, tenant, trusting},
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

/// What the release before writes, in its words; `LATER` stands for what step 2 and 3 added.
const LATER: &str = r#"
INSERT INTO tenants (id, slug, title, enabled, limits, audit) VALUES (TENANT, 'acme', NULL, true, '{}', '{}')
    ON CONFLICT (id) DO UPDATE SET title = excluded.title, enabled = excluded.enabled, audit = excluded.audit;
INSERT INTO issuers (tenant_id, slug, spec) VALUES (TENANT, 'idp', '{"issuer":"https://idp.example"}');
INSERT INTO revocations (id, tenant_id, digest, what, reason, created_ms, expires_ms)
    VALUES (KEY, TENANT, DIGEST, '{"kind":"token","issuer":"https://idp.example","jti":"a"}', NULL, 1, NULL) ON CONFLICT DO NOTHING;
INSERT INTO server_tokens (server_id, lease_holder, lease_until_ms) SELECT id, 1, 2 FROM servers WHERE slug = 'web';
INSERT INTO audit_heads (tenant, writer, seq, hash, at_ms) VALUES (TENANT, 7, 0, DIGEST, 0);
INSERT INTO audit_leases (work, holder, until_ms) VALUES ('retention', 1, 2);
SELECT id, slug, title, enabled, limits, audit, generation FROM tenants JOIN generations USING (slug) WHERE slug = 'acme';
SELECT server_id, name, sealed FROM secrets JOIN servers ON servers.id = secrets.server_id WHERE tenant_id = TENANT;
SELECT issuer, name, sealed FROM issuer_secrets WHERE tenant_id = TENANT;
SELECT sealed, expires_ms FROM server_tokens JOIN servers ON servers.id = server_tokens.server_id WHERE sealed IS NOT NULL;
UPDATE generations SET generation = generation + 1, live = true WHERE slug = 'acme';
DELETE FROM tombstones WHERE expires_ms <= 5;
"#;

/// The rows that the first Patchbay would have written.
async fn fill(place: &Place) {
    place.make_first_tables().await;
    run(place, ROWS).await;
}

async fn run(place: &Place, rows: &str) {
    let id = |bits: u128| place.bytes(&format!("{bits:032x}"));
    let rows = rows
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

pub(crate) async fn newer_store_that_allows_it_is_worked_on_by_many_at_once(place: Arc<Place>) {
    place.open().await.close().await;
    run(&place, ROWS).await;
    place.bring_to_the_future(4).await;
    let openers: Vec<_> = (0..10)
        .map(|number| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let store = place.open().await;
                let other = tenant(&format!("tenant-{number}"));
                assert!(store.tenant_apply(&other, None, &note()).await.unwrap().changed);
                assert_eq!(load(&store, "acme").await.servers.len(), 1);
                store.close().await;
            })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap();
    }
    let store = place.open().await;
    assert_eq!(store.tenant_list().await.unwrap().len(), 11);
    assert!(store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
    assert_eq!(place.count("future_things").await, 0, "what the newer one made is left alone");
    assert_eq!(place.count("_sqlx_migrations WHERE version = 9999").await, 1);
}

pub(crate) async fn what_the_release_before_writes_and_reads_is_still_understood(place: Arc<Place>) {
    let store = place.open().await;
    run(&place, ROWS).await;
    run(&place, LATER).await;
    let row = load(&store, "acme").await;
    assert_eq!((row.title.as_deref(), row.generation, row.issuers.len()), (None, Generation(8), 1));
    assert_eq!(row.servers[0].secrets.reveal("header:Authorization"), Some(TOKEN));
    assert_eq!(store.revocation_list(row.id, 0).await.unwrap().len(), 1);
    assert!(store.admin_key_list().await.unwrap().is_empty());
    assert!(store.tenant_delete(&slug("acme"), None, &note()).await.unwrap());
}

/// The rule of migrations/README.md, as far as words can break it.
#[test]
fn migrations_only_add_or_say_which_programs_they_leave_behind() {
    let steps = |all: sqlx::migrate::Migrator| -> Vec<(i64, String, String)> {
        all.iter().map(|step| (step.version, step.description.to_string(), step.sql.as_str().to_owned())).collect()
    };
    let both = [steps(sqlx::migrate!("migrations/sqlite")), steps(sqlx::migrate!("migrations/postgres"))];
    let names = |steps: &[(i64, String, String)]| -> Vec<_> {
        steps.iter().map(|(version, name, _)| (*version, name.clone())).collect()
    };
    assert_eq!(names(&both[0]), names(&both[1]), "the same steps for both databases");
    for (version, name, sql) in both.iter().flatten().filter(|(version, ..)| *version > 3) {
        assert!(!sql.contains("no-transaction"), "{version} {name} must be one transaction");
        let found = harms(sql);
        assert!(
            found.is_empty() || sql.contains("INSERT INTO schema_needs"),
            "{version} {name} may break the release before ({found:?}): see migrations/README.md"
        );
    }
    let harmful =
        "ALTER TABLE a RENAME TO b; DROP TABLE c; ALTER TABLE a ADD COLUMN d INTEGER NOT NULL;\n-- DROP nothing here";
    assert_eq!(
        harms(harmful),
        ["ALTER TABLE A RENAME TO B", "DROP TABLE C", "ALTER TABLE A ADD COLUMN D INTEGER NOT NULL"]
    );
    assert!(harms("ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT ''; CREATE TABLE c (d TEXT NOT NULL);").is_empty());
}

/// The statements that an older program may not survive.
fn harms(sql: &str) -> Vec<String> {
    let code: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let statements = code.join(" ").to_uppercase();
    let statements = statements.split(';').map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    let is_harm = |one: &String| {
        let bare = one.starts_with("ALTER TABLE") && one.contains("NOT NULL") && !one.contains("DEFAULT");
        let words = ["DROP ", "RENAME ", "ALTER COLUMN", "ADD CONSTRAINT", "CREATE TRIGGER", "SET NOT NULL"];
        bare || words.iter().any(|word| one.contains(word)) || one.starts_with("UPDATE ") || one.starts_with("DELETE ")
    };
    statements.filter(is_harm).collect()
}

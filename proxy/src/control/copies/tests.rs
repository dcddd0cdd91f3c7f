//! What a copy holds comes back, and a copy that is not what it should be is refused.

use patchbay_core::{
    KeyId, RevocationId, ServerId, TenantId,
    issuer::Revoked,
    model::{DEFAULT_TOOLSET, Secrets, ServerRow, ToolsetSpec},
    seal::SealingKey,
};
use patchbay_downstream::Hello;
use serde_json::json;

use super::*;
use crate::auth::tests::house::{ISS, issuer};

const NOW_MS: i64 = 2_000_000_000_000;

struct Rig {
    copies: Arc<Copies>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { copies: Arc::new(copies(folder.path(), 7)), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(FOLDER).join(format!("{name}.{EXTENSION}"))
    }

    async fn keep(&self, slug: &str, as_of_ms: i64) -> TenantRow {
        let row = row(slug);
        let stored = stored();
        let catalogs = [(row.servers[0].id, &stored)].into();
        let (keys, revoked) = (vec![key(row.id)], vec![revocation(row.id)]);
        self.copies.keep(as_of_ms, &row, (&keys, &revoked), &catalogs).await.unwrap();
        row
    }

    async fn keep_all(&self, as_of_ms: i64, tenants: &[(&str, u64)]) {
        let tenants = tenants.iter().map(|(slug, number)| (slug.parse().unwrap(), Generation(*number))).collect();
        let ended = vec![Tombstone { tenant: TenantId::from_bits(9), digest: [3; 32], expires_ms: NOW_MS + 1 }];
        self.copies.keep_all(&mut All { as_of_ms, tenants, ended }).await.unwrap();
    }

    /// The names of the tenants whose copies may be used.
    async fn usable(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.copies.found(NOW_MS).await.copies.iter().map(|copy| copy.row.slug.to_string()).collect();
        names.sort();
        names
    }
}

fn copies(folder: &Path, secret: u8) -> Copies {
    let sealer = Sealer::new(vec![SealingKey { id: secret, secret: [secret; 32] }]).unwrap();
    Copies::new(folder, Arc::new(sealer), Duration::from_secs(3600))
}

fn row(slug: &str) -> TenantRow {
    let spec = json!({
        "transport": { "kind": "http", "url": "https://h.example/mcp", "headers": ["X-Key"] },
        "tools": { "deny": ["drop_*"] },
    });
    let secrets = [("header:X-Key".to_owned(), "s3cret-of-the-server".into())].into();
    let mut issuer = issuer("corp", ISS);
    issuer.secrets = Secrets([("client_secret".to_owned(), "s3cret-of-the-issuer".into())].into());
    TenantRow {
        id: TenantId::from_bits(9),
        slug: slug.parse().unwrap(),
        title: Some("Acme".to_owned()),
        enabled: true,
        generation: Generation(4),
        limits: serde_json::from_value(json!({ "principal_per_second": 5, "weights": [["a/*", 3]] })).unwrap(),
        audit: Default::default(),
        servers: vec![ServerRow {
            id: ServerId::from_bits(11),
            slug: "one".parse().unwrap(),
            spec: serde_json::from_value(spec).unwrap(),
            secrets: Secrets(secrets),
        }],
        toolsets: vec![(DEFAULT_TOOLSET.parse().unwrap(), ToolsetSpec { tools_max: Some(40), ..Default::default() })],
        issuers: vec![issuer],
    }
}

fn key(tenant: TenantId) -> KeyRow {
    KeyRow {
        id: KeyId::from_bits(5),
        tenant,
        label: "ci".to_owned(),
        shown: "pb_abc".to_owned(),
        digest: [8; 32],
        toolsets: None,
        created_ms: 1,
        expires_ms: Some(2),
        revoked_ms: Some(3),
        used_ms: None,
    }
}

fn revocation(tenant: TenantId) -> RevocationRow {
    RevocationRow {
        id: RevocationId::from_bits(6),
        tenant,
        what: Revoked::Subject { issuer: ISS.to_owned(), subject: "ann".to_owned() },
        reason: Some("left".to_owned()),
        created_ms: 1,
        expires_ms: None,
    }
}

fn stored() -> Stored {
    let hello = Hello {
        version: patchbay_core::era::Version::NEWEST,
        capabilities: r#"{"tools":{}}"#.to_owned(),
        server_info: r#"{"name":"one"}"#.to_owned(),
        instructions: Some("be kind".to_owned()),
    };
    Stored {
        hello,
        tools: vec![r#"{"name":"get"}"#.to_owned()],
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        skills: Vec::new(),
        at_ms: 77,
        ttl_ms: Some(1000),
        stale: false,
    }
}

#[tokio::test]
async fn what_was_kept_comes_back_with_its_secrets_and_none_is_to_be_read_on_the_disk() {
    let rig = Rig::new();
    let row = rig.keep("acme", NOW_MS - 10).await;
    rig.keep_all(NOW_MS - 20, &[("acme", 4)]).await;
    let mut found = rig.copies.found(NOW_MS).await;
    let copy = found.copies.remove(0);
    assert_eq!(copy.as_of_ms, NOW_MS - 10);
    // What is no secret is equal as it is shown; secrets show their names alone.
    assert_eq!(format!("{:?}", copy.row), format!("{row:?}"));
    assert_eq!(copy.row.servers[0].secrets.reveal("header:X-Key"), Some("s3cret-of-the-server"));
    assert_eq!(copy.row.issuers[0].secrets.reveal("client_secret"), Some("s3cret-of-the-issuer"));
    assert_eq!(format!("{:?}", copy.keys), format!("{:?}", [key(row.id)]));
    assert_eq!(copy.revoked, [revocation(row.id)]);
    assert_eq!(copy.catalogs.values().collect::<Vec<_>>(), [&stored()]);
    assert_eq!((found.ended[0].digest, found.ended[0].expires_ms), ([3; 32], NOW_MS + 1));
    let bytes = fs::read(rig.file("acme")).unwrap();
    for word in ["s3cret", "acme", "Acme", "h.example"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word} can be read");
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(rig.file("acme")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(rig.folder.path().join(FOLDER)).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_copy_that_was_changed_cut_or_sealed_by_another_key_is_refused() {
    let rig = Rig::new();
    rig.keep("acme", NOW_MS).await;
    let good = fs::read(rig.file("acme")).unwrap();
    assert_eq!(rig.usable().await, ["acme"]);
    for at in [0, 1, 2, 30, good.len() / 2, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        fs::write(rig.file("acme"), changed).unwrap();
        assert!(rig.usable().await.is_empty(), "byte {at}");
        fs::write(rig.file("acme"), &good[..at]).unwrap();
        assert!(rig.usable().await.is_empty(), "cut at {at}");
    }
    fs::write(rig.file("acme"), &good).unwrap();
    let stranger = Arc::new(copies(rig.folder.path(), 8));
    assert!(stranger.found(NOW_MS).await.copies.is_empty());
    // A file of a copy's size that is none.
    fs::File::create(rig.file("acme")).unwrap().set_len(COPY_BYTES_MAX as u64 + 1).unwrap();
    assert!(matches!(rig.copies.open(&rig.file("acme"), "acme"), Err(Refused::TooLong)));
}

#[tokio::test]
async fn a_copy_of_one_tenant_is_none_of_another() {
    let rig = Rig::new();
    rig.keep("acme", NOW_MS).await;
    fs::copy(rig.file("acme"), rig.file("other")).unwrap();
    fs::rename(rig.file("acme"), rig.file(ALL)).unwrap();
    assert!(rig.usable().await.is_empty());
}

#[tokio::test]
async fn a_copy_that_is_too_old_or_of_the_future_is_refused_and_one_that_was_confirmed_is_as_old_as_that() {
    let rig = Rig::new();
    rig.keep("old", NOW_MS - 3_600_001).await;
    rig.keep("confirmed", NOW_MS - 30 * 86_400_000).await;
    rig.keep("just", NOW_MS - 3_600_000).await;
    rig.keep("soon", NOW_MS + AHEAD_MAX_MS).await;
    rig.keep("future", NOW_MS + AHEAD_MAX_MS + 1).await;
    assert_eq!(rig.usable().await, ["just", "soon"]);
    rig.keep_all(NOW_MS - 5, &[("confirmed", 4), ("just", 4), ("soon", 4), ("future", 4)]).await;
    assert_eq!(rig.usable().await, ["confirmed", "just", "soon"], "`old` is not among the store's");
    let found = rig.copies.found(NOW_MS).await;
    let confirmed = found.copies.iter().find(|copy| copy.row.slug.as_str() == "confirmed").unwrap();
    assert_eq!(confirmed.as_of_ms, NOW_MS - 5);
}

#[tokio::test]
async fn a_copy_of_a_tenant_that_was_changed_or_deleted_after_it_is_refused() {
    let rig = Rig::new();
    rig.keep("same", NOW_MS - 100).await;
    rig.keep("changed", NOW_MS - 100).await;
    rig.keep("deleted", NOW_MS - 100).await;
    rig.keep_all(NOW_MS - 50, &[("same", 4), ("changed", 5)]).await;
    assert_eq!(rig.usable().await, ["same"]);
    // One that was made after the list is not known there.
    rig.keep("deleted", NOW_MS - 10).await;
    assert_eq!(rig.usable().await, ["deleted", "same"]);
}

#[tokio::test]
async fn the_list_of_all_may_be_lost_and_a_foreign_one_says_nothing() {
    let rig = Rig::new();
    rig.keep("acme", NOW_MS - 5).await;
    rig.keep_all(NOW_MS, &[]).await;
    assert!(rig.usable().await.is_empty());
    fs::write(rig.file(ALL), b"nonsense").unwrap();
    let found = rig.copies.found(NOW_MS).await;
    assert_eq!((found.copies.len(), found.ended.len()), (1, 0));
}

#[tokio::test]
async fn copies_go_with_their_tenants() {
    let rig = Rig::new();
    for slug in ["one", "two", "three"] {
        rig.keep(slug, NOW_MS).await;
    }
    rig.keep_all(NOW_MS, &[("one", 4), ("two", 4), ("three", 4)]).await;
    let is_there = |name: &str| rig.file(name).exists();
    let gone = async |name: &'static str| {
        let file = rig.file(name);
        while file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    rig.copies.forget(&"one".parse().unwrap());
    gone("one").await;
    rig.copies.forget_others(["two".parse().unwrap()].into_iter());
    gone("three").await;
    assert!(is_there("two") && is_there(ALL));
    fs::write(rig.file("two").with_extension("0badcafe.draft"), b"half").unwrap();
    rig.copies.sweep();
    assert!(!rig.file("two").with_extension("0badcafe.draft").exists() && is_there("two"));
    discard(rig.folder.path());
    assert!(!rig.folder.path().join(FOLDER).exists());
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_copy_in_force_and_over_when_the_store_was_heard_of_all() {
    let rig = Rig::new();
    let (one, two): (Slug, Slug) = ("one".parse().unwrap(), "two".parse().unwrap());
    assert_eq!(rig.copies.age(NOW_MS), Duration::ZERO);
    rig.copies.took(&one, NOW_MS - 5000);
    rig.copies.took(&two, NOW_MS - 2000);
    assert_eq!(rig.copies.age(NOW_MS), Duration::from_secs(5));
    rig.copies.heard(&one);
    assert_eq!(rig.copies.age(NOW_MS), Duration::from_secs(2));
    assert!(rig.copies.age(NOW_MS - 9000) > Duration::ZERO, "a clock that was put back hides nothing");
    rig.copies.forget(&two);
    assert_eq!(rig.copies.age(NOW_MS), Duration::ZERO);
}

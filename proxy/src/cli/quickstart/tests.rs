use std::{os::unix::fs::PermissionsExt, sync::Arc};

use patchbay_config::Environment;
use patchbay_core::model::KeyRow;

use super::*;
use crate::{
    app::{Keys, open_store},
    auth::api_key::digest_of,
};

fn config_in(folder: &Path) -> GatewayConfig {
    let data = folder.join("data");
    let settings = [("PATCHBAY_DATA_DIR", data.to_str().unwrap())];
    patchbay_config::load(None, &settings.into_iter().collect::<Environment>()).unwrap()
}

async fn open(config: &GatewayConfig) -> Arc<dyn Store> {
    open_store(config, &Keys::of(config).unwrap()).await.unwrap()
}

async fn keys_of(store: &dyn Store) -> Vec<KeyRow> {
    let tenants = store.tenant_list().await.unwrap();
    assert_eq!(tenants.len(), 1);
    store.key_list(tenants[0].id).await.unwrap()
}

#[tokio::test]
async fn second_start_finds_its_data_and_makes_no_second_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    let first = prepare_in(&*store, &config).await.unwrap().unwrap();
    let key = first.key.unwrap();
    store.close().await;

    let store = open(&config).await;
    let again = prepare_in(&*store, &config).await.unwrap().unwrap();
    assert!(again.key.is_none());
    let keys = keys_of(&*store).await;
    assert_eq!(keys.len(), 1);
    assert_eq!((keys[0].label.as_str(), keys[0].digest), ("quickstart", digest_of(key.expose_secret())));
    let row = store.tenant_load(&again.tenant).await.unwrap().unwrap();
    assert_eq!(row.servers.iter().map(|server| server.slug.as_str()).collect::<Vec<_>>(), ["shop", "weather"]);
    for server in &row.servers {
        let Transport::Builtin { name, options, .. } = &server.spec.transport else { panic!("not built in") };
        crate::control::builtins::build(&config, name, options, [].into()).unwrap();
    }
    let mode = std::fs::metadata(&config.data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others may enter the data folder");
}

#[tokio::test]
async fn two_starts_at_once_make_one_tenant_and_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let (one, two) = (open(&config).await, open(&config).await);
    let (first, second) = tokio::join!(prepare_in(&*one, &config), prepare_in(&*two, &config));
    let shown = [first, second].into_iter().filter(|first| first.as_ref().unwrap().as_ref().unwrap().key.is_some());
    assert_eq!(shown.count(), 1);
    assert_eq!(keys_of(&*two).await.len(), 1);
}

#[tokio::test]
async fn start_that_was_broken_off_before_the_key_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    let database = std::path::absolute(config.data_dir.join(SAMPLE_FILE)).unwrap();
    make(&*store, &TENANT.parse().unwrap(), &database).await.unwrap();
    assert!(prepare_in(&*store, &config).await.unwrap().unwrap().key.is_some());
    assert_eq!(keys_of(&*store).await.len(), 1);
}

#[tokio::test]
async fn data_from_before_the_weather_start_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    let database = std::path::absolute(config.data_dir.join(SAMPLE_FILE)).unwrap();
    create_sample_shop(&database).unwrap();
    let mut doc = sample(&TENANT.parse().unwrap(), &database).unwrap();
    doc.servers.remove(WEATHER);
    store.tenant_apply(&doc, None, &note("a test")).await.unwrap();
    let first = prepare_in(&*store, &config).await.unwrap().unwrap();
    assert!(first.key.is_some(), "its key was never made");
    let before = store.tenant_load(&first.tenant).await.unwrap().unwrap();

    assert!(prepare_in(&*store, &config).await.unwrap().unwrap().key.is_none());
    let after = store.tenant_load(&first.tenant).await.unwrap().unwrap();
    assert_eq!((after.generation, after.servers.len()), (before.generation, 1));
}

#[tokio::test]
async fn revoked_key_is_not_replaced_by_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    prepare_in(&*store, &config).await.unwrap();
    let key = keys_of(&*store).await.remove(0);
    store.key_revoke(key.tenant, key.id, 1, &note("a test")).await.unwrap();
    assert!(prepare_in(&*store, &config).await.unwrap().unwrap().key.is_none());
}

#[tokio::test]
async fn store_with_other_tenants_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    let doc = sample(&"acme".parse().unwrap(), Path::new("/nowhere/shop.db")).unwrap();
    store.tenant_apply(&doc, None, &note("a test")).await.unwrap();
    assert!(prepare_in(&*store, &config).await.unwrap().is_none());
    assert!(keys_of(&*store).await.is_empty() && !config.data_dir.join(SAMPLE_FILE).exists());
}

#[tokio::test]
async fn demo_tenant_that_people_made_gets_no_key_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_in(folder.path());
    let store = open(&config).await;
    let doc = sample(&TENANT.parse().unwrap(), Path::new("/nowhere/shop.db")).unwrap();
    store.tenant_apply(&doc, None, &note("a test")).await.unwrap();
    assert!(prepare_in(&*store, &config).await.unwrap().unwrap().key.is_none());
}

#[test]
fn the_key_is_shown_by_the_first_welcome_alone() {
    let text = |key: Option<&str>| {
        let first = First { tenant: TENANT.parse().unwrap(), key: key.map(SecretString::from), admin: None };
        welcome("http://127.0.0.1:8080", Path::new("/srv/data"), &first, None, "patchbay")
    };
    let first = text(Some("pb_abc"));
    for expected in [
        "with a sample shop and the weather to ask about",
        "http://127.0.0.1:8080/t/demo/mcp",
        "pb_abc   (shown this once",
        "/srv/data",
        "# Cursor:",
        "# VS Code:",
        "# Claude Code:",
        "# Codex:",
        "patchbay connect --tenant demo",
        "Ctrl-C",
    ] {
        assert!(first.contains(expected), "{expected} is missing in:\n{first}");
    }
    let later = text(None);
    assert!(
        later.contains("shown at the first start; another: patchbay key create --tenant demo --label NAME"),
        "{later}"
    );
    assert!(!later.contains("pb_abc") && later.contains("bearer_token_env_var"));
}

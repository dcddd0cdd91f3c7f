//! Opening a store: at the same time, with the wrong URL, on a file that is none, and closing it.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use patchbay_store::{OpenOptions, Store, StoreError, Vault};
use tempfile::TempDir;

use crate::{
    place::{KEY, Place},
    samples::{note, slug, tenant},
};

async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    patchbay_store::open(url, Vault::new(1, KEY), OpenOptions::default()).await
}

async fn refused(url: &str) -> StoreError {
    open(url).await.err().unwrap()
}

pub(crate) async fn many_handles_at_once_make_one_set_of_tables(place: Arc<Place>) {
    let openers: Vec<_> = (0..8)
        .map(|number| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let store = place.open().await;
                store.tenant_apply(&tenant(&format!("tenant-{number}")), None, &note()).await.unwrap();
                store
            })
        })
        .collect();
    let mut last = None;
    for opener in openers {
        last = Some(opener.await.unwrap());
    }
    assert_eq!(last.unwrap().tenant_list().await.unwrap().len(), 8);
    place.open().await.close().await;
}

pub(crate) async fn store_that_needs_a_newer_program_is_not_touched(place: Arc<Place>) {
    place.open().await.close().await;
    place.bring_to_the_future(9999).await;
    let before = place.count("_sqlx_migrations").await;
    for _ in 0..2 {
        let error = refused(&place.url()).await;
        let StoreError::Corrupt(text) = &error else { panic!("{error}") };
        assert!(text.contains("newer Patchbay") && text.contains("start that version"), "{text}");
    }
    assert_eq!(place.count("_sqlx_migrations").await, before);
}

pub(crate) async fn step_that_nobody_knows_is_refused(place: Arc<Place>) {
    place.open().await.close().await;
    place
        .run(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (0, 'by hand', true, '', 0)",
        )
        .await;
    let error = refused(&place.url()).await;
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("not made by a released Patchbay")), "{error}");
}

pub(crate) async fn closed_store_refuses_at_once(place: Arc<Place>) {
    let store = place.open().await;
    store.close().await;
    let error = store.tenant_list().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(error.to_string(), "could not list the tenants: the store is closed");
    assert!(store.ping().await.is_err());
    store.close().await;
}

#[tokio::test]
async fn sqlite_paths_that_cannot_be_are_answered_by_a_sentence() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| format!("sqlite://{}/{name}", folder.path().display());
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("text.db"), "this is a text and not a database, for all of its length".repeat(100))
        .unwrap();
    for (url, said) in [
        (at("missing/x.db"), "does not exist: make it"),
        (at("sub"), "name a file in it"),
        (at("text.db"), "is not a SQLite database"),
        ("x.db".to_owned(), "expected `sqlite://PATH`"),
    ] {
        let error = refused(&url).await;
        assert!(
            matches!(error, StoreError::Url(_) | StoreError::Corrupt(_)) && error.to_string().contains(said),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sqlite_files_are_for_their_owner_only() {
    let folder = TempDir::new().unwrap();
    let store = open(&format!("sqlite://{}/patchbay.db", folder.path().display())).await.unwrap();
    store.tenant_apply(&tenant("acme"), None, &note()).await.unwrap();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap()).collect();
    assert!(files.len() >= 2, "the file and its log");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn store_in_memory_is_a_store_of_its_own() {
    let (one, two) = (open("sqlite::memory:").await.unwrap(), open("sqlite::memory:").await.unwrap());
    let mut changes = one.changes();
    let id = one.tenant_apply(&tenant("acme"), None, &note()).await.unwrap().id;
    assert!(one.tombstone_put(id, [1; 32], 5).await.unwrap());
    assert!(one.tombstone_list(5).await.unwrap().is_empty());
    assert!(one.tenant_load(&slug("acme")).await.unwrap().is_some());
    assert!(two.tenant_load(&slug("acme")).await.unwrap().is_none());
    assert!(changes.recv().await.is_ok());
    one.close().await;
}

#[tokio::test]
async fn postgres_that_is_not_there_is_said_without_the_password() {
    // Nobody listens at a port that was given out for a moment and is free again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, said) in [
        (format!("postgres://user:hunter2@127.0.0.1:{port}/patchbay"), format!("127.0.0.1:{port}")),
        ("postgres://user:hunter2@no-such-host.invalid/patchbay".to_owned(), "no-such-host.invalid:5432".to_owned()),
    ] {
        let error = refused(&url).await;
        let StoreError::Unavailable { tried, source } = &error else { panic!("{error}") };
        assert!(tried.contains(&said) && tried.contains("check that it runs"), "{tried}");
        assert!(!format!("{tried} {source} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn postgres_user_who_may_not_make_tables_is_told_so() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    crate::place::tell(place, async |place| {
        // What a role that owns nothing meets in a fresh database since Postgres 15, said for the older ones too.
        place.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC; DO $$ BEGIN CREATE ROLE patchbay_test_guest LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$").await;
        let mut url: url::Url = place.url().parse().unwrap();
        url.set_username("patchbay_test_guest").unwrap();
        let error = refused(url.as_str()).await;
        assert!(matches!(&error, StoreError::Url(text) if text.contains("may not make tables")), "{error}");
    })
    .await;
}

#[tokio::test]
async fn postgres_user_and_database_that_do_not_exist_are_named() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    crate::place::tell(place, async |place| {
        let with = |edit: fn(&mut url::Url)| {
            let mut url: url::Url = place.url().parse().unwrap();
            url.set_password(Some("hunter2")).unwrap();
            edit(&mut url);
            url.to_string()
        };
        for (url, said) in [
            (with(|url| url.set_path("no_such_database")), "has no database `no_such_database`: create it"),
            (
                with(|url| url.set_username("no_such_user").unwrap()),
                "refuses the user `no_such_user`: check user and password",
            ),
        ] {
            let error = refused(&url).await;
            assert!(matches!(&error, StoreError::Url(text) if text.contains(said)), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    })
    .await;
}

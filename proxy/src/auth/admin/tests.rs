use futures_util::future::join_all;
use http::HeaderValue;

use super::*;
use crate::auth::{bootstrap::bootstrap, tests::house::House};

#[test]
fn no_part_of_an_admin_key_is_in_its_row() {
    let key = NewAdminKey::generate("a".into(), Grant::PlatformAdmin, 0, None);
    let text = key.secret.expose_secret();
    assert!(text.starts_with("pba_") && text.len() == 47);
    assert_eq!(key.row.digest, api_key::digest_of(text));
    let printed = format!("{:?} {key:?}", key.row);
    assert!(!printed.contains(&text[SHOWN_CHARS..]));
}

#[test]
fn one_bearer_is_a_credential_and_nothing_else_is() {
    let of = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        bearer(&headers).map(str::to_owned)
    };
    assert_eq!(of(&["Bearer  pba_x "]).unwrap(), "pba_x");
    assert!(matches!(of(&[]), Err(Refused::Missing)));
    for odd in [&["Bearer"][..], &["Basic x"], &["Bearer x", "Bearer x"], &["pba_x"]] {
        assert!(matches!(of(odd), Err(Refused::Malformed)), "{odd:?}");
    }
}

#[tokio::test]
async fn of_ten_gateways_that_start_together_one_shows_the_first_key() {
    let house = House::new().await;
    let app = &house.app;
    let starts = join_all((0..10).map(|_| bootstrap(&*app.store, &app.config))).await;
    let shown: Vec<_> = starts.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(shown.len(), 1);
    let rows = app.store.admin_key_list().await.unwrap();
    assert_eq!((rows.len(), &rows[0].grant, rows[0].label.as_str()), (1, &Grant::PlatformAdmin, "bootstrap"));
    assert_eq!(rows[0].digest, api_key::digest_of(shown[0].expose_secret()));
    app.store.admin_key_revoke(rows[0].id, 1, &patchbay_store::Note::by_operator("a test", 0)).await.unwrap();
    assert!(bootstrap(&*app.store, &app.config).await.unwrap().is_none(), "a revoked key is not replaced by a start");
}

#[tokio::test]
async fn a_key_that_the_operator_gave_is_put_in_and_not_shown() {
    let text = format!("pba_{}", "x".repeat(40));
    let house = House::with(|config| config.admin.bootstrap_key = Some(text.clone().into())).await;
    assert!(bootstrap(&*house.app.store, &house.app.config).await.unwrap().is_none());
    let row = house.app.store.admin_key_find(api_key::digest_of(&text)).await.unwrap().unwrap();
    assert_eq!(row.shown, "pba_xxxxxxxx");
}

#[tokio::test]
async fn without_an_admin_listener_no_key_is_made() {
    let house = House::with(|config| config.listen_admin = None).await;
    assert!(bootstrap(&*house.app.store, &house.app.config).await.unwrap().is_none());
    assert!(house.app.store.admin_key_list().await.unwrap().is_empty());
}

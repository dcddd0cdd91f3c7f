//! One token for all: callers, replicas, sessions.

use super::world::*;

#[tokio::test]
async fn a_hundred_calls_over_three_replicas_at_the_end_of_a_token_get_one_new_token() {
    let issuer = Issuer::start().await;
    issuer.state.lives.lock().unwrap().push_back(3);
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    let replicas: Vec<_> = (0..3).map(|_| signed(&server, oauth(Some(&vault)))).collect();
    let first = join_all((0..100).map(|n| replicas[n % 3].call(cx(), echo("x")))).await;
    assert!(first.iter().all(Result::is_ok), "{first:?}");
    assert_eq!(issuer.asked(), 1, "at the start");
    let expires_ms = vault.stored.lock().unwrap().as_ref().unwrap().expires_ms;
    until_ms(expires_ms).await;
    let then = join_all((0..100).map(|n| replicas[n % 3].call(cx(), echo("x")))).await;
    assert!(then.iter().all(Result::is_ok), "{then:?}");
    assert_eq!(issuer.asked(), 2, "at the end");
    assert!(server.log.all().iter().any(|seen| seen.header("authorization") == Some("Bearer canary-token-2")));
}

#[tokio::test]
async fn a_token_is_replaced_on_the_side_before_it_ends() {
    let issuer = Issuer::start().await;
    issuer.state.lives.lock().unwrap().push_back(8);
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    let began = Instant::now();
    called_until(&http, |_| issuer.asked() == 2).await;
    assert!(began.elapsed() < Duration::from_secs(8), "only after its end");
    called_until(&http, |_| {
        server.log.all().iter().any(|s| s.header("authorization") == Some("Bearer canary-token-2"))
    })
    .await;
    let refused = server.log.all().iter().filter(|seen| seen.header("authorization").is_none()).count();
    assert_eq!(refused, 2, "no more requests without a token than the first look and its metadata");
}

#[tokio::test]
async fn a_start_takes_the_token_that_is_there_and_asks_nobody() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    signed(&server, oauth(Some(&vault))).hello(soon()).await.unwrap();
    let asked = issuer.paths().len();
    issuer.state.down.store(true, Ordering::SeqCst);
    signed(&server, oauth(Some(&vault))).hello(soon()).await.unwrap();
    assert_eq!(issuer.paths().len(), asked);
}

#[tokio::test]
async fn a_token_of_another_server_or_client_is_not_taken_out_of_the_vault() {
    let issuer = Issuer::start().await;
    let (one, other) = (protected(&issuer, Era::Modern).await, protected(&issuer, Era::Modern).await);
    let vault = Arc::new(Vault::default());
    signed(&one, oauth(Some(&vault))).hello(soon()).await.unwrap();
    signed(&other, oauth(Some(&vault))).hello(soon()).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    assert!(other.log.all().iter().all(|seen| seen.header("authorization") != Some("Bearer canary-token-1")));
    let mut wider = oauth(Some(&vault));
    wider.spec.scopes = vec!["wider".into()];
    signed(&other, wider).hello(soon()).await.unwrap();
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn who_has_not_the_lease_waits_for_the_token_or_for_the_end_of_the_lease() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    *vault.lease.lock().unwrap() = Some((7, now_ms() + 1_000));
    let began = Instant::now();
    signed(&server, oauth(Some(&vault))).hello(soon()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900), "the lease was not waited for");
    assert_eq!(issuer.asked(), 1);
    // With the lease of somebody who does get it.
    let kept = vault.stored.lock().unwrap().take();
    *vault.lease.lock().unwrap() = Some((7, now_ms() + 60_000));
    let http = signed(&server, oauth(Some(&vault)));
    let waiting = http.hello(soon());
    let giving = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        *vault.stored.lock().unwrap() = kept;
    };
    let (hello, ()) = tokio::join!(waiting, giving);
    hello.unwrap();
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_vault_that_fails_keeps_nobody_out() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    vault.is_broken.store(true, Ordering::SeqCst);
    signed(&server, oauth(Some(&vault))).hello(soon()).await.unwrap();
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_attempt_for_others() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    let hasty = CallCx { deadline: Instant::now() + Duration::from_millis(1), ..cx() };
    let _ = http.call(hasty, echo("x")).await;
    assert!(http.call(cx(), echo("x")).await.is_ok());
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_session_that_was_opened_with_an_old_token_goes_on_with_the_new_one() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Legacy).await;
    let http = signed(&server, oauth(None));
    http.call(cx(), echo("x")).await.unwrap();
    issuer.state.revoke_all();
    http.call(cx(), echo("x")).await.unwrap();
    http.close().await;
    assert_eq!(
        server.log.all().iter().filter(|s| s.method() == "initialize" && s.header("mcp-session-id").is_none()).count(),
        1
    );
    let ended = server.log.wait_for(|seen| seen.method() == "DELETE").await;
    assert_eq!(ended.header("authorization"), Some("Bearer canary-token-2"));
    let told = server.log.wait_for(|seen| seen.method() == "notifications/initialized").await;
    assert_eq!(told.header("authorization"), Some("Bearer canary-token-1"));
}

#[tokio::test]
async fn tokens_and_secrets_are_shown_nowhere() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    let http = signed(&server, oauth(Some(&vault)));
    http.call(cx(), echo("x")).await.unwrap();
    assert!(!format!("{:?}", vault.stored.lock().unwrap()).contains("canary"));
    // The server says the token back.
    issuer.state.revoke_all();
    *issuer.state.refuse.lock().unwrap() = Some("invalid_client");
    let error = failed(http.call(cx(), echo("x")).await);
    is_clean(&http, Some(&error));
    *issuer.state.refuse.lock().unwrap() = None;
    let again = signed(&server, oauth(None));
    again.hello(soon()).await.unwrap();
    issuer.state.revoke_all();
    issuer.state.lives.lock().unwrap().extend([0; 9]);
    let error = failed(again.call(cx(), echo("x")).await);
    is_clean(&again, Some(&error));
}

//! What goes wrong: an authorization server that is away or refuses the client, tokens that the server refuses, scopes that do
//! not suffice.

use super::world::*;

#[tokio::test]
async fn while_the_authorization_server_is_down_the_old_token_serves() {
    let issuer = Issuer::start().await;
    issuer.state.lives.lock().unwrap().push_back(8);
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    http.hello(soon()).await.unwrap();
    issuer.state.down.store(true, Ordering::SeqCst);
    called_until(&http, |called| {
        assert!(called.is_ok(), "{called:?}");
        http.health().last_error.is_some()
    })
    .await;
    let health = http.health();
    assert!(health.last_error.unwrap().contains("HTTP 503") && health.retry_in.is_some());
    issuer.state.down.store(false, Ordering::SeqCst);
    called_until(&http, |called| {
        assert!(called.is_ok(), "{called:?}");
        http.health().last_error.is_none()
    })
    .await;
    http.call(cx(), echo("x")).await.unwrap();
    assert_eq!(server.log.all().last().unwrap().header("authorization"), Some("Bearer canary-token-2"));
}

#[tokio::test]
async fn without_a_token_an_authorization_server_that_is_down_is_a_clear_error_and_recovers() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    issuer.state.down.store(true, Ordering::SeqCst);
    let http = signed(&server, oauth(None));
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
    assert!(error.detail.contains(&issuer.issuer) && error.detail.contains("503"), "{}", error.detail);
    let asked = issuer.paths().len();
    for _ in 0..20 {
        failed(http.call(cx(), echo("x")).await);
    }
    assert_eq!(issuer.paths().len(), asked, "asked again at once");
    issuer.state.down.store(false, Ordering::SeqCst);
    called_until(&http, Result::is_ok).await;
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_fault_that_passes() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let mut options = oauth(None);
    options.spec.issuer = Some(format!("http://{gone}"));
    let error = failed(signed(&server, options).call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::Unavailable, Delivery::NotSent));
}

#[tokio::test]
async fn a_client_that_is_refused_is_a_lasting_problem_in_words_for_operators() {
    let issuer = Issuer::with(Rules {
        metadata: json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}),
        ..Rules::default()
    })
    .await;
    let server = protected(&issuer, Era::Modern).await;
    for (code, expected) in [
        ("invalid_client", "it takes private_key_jwt"),
        ("unauthorized_client", "may not get tokens"),
        ("invalid_scope", "tools"),
        ("invalid_target", "/mcp"),
    ] {
        *issuer.state.refuse.lock().unwrap() = Some(code);
        let http = signed(&server, oauth(None));
        let before = issuer.asked();
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::SignIn, Delivery::NotSent));
        for text in [error.detail.clone(), http.health().last_error.unwrap()] {
            assert!(text.contains(code) && text.contains(expected) && text.contains(&issuer.issuer), "{text}");
        }
        assert!(http.health().retry_in.unwrap() > Duration::from_secs(20));
        assert_eq!(http.health().state, HealthState::Down);
        is_clean(&http, Some(&error));
        failed(http.call(cx(), echo("x")).await);
        assert_eq!(issuer.asked(), before + 1, "asked again at once");
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_the_call_sent_once_more() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    let replicas: Vec<_> = (0..3).map(|_| signed(&server, oauth(Some(&vault)))).collect();
    for http in &replicas {
        http.hello(soon()).await.unwrap();
    }
    issuer.state.revoke_all();
    let calls = join_all((0..60).map(|n| replicas[n % 3].call(cx(), echo("x")))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_causes_neither_loops_nor_a_flood_of_tokens() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    // They end where they are given.
    issuer.state.lives.lock().unwrap().extend([3600]);
    let http = signed(&server, oauth(None));
    http.hello(soon()).await.unwrap();
    let shut = Server::start({
        let named = issuer.issuer.clone();
        move |seen| {
            let host = seen.header("host").unwrap();
            match &*seen.path {
                "/mcp" => ready(challenged(401, r#"Bearer error="invalid_token""#, "no")),
                "/.well-known/oauth-protected-resource/mcp" => {
                    let found = json!({"resource": format!("http://{host}/mcp"), "authorization_servers": [named]});
                    ready(bytes(200, "application/json", found.to_string()))
                }
                _ => ready(empty(404)),
            }
        }
    })
    .await;
    let (http, before) = (signed(&shut, oauth(None)), issuer.asked());
    for _ in 0..30 {
        let error = failed(http.call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::SignIn, Delivery::NotSent));
        assert!(
            error.detail.contains("refuses the tokens") && error.detail.contains(&issuer.issuer),
            "{}",
            error.detail
        );
    }
    assert!(issuer.asked() - before <= 4, "{} tokens", issuer.asked() - before);
    // One look without a token, two for the first call, one for each of the others, and few more.
    assert!(shut.log.count("server/discover") <= 40, "{}", shut.log.count("server/discover"));
}

#[tokio::test]
async fn more_scopes_are_asked_for_once_and_kept() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let vault = Arc::new(Vault::default());
    let http = signed(&server, oauth(Some(&vault)));
    http.call(cx(), echo("x")).await.unwrap();
    let calls = join_all((0..30).map(|_| http.call(cx(), tool("admin")))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    let scopes: Vec<_> = issuer.forms().iter().map(|form| form["scope"].clone()).collect();
    assert_eq!(scopes, ["tools", "admin tools"]);
    // Another replica takes it over; the next token has them too.
    let other = signed(&server, oauth(Some(&vault)));
    other.call(cx(), tool("admin")).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    issuer.state.revoke_all();
    http.call(cx(), tool("admin")).await.unwrap();
    assert_eq!(issuer.forms().last().unwrap()["scope"], "admin tools");
}

#[tokio::test]
async fn scopes_that_are_not_given_are_named_and_the_old_token_stays() {
    let issuer = Issuer::start().await;
    issuer.state.gives.lock().unwrap().insert("tools".into());
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    http.call(cx(), echo("x")).await.unwrap();
    for _ in 0..10 {
        let error = failed(http.call(cx(), tool("admin")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Refused(403), Delivery::NotSent));
        assert!(
            error.detail.contains("scopes admin tools") && error.detail.contains("invalid_scope"),
            "{}",
            error.detail
        );
        is_clean(&http, Some(&error));
    }
    assert_eq!(issuer.asked(), 2);
    http.call(cx(), echo("x")).await.unwrap();
    assert_eq!(http.health().last_error.filter(|said| said.contains("no new token")), None);
}

#[tokio::test]
async fn a_server_that_always_wants_more_gets_so_much_and_no_more() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    for _ in 0..30 {
        let error = failed(http.call(cx(), tool("greedy")).await);
        assert!(error.fault == Fault::Refused(403) && error.detail.contains("more"), "{error}");
        is_clean(&http, Some(&error));
    }
    assert_eq!(issuer.asked(), 9, "the first token, and eight with more scopes");
    http.call(cx(), echo("x")).await.unwrap();
}

//! Servers that want a sign-in which the gateway has not.

use super::world::*;

#[tokio::test]
async fn a_server_that_wants_a_sign_in_says_so_in_words() {
    let issuer = Issuer::start().await;
    let server = protected(&issuer, Era::Modern).await;
    let http = HttpDownstream::new(options(server.address)).unwrap();
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::SignIn, Delivery::NotSent));
    for text in ["sign-in", "oauth-protected-resource/mcp", "scopes tools", "oauth", "user's own"] {
        assert!(error.detail.contains(text), "{text} is not in {}", error.detail);
    }
    assert!(http.health().last_error.unwrap().contains("sign-in"));
    assert_eq!(issuer.paths(), Vec::<String>::new(), "nobody was asked to find that out");
}

#[tokio::test]
async fn a_refused_header_of_the_operator_and_other_schemes_are_refusals_as_before() {
    for (value, header) in [(r#"Bearer error="invalid_token""#, true), (r#"Basic realm="x""#, false)] {
        let server = Server::start(move |_| ready(challenged(401, value, "no"))).await;
        let mut made = options(server.address);
        if header {
            made.headers.push((HeaderName::from_static("authorization"), HeaderValue::from_static("Bearer old")));
        }
        let error = failed(HttpDownstream::new(made).unwrap().call(cx(), echo("x")).await);
        assert_eq!((error.fault, error.delivery), (Fault::Refused(401), Delivery::NotSent));
    }
}

#[tokio::test]
async fn an_authorization_server_only_for_users_is_named_as_one() {
    let rules = Rules { metadata: json!({"grant_types_supported": ["authorization_code"]}), ..Rules::default() };
    let issuer = Issuer::with(rules).await;
    let server = protected(&issuer, Era::Modern).await;
    let http = signed(&server, oauth(None));
    let error = failed(http.call(cx(), echo("x")).await);
    assert_eq!((error.fault, error.delivery), (Fault::SignIn, Delivery::NotSent));
    assert!(error.detail.contains("user's own") && error.detail.contains(&issuer.issuer), "{}", error.detail);
    assert_eq!(issuer.asked(), 0);
}

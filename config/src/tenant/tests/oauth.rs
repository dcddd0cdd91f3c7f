//! What people get wrong about issuers, scopes and the gateway's own sign-in, and what they hear; then what they get right.

use patchbay_core::{
    issuer::{Algorithm, ClientAuth, INTROSPECTION_SECRET},
    model::{Access, ServerOauth},
};

use super::*;

fn complaint(text: &str) -> String {
    let said = parse(text).map(|_| ()).unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
    said
}

#[test]
fn each_mistake_about_an_issuer_is_said() {
    let algorithms = "expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";
    for (issuer, expected) in [
        ("{}", "3:6: issuers.i.issuer: expected a text, found nothing".to_owned()),
        (
            "{issuer: login.example.org}",
            "3:15: issuers.i.issuer: expected the issuer as its tokens write it in `iss`: an https address as in https://login.example.org/realms/acme, without user name, `?` and `#`".to_owned(),
        ),
        (
            "{issuer: 'https://i', jwks_url: /keys}",
            "3:38: issuers.i.jwks_url: expected an https address as in https://login.example.org/keys, without user name and `#`".to_owned(),
        ),
        (
            "{issuer: 'https://i', metadata_url: 'https://u:hunter2@h/m'}",
            "3:42: issuers.i.metadata_url: expected an https address as in https://login.example.org/keys, without user name and `#`".to_owned(),
        ),
        (
            "{issuer: 'https://i', algorithms: [ES256, HS256]}",
            format!("3:48: issuers.i.algorithms[1]: `HS256` signs with a shared secret, so that whoever can check such a token could also write one; {algorithms}"),
        ),
        (
            "{issuer: 'https://i', algorithms: [none]}",
            format!("3:41: issuers.i.algorithms[0]: `none` stands for no signature at all, so that anybody could write such a token; {algorithms}"),
        ),
        (
            "{issuer: 'https://i', audiences: ['*']}",
            "3:40: issuers.i.audiences[0]: expected an audience as tokens write it in `aud`: it is compared exactly, `*` stands for nothing".to_owned(),
        ),
        (
            "{issuer: 'https://i', token_types: ['at jwt']}",
            "3:42: issuers.i.token_types[0]: expected the `typ` of access tokens, as in at+jwt or JWT".to_owned(),
        ),
        (
            "{issuer: 'https://i', claims: {subject: ''}}",
            "3:46: issuers.i.claims.subject: expected a text that is not empty".to_owned(),
        ),
        (
            "{issuer: 'https://i', scope_implies: {admin: [write, offline_access]}}",
            "3:59: issuers.i.scope_implies.admin[1]: `offline_access` asks an issuer for refresh tokens, which open nothing here; leave it out".to_owned(),
        ),
        (
            "{issuer: 'https://i', scopes_required: ['a b']}",
            "3:46: issuers.i.scopes_required[0]: expected one scope: 1 to 200 visible characters of ASCII, without spaces, `\"` and `\\`".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb}}",
            "3:43: issuers.i.introspection.client_secret: expected a text, found nothing".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: [hunter2]}}",
            "3:74: issuers.i.introspection.client_secret: expected a text, found a list".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: '${env:NO}'}}",
            "3:74: issuers.i.introspection.client_secret: there is no env:NO".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: '${env:EMPTY}'}}",
            "3:74: issuers.i.introspection.client_secret: expected a secret, found an empty text".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: '${env:LINES}'}}",
            "3:74: issuers.i.introspection.client_secret: expected one line without control characters".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: hunter2, auth: private_key_jwt}}",
            "3:89: issuers.i.introspection.auth: expected `basic` or `post`, found \"private_key_jwt\"".to_owned(),
        ),
        (
            "{issuer: 'https://i', introspection: {client_id: pb, client_secret: hunter2, cache_s: 0}}",
            "3:92: issuers.i.introspection.cache_s: expected a whole number of seconds from 1 to 300, found 0".to_owned(),
        ),
        (
            "{issuer: 'https://i', registration: {callback_port: 3118}}",
            "3:58: issuers.i.registration.callback_port: expected a `client_id` beside it: it is the port of that client's redirect URI".to_owned(),
        ),
        (
            "{issuer: 'https://i', registration: {client_id: a, callback_port: 0}}",
            "3:72: issuers.i.registration.callback_port: expected a whole number from 1 to 65535, found 0".to_owned(),
        ),
    ] {
        let said = complaint(&format!("tenant: a\nissuers:\n  i: {issuer}\n"));
        assert_eq!(said, format!("acme.yaml:{expected}"), "\n{issuer}");
    }
}

#[test]
fn each_mistake_about_scopes_and_groups_is_said() {
    let head = "tenant: a\nissuers: {i: {issuer: 'https://i'}}\ntoolsets:\n";
    let useless = "would do nothing: only tokens have groups and scopes, and this toolset takes none; expected `access: oauth` or `access: both` beside it";
    for (toolset, expected) in [
        ("t: {groups: [dev]}", format!("4:6: toolsets.t.groups: {useless}")),
        ("t: {access: anonymous, write_groups: [dev]}", format!("4:25: toolsets.t.write_groups: {useless}")),
        ("t: {access: key, scopes: {enter: [a]}}", format!("4:19: toolsets.t.scopes: {useless}")),
        (
            "t: {access: both, scopes: {tools: {get_x: [a]}}}",
            "4:37: toolsets.t.scopes.tools.get_x: expected a glob over `server/name`, as in `github/get_x` or `*/get_x`".to_owned(),
        ),
        (
            "t: {access: both, scopes: {tools: {github/get_x: []}}}",
            "4:37: toolsets.t.scopes.tools.github/get_x: expected at least one scope".to_owned(),
        ),
        (
            "t: {access: both, scopes: {tools: {github/get_x: [offline_access]}}}",
            "4:52: toolsets.t.scopes.tools.github/get_x[0]: `offline_access` asks an issuer for refresh tokens, which open nothing here; leave it out".to_owned(),
        ),
        (
            "t: {access: oauth, scopes: {enter: a}}",
            "4:37: toolsets.t.scopes.enter: expected a list, found a text".to_owned(),
        ),
        (
            "t: {access: oauth, groups: ['']}",
            "4:30: toolsets.t.groups[0]: expected a text that is not empty".to_owned(),
        ),
    ] {
        assert_eq!(complaint(&format!("{head} {toolset}\n")), format!("acme.yaml:{expected}"), "\n{toolset}");
    }
    let many = |count: usize| (0..count).map(|n| format!("s{n},")).collect::<String>();
    let enter = |count: usize| format!("{head} t: {{access: oauth, scopes: {{enter: [{}]}}}}\n", many(count));
    assert!(parse(&enter(scopes::SCOPES_MAX)).is_ok());
    let said = complaint(&enter(scopes::SCOPES_MAX + 1));
    assert_eq!(said, "acme.yaml:4:37: toolsets.t.scopes.enter: expected at most 64 items, found 65");
}

#[test]
fn a_toolset_that_takes_tokens_needs_somebody_who_makes_them() {
    for access in ["oauth", "both"] {
        let said = complaint(&format!("tenant: a\ntoolsets:\n  t: {{access: {access}}}\n"));
        assert_eq!(
            said,
            "acme.yaml:3:15: toolsets.t.access: takes tokens of the tenant's issuers, and the tenant has none; say who signs its people in, as in `issuers: { corp: { issuer: https://login.example.org/realms/acme } }`"
        );
    }
    let said = complaint("tenant: a\nissuers: [x]\ntoolsets:\n  t: {access: oauth}\n");
    assert_eq!(said, "acme.yaml:2:10: issuers: expected a mapping, found a list");
}

#[test]
fn an_issuer_stands_there_once_and_few_are_asked_about_opaque_tokens() {
    let said = complaint("tenant: a\nissuers:\n  one: {issuer: 'https://i'}\n  two: {issuer: 'https://i'}\n");
    assert_eq!(said, "acme.yaml:4:17: issuers.two.issuer: `one` is this issuer already; expected each issuer once");
    assert!(parse("tenant: a\nissuers:\n  one: {issuer: 'https://i'}\n  two: {issuer: 'https://i/'}\n").is_ok());
    let asked = |count: usize| {
        let one = |n| {
            format!("  i{n}: {{issuer: 'https://i/{n}', introspection: {{client_id: pb, client_secret: hunter2}}}}\n")
        };
        format!("tenant: a\nissuers:\n{}", (0..count).map(one).collect::<String>())
    };
    assert!(parse(&asked(4)).is_ok());
    assert!(
        complaint(&asked(5))
            .contains("issuers.i4.introspection: expected at most 4 issuers with `introspection`, since")
    );
}

#[test]
fn each_mistake_about_the_gateways_own_sign_in_is_said() {
    for (server, expected) in [
        (
            "{command: x, oauth: {client_id: pb, client_secret: hunter2}}",
            "3:19: servers.s.oauth: belongs to a server with `url`; this one has `command`",
        ),
        (
            "{url: 'https://h', oauth: {client_secret: hunter2}}",
            "3:32: servers.s.oauth.client_id: expected a text, found nothing",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb}}",
            "3:25: servers.s.oauth.client_secret: expected `client_secret` beside `auth: basic`, found nothing",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: post}}",
            "3:25: servers.s.oauth.client_secret: expected `client_secret` beside `auth: post`, found nothing",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, algorithm: ES256}}",
            "3:25: servers.s.oauth.private_key: expected `private_key` beside `auth: private_key_jwt`, found nothing",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, private_key: '${env:PEM}'}}",
            "3:25: servers.s.oauth.algorithm: expected `algorithm` beside `auth: private_key_jwt`, found nothing",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, algorithm: HS256, private_key: '${env:PEM}'}}",
            "3:82: servers.s.oauth.algorithm: `HS256` signs with a shared secret, so that whoever can check such a token could also write one; expected one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, algorithm: ES256, private_key: hunter2}}",
            "3:102: servers.s.oauth.private_key: expected a private key in PEM, the line -----BEGIN PRIVATE KEY----- or one like it first; the surest way is ${file:PATH}",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, client_secret: hunter2, private_key: '${env:PEM}', key_id: a}}",
            "3:85: servers.s.oauth.private_key: belongs to `auth: private_key_jwt`\nacme.yaml:3:107: servers.s.oauth.key_id: belongs to `auth: private_key_jwt`",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, algorithm: ES256, private_key: '${sealed}', client_secret: hunter2}}",
            "3:130: servers.s.oauth.client_secret: belongs to `auth: basic` or `auth: post`",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, client_secret: 'x ${sealed}'}}",
            "3:63: servers.s.oauth.client_secret: expected `${sealed}` to stand alone: it keeps the whole value that the store has",
        ),
        (
            "{url: 'https://h', headers: {authorization: hunter2}, oauth: {client_id: pb, client_secret: hunter2}}",
            "3:60: servers.s.oauth: the header Authorization is given too, and a request can carry only one of them; expected either `oauth` or that header",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, client_secret: hunter2, scopes: [a, offline_access]}}",
            "3:84: servers.s.oauth.scopes[1]: `offline_access` asks an issuer for refresh tokens, which open nothing here; leave it out",
        ),
        (
            "{url: 'https://h', oauth: {client_id: pb, client_secret: hunter2, issuer: 'https://i?x', resource: h}}",
            "3:80: servers.s.oauth.issuer: expected the issuer as its tokens write it in `iss`: an https address as in https://login.example.org/realms/acme, without user name, `?` and `#`\nacme.yaml:3:105: servers.s.oauth.resource: expected an https address as in https://login.example.org/keys, without user name and `#`",
        ),
        (
            "{url: 'https://h', read_tools: ['a['], write_tools: ['']}",
            "3:38: servers.s.read_tools[0]: expected a glob, as in `get_*`: unclosed character class; missing ']'\nacme.yaml:3:59: servers.s.write_tools[0]: expected a glob of 1 to 300 characters, as in `get_*`",
        ),
    ] {
        let said = complaint(&format!("tenant: a\nservers:\n  s: {server}\n"));
        assert_eq!(said, format!("acme.yaml:{expected}"), "\n{server}");
    }
}

#[test]
fn the_example_with_an_issuer_means_what_it_says() {
    let text = include_str!("../../../examples/orbit.yaml");
    let env: Environment = [("INTROSPECTION_SECRET", "hunter2"), ("CRM_SECRET", "hunter2")].into_iter().collect();
    let doc = tenant_from_yaml(text, "orbit.yaml", &resolver(&env, Path::new(""))).unwrap();
    let spec = &doc.issuers["corp"].spec;
    assert_eq!(spec.algorithms, [Algorithm::RS256, Algorithm::ES256]);
    assert_eq!(spec.claims.groups, "realm_access.roles");
    assert_eq!(spec.scope_implies["mcp:write"], ["mcp:read"]);
    let introspection = spec.introspection.as_ref().unwrap();
    assert_eq!((introspection.auth, introspection.cache_s), (ClientAuth::Basic, 5));
    let secret = doc.issuers["corp"].secrets[INTROSPECTION_SECRET].as_ref();
    assert_eq!(secret.map(ExposeSecret::expose_secret), Some("hunter2"));
    let default = &doc.toolsets["default"];
    assert_eq!((default.access, default.rules.write_groups.as_slice()), (Access::Both, &["writers".to_owned()][..]));
    assert_eq!(default.rules.scopes.tools["crm/delete_*"], ["crm:admin"]);
    assert_eq!(doc.toolsets["scripts"].access, Access::Key);
    let Transport::Http { oauth: Some(oauth), .. } = &doc.servers["crm"].spec.transport else { panic!() };
    assert_eq!((oauth.client_id.as_str(), oauth.auth), ("patchbay", ClientAuth::Post));
    let secret = doc.servers["crm"].secrets[ServerOauth::SECRET].as_ref();
    assert_eq!(secret.map(ExposeSecret::expose_secret), Some("hunter2"));
    assert_eq!(doc.servers["crm"].spec.classes.read, ["get_*", "list_*"]);
    assert!(!format!("{doc:?}").contains("hunter2"));
}

#[test]
fn secrets_of_issuers_and_sign_ins_are_shown_in_no_export_and_no_difference() {
    let text = "tenant: a\nissuers:\n  i: {issuer: 'https://i', introspection: {client_id: pb, client_secret: hunter2}}\nservers:\n  h: {url: 'https://h', oauth: {client_id: pb, auth: private_key_jwt, algorithm: ES256, private_key: '${env:PEM}'}}\n";
    let row = row(&parse(text).unwrap());
    let exported = tenant_to_yaml(&row);
    assert_eq!(
        exported,
        "tenant: a\nissuers:\n  i:\n    issuer: https://i\n    introspection:\n      client_id: pb\n      client_secret: ${sealed}\n      cache_s: 5\nservers:\n  h:\n    url: https://h\n    oauth:\n      client_id: pb\n      auth: private_key_jwt\n      private_key: ${sealed}\n      algorithm: ES256\ntoolsets:\n  default: {}\n"
    );
    let again = parse(&exported).unwrap();
    assert!(again.issuers["i"].secrets[INTROSPECTION_SECRET].is_none());
    assert!(again.servers["h"].secrets[ServerOauth::PRIVATE_KEY].is_none());
    assert_eq!(diff(Some(&row), &again), "  tenant a\n    nothing changes\n");

    let after = "tenant: a\nissuers:\n  i: {issuer: 'https://i', algorithms: [ES256], introspection: {client_id: pb, client_secret: hunter23}}\n  j: {issuer: 'https://j', introspection: {client_id: pb, client_secret: '${sealed}'}}\nservers:\n  h: {url: 'https://h', oauth: {client_id: pb, client_secret: hunter2}, read_tools: ['get_*']}\ntoolsets:\n  default: {access: both, groups: [dev], scopes: {enter: [a], tools: {h/x: [b]}}}\n";
    let said = diff(Some(&row), &parse(after).unwrap());
    let expected = "  tenant a
  ~ issuer i
    + algorithms: [\"ES256\"]
    ~ secret introspection:client_secret: changed
  + issuer j
    + introspection.cache_s: 5
    + introspection.client_id: \"pb\"
    + issuer: \"https://j\"
    ! secret introspection:client_secret: ${sealed}, but the store has none; give its value
  ~ server h
    - oauth.algorithm: \"ES256\"
    - oauth.auth: \"private_key_jwt\"
    + read_tools: [\"get_*\"]
    + secret oauth:client_secret: set
    - secret oauth:private_key
  ~ toolset default
    + access: \"both\"
    + groups: [\"dev\"]
    + scopes.enter: [\"a\"]
    + scopes.tools.h/x: [\"b\"]
";
    assert_eq!(said, expected, "\n{said}");
    let gone = diff(Some(&row), &parse("tenant: a\n").unwrap());
    assert_eq!(gone, "  tenant a\n  - issuer i\n  - server h\n");
}

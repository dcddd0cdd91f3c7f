//! Whatever a tenant is made of: exported and applied again, it is the same.

use std::collections::BTreeMap;

use patchbay_core::{
    access::{AccessRules, ScopeRules, ToolClasses},
    audit::{AuditArguments, AuditLevel, Keep, TenantAudit, WhenFull},
    issuer::{
        Algorithm, ClaimNames, ClientAuth, INTROSPECTION_SECRET, Introspection, IssuerDoc, IssuerSpec, Registration,
    },
    limits::{Amount, Applies, Dimension, LimitRule, Rate, WhenAway},
    model::{
        Access, Asks, Overflow, PrefixMode, ServerDoc, ServerOauth, ServerSpec, TenantLimits, ToolRules, ToolsetSpec,
    },
};
use proptest::{collection, option, prelude::*};
use serde_json::json;

use super::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
        prop::sample::select(vec![
            "",
            "yes",
            "no",
            "null",
            "~",
            "1.10",
            "0x1F",
            "- a",
            "a: b",
            "#x",
            "${env:X}",
            "${sealed}",
            "'",
            "\"",
            "\\",
            "a\nb\n",
            " a ",
            "\t",
            "\r\n",
            "%",
            "@x",
            "`",
            "|",
            ">",
            "<<",
            "=",
            "{",
            "[x]",
            "*a",
            "&a",
            "!t",
            "---",
            "...",
            "\u{85}",
            "\u{2028}",
            "\u{feff}x",
            "007",
            "1_000",
            ".nan",
            "-",
            "?",
            "2001-01-01",
            "1e3",
            "é",
            "a\n  b\n c",
        ])
        .prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    text().prop_filter("a name", |name| !name.is_empty())
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1.0e9..1.0e9).prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            collection::btree_map(text(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn transport() -> impl Strategy<Value = Transport> {
    let sharing = prop::sample::select(vec![Sharing::Shared, Sharing::Principal, Sharing::Session]);
    let era = prop::sample::select(vec![EraPin::Auto, EraPin::Legacy, EraPin::Modern]);
    let names =
        |pattern| collection::btree_set(pattern, 0..3).prop_map(|names| names.into_iter().collect::<Vec<String>>());
    let options = option::of(collection::btree_map(text(), value(), 0..4))
        .prop_map(|map| map.map_or(Json::Null, |map| json!(map)));
    prop_oneof![
        ("[a-z][a-z0-9-]{0,9}", options, names("[a-z0-9_-]{1,6}"))
            .prop_map(|(name, options, secrets)| Transport::Builtin { name, options, secrets }),
        (
            "[a-zA-Z/@.][!-~]{0,9}",
            collection::vec(text(), 0..4),
            names("X[A-Z]{1,4}"),
            option::of("/[ -~]{0,9}"),
            sharing.clone(),
            era.clone()
        )
            .prop_map(|(command, args, env, cwd, sharing, era)| Transport::Stdio {
                command,
                args,
                env,
                cwd,
                sharing,
                era
            }),
        ("https://h[a-z]{0,5}\\.org/[a-z?=&%:]{0,5}", names("X-[A-Z]{1,4}"), option::of(oauth()), sharing, era)
            .prop_map(|(url, headers, oauth, sharing, era)| Transport::Http { url, headers, oauth, sharing, era }),
    ]
}

fn scopes() -> impl Strategy<Value = Vec<String>> {
    collection::vec("[!#-\\[\\]-~]{1,9}", 0..4)
}

fn algorithm() -> impl Strategy<Value = Algorithm> + Clone {
    prop::sample::select(Algorithm::USUAL.to_vec())
}

fn client_auth() -> impl Strategy<Value = ClientAuth> {
    prop::sample::select(vec![ClientAuth::Basic, ClientAuth::Post, ClientAuth::PrivateKeyJwt])
}

fn address() -> impl Strategy<Value = String> {
    "https?://h[a-z]{0,5}\\.org(:[1-9][0-9]{0,3})?(/[a-z~%=&.:-]{0,5}/?)?"
}

/// What a client id, a key id or an audience may be.
fn visible() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-)+-~]{1,9}",
        prop::sample::select(vec!["yes", "1.10", "null", "~", "a: b", "#x", "a #b", "{", "[x]", "&a", "!t", "-", "?"])
            .prop_map(str::to_owned)
    ]
}

fn oauth() -> impl Strategy<Value = ServerOauth> {
    let optional = || option::of(address());
    (visible(), client_auth(), algorithm(), option::of(visible()), (optional(), optional()), scopes()).prop_map(
        |(client_id, auth, algorithm, key_id, (issuer, resource), scopes)| {
            let by_key = auth == ClientAuth::PrivateKeyJwt;
            ServerOauth {
                client_id,
                auth,
                algorithm: by_key.then_some(algorithm),
                key_id: key_id.filter(|_| by_key),
                issuer,
                resource,
                scopes,
            }
        },
    )
}

fn introspection() -> impl Strategy<Value = Introspection> {
    (option::of(address()), visible(), any::<bool>(), 1..300_u32).prop_map(|(url, client_id, post, cache_s)| {
        Introspection { url, client_id, auth: if post { ClientAuth::Post } else { ClientAuth::Basic }, cache_s }
    })
}

fn registration() -> impl Strategy<Value = Registration> {
    (option::of((visible(), option::of(1..u16::MAX))), any::<(bool, bool)>()).prop_map(|(client, hints)| {
        let (client_id, callback_port) = client.map_or((None, None), |(id, port)| (Some(id), port));
        Registration { client_id, callback_port, dynamic: hints.0, metadata_document: hints.1 }
    })
}

fn claims() -> impl Strategy<Value = ClaimNames> {
    let claim = || text().prop_filter("a claim", |text| !text.is_empty() && !text.contains(char::is_control));
    prop_oneof![
        Just(ClaimNames::default()),
        (claim(), claim(), claim()).prop_map(|(subject, name, groups)| ClaimNames { subject, name, groups }),
    ]
}

fn issuer() -> impl Strategy<Value = IssuerSpec> {
    (
        (option::of(address()), option::of(address()), collection::vec(visible(), 0..3)),
        (collection::vec(algorithm(), 0..3), collection::vec("[a-z+/.-]{1,9}", 0..3), claims()),
        (collection::btree_map("[!#-\\[\\]-~]{1,9}", scopes(), 0..3), scopes()),
        (option::of(introspection()), registration()),
    )
        .prop_map(|(addresses, tokens, scopes, clients)| IssuerSpec {
            issuer: String::new(),
            metadata_url: addresses.0,
            jwks_url: addresses.1,
            audiences: addresses.2,
            algorithms: tokens.0,
            token_types: tokens.1,
            claims: tokens.2,
            scope_implies: scopes.0,
            scopes_required: scopes.1,
            introspection: clients.0,
            registration: clients.1,
        })
}

fn access_rules() -> impl Strategy<Value = AccessRules> {
    let groups = || collection::vec(name(), 0..3);
    let some_scopes = scopes().prop_filter("not empty", |list| !list.is_empty());
    (
        groups(),
        groups(),
        scopes(),
        scopes(),
        scopes(),
        collection::btree_map("[a-z*]{1,6}/[a-z*?.]{1,6}", some_scopes, 0..3),
    )
        .prop_map(|(groups, write_groups, enter, read, write, tools)| AccessRules {
            groups,
            write_groups,
            scopes: ScopeRules { enter, read, write, tools },
        })
}

fn rules(
    name: impl Strategy<Value = String> + Clone + 'static,
    glob: &'static str,
) -> impl Strategy<Value = ToolRules> {
    let unique = |map: BTreeMap<String, ()>, salt: u32| {
        map.into_keys().enumerate().map(|(at, name)| (name, format!("r{salt}_{at}"))).collect()
    };
    (
        collection::vec(glob, 0..3),
        collection::vec(glob, 0..3),
        (collection::btree_map(name.clone(), Just(()), 0..3), any::<u32>())
            .prop_map(move |(map, salt)| unique(map, salt)),
        collection::btree_map(name, text(), 0..3),
    )
        .prop_map(|(allow, deny, rename, describe)| ToolRules { allow, deny, rename, describe })
}

fn server() -> impl Strategy<Value = ServerSpec> {
    (
        (transport(), any::<bool>(), rules(name().boxed(), "[a-z*?.]{1,6}"), option::of(1..86_400_u32)),
        (option::of(1..4096_u32), collection::vec(text(), 0..3), any::<bool>(), any::<[bool; 3]>()),
        (collection::vec("[a-z*?.]{1,6}", 0..3), collection::vec("[a-z*?.]{1,6}", 0..3), any::<Option<bool>>()),
    )
        .prop_map(
            |(
                (transport, enabled, tools, call_timeout_s),
                (concurrency_max, idempotent_tools, instructions, [elicitation, sampling, roots]),
                (read, write, trust_hints),
            )| {
                ServerSpec {
                    classes: ToolClasses { read, write, trust_hints },
                    transport,
                    enabled,
                    prefix: None,
                    tools,
                    call_timeout_s,
                    concurrency_max,
                    idempotent_tools,
                    instructions,
                    asks: Asks { elicitation, sampling, roots },
                }
            },
        )
}

fn toolset() -> impl Strategy<Value = ToolsetSpec> {
    let native = name().prop_map(|name| format!("s0/{name}")).boxed();
    (
        option::of(Just(vec!["s0".parse().unwrap()])),
        (
            prop::sample::select(vec![Access::Key, Access::Oauth, Access::Both, Access::Anonymous]),
            any::<(bool, bool)>(),
        ),
        access_rules(),
        rules(native, "[a-z*]{1,6}/[a-z*?.]{1,6}"),
        option::of(1..100_u32),
        collection::vec("[a-z*]{1,6}/[a-z*?.]{1,6}", 0..3),
    )
        .prop_map(|(servers, (access, (prefix, overflow)), rules, tools, tools_max, keep_first)| ToolsetSpec {
            rules: if access.takes_tokens() { rules } else { AccessRules::default() },
            access,
            prefix: if prefix && servers.is_some() { PrefixMode::Never } else { PrefixMode::Always },
            servers,
            tools,
            tools_max,
            overflow: if overflow { Overflow::Drop } else { Overflow::Refuse },
            keep_first,
        })
}

fn limit_rules() -> impl Strategy<Value = Vec<LimitRule>> {
    let amount = prop_oneof![
        // No lighter than any weight below.
        (1..60_000_u32, 1..600_u64, 1000..60_000_u32).prop_map(|(count, seconds, burst)| Amount::Rate(Rate {
            count,
            period: std::time::Duration::from_secs(seconds),
            burst
        })),
        (1..60_000_u32).prop_map(Amount::Concurrent),
    ];
    let of = |names: &[&str]| {
        let names = names.iter().map(|name| name.parse().unwrap()).collect::<Vec<patchbay_core::Slug>>();
        prop::sample::subsequence(names.clone(), 0..=names.len())
    };
    let applies = (of(&["default"]), of(&["s0"]), collection::vec("[a-z*]{1,6}/[a-z*?.]{1,6}", 0..3))
        .prop_map(|(toolsets, servers, tools)| Applies { toolsets, servers, tools });
    let rule = (
        prop::sample::subsequence(Dimension::ALL.to_vec(), 0..=6),
        amount,
        applies,
        prop::sample::select(vec![WhenAway::Local, WhenAway::Closed, WhenAway::Open]),
        any::<bool>(),
    );
    collection::btree_map("r[a-z0-9_-]{0,39}", rule, 0..8).prop_map(|rules| {
        let rule = |(name, (by, amount, applies, away, dry_run)): (String, _)| LimitRule {
            name: name.into(),
            by,
            amount,
            applies,
            away,
            dry_run,
        };
        rules.into_iter().map(rule).collect()
    })
}

fn weights() -> impl Strategy<Value = Vec<(String, u32)>> {
    let pairs = collection::vec(("[a-z*]{1,6}/[a-z*?.:#]{1,6}", 0..=1000_u32), 0..4);
    pairs.prop_map(|mut pairs| {
        let mut seen = std::collections::HashSet::new();
        pairs.retain(|(glob, _)| seen.insert(glob.clone()));
        pairs
    })
}

fn audit() -> impl Strategy<Value = TenantAudit> {
    let globs = || collection::vec("[a-z*]{1,6}/[a-z*?.]{1,6}", 0..3);
    let keep = ("[a-z*]{1,6}/[a-z*?.]{1,6}", collection::vec(name(), 1..3));
    let keep = keep.prop_map(|(tools, arguments)| Keep { tools, arguments });
    let of = |levels: &[AuditLevel]| option::of(prop::sample::select(levels.to_vec()));
    (
        of(&[AuditLevel::Sync, AuditLevel::Ack, AuditLevel::Async]),
        option::of(prop::sample::select(vec![
            AuditArguments::None,
            AuditArguments::Keys,
            AuditArguments::Digest,
            AuditArguments::Redacted,
        ])),
        option::of(prop::sample::select(vec![WhenFull::Refuse, WhenFull::Pass])),
        collection::vec(keep, 0..3),
        globs(),
    )
        .prop_map(|(level, arguments, when_full, keep, closed_tools)| {
            let shows = arguments.is_none_or(|arguments| arguments == AuditArguments::Redacted);
            TenantAudit { level, arguments, when_full, keep: if shows { keep } else { Vec::new() }, closed_tools }
        })
}

/// The server with the same value in the place of each of its secrets.
fn with_secrets(spec: ServerSpec, secret: &str) -> ServerDoc {
    let secrets: Vec<_> = match &spec.transport {
        Transport::Http { headers, oauth, .. } => {
            let of_oauth = oauth.as_ref().map(|oauth| match oauth.auth {
                ClientAuth::PrivateKeyJwt => ServerOauth::PRIVATE_KEY.to_owned(),
                ClientAuth::Basic | ClientAuth::Post => ServerOauth::SECRET.to_owned(),
            });
            headers.iter().map(|name| format!("header:{name}")).chain(of_oauth).collect()
        }
        Transport::Stdio { env, .. } => env.iter().map(|name| format!("env:{name}")).collect(),
        Transport::Builtin { secrets, .. } => secrets.iter().map(|name| format!("secret:{name}")).collect(),
    };
    let secrets = secrets.into_iter().map(|name| (name, Some(SecretString::from(secret.trim())))).collect();
    ServerDoc { spec, secrets }
}

fn tenant() -> impl Strategy<Value = TenantDoc> {
    let limit = || option::of(1..60_000_u32);
    (
        ("[a-z0-9][a-z0-9-]{0,20}", option::of(text()), any::<bool>()),
        collection::vec(server(), 1..4),
        collection::btree_map("[a-z][a-z0-9-]{0,8}", toolset(), 0..3),
        collection::vec(issuer(), 1..4),
        ((limit(), option::of(1000..60_000_u32), limit()), limit_rules(), weights(), audit()),
    )
        .prop_map(|((slug, title, enabled), servers, toolsets, issuers, (limits, rules, weights, audit))| {
            let server =
                |(at, spec): (usize, ServerSpec)| (format!("s{at}").parse().unwrap(), with_secrets(spec, "hunter2"));
            let issuer = |(at, mut spec): (usize, IssuerSpec)| {
                spec.issuer = format!("https://login.example.org/{at}");
                let secret =
                    spec.introspection.as_ref().map(|_| (INTROSPECTION_SECRET.to_owned(), Some("hunter2".into())));
                (format!("i{at}").parse().unwrap(), IssuerDoc { spec, secrets: secret.into_iter().collect() })
            };
            let mut toolsets: BTreeMap<_, _> =
                toolsets.into_iter().map(|(name, spec)| (name.parse().unwrap(), spec)).collect();
            toolsets.entry("default".parse().unwrap()).or_default();
            TenantDoc {
                audit,
                issuers: issuers.into_iter().enumerate().map(issuer).collect(),
                slug: slug.parse().unwrap(),
                title,
                enabled,
                servers: servers.into_iter().enumerate().map(server).collect(),
                toolsets,
                limits: TenantLimits {
                    principal_per_second: limits.0,
                    principal_burst: limits.1,
                    principal_concurrency: limits.2,
                    rules: rules.into_iter().take(7).collect(),
                    weights,
                },
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_comes_back_the_same(doc in tenant()) {
        let row = row(&doc);
        let exported = tenant_to_yaml(&row);
        prop_assert!(!exported.contains("hunter2"));
        let again = tenant_from_yaml(&exported, "t.yaml", &no_secrets);
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{exported}")))?;
        same(&again, &doc, &exported)?;
        prop_assert!(diff(Some(&row), &again).ends_with("nothing changes\n"));
    }

    #[test]
    fn what_the_api_shows_can_be_sent_back_and_is_the_same(doc in tenant()) {
        let row = row(&doc);
        let shown = tenant_to_json(&row);
        prop_assert!(!shown.to_string().contains("hunter2"));
        let again = tenant_from_json(&shown, "acme", &crate::refuse_references());
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{shown:#}")))?;
        same(&again, &doc, &shown.to_string())?;
        prop_assert_eq!(tenant_to_json(&super::row(&again)), shown);
    }

    #[test]
    fn whatever_is_put_into_a_document_is_taken_or_refused_with_a_place_and_a_reason(
        doc in tenant(), at in any::<prop::sample::Index>(), put in value(), under in option::of(text())
    ) {
        let mut document = tenant_to_json(&row(&doc));
        let mut places = Vec::new();
        pointers("", &document, &mut places);
        let place = document.pointer_mut(&places[at.index(places.len())]).unwrap();
        match (under, place.as_object_mut()) {
            (Some(key), Some(members)) => drop(members.insert(key, put)),
            _ => *place = put,
        }
        if let Err(errors) = tenant_from_json(&document, "acme", &crate::refuse_references()) {
            for error in &errors {
                prop_assert!(!error.message.contains("cannot be understood"), "{}", document);
                let pointer = error.pointer();
                // A field that is missing stands in something that is there.
                let around = pointer.rsplit_once('/').map_or("", |(around, _)| around);
                prop_assert!(document.pointer(around).is_some(), "{} of {}", pointer, document);
            }
        }
    }

    #[test]
    fn a_file_and_the_document_made_of_it_mean_the_same(doc in tenant()) {
        let exported = tenant_to_yaml(&row(&doc));
        let document = tenant_document(&exported, "t.yaml", &no_secrets);
        let document = document.map_err(|errors| TestCaseError::fail(format!("{errors}\n{exported}")))?;
        let again = tenant_from_json(&document, "acme", &crate::refuse_references());
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{document:#}")))?;
        same(&again, &doc, &exported)?;
    }

    #[test]
    fn a_server_is_sent_with_whatever_its_secrets_are(spec in server(), secret in "[ -~]{0,8}(\\$\\{|\\$\\$\\{|x)[ -~]{1,8}x") {
        let doc = TenantDoc { servers: [("s0".parse().unwrap(), with_secrets(spec, &secret))].into(), ..parse("tenant: a").unwrap() };
        let Some(server) = doc.servers.get("s0").filter(|server| !server.secrets.contains_key(ServerOauth::PRIVATE_KEY)) else { return Ok(()) };
        let document = json!({ "tenant": "a", "servers": { "s0": crate::server_document(server) } });
        let again = tenant_from_json(&document, "acme", &crate::refuse_references());
        let again = again.map_err(|errors| TestCaseError::fail(format!("{errors}\n{document:#}")))?;
        prop_assert_eq!(&again.servers["s0"].spec, &server.spec);
        for (name, value) in &again.servers["s0"].secrets {
            prop_assert_eq!(value.as_ref().map(ExposeSecret::expose_secret), Some(secret.trim()), "{}", name);
        }
        prop_assert_eq!(again.servers["s0"].secrets.len(), server.secrets.len());
    }
}

/// All places of a document.
fn pointers(at: &str, json: &Json, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match json {
        Json::Object(members) => {
            for (key, inner) in members {
                pointers(&format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), inner, found);
            }
        }
        Json::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| pointers(&format!("{at}/{index}"), inner, found))
        }
        _ => {}
    }
}

/// Whether the tenant that came back is the one that went, its secrets apart.
fn same(again: &TenantDoc, doc: &TenantDoc, exported: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(&again.slug, &doc.slug);
    prop_assert_eq!(&again.title, &doc.title);
    prop_assert_eq!(again.enabled, doc.enabled);
    prop_assert_eq!(&again.limits, &doc.limits, "{}", exported);
    prop_assert_eq!(&again.audit, &doc.audit, "{}", exported);
    prop_assert_eq!(&again.toolsets, &doc.toolsets, "{}", exported);
    for (name, server) in &doc.servers {
        let other = &again.servers[name];
        prop_assert_eq!(&other.spec, &server.spec, "{}", exported);
        prop_assert!(other.secrets.values().all(Option::is_none));
        prop_assert!(other.secrets.keys().eq(server.secrets.keys()));
    }
    prop_assert_eq!(again.servers.len(), doc.servers.len());
    for (name, issuer) in &doc.issuers {
        let other = &again.issuers[name];
        prop_assert_eq!(&other.spec, &issuer.spec, "{}", exported);
        prop_assert!(other.secrets.values().all(Option::is_none));
        prop_assert!(other.secrets.keys().eq(issuer.secrets.keys()));
    }
    prop_assert_eq!(again.issuers.len(), doc.issuers.len());
    Ok(())
}

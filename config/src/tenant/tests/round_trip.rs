//! Whatever a tenant is made of: exported and applied again, it is the same.

use std::collections::BTreeMap;

use patchbay_core::model::{Access, Overflow, PrefixMode, ServerDoc, ServerSpec, TenantLimits, ToolRules, ToolsetSpec};
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
        ("https://h[a-z]{0,5}\\.org/[a-z?=&%:]{0,5}", names("X-[A-Z]{1,4}"), sharing, era)
            .prop_map(|(url, headers, sharing, era)| Transport::Http { url, headers, oauth: None, sharing, era }),
    ]
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
        (option::of(1..4096_u32), collection::vec(text(), 0..3), any::<bool>()),
    )
        .prop_map(
            |((transport, enabled, tools, call_timeout_s), (concurrency_max, idempotent_tools, instructions))| {
                ServerSpec {
                    classes: Default::default(),
                    transport,
                    enabled,
                    prefix: None,
                    tools,
                    call_timeout_s,
                    concurrency_max,
                    idempotent_tools,
                    instructions,
                }
            },
        )
}

fn toolset() -> impl Strategy<Value = ToolsetSpec> {
    let native = name().prop_map(|name| format!("s0/{name}")).boxed();
    (
        option::of(Just(vec!["s0".parse().unwrap()])),
        any::<(bool, bool, bool)>(),
        rules(native, "[a-z*]{1,6}/[a-z*?.]{1,6}"),
        option::of(1..100_u32),
        collection::vec("[a-z*]{1,6}/[a-z*?.]{1,6}", 0..3),
    )
        .prop_map(|(servers, (access, prefix, overflow), tools, tools_max, keep_first)| ToolsetSpec {
            rules: Default::default(),
            prefix: if prefix && servers.is_some() { PrefixMode::Never } else { PrefixMode::Always },
            servers,
            access: if access { Access::Key } else { Access::Anonymous },
            tools,
            tools_max,
            overflow: if overflow { Overflow::Drop } else { Overflow::Refuse },
            keep_first,
        })
}

fn tenant() -> impl Strategy<Value = TenantDoc> {
    let limit = || option::of(1..60_000_u32);
    (
        ("[a-z0-9][a-z0-9-]{0,20}", option::of(text()), any::<bool>()),
        collection::vec(server(), 1..4),
        collection::btree_map("[a-z][a-z0-9-]{0,8}", toolset(), 0..3),
        (limit(), limit(), limit()),
    )
        .prop_map(|((slug, title, enabled), servers, toolsets, limits)| {
            let server = |(at, spec): (usize, ServerSpec)| {
                let secrets: Vec<_> = match &spec.transport {
                    Transport::Http { headers, .. } => headers.iter().map(|name| format!("header:{name}")).collect(),
                    Transport::Stdio { env, .. } => env.iter().map(|name| format!("env:{name}")).collect(),
                    Transport::Builtin { secrets, .. } => secrets.iter().map(|name| format!("secret:{name}")).collect(),
                };
                let secrets = secrets.into_iter().map(|name| (name, Some(SecretString::from("hunter2")))).collect();
                (format!("s{at}").parse().unwrap(), ServerDoc { spec, secrets })
            };
            let mut toolsets: BTreeMap<_, _> =
                toolsets.into_iter().map(|(name, spec)| (name.parse().unwrap(), spec)).collect();
            toolsets.entry("default".parse().unwrap()).or_default();
            TenantDoc {
                issuers: Default::default(),
                slug: slug.parse().unwrap(),
                title,
                enabled,
                servers: servers.into_iter().enumerate().map(server).collect(),
                toolsets,
                limits: TenantLimits {
                    principal_per_second: limits.0,
                    principal_burst: limits.1,
                    principal_concurrency: limits.2,
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
        prop_assert_eq!(&again.slug, &doc.slug);
        prop_assert_eq!(&again.title, &doc.title);
        prop_assert_eq!(again.enabled, doc.enabled);
        prop_assert_eq!(again.limits, doc.limits);
        prop_assert_eq!(&again.toolsets, &doc.toolsets, "{}", exported);
        for (name, server) in &doc.servers {
            let other = &again.servers[name];
            prop_assert_eq!(&other.spec, &server.spec, "{}", exported);
            prop_assert!(other.secrets.values().all(Option::is_none));
            prop_assert!(other.secrets.keys().eq(server.secrets.keys()));
        }
        prop_assert_eq!(again.servers.len(), doc.servers.len());
        prop_assert!(diff(Some(&row), &again).ends_with("nothing changes\n"));
    }
}

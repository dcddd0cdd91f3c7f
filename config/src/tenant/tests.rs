//! What people get wrong in tenant files, and what they hear; then what comes back from an export.

use std::path::Path;

use patchbay_core::{
    Generation, ServerId, TenantId,
    issuer::IssuerRow,
    model::{EraPin, Secrets, ServerRow, Sharing, TenantRow, Transport},
};
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{Environment, SecretRef, resolver};

mod document;
mod governed;
mod oauth;
mod round_trip;

pub(super) fn no_secrets(reference: &SecretRef) -> Result<String, String> {
    match reference {
        SecretRef::Env(name) if name == "TOKEN" => Ok("hunter2".to_owned()),
        SecretRef::Env(name) if name == "LINES" => Ok("hunter2\nx".to_owned()),
        SecretRef::Env(name) if name == "EMPTY" => Ok(String::new()),
        SecretRef::Env(name) if name == "PEM" => {
            Ok("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n".to_owned())
        }
        other => Err(format!("there is no {other}")),
    }
}

fn parse(text: &str) -> Result<TenantDoc, ConfigErrors> {
    tenant_from_yaml(text, "acme.yaml", &no_secrets)
}

/// The row that the store would have after `apply` of the document on an empty store.
pub(super) fn row(doc: &TenantDoc) -> TenantRow {
    let opened = |secrets: &std::collections::BTreeMap<String, Option<SecretString>>| {
        secrets.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    };
    let servers = doc.servers.iter().map(|(slug, server)| ServerRow {
        id: ServerId::from_bits(1),
        slug: slug.clone(),
        spec: server.spec.clone(),
        secrets: Secrets(opened(&server.secrets)),
    });
    let issuers = doc.issuers.iter().map(|(slug, issuer)| IssuerRow {
        slug: slug.clone(),
        spec: issuer.spec.clone(),
        secrets: Secrets(opened(&issuer.secrets)),
    });
    TenantRow {
        audit: doc.audit.clone(),
        issuers: issuers.collect(),
        id: TenantId::from_bits(1),
        slug: doc.slug.clone(),
        title: doc.title.clone(),
        enabled: doc.enabled,
        generation: Generation(1),
        limits: doc.limits.clone(),
        servers: servers.collect(),
        toolsets: doc.toolsets.clone().into_iter().collect(),
    }
}

#[test]
fn each_mistake_is_said_with_line_column_field_and_what_was_expected() {
    for (text, expected) in [
        ("title: x\n", "acme.yaml:1:1: tenant: expected a text, found nothing"),
        (
            "tenant: Acme Ltd\n",
            "acme.yaml:1:9: tenant: `Acme Ltd` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `acme-ltd` would be one",
        ),
        ("tenant: a\nserver: {}\n", "acme.yaml:2:1: server: no such field; did you mean `servers`?"),
        ("tenant: a\nservers: [x]\n", "acme.yaml:2:10: servers: expected a mapping, found a list"),
        (
            "tenant: a\nservers:\n  My_S: {url: 'https://h/'}\n",
            "acme.yaml:3:3: servers.My_S: `My_S` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `my-s` would be one",
        ),
        ("tenant: a\nservers:\n  s:\n", "acme.yaml:3:3: servers.s: expected a mapping, found nothing"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "\n{text}");
    }
    for (server, expected) in [
        (
            "{}",
            "acme.yaml:3:3: servers.s: expected exactly one of `url` (a remote server), `command` (a local one) and `builtin` (part of the gateway)",
        ),
        (
            "{url: 'https://h', command: x}",
            "acme.yaml:3:3: servers.s: expected exactly one of `url` (a remote server), `command` (a local one) and `builtin` (part of the gateway)",
        ),
        ("{ulr: 'https://h'}", "acme.yaml:3:7: servers.s.ulr: no such field; did you mean `url`?"),
        (
            "{url: 'ftp://h'}",
            "acme.yaml:3:12: servers.s.url: expected an http or https address, as in https://mcp.example.org/mcp",
        ),
        (
            "{url: 'https://u:hunter2@h'}",
            "acme.yaml:3:12: servers.s.url: expected an address without user name and password; put them into headers, where they are kept secret",
        ),
        ("{url: 'https://h/#x'}", "acme.yaml:3:12: servers.s.url: expected an address without `#`"),
        (
            "{url: 'https://h', args: [x], cwd: /}",
            "acme.yaml:3:25: servers.s.args: belongs to a server with `command`; this one has `url`\nacme.yaml:3:41: servers.s.cwd: belongs to a server with `command`; this one has `url`",
        ),
        (
            "{builtin: db, sharing: session}",
            "acme.yaml:3:29: servers.s.sharing: belongs to a server with `url` or `command`; this one has `builtin`",
        ),
        ("{builtin: db, options: [hunter2]}", "acme.yaml:3:29: servers.s.options: expected a mapping, found a list"),
        (
            "{builtin: db, options: {sources: {a: {database: 'postgres://me:hunter2@db/x'}}}}",
            "acme.yaml:3:20: servers.s.options: expected no URL with a password here, where anybody may read it: put the URL under `secrets`, and write `secret:NAME` in its place",
        ),
        ("{builtin: db, secrets: [hunter2]}", "acme.yaml:3:29: servers.s.secrets: expected a mapping, found a list"),
        (
            "{builtin: db, secrets: {a: [hunter2]}}",
            "acme.yaml:3:33: servers.s.secrets.a: expected a text, found a list",
        ),
        ("{builtin: db, secrets: {a: '${env:X}'}}", "acme.yaml:3:33: servers.s.secrets.a: there is no env:X"),
        (
            "{builtin: db, secrets: {A: hunter2}}",
            "acme.yaml:3:33: servers.s.secrets.A: expected the name of a secret: 1 to 40 characters of a-z, 0-9, `-` and `_`",
        ),
        (
            "{builtin: db, secrets: {a: 'x${sealed}'}}",
            "acme.yaml:3:33: servers.s.secrets.a: expected `${sealed}` to stand alone: it keeps the whole value that the store has",
        ),
        (
            "{url: 'https://h', secrets: {a: hunter2}}",
            "acme.yaml:3:25: servers.s.secrets: belongs to a server with `builtin`; this one has `url`",
        ),
        (
            "{command: x, secrets: {a: hunter2}}",
            "acme.yaml:3:19: servers.s.secrets: belongs to a server with `builtin`; this one has `command`",
        ),
        (
            "{command: x, headers: {A: b}}",
            "acme.yaml:3:19: servers.s.headers: belongs to a server with `url`; this one has `command`",
        ),
        (
            "{command: x, era: sse}",
            "acme.yaml:3:24: servers.s.era: `sse` is the transport of servers with `url`; expected `auto`, `legacy` or `modern`",
        ),
        ("{command: x, cwd: here}", "acme.yaml:3:24: servers.s.cwd: expected an absolute path"),
        (
            "{command: x, env: {LD_PRELOAD: hunter2}}",
            "acme.yaml:3:37: servers.s.env.LD_PRELOAD: this variable decides which code a program loads, so tenants may not set it; ask the operator for a command of its own under stdio.commands",
        ),
        (
            "{command: x, env: {1A: hunter2}}",
            "acme.yaml:3:29: servers.s.env.1A: expected the name of a variable: 1 to 100 letters, digits or `_`, not starting with a digit",
        ),
        ("{command: x, env: {A: [hunter2]}}", "acme.yaml:3:28: servers.s.env.A: expected a text, found a list"),
        ("{command: x, env: hunter2}", "acme.yaml:3:24: servers.s.env: expected a mapping, found a text"),
        (
            "{command: x, env: {A: 'hunter2 ${X}'}}",
            "acme.yaml:3:28: servers.s.env.A: expected `${env:NAME}` or `${file:PATH}` after `${`; write `$${` where the two characters are meant",
        ),
        ("{command: x, env: {A: '${env:X}'}}", "acme.yaml:3:28: servers.s.env.A: there is no env:X"),
        (
            "{command: x, env: {A: 'x${sealed}'}}",
            "acme.yaml:3:28: servers.s.env.A: expected `${sealed}` to stand alone: it keeps the whole value that the store has",
        ),
        (
            "{url: 'https://h', headers: {Host: hunter2}}",
            "acme.yaml:3:41: servers.s.headers.Host: the gateway sets this header itself; leave it out",
        ),
        (
            "{url: 'https://h', headers: {A b: hunter2}}",
            "acme.yaml:3:40: servers.s.headers.\"A b\": expected the name of a header: 1 to 100 letters, digits or `-`",
        ),
        (
            "{url: 'https://h', headers: {A: '${env:LINES}'}}",
            "acme.yaml:3:38: servers.s.headers.A: expected one line without control characters",
        ),
        (
            "{url: 'https://h', headers: {x-a: b, X-A: c}}",
            "acme.yaml:3:40: servers.s.headers.x-a: this header stands here twice, in different spelling; expected it once",
        ),
        (
            "{url: 'https://h', era: new}",
            "acme.yaml:3:30: servers.s.era: expected `auto`, `legacy`, `modern` or `sse`, found \"new\"",
        ),
        (
            "{url: 'https://h', sharing: all}",
            "acme.yaml:3:34: servers.s.sharing: expected `shared`, `principal` or `session`, found \"all\"",
        ),
        (
            "{url: 'https://h', prefix: g_h}",
            "acme.yaml:3:33: servers.s.prefix: expected 1 to 12 characters of A-Z, a-z, 0-9 and `-`, found \"g_h\"",
        ),
        (
            "{url: 'https://h', prefix: much-too-long}",
            "acme.yaml:3:33: servers.s.prefix: expected at most 12 characters, found 13",
        ),
        (
            "{url: 'https://h', enabled: yes}",
            "acme.yaml:3:34: servers.s.enabled: expected true or false, found \"yes\"",
        ),
        (
            "{url: 'https://h', call_timeout_s: 0}",
            "acme.yaml:3:41: servers.s.call_timeout_s: expected a whole number of seconds from 1 to 86400, found 0",
        ),
        (
            "{url: 'https://h', tools: {allow: ['a[']}}",
            "acme.yaml:3:41: servers.s.tools.allow[0]: expected a glob, as in `get_*`: unclosed character class; missing ']'",
        ),
        (
            "{url: 'https://h', tools: {deny: ['']}}",
            "acme.yaml:3:40: servers.s.tools.deny[0]: expected a glob of 1 to 300 characters, as in `get_*`",
        ),
        (
            "{url: 'https://h', tools: {rename: {a: b c}}}",
            "acme.yaml:3:45: servers.s.tools.rename.a: expected 1 to 40 characters of A-Z, a-z, 0-9, `_` and `-`, found \"b c\"",
        ),
        (
            "{url: 'https://h', tools: {rename: {a: x, b: x}}}",
            "acme.yaml:3:51: servers.s.tools.rename.b: `a` is renamed to `x` already; expected another name",
        ),
    ] {
        let said = parse(&format!("tenant: a\nservers:\n  s: {server}\n")).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            said, expected,
            "
{server}"
        );
        assert!(!said.contains("hunter2"));
    }
}

#[test]
fn mistakes_between_servers_and_toolsets_are_said() {
    let servers = "tenant: a\nservers:\n  one: {builtin: db}\n  two: {builtin: db, prefix: b2}\ntoolsets:\n";
    for (toolset, expected) in [
        (
            "t: {servers: [one, too]}",
            "acme.yaml:6:21: toolsets.t.servers[1]: the tenant has no server \"too\"; did you mean `two`?",
        ),
        (
            "t: {servers: [one, one]}",
            "acme.yaml:6:21: toolsets.t.servers[1]: `one` stands in this list twice; expected it once",
        ),
        (
            "t: {prefix: never}",
            "acme.yaml:6:14: toolsets.t.prefix: `never` needs a toolset of exactly one server; this one has 2",
        ),
        ("t: {prefix: off}", "acme.yaml:6:14: toolsets.t.prefix: expected `always` or `never`, found \"off\""),
        (
            "t: {access: public}",
            "acme.yaml:6:14: toolsets.t.access: expected `key`, `oauth`, `both` or `anonymous`, found \"public\"",
        ),
        ("t: {overflow: cut}", "acme.yaml:6:16: toolsets.t.overflow: expected `drop` or `refuse`, found \"cut\""),
        (
            "t: {tools_max: 0}",
            "acme.yaml:6:17: toolsets.t.tools_max: expected a whole number from 1 to 100000, found 0",
        ),
        (
            "t: {tools: {allow: [get_x]}}",
            "acme.yaml:6:22: toolsets.t.tools.allow[0]: expected a glob over `server/name`, as in `github/get_x` or `*/get_x`",
        ),
        (
            "t: {keep_first: [get_x]}",
            "acme.yaml:6:19: toolsets.t.keep_first[0]: expected a glob over `server/name`, as in `github/get_x` or `*/get_x`",
        ),
        (
            "t: {tools: {rename: {get: x}}}",
            "acme.yaml:6:28: toolsets.t.tools.rename.get: expected `server/name`, found \"get\"",
        ),
        (
            "t: {tools: {describe: {ten/get: x}}}",
            "acme.yaml:6:34: toolsets.t.tools.describe.ten/get: the tenant has no server \"ten\"",
        ),
        (
            "T: {}",
            "acme.yaml:6:2: toolsets.T: `T` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `t` would be one",
        ),
    ] {
        let said = parse(&format!("{servers} {toolset}\n")).map(|_| ()).unwrap_err().to_string();
        assert_eq!(said, expected, "\n{toolset}");
    }
}

#[test]
fn prefixes_and_renames_that_meet_in_a_view_are_refused() {
    let clash = "tenant: a\nservers:\n  one: {builtin: db, prefix: two}\n  two: {builtin: db}\n";
    let apart = "toolsets:\n  default: {servers: [one]}\n  other: {servers: [two]}\n";
    assert_eq!(
        parse(clash).unwrap_err().to_string(),
        "acme.yaml:2:1: servers: the servers `one` and `two` have the same prefix `two`; give one of them another `prefix`"
    );
    assert!(parse(&format!("{clash}{apart}")).is_ok());
    let renames = "tenant: a\nservers:\n  one: {builtin: db, tools: {rename: {x: get}}}\n  two: {builtin: db, tools: {rename: {y: get}}}\n";
    assert_eq!(
        parse(renames).unwrap_err().to_string(),
        "acme.yaml:2:1: servers: `one/x` and `two/y` are both renamed to `get`; expected different names"
    );
    let healed = format!("{renames}toolsets:\n  default: {{tools: {{rename: {{two/y: get2}}}}}}\n");
    assert!(parse(&healed).is_ok());
}

#[test]
fn a_server_that_is_wrong_does_not_make_the_toolsets_wrong_too() {
    let text = "tenant: a\nservers:\n  s: {url: x}\n  t: {ulr: 'https://h'}\ntoolsets:\n  u: {servers: [s, t]}\n";
    let errors = parse(text).unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["servers.s.url", "servers.t.ulr"], "{errors}");
}

#[test]
fn too_many_of_anything_is_refused() {
    let many = |count: usize, what: &str| (0..count).map(|n| format!("  n{n}: {what}\n")).collect::<String>();
    let servers = format!("tenant: a\nservers:\n{}", many(SERVERS_MAX + 1, "{builtin: db}"));
    assert!(parse(&servers).unwrap_err().to_string().contains("servers: expected at most 200 entries, found 201"));
    let toolsets = format!("tenant: a\ntoolsets:\n{}", many(TOOLSETS_MAX + 1, "{}"));
    assert!(parse(&toolsets).unwrap_err().to_string().contains("toolsets: expected at most 64 entries, found 65"));
    let issuers = format!("tenant: a\nissuers:\n{}", many(ISSUERS_MAX + 1, "{issuer: 'https://i'}"));
    assert!(parse(&issuers).unwrap_err().to_string().contains("issuers: expected at most 16 entries, found 17"));
}

#[test]
fn the_example_means_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token.txt"), "t0ken\n").unwrap();
    let env: Environment = [("GITHUB_TOKEN", "gh_1"), ("BOOKS_PASSWORD", "b0oks")].into_iter().collect();
    let text = include_str!("../../examples/acme.yaml");
    let doc = tenant_from_yaml(text, "acme.yaml", &resolver(&env, folder.path())).unwrap();
    let secret = |server: &str, name: &str| {
        doc.servers[server].secrets[name].as_ref().map(|value| value.expose_secret().to_owned())
    };
    assert_eq!(secret("github", "header:Authorization").as_deref(), Some("Bearer gh_1"));
    assert_eq!(secret("everything", "env:TOKEN").as_deref(), Some("t0ken"));
    assert_eq!(secret("books", "secret:url").as_deref(), Some("postgres://reader:b0oks@db.example.org/books"));
    let Transport::Stdio { command, args, env, sharing, era, .. } = &doc.servers["everything"].spec.transport else {
        panic!("{:?}", doc.servers["everything"]);
    };
    assert_eq!((command.as_str(), args.len(), env.as_slice()), ("npx", 2, &["TOKEN".to_owned()][..]));
    assert_eq!((*sharing, *era), (Sharing::Principal, EraPin::Auto));
    assert_eq!(doc.toolsets["default"].keep_first, ["shop/*", "github/search_code"]);
    assert_eq!(doc.limits.principal_burst, Some(100));
    assert!(!format!("{doc:?}").contains("gh_1"));
}

#[test]
fn unquoted_numbers_and_truths_stay_as_they_are_written() {
    let text = "tenant: 42\nservers:\n  s: {command: x, args: [8080, true, 1.10, 0x1F, 1e3], env: {A: True, B: 007}}\n";
    let doc = parse(text).unwrap();
    let Transport::Stdio { args, .. } = &doc.servers["s"].spec.transport else { panic!() };
    assert_eq!(args, &["8080", "true", "1.10", "0x1F", "1e3"]);
    let secrets = &doc.servers["s"].secrets;
    let shown = |name: &str| secrets[name].as_ref().map(|value| value.expose_secret().to_owned());
    assert_eq!((shown("env:A").as_deref(), shown("env:B").as_deref()), (Some("True"), Some("007")));
}

#[test]
fn export_shows_no_secret_and_apply_of_it_changes_nothing() {
    let text = "tenant: a\ntitle: 'no'\nservers:\n  h: {url: 'https://h', headers: {X-Key: 'k ${env:TOKEN}'}}\n";
    let row = row(&parse(text).unwrap());
    let exported = tenant_to_yaml(&row);
    assert_eq!(
        exported,
        "tenant: a\ntitle: \"no\"\nservers:\n  h:\n    url: https://h\n    headers:\n      X-Key: ${sealed}\ntoolsets:\n  default: {}\n"
    );
    let again = parse(&exported).unwrap();
    assert!(again.servers["h"].secrets["header:X-Key"].is_none());
    assert_eq!(diff(Some(&row), &again), "  tenant a\n    nothing changes\n");
}

#[test]
fn a_built_in_server_keeps_its_secrets_beside_its_options() {
    let text = "tenant: a\nservers:\n  s: {builtin: db, options: {database: 'secret:url'}, secrets: {url: 'postgres://u:${env:TOKEN}@h/d'}}\n";
    let doc = parse(text).unwrap();
    let Transport::Builtin { options, secrets, .. } = &doc.servers["s"].spec.transport else { panic!() };
    assert_eq!((options["database"].as_str(), secrets.as_slice()), (Some("secret:url"), &["url".to_owned()][..]));
    let value = doc.servers["s"].secrets["secret:url"].as_ref().map(|value| value.expose_secret().to_owned());
    assert_eq!(value.as_deref(), Some("postgres://u:hunter2@h/d"));
    assert!(!format!("{doc:?}").contains("hunter2"));

    let row = row(&doc);
    let exported = tenant_to_yaml(&row);
    assert!(exported.contains("secrets:\n      url: ${sealed}\n") && !exported.contains("hunter2"), "{exported}");
    assert_eq!(diff(Some(&row), &parse(&exported).unwrap()), "  tenant a\n    nothing changes\n");
    let other = text.replace("/d'", "/e', more: '${sealed}'");
    let said = diff(Some(&row), &parse(&other).unwrap());
    assert!(said.contains("    ~ secret:url: changed\n"), "{said}");
    assert!(said.contains("    ! secret:more: ${sealed}, but the store has none; give its value\n"), "{said}");
    let none = parse("tenant: a\nservers:\n  s: {builtin: db, options: {database: 'secret:url'}}\n").unwrap();
    let gone = diff(Some(&row), &none);
    assert!(gone.contains("    - secret:url\n") && !gone.contains("hunter2"), "{gone}");
}

#[test]
fn the_difference_names_every_change_and_no_secret() {
    let before = "tenant: a\ntitle: A\nservers:\n  old: {builtin: db}\n  h: {url: 'https://h', headers: {X: k1one, Y: k2two, Z: k3three}, prefix: p}\n  same: {builtin: db}\ntoolsets:\n  gone: {}\n";
    let after = "tenant: a\ntitle: B\nlimits: {principal_burst: 5}\nservers:\n  new: {command: x, args: [-y], env: {T: '${env:TOKEN}', U: '${sealed}'}, enabled: false}\n  h: {url: 'https://i', headers: {X: k4uno, Y: '${sealed}', W: k5four}}\n  same: {builtin: db}\ntoolsets:\n  t: {servers: [h], prefix: never}\n";
    let expected = "  tenant a
  + limits.principal_burst: 5
  ~ title: \"A\" → \"B\"
  - server old
  ~ server h
    - prefix: \"p\"
    ~ url: \"https://h\" → \"https://i\"
    + secret header:W: set
    ~ secret header:X: changed
    - secret header:Z
  + server new (stdio)
    + args: [\"-y\"]
    + command: \"x\"
    + enabled: false
    + secret env:T: set
    ! secret env:U: ${sealed}, but the store has none; give its value
  - toolset gone
  + toolset t
    + prefix: \"never\"
    + servers: [\"h\"]
";
    let (before, after) = (parse(before).unwrap(), parse(after).unwrap());
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let said = diff(Some(&row(&before)), &after);
    assert_eq!(sorted(&said), sorted(expected), "\n{said}");
    for secret in ["k1", "k2", "k3", "k4", "k5", "hunter2"] {
        assert!(!said.contains(secret), "{said}");
    }
    let fresh = diff(None, &before);
    assert!(fresh.starts_with("+ tenant a\n  + title: \"A\"\n  + server h (http)\n"), "{fresh}");
    assert!(fresh.contains("    + secret header:X: set\n"), "{fresh}");
}

/// Compares with the checked-in copy, or writes it when UPDATE_SCHEMA is set.
pub(super) fn holds(file: &str, schema: &Json) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{file} is not what the code says; run the tests once with UPDATE_SCHEMA=1");
}

#[test]
fn the_kept_schemas_are_what_the_code_says() {
    holds("tenant.schema.json", &tenant_json_schema());
    holds("patchbay.schema.json", &crate::json_schema());
}

//! What operators get wrong, and what they hear; then what they get right.

mod admin;
mod governed;

use super::*;
use crate::gateway::StoreTarget;

fn env<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().collect()
}

fn yaml(text: &str) -> Result<GatewayConfig, ConfigErrors> {
    from_yaml(text, "patchbay.yaml", Path::new("/etc"), &Environment::default())
}

fn complaint(text: &str, env: &Environment) -> String {
    match from_yaml(text, "patchbay.yaml", Path::new("/etc"), env) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn each_mistake_is_said_with_line_column_field_and_what_was_expected() {
    let nothing = Environment::default();
    for (text, expected) in [
        (
            "limits:\n  body_bytes_max: big\n",
            "patchbay.yaml:2:19: limits.body_bytes_max: expected a whole number of bytes from 1024 to 67108864, found \"big\"",
        ),
        (
            "limits:\n  depth_max: 4\n",
            "patchbay.yaml:2:14: limits.depth_max: expected a whole number from 8 to 512, found 4",
        ),
        (
            "limits:\n  drain_s: 1.5\n",
            "patchbay.yaml:2:12: limits.drain_s: expected a whole number of seconds from 0 to 3600, found 1.5",
        ),
        (
            "limits: {drain_s: -1}\n",
            "patchbay.yaml:1:19: limits.drain_s: expected a whole number of seconds from 0 to 3600, found -1",
        ),
        ("limts:\n  depth_max: 64\n", "patchbay.yaml:1:1: limts: no such field; did you mean `limits`?"),
        (
            "store:\n  colour: x\n",
            "patchbay.yaml:2:3: store.colour: no such field; expected `url` or `start_without_hours`",
        ),
        ("listen: here\n", "patchbay.yaml:1:9: listen: expected a mapping, found a text"),
        ("- listen\n", "patchbay.yaml:1:1: expected a mapping, found a list"),
        ("listen: {mcp: 8080}\n", LISTEN),
        (
            "listen: {mcp: '127.0.0.1:9090'}\n",
            "patchbay.yaml:1:1: listen.operations: expected another address than listen.mcp, which must never show metrics",
        ),
        ("log:\n  format: xml\n", "patchbay.yaml:2:11: log.format: expected `text` or `json`, found \"xml\""),
        (
            "audit: {arguments: all}\n",
            "patchbay.yaml:1:20: audit.arguments: expected `none`, `keys`, `digest` or `redacted`, found \"all\"",
        ),
        ("http: {allow_http: yes}\n", "patchbay.yaml:1:20: http.allow_http: expected true or false, found \"yes\""),
        (
            "trusted_proxies: [10.0.0.0/8, home]\n",
            "patchbay.yaml:1:31: trusted_proxies[1]: expected a network or an address, as in 10.0.0.0/8 or ::1, found \"home\"",
        ),
        ("trusted_proxies: 10.0.0.0/8\n", "patchbay.yaml:1:18: trusted_proxies: expected a list, found a text"),
        (
            "allowed_hosts: ['https://x']\n",
            "patchbay.yaml:1:17: allowed_hosts[0]: expected a host name with or without a port, as in tools.example.org, found \"https://x\"",
        ),
        (
            "allowed_origins: ['*']\n",
            "patchbay.yaml:1:19: allowed_origins[0]: expected an origin, as in https://tools.example.org without a path, found \"*\"",
        ),
        (
            "public_url: tools.example.org\n",
            "patchbay.yaml:1:13: public_url: expected an address as in https://tools.example.org, without user name, `?` and `#`",
        ),
        (
            "public_url: 'https://me@tools.example.org/'\n",
            "patchbay.yaml:1:13: public_url: expected an address as in https://tools.example.org, without user name, `?` and `#`",
        ),
        (
            "replica_url: https://10.0.3.7:8080\n",
            "patchbay.yaml:1:14: replica_url: expected the address of this replica's own listener, as in http://10.0.3.7:8080, without a path",
        ),
        (
            "replica_url: http://10.0.3.7:8080/t/acme/mcp\n",
            "patchbay.yaml:1:14: replica_url: expected the address of this replica's own listener, as in http://10.0.3.7:8080, without a path",
        ),
        (
            "oauth: {root_resource: acme/dev/mcp}\n",
            "patchbay.yaml:1:24: oauth.root_resource: expected the name of a tenant, or of a tenant and a toolset, as in acme or acme/dev, found \"acme/dev/mcp\"",
        ),
        (
            "oauth: {root_resource: /t/acme/mcp}\n",
            "patchbay.yaml:1:24: oauth.root_resource: expected the name of a tenant, or of a tenant and a toolset, as in acme or acme/dev, found \"/t/acme/mcp\"",
        ),
        (
            "oauth: {authorization_server_redirect: https://login.example.org}\n",
            "patchbay.yaml:1:40: oauth.authorization_server_redirect: expected true or false, found \"https://login.example.org\"",
        ),
        (
            "store: {url: 'mysql://u:hunter2@h/d'}\n",
            "patchbay.yaml:1:14: store.url: expected sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE (special characters in the password percent-encoded)",
        ),
        (
            "store: {url: 'sqlite://'}\n",
            "patchbay.yaml:1:14: store.url: expected the path of a file after sqlite://, without `?` and `#`",
        ),
        ("store: {url: [hunter2]}\n", "patchbay.yaml:1:14: store.url: expected a text, found a list"),
        ("redis: 'redis://:hunter2@h'\n", "patchbay.yaml:1:8: redis: expected a mapping, found a text"),
        (
            "redis: {url: 'http://:hunter2@h'}\n",
            "patchbay.yaml:1:14: redis.url: expected redis://HOST:PORT/NUMBER, or rediss:// for TLS",
        ),
        ("redis:\n  url: redis://${env:NO}\n", "patchbay.yaml:2:8: redis.url: the environment variable NO is not set"),
        (
            "store: {url: 'postgres://h/d'}\n",
            "patchbay.yaml:1:1: sealing_key: expected env:NAME or file:PATH, found nothing; with Postgres every replica needs the same key",
        ),
        (
            "sealing_key: hunter2\n",
            "patchbay.yaml:1:14: sealing_key: expected env:NAME or file:PATH, which say where the key is kept",
        ),
        ("sealing_key: env:NO\n", "patchbay.yaml:1:14: sealing_key: the environment variable NO is not set"),
        (
            "stdio:\n  commands:\n    npx: {args_prefix: [-y]}\n",
            "patchbay.yaml:3:10: stdio.commands.npx.path: expected a text, found nothing",
        ),
        (
            "stdio:\n  commands:\n    x: {path: bin/x}\n",
            "patchbay.yaml:3:15: stdio.commands.x.path: expected an absolute path, or a bare name that is looked up on PATH",
        ),
        (
            "limits: {call_timeout_s: 700}\n",
            "patchbay.yaml:1:26: limits.call_timeout_s: expected at most limits.call_timeout_max_s, which is 600, found 700",
        ),
        ("log: {filter: ''}\n", "patchbay.yaml:1:15: log.filter: expected a text that is not empty"),
        ("listen: {\n", "patchbay.yaml:1:9: this is no valid YAML: unclosed bracket '{'"),
    ] {
        let said = complaint(text, &nothing);
        assert_eq!(said, expected, "\n{text}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

const LISTEN: &str =
    "patchbay.yaml:1:15: listen.mcp: expected an address and a port, as in 127.0.0.1:8080 or [::]:8080, found \"8080\"";

#[test]
fn all_mistakes_are_said_at_once_in_the_order_of_lines_and_none_twice() {
    let text = "redis:\n  url: nothing\nlimits:\n  deph_max: 9\n  call_timeout_s: 1000\n  call_timeout_max_s: x\nlisten:\n  mcp: x\n";
    let said = complaint(text, &env([("PATCHBAY_LIMITS_PAGE_SIZE", "0")]));
    let fields: Vec<&str> = said.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    let expected = [
        "redis.url",
        "limits.deph_max",
        "limits.call_timeout_s",
        "limits.call_timeout_max_s",
        "listen.mcp",
        "limits.page_size",
    ];
    assert_eq!(fields, expected, "{said}");
}

#[test]
fn variables_that_are_no_settings_are_refused_with_the_nearest_name() {
    for (variable, expected) in [
        (
            ("PATCHBAY_LISTEN_MPC", "x"),
            "PATCHBAY_LISTEN_MPC: no setting has this name; did you mean PATCHBAY_LISTEN_MCP?",
        ),
        (
            ("PATCHBAY_BODY", "x"),
            "PATCHBAY_BODY: no setting has this name; expected PATCHBAY_ and the path of a field, as in PATCHBAY_LISTEN_MCP (PATCHBAY_SECRET_… is free for secrets of your own)",
        ),
        (
            ("PATCHBAY_LISTEN_MCP", "x"),
            "PATCHBAY_LISTEN_MCP: listen.mcp: expected an address and a port, as in 127.0.0.1:8080 or [::]:8080, found \"x\"",
        ),
        (
            ("PATCHBAY_LIMITS_DRAIN_S", "soon"),
            "PATCHBAY_LIMITS_DRAIN_S: limits.drain_s: expected a whole number of seconds from 0 to 3600, found \"soon\"",
        ),
        (
            ("PATCHBAY_TRUSTED_PROXIES", "10.0.0.1,x"),
            "PATCHBAY_TRUSTED_PROXIES: trusted_proxies[1]: expected a network or an address, as in 10.0.0.0/8 or ::1, found \"x\"",
        ),
        (
            ("PATCHBAY_STDIO_COMMANDS", "npx"),
            "PATCHBAY_STDIO_COMMANDS: no setting has this name; expected PATCHBAY_ and the path of a field, as in PATCHBAY_LISTEN_MCP (PATCHBAY_SECRET_… is free for secrets of your own)",
        ),
        (
            ("PATCHBAY_STORE_URL", "hunter2"),
            "PATCHBAY_STORE_URL: store.url: expected sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE (special characters in the password percent-encoded)",
        ),
    ] {
        assert_eq!(complaint("", &env([variable])), expected);
    }
}

#[test]
fn variables_that_others_make_are_let_be() {
    let foreign = env([
        ("PATCHBAY_CONFIG", "/etc/patchbay.yaml"),
        ("PATCHBAY_LOG", "debug"),
        ("PATCHBAY_KEY", "pb_x"),
        ("PATCHBAY_ADMIN_KEY", "pba_x"),
        ("PATCHBAY_TEST_POSTGRES", "x"),
        ("PATCHBAY_SECRET_MINE", "x"),
        ("PATCHBAY_SERVICE_HOST", "10.0.0.1"),
        ("PATCHBAY_SERVICE_PORT_HTTP", "8080"),
        ("PATCHBAY_PORT", "tcp://10.0.0.1:8080"),
        ("PATCHBAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("PATCHBAY_OPS_PORT_9090_TCP", "tcp://10.0.0.1:9090"),
        ("PATCHBAY_LISTEN_MPC", ""),
        ("PATCHBAY_PUBLIC_URL", ""),
        ("PATCHBAY_MY_KEY", "k"),
        ("PATCHBAY_MY_HOST", "h"),
    ]);
    let text = "sealing_key: env:PATCHBAY_MY_KEY\nredis: {url: 'redis://${env:PATCHBAY_MY_HOST}'}\n";
    assert!(from_yaml(text, "f", Path::new(""), &foreign).is_ok());
}

#[test]
fn the_environment_wins_over_the_file() {
    let variables = env([
        ("PATCHBAY_LISTEN_MCP", "[::]:80"),
        ("PATCHBAY_STORE_URL", "postgres://u:${env:PW}@h/d"),
        ("PATCHBAY_SEALING_KEY", "env:K"),
        ("PATCHBAY_LIMITS_WORKERS", "3"),
        ("PATCHBAY_HTTP_ALLOW_HTTP", "true"),
        ("PATCHBAY_ALLOWED_HOSTS", "a, B:81,"),
        ("PATCHBAY_LOG_FORMAT", "json"),
        ("PW", "hunter2"),
        ("K", " key\n"),
    ]);
    let text = "listen: {mcp: '127.0.0.1:1'}\nlimits:\npublic_url: https://T.example.org/x\n";
    let config = from_yaml(text, "f", Path::new(""), &variables).unwrap();
    assert_eq!(config.listen_mcp.to_string(), "[::]:80");
    assert_eq!(config.limits.workers.get(), 3);
    assert_eq!(config.allowed_hosts, ["a", "b:81", "t.example.org"]);
    assert_eq!(config.allowed_origins.last().map(String::as_str), Some("https://t.example.org"));
    assert!(config.http.allow_http && config.log.format == crate::LogFormat::Json);
    let StoreTarget::Postgres(url) = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(secrecy::ExposeSecret::expose_secret(url), "postgres://u:hunter2@h/d");
    let key = config.sealing_key.as_ref().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&key.value), "key");
    assert!(!format!("{config:?}{variables:?}").contains("hunter2"));
}

#[test]
fn the_public_address_keeps_its_path_and_loses_the_slash_at_its_end() {
    for (text, expected) in [
        ("https://tools.example.org", ("https://tools.example.org/", "/")),
        ("https://tools.example.org/", ("https://tools.example.org/", "/")),
        ("https://Tools.example.org:443/mcp/", ("https://tools.example.org/mcp", "/mcp")),
        ("http://tools.example.org:8080/a/b//", ("http://tools.example.org:8080/a/b", "/a/b")),
    ] {
        let url = yaml(&format!("public_url: {text}\n")).unwrap().public_url.unwrap();
        assert_eq!((url.as_str(), url.path()), expected, "{text}");
    }
}

#[test]
fn the_address_of_a_replica_is_its_host_and_port() {
    for (text, expected) in [
        ("http://10.0.3.7:8080", "http://10.0.3.7:8080"),
        ("http://Gateway-0.gateways:8080/", "http://gateway-0.gateways:8080"),
        ("http://gateway-0", "http://gateway-0:80"),
        ("http://[fd00::7]:8080", "http://[fd00::7]:8080"),
        ("http://fd00::7:8080", "http://[fd00::7]:8080"),
    ] {
        let url = yaml(&format!("replica_url: {text}\n")).unwrap().replica_url;
        assert_eq!(url.as_deref(), Some(expected), "{text}");
    }
    assert_eq!(yaml("").unwrap().replica_url, None);
}

#[test]
fn a_root_document_is_shown_only_for_the_toolset_that_is_named() {
    let of = |text: &str| {
        let (tenant, toolset) =
            yaml(&format!("oauth: {{root_resource: {text}}}\n")).unwrap().oauth.root_resource.unwrap();
        format!("{tenant} {toolset}")
    };
    assert_eq!((of("acme").as_str(), of("acme/dev").as_str()), ("acme default", "acme dev"));
    assert_eq!(yaml("").unwrap().oauth, crate::OauthConfig::default());
    let variables = env([("PATCHBAY_OAUTH_AUTHORIZATION_SERVER_REDIRECT", "true")]);
    assert!(from_yaml("", "f", Path::new(""), &variables).unwrap().oauth.authorization_server_redirect);
}

#[test]
fn the_names_of_variables_are_unique_and_follow_the_paths() {
    let names = crate::environment::settings(&json_schema());
    assert_eq!(names["PATCHBAY_LIMITS_BODY_BYTES_MAX"], ["limits", "body_bytes_max"]);
    assert_eq!(names["PATCHBAY_DATA_DIR"], ["data_dir"]);
    assert!(!names.contains_key("PATCHBAY_STDIO_COMMANDS"));
    for name in crate::NOT_SETTINGS {
        assert!(!names.contains_key(name), "{name}");
    }
    assert!(!names.contains_key("PATCHBAY_ADMIN_GRANTS") && !names.contains_key("PATCHBAY_ADMIN_ISSUERS"));
    // `admin.grants` is a list of mappings.
    assert_eq!(names.len() + 1, leaves(&serde_json::to_value(GatewayFile::default()).unwrap()));
}

fn leaves(value: &Json) -> usize {
    value.as_object().map_or(1, |fields| fields.values().map(leaves).sum())
}

#[test]
fn the_defaults_file_says_what_the_defaults_are() {
    let root = Node::parse(DEFAULTS_YAML, "defaults.yaml").unwrap();
    let mut report = Report::new("defaults.yaml", &root);
    let json = check(&root, &json_schema(), &mut report);
    let file: GatewayFile = report.finish(serde_json::from_value(json.clone()).ok()).unwrap();
    assert!(file == GatewayFile::default(), "{json}");
    // And it names every field that has a default.
    let named = |key: &str| DEFAULTS_YAML.contains(&format!("{key}:"));
    for path in crate::environment::settings(&json_schema()).values() {
        assert!(named(&path[path.len() - 1]), "{path:?}");
    }
    let config = yaml("").unwrap();
    assert!(matches!(&config.store, StoreTarget::Sqlite(path) if path == Path::new("./patchbay-data/patchbay.db")));
}

#[test]
fn files_are_found_beside_the_configuration_and_trusted_commands_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let data = here.join("data");
    std::fs::write(here.join("key"), "the key\n").unwrap();
    let text = format!(
        "sealing_key: file:key\ndata_dir: {}\nstdio: {{commands: {{npx: {{path: /my/npx}}}}}}\n",
        data.display()
    );
    std::fs::write(here.join("patchbay.yaml"), text).unwrap();
    let trusted = data.join(trust::FILE_NAME);
    crate::trust_commands(&trusted, &["npx", "uvx"].map(str::to_owned).into()).unwrap();
    let path = here.join("patchbay.yaml");
    let config = load(Some(&path), &Environment::default()).unwrap();
    assert_eq!(config.stdio.commands["npx"].path, Path::new("/my/npx"));
    assert_eq!(config.stdio.commands["uvx"].path, Path::new("uvx"));
    assert!(config.sealing_key.is_some());
    std::fs::write(&trusted, "- x").unwrap();
    let said = load(Some(&path), &Environment::default()).unwrap_err().to_string();
    assert!(said.contains("trusted-commands.yaml:1:1: expected a mapping, found a list"), "{said}");
    let said = load(Some(&here.join("absent.yaml")), &Environment::default()).unwrap_err().to_string();
    assert!(said.contains("absent.yaml: the file cannot be read: No such file"), "{said}");
}

#[test]
fn the_example_means_what_it_says() {
    let variables = env([
        ("PATCHBAY_SECRET_DB", "hunter2"),
        ("PATCHBAY_SECRET_KEY", "k"),
        ("PATCHBAY_SECRET_KEY_OLD", "hunter2"),
        ("PATCHBAY_SECRET_REDIS", "hunter2"),
        ("PATCHBAY_SECRET_SIEM", "hunter2hunter2hunter2"),
        ("PATCHBAY_SECRET_OTEL", "hunter2"),
    ]);
    let text = include_str!("../../examples/patchbay.yaml");
    let config = from_yaml(text, "patchbay.yaml", Path::new(""), &variables).unwrap();
    assert_eq!(config.stdio.commands["uvx"].args_prefix, ["--offline"]);
    assert_eq!(config.http.allow_private[0].to_string(), "10.20.0.0/16");
    assert_eq!(config.limits.call_timeout.as_secs(), 120);
    assert!(config.allowed_hosts.contains(&"tools.example.org".to_owned()));
    let rules: Vec<&str> = config.limits.tenants.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(rules, ["databases", "tenant"]);
    assert_eq!((config.audit.retention_days, config.audit.sinks.len()), (Some(365), 1));
    assert_eq!((config.admin.grants.len(), config.sealing_keys_old.len()), (3, 1));
    assert_eq!(config.traces.as_ref().map(|traces| traces.sample), Some(0.05));
    assert!(!format!("{config:?}").contains("hunter2"));
}

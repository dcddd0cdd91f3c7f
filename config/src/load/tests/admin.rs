//! The admin API and its people, sealing keys that follow each other, and what a start without the store may use.

use std::time::Duration;

use patchbay_core::admin::Grant;
use secrecy::ExposeSecret;

use super::*;

const SINGLE: &str = "issuers: {corp: {issuer: 'https://i', audiences: [a]}}";

fn admin(fields: &str) -> String {
    format!("admin: {{{fields}}}\n")
}

#[test]
fn each_mistake_about_admins_is_said_with_its_place() {
    let variables = env([
        ("SHORT", "pba_hunter2"),
        ("OTHER", "pb_hunter2hunter2hunter2hunter2hunter2hunter2"),
        ("BLANK", "pba_hunter2 hunter2hunter2hunter2hunter2hunter2"),
        ("LONG", &format!("pba_{}", "hunter2".repeat(40))),
        ("EMPTY_ONE", " "),
    ]);
    let key = |source: &str| {
        format!(
            "admin.bootstrap_key: expected an admin key in {source}: `pba_` and at least 32 further characters of A-Z, a-z, 0-9, `-`, `.` and `_`, at most 256 in all, which must be random; make one by printf 'pba_%s\\n' \"$(openssl rand -hex 32)\""
        )
    };
    let audience =
        "expected admin.public_url, which is the audience of admins' tokens, or `audiences` here; found neither";
    for (text, expected) in [
        (
            "listen: {admin: on}\n".to_owned(),
            "listen.admin: expected an address and a port, as in 127.0.0.1:9091 or [::]:9091, or `off`, found \"on\"".to_owned(),
        ),
        (
            "listen: {admin: '127.0.0.1:8080'}\n".to_owned(),
            "listen.admin: expected another address than listen.mcp, or `off`: the admin API has a listener of its own".to_owned(),
        ),
        (
            "listen: {operations: '127.0.0.1:9091'}\n".to_owned(),
            "listen.admin: expected another address than listen.operations, or `off`: the admin API has a listener of its own".to_owned(),
        ),
        (
            admin("bootstrap_key: pba_hunter2"),
            "admin.bootstrap_key: expected env:NAME or file:PATH, which say where the key is kept".to_owned(),
        ),
        (admin("bootstrap_key: env:NO"), "admin.bootstrap_key: the environment variable NO is not set".to_owned()),
        (admin("bootstrap_key: env:EMPTY_ONE"), "admin.bootstrap_key: expected a key in env:EMPTY_ONE, found nothing".to_owned()),
        (admin("bootstrap_key: env:SHORT"), key("env:SHORT")),
        (admin("bootstrap_key: env:OTHER"), key("env:OTHER")),
        (admin("bootstrap_key: env:BLANK"), key("env:BLANK")),
        (admin("bootstrap_key: env:LONG"), key("env:LONG")),
        (
            admin("public_url: admin.example.org"),
            "admin.public_url: expected an address as in https://tools.example.org, without user name, `?` and `#`".to_owned(),
        ),
        (
            admin("allowed_hosts: ['https://x']"),
            "admin.allowed_hosts[0]: expected a host name with or without a port, as in tools.example.org, found \"https://x\"".to_owned(),
        ),
        (admin("issuers: {corp: {issuer: 'https://i'}}"), format!("admin.issuers.corp.audiences: {audience}")),
        (
            admin("public_url: 'https://a', issuers: {corp: {}}"),
            "admin.issuers.corp.issuer: expected a text, found nothing".to_owned(),
        ),
        (
            admin("public_url: 'https://a', issuers: {Corp: {issuer: 'https://i'}}"),
            "admin.issuers.Corp: `Corp` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit; `corp` would be one".to_owned(),
        ),
        (
            admin("public_url: 'https://a', issuers: {a: {issuer: 'https://i'}, b: {issuer: 'https://i'}}"),
            "admin.issuers.b.issuer: `a` is this issuer already; expected each issuer once".to_owned(),
        ),
        (
            admin("public_url: 'https://a', issuers: {corp: {issuer: 'https://i', registration: {dynamic: true}}}"),
            "admin.issuers.corp.registration: belongs to the issuers of tenants: it tells users of toolsets how their clients come to a client id; leave it out".to_owned(),
        ),
        (
            admin("public_url: 'https://a', issuers: {corp: {issuer: 'https://i', introspection: {client_id: c, client_secret: '${sealed}'}}}"),
            "admin.issuers.corp.introspection.client_secret: expected ${env:NAME} or ${file:PATH}: the store keeps secrets of tenants, and none of this file".to_owned(),
        ),
        (
            admin("public_url: 'https://a', issuers: {corp: {issuer: 'https://i', introspection: {client_id: c, client_secret: '${env:NO}'}}}"),
            "admin.issuers.corp.introspection.client_secret: the environment variable NO is not set".to_owned(),
        ),
        (
            admin("grants: [{group: g, role: platform_admin}]"),
            "admin.grants: expected admin.issuers beside it, found none: groups are those of their tokens".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g, role: root}}]")),
            "admin.grants[0].role: expected `platform_admin`, `tenant_admin` or `tenant_viewer`, found \"root\"".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g}}]")),
            "admin.grants[0].role: expected `platform_admin`, `tenant_admin` or `tenant_viewer`, found nothing".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g, role: tenant_viewer}}]")),
            "admin.grants[0].tenant: expected the name of a tenant beside the role of a tenant, found nothing".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g, role: platform_admin, tenant: acme}}]")),
            "admin.grants[0].tenant: belongs to the roles tenant_admin and tenant_viewer; a platform_admin administers all tenants".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g, role: tenant_admin, tenant: Acme}}]")),
            "admin.grants[0].tenant: `Acme` is not a valid name: expected 1 to 40 characters of a-z, 0-9 and '-', starting with a letter or digit".to_owned(),
        ),
        (
            admin(&format!("{SINGLE}, grants: [{{group: g, role: platform_admin, issuer: crop}}]")),
            "admin.grants[0].issuer: there is no issuer \"crop\" under admin.issuers; did you mean `corp`?".to_owned(),
        ),
        (
            "tenant_admins: {database_hosts: ['*']}\n".to_owned(),
            "tenant_admins.database_hosts[0]: expected a host name with or without a port, as in tools.example.org, found \"*\"".to_owned(),
        ),
        (
            "tenant_admins: {database_files: [/srv, data]}\n".to_owned(),
            "tenant_admins.database_files[1]: expected an absolute path without `..`, as in /srv/databases, found \"data\"".to_owned(),
        ),
        (
            "tenant_admins: {database_files: [/srv/../etc]}\n".to_owned(),
            "tenant_admins.database_files[0]: expected an absolute path without `..`, as in /srv/databases, found \"/srv/../etc\"".to_owned(),
        ),
        (
            "store: {start_without_hours: 721}\n".to_owned(),
            "store.start_without_hours: expected a whole number of hours from 0 to 720, found 721".to_owned(),
        ),
        (
            "limits: {drain_delay_s: 301}\n".to_owned(),
            "limits.drain_delay_s: expected a whole number of seconds from 0 to 300, found 301".to_owned(),
        ),
    ] {
        let said = complaint(&text, &variables);
        assert_eq!(said.splitn(4, ':').nth(3).map(str::trim), Some(expected.as_str()), "\n{text}{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let said = complaint("", &env([("PATCHBAY_ADMIN_GRANTS", "x")]));
    assert!(said.starts_with("PATCHBAY_ADMIN_GRANTS: no setting has this name"), "{said}");
}

#[test]
fn the_admin_api_is_on_loopback_unless_it_is_moved_or_switched_off() {
    let listens = |text: &str| yaml(text).unwrap().listen_admin.map(|address| address.to_string());
    assert_eq!(listens("").as_deref(), Some("127.0.0.1:9091"));
    assert_eq!(listens("listen: {admin: '[::]:1'}").as_deref(), Some("[::]:1"));
    assert_eq!(listens("listen: {admin: off}"), None);
    // Each gets a port of its own.
    assert!(yaml("listen: {mcp: '127.0.0.1:0', operations: '127.0.0.1:0', admin: '127.0.0.1:0'}").is_ok());
    let off = from_yaml("", "f", Path::new(""), &env([("PATCHBAY_LISTEN_ADMIN", "off")])).unwrap();
    assert_eq!(off.listen_admin, None);
    let config = yaml("").unwrap();
    assert_eq!(config.start_without, Some(Duration::from_secs(24 * 3600)));
    assert_eq!(
        (config.limits.drain_delay, config.tenant_admins),
        (Duration::ZERO, crate::TenantAdminsConfig::default())
    );
    assert_eq!(yaml("store: {start_without_hours: 0}").unwrap().start_without, None);
    assert_eq!(yaml("limits: {drain_delay_s: 5}").unwrap().limits.drain_delay, Duration::from_secs(5));
}

#[test]
fn admins_are_whom_the_file_names() {
    let key = format!("pba_{}", "0123456789abcdef".repeat(4));
    let variables = env([("PATCHBAY_MY_KEY", format!("{key}\n").as_str()), ("PATCHBAY_MY_SECRET", "hunter2")]);
    let text = "
admin:
  bootstrap_key: env:PATCHBAY_MY_KEY
  public_url: https://Admin.example.org/patchbay/
  allowed_hosts: [Admin.internal, 'admin.internal:9091']
  issuers:
    corp:
      issuer: https://login.example.org/realms/staff
      introspection: {client_id: patchbay, client_secret: '${env:PATCHBAY_MY_SECRET}'}
  grants:
    - {group: platform, role: platform_admin}
    - {group: leads, issuer: corp, role: tenant_admin, tenant: acme}
    - {group: acme, role: tenant_viewer, tenant: acme}
tenant_admins:
  database_hosts: [DB.internal, 'db2.internal:5432']
  database_files: [/srv/databases, /srv/shop.db]
  allow_custom_weather: true
";
    let config = from_yaml(text, "f", Path::new(""), &variables).unwrap();
    let admin = &config.admin;
    assert_eq!(admin.bootstrap_key.as_ref().map(ExposeSecret::expose_secret), Some(key.as_str()));
    assert_eq!(admin.public_url.as_ref().map(url::Url::as_str), Some("https://admin.example.org/patchbay"));
    assert_eq!(admin.allowed_hosts, ["admin.internal", "admin.internal:9091"]);
    let secret = admin.issuers["corp"].secrets.values().next().unwrap().as_ref().unwrap();
    assert_eq!(secret.expose_secret(), "hunter2");
    let acme: patchbay_core::Slug = "acme".parse().unwrap();
    let grants: Vec<_> = admin
        .grants
        .iter()
        .map(|grant| (grant.group.as_str(), grant.issuer.as_ref().map(patchbay_core::Slug::as_str), &grant.grant))
        .collect();
    assert_eq!(
        grants,
        [
            ("platform", None, &Grant::PlatformAdmin),
            ("leads", Some("corp"), &Grant::TenantAdmin { tenant: acme.clone() }),
            ("acme", None, &Grant::TenantViewer { tenant: acme }),
        ]
    );
    assert_eq!(config.tenant_admins.database_hosts, ["db.internal", "db2.internal:5432"]);
    assert_eq!(config.tenant_admins.database_files, [Path::new("/srv/databases"), Path::new("/srv/shop.db")]);
    assert!(config.tenant_admins.custom_weather);
    assert!(!format!("{config:?}").contains("hunter2") && !format!("{config:?}").contains(&key));
}

fn keys(config: &GatewayConfig) -> (Option<&str>, Vec<(&str, String)>) {
    let current = config.sealing_key.as_ref().map(|key| key.value.expose_secret());
    let old = config.sealing_keys_old.iter().map(|key| (key.value.expose_secret(), key.source.to_string()));
    (current, old.collect())
}

#[test]
fn of_several_sealing_keys_the_first_line_seals_and_all_others_open() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys"), "\n new \r\n\nolder\n").unwrap();
    let variables = env([("PATCHBAY_OLD", "oldest")]);
    let text = "sealing_key: file:keys\nsealing_keys_old: [env:PATCHBAY_OLD]\n";
    let config = from_yaml(text, "f", folder.path(), &variables).unwrap();
    let file = format!("file:{}", folder.path().join("keys").display());
    assert_eq!(keys(&config), (Some("new"), vec![("older", file), ("oldest", "env:PATCHBAY_OLD".to_owned())]));
    // Without a key of its own, the one of the data folder seals.
    let variables = env([("ALL", "first\nsecond\n")]);
    let config = from_yaml("sealing_keys_old: [env:ALL]\n", "f", folder.path(), &variables).unwrap();
    assert_eq!(keys(&config), (None, vec![("first", "env:ALL".to_owned()), ("second", "env:ALL".to_owned())]));
    let listed = env([("PATCHBAY_SEALING_KEYS_OLD", "env:PATCHBAY_OLD, env:ALL"), ("PATCHBAY_OLD", "o"), ("ALL", "a")]);
    let config = from_yaml("", "f", Path::new(""), &listed).unwrap();
    let old = vec![("o", "env:PATCHBAY_OLD".to_owned()), ("a", "env:ALL".to_owned())];
    assert_eq!(keys(&config), (None, old));
}

#[test]
fn sealing_keys_that_are_the_same_too_many_or_nowhere_are_refused_and_not_shown() {
    let nine: Vec<String> = (0..10).map(|at| format!("hunter2{at}")).collect();
    let variables = env([
        ("A", "hunter2"),
        ("B", "hunter2\n"),
        ("TWICE", "hunter2x\nhunter2x"),
        ("MANY", nine.join("\n").as_str()),
        ("NONE", "\n"),
    ]);
    for (text, expected) in [
        (
            "sealing_key: env:A\nsealing_keys_old: [env:B]\n",
            "patchbay.yaml:2:20: sealing_keys_old[0]: one of these keys is in env:A already; expected each key once",
        ),
        (
            "sealing_keys_old: [env:A, env:B]\n",
            "patchbay.yaml:1:27: sealing_keys_old[1]: one of these keys is in env:A already; expected each key once",
        ),
        (
            "sealing_key: env:TWICE\n",
            "patchbay.yaml:1:14: sealing_key: one of these keys is in env:TWICE already; expected each key once",
        ),
        (
            "sealing_key: env:MANY\n",
            "patchbay.yaml:1:14: sealing_key: expected at most 8 old keys, found 9; each line after the first of sealing_key is one",
        ),
        (
            "sealing_key: env:A\nsealing_keys_old: [env:MANY]\n",
            "patchbay.yaml:2:1: sealing_keys_old: expected at most 8 old keys, found 10; each line after the first of sealing_key is one",
        ),
        (
            "sealing_keys_old: [hunter2]\n",
            "patchbay.yaml:1:20: sealing_keys_old[0]: expected env:NAME or file:PATH, which say where the key is kept",
        ),
        (
            "sealing_keys_old: [env:NONE]\n",
            "patchbay.yaml:1:20: sealing_keys_old[0]: expected a key in env:NONE, found nothing",
        ),
        (
            "sealing_keys_old: [env:NO]\n",
            "patchbay.yaml:1:20: sealing_keys_old[0]: the environment variable NO is not set",
        ),
        (
            "sealing_keys_old: [file:1, file:2, file:3, file:4, file:5, file:6, file:7, file:8, file:9]\n",
            "patchbay.yaml:1:19: sealing_keys_old: expected at most 8 items, found 9",
        ),
    ] {
        let said = complaint(text, &variables);
        assert!(said.lines().any(|line| line == expected), "\n{text}{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

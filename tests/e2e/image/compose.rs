//! compose.yaml and the files that it mounts: read as YAML, held together, and used by the real programs as far as they are here.

use std::{fs, net::TcpListener, path::Path};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    Ask,
    database::Postgres,
    process::{Running, command, run},
    wait::block_until,
    wait_until,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{LISTEN, cage::Cage, cage::Root, dockerfile::is_versioned, up};
use crate::eyes::prometheus::{installed, root};

/// The secrets of a trial, which its operator makes.
const SECRETS: [&str; 4] = ["sealing_key", "postgres_password", "redis_password", "grafana_password"];

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> Map<String, Value> {
    yaml("compose.yaml")["services"].as_object().unwrap().clone()
}

fn texts(of: &Value) -> Vec<&str> {
    of.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// A text with each `${NAME:-default}` replaced by its default, and each `$$` by `$`, as compose does.
fn interpolated(text: &str) -> String {
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap().to_owned();
    for part in parts {
        let (reference, after) = part.split_once('}').unwrap();
        whole.push_str(reference.split_once(":-").unwrap_or_else(|| panic!("{reference} has no default")).1);
        whole.push_str(after);
    }
    whole.replace("$$", "$")
}

/// The files and folders of the checkout that a service sees, and where.
fn mounts(service: &Value) -> Vec<(&str, &str)> {
    let volumes = texts(&service["volumes"]).into_iter().filter(|volume| volume.starts_with("./"));
    volumes
        .map(|volume| {
            let (from, rest) = volume.split_once(':').unwrap();
            (from, rest.strip_suffix(":ro").unwrap_or_else(|| panic!("{volume} can be written to")))
        })
        .collect()
}

#[test]
fn everything_that_compose_names_is_there_and_nothing_is_open_to_others() {
    let whole = yaml("compose.yaml");
    let declared = |kind: &str, name: &str| whole[kind].get(name).is_some();
    for (name, service) in services() {
        let image = interpolated(service["image"].as_str().unwrap());
        assert!(is_versioned(&image), "{name}: {image} has no version");
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port} to others");
        }
        for (from, _) in mounts(&service) {
            assert!(root().join(from).exists(), "{name} mounts {from}, which is not there");
        }
        for volume in texts(&service["volumes"]).into_iter().filter(|volume| !volume.starts_with(['.', '/'])) {
            assert!(declared("volumes", volume.split(':').next().unwrap()), "{name}: {volume} is not declared");
        }
        for network in texts(&service["networks"]) {
            assert!(declared("networks", network), "{name}: {network} is not declared");
        }
        for secret in texts(&service["secrets"]) {
            assert!(declared("secrets", secret) && SECRETS.contains(&secret), "{name}: {secret} is not declared");
        }
        assert!(service["healthcheck"].is_object() || name == "patchbay", "nobody knows whether {name} is well");
        for other in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(other.1["condition"], "service_healthy", "{name}: {}", other.0);
            assert!(services().contains_key(other.0), "{name} depends on {}", other.0);
        }
    }
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "/compose/secrets"), "somebody will commit a secret");
    for (name, secret) in whole["secrets"].as_object().unwrap() {
        assert_eq!(secret["file"], format!("./compose/secrets/{name}"));
    }
    let text = fs::read_to_string(root().join("docs/container.md")).unwrap();
    let made = text.lines().find(|line| line.starts_with("for name in ")).unwrap();
    for name in SECRETS {
        assert!(made.contains(name), "docs/container.md does not make {name}: {made}");
    }
}

#[test]
fn the_stores_are_reached_by_the_gateway_alone_and_the_gateway_can_do_little() {
    let whole = yaml("compose.yaml");
    assert_eq!(whole["networks"]["stores"]["internal"], true);
    for (name, service) in services() {
        let networks = texts(&service["networks"]);
        let expected = match name.as_str() {
            "patchbay" => vec!["front", "stores"],
            "postgres" | "redis" => vec!["stores"],
            _ => vec!["front"],
        };
        assert_eq!(networks, expected, "{name}");
        assert!(
            !networks.contains(&"stores") || name == "patchbay" || service["ports"].is_null(),
            "{name} is published"
        );
    }
    let gateway = &services()["patchbay"];
    assert_eq!((&gateway["read_only"], &gateway["init"]), (&json!(true), &json!(true)));
    assert_eq!((&gateway["cap_drop"], &gateway["user"]), (&json!(["ALL"]), &json!("10001:10001")));
    let published: Vec<_> = texts(&gateway["ports"]).into_iter().map(interpolated).collect();
    assert_eq!(published, ["127.0.0.1:8080:8080", "127.0.0.1:9091:9091"], "the operators' port stays inside");
    // A volume with a name would be one for all replicas, and one process alone can have a spool.
    assert!(texts(&gateway["volumes"]).contains(&"/var/lib/patchbay"), "{}", gateway["volumes"]);
    let listen = &yaml("compose/patchbay.yaml")["listen"];
    for (listener, port) in [("mcp", 8080), ("operations", 9090), ("admin", 9091)] {
        assert_eq!(listen[listener], format!("0.0.0.0:{port}"));
    }
    let grace: u64 = gateway["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    let drain = yaml("config/defaults.yaml")["limits"]["drain_s"].as_u64().unwrap();
    assert!(grace >= drain + 20, "{grace} s are too short for a drain of {drain} s");
}

#[test]
fn prometheus_takes_its_configuration_with_the_rules_where_they_are_mounted() {
    let Some(promtool) = installed("PATCHBAY_TEST_PROMTOOL", "promtool") else { return };
    let folder = TempDir::with_prefix("patchbay-e2e-compose-").unwrap();
    let prometheus = &services()["prometheus"];
    for (from, to) in mounts(prometheus) {
        let to = folder.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root().join(from), to).unwrap();
    }
    let config = texts(&prometheus["command"]).into_iter().find_map(|arg| arg.strip_prefix("--config.file=/")).unwrap();
    let check = || run(&mut command(&promtool, ["check".into(), "config".into(), folder.path().join(config)]));
    let good = check().good();
    assert!(good.contains("rules found") && !good.contains("0 rules found"), "{good}");
    fs::remove_file(folder.path().join("etc/prometheus/rules/patchbay.yaml")).unwrap();
    assert!(check().code != 0, "it does not miss its rules");
    // It reads each replica, on the listener of operators, under a name that the dashboards know.
    let scrape = &yaml("compose/prometheus.yml")["scrape_configs"][0];
    assert!(scrape["job_name"].as_str().unwrap().contains("patchbay"));
    assert_eq!(scrape["dns_sd_configs"][0]["names"], json!(["patchbay"]));
    assert_eq!(scrape["dns_sd_configs"][0]["port"], 9090);
}

#[test]
fn grafana_finds_the_dashboards_and_their_source() {
    let grafana = &services()["grafana"];
    let mounted = |to: &str| mounts(grafana).into_iter().find_map(|(from, at)| (at == to).then_some(from));
    assert_eq!(mounted("/etc/grafana/provisioning/datasources"), Some("./compose/grafana/datasources"));
    assert_eq!(mounted("/etc/grafana/provisioning/dashboards"), Some("./compose/grafana/dashboards"));
    let provider = yaml("compose/grafana/dashboards/patchbay.yaml");
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert_eq!(mounted(folder), Some("./helm/dashboards"));
    let home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
    let home = home.strip_prefix(folder).unwrap().trim_start_matches('/');
    assert!(root().join("helm/dashboards").join(home).is_file(), "{home} is no dashboard");
    let source = yaml("compose/grafana/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    assert_eq!(
        (&source["datasources"][0]["type"], &source["datasources"][0]["isDefault"]),
        (&json!("prometheus"), &json!(true))
    );
}

/// Redis, started by the command of compose.yaml, with its password in this file, on a free port.
fn redis(secret: &Path) -> (Running, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = &services()["redis"];
    let words: Vec<_> = texts(&service["command"]).into_iter().map(interpolated).collect();
    let [shell, dash_c, script] = &words[..] else { panic!("{words:?}") };
    let script = script.replace("/run/secrets/redis_password", secret.to_str().unwrap());
    assert!(script.ends_with("| exec redis-server -"), "{script}");
    let script = format!("{script} --port {port} --bind 127.0.0.1");
    let mut process = Running::start(&mut command(Path::new(shell), [dash_c, &script]));
    block_until("Redis takes connections", || {
        let ended = process.status();
        assert!(ended.is_none(), "Redis ended: {ended:?}: {}", process.out());
        process.out().contains("Ready to accept connections")
    });
    (process, port)
}

#[tokio::test]
async fn the_gateway_of_compose_comes_up_in_its_image_on_postgres_and_redis_with_secrets_from_files() {
    let is_redis_here = std::env::var_os("PATCHBAY_TEST_REDIS_URL").is_some();
    let Some(database) = Postgres::fresh().await.filter(|_| is_redis_here) else { return };
    let Some(cage) = Cage::any() else { return };
    let image = Root::assemble();
    for name in SECRETS {
        image.write(
            &format!("run/secrets/{name}"),
            format!("{name}-0123456789abcdef0123456789abcdef\n").as_bytes(),
            0o644,
        );
    }
    let (_redis, port) = redis(&image.path("run/secrets/redis_password"));
    // The names of the services are those of this machine here; all else is as it is in a trial.
    let at: url::Url = database.url().parse().unwrap();
    let place = format!("@{}:{}{}", at.host_str().unwrap(), at.port().unwrap_or(5432), at.path());
    let text = fs::read_to_string(root().join("compose/patchbay.yaml")).unwrap();
    let mut adapted = text.clone();
    for (from, to) in [
        ("//patchbay:${file:", format!("//{}:${{file:", at.username())),
        ("@postgres:5432/patchbay", place),
        ("@redis:6379", format!("@127.0.0.1:{port}")),
        ("0.0.0.0:9091", "127.0.0.1:0".to_owned()),
    ] {
        assert_eq!(adapted.matches(from).count(), 1, "{from} in {adapted}");
        adapted = adapted.replace(from, &to);
    }
    let (_, config) = mounts(&services()["patchbay"]).pop().map(|(from, to)| (from.to_owned(), to.to_owned())).unwrap();
    assert_eq!(services()["patchbay"]["environment"]["PATCHBAY_CONFIG"], config.as_str());
    image.write(config.trim_start_matches('/'), adapted.as_bytes(), 0o644);
    let config = ("PATCHBAY_CONFIG", config.as_str());

    let checked = cage.run(&image, &[config], &["check"]).good();
    assert!(checked.contains("all is well"), "{checked}");
    // Its admins' port is a free one too, by what was changed above.
    let listen: Vec<_> = LISTEN.into_iter().filter(|(name, _)| *name != "PATCHBAY_LISTEN_ADMIN").collect();
    let mut gateway = cage.start(&image, &[&listen[..], &[config]].concat(), &[]);
    let (_, operations) = up(&mut gateway);
    let operations = ([127, 0, 0, 1], operations.port()).into();
    wait_until("limits are counted in Redis", || async {
        let reply = Ask::get("/metrics").try_send(operations).await;
        let Ok(reply) = reply else { return false };
        reply.text().await.lines().any(|line| line == r#"patchbay_limiter_mode{mode="shared"} 1"#)
    })
    .await;
    let written = gateway.process.err() + &gateway.process.out();
    assert!(!written.contains("0123456789abcdef"), "a secret is in the log: {written}");
    gateway.program().signal(Signal::SIGTERM);
    assert!(gateway.process.ended().success(), "{}", gateway.process.err());
    // Without a secret it does not start, and says which file it looked for.
    fs::remove_file(image.path("run/secrets/sealing_key")).unwrap();
    let outcome = cage.run(&image, &[config], &["check"]);
    assert_eq!(outcome.code, 78, "{outcome:?}");
    assert!(outcome.err.contains("/run/secrets/sealing_key"), "{outcome:?}");
    database.clear().await;
}

//! The chart and the program together: what is rendered as `patchbay.yaml` is read, migrated with, served with and asked, by the
//! arguments that the rendered pods have. Only the places of files differ, since there is no pod.

use std::{fs, net::TcpListener, path::PathBuf};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    database::Postgres,
    process::{Outcome, Running, command, run},
    programs::program,
    wait::block_until,
};
use tempfile::TempDir;

use crate::chart::{
    helm::Helm,
    rendered::{Chart, charts, list, render, text, texts},
};

/// The address of a pod, which Kubernetes puts into a variable.
const POD_IP: &str = "10.244.0.7";

/// A folder that stands for the file system of a pod.
struct Place {
    folder: TempDir,
}

impl Place {
    /// Writes the configuration of a pod, and a file for each secret that it names.
    fn of(chart: &Chart, secret: impl Fn(&str) -> String) -> Self {
        let place = Self { folder: TempDir::with_prefix("patchbay-pod-").unwrap() };
        let config = chart.config();
        for file in texts(&config).iter().flat_map(|text| text.split("file:").skip(1)) {
            let file = file.split('}').next().unwrap_or_default();
            let here = place.inside(file);
            fs::create_dir_all(here.parent().unwrap()).unwrap();
            fs::write(here, secret(file.rsplit('/').next().unwrap_or_default())).unwrap();
        }
        let moved = chart.config_text().replace("/etc/patchbay", &place.at("/etc/patchbay"));
        let moved = moved.replace("/var/lib/patchbay", &place.at("/var/lib/patchbay"));
        fs::create_dir_all(place.inside("/etc/patchbay/config")).unwrap();
        fs::write(place.config(), moved).unwrap();
        place
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    fn at(&self, path: &str) -> String {
        self.inside(path).display().to_string()
    }

    fn config(&self) -> PathBuf {
        self.inside("/etc/patchbay/config/patchbay.yaml")
    }

    /// The arguments of a rendered container, for here.
    fn args(&self, container: &serde_json::Value) -> Vec<String> {
        let moved = |arg: &str| arg.replace("/etc/patchbay", &self.at("/etc/patchbay"));
        list(&container["args"]).map(|arg| moved(text(arg))).collect()
    }
}

/// What stands in a secret of the tests.
fn sample(name: &str) -> String {
    match name {
        "database-url" => "postgres://patchbay:secret@db.example.org/patchbay\n".to_owned(),
        "redis-url" => "redis://redis.example.org:6379/0\n".to_owned(),
        "admin-bootstrap-key" => format!("pba_{}\n", "0123456789abcdef".repeat(4)),
        _ => format!("{name}-0123456789abcdef0123456789abcdef0123456789abcdef\n"),
    }
}

#[test]
fn the_gateway_takes_every_configuration_that_is_rendered() {
    let Some(charts) = charts() else { return };
    for chart in charts {
        let place = Place::of(chart, sample);
        let config = patchbay_config::load(Some(&place.config()), &[("POD_IP", POD_IP)].into_iter().collect());
        let config = config.unwrap_or_else(|errors| panic!("{}: {errors}", chart.set));
        let ports = list(&chart.container()["ports"]).map(|port| port["containerPort"].as_u64().unwrap());
        let listens = [config.listen_mcp, config.listen_operations].map(|address| u64::from(address.port()));
        assert_eq!(ports.take(2).collect::<Vec<_>>(), listens, "{}", chart.set);
    }
}

fn patchbay(args: &[String]) -> Outcome {
    run(command(&program("patchbay"), args).env("POD_IP", POD_IP))
}

fn migrate(chart: &Chart, database: &str) -> Outcome {
    let place = Place::of(chart, |name| if name == "database-url" { database.to_owned() } else { sample(name) });
    let job = chart.of("Job").next().unwrap();
    patchbay(&place.args(&job["spec"]["template"]["spec"]["containers"][0]))
}

#[tokio::test]
async fn the_migration_makes_the_tables_once_for_all_who_come_at_once() {
    let (Some(charts), Some(database)) = (charts(), Postgres::fresh().await) else { return };
    let chart = charts.iter().find(|chart| chart.set == "default").unwrap();
    let url = database.url();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..3).map(|_| scope.spawn(|| migrate(chart, &url))).collect();
        jobs.into_iter().map(|job| job.join().unwrap()).collect()
    });
    for outcome in outcomes.into_iter().chain([migrate(chart, &url)]) {
        assert_eq!(outcome.good().trim(), "the store is up to date: 0 tenants");
    }
    database.clear().await;
}

#[test]
fn a_migration_without_a_database_fails_in_a_sentence() {
    let Some(charts) = charts() else { return };
    let chart = charts.iter().find(|chart| chart.set == "default").unwrap();
    let free = free_ports()[0];
    let outcome = migrate(chart, &format!("postgres://patchbay:canary-of-the-database@127.0.0.1:{free}/patchbay"));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.starts_with("patchbay: ") && !outcome.err.contains("canary"), "{}", outcome.err);
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Whether the probe of the rendered container is answered well; its port is that of the same name.
fn probe(chart: &Chart, name: &str) -> Option<u16> {
    use std::io::{Read, Write};
    let get = &chart.container()[name]["httpGet"];
    let port = list(&chart.container()["ports"]).find(|port| port["name"] == get["port"])?;
    let port = u16::try_from(port["containerPort"].as_u64()?).ok()?;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {} HTTP/1.1\r\nHost: 10.0.0.7:{port}\r\nConnection: close\r\n\r\n", text(&get["path"])).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn an_embedded_gateway_serves_answers_its_probes_and_the_test_of_helm_and_ends_in_order() {
    let Some(helm) = Helm::find() else { return };
    let [mcp, operations, admin] = free_ports();
    let ports = format!("ports.mcp={mcp},ports.operations={operations},ports.admin={admin}");
    let quick = "config.limits.drain_delay_s=0,config.limits.drain_s=5";
    let chart = render(&helm, "embedded", &[], &["--set", &ports, "--set", quick]);
    let place = Place::of(&chart, sample);
    let mut gateway = Running::start(&mut command(&program("patchbay"), place.args(chart.container())));
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        block_until(format!("the {name} is answered: {}", gateway.err()), || probe(&chart, name) == Some(200));
    }
    let test = &chart.of("Pod").next().unwrap()["spec"]["containers"][0];
    let service = format!("patchbay-operations.tools.svc:{operations}");
    let asked: Vec<_> =
        list(&test["args"]).map(|arg| text(arg).replace(&service, &format!("localhost:{operations}"))).collect();
    assert_eq!(asked[2], format!("localhost:{operations}"), "the test asks elsewhere: {test}");
    assert_eq!(patchbay(&asked).good().trim(), "ok");
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended().success(), "{}", gateway.err());
    let gone = patchbay(&asked);
    assert!(gone.code == 1 && gone.err.contains("nothing answers on localhost"), "{gone:?}");
    assert!(place.inside("/var/lib/patchbay/sealing.key").exists(), "its key is not on the volume");
}

//! A real Prometheus that reads a gateway, with the rules of this repository. Its data are in a folder of its own and go with it.

use std::{
    env, fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
};

use patchbay_e2e::{
    Ask,
    process::{Running, command},
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded::byte_serialize;

/// A running Prometheus.
pub(super) struct Prometheus {
    process: Running,
    at: SocketAddr,
    _folder: TempDir,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A program of Debian's package `prometheus`; `None` where it is not installed and need not be.
pub(crate) fn installed(variable: &str, name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = || env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = env::var_os(variable).map(PathBuf::from).or_else(in_path);
    let is_required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
    assert!(found.is_some() || !is_required, "expected {variable} to name {name}, which is in the package prometheus");
    found
}

impl Prometheus {
    /// Starts one that reads this target every second, and waits until it answers.
    pub(super) async fn start(program: &Path, job: &str, target: SocketAddr) -> Self {
        let folder = TempDir::with_prefix("patchbay-e2e-prometheus-").unwrap();
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [root().join("helm/rules/patchbay.yaml")],
            "scrape_configs": [{ "job_name": job, "static_configs": [{ "targets": [target.to_string()] }] }],
        });
        // JSON is YAML.
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        // Somebody may take the port between our look and its start, so there are further tries.
        for _ in 0..3 {
            let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut started = command(program, ["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
            started.arg(format!("--web.listen-address={at}")).current_dir(folder.path());
            let mut process = Running::start(&mut started);
            wait_until("Prometheus answers or ends", || {
                let ended = process.status().is_some();
                async move { ended || Ask::get("/-/ready").try_send(at).await.is_ok_and(|reply| reply.status == 200) }
            })
            .await;
            if process.status().is_none() {
                return Self { process, at, _folder: folder };
            }
            assert!(process.err().contains("address already in use"), "{}", process.err());
        }
        panic!("no port stays free for Prometheus");
    }

    /// What its interface says at this path.
    ///
    /// # Panics
    /// With its own words, when it is an error.
    pub(super) async fn api(&self, path: &str) -> Value {
        let answer = Ask::get(format!("/api/v1/{path}")).send(self.at).await.json().await;
        assert_eq!(answer["status"], "success", "{path}: {answer}\n{}", self.process.err());
        answer["data"].clone()
    }

    /// The samples that this query comes to now.
    pub(super) async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = byte_serialize(query.as_bytes()).collect();
        let data = self.api(&format!("query?query={encoded}")).await;
        assert_eq!(data["resultType"], "vector", "{query}: {data}");
        data["result"].as_array().unwrap().clone()
    }
}

/// What `promtool check metrics` has to say of a scrape; nothing, if it is good.
pub(super) fn check(promtool: &Path, scrape: &str) -> String {
    let mut tool = command(promtool, ["check", "metrics"]);
    let piped = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if out.status.success() { String::new() } else { format!("{}: {said}", out.status) }
}

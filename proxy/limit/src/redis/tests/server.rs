//! A Redis server of a test's own, on a free port, with nothing on disk; it ends with the test.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, Value};

pub(super) struct Server {
    pub(super) port: u16,
    child: Mutex<Option<Child>>,
    folder: tempfile::TempDir,
}

/// A connection of the test's own.
pub(super) struct Raw(pub(super) Connection);

impl Server {
    /// `None` where no services are wanted.
    pub(super) fn start() -> Option<Self> {
        let is_required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
        if env::var_os("PATCHBAY_TEST_REDIS_URL").is_none() && !is_required {
            return None;
        }
        let found = Command::new("redis-server").arg("--version").output();
        if found.is_err() {
            assert!(!is_required, "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected redis-server in PATH");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { port, child: Mutex::new(None), folder: tempfile::tempdir().unwrap() };
        server.run();
        Some(server)
    }

    /// Starts it (again), empty.
    pub(super) fn run(&self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::from(log))
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "redis-server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(super) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.lock().unwrap().as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(super) fn redis(&self) -> Raw {
        Raw(redis::Client::open(self.url()).unwrap().get_connection().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Raw {
    pub(super) fn run(&mut self, words: &[&str]) -> Value {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]).query(&mut self.0).unwrap()
    }

    pub(super) fn keys_without_expiry(mut self) -> Vec<String> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut self.0).unwrap();
        assert!(!keys.is_empty());
        keys.into_iter().filter(|key| redis::cmd("PTTL").arg(key).query::<i64>(&mut self.0).unwrap() == -1).collect()
    }

    /// How many leases are held under all caps.
    pub(super) fn leases(mut self) -> u64 {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*:c").query(&mut self.0).unwrap();
        keys.iter().map(|key| redis::cmd("ZCARD").arg(key).query::<u64>(&mut self.0).unwrap()).sum()
    }

    /// How many scripts were run so far.
    pub(super) fn scripts_run(mut self) -> u64 {
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut self.0).unwrap();
        let calls = info.lines().filter(|line| line.starts_with("cmdstat_eval"));
        calls.map(|line| line.split("calls=").nth(1).unwrap().split(',').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

//! A Redis of a test's own, that can be stopped, frozen and started again empty on the same port.

use std::{
    env,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    process::{Running, command},
    wait::block_until,
};

/// See the module. It keeps everything in memory.
#[derive(Debug)]
pub struct Redis {
    process: Running,
    folder: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Redis {
    /// A fresh one; `None` when there is no `redis-server` and none is required.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn fresh() -> Option<Self> {
        let found =
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|path| path.join("redis-server").is_file());
        if !found {
            let required = env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
            assert!(!required, "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected redis-server on PATH");
            return None;
        }
        let folder = TempDir::with_prefix("patchbay-redis-").expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Some(Self { process: serve(folder.path(), address), folder, address })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Kills it. What it knew is lost.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, empty, on the same port.
    pub fn again(&mut self) {
        self.process.kill();
        self.process = serve(self.folder.path(), self.address);
    }

    /// Stops its work without closing a connection, until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }
}

fn serve(folder: &Path, address: SocketAddr) -> Running {
    let port = address.port().to_string();
    let folder = folder.to_str().expect("a plain path");
    let args = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir", folder];
    let mut process = Running::start(&mut command(Path::new("redis-server"), args));
    block_until("Redis takes connections", || {
        let ended = process.status();
        assert!(ended.is_none(), "Redis ended: {ended:?}: {}", process.out());
        TcpStream::connect(address).is_ok()
    });
    process
}

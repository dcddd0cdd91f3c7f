//! nginx as a plain reverse proxy before the origin: the yardstick. Found or installed, with all its files in our folder.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::{
    apt,
    process::{self, Guard},
    workspace::{free_port, in_path},
};

const LIMIT: Duration = Duration::from_secs(20);

/// A running nginx.
pub(super) struct Nginx {
    server: Guard,
    port: u16,
}

impl Nginx {
    pub(super) fn start(folder: &Path, origin: u16) -> Result<Self> {
        if in_path("nginx").is_none() {
            apt::install(&["nginx"], "nginx, beside which Patchbay is measured,")?;
        }
        let program = in_path("nginx").context("nginx is still not in PATH after its package was installed")?;
        let port = free_port()?;
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(folder, port, origin))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-e").arg(folder.join("nginx.log")).arg("-c").arg(&config);
        let mut server = Guard::start(command.stdin(Stdio::null()), "nginx")?;
        let end = Instant::now() + LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            server.check_alive()?;
            ensure!(Instant::now() < end, "nginx took no connections within {} seconds", LIMIT.as_secs());
            process::pause()?;
        }
        Ok(Self { server, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The master and its workers.
    pub(super) fn pids(&self) -> Result<Vec<u32>> {
        let master = self.server.pid();
        let processes = fs::read_dir("/proc")?.flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let workers: Vec<u32> = numbers.filter(|pid| parent(*pid) == Some(master)).collect();
        ensure!(!workers.is_empty(), "nginx has no workers");
        Ok([master].into_iter().chain(workers).collect())
    }
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// What an operator who knows nginx would write: connections kept on both sides, no log, answers never on disk.
fn configuration(folder: &Path, port: u16, origin: u16) -> String {
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {folder}/nginx-{kind};\n"))
        .concat();
    format!(
        "{user}
daemon off;
worker_processes auto;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{
    worker_connections 32768;
}}
http {{
    access_log off;
{temporary}    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    proxy_buffers 16 8k;
    proxy_max_temp_file_size 0;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
        }}
    }}
}}
"
    )
}

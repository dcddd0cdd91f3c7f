//! Starts a server again and again: the time from the start to the first list of tools that is answered.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Serialize;

use crate::job::{StartJob, Template};

/// How long one start may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two tries to connect; a busy loop would take one of two cores from what is measured.
const STEP: Duration = Duration::from_micros(100);

/// All times, in the order in which they were measured.
#[derive(Serialize)]
pub(crate) struct Starts {
    first_answer_us: Vec<u64>,
}

/// Runs the job.
pub(crate) fn run(job: &StartJob) -> Result<Starts> {
    let times = (0..job.tries).map(|_| once(job)).collect::<Result<_>>()?;
    Ok(Starts { first_answer_us: times })
}

fn once(job: &StartJob) -> Result<u64> {
    let address: SocketAddr = job.target.address.parse().context("the address is IP:PORT")?;
    ensure!(TcpStream::connect(address).is_err(), "something listens on {address} already");
    let (program, arguments) = job.command.split_first().context("the command is empty")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let mut server = Server(command.spawn().with_context(|| format!("cannot start {program}"))?);
    let request = request(job);
    loop {
        if let Some(status) = server.0.try_wait()? {
            bail!("the server ended at once ({status})");
        }
        match ask(address, &request) {
            Ok(true) => return Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)),
            Ok(false) | Err(_) if begun.elapsed() < LIMIT => thread::sleep(STEP),
            other => bail!("no list within {} seconds: {other:?}", LIMIT.as_secs()),
        }
    }
}

fn request(job: &StartJob) -> String {
    let target = &job.target;
    let body = Template::list(target.era).with_id(1);
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {}\r\nMcp-Method: tools/list\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        target.path,
        target.address,
        target.bearer,
        target.era.version(),
        body.len(),
    )
}

/// Whether the server answered with a list; any other answer means that it is not ready yet.
fn ask(address: SocketAddr, request: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error),
        _ => {}
    }
    let text = String::from_utf8_lossy(&answer);
    Ok(text.starts_with("HTTP/1.1 200") && text.contains("\"tools\":[{"))
}

/// Ends the server when dropped: first in order, then by force.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! A closed loop over the standard streams of a child: so many requests are in flight, each answer makes room for the next.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    connection::check,
    job::{Act, Era, INITIALIZED, StdioJob, Template},
    measure::{Report, Tally},
};

/// The child with its pipes; it ends with its input.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
}

/// Runs the job.
pub(crate) fn run(job: &StdioJob) -> Result<Report> {
    let Act::Call { .. } = &job.act else { bail!("over standard streams only calls are measured") };
    let mut server = Server::start(&job.command)?;
    server.write(&Template::initialize().with_id(0))?;
    server.read()?;
    server.write(INITIALIZED)?;
    let tally = Tally::default();
    let request = job.act.request(Era::Legacy);
    let mut begun = HashMap::new();
    let mut last_id = 0;
    let mut send = |server: &mut Server, begun: &mut HashMap<u64, Instant>| {
        last_id += 1;
        begun.insert(last_id, Instant::now());
        server.write(&request.with_id(last_id))
    };
    for _ in 0..job.in_flight {
        send(&mut server, &mut begun)?;
    }
    let start = Instant::now() + Duration::from_millis(job.warmup_ms);
    let end = start + Duration::from_millis(job.window_ms);
    let mut open = false;
    loop {
        let id = server.read()?;
        let sent = begun.remove(&id).with_context(|| format!("nobody asked with the id {id}"))?;
        match check(&server.line, id) {
            Ok(()) => tally.answered(sent),
            Err(error) => tally.failed(&error),
        }
        let now = Instant::now();
        if now >= end || tally.is_over() {
            return Ok(tally.report(now - start, Duration::ZERO));
        }
        if now >= start && !open {
            open = true;
            tally.open();
        }
        send(&mut server, &mut begun)?;
    }
}

impl Server {
    fn start(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("the command is empty")?;
        let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the pipe was asked for above")?);
        Ok(Self { child, input, output, line: Vec::new() })
    }

    fn write(&mut self, message: &str) -> Result<()> {
        let input = self.input.as_mut().context("the input is open until the end")?;
        Ok(input.write_all(format!("{message}\n").as_bytes())?)
    }

    /// Reads one answer into `line` and gives its id.
    fn read(&mut self) -> Result<u64> {
        self.line.clear();
        self.output.read_until(b'\n', &mut self.line)?;
        // The origin puts the id first.
        let text =
            self.line.strip_prefix(br#"{"jsonrpc":"2.0","id":"#).context("the child's answer is not as expected")?;
        let digits: String = text.iter().map_while(|byte| byte.is_ascii_digit().then_some(char::from(*byte))).collect();
        digits.parse().context("the child's answer has no id")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

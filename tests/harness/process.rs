//! Processes that never outlive their test, and what becomes of the processes that they start themselves.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill, killpg},
    },
    unistd::Pid,
};

use crate::wait::block_until;

/// How long a suite of tests may take, before it has as long as everything else.
const LONG: Duration = Duration::from_secs(180);
/// How often it is looked at.
const LONG_LOOK: Duration = Duration::from_millis(100);

/// How a program ended that was run to its end.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; the negative number of the signal when one ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Outcome {
    /// What it wrote to standard output, when all was well.
    ///
    /// # Panics
    /// When it was not.
    pub fn good(self) -> String {
        assert!(self.code == 0, "the program failed: {self:?}");
        self.out
    }
}

/// A command whose environment holds nothing of ours but what is given.
pub fn command(program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PATCHBAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started or does not end in time.
pub fn run(command: &mut Command) -> Outcome {
    let mut running = Running::start(command);
    let status = running.ended();
    let (out, err) = running.collected();
    Outcome { code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)), out, err }
}

/// The same for what takes longer than anything else here: a whole suite of tests.
///
/// # Panics
/// As [`run`].
pub fn run_long(command: &mut Command) -> Outcome {
    let mut running = Running::start(command);
    let end = Instant::now() + LONG;
    while running.status().is_none() && Instant::now() < end {
        thread::sleep(LONG_LOOK);
    }
    let status = running.ended();
    let (out, err) = running.collected();
    Outcome { code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)), out, err }
}

/// A running program. Its whole group is killed when this is dropped; the kernel sees to it when the test itself is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: Text,
    err: Text,
    readers: Vec<JoinHandle<()>>,
}

/// Text that grows while a program writes.
type Text = Arc<Mutex<String>>;

fn lock(text: &Text) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    /// Starts a program in a group of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe { command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)) };
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (out, err) = (Text::default(), Text::default());
        let readers = vec![
            follow(child.stdout.take().expect("it is piped"), &out),
            follow(child.stderr.take().expect("it is piped"), &err),
        ];
        Self { child, out, err, readers }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output until now.
    pub fn out(&self) -> String {
        lock(&self.out).clone()
    }

    /// What it wrote to standard error until now.
    pub fn err(&self) -> String {
        lock(&self.err).clone()
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Writes a line to its standard input, which the command has to have as a pipe.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn say(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("the command has a pipe for standard input");
        let said = writeln!(input, "{line}").and_then(|()| input.flush());
        assert!(said.is_ok(), "it does not listen: {}", self.err());
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(pid(self.pid()), signal);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        let name = format!("process {} ended", self.pid());
        block_until(name, || {
            status = self.status();
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// All that it wrote; to be asked for after its end.
    pub fn collected(&mut self) -> (String, String) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        (self.out(), self.err())
    }

    /// Kills it and everything in its group.
    pub fn kill(&mut self) {
        let _ = killpg(pid(self.pid()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn follow(pipe: impl Read + Send + 'static, text: &Text) -> JoinHandle<()> {
    let text = text.clone();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            lock(&text).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

/// A process, by its number and the moment of its start, so that a number that is given out again is not mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The number.
    pub pid: u32,
    started: u64,
    /// What it was started as.
    pub command: String,
}

impl Mark {
    /// The process of that number, if there is one.
    pub fn of(pid: u32) -> Option<Self> {
        stat(pid).map(|stat| Self { pid, started: stat.started, command: command_line(pid) })
    }

    /// Whether the process is still there. One that is dead and only waits to be asked how it ended is not.
    pub fn lives(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Kills the process.
    pub fn kill(&self) {
        let _ = kill(pid(self.pid), Signal::SIGKILL);
    }

    /// Stops the process where it is, as a debugger would.
    pub fn freeze(&self) {
        let _ = kill(pid(self.pid), Signal::SIGSTOP);
    }
}

/// What a process has started, and what those have, as far as it lives now.
pub fn descendants(of: u32) -> Vec<Mark> {
    let all: Vec<(u32, Stat)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let mut family = BTreeSet::from([of]);
    // A child has a higher number than its parent but where numbers start anew, so this is repeated until nothing is found.
    loop {
        let before = family.len();
        family.extend(
            all.iter().filter(|(_, stat)| family.contains(&stat.parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    let mark = |(pid, stat): &(u32, Stat)| Mark { pid: *pid, started: stat.started, command: command_line(*pid) };
    all.iter().filter(|(pid, stat)| *pid != of && stat.state != 'Z' && family.contains(pid)).map(mark).collect()
}

/// Waits until all of these are gone.
///
/// # Panics
/// When one stays.
pub fn expect_gone(marks: &[Mark]) {
    let left = || marks.iter().filter(|mark| mark.lives()).cloned().collect::<Vec<_>>();
    block_until(format!("no orphan was left of {marks:?}"), || left().is_empty());
}

struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

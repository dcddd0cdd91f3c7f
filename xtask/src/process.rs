//! Child processes that always end: with a time limit, in a process group of their own, and never outliving us.
//!
//! Every command of xtask starts its programs here. Which programs, and what their output means, is said by the callers.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::{
        prctl,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction},
    },
    unistd::Pid,
};

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(15);
/// How long a process group may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(8);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: nix::libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C and SIGTERM end the wait in progress with an error, so that every guard stops its process.
pub(crate) fn end_in_order_when_interrupted() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note_interrupt), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler only stores into an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }.context("installing a signal handler")?;
    }
    Ok(())
}

/// Fails once somebody asked us to end; loops that wait for something call it.
pub(crate) fn check_interrupted() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// Sleeps one polling step, or fails when we were asked to end.
pub(crate) fn pause() -> Result<()> {
    thread::sleep(POLL);
    check_interrupted()
}

/// A running process whose whole group is stopped when this is dropped.
pub(crate) struct Guard {
    child: Child,
    name: String,
    ask: Signal,
}

impl Guard {
    /// Starts `command` in a process group of its own; the kernel ends it should we be killed.
    pub(crate) fn start(command: &mut Command, name: &str) -> Result<Self> {
        Self::start_ended_by(Signal::SIGTERM, command, name)
    }

    /// As `start`, for a program that takes another signal than SIGTERM as the request to end now.
    pub(crate) fn start_ended_by(ask: Signal, command: &mut Command, name: &str) -> Result<Self> {
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe, and nothing is allocated between fork and exec.
        unsafe { command.pre_exec(move || Ok(prctl::set_pdeathsig(ask)?)) };
        let child = command.spawn().with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self { child, name: name.to_owned(), ask })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The child's own handle, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Fails when the process is no longer there.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended too early ({status})", self.name),
        }
    }

    /// Waits for the end of the process; after `limit` it is stopped and the wait fails.
    pub(crate) fn wait(mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < end,
                "{} did not end within {} seconds and was stopped",
                self.name,
                limit.as_secs()
            );
            pause()?;
        }
    }

    fn stop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        for signal in [self.ask, Signal::SIGKILL] {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            if killpg(group, signal).is_err() {
                let _ = self.child.kill();
            }
            let end = Instant::now() + GRACE;
            while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
                thread::sleep(POLL);
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs `command` with its output on our screen; fails when it does.
pub(crate) fn run(command: &mut Command, name: &str, limit: Duration) -> Result<()> {
    let status = status(command, name, limit)?;
    ensure!(status.success(), "{name} failed ({status}); its own output above says why");
    Ok(())
}

/// Runs `command` with its output on our screen and tells how it ended.
pub(crate) fn status(command: &mut Command, name: &str, limit: Duration) -> Result<ExitStatus> {
    Guard::start(command.stdin(Stdio::null()), name)?.wait(limit)
}

/// Runs `command` and gives back what it wrote to its standard output; on failure the error holds the rest.
pub(crate) fn output(command: &mut Command, name: &str, limit: Duration) -> Result<String> {
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let status = Guard::start(command, name)?.wait(limit)?;
    let text = read_back(&mut out)?;
    ensure!(status.success(), "{name} failed ({status}): {} {}", tail(&text), tail(&read_back(&mut err)?));
    Ok(text)
}

/// Whether `command` succeeds; fails only when we were asked to end, which says nothing about the command.
pub(crate) fn succeeds(command: &mut Command, name: &str, limit: Duration) -> Result<bool> {
    let succeeded = output(command, name, limit).is_ok();
    check_interrupted()?;
    Ok(succeeded)
}

/// Runs `command`, shows its standard output line by line, and gives it back with the way it ended.
pub(crate) fn tee(command: &mut Command, name: &str, limit: Duration) -> Result<(ExitStatus, String)> {
    let mut guard = Guard::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), name)?;
    let pipe = guard.child().stdout.take().context("the pipe was asked for above")?;
    let reader = thread::spawn(move || {
        let mut all = String::new();
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            println!("{line}");
            all.push_str(&line);
            all.push('\n');
        }
        all
    });
    let status = guard.wait(limit)?;
    let text = reader.join().ok().context("reading the output failed")?;
    Ok((status, text))
}

/// The last part of a long text, for an error message.
pub(crate) fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(2000);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].trim()
}

fn read_back(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hangs_is_stopped_with_its_children() {
        let begun = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & echo $!; wait"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut guard = Guard::start(&mut shell, "sh").expect("a shell is there");
        let mut line = String::new();
        let pipe = guard.child().stdout.take().expect("piped");
        BufReader::new(pipe).read_line(&mut line).expect("the shell tells the id of its child");
        let error = guard.wait(Duration::from_millis(200)).expect_err("it hangs");
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(begun.elapsed() < GRACE, "it had to be killed");
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", line.trim()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            assert!(begun.elapsed() < GRACE, "the child of the shell is still there");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_failing_command_tells_what_it_wrote() {
        let mut shell = Command::new("sh");
        let error =
            output(shell.args(["-c", "echo no such thing >&2; exit 3"]), "the probe", GRACE).expect_err("exit 3");
        assert!(error.to_string().contains("no such thing"), "{error}");
    }
}

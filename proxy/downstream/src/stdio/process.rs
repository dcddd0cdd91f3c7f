//! One child process: how it is started and how it ends. It leads a process group of its own, so that what it started ends with
//! it; when the gateway dies without a word, the kernel kills the child, and its children see their input end.

use std::{
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use secrecy::SecretString;
use tokio::{
    process::{Child, Command},
    sync::OwnedSemaphorePermit,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{ChildBudget, StdioOptions, environment, ring::Ring, spawner};
use crate::{
    DownstreamError, Fault,
    pipe::Outlet,
    seat::{Body, Launched, Launcher, Seat},
};

/// How long a child may take to end once its input is closed.
const AFTER_INPUT: Duration = Duration::from_secs(2);
/// How long it may take after a SIGTERM.
const AFTER_TERM: Duration = Duration::from_secs(3);
/// How long what the child leaves behind may take after a SIGTERM, and how often it is looked at.
const LEFTOVERS: (u32, Duration) = (10, Duration::from_millis(50));

/// Starts the children of one server.
pub(super) struct ProcessLauncher {
    command: PathBuf,
    args: Vec<String>,
    env: Vec<(String, SecretString)>,
    cwd: Option<PathBuf>,
    /// The server's places, then the tenant's.
    budgets: [ChildBudget; 2],
    stderr: Arc<Ring>,
}

impl ProcessLauncher {
    pub(super) fn new(options: &StdioOptions, stderr: Arc<Ring>) -> Self {
        Self {
            command: options.command.clone(),
            args: options.args.clone(),
            env: options.env.clone(),
            cwd: options.cwd.clone(),
            budgets: [ChildBudget::new(options.children_max), options.budget.clone()],
            stderr,
        }
    }

    fn command(&self) -> Result<Command, DownstreamError> {
        let unusable =
            |error: environment::EnvironmentError| DownstreamError::not_sent(Fault::Unavailable, error.to_string());
        let env = environment::build(&self.command, &self.env).map_err(unusable)?;
        let mut command = Command::new(&self.command);
        command.args(&self.args).env_clear().envs(env).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        #[cfg(target_os = "linux")]
        die_with_gateway(&mut command);
        Ok(command)
    }

    async fn start(&self, seat: &Arc<Seat>) -> Result<Launched, DownstreamError> {
        let mut command = self.command()?;
        let [own, tenants] = &self.budgets;
        let places = [own.acquire(seat).await?, tenants.acquire(seat).await?];
        let runtime = tokio::runtime::Handle::current();
        let spawned = spawner::run(move || {
            let _context = runtime.enter();
            command.spawn().map(Process::new)
        });
        let spawned = spawned.await.unwrap_or_else(|| Err(io::Error::other("the thread that starts children is busy")));
        let mut process = spawned.map_err(|error| {
            let text = format!("{} cannot be started: {error}", self.command.display());
            DownstreamError::not_sent(Fault::Unavailable, text)
        })?;
        process.places = Some(places);
        let Child { stdin, stdout, stderr, .. } = &mut process.child;
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin.take(), stdout.take(), stderr.take()) else {
            return Err(DownstreamError::not_sent(Fault::Unavailable, "the child has no pipes"));
        };
        let ring = Arc::clone(&self.stderr);
        process.stderr = Some(tokio::spawn(async move { ring.fill(stderr).await }).abort_handle());
        Ok(Launched { reader: Box::new(stdout), outlet: Outlet::Bytes(Box::new(stdin)), body: Box::new(process) })
    }
}

impl Launcher for ProcessLauncher {
    fn launch<'a>(&'a self, seat: &'a Arc<Seat>) -> BoxFuture<'a, Result<Launched, DownstreamError>> {
        Box::pin(self.start(seat))
    }
}

/// Between fork and exec: the kernel shall kill the child when the spawner thread, and so the gateway, is gone; and no
/// descriptor of the gateway may get over, however it was opened.
#[cfg(target_os = "linux")]
fn die_with_gateway(command: &mut Command) {
    use nix::{libc, sys::prctl, unistd};

    let gateway = unistd::getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if unistd::getppid() != gateway {
            // The gateway died before the signal was asked for; it would never come.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // SAFETY: a plain system call on this process's own descriptors; they stay open until exec. Kernels before 5.11 refuse
        // it, and then only the descriptors that were opened close-on-exec, which is all that Rust opens, are closed.
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and makes three system calls; it neither allocates nor takes locks.
    unsafe { command.pre_exec(prepare) };
}

/// A running child and its group.
struct Process {
    child: Child,
    /// The group that the child leads; `None` once all of it was killed.
    group: Option<Pid>,
    stderr: Option<AbortHandle>,
    /// Given back when the child is gone.
    places: Option<[OwnedSemaphorePermit; 2]>,
}

impl Process {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Self { child, group, stderr: None, places: None }
    }

    /// Sends a signal to the group; says whether there is anybody left in it.
    fn signal(&self, signal: impl Into<Option<Signal>>) -> bool {
        self.group.is_some_and(|group| killpg(group, signal).is_ok())
    }

    async fn end(mut self) {
        if timeout(AFTER_INPUT, self.child.wait()).await.is_err() {
            self.signal(Signal::SIGTERM);
            let _ = timeout(AFTER_TERM, self.child.wait()).await;
        }
        self.end_leftovers().await;
        // SIGKILL is on its way to a child that outlived all this; what waits here is the kernel.
        let _ = self.child.wait().await;
    }

    /// What the child started may have a moment to see that the child is gone; then the rest of the group is killed.
    async fn end_leftovers(&mut self) {
        let (looks, pause) = LEFTOVERS;
        if self.child.id().is_none() && self.signal(Signal::SIGTERM) {
            for _ in 0..looks {
                sleep(pause).await;
                if !self.signal(None) {
                    break;
                }
            }
        }
        self.signal(Signal::SIGKILL);
        self.group = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some(stderr) = self.stderr.take() {
            stderr.abort();
        }
    }
}

impl Body for Process {
    fn exited(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            match self.child.wait().await {
                Ok(status) => how(status),
                Err(error) => format!("its end could not be waited for: {error}"),
            }
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.end())
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;

    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

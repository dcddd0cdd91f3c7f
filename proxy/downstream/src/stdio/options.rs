//! What a stdio server is started with and bounded by. The gateway fills it from a server's record and its own limits.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use patchbay_core::model::{EraPin, Sharing};
use secrecy::SecretString;
use tokio::runtime::Handle;

use super::ChildBudget;
use crate::{Hello, pipe::Limits, seat::Rules};

/// Everything about one stdio server. [`Self::new`] gives the defaults.
#[derive(Clone)]
pub struct StdioOptions {
    /// The server's name, for logs.
    pub name: Arc<str>,
    /// The executable, resolved from the operator's list: an absolute path.
    pub command: PathBuf,
    /// Its arguments, handed over without a shell.
    pub args: Vec<String>,
    /// Environment variables beside the few that every child gets; see [`super::check_env`].
    pub env: Vec<(String, SecretString)>,
    /// The working directory; the gateway's when absent.
    pub cwd: Option<PathBuf>,
    /// Who shares a child.
    pub sharing: Sharing,
    /// The configured era.
    pub era: EraPin,
    /// What the server said the last time: saves the probe.
    pub remembered: Option<Arc<Hello>>,
    /// How long a start may take, handshake included. 30 s: package runners download first.
    pub start_timeout: Duration,
    /// How long the probe for the modern era may stay unanswered. 2 s: old servers are silent, and each start waits that long.
    pub probe_timeout: Duration,
    /// After how long without calls a child is stopped; `None` never. 10 min.
    pub idle_stop: Option<Duration>,
    /// How long a child may stay silent, also to a ping, after a call timed out in silence; then it is killed. 10 s.
    pub hang_grace: Duration,
    /// Calls that may wait at one child. 1024.
    pub calls_max: usize,
    /// The longest line that is taken from a child. 16 MiB.
    pub line_bytes_max: usize,
    /// Lines that are no messages, per minute, before a child is started again. 100.
    pub garbage_lines_max: u32,
    /// Children of this server. 16.
    pub children_max: usize,
    /// Children of the tenant, over all its servers.
    pub budget: ChildBudget,
    /// Where the children's tasks live; callers may be anywhere.
    pub runtime: Handle,
}

impl StdioOptions {
    /// The defaults, for this command.
    pub fn new(name: &str, command: impl Into<PathBuf>, budget: ChildBudget, runtime: Handle) -> Self {
        Self {
            name: name.into(),
            command: command.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            sharing: Sharing::default(),
            era: EraPin::default(),
            remembered: None,
            start_timeout: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(2),
            idle_stop: Some(Duration::from_secs(600)),
            hang_grace: Duration::from_secs(10),
            calls_max: 1024,
            line_bytes_max: 16 * 1024 * 1024,
            garbage_lines_max: 100,
            children_max: 16,
            budget,
            runtime,
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            era: self.era,
            start_timeout: self.start_timeout,
            probe_timeout: self.probe_timeout,
            idle_stop: self.idle_stop,
            hang_grace: self.hang_grace,
            limits: Limits {
                line_bytes_max: self.line_bytes_max,
                calls_max: self.calls_max,
                garbage_lines_max: self.garbage_lines_max,
                write_stall: Duration::from_secs(30),
            },
        }
    }
}

impl fmt::Debug for StdioOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("StdioOptions")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("env", &names)
            .field("sharing", &self.sharing)
            .field("era", &self.era)
            .finish_non_exhaustive()
    }
}

//! One connection that speaks newline-delimited JSON-RPC, whatever carries it: a child's pipes or a channel in memory.
//! Callers on any thread put a line into the outbox and wait at their slot; one driver task writes, reads and routes.
//! What starts and ends the peer is not known here; see [`crate::seat`].

mod call;
mod drive;
mod hello;
mod inbox;
pub(crate) mod lines;
mod listen;
mod open;
mod pending;
mod posts;
mod route;
mod scan;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use patchbay_core::era::Era;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, broadcast, mpsc},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    call::CallError,
    hello::one_line,
    open::{OpenError, Opening, open},
    posts::Post,
};
use self::{
    inbox::Slot,
    pending::{Departed, Pending},
};
use crate::{DownstreamError, Event, level::Level};

/// Messages that may wait to be written; a caller beyond waits for room until its deadline.
const OUTBOX_MAX: usize = 1024;

/// What bounds one connection.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// The longest line that is taken; what is longer is skipped without being kept.
    pub(crate) line_bytes_max: usize,
    /// Calls that may wait for their response.
    pub(crate) calls_max: usize,
    /// Lines that are no messages, within a minute; one more ends the connection.
    pub(crate) garbage_lines_max: u32,
    /// How long one write may make no progress.
    pub(crate) write_stall: Duration,
}

/// What a connection is part of.
#[derive(Debug, Clone)]
pub(crate) struct Wiring {
    /// The server's name, for logs.
    pub(crate) name: Arc<str>,
    /// Whether callers share it who have nothing to do with each other: then no caller is ever asked anything.
    pub(crate) shared: bool,
    /// What the peer is told that callers can be asked, a JSON object.
    pub(crate) capabilities: Arc<str>,
    /// Gives request ids. It outlives the connection, so that no id ever comes twice.
    pub(crate) ids: Arc<AtomicU64>,
    /// Takes what the server tells outside of calls.
    pub(crate) events: broadcast::Sender<Event>,
    /// The bounds.
    pub(crate) limits: Limits,
}

/// Where lines go.
pub(crate) enum Outlet {
    /// Into one stream of bytes, each after the other.
    Bytes(Box<dyn AsyncWrite + Send + Unpin>),
    /// Each by itself.
    Posts(Box<dyn Post>),
}

/// A line on its way out, without its newline, and the call that it opens.
struct Frame {
    line: Vec<u8>,
    slot: Option<Arc<Slot>>,
}

impl Frame {
    /// A message of our own or of a caller. A caller's JSON may hold line breaks between its tokens, and there only; on this
    /// transport they would end the message.
    fn new(mut line: Vec<u8>, slot: Option<Arc<Slot>>) -> Self {
        if memchr::memchr2(b'\n', b'\r', &line).is_some() {
            line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        line.push(b'\n');
        Self { line, slot }
    }
}

/// Why a connection ended by itself.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer closed its output.
    Eof,
    /// Reading failed.
    Read(std::io::Error),
    /// Writing failed.
    Write(std::io::Error),
    /// The peer does not read.
    Stalled,
    /// Too many lines were no messages.
    Garbage(u32),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => f.write_str("the server closed its output"),
            Self::Read(error) => write!(f, "the server's output cannot be read: {error}"),
            Self::Write(error) => write!(f, "the server's input cannot be written: {error}"),
            Self::Stalled => f.write_str("the server does not read its input"),
            Self::Garbage(lines) => write!(
                f,
                "the server wrote more than {lines} lines within a minute that are no messages; only messages belong on its \
                 standard output"
            ),
        }
    }
}

/// See the module.
pub(crate) struct Pipe {
    wiring: Wiring,
    outbox: mpsc::Sender<Frame>,
    pending: Mutex<Pending>,
    input_closed: CancellationToken,
    era: OnceLock<Era>,
    /// From which level on it sends log messages.
    level: Level,
    /// Lines that came in, to tell a slow peer from a dead one.
    heard: AtomicU64,
    /// Messages that belonged to nobody.
    dropped: AtomicU64,
    suspicion: Notify,
}

impl Pipe {
    /// A connection over these two ends, and the future that drives it, to be spawned where the ends belong.
    pub(crate) fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        outlet: Outlet,
        wiring: Wiring,
    ) -> (Arc<Self>, impl Future<Output = End> + Send + 'static) {
        let (outbox, frames) = mpsc::channel(OUTBOX_MAX);
        let pipe = Arc::new(Self {
            pending: Mutex::new(Pending::new(wiring.limits.calls_max)),
            wiring,
            outbox,
            input_closed: CancellationToken::new(),
            era: OnceLock::new(),
            level: Level::default(),
            heard: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            suspicion: Notify::new(),
        });
        let driver = drive::drive(Arc::clone(&pipe), reader, outlet, frames);
        (pipe, driver)
    }

    /// The era that was found when it was opened.
    pub(crate) fn era(&self) -> Era {
        self.era.get().copied().unwrap_or(Era::Legacy)
    }

    /// Ends it for callers: those who wait get [`crate::Fault::Closed`] at once, later ones are turned away.
    pub(crate) fn close(&self, why: &str) {
        let departed = self.pending().close(why);
        departed.into_iter().for_each(Departed::tell);
    }

    /// Closes it when nobody waits; says whether it did.
    pub(crate) fn retire(&self) -> bool {
        self.pending().retire()
    }

    /// Closes the peer's input, which asks it to end. Its output is still read.
    pub(crate) fn close_input(&self) {
        self.input_closed.cancel();
    }

    /// For how long nobody has waited; `None` while somebody does.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        self.pending().idle_for()
    }

    /// Calls that wait.
    pub(crate) fn calls(&self) -> usize {
        self.pending().calls()
    }

    /// How many lines came in so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Resolves when a call timed out during which the peer said nothing at all.
    pub(crate) async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a line into the outbox unless it is full; then the peer does not read, and nothing is lost that it would get.
    fn post(&self, line: Vec<u8>) {
        if self.outbox.try_send(Frame::new(line, None)).is_err() {
            self.drop_one("the outbox is full");
        }
    }

    /// Counts a message that goes nowhere. The log gets the first, the second, the fourth and so on.
    fn drop_one(&self, why: &str) {
        let count = self.dropped.fetch_add(1, Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::debug!(server.name = %self.wiring.name, count, "dropped a message: {why}");
        }
    }
}

/// The error of a call that was turned away because the connection is closed.
fn gone(why: &str) -> DownstreamError {
    DownstreamError::not_sent(crate::Fault::Closed, why)
}

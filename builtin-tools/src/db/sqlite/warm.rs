//! Open connections that wait for the next call, so that a large schema is not parsed for every one. A connection comes
//! back only from a call that ended by itself, with its transaction, its judge and its clock taken off; it is lent again
//! only while the file is what it was, and closed when nobody wants it for a while, since it keeps the file open.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::time;

use super::{catalog::Catalog, stop::Stop};

/// The most connections of a source that wait.
const WAITING_MAX: usize = 2;
/// How long one waits.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The waiting connections of one source.
#[derive(Debug)]
pub(crate) struct Warm {
    idle_max: Duration,
    waiting: Mutex<Vec<(Open, Instant)>>,
    is_swept: AtomicBool,
}

/// A connection with what was read of its schema.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) conn: Connection,
    pub(crate) catalog: Arc<Catalog>,
    /// What the file was just before it was opened.
    pub(crate) file: Option<FileState>,
}

/// What tells one state of a file from another. A write that SQLite made, and a file put in its place, both change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileState {
    /// `None` where the file is gone, or where the system cannot tell files apart; such a connection is never lent again.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let metadata = fs::metadata(path).ok()?;
            Some(Self {
                device: metadata.dev(),
                inode: metadata.ino(),
                bytes: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            None
        }
    }
}

impl Default for Warm {
    fn default() -> Self {
        Self::new(IDLE_MAX)
    }
}

impl Warm {
    /// Lets a connection wait so long.
    pub(crate) fn new(idle_max: Duration) -> Self {
        Self { idle_max, waiting: Mutex::default(), is_swept: AtomicBool::new(false) }
    }

    /// A waiting connection, if there is one and the file is still what it was.
    pub(crate) fn take(&self, path: &Path) -> Option<Open> {
        let (open, _) = self.lock().pop()?;
        (open.file.is_some() && open.file == FileState::of(path)).then_some(open)
    }

    fn put(&self, open: Open) {
        let mut waiting = self.lock();
        if waiting.len() < WAITING_MAX {
            waiting.push((open, Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Open, Instant)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections when their time is over, by one task for all, which ends with the last of them.
    pub(crate) fn sweep(self: &Arc<Self>) {
        if self.lock().is_empty() || self.is_swept.swap(true, Ordering::AcqRel) {
            return;
        }
        let (warm, pause) = (Arc::downgrade(self), self.idle_max / 2);
        tokio::spawn(async move {
            loop {
                time::sleep(pause).await;
                let Some(warm) = warm.upgrade() else { return };
                if !warm.close_idle() {
                    warm.is_swept.store(false, Ordering::Release);
                    return;
                }
            }
        });
    }

    /// Whether any are left.
    fn close_idle(&self) -> bool {
        let mut waiting = self.lock();
        waiting.retain(|(_, since)| since.elapsed() < self.idle_max);
        !waiting.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.lock().len()
    }
}

/// A connection in use; it goes home by itself.
#[derive(Debug)]
pub(crate) struct Lent {
    /// `None` only while it is dropped.
    open: Option<Open>,
    home: Arc<Warm>,
    stop: Arc<Stop>,
}

impl Lent {
    pub(crate) fn new(open: Open, home: Arc<Warm>, stop: Arc<Stop>) -> Self {
        Self { open: Some(open), home, stop }
    }

    pub(crate) fn conn(&self) -> &Connection {
        &self.get().conn
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.get().catalog
    }

    pub(crate) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    fn get(&self) -> &Open {
        self.open.as_ref().expect("a connection leaves only when this is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        // Before anything else: a late interrupt must not meet the next caller.
        self.stop.unwatch();
        let is_fit = !std::thread::panicking() && !self.stop.is_stopped();
        if is_fit && strip(&open.conn).is_ok() && open.conn.is_autocommit() && !open.conn.is_busy() {
            self.home.put(open);
        }
    }
}

/// Takes off what the last call put on.
fn strip(conn: &Connection) -> rusqlite::Result<()> {
    conn.progress_handler(0, None::<fn() -> bool>)?;
    conn.authorizer(None::<fn(rusqlite::hooks::AuthContext<'_>) -> rusqlite::hooks::Authorization>)?;
    conn.execute_batch("ROLLBACK")
}

//! The spool: a folder of preallocated files, mapped into memory, that keeps records from the moment they are appended until
//! they are drained, also when the process is killed in between. To append is a copy under a short lock, without a system call.
//!
//! It knows nothing of what the records say. It is full when it is full: appending then fails, and the caller decides what
//! becomes of the call. Before that it asks callers to take their time ([`Spool::pause`]).

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tracing::{info, warn};

use super::segment::{Blank, Found, HEAD, PAYLOAD_MAX, Pen, Segment, room_for};

/// The smallest segment: a few of the longest records.
pub const SEGMENT_BYTES_MIN: usize = 8 * PAYLOAD_MAX;
/// The largest segment; its places fit 32 bits.
pub const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// How long a spool that could not grow (the disk is full) waits before it tries again, so that not every refusal does.
const GROWTH_PAUSE: Duration = Duration::from_secs(1);

/// From this occupancy on, in thousandths, calls wait a little before they go out.
const CROWDED: u32 = 800;
/// How long they wait when hardly any room is left.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Files that are kept ready beside the one that is written.
const READY: usize = 3;

/// The bounds of a spool.
#[derive(Debug, Clone, Copy)]
pub struct SpoolOptions {
    /// The size of one file.
    pub segment_bytes: usize,
    /// How many files there may be; at least 2.
    pub segments_max: usize,
}

impl Default for SpoolOptions {
    /// 256 files of 1 MiB: some 300,000 calls.
    fn default() -> Self {
        Self { segment_bytes: 1 << 20, segments_max: 256 }
    }
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bounds make no sense.
    #[error(
        "the audit spool needs at least 2 segments of {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} bytes, \
         not {segments_max} of {segment_bytes}: change the bounds"
    )]
    Options {
        /// As given.
        segment_bytes: usize,
        /// As given.
        segments_max: usize,
    },
    /// Another process has it open.
    #[error(
        "the audit spool {} is in use by another gateway: stop that one, or give this one a data folder of its own", .0.display()
    )]
    Taken(PathBuf),
    /// The disk or its rights.
    #[error("the audit spool {} cannot be used: make the folder writable for this user, with free space on its disk", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// There is no room for another record. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit spool is full: the store must take what waits there before more can be recorded")]
pub struct SpoolFull;

/// A place in the spool, in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) at: usize,
}

/// See the module.
pub(super) struct Spool {
    dir: PathBuf,
    options: SpoolOptions,
    state: Mutex<State>,
    appended: AtomicU64,
    /// How full it is, in thousandths; written under the lock, read without it.
    occupancy: AtomicU32,
    wake: Notify,
    /// Kept for its lock.
    _lock: File,
}

struct State {
    pen: Pen,
    ready: Vec<Blank>,
    /// Written and not drained, oldest first.
    sealed: VecDeque<Arc<Segment>>,
    /// Bytes of records in them.
    sealed_bytes: usize,
    /// Everything before it is drained.
    drained: Place,
    /// Bytes that records to come were promised.
    promised: usize,
    files: usize,
    /// When making a file failed last.
    stunted: Option<Instant>,
    next_seq: u64,
    next_file: u64,
    /// The drain waits to be woken.
    asleep: bool,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("dir", &self.dir).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Spool {
    /// Opens the spool in a folder, which is made when it is not there, with all records that were not drained before.
    ///
    /// # Errors
    /// See [`SpoolError`].
    pub(super) fn open(dir: &Path, options: SpoolOptions) -> Result<Self, SpoolError> {
        let SpoolOptions { segment_bytes, segments_max } = options;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&segment_bytes) || segments_max < 2 {
            return Err(SpoolError::Options { segment_bytes, segments_max });
        }
        // Maps are in pages, and places in words.
        let options = SpoolOptions { segment_bytes: segment_bytes.next_multiple_of(4096), segments_max };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
        let lock = lock(dir)?;
        let left = super::recovery::left(dir)?;
        let seq = left.segments.iter().map(|segment| segment.seq).max().unwrap_or(0) + 1;
        let path = file_name(dir, left.next_file);
        let pen = Blank::create(path.clone(), options.segment_bytes).map_err(failed(&path))?.begin(seq);
        let state = State {
            pen,
            ready: Vec::new(),
            files: left.segments.len() + 1,
            sealed_bytes: left.segments.iter().map(|segment| segment.end()).sum(),
            sealed: left.segments.into(),
            drained: left.begin.unwrap_or(Place { seq, at: HEAD }),
            promised: 0,
            stunted: None,
            next_seq: seq + 1,
            next_file: left.next_file + 1,
            asleep: false,
        };
        Ok(Self {
            dir: dir.to_owned(),
            occupancy: AtomicU32::new(state.occupancy(&options)),
            options,
            state: Mutex::new(state),
            appended: AtomicU64::new(left.records),
            wake: Notify::new(),
            _lock: lock,
        })
    }

    /// Appends a record of these parts.
    ///
    /// # Errors
    /// [`SpoolFull`], also for a record that is longer than any.
    pub(super) fn append(&self, parts: &[&[u8]]) -> Result<(), SpoolFull> {
        self.put(parts, 0, 0)
    }

    /// Appends a record and keeps room for one more, of at most `payload` bytes, that [`Self::append_promised`] will bring.
    ///
    /// # Errors
    /// [`SpoolFull`].
    pub(super) fn append_promising(&self, parts: &[&[u8]], payload: usize) -> Result<(), SpoolFull> {
        self.put(parts, room_for(payload), 0)
    }

    /// Appends a record for which `payload` bytes were promised: it has its room.
    ///
    /// # Errors
    /// [`SpoolFull`] for one that is longer than was promised.
    pub(super) fn append_promised(&self, parts: &[&[u8]], payload: usize) -> Result<(), SpoolFull> {
        self.put(parts, 0, room_for(payload))
    }

    fn put(&self, parts: &[&[u8]], promise: usize, promised: usize) -> Result<(), SpoolFull> {
        let payload = parts.iter().map(|part| part.len()).sum();
        if payload > PAYLOAD_MAX {
            return Err(SpoolFull);
        }
        let mut crc = crc32fast::Hasher::new();
        parts.iter().for_each(|part| crc.update(part));
        let crc = crc.finalize();

        let mut state = self.state();
        state.promised -= promised.min(state.promised);
        let needed = room_for(payload) + promise;
        while state.room(&self.options) < needed + state.promised {
            self.grow(&mut state)?;
        }
        if !state.pen.append(parts, payload, crc) {
            state.turn()?;
            if !state.pen.append(parts, payload, crc) {
                return Err(SpoolFull);
            }
        }
        state.promised += promise;
        self.occupancy.store(state.occupancy(&self.options), Ordering::Relaxed);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        self.appended.fetch_add(1, Ordering::Relaxed);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Makes one more file on the way of a record; usually [`Self::prepare`] has done it before.
    fn grow(&self, state: &mut State) -> Result<(), SpoolFull> {
        let path = state.another(&self.dir, &self.options).ok_or(SpoolFull)?;
        let made = Blank::create(path, self.options.segment_bytes);
        if state.grown(made) { Ok(()) } else { Err(SpoolFull) }
    }

    /// Makes the next file before it is needed. Called by the drain, off the path.
    pub(super) fn prepare(&self) {
        let path = {
            let mut state = self.state();
            // One that could not grow shows in this way that it can again.
            let wanted = state.ready.is_empty() || state.stunted.is_some();
            if wanted { state.another(&self.dir, &self.options) } else { None }
        };
        if let Some(path) = path {
            let made = Blank::create(path, self.options.segment_bytes);
            let mut state = self.state();
            state.grown(made);
            self.occupancy.store(state.occupancy(&self.options), Ordering::Relaxed);
        }
    }

    /// Waits until the disk has every record that was appended before; whether there was anything to wait for. Blocks, and is
    /// called by one thread alone.
    pub(super) fn sync(&self) -> io::Result<bool> {
        let unsynced: Vec<_> = {
            let state = self.state();
            let all = state.sealed.iter().chain([state.pen.segment()]);
            all.filter(|segment| segment.is_unsynced()).cloned().collect()
        };
        let mut new = false;
        for segment in &unsynced {
            new |= segment.sync()?;
        }
        if new {
            // The name of a new file is the folder's.
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(!unsynced.is_empty())
    }

    /// How long a call should wait before it goes out: nothing, until the spool is nearly full.
    pub(super) fn pause(&self) -> Option<Duration> {
        let over = self.occupancy.load(Ordering::Relaxed).checked_sub(CROWDED)?;
        (over > 0).then(|| PAUSE_MAX * over / (1000 - CROWDED))
    }

    /// How full it is, from 0 to 1. What the disk refuses does not count as room.
    pub(super) fn occupancy(&self) -> f64 {
        f64::from(self.occupancy.load(Ordering::Relaxed)) / 1000.0
    }

    /// Whether it could not grow when it wanted to last.
    pub(super) fn is_stunted(&self) -> bool {
        self.state().stunted.is_some()
    }

    /// Where the first record is that is not drained.
    pub(super) fn drained(&self) -> Place {
        self.state().drained
    }

    /// The oldest segment from this number on.
    pub(super) fn segment_from(&self, seq: u64) -> Option<Arc<Segment>> {
        let state = self.state();
        let sealed = state.sealed.iter().find(|segment| segment.seq >= seq);
        sealed.or_else(|| Some(state.pen.segment()).filter(|segment| segment.seq >= seq)).cloned()
    }

    /// Whether this is the segment that is being written.
    pub(super) fn is_written(&self, segment: &Arc<Segment>) -> bool {
        Arc::ptr_eq(self.state().pen.segment(), segment)
    }

    /// Notes that everything before this place is drained, and uses its files again.
    pub(super) fn drained_to(&self, place: Place) {
        let mut gone = Vec::new();
        let mut state = self.state();
        state.drained = place;
        while state.sealed.front().is_some_and(|segment| segment.seq < place.seq) {
            gone.extend(state.sealed.pop_front());
        }
        let current = state.sealed.front().unwrap_or(state.pen.segment());
        if current.seq == place.seq {
            current.set_drained(place.at);
        }
        let mut deleted = Vec::new();
        for segment in gone {
            state.sealed_bytes -= segment.end();
            let fits = segment.bytes() == self.options.segment_bytes && state.ready.len() < READY;
            match Arc::try_unwrap(segment) {
                Ok(segment) if fits => state.ready.push(segment.into_blank()),
                Ok(segment) => deleted.push(segment.path().to_owned()),
                Err(shared) => deleted.push(shared.path().to_owned()),
            }
        }
        state.files -= deleted.len();
        self.occupancy.store(state.occupancy(&self.options), Ordering::Relaxed);
        drop(state);
        for path in deleted {
            if let Err(error) = fs::remove_file(&path) {
                warn!(%error, path = %path.display(), "a drained audit segment could not be removed");
            }
        }
    }

    /// Whether nothing lies at or behind this place; if so, the next record will wake [`Self::woken`].
    pub(super) fn sleep_at(&self, place: Place) -> bool {
        let mut state = self.state();
        state.asleep = place >= state.end();
        state.asleep
    }

    /// The place of the next record to come.
    pub(super) fn end(&self) -> Place {
        self.state().end()
    }

    /// Waits for a record that came after [`Self::sleep_at`].
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether another record would find room now.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state();
        let needed = state.promised + 2 * room_for(PAYLOAD_MAX);
        state.room(&self.options) >= needed || state.may_grow(&self.options)
    }

    /// Bytes of records that are not drained, by whole segments.
    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes() as u64
    }

    /// How many records were appended, or found when it was opened.
    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// The state for oneself. Nothing under the lock leaves it half changed, so a poisoned one is taken too.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&self) -> Place {
        Place { seq: self.pen.segment().seq, at: self.pen.written() }
    }

    fn bytes(&self) -> usize {
        self.sealed_bytes + self.pen.written()
    }

    /// How full it is, in thousandths. While it cannot grow, there is no more than the files that it has.
    fn occupancy(&self, options: &SpoolOptions) -> u32 {
        let files = if self.stunted.is_some() { self.files.min(options.segments_max) } else { options.segments_max };
        let whole = (files.max(1) * options.segment_bytes) as u64;
        u32::try_from(self.bytes() as u64 * 1000 / whole).unwrap_or(u32::MAX).min(1000)
    }

    /// Bytes that are surely there for records, the end of each file left out, where a long one might not fit.
    fn room(&self, options: &SpoolOptions) -> usize {
        let waste = room_for(PAYLOAD_MAX);
        let ready = self.ready.len() * (options.segment_bytes - HEAD - waste);
        self.pen.left().saturating_sub(waste) + ready
    }

    /// The name of one more file, when there may be one; it is counted.
    fn another(&mut self, dir: &Path, options: &SpoolOptions) -> Option<PathBuf> {
        if !self.may_grow(options) {
            return None;
        }
        self.files += 1;
        self.next_file += 1;
        Some(file_name(dir, self.next_file - 1))
    }

    fn may_grow(&self, options: &SpoolOptions) -> bool {
        self.files < options.segments_max && self.stunted.is_none_or(|since| since.elapsed() >= GROWTH_PAUSE)
    }

    /// Takes the file that was made, or notes that it could not be.
    fn grown(&mut self, made: io::Result<Blank>) -> bool {
        match made {
            Ok(blank) => {
                self.ready.push(blank);
                if self.stunted.take().is_some() {
                    info!("the audit spool can grow again");
                }
                true
            }
            Err(error) => {
                self.files -= 1;
                if self.stunted.replace(Instant::now()).is_none() {
                    warn!(%error, "the audit spool cannot grow: see to its disk; once the spool is full, calls are refused");
                }
                false
            }
        }
    }

    /// Goes on in the next file.
    fn turn(&mut self) -> Result<(), SpoolFull> {
        let pen = self.ready.pop().ok_or(SpoolFull)?.begin(self.next_seq);
        self.next_seq += 1;
        let full = std::mem::replace(&mut self.pen, pen);
        self.sealed_bytes += full.written();
        self.sealed.push_back(full.segment().clone());
        Ok(())
    }
}

fn file_name(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{}", super::recovery::EXTENSION))
}

fn lock(dir: &Path) -> Result<File, SpoolError> {
    let path = dir.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = open.map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SpoolError::Taken(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(SpoolError::Io { path, source }),
    }
}

/// Says which file an error of the system is about.
pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    |source| SpoolError::Io { path, source }
}

/// Reads a file that an earlier process left.
pub(super) fn open_segment(path: &Path) -> Result<Found, SpoolError> {
    Segment::open(path).map_err(failed(path))
}

//! One file of the spool, mapped into memory: the only place with `unsafe`. A [`Pen`] appends records, a [`Segment`] reads what
//! was appended; how many segments there are and who takes which is [`super::spool`]'s.
//!
//! The file is a head (magic, sequence number, checksum, how far it was drained) and records, each a length, a CRC-32 and the
//! payload, padded to 8 bytes. A length of 0 ends the records. A record's length is stored last, after a 0 in the place of the
//! next one, so that a process killed at any moment leaves a whole record or none, whatever an earlier use left in the file.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use memmap2::{MmapOptions, MmapRaw};

/// Where the records begin.
pub(super) const HEAD: usize = 32;
/// The longest payload.
pub(super) const PAYLOAD_MAX: usize = 16 * 1024;

const MAGIC: &[u8; 8] = b"PBAUDIT1";
const DRAINED: usize = 24;
const RECORD_HEAD: usize = 8;

/// What a payload takes in the file.
pub(super) const fn room_for(payload: usize) -> usize {
    RECORD_HEAD + payload.next_multiple_of(8)
}

/// A file without records, all of its space reserved.
pub(super) struct Blank {
    path: PathBuf,
    map: MmapRaw,
}

/// A file with records. Those below `end` do not change any more.
pub(super) struct Segment {
    path: PathBuf,
    map: MmapRaw,
    pub(super) seq: u64,
    end: AtomicUsize,
    /// Up to here the disk has it.
    synced: AtomicUsize,
}

/// The right to append to a segment; there is one for each.
pub(super) struct Pen {
    segment: Arc<Segment>,
    at: usize,
}

/// What was found in a file.
pub(super) enum Found {
    /// Records, of which those from this place on are not drained yet.
    Records(Segment, usize),
    /// No record that matters.
    Nothing,
    /// Something else than what a spool writes.
    Foreign,
}

impl Blank {
    /// Makes a file of `bytes`, reserved on the disk, so that writing into it later cannot fail.
    pub(super) fn create(path: PathBuf, bytes: usize) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let reserved = reserve(&file, bytes).and_then(|()| MmapOptions::new().map_raw(&file));
        match reserved {
            Ok(map) => Ok(Self { path, map }),
            Err(error) => {
                // The error that matters is the first one; a file left behind is found and removed at the next start.
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// Begins to write.
    pub(super) fn begin(self, seq: u64) -> Pen {
        let Self { path, map } = self;
        // First nothing is in it, then it is a segment.
        word(&map, HEAD).store(0, Ordering::Release);
        let mut head = [0; DRAINED];
        head[..8].copy_from_slice(MAGIC);
        head[8..16].copy_from_slice(&seq.to_le_bytes());
        let crc = crc32fast::hash(&head[..16]);
        head[16..20].copy_from_slice(&crc.to_le_bytes());
        write(&map, 0, &head);
        word(&map, DRAINED).store(HEAD as u32, Ordering::Release);
        let (end, synced) = (AtomicUsize::new(HEAD), AtomicUsize::new(0));
        Pen { segment: Arc::new(Segment { path, map, seq, end, synced }), at: HEAD }
    }
}

/// Takes the space from the disk now: a hole that the disk cannot fill later would be a SIGBUS.
fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    let bytes = i64::try_from(bytes).map_err(io::Error::other)?;
    nix::fcntl::posix_fallocate(file, 0, bytes).map_err(io::Error::from)
}

impl Pen {
    /// The segment that it writes.
    pub(super) const fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.segment.map.len() - self.at
    }

    /// How many bytes are written.
    pub(super) const fn written(&self) -> usize {
        self.at
    }

    /// Appends a record of these parts; `false` when it does not fit. `crc` is that of all parts, `payload` their length.
    pub(super) fn append(&mut self, parts: &[&[u8]], payload: usize, crc: u32) -> bool {
        let next = self.at + room_for(payload);
        if payload == 0 || payload > PAYLOAD_MAX || next > self.segment.map.len() {
            return false;
        }
        let map = &self.segment.map;
        if next + RECORD_HEAD <= map.len() {
            word(map, next).store(0, Ordering::Relaxed);
        }
        write(map, self.at + 4, &crc.to_le_bytes());
        let mut at = self.at + RECORD_HEAD;
        for part in parts {
            write(map, at, part);
            at += part.len();
        }
        debug_assert_eq!(at, self.at + RECORD_HEAD + payload, "the parts are as long as was said");
        word(map, self.at).store(payload as u32, Ordering::Release);
        self.at = next;
        self.segment.end.store(next, Ordering::Release);
        true
    }
}

impl Segment {
    /// Opens what a process that is gone has left.
    pub(super) fn open(path: &Path) -> io::Result<Found> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = file.metadata()?.len();
        if bytes < (HEAD + RECORD_HEAD) as u64 || bytes > u64::from(u32::MAX) {
            return Ok(if bytes == 0 { Found::Nothing } else { Found::Foreign });
        }
        let map = MmapOptions::new().map_raw(&file)?;
        let head = read(&map, 0, DRAINED);
        let whole = head[..8] == *MAGIC && head[16..20] == crc32fast::hash(&head[..16]).to_le_bytes();
        if !whole {
            let blank = word(&map, HEAD).load(Ordering::Acquire) == 0;
            return Ok(if blank { Found::Nothing } else { Found::Foreign });
        }
        let seq = u64::from_le_bytes(head[8..16].try_into().expect("8 bytes are 8 bytes"));
        let end = last_record_end(&map);
        let drained = word(&map, DRAINED).load(Ordering::Acquire) as usize;
        let drained = if drained > end || !is_record_start(&map, drained) { HEAD } else { drained };
        if drained == end {
            return Ok(Found::Nothing);
        }
        let (end, synced) = (AtomicUsize::new(end), AtomicUsize::new(0));
        Ok(Found::Records(Self { path: path.to_owned(), map, seq, end, synced }, drained))
    }

    /// The record at this place and the place of the next; `None` at the end.
    pub(super) fn record(&self, at: usize) -> Option<(&[u8], usize)> {
        let end = self.end();
        if at >= end || !at.is_multiple_of(8) {
            return None;
        }
        let payload = word(&self.map, at).load(Ordering::Acquire) as usize;
        let next = at + room_for(payload);
        (next <= end).then(|| (read(&self.map, at + RECORD_HEAD, payload), next))
    }

    /// Notes that everything before this place needs no draining any more.
    pub(super) fn set_drained(&self, at: usize) {
        word(&self.map, DRAINED).store(at as u32, Ordering::Release);
    }

    /// Whether it has records that the disk may not have.
    pub(super) fn is_unsynced(&self) -> bool {
        self.synced.load(Ordering::Acquire) < self.end()
    }

    /// Waits until the disk has everything up to the end, and says whether nothing of the file was there before. One thread
    /// alone calls it.
    pub(super) fn sync(&self) -> io::Result<bool> {
        let (from, end) = (self.synced.load(Ordering::Acquire), self.end());
        // With the mark behind the last record, so that nothing of an earlier use follows it.
        let to = (end + RECORD_HEAD).min(self.map.len());
        self.map.flush_range(from, to - from)?;
        self.synced.store(end, Ordering::Release);
        Ok(from == 0)
    }

    /// The file's size.
    pub(super) fn bytes(&self) -> usize {
        self.map.len()
    }

    /// The end of the records.
    pub(super) fn end(&self) -> usize {
        self.end.load(Ordering::Acquire)
    }

    /// Gives the file up, so that it can be begun again. Owning the segment is the proof that nobody reads it.
    pub(super) fn into_blank(self) -> Blank {
        word(&self.map, HEAD).store(0, Ordering::Release);
        Blank { path: self.path, map: self.map }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Walks from record to record, as long as they are whole.
fn last_record_end(map: &MmapRaw) -> usize {
    let mut at = HEAD;
    while let Some(next) = whole_record(map, at) {
        at = next;
    }
    at
}

fn is_record_start(map: &MmapRaw, place: usize) -> bool {
    let mut at = HEAD;
    while at < place {
        match whole_record(map, at) {
            Some(next) => at = next,
            None => return false,
        }
    }
    at == place
}

fn whole_record(map: &MmapRaw, at: usize) -> Option<usize> {
    if at + RECORD_HEAD > map.len() {
        return None;
    }
    let payload = word(map, at).load(Ordering::Acquire) as usize;
    if payload == 0 || payload > PAYLOAD_MAX || at + room_for(payload) > map.len() {
        return None;
    }
    let crc = read(map, at + 4, 4);
    (crc == crc32fast::hash(read(map, at + RECORD_HEAD, payload)).to_le_bytes()).then(|| at + room_for(payload))
}

/// A 32-bit word of the file.
fn word(map: &MmapRaw, at: usize) -> &AtomicU32 {
    assert!(at.is_multiple_of(4) && at + 4 <= map.len(), "a word lies within the file");
    // SAFETY: the four bytes lie within the mapping (asserted) and are aligned (a mapping begins on a page). All accesses to
    // such a word while others may look at it are atomic, and the mapping lives as long as the borrow.
    unsafe { AtomicU32::from_ptr(map.as_mut_ptr().add(at).cast()) }
}

/// Writes bytes where nobody reads: at or above `end`, by the one pen; or into a blank file.
fn write(map: &MmapRaw, at: usize, bytes: &[u8]) {
    assert!(at + bytes.len() <= map.len(), "a record lies within the file");
    // SAFETY: the range lies within the mapping (asserted). No reference to it exists: `read` is only called below `end`, in
    // files of which nobody has a pen, and writes happen only above it, through the one pen or the one owner of a blank file.
    unsafe { map.as_mut_ptr().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
}

/// Reads bytes that nobody writes any more: below `end`, or of a file that is just being opened.
fn read(map: &MmapRaw, at: usize, bytes: usize) -> &[u8] {
    assert!(at + bytes <= map.len(), "a record lies within the file");
    // SAFETY: the range lies within the mapping (asserted), the spool's lock keeps other processes away, and in this one
    // nothing below `end` is written before the segment is given up, which takes it by value.
    unsafe { std::slice::from_raw_parts(map.as_ptr().add(at), bytes) }
}

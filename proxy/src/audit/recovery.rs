//! What an earlier process left in the spool's folder: segments with records to drain, in the order of their writing. Files
//! without such records are removed; files that no spool wrote are set aside and never touched again. Called once, by
//! [`super::spool`], under the folder's lock.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use super::{
    segment::{Found, Segment},
    spool::{Place, SpoolError, failed, open_segment},
};

/// How the names of segments end.
pub(super) const EXTENSION: &str = "seg";

/// What was left.
#[derive(Default)]
pub(super) struct Left {
    /// Segments with records, oldest first.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Where the first record is that was not drained.
    pub(super) begin: Option<Place>,
    /// How many records were not drained.
    pub(super) records: u64,
    /// A number that is in no file's name.
    pub(super) next_file: u64,
}

/// Looks through the folder.
pub(super) fn left(dir: &Path) -> Result<Left, SpoolError> {
    let mut left = Left::default();
    let mut begun = Vec::new();
    for path in segment_files(dir)? {
        left.next_file = left.next_file.max(number(&path).map_or(0, |number| number + 1));
        match open_segment(&path)? {
            Found::Records(segment, drained) => begun.push((segment, drained)),
            Found::Nothing => fs::remove_file(&path).map_err(failed(&path))?,
            Found::Foreign => set_aside(&path)?,
        }
    }
    begun.sort_by_key(|(segment, _)| segment.seq);
    for (segment, drained) in begun {
        left.records += count(&segment, drained);
        left.begin.get_or_insert(Place { seq: segment.seq, at: drained });
        left.segments.push(Arc::new(segment));
    }
    if left.records > 0 {
        let segments = left.segments.len();
        info!(records = left.records, segments, "audit records of an earlier run are waiting to be drained");
    }
    Ok(left)
}

fn segment_files(dir: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn count(segment: &Segment, from: usize) -> u64 {
    let mut at = from;
    let mut records = 0;
    while let Some((_, next)) = segment.record(at) {
        at = next;
        records += 1;
    }
    records
}

fn set_aside(path: &Path) -> Result<(), SpoolError> {
    let aside = path.with_extension("unreadable");
    warn!(path = %aside.display(), "a file in the audit spool is no segment of this version; it is set aside, unread");
    fs::rename(path, &aside).map_err(failed(path))
}

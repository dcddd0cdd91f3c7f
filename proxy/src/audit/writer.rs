//! The number under which this data folder writes its chains. It is made once, by chance, and kept in the spool's folder, so
//! that a gateway that starts again continues its chains; the folder's lock keeps a second gateway away from it. A folder that
//! was copied has the same number: the store finds that out, and one of the two goes on under a new one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use patchbay_core::audit::WriterId;
use tracing::warn;

use super::spool::{SpoolError, failed};

/// The file's name.
const FILE: &str = "writer";

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    id: AtomicU64,
}

impl Writer {
    /// The number of a folder, whose lock the caller holds; a new one when there is none that can be read.
    pub(super) fn open(dir: &Path) -> Result<Self, SpoolError> {
        let path = dir.join(FILE);
        let id = match fs::read(&path) {
            Ok(text) => number(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&path)(error)),
        };
        if id.is_none() && path.exists() {
            warn!(path = %path.display(), "the number of this gateway's audit chains cannot be read; it begins new chains");
        }
        let id = match id {
            Some(id) => id,
            None => made(&path).map_err(failed(&path))?,
        };
        Ok(Self { path, id: AtomicU64::new(id) })
    }

    /// The number.
    pub(super) fn id(&self) -> WriterId {
        WriterId(self.id.load(Ordering::Relaxed))
    }

    /// Takes a new number. When it cannot be kept, the next start finds the old one, and the store will say so again.
    pub(super) fn renew(&self) -> WriterId {
        let id = made(&self.path).unwrap_or_else(|error| {
            warn!(%error, path = %self.path.display(), "the new number of this gateway's audit chains cannot be kept");
            chosen()
        });
        self.id.store(id, Ordering::Relaxed);
        WriterId(id)
    }
}

/// What stands in the file: 16 digits.
fn number(text: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(text).ok()?.trim_end();
    let plain = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|number| plain && *number != WriterId::OPERATOR.0)
}

/// A number that nobody else has, and that is not the command line's.
fn chosen() -> u64 {
    u64::from_ne_bytes(patchbay_core::random_bytes()).max(1)
}

/// Makes the file anew, whole or not at all.
fn made(path: &Path) -> io::Result<u64> {
    let id = chosen();
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{id:016x}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_keeps_its_number_and_no_two_have_the_same() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = Writer::open(one.path()).unwrap().id();
        assert_eq!(Writer::open(one.path()).unwrap().id(), id);
        assert_ne!(Writer::open(other.path()).unwrap().id(), id);
        assert_ne!(id, WriterId::OPERATOR);
        let file = one.path().join(FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1, "the draft was left behind");
    }

    #[test]
    fn a_new_number_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path()).unwrap();
        let old = writer.id();
        let new = writer.renew();
        assert_ne!(old, new);
        assert_eq!((writer.id(), Writer::open(dir.path()).unwrap().id()), (new, new));
    }

    #[test]
    fn a_number_that_cannot_be_kept_is_taken_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path()).unwrap();
        let old = writer.id();
        drop(dir);
        assert_ne!(writer.renew(), old);
    }

    #[test]
    fn a_file_that_makes_no_sense_gives_way_to_a_new_number() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "0000000000000000", "+00000000000001f", "12", "00000000000000000001", "\u{fffd}"] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let id = Writer::open(dir.path()).unwrap().id();
            assert_eq!(Writer::open(dir.path()).unwrap().id(), id, "{text}");
        }
    }
}

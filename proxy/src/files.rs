//! Files of the gateway's own: folders and secrets that nobody else may read.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use anyhow::Context;

/// How the names of files end that are not whole yet.
pub(crate) const DRAFT: &str = "draft";

/// Makes a folder that only this user can enter, if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn make_private_folder(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| {
        format!(
            "the folder {} cannot be made: choose another with data_dir, or correct its permissions",
            path.display()
        )
    })
}

/// The secret in a file; made of 256 random bits, for this user alone, when there is none. Two processes that start at once
/// agree on one.
///
/// # Errors
/// When the file can be neither read nor made.
pub fn read_or_make_secret(path: &Path) -> anyhow::Result<String> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    if !path.exists() {
        let secret: String = patchbay_core::random_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let draft = path.with_extension(format!("{:08x}", u32::from_ne_bytes(patchbay_core::random_bytes())));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .with_context(|| format!("{} cannot be written", draft.display()))?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        // A hard link is made only where no file is, so whoever comes second takes the first one's secret.
        let linked = fs::hard_link(&draft, path);
        fs::remove_file(&draft)?;
        if let Err(error) = linked
            && !path.exists()
        {
            return Err(error).with_context(|| format!("{} cannot be written", path.display()));
        }
    }
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Puts a file for this user alone in the place of the one that is there, whole or not at all. Its bytes may be lost when the
/// machine crashes.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{:08x}.{DRAFT}", u32::from_ne_bytes(patchbay_core::random_bytes())));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let replaced = file.write_all(bytes).and_then(|()| fs::rename(&draft, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&draft);
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_comes_gets_the_first_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/sealing.key");
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make_secret(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0] && secret.len() == 64));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}

//! Last good copies: what each tenant was when the store last said so, sealed in the data folder, so that a gateway can start
//! while its Postgres is away. Written off the path of requests by the tenants' tasks; read once, at such a start. When they are
//! written and what is done with them is [`super::tenant`]'s; what stands in a file is [`wire`]'s.

mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use patchbay_core::{
    Generation, ServerId, Slug,
    issuer::RevocationRow,
    model::{KeyRow, TenantRow},
    seal::{Purpose, Sealer},
};
use patchbay_store::Tombstone;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::stored::Stored;

/// The folder inside the data folder.
const FOLDER: &str = "last-good";
/// How the names of copies end.
const EXTENSION: &str = "copy";
/// The name of what is known of all tenants; no tenant has such a name.
const ALL: &str = "_all";
/// The most bytes of one copy.
const COPY_BYTES_MAX: usize = 64 << 20;
/// What sealing adds, at the most.
const SEAL_BYTES: usize = 64;
/// The most copies that are read.
const COPIES_MAX: usize = 100_000;
/// Copies that are written at once.
const COPIES_AT_ONCE_MAX: usize = 4;
/// The most ended sessions that are remembered; those that would live longest stay.
const ENDED_MAX: usize = 50_000;
/// How far a copy may be ahead of this machine's clock, in milliseconds.
const AHEAD_MAX_MS: i64 = 60_000;

/// The copies of one gateway.
pub(crate) struct Copies {
    folder: PathBuf,
    sealer: Arc<Sealer>,
    age_max_ms: i64,
    writers: Semaphore,
    /// The tenants that are in force by a copy, with the moment at which the store last said what it says.
    in_force: Mutex<HashMap<Slug, i64>>,
}

/// A tenant as it was when the store last said so.
#[derive(Debug)]
pub(crate) struct Copy {
    /// When the store said so, in milliseconds since 1970.
    pub as_of_ms: i64,
    pub row: TenantRow,
    pub keys: Vec<KeyRow>,
    pub revoked: Vec<RevocationRow>,
    pub catalogs: BTreeMap<ServerId, Stored>,
}

/// What the store last said of all tenants together.
#[derive(Debug, Default)]
pub(super) struct All {
    /// When, in milliseconds since 1970.
    pub as_of_ms: i64,
    pub tenants: BTreeMap<Slug, Generation>,
    pub ended: Vec<Tombstone>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub copies: Vec<Copy>,
    pub ended: Vec<Tombstone>,
}

/// Why a copy is not used.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it cannot be read ({0})")]
    Unread(#[from] io::Error),
    #[error("it is longer than {COPY_BYTES_MAX} bytes")]
    TooLong,
    #[error("it was not sealed for this name by one of this gateway's sealing keys, or it was changed")]
    Unsealed,
    #[error("it was written by another version of Patchbay ({0})")]
    Format(String),
    #[error("it is {0} s old, older than store.start_without_hours allows")]
    TooOld(i64),
    #[error("it is {0} s ahead of this machine's clock")]
    Ahead(i64),
    #[error("the tenant was deleted after it was written")]
    Gone,
    #[error("the tenant was changed after it was written")]
    Outdated,
}

impl Copies {
    /// The copies in this data folder; those older than `age_max` are not used.
    pub(crate) fn new(data_dir: &Path, sealer: Arc<Sealer>, age_max: Duration) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
            sealer,
            age_max_ms: i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX),
            writers: Semaphore::new(COPIES_AT_ONCE_MAX),
            in_force: Mutex::default(),
        }
    }

    /// Removes what a run before did not finish writing; to be called before anything is written.
    pub(super) fn sweep(&self) {
        files(&self.folder, crate::files::DRAFT).iter().for_each(|(path, _)| remove(path));
    }

    /// How old the oldest copy is that is in force; nothing once the store has been heard of all.
    pub(crate) fn age(&self, now_ms: i64) -> Duration {
        let oldest_ms = self.in_force().values().min().copied();
        // A clock that was put back makes no copy young.
        oldest_ms.map_or(Duration::ZERO, |at_ms| Duration::from_millis((now_ms - at_ms).max(1).unsigned_abs()))
    }

    /// Notes that a tenant is in force by a copy.
    pub(super) fn took(&self, slug: &Slug, as_of_ms: i64) {
        self.in_force().insert(slug.clone(), as_of_ms);
    }

    /// Notes that the store has been heard of a tenant.
    pub(super) fn heard(&self, slug: &Slug) {
        let mut in_force = self.in_force();
        if in_force.remove(slug).is_some() && in_force.is_empty() {
            info!("all tenants are as the store says again");
        }
    }

    fn in_force(&self) -> MutexGuard<'_, HashMap<Slug, i64>> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a tenant's copy, in the place of the one before it.
    pub(super) async fn keep(
        self: &Arc<Self>,
        as_of_ms: i64,
        row: &TenantRow,
        (keys, revoked): (&[KeyRow], &[RevocationRow]),
        catalogs: &BTreeMap<ServerId, &Stored>,
    ) -> io::Result<()> {
        let plain = wire::tenant(as_of_ms, row, keys, revoked, catalogs)?;
        self.write(row.slug.as_str().to_owned(), plain).await
    }

    /// Writes what the store said of all tenants.
    pub(super) async fn keep_all(self: &Arc<Self>, all: &mut All) -> io::Result<()> {
        // Those that end soonest are missed least.
        all.ended.sort_unstable_by_key(|ended| std::cmp::Reverse(ended.expires_ms));
        all.ended.truncate(ENDED_MAX);
        self.write(ALL.to_owned(), wire::all(all)?).await
    }

    async fn write(self: &Arc<Self>, name: String, plain: Vec<u8>) -> io::Result<()> {
        if plain.len() > COPY_BYTES_MAX - SEAL_BYTES {
            return Err(io::Error::other(format!("it would be longer than {COPY_BYTES_MAX} bytes")));
        }
        let _turn = self.writers.acquire().await.map_err(io::Error::other)?;
        let copies = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let sealed = copies.sealer.seal_bytes(Purpose::Copy, &[name.as_bytes()], &plain);
            crate::files::make_private_folder(&copies.folder).map_err(io::Error::other)?;
            crate::files::replace_private(&copies.path(&name), &sealed)
        });
        written.await.map_err(io::Error::other)?
    }

    /// Removes a tenant's copy.
    pub(super) fn forget(self: &Arc<Self>, slug: &Slug) {
        self.heard(slug);
        let path = self.path(slug.as_str());
        tokio::task::spawn_blocking(move || remove(&path));
    }

    /// Removes the copies of tenants that the store does not have.
    pub(super) fn forget_others(self: &Arc<Self>, known: impl Iterator<Item = Slug>) {
        let known: std::collections::HashSet<Slug> = known.collect();
        let copies = self.clone();
        tokio::task::spawn_blocking(move || {
            for (path, name) in copies.files() {
                if name != ALL && !name.parse::<Slug>().is_ok_and(|slug| known.contains(&slug)) {
                    remove(&path);
                }
            }
        });
    }

    /// All copies that may be used. Those that may not are named in the log.
    pub(super) async fn found(self: &Arc<Self>, now_ms: i64) -> Found {
        let copies = self.clone();
        tokio::task::spawn_blocking(move || copies.read_all(now_ms)).await.unwrap_or_default()
    }

    fn read_all(&self, now_ms: i64) -> Found {
        let all = match self.open(&self.path(ALL), ALL).and_then(|plain| wire::read_all(&plain)) {
            Ok(all) => all,
            Err(why) => {
                warn!(%why, "the copy of what is known of all tenants cannot be used, so sessions that ended may be honoured again");
                All::default()
            }
        };
        let mut found = Found::default();
        for (path, name) in self.files().into_iter().filter(|(_, name)| name != ALL) {
            match self.read(&path, &name, &all, now_ms) {
                Ok(copy) => found.copies.push(copy),
                Err(why) => warn!(
                    file = %path.display(), %why,
                    "the last good copy {} is not used: {why}; its tenant is not there until the store is", path.display()
                ),
            }
        }
        found.ended = all.ended;
        found
    }

    fn read(&self, path: &Path, name: &str, all: &All, now_ms: i64) -> Result<Copy, Refused> {
        let mut copy = wire::read_tenant(&self.open(path, name)?)?;
        if copy.row.slug.as_str() != name {
            return Err(Refused::Unsealed);
        }
        match all.tenants.get(&copy.row.slug) {
            Some(generation) if *generation == copy.row.generation => {
                copy.as_of_ms = copy.as_of_ms.max(all.as_of_ms);
            }
            Some(generation) if *generation > copy.row.generation => return Err(Refused::Outdated),
            None if all.as_of_ms > copy.as_of_ms => return Err(Refused::Gone),
            Some(_) | None => {}
        }
        let age_ms = now_ms.saturating_sub(copy.as_of_ms);
        if age_ms > self.age_max_ms {
            return Err(Refused::TooOld(age_ms / 1000));
        }
        if age_ms < -AHEAD_MAX_MS {
            return Err(Refused::Ahead(-age_ms / 1000));
        }
        Ok(copy)
    }

    fn open(&self, path: &Path, name: &str) -> Result<Vec<u8>, Refused> {
        use io::Read;
        let mut sealed = Vec::new();
        fs::File::open(path)?.take(COPY_BYTES_MAX as u64 + 1).read_to_end(&mut sealed)?;
        if sealed.len() > COPY_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        self.sealer.open_bytes(Purpose::Copy, &[name.as_bytes()], sealed).ok_or(Refused::Unsealed)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(EXTENSION)
    }

    fn files(&self) -> Vec<(PathBuf, String)> {
        files(&self.folder, EXTENSION)
    }
}

/// Removes all copies of a gateway that shall have none.
pub(super) fn discard(data_dir: &Path) {
    let folder = data_dir.join(FOLDER);
    if folder.exists() {
        files(&folder, EXTENSION).iter().for_each(|(path, _)| remove(path));
        // What else lies there is not ours to remove.
        let _ = fs::remove_dir(&folder);
    }
}

/// The files in a folder that end so, each with the name that it is for.
fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let copies = entries.filter(|path| path.extension().is_some_and(|extension| extension == ending));
    let named = copies.filter_map(|path| Some((path.clone(), path.file_stem()?.to_str()?.to_owned())));
    named.take(COPIES_MAX).collect()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(file = %path.display(), %error, "the last good copy {} cannot be removed", path.display());
    }
}

#[cfg(test)]
mod tests;

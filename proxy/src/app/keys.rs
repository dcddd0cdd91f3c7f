//! The gateway's own secrets, derived from the operator's sealing keys: the current one seals and signs, former ones only open and
//! verify. Where the keys stand is the configuration's; sealing the store's rows anew is the store's.

use anyhow::Context;
use patchbay_config::GatewayConfig;
use patchbay_core::{
    audit::DigestKey,
    seal::{Sealer, SealerError, SealingKey},
};
use patchbay_store::Vault;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::audit::Signer;

/// The fewest characters of a sealing key.
const KEY_CHARS_MIN: usize = 32;
/// The most former keys that still open.
const FORMER_KEYS_MAX: usize = 8;

/// The secrets of the gateway itself, derived from the operator's sealing keys.
///
/// A sealing key is replaced without a logout, on any number of replicas, in steps that each reach all of them before the next:
///
/// 1. The new key is made a former one (`sealing_keys_old`): all replicas can open what it will seal.
/// 2. It becomes the current one (`sealing_key`), and the one before it a former one. Replicas that have come so far and
///    those that have not open each other's sessions, cursors and secrets.
/// 3. What the store has sealed is sealed anew ([`patchbay_store::Reseal`]).
/// 4. After `limits.session_hours` no session of the former key is left, and it can go. As long as there are checkpoints of
///    the audit that it signed, it may stay, or its public key be kept for `patchbay audit verify --key`.
///
/// On the embedded store, `sealing.key` in the data folder has the current key in its first line and former ones in the lines
/// below. Digests of arguments in the audit are made with the current key alone: those from before and after a change do not
/// compare.
pub struct Keys {
    current: Derived,
    former: Vec<Derived>,
}

/// What one sealing key gives.
struct Derived {
    id: u8,
    handles: [u8; 32],
    vault: [u8; 32],
    audit: [u8; 32],
    audit_digest: [u8; 32],
    /// Where its text stands, for messages.
    source: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let former: Vec<_> = self.former.iter().map(|key| key.id).collect();
        f.debug_struct("Keys").field("id", &self.current.id).field("former", &former).finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of this configuration: the operator's sealing keys, or those in the data folder, of which the first is made on
    /// the first start of an embedded gateway.
    ///
    /// # Errors
    /// When a key is too short, the file cannot be read or written, a store that replicas share is configured without a key,
    /// or two keys have the same number.
    pub fn of(config: &GatewayConfig) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        match &config.sealing_key {
            Some(key) => keys.push(Derived::of(key.value.expose_secret(), format!("sealing_key ({})", key.source))?),
            None if super::has_shared_store(config) => anyhow::bail!(
                "a Postgres store needs a sealing key that all replicas share: set sealing_key in patchbay.yaml to env:NAME or \
                 file:PATH, with at least {KEY_CHARS_MIN} random characters behind it (for example from `openssl rand -hex 32`)"
            ),
            None => {
                let path = config.data_dir.join("sealing.key");
                let text = crate::files::read_or_make_secret(&path)?;
                let lines = text.trim().lines().map(str::trim).enumerate();
                for (number, line) in lines.filter(|(number, line)| *number == 0 || !line.is_empty()) {
                    keys.push(Derived::of(line, format!("line {} of {}", number + 1, path.display()))?);
                }
            }
        }
        for (number, key) in config.sealing_keys_old.iter().enumerate() {
            let source = format!("sealing_keys_old[{number}] ({})", key.source);
            keys.push(Derived::of(key.value.expose_secret(), source)?);
        }
        Self::ring(keys)
    }

    /// The numbers of the keys that are known and where they stand, the current one first. They say nothing of the keys.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (u8, &str)> {
        [&self.current].into_iter().chain(&self.former).map(|key| (key.id, &*key.source))
    }

    /// The first is the current one. One that stands there twice counts once, so that a change may be made in any steps.
    fn ring(keys: Vec<Derived>) -> anyhow::Result<Self> {
        let mut ring: Vec<Derived> = Vec::with_capacity(keys.len());
        for key in keys {
            match ring.iter().find(|known| known.id == key.id) {
                None => ring.push(key),
                Some(known) if known.handles == key.handles => {}
                Some(known) => anyhow::bail!(
                    "{} and {} are different keys with the same number, by chance (it is one of 256): make another new key, for \
                     example with `openssl rand -hex 32`",
                    known.source,
                    key.source
                ),
            }
        }
        let mut ring = ring.into_iter();
        let current = ring.next().context("no sealing key is given")?;
        let former: Vec<_> = ring.collect();
        anyhow::ensure!(
            former.len() <= FORMER_KEYS_MAX,
            "{} former sealing keys are given, and {FORMER_KEYS_MAX} are kept at the most: seal the store anew with the current \
             one and take the oldest out",
            former.len()
        );
        Ok(Self { current, former })
    }

    fn all(&self) -> impl Iterator<Item = &Derived> {
        std::iter::once(&self.current).chain(&self.former)
    }

    /// What seals and opens handles and copies.
    ///
    /// # Errors
    /// When two keys have one number, which [`Self::of`] has ruled out.
    pub fn sealer(&self) -> Result<Sealer, SealerError> {
        Sealer::new(self.all().map(|key| SealingKey { id: key.id, secret: key.handles }).collect())
    }

    /// The keys for secrets at rest.
    pub fn vault(&self) -> Vault {
        let vault = Vault::new(self.current.id, self.current.vault);
        self.former.iter().fold(vault, |vault, key| vault.with_former(key.id, key.vault))
    }

    /// What signs the audit's checkpoints, and knows whose signatures to believe.
    ///
    /// # Errors
    /// When this build cannot make keys of the seeds.
    pub fn signer(&self) -> anyhow::Result<Signer> {
        let signer = Signer::new(self.current.audit)?;
        self.former.iter().try_fold(signer, |signer, key| signer.with_former(key.audit))
    }

    /// By which the audit tells equal arguments.
    pub const fn digests(&self) -> DigestKey {
        DigestKey::new(self.current.audit_digest)
    }
}

impl Derived {
    fn of(text: &str, source: String) -> anyhow::Result<Self> {
        let text = text.trim();
        if text.len() < KEY_CHARS_MIN {
            anyhow::bail!(
                "{source}: the key has {} characters; it needs at least {KEY_CHARS_MIN}, and they must be random",
                text.len()
            );
        }
        let of = |purpose: &str| -> [u8; 32] {
            Sha256::new()
                .chain_update(b"patchbay ")
                .chain_update(purpose)
                .chain_update(b"\n")
                .chain_update(text)
                .finalize()
                .into()
        };
        Ok(Self {
            id: of("key id")[0],
            handles: of("handles"),
            vault: of("vault"),
            audit: of("audit checkpoints"),
            audit_digest: of("audit digest"),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use patchbay_config::{Environment, SealingKey as Configured};
    use patchbay_core::seal::Purpose;

    use super::*;

    const A: &str = "a-sealing-key-of-more-than-32-characters";
    const B: &str = "b-sealing-key-of-more-than-32-characters";

    fn keys(texts: &[&str]) -> anyhow::Result<Keys> {
        let derived = texts.iter().map(|text| Derived::of(text, (*text).chars().take(1).collect()));
        Keys::ring(derived.collect::<anyhow::Result<_>>()?)
    }

    #[test]
    fn what_a_replica_seals_opens_on_all_at_each_step_of_a_change() {
        // A alone, B as a former one, B as the current one; then A goes.
        let steps = [&[A][..], &[A, B], &[B, A], &[B]].map(|texts| keys(texts).unwrap().sealer().unwrap());
        for (at, pair) in steps.windows(2).enumerate() {
            for (from, to) in [(0, 1), (1, 0)] {
                let handle = pair[from].seal(Purpose::Session, &[b"acme"], b"session");
                let opened = pair[to].open(Purpose::Session, &[b"acme"], &handle);
                // At the last step what A sealed has expired by itself.
                assert_eq!(opened.as_deref(), Some(&b"session"[..]), "step {at}, from {from}");
            }
        }
        let old = steps[0].seal(Purpose::Session, &[], b"x");
        assert_eq!(steps[2].open(Purpose::Session, &[], &old).as_deref(), Some(&b"x"[..]));
        assert_eq!(steps[3].open(Purpose::Session, &[], &old), None, "the former key is gone");
    }

    #[tokio::test]
    async fn secrets_that_a_former_key_sealed_open_in_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("patchbay.db").display());
        let open = |texts: &'static [&'static str]| {
            let (url, vault) = (url.clone(), keys(texts).unwrap().vault());
            async move { patchbay_store::open(&url, vault, Default::default()).await.unwrap() }
        };
        let text = "tenant: acme\nservers: { one: { url: 'https://h.example/mcp', headers: { X-Key: s3cret } } }\n";
        let doc = patchbay_config::tenant_from_yaml(text, "acme.yaml", &|_| Err(String::new())).unwrap();
        let store = open(&[A]).await;
        store.tenant_apply(&doc, None, &patchbay_store::Note::by_operator("a test", 0)).await.unwrap();
        store.close().await;
        for (texts, is_open) in [(&[A, B][..], true), (&[B, A], true), (&[B], false)] {
            let store = open(texts).await;
            let row = store.tenant_load(&doc.slug).await;
            match row {
                Ok(row) => {
                    let row = row.unwrap();
                    assert!(is_open && row.servers[0].secrets.reveal("header:X-Key") == Some("s3cret"));
                }
                Err(error) => assert!(!is_open && matches!(error, patchbay_store::StoreError::Sealed(_)), "{error}"),
            }
            store.close().await;
        }
    }

    #[test]
    fn the_current_key_signs_and_all_are_believed() {
        let (old, both) = (keys(&[A]).unwrap().signer().unwrap(), keys(&[B, A]).unwrap().signer().unwrap());
        assert_eq!(both.publics()[1], old.public());
        assert_eq!(both.public(), keys(&[B]).unwrap().signer().unwrap().public());
    }

    #[test]
    fn a_key_that_stands_there_twice_counts_once_and_two_with_one_number_are_refused() {
        let ring = keys(&[B, A, B, A]).unwrap();
        assert_eq!(ring.former.len(), 1);
        let mut twin = Derived::of(B, "the other".to_owned()).unwrap();
        twin.id = ring.current.id;
        twin.handles[0] ^= 1;
        let mut all = vec![Derived::of(B, "the one".to_owned()).unwrap(), twin];
        let error = Keys::ring(std::mem::take(&mut all)).unwrap_err().to_string();
        assert!(error.contains("the one and the other") && error.contains("openssl rand"), "{error}");
    }

    #[test]
    fn too_many_and_too_short_keys_are_refused_in_a_sentence() {
        let mut numbers = std::collections::BTreeSet::new();
        let texts = (0..).map(|number| format!("{number:040}"));
        let texts = texts.filter(|text| numbers.insert(Derived::of(text, String::new()).unwrap().id));
        let texts: Vec<_> = texts.take(FORMER_KEYS_MAX + 2).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert!(keys(&texts[1..]).is_ok());
        assert!(keys(&texts).unwrap_err().to_string().contains("8 are kept"));
        assert!(keys(&["short"]).unwrap_err().to_string().contains("has 5 characters"));
        assert!(keys(&[]).is_err());
    }

    #[test]
    fn the_file_of_an_embedded_gateway_has_former_keys_below_the_current_one() {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("PATCHBAY_DATA_DIR", folder.path().to_str().unwrap())];
        let mut config = patchbay_config::load(None, &settings.into_iter().collect::<Environment>()).unwrap();
        let first = Keys::of(&config).unwrap();
        assert!(first.former.is_empty());
        let file = folder.path().join("sealing.key");
        let made = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{B}\n\n  {}  \n", made.trim())).unwrap();
        let second = Keys::of(&config).unwrap();
        assert_eq!(second.former[0].handles, first.current.handles);
        assert_eq!(second.current.handles, Derived::of(B, String::new()).unwrap().handles);
        // Those that the configuration names come after them.
        config.sealing_keys_old =
            vec![Configured { source: patchbay_config::SecretRef::Env("OLD".to_owned()), value: A.into() }];
        assert_eq!(Keys::of(&config).unwrap().former.len(), 2);
        std::fs::write(&file, "short\n").unwrap();
        let error = Keys::of(&config).unwrap_err().to_string();
        assert!(error.contains("line 1 of") && error.contains("32"), "{error}");
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?}", keys(&[A, B]).unwrap());
        assert!(shown.starts_with("Keys { id: ") && !shown.contains("sealing-key") && shown.len() < 60, "{shown}");
    }
}

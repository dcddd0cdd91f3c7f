//! Where something is that lives in one process alone: which process, and how the other replicas reach it. It travels through
//! clients, inside of handles that only gateways with the same sealing key can make.

use std::sync::Arc;

use bytes::Bytes;
use patchbay_core::{
    TenantId,
    seal::{Purpose, Sealer},
};

/// The longest address of a replica in a handle.
const URL_BYTES_MAX: usize = 230;
/// How many bytes the id of a process has.
pub(crate) const ID_BYTES: usize = 8;
/// What the ids of questions begin with, within their quotes.
const QUESTION: &[u8] = b"\"pb-";

/// One process of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    id: [u8; ID_BYTES],
    url: Option<Arc<str>>,
}

impl Home {
    /// The process with this id, at this `http://host:port` if it can be reached by others.
    pub(crate) fn new(id: [u8; ID_BYTES], url: Option<&str>) -> Self {
        Self { id, url: url.filter(|url| url.len() <= URL_BYTES_MAX).map(Arc::from) }
    }

    /// Its id, random for the life of the process.
    pub(crate) const fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// How others reach it.
    pub(crate) const fn url(&self) -> Option<&Arc<str>> {
        self.url.as_ref()
    }

    /// As one line of text, for handles that hold texts; short enough for those that count its bytes in one.
    pub(crate) fn words(&self) -> String {
        let id = u64::from_be_bytes(self.id);
        format!("{id:016x} {}", self.url.as_deref().unwrap_or_default())
    }

    /// From the id of a process as [`super::Replica::id`] has it, and its address, empty where nobody has said.
    pub(crate) fn of_texts(id: &str, url: &str) -> Option<Self> {
        let id = u64::from_str_radix(id, 16).ok()?.to_be_bytes();
        Self::read(&[&id[..], url.as_bytes()].concat())
    }

    /// From its words.
    pub(crate) fn of_words(words: &str) -> Option<Self> {
        let (id, url) = words.split_once(' ')?;
        Self::of_texts(id, url)
    }

    /// Appends it to what is about to be sealed.
    pub(crate) fn write(&self, plain: &mut Vec<u8>) {
        plain.extend_from_slice(&self.id);
        plain.extend_from_slice(self.url.as_deref().unwrap_or_default().as_bytes());
    }

    /// Reads what stands at the end of something that was sealed.
    pub(crate) fn read(plain: &[u8]) -> Option<Self> {
        let (id, url) = plain.split_first_chunk::<ID_BYTES>()?;
        let url = std::str::from_utf8(url).ok()?;
        let good = url.len() <= URL_BYTES_MAX && (url.is_empty() || authority(url).is_some());
        good.then(|| Self { id: *id, url: (!url.is_empty()).then(|| url.into()) })
    }
}

/// Host and port of a replica's address.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("http://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    (!authority.is_empty() && authority.contains(':') && authority.chars().all(plain)).then_some(authority)
}

/// Gives questions to clients their ids. Where other replicas can reach this one, an id says where the question waits, to
/// gateways alone, and opens only for the tenant and the principal that were asked.
#[derive(Debug)]
pub(crate) struct QuestionIds {
    sealer: Arc<Sealer>,
    home: Home,
}

impl QuestionIds {
    /// For the questions of this process.
    pub(crate) const fn new(sealer: Arc<Sealer>, home: Home) -> Self {
        Self { sealer, home }
    }

    /// An id that cannot be guessed, as JSON.
    pub(crate) fn fresh(&self, tenant: TenantId, principal: [u8; 16]) -> Bytes {
        let random = patchbay_core::random_bytes::<16>();
        if self.home.url.is_none() {
            return format!("\"pb-{:032x}\"", u128::from_ne_bytes(random)).into();
        }
        let mut plain = Vec::with_capacity(64);
        plain.extend_from_slice(&random);
        self.home.write(&mut plain);
        let sealed = self.sealer.seal(Purpose::Question, &[&tenant.bits().to_be_bytes(), &principal], &plain);
        format!("\"pb-{sealed}\"").into()
    }

    /// Where the question with this id waits, when that is another process.
    pub(crate) fn elsewhere(&self, id: &[u8], tenant: TenantId, principal: [u8; 16]) -> Option<Home> {
        let sealed = std::str::from_utf8(id.strip_prefix(QUESTION)?.strip_suffix(b"\"")?).ok()?;
        let plain = self.sealer.open(Purpose::Question, &[&tenant.bits().to_be_bytes(), &principal], sealed)?;
        let home = Home::read(plain.get(16..)?)?;
        (home.id != self.home.id).then_some(home)
    }
}

#[cfg(test)]
mod tests {
    use patchbay_core::seal::SealingKey;

    use super::*;

    fn ids(id: u8, url: Option<&str>) -> QuestionIds {
        let sealer = Sealer::new(vec![SealingKey { id: 1, secret: [7; 32] }]).unwrap();
        QuestionIds::new(Arc::new(sealer), Home::new([id; ID_BYTES], url))
    }

    #[test]
    fn a_home_survives_its_bytes_and_what_is_no_address_of_a_replica_is_none() {
        for url in [None, Some("http://10.0.3.7:8080"), Some("http://[fd00::7]:8080")] {
            let (home, mut plain) = (Home::new([3; ID_BYTES], url), Vec::new());
            home.write(&mut plain);
            assert_eq!(Home::read(&plain), Some(home.clone()));
            assert_eq!(Home::of_words(&home.words()), Some(home));
        }
        for url in ["https://a:1", "http://", "http://a", "http://a:1/x", "http://u@a:1", "file:///x", "a:1"] {
            assert_eq!(Home::read(&[&[0; ID_BYTES][..], url.as_bytes()].concat()), None, "{url}");
        }
        assert_eq!(Home::read(&[0; ID_BYTES - 1]), None);
        let longest = Home::new([9; ID_BYTES], Some(&format!("http://{}:65535", "a".repeat(200))));
        assert!(longest.url().is_some() && longest.words().len() < 256, "{}", longest.words().len());
    }

    #[test]
    fn only_the_principal_that_was_asked_learns_that_a_question_waits_elsewhere() {
        let (here, there) = (ids(1, Some("http://a:1")), ids(2, Some("http://b:1")));
        let (tenant, principal) = (TenantId::from_bits(1), [9; 16]);
        let id = there.fresh(tenant, principal);
        let home = here.elsewhere(&id, tenant, principal).unwrap();
        assert_eq!(home.url().map(|url| &**url), Some("http://b:1"));
        assert_eq!(there.elsewhere(&id, tenant, principal), None, "it waits here");
        assert_eq!(here.elsewhere(&id, TenantId::from_bits(2), principal), None, "another tenant");
        assert_eq!(here.elsewhere(&id, tenant, [8; 16]), None, "another principal");
        for odd in [&b"1"[..], b"\"pb-\"", b"\"pb-00000000000000000000000000000000\"", b"\"pb-", b""] {
            assert_eq!(here.elsewhere(odd, tenant, principal), None);
        }
        let mut forged = id.to_vec();
        let last = forged.len() - 3;
        forged[last] ^= 1;
        assert_eq!(here.elsewhere(&forged, tenant, principal), None, "forged");
    }

    #[test]
    fn a_question_of_a_replica_that_nobody_reaches_says_nothing_of_it() {
        let alone = ids(1, None);
        let id = alone.fresh(TenantId::from_bits(1), [9; 16]);
        assert_eq!(id.len(), 37, "as short as ever");
        assert_ne!(id, alone.fresh(TenantId::from_bits(1), [9; 16]));
    }
}

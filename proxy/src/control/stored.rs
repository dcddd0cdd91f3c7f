//! A server's last good catalog: as it is kept between restarts, and as the snapshot is built from it.

use patchbay_core::snapshot::CatalogPart;
use patchbay_downstream::Hello;
use serde::{Deserialize, Serialize};

/// How long a part is served after its server was last heard, in milliseconds.
pub(crate) const STALE_MS_MAX: i64 = 15 * 60 * 1000;

/// What one server offered when it was last heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// What it said of itself.
    pub hello: Hello,
    /// Its tools, raw.
    pub tools: Vec<String>,
    /// Its prompts, raw.
    pub prompts: Vec<String>,
    /// Its resources, raw.
    pub resources: Vec<String>,
    /// Its resource templates, raw.
    pub templates: Vec<String>,
    /// Its skills, raw.
    #[serde(default)]
    pub skills: Vec<String>,
    /// When it was heard, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long it said that this stays fresh, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Whether it could not be asked since.
    #[serde(skip)]
    pub stale: bool,
}

impl Stored {
    /// Reads what [`Self::write`] wrote; `None` for what another version wrote.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Writes it for the store.
    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The part of the snapshot.
    pub(crate) fn part(&self) -> CatalogPart {
        CatalogPart {
            era: self.hello.era(),
            tools: self.tools.clone(),
            prompts: self.prompts.clone(),
            resources: self.resources.clone(),
            templates: self.templates.clone(),
            skills: self.skills.clone(),
            capabilities: self.hello.capabilities.clone(),
            instructions: self.hello.instructions.clone(),
            stale: self.stale,
            fresh_until_ms: self.ttl_ms.map(|ttl_ms| self.at_ms.saturating_add_unsigned(ttl_ms)),
        }
    }

    /// Whether a client would see a difference.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let mut same_time = other.clone();
        same_time.at_ms = self.at_ms;
        same_time != *self
    }
}

//! Which revision of the protocol a peer speaks. Two eras, and nothing in between: *legacy* opens with `initialize`, *modern*
//! states its version and capabilities in each request's `_meta`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The `_meta` key that makes a request modern.
pub const META_PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// The `_meta` key with what the client can do.
pub const META_CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The `_meta` key with what the client says it is.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// The `_meta` key with what the server says it is, in results.
pub const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The `_meta` key that asks for log messages during one request.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// A peer's era.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Revisions up to 2025-11-25: `initialize`, sessions.
    Legacy,
    /// 2026-07-28: stateless.
    Modern,
}

/// A revision that Patchbay serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Version {
    /// Streamable HTTP, batches.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// Structured content, elicitation, the version header.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// The last revision with a handshake.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// The stateless revision.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

impl Version {
    /// All served revisions, newest first.
    pub const ALL: [Self; 4] = [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18, Self::V2025_03_26];
    /// The newest revision with a handshake: what an `initialize` for anything unknown is answered with.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;
    /// The newest revision.
    pub const NEWEST: Self = Self::V2026_07_28;
    /// What a legacy request without a version header is held to, when no session says better (2025-06-18, transports).
    pub const ASSUMED: Self = Self::V2025_03_26;

    /// The revision of that date, when it is served.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The date that names the revision.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era it belongs to.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            _ => Era::Legacy,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_revision_is_modern() {
        for version in Version::ALL {
            assert_eq!(Version::parse(version.as_str()), Some(version));
            assert_eq!(version.era() == Era::Modern, version == Version::NEWEST);
        }
        assert_eq!(Version::parse("2024-11-05"), None);
    }
}

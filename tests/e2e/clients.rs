//! Official clients before one toolset of official servers.

pub(crate) mod installed;

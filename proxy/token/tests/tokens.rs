//! Tokens as attackers and people bring them: forgeries, positive controls, mutations, opaque tokens, the cache, and what
//! operators are told. Keys are made here; the issuer is a provider in memory that counts what it is asked.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "tokens/cached.rs"]
mod cached;
#[path = "tokens/controls.rs"]
mod controls;
#[path = "tokens/explained.rs"]
mod explained;
#[path = "tokens/forgeries.rs"]
mod forgeries;
#[path = "tokens/mint.rs"]
mod mint;
#[path = "tokens/mutations.rs"]
mod mutations;
#[path = "tokens/opaque.rs"]
mod opaque;
#[path = "tokens/world.rs"]
mod world;

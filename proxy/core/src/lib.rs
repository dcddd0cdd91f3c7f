//! The pure part of Patchbay: values and functions without I/O, without a clock, without a runtime.
//!
//! The rooms, in the order of a request: [`envelope`] reads what a client sent, [`method`] and [`era`] say what it asks for and
//! in which protocol, [`snapshot`] knows what the tenant offers, [`rewrite`] carries answers between the two sides as bytes.
//! Under them [`json`], which looks into text without building a tree. What a snapshot is made of: [`item`], [`names`],
//! [`filter`], [`resources`], [`mirror`]. Beside them: [`model`] (what a tenant is made of), [`seal`] (handles that only we can
//! open), [`limits`] (the arithmetic of rates), [`audit`] (what the trail says),
//! [`admin`] (who may administer what).

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

pub mod access;
pub mod admin;
pub mod audit;
pub mod envelope;
pub mod era;
pub mod filter;
pub mod ids;
pub mod issuer;
pub mod item;
pub mod json;
pub mod limits;
pub mod method;
pub mod mirror;
pub mod model;
pub mod names;
pub mod resources;
pub mod rewrite;
pub mod seal;
pub mod snapshot;
pub mod trace;

pub use ids::{Generation, IdError, KeyId, RevocationId, ServerId, Slug, SlugError, TenantId};

/// Fresh random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

//! The pure part of Patchbay: values and functions without I/O, without a clock, without a runtime.
//!
//! The rooms, in the order of a request:
//! knows what the tenant offers, [`rewrite`] carries messages between the two sides as bytes. Beside them: [`model`] (what a
//! tenant is made of), [`seal`] (handles that only we can open), [`limits`] (the arithmetic of rates), [`audit`] (what the
//! trail says).

pub mod era;
pub mod ids;
pub mod json;
pub mod model;

pub use ids::{Generation, IdError, KeyId, ServerId, Slug, SlugError, TenantId};

/// Fresh random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

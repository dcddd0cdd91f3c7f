//! Why there is no token: what passes by itself, and what lasts until somebody mends it. Texts are for operators; words of
//! others go into them clipped, on one line and without secrets.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{DownstreamError, Fault, fetch::FetchFault};

/// The first wait after a fault that passes, and the longest of all waits.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(60);
/// Longest part of somebody's words that goes into a problem.
const WORDS_CHARS_MAX: usize = 200;

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) lasts: bool,
    pub(crate) text: String,
}

impl Problem {
    /// It may be gone at the next attempt: a fault of the network, or an authorization server in trouble.
    pub(crate) fn passing(text: impl Into<String>) -> Self {
        Self { lasts: false, text: text.into() }
    }

    /// Somebody has to change something.
    pub(crate) fn lasting(text: impl Into<String>) -> Self {
        Self { lasts: true, text: text.into() }
    }

    /// A document that could not be fetched.
    pub(crate) fn fetching(what: &str, url: &Url, fault: &FetchFault) -> Self {
        let text = format!("{what} at {} could not be had: {fault}", shown(url));
        Self { lasts: !matches!(fault, FetchFault::Unreachable(_)), text }
    }

    /// It as the error of a call, which was not sent.
    pub(crate) fn error(&self) -> DownstreamError {
        let fault = if self.lasts { Fault::SignIn } else { Fault::Unavailable };
        DownstreamError::not_sent(fault, format!("the gateway has no token for the server: {}", self.text))
    }

    /// How long to wait after so many failures in a row.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        let doubled = TRY_AGAIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(TRY_AGAIN_MAX);
        spread(if self.lasts { TRY_AGAIN_MAX } else { doubled })
    }
}

/// Between half of it and all of it, so that replicas do not come together.
pub(crate) fn spread(full: Duration) -> Duration {
    let [byte] = patchbay_core::random_bytes::<1>();
    full / 2 + full.mul_f32(f32::from(byte) / 512.0)
}

/// A URL for people: without what may be secret in it.
pub(crate) fn shown(url: &Url) -> String {
    words(&url[..url::Position::AfterPath], &[])
}

/// Somebody's words: clipped, on one line, without these secrets.
pub(crate) fn words(said: &str, secrets: &[&SecretString]) -> String {
    let mut text = said.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| secret.len() >= 4) {
        text = text.replace(secret, "***");
    }
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut clipped: String = text.trim().chars().take(WORDS_CHARS_MAX).map(plain).collect();
    if text.trim().chars().nth(WORDS_CHARS_MAX).is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_soon_and_what_lasts_after_long() {
        let (passing, lasting) = (Problem::passing("x"), Problem::lasting("x"));
        assert!(passing.wait(1) >= TRY_AGAIN / 2 && passing.wait(1) <= TRY_AGAIN);
        assert!(passing.wait(3) >= TRY_AGAIN * 2 && passing.wait(3) <= TRY_AGAIN * 4);
        for wait in [passing.wait(4_000_000), lasting.wait(1)] {
            assert!(wait >= TRY_AGAIN_MAX / 2 && wait <= TRY_AGAIN_MAX, "{wait:?}");
        }
    }

    #[test]
    fn words_of_others_are_short_plain_and_without_secrets() {
        let secret = SecretString::from("hunter22");
        assert_eq!(words(" a\nb hunter22 \u{1b}[0m", &[&secret]), "a b ***  [0m");
        assert_eq!(words(&"ä".repeat(300), &[]).chars().count(), WORDS_CHARS_MAX + 1);
        let url = Url::parse("https://h.example/a?key=secret#x").expect("a URL");
        assert_eq!(shown(&url), "https://h.example/a");
    }
}

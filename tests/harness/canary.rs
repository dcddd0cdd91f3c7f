//! Tokens that may be seen nowhere. Whatever the harness reads of an answer is looked through for them, and when a gateway
//! ends, all that it has written: its log, its metrics, its store. What it sends to servers passes a [`crate::Wire`], which is
//! looked through as well.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// How many bytes of a token in a row are a leak.
const RUN: usize = 24;

/// All runs of all tokens.
type Runs = HashSet<[u8; RUN]>;

static RUNS: Mutex<Option<Runs>> = Mutex::new(None);

fn runs() -> MutexGuard<'static, Option<Runs>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on nobody may show anything of this token; nor of the claim `canary`, which nobody has a use for.
pub fn watch(token: &str) {
    let mut runs = runs();
    let runs = runs.get_or_insert_default();
    // What all tokens of an issuer begin with is not this token's: whoever has more than a header has a run of the rest.
    let secret = token.split_once('.').map_or(token, |(_header, rest)| rest);
    runs.extend(secret.as_bytes().windows(RUN).filter_map(|run| <[u8; RUN]>::try_from(run).ok()));
    if let Some(canary) = claim(token) {
        runs.extend(canary.as_bytes().windows(RUN).filter_map(|run| <[u8; RUN]>::try_from(run).ok()));
    }
}

/// The claim `canary` of a signed token.
fn claim(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    payload["canary"].as_str().map(str::to_owned)
}

/// Looks through what somebody has written.
///
/// # Panics
/// When something of a token is in it.
pub fn expect_none(written: impl AsRef<[u8]>, what: impl std::fmt::Display) {
    let written = written.as_ref();
    let found = {
        let runs = runs();
        let Some(runs) = runs.as_ref() else { return };
        written.windows(RUN).position(|run| runs.contains(run))
    };
    if let Some(at) = found {
        let before = String::from_utf8_lossy(&written[at.saturating_sub(200)..at]).into_owned();
        panic!("a token is in {what}, at byte {at}, after: {before:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_token_or_its_canary_is_found_and_its_header_is_not() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","canary":"canary-0123456789012345678901234567"}"#);
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"at+jwt","kid":"key-1"}"#);
        let token = format!("{header}.{payload}.QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY");
        watch(&token);
        expect_none(&header, "a header");
        expect_none("", "nothing");
        for leak in [&token[token.len() - 30..], &payload[5..40], "<canary-01234567890123456789>"] {
            let found = std::panic::catch_unwind(|| expect_none(format!("before {leak} after"), "a text"));
            assert!(found.is_err(), "{leak}");
        }
    }
}

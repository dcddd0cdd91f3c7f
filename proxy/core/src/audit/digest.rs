//! A keyed digest of arguments: equal arguments of one tenant are told from others without knowing them, and nobody without the
//! gateway's secret can try values out. Each tenant has a key of its own, so digests of two tenants cannot be compared.
//!
//! What is digested is canonical: without white space, members of objects in the order of their names, strings with their
//! escapes resolved, numbers as they are written. Of arguments that are too long for that it is the text as it came.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{TenantId, json};

/// The longest arguments that are brought into their canonical form, in bytes.
const CANONICAL_BYTES_MAX: usize = 64 * 1024;
/// How deep they may nest for that.
const CANONICAL_DEPTH_MAX: usize = 64;

/// The gateway's secret for digests, from which those of tenants are made.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

impl DigestKey {
    /// The key of this secret, which all replicas share.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// HMAC-SHA-256 over canonical arguments, with the tenant's key.
    pub(super) fn digest(&self, tenant: TenantId, raw: &str) -> [u8; 32] {
        let key = hmac(&self.0, &[b"patchbay audit arguments of a tenant\n", &tenant.bits().to_be_bytes()]);
        match canonical(raw) {
            Some(canonical) => hmac(&key, &[b"c", &canonical]),
            None => hmac(&key, &[b"r", raw.as_bytes()]),
        }
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The canonical form of a JSON value; `None` for one that is too long, too deep, or does not hold together.
fn canonical(raw: &str) -> Option<Vec<u8>> {
    if raw.len() > CANONICAL_BYTES_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(raw.len());
    let at = json::skip_space(raw.as_bytes(), 0);
    let end = value(raw, at, CANONICAL_DEPTH_MAX, &mut out)?;
    (json::skip_space(raw.as_bytes(), end) == raw.len()).then_some(out)
}

/// Appends the value that begins here and gives its end, in one pass.
fn value(text: &str, at: usize, depth: usize, out: &mut Vec<u8>) -> Option<usize> {
    match text.as_bytes().get(at)? {
        b'{' => object(text, at, depth.checked_sub(1)?, out),
        b'[' => array(text, at, depth.checked_sub(1)?, out),
        b'"' => string(text, at, out),
        _ => {
            let end = json::end_of_value(text.as_bytes(), at).ok()?;
            out.extend_from_slice(text.as_bytes().get(at..end).filter(|word| !word.is_empty())?);
            Some(end)
        }
    }
}

fn string(text: &str, at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let end = json::end_of_string(text.as_bytes(), at).ok()?;
    let raw = &text[at..end];
    match json::unquote(raw) {
        // As long as it says first: no text can look like the end of another.
        Some(resolved) => {
            out.extend_from_slice(resolved.len().to_string().as_bytes());
            out.push(b'"');
            out.extend_from_slice(resolved.as_bytes());
        }
        None => out.extend_from_slice(raw.as_bytes()),
    }
    Some(end)
}

fn array(text: &str, at: usize, depth: usize, out: &mut Vec<u8>) -> Option<usize> {
    let bytes = text.as_bytes();
    out.push(b'[');
    let mut at = json::skip_space(bytes, at + 1);
    if bytes.get(at) != Some(&b']') {
        loop {
            at = json::skip_space(bytes, value(text, at, depth, out)?);
            match bytes.get(at)? {
                b',' => {
                    out.push(b',');
                    at = json::skip_space(bytes, at + 1);
                }
                b']' => break,
                _ => return None,
            }
        }
    }
    out.push(b']');
    Some(at + 1)
}

fn object(text: &str, at: usize, depth: usize, out: &mut Vec<u8>) -> Option<usize> {
    let bytes = text.as_bytes();
    out.push(b'{');
    let begin = out.len();
    // Where the members are in `out`: the name's end tells it from the value.
    let mut members: Vec<(usize, usize, usize)> = Vec::new();
    let mut at = json::skip_space(bytes, at + 1);
    if bytes.get(at) != Some(&b'}') {
        loop {
            let start = out.len();
            let colon = json::skip_space(bytes, string(text, at, out)?);
            let name_end = out.len();
            if bytes.get(colon) != Some(&b':') {
                return None;
            }
            out.push(b':');
            at = json::skip_space(bytes, value(text, json::skip_space(bytes, colon + 1), depth, out)?);
            out.push(b',');
            members.push((start, name_end, out.len()));
            match bytes.get(at)? {
                b',' => at = json::skip_space(bytes, at + 1),
                b'}' => break,
                _ => return None,
            }
        }
    }
    sort(begin, &mut members, out);
    out.push(b'}');
    Some(at + 1)
}

/// Brings members into the order of their names; those of one name keep theirs.
fn sort(begin: usize, members: &mut [(usize, usize, usize)], out: &mut Vec<u8>) {
    let name = |out: &[u8], member: &(usize, usize, usize)| out[member.0..member.1].to_vec();
    if members.is_sorted_by(|a, b| out[a.0..a.1] <= out[b.0..b.1]) {
        return;
    }
    members.sort_by_cached_key(|member| name(out, member));
    let sorted: Vec<u8> = members.iter().flat_map(|(start, _, end)| &out[*start..*end]).copied().collect();
    out.truncate(begin);
    out.extend_from_slice(&sorted);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: DigestKey = DigestKey::new([7; 32]);
    const ACME: TenantId = TenantId::from_bits(1);

    fn of(raw: &str) -> [u8; 32] {
        KEY.digest(ACME, raw)
    }

    #[test]
    fn equal_arguments_have_one_digest_however_they_are_written() {
        let one = of(r#"{"city":"Zürich","days":3,"deep":{"a":[1,2],"b":null}}"#);
        let other = of(" {\"days\" :3,\n\"deep\":{\"b\":null,\"a\":[ 1 , 2 ]}, \"c\\u0069ty\":\"Z\\u00fcrich\"}");
        assert_eq!(one, other);
    }

    #[test]
    fn other_arguments_other_tenants_and_other_secrets_have_other_digests() {
        let texts = [
            "{}",
            "[]",
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":{"b":2}}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[12]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":"x\",\"b\":\"y"}"#,
            r#"{"a":"x","b":"y"}"#,
        ];
        let digests: std::collections::HashSet<_> = texts.iter().map(|text| of(text)).collect();
        assert_eq!(digests.len(), texts.len());
        assert_ne!(of("{}"), KEY.digest(TenantId::from_bits(2), "{}"));
        assert_ne!(of("{}"), DigestKey::new([8; 32]).digest(ACME, "{}"));
    }

    #[test]
    fn arguments_beyond_the_bounds_are_digested_as_they_came() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(CANONICAL_BYTES_MAX));
        assert_ne!(of(&long), of(&format!(" {long}")));
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert_ne!(of(&deep), of(&format!(" {deep}")));
        for broken in ["", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "{} {}", "{\"a\":}", "\"\\ud800\""] {
            let _ = of(broken);
        }
    }

    #[test]
    fn the_code_is_that_of_rfc_4231() {
        // Test case 2 has a shorter key; padded with zeros it is the same one.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let code = hmac(&key, &[b"what do ya want ", b"for nothing?"]);
        let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    proptest! {
        #[test]
        fn the_order_of_members_makes_no_difference(map in prop::collection::btree_map(".*", ".*", 0..8)) {
            let member = |(name, value): (&String, &String)| format!("{}:{}", json::quote(name), json::quote(value));
            let forwards: Vec<_> = map.iter().map(member).collect();
            let backwards: Vec<_> = map.iter().rev().map(member).collect();
            prop_assert_eq!(of(&format!("{{{}}}", forwards.join(","))), of(&format!("{{{}}}", backwards.join(" , "))));
        }
    }
}

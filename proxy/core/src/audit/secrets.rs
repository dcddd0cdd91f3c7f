//! What looks like a secret: by the name that it stands under, by the shape that its maker gave it, or because nothing but chance
//! writes such a text. A guess, and on the careful side: what it hides wrongly is missing in a record, what it showed wrongly
//! would stand there for ever.

/// How much of a text is looked at, in bytes; nobody is shown more of one.
const LOOKED_BYTES: usize = 2048;
/// From this length on a run of characters can be a key that chance has written.
const RUN_BYTES_MIN: usize = 24;
/// The longest piece of a run whose mixture is weighed as one.
const WINDOW_BYTES: usize = 40;

/// Parts of names under which secrets stand, without what separates words.
const NAMES: [&str; 25] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "authorization",
    "cookie",
    "dsn",
    "apikey",
    "credential",
    "privatekey",
    "accesskey",
    "accountkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "signature",
    "bearer",
    "connectionstring",
    "connstr",
    "jwt",
    "codeverifier",
    "requeststate",
];
/// Names that are such a word as a whole; as a part they mean anything.
const WHOLE_NAMES: [&str; 9] = ["auth", "key", "pass", "otp", "pin", "cvv", "cvc", "sig", "pw"];
/// How keys of known makers begin, and how much follows at least.
const PREFIXES: [(&str, usize); 34] = [
    ("pb_", 8),
    ("eyJ", 10),
    ("AKIA", 12),
    ("ASIA", 12),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("github_pat_", 8),
    ("glpat-", 8),
    ("gldt-", 8),
    ("xoxa-", 8),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xoxe", 8),
    ("xapp-", 8),
    ("sk-", 12),
    ("sk_live_", 4),
    ("sk_test_", 4),
    ("rk_live_", 4),
    ("whsec_", 8),
    ("AIza", 16),
    ("ya29.", 8),
    ("npm_", 16),
    ("pypi-", 16),
    ("dop_v1_", 8),
    ("SG.", 16),
    ("hf_", 16),
    ("hvs.", 8),
    ("dapi", 24),
    ("AGE-SECRET-KEY-", 1),
];

/// Whether what stands under such a name is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let mut plain = [0; 64];
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
    let length = plain.iter_mut().zip(letters).map(|(place, letter)| *place = letter).count();
    let plain = std::str::from_utf8(&plain[..length]).unwrap_or_default();
    WHOLE_NAMES.contains(&plain) || NAMES.iter().any(|part| plain.contains(part))
}

/// Whether a secret is in the text. Only its beginning is looked at: nobody may show more than [`shown_max`] of it.
pub(super) fn is_secret(text: &str) -> bool {
    let looked = &text[..text.floor_char_boundary(LOOKED_BYTES)];
    has_prefix(looked)
        || looked.contains("-----BEGIN")
        || has_user_info(looked, looked.len() < text.len())
        || has_assignment(looked)
        || has_scheme(looked)
        || is_random(looked)
}

/// How much of a text may be shown that was found to hold no secret: enough behind it was looked at to know one that begins in
/// it.
pub(super) const fn shown_max() -> usize {
    LOOKED_BYTES / 2
}

/// What a run of a key is made of.
const fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=')
}

fn has_prefix(text: &str) -> bool {
    PREFIXES.iter().any(|(prefix, follows)| {
        text.match_indices(prefix).any(|(at, _)| {
            let starts = !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
            let rest = &text.as_bytes()[at + prefix.len()..];
            starts && rest.iter().take(*follows).filter(|byte| is_key_byte(**byte)).count() == *follows
        })
    })
}

/// `scheme://user:password@host`, also where the password holds what should have been escaped.
fn has_user_info(text: &str, cut: bool) -> bool {
    text.match_indices("://").any(|(at, _)| {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>')).unwrap_or(rest.len());
        rest[..end].contains('@') || (cut && end == rest.len())
    })
}

/// `password=…`, `"token": "…"`, `--secret …`.
fn has_assignment(text: &str) -> bool {
    let assigned = text.match_indices(['=', ':']).any(|(at, _)| {
        let before = text[..at].trim_end_matches([' ', '\t', '"', '\'', '\\', '`', ']']);
        let from =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).map_or(0, |at| at + 1);
        let after = text[at + 1..].trim_start_matches(['=', '>', ' ', '\t', '"', '\'', '\\', '`']);
        // A character of several bytes before the word is not a part of it.
        before.get(from..).or_else(|| before.get(before.ceil_char_boundary(from)..)).is_some_and(is_secret_name)
            && !after.is_empty()
            && !after.starts_with('?')
    });
    assigned
        || text.match_indices("--").any(|(at, _)| {
            let mut words = text[at + 2..].splitn(2, [' ', '\t']);
            let name = words.next().filter(|name| !name.is_empty());
            name.is_some_and(is_secret_name) && words.next().is_some_and(|value| !value.trim().is_empty())
        })
}

/// `Bearer …` and `Basic …`, as in a header.
fn has_scheme(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    [("bearer ", false), ("basic ", true)].iter().any(|(scheme, mixed)| {
        lower.match_indices(scheme).any(|(at, _)| {
            let rest = text[at + scheme.len()..].trim_start();
            let run = rest.bytes().take_while(|byte| is_key_byte(*byte) || *byte == b'.').collect::<Vec<_>>();
            let odd = run.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'=');
            run.len() >= 8 && (odd || !mixed)
        })
    })
}

/// Whether a run of characters is as mixed as only chance mixes them.
fn is_random(text: &str) -> bool {
    let runs = text.as_bytes().split(|byte| !is_key_byte(*byte)).filter(|run| run.len() >= RUN_BYTES_MIN);
    runs.filter(|run| !is_uuid(run)).any(|run| {
        let unbroken = run.split(|byte| !byte.is_ascii_alphanumeric()).any(|word| {
            // Words of languages are shorter; a line of one character says nothing.
            word.len() >= RUN_BYTES_MIN && entropy(word) >= 2.5
        });
        let last = run.len() - RUN_BYTES_MIN;
        unbroken || (0..=last).step_by(8).any(|at| is_mixed(&run[at..run.len().min(at + WINDOW_BYTES)]))
    })
}

/// Names that programs give away freely, and that nobody takes for a key.
fn is_uuid(run: &[u8]) -> bool {
    let in_place = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    run.len() == 36 && run.iter().enumerate().all(in_place)
}

/// Whether small letters, capitals and digits change as often as they do by chance, or hardly a character stands twice. Names
/// of several words do neither.
fn is_mixed(run: &[u8]) -> bool {
    let kind = |byte: &u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let beside = run.windows(2).filter(|pair| pair.iter().all(u8::is_ascii_alphanumeric));
    let (pairs, changes) = beside.fold((0_usize, 0_usize), |(pairs, changes), pair| {
        (pairs + 1, changes + usize::from(kind(&pair[0]) != kind(&pair[1])))
    });
    (changes * 10 >= pairs * 3 && pairs > 0) || entropy(run) >= 0.9 * (run.len() as f64).log2()
}

/// Bits for each character, by how often each one stands in the run.
fn entropy(run: &[u8]) -> f64 {
    let mut counts = [0_u16; 128];
    run.iter().for_each(|byte| counts[usize::from(byte & 127)] += 1);
    let total = run.len() as f64;
    let share = |count: &u16| f64::from(*count) / total;
    counts.iter().filter(|count| **count > 0).map(share).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_the_shape_of_a_secret_is_one() {
        for text in [
            "pb_0123456789abcdef",
            "use pb_abcdefgh now",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "ghp_abcdefghij",
            "github_pat_11ABCDEFG",
            "xoxb-123456789012-abc",
            "sk-proj-abcdefghijkl",
            "https://user:hunter2@db.example/x",
            "postgres://app:p/ss@db:5432/app",
            "redis://:hunter2@cache:6379",
            "host=db user=app password=hunter2",
            "PWD = hunter2",
            "{\"password\": \"hunter2\"}",
            "{\\\"api_key\\\":\\\"hunter2\\\"}",
            "éapiKey: hunter2",
            "Authorization: Basic dXNlcjpwYXNz",
            "authorization header is Bearer abcdefgh",
            "Set-Cookie: a=b",
            "curl --token hunter2",
            "https://h/x?sig=abc",
            "https://h/x?access_token=abc",
            "d41d8cd98f00b204e9800998ecf8427e",
            "MFRGGZDFMZTWQ2LKNNWG23TPOA",
        ] {
            assert!(is_secret(text), "{text}");
        }
    }

    #[test]
    fn what_people_write_is_none() {
        for text in [
            "",
            "Bern",
            "What is the weather like in San Francisco tomorrow?",
            "customer_orders_by_region_total",
            "orders_2024_q1_customers_by_region",
            "3f2b8c1e-7a4d-4e57-9b1a-0c2d3e4f5a6b",
            "2026-07-28T10:11:12.123Z",
            "/srv/projects/patchbay/docs/operations",
            "https://example.org/a/path?with=query&and=more#part",
            "select ?, name from products where price > ? order by created_at",
            "basic authentication is off",
            "the password is not shown here",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "----------------------------------------",
            "someone@example.org",
            "temperature: 21, unit: celsius",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }

    #[test]
    fn names_of_secrets_are_known_however_they_are_written() {
        for name in [
            "password",
            "dbPassword",
            "API-KEY",
            "api_key",
            "x-auth-token",
            "Authorization",
            "DSN",
            "pin",
            "clientSecret",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["", "city", "keyword", "spin", "author", "monkey", "sql", "limit"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_secret_that_begins_where_the_shown_part_ends_is_found() {
        let at = shown_max() - 4;
        let text = format!("{}pb_{}", " ".repeat(at), "q1".repeat(30));
        assert!(is_secret(&text));
        let url = format!("{}https://{}:pw@h", " ".repeat(at - 8), "u".repeat(2 * LOOKED_BYTES));
        assert!(is_secret(&url));
    }

    #[test]
    fn what_chance_wrote_is_a_secret() {
        let (mut state, mut missed) = (1_u64, 0);
        for round in 0..3000 {
            let bytes: Vec<u8> = (0..24 + round % 40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(is_secret(&hex), "{hex}");
            let texts = [URL_SAFE_NO_PAD.encode(&bytes), STANDARD.encode(&bytes)];
            missed += texts.iter().filter(|text| !is_secret(&format!("see {text}."))).count();
        }
        assert!(missed <= 2, "{missed} of 6000 were shown");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (is_secret(&text), is_secret_name(&text));
        }

        #[test]
        fn no_signs_make_it_panic(text in "[-:=@/ é?\"\\\\a-c]{0,60}") {
            let _ = is_secret(&text);
        }
    }
}

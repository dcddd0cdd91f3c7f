//! Changed tokens: whatever is changed of a good token, it is good no more.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    mint::base64,
    world::{World, claims, with},
};

/// A tenant that knows its keys, and good tokens of four keys and two people.
static GOOD: LazyLock<(tokio::runtime::Runtime, World, Vec<String>)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::new();
    let mut tokens = Vec::new();
    for signer in [&world.rsa, &world.p256, &world.p384, &world.ed] {
        tokens.push(signer.token(&claims()));
        tokens.push(signer.token(&with(claims(), json!({ "sub": "bob", "jti": "token-2" }))));
    }
    for token in &tokens {
        runtime.block_on(world.verify(token)).unwrap();
    }
    (runtime, world, tokens)
});

#[derive(Debug, Clone)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Replace(prop::sample::Index, char),
    Insert(prop::sample::Index, char),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Swap(usize, usize),
    /// A part of another good token.
    Graft(prop::sample::Index, usize),
    FlipInside(usize, prop::sample::Index, u8),
    /// The same JSON, spelled otherwise.
    Respell(usize, u8),
    Member(usize, String, String),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    let letter = || prop::sample::select("abcXYZ019-_=.+/~ \n".chars().collect::<Vec<_>>());
    prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), letter()).prop_map(|(at, letter)| Mutation::Replace(at, letter)),
        (at(), letter()).prop_map(|(at, letter)| Mutation::Insert(at, letter)),
        at().prop_map(Mutation::Remove),
        at().prop_map(Mutation::Cut),
        (0_usize..3, 0_usize..3).prop_map(|(a, b)| Mutation::Swap(a, b)),
        (at(), 0_usize..3).prop_map(|(other, part)| Mutation::Graft(other, part)),
        (0_usize..3, at(), 0_u8..8).prop_map(|(part, at, bit)| Mutation::FlipInside(part, at, bit)),
        (0_usize..2, 0_u8..4).prop_map(|(part, how)| Mutation::Respell(part, how)),
        (0_usize..2, "[a-z]{1,5}", "[a-z0-9]{0,8}").prop_map(|(part, name, value)| Mutation::Member(part, name, value)),
    ]
}

/// The token after the mutation; `None` when it makes no text.
fn mutated(token: &str, mutation: &Mutation, all: &[String]) -> Option<String> {
    let mut bytes = token.as_bytes().to_vec();
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    match mutation {
        Mutation::Flip(at, bit) => bytes[at.index(token.len())] ^= 1 << bit,
        Mutation::Replace(at, letter) => bytes[at.index(token.len())] = *letter as u8,
        Mutation::Insert(at, letter) => bytes.insert(at.index(token.len() + 1), *letter as u8),
        Mutation::Remove(at) => drop(bytes.remove(at.index(token.len()))),
        Mutation::Cut(at) => bytes.truncate(at.index(token.len())),
        Mutation::Swap(a, b) => {
            parts.swap(*a, *b);
            return Some(parts.join("."));
        }
        Mutation::Graft(other, part) => {
            parts[*part] = other.get(all).split('.').nth(*part)?.to_owned();
            return Some(parts.join("."));
        }
        Mutation::FlipInside(part, at, bit) => {
            let mut inside = URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap();
            let at = at.index(inside.len());
            inside[at] ^= 1 << bit;
            parts[*part] = base64(inside);
            return Some(parts.join("."));
        }
        Mutation::Respell(part, how) => {
            let inside = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap()).unwrap();
            let value: Value = serde_json::from_str(&inside).unwrap();
            parts[*part] = base64(match how {
                0 => serde_json::to_string_pretty(&value).unwrap(),
                1 => format!(" {inside}"),
                2 => format!("{inside}\n"),
                _ => inside.replacen(':', ": ", 1),
            });
            return Some(parts.join("."));
        }
        Mutation::Member(part, name, text) => {
            let inside = URL_SAFE_NO_PAD.decode(&parts[*part]).unwrap();
            let value: Value = serde_json::from_slice(&inside).unwrap();
            parts[*part] = base64(with(value, json!({ name: text })).to_string());
            return Some(parts.join("."));
        }
    }
    String::from_utf8(bytes).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_changed_token_is_good(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(mutations(), 1..3),
    ) {
        let (runtime, world, tokens) = &*GOOD;
        let token = which.get(tokens);
        let mut changed = token.clone();
        for change in &changes {
            // The later changes need three parts that can be read; where the first left none, it stands alone.
            let readable = changed.split('.').count() == 3
                && changed.split('.').take(2).all(|part| {
                    URL_SAFE_NO_PAD.decode(part).is_ok_and(|inside| serde_json::from_slice::<Value>(&inside).is_ok_and(|json| json.is_object()))
                })
                && changed.split('.').all(|part| URL_SAFE_NO_PAD.decode(part).is_ok_and(|inside| !inside.is_empty()));
            if !readable {
                break;
            }
            let Some(next) = mutated(&changed, change, tokens) else { break };
            changed = next;
        }
        let verified = runtime.block_on(world.verify(&changed));
        prop_assert_eq!(verified.is_ok(), tokens.contains(&changed), "{:?}", changes);
    }
}

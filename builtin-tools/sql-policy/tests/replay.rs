//! The seeds of the fuzz target and what it found, replayed on stable through the function that it calls; and a short walk
//! of our own around them, the same on every run.

use std::{fs, path::Path};

use patchbay_sql_policy::{
    corpus::{postgres_hostile, postgres_legitimate, postgres_runtime},
    invariants::{check, with_stack},
};

/// How often the seeds are changed; `SQL_POLICY_MUTATIONS` makes it longer.
const MUTATIONS: usize = 20_000;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/judge");
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the corpus is there").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("a seed can be read")).collect()
}

#[test]
fn every_seed_of_the_fuzzer_keeps_the_invariants() {
    let seeds = seeds();
    assert!(seeds.len() >= 50, "{} seeds", seeds.len());
    with_stack(move || seeds.iter().for_each(|seed| drop(check(seed))));
}

#[test]
fn changed_seeds_keep_the_invariants() {
    let cases = [postgres_hostile(), postgres_legitimate(), postgres_runtime()].concat();
    let mut seeds = seeds();
    seeds.extend(cases.into_iter().map(|case| case.sql.as_bytes().to_vec()));
    let mutations =
        std::env::var("SQL_POLICY_MUTATIONS").ok().and_then(|times| times.parse().ok()).unwrap_or(MUTATIONS);
    let accepted = with_stack(move || {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        (0..mutations).filter(|_| check(&changed(&seeds, &mut dice)).is_some()).count()
    });
    assert!(accepted > mutations / 50, "only {accepted} of {mutations} were accepted; the walk goes nowhere");
}

/// One seed with a few of its words dropped, doubled, moved, or taken from another.
fn changed(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut words = pieces(dice.pick::<Vec<u8>>(seeds));
    for _ in 0..=dice.below(3) {
        if words.is_empty() {
            break;
        }
        let at = dice.below(words.len());
        match dice.below(6) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, words[at].clone()),
            2 => {
                let other = dice.below(words.len());
                words.swap(at, other);
            }
            foreign @ (3 | 4) => {
                let others = pieces(dice.pick::<Vec<u8>>(seeds));
                let other = dice.pick(&others).clone();
                if foreign == 3 { words.insert(at, other) } else { words[at] = other }
            }
            _ => {
                let word = &mut words[at];
                let byte = dice.below(word.len());
                word[byte] = b"'\"\\$();*-/ea0_.\n\xc3"[dice.below(17)];
            }
        }
    }
    words.concat()
}

/// Words, and what is between them; never empty.
fn pieces(seed: &[u8]) -> Vec<Vec<u8>> {
    let kind = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let pieces: Vec<Vec<u8>> = seed.chunk_by(|a, b| kind(a) == kind(b)).map(<[u8]>::to_vec).collect();
    if pieces.is_empty() { vec![b" ".to_vec()] } else { pieces }
}

/// splitmix64
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end.max(1) as u64).expect("it is below an usize")
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

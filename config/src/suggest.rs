//! "Did you mean …": the known word that is nearest to one that nobody knows.

/// The nearest of `known`, when it is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = 1 + word.chars().count() / 4;
    let folded = fold(word);
    let ranked = known.into_iter().map(|candidate| (distance(&folded, &fold(candidate)), candidate));
    ranked.filter(|(distance, _)| *distance <= far).min().map(|(_, candidate)| candidate)
}

/// Spelling that does not matter for likeness: `tools-Max` is as good as `tools_max`.
fn fold(word: &str) -> String {
    word.chars().take(120).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// How many letters to add, drop, change or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut older = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let change = old[j] + usize::from(a[i] != b[j]);
            let mut best = change.min(old[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(older[j - 1] + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut old, row);
    }
    old[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_words_are_not_suggested_and_near_ones_are() {
        let known = ["listen", "limits", "log", "body_bytes_max"];
        for (word, expected) in [
            ("limts", Some("limits")),
            ("Listen", Some("listen")),
            ("body-bytes-max", Some("body_bytes_max")),
            ("body_byte_max", Some("body_bytes_max")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        for (a, b, expected) in [("kitten", "sitting", 3), ("ulr", "url", 1), ("", "abc", 3), ("abc", "", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}

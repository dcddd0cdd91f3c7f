//! JSON as editors write it: comments, trailing commas and a byte order mark become blanks, so that lines and columns
//! stay what they are.

/// The text as plain JSON of the same length.
pub(super) fn plain(text: &str) -> String {
    let uncommented = blank_comments(text.strip_prefix('\u{feff}').unwrap_or(text));
    blank_trailing_commas(&uncommented)
}

/// Where the scanner stands.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Code,
    Text,
    Escape,
    Line,
    Block,
}

fn blank_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut state = In::Code;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        let was = state;
        state = match (state, c) {
            (In::Code, '"') => In::Text,
            (In::Code, '/') if next == Some('/') => In::Line,
            (In::Code, '/') if next == Some('*') => {
                chars.next();
                out.push(' ');
                In::Block
            }
            (In::Text, '\\') => In::Escape,
            (In::Text, '"') | (In::Line, '\n') => In::Code,
            (In::Escape, _) => In::Text,
            (In::Block, '*') if next == Some('/') => {
                chars.next();
                out.push(' ');
                In::Code
            }
            (state, _) => state,
        };
        let comment = matches!(was, In::Line | In::Block) || matches!(state, In::Line | In::Block);
        out.push(if comment && c != '\n' { ' ' } else { c });
    }
    out
}

fn blank_trailing_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut in_text, mut escaped) = (false, false);
    // A comma trails only behind a value: `{,}` stays wrong.
    let mut before = ',';
    for (at, c) in text.char_indices() {
        let behind_value = !matches!(before, ',' | '{' | '[' | ':');
        let trailing = !in_text && c == ',' && behind_value && text[at + 1..].trim_start().starts_with(['}', ']']);
        out.push(if trailing { ' ' } else { c });
        before = if c.is_whitespace() { before } else { c };
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_commas_go_and_texts_stay() {
        for (text, expected) in [
            ("{} // x", "{}     "),
            ("{\"a\": \"// no /* no */ ,}\"}", "{\"a\": \"// no /* no */ ,}\"}"),
            ("{/* x\n*/\"a\":1,}", "{    \n  \"a\":1 }"),
            ("[1, 2, // c\n]", "[1, 2      \n]"),
            ("\u{feff}[\"\\\"//\", 1]", "[\"\\\"//\", 1]"),
            ("[\"\\\\\", // x\n1]", "[\"\\\\\",     \n1]"),
            ("[,] [1,,]", "[,] [1,,]"),
            ("/* open", "       "),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn many_commas_cost_no_more_than_their_number() {
        let text = ",\n".repeat(100_000);
        assert_eq!(plain(&text).len(), text.len());
    }
}

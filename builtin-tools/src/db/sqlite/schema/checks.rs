//! What SQLite keeps only in the text that made a table, a trigger or an index: CHECK constraints, the event of a trigger, the
//! condition of an index. The texts are the owner's and SQLite has accepted them, so a reader of words and brackets is enough.

use crate::db::answer::Constraint;

/// The longest condition that is shown, in characters.
const CHARS_MAX: usize = 500;

/// A piece of SQL text: a word, a quoted name, a text, or a sign; with where it begins and ends.
#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    start: usize,
}

impl Piece<'_> {
    fn is(&self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    const fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The CHECK constraints of a table, with their names.
pub(crate) fn of(table: &str) -> Vec<Constraint> {
    let pieces = pieces(table);
    let (mut found, mut name, mut index) = (Vec::new(), None, 0);
    while let Some(piece) = pieces.get(index) {
        index += 1;
        match pieces.get(index) {
            Some(named) if piece.is("CONSTRAINT") => {
                name = Some(unquoted(named.text));
                index += 1;
                continue;
            }
            Some(open) if piece.is("CHECK") && open.is("(") => {
                let Some(close) = closing(&pieces, index) else { return found };
                let definition = shortened(&table[piece.start..pieces[close].end()]);
                found.push(Constraint { name: name.take(), definition });
                index = close + 1;
            }
            _ => {}
        }
        name = None;
    }
    found
}

/// Whether a trigger's text says that it runs when a row is added.
pub(crate) fn is_insert_trigger(text: &str) -> bool {
    // CREATE TRIGGER name [BEFORE | AFTER | INSTEAD OF] event [OF columns] ON table: the last event before ON.
    let pieces = pieces(text);
    let head = pieces.iter().take_while(|piece| !piece.is("ON"));
    let event = head.filter(|piece| ["INSERT", "UPDATE", "DELETE"].iter().any(|event| piece.is(event))).last();
    event.is_none_or(|event| event.is("INSERT"))
}

/// The condition of rows that are in a partial index.
pub(crate) fn condition_of_index(text: &str) -> Option<String> {
    let pieces = pieces(text);
    let open = pieces.iter().position(|piece| piece.is("("))?;
    let condition = pieces.get(closing(&pieces, open)? + 1).filter(|piece| piece.is("WHERE"))?;
    Some(shortened(text[condition.end()..].trim()))
}

/// The place of the bracket that closes the one at `open`.
fn closing(pieces: &[Piece<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for (index, piece) in pieces.iter().enumerate().skip(open) {
        if piece.is("(") {
            depth += 1;
        } else if piece.is(")") {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn unquoted(name: &str) -> String {
    let Some(quote) = name.chars().next().filter(|first| matches!(first, '"' | '`' | '\'' | '[')) else {
        return name.to_owned();
    };
    let inner = &name[1..name.len().max(2) - 1];
    if quote == '[' { inner.to_owned() } else { inner.replace(&format!("{quote}{quote}"), &quote.to_string()) }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let bytes = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '\'' | '"' | '`' => quoted_bytes(rest, first),
            '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
            _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let is_comment = rest.starts_with("--") || rest.starts_with("/*");
        if !is_comment && !first.is_whitespace() {
            pieces.push(Piece { text: &rest[..bytes], start });
        }
        start += bytes;
    }
    pieces
}

const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Two quotes inside stand for one, which falls out of reading them as the end of one text and the beginning of the next.
fn quoted_bytes(rest: &str, quote: char) -> usize {
    let mut from = 1;
    while let Some(end) = rest[from..].find(quote) {
        let after = from + end + 1;
        if !rest[after..].starts_with(quote) {
            return after;
        }
        from = after + 1;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str) -> Vec<(Option<String>, String)> {
        of(sql).into_iter().map(|check| (check.name, check.definition)).collect()
    }

    #[test]
    fn checks_are_found_with_their_names_and_nothing_else_is() {
        let sql = "CREATE TABLE t (\
                   a INTEGER CHECK (a > 0 AND (a < 10)), -- CHECK (no)\n\
                   \"check\" TEXT DEFAULT 'CHECK (1)' /* CHECK (2) */, \
                   b TEXT CONSTRAINT \"b is \"\"short\"\"\" CHECK(length(b) < 5 OR b = ')'), \
                   CONSTRAINT both UNIQUE (a, b), CHECK (a <> 3))";
        assert_eq!(
            told(sql),
            [
                (None, "CHECK (a > 0 AND (a < 10))".to_owned()),
                (Some("b is \"short\"".to_owned()), "CHECK(length(b) < 5 OR b = ')')".to_owned()),
                (None, "CHECK (a <> 3)".to_owned()),
            ]
        );
    }

    #[test]
    fn odd_texts_are_read_to_their_end() {
        for sql in [
            "",
            "CHECK",
            "CHECK (",
            "CONSTRAINT",
            "'",
            "[",
            "\"",
            "/*",
            "--",
            "CHECK (é",
            "CONSTRAINT \"",
            "CONSTRAINT [",
        ] {
            assert!(of(sql).is_empty(), "{sql}");
        }
    }

    #[test]
    fn event_of_a_trigger_is_the_word_before_its_table() {
        assert!(is_insert_trigger("CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE t SET a = 1; END"));
        assert!(is_insert_trigger("CREATE TRIGGER \"delete\" BEFORE INSERT ON t BEGIN SELECT 1; END"));
        assert!(!is_insert_trigger("CREATE TRIGGER x AFTER UPDATE OF a ON t BEGIN INSERT INTO t VALUES (1); END"));
        assert!(!is_insert_trigger("CREATE TRIGGER x DELETE ON t BEGIN SELECT 1; END"));
    }

    #[test]
    fn condition_of_a_partial_index_is_its_where() {
        assert_eq!(condition_of_index("CREATE INDEX i ON t (a, (b + 1)) WHERE c = 'x)'").unwrap(), "c = 'x)'");
        assert_eq!(condition_of_index("CREATE UNIQUE INDEX i ON t (a)"), None);
    }
}

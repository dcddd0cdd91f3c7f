//! A statement of SQL without what its author filled in: literals become `?`, comments are left out. It does not parse, it only
//! tells strings, numbers and comments from the rest, in the ways of PostgreSQL and SQLite; where these differ from other
//! databases and nobody can say what is a string, nothing is shown at all.

/// The most of a statement that is looked at, in bytes.
pub(super) const SQL_BYTES_MAX: usize = 16 * 1024;

/// The statement without its literals; `None` where they cannot be told for sure.
pub(super) fn without_literals(sql: &str) -> Option<String> {
    let sql = &sql[..sql.floor_char_boundary(SQL_BYTES_MAX)];
    let mut lexer = Lexer { sql: sql.as_bytes(), at: 0, out: Vec::with_capacity(sql.len().min(1024)) };
    while let Some(byte) = lexer.peek(0) {
        lexer.token(byte)?;
    }
    String::from_utf8(lexer.out).ok()
}

struct Lexer<'a> {
    sql: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    /// How many bytes of a word are here.
    fn word_bytes(&self) -> usize {
        self.sql[self.at..].iter().take_while(|byte| is_word(**byte)).count()
    }

    /// Goes behind the next occurrence of this, or to the end.
    fn skip_past(&mut self, needle: &[u8]) {
        let found = memchr::memmem::find(&self.sql[self.at..], needle);
        self.at = found.map_or(self.sql.len(), |found| self.at + found + needle.len());
    }

    fn token(&mut self, byte: u8) -> Option<()> {
        match byte {
            b if b.is_ascii_whitespace() => {
                self.at += 1;
                self.space();
            }
            b'-' if self.peek(1) == Some(b'-') => {
                self.skip_past(b"\n");
                self.space();
            }
            b'/' if self.peek(1) == Some(b'*') => self.comment(),
            b'\'' => self.string(false)?,
            // A name to PostgreSQL, a string to others, and to SQLite one or the other.
            b'"' | b'`' => self.quoted(byte),
            // A comment to MySQL, in which a quote begins no string; elsewhere an operator.
            b'#' if !matches!(self.peek(1), Some(b'>' | b'-')) => return None,
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b if is_word(b) => self.word()?,
            _ => {
                self.out.push(byte);
                self.at += 1;
            }
        }
        Some(())
    }

    fn space(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with(b" ") {
            self.out.push(b' ');
        }
    }

    /// Comments nest in PostgreSQL.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            let step = match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    2
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            self.at += step;
            if depth == 0 {
                break;
            }
        }
        self.space();
    }

    /// A string in single quotes. A backslash before a quote ends it in one database and not in the next: nobody knows.
    fn string(&mut self, escapes: bool) -> Option<()> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => break,
                (Some(b'\\'), Some(_)) if escapes => self.at += 2,
                (Some(b'\\'), Some(b'\'' | b'\\')) => return None,
                (Some(b'\''), Some(b'\'')) => self.at += 2,
                (Some(b'\''), _) => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        self.out.push(b'?');
        Some(())
    }

    /// A name or a string in other quotes; a quote in it stands twice.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        self.skip_past(&[quote]);
        while self.peek(0) == Some(quote) {
            self.at += 1;
            self.skip_past(&[quote]);
        }
        self.out.extend([quote, b'?', quote]);
    }

    /// A string in dollar quotes, or a parameter.
    fn dollar(&mut self) {
        let tag = self.sql[self.at + 1..].iter().take_while(|byte| is_word(**byte) && **byte != b'$').count();
        let whole = &self.sql[self.at..self.at + 1 + tag];
        if self.peek(1 + tag) == Some(b'$') && !self.peek(1).is_some_and(|first| first.is_ascii_digit()) {
            let quote = [whole, b"$"].concat();
            self.at += quote.len();
            self.skip_past(&quote);
            self.out.push(b'?');
        } else {
            self.out.extend_from_slice(whole);
            self.at += 1 + tag;
        }
    }

    fn number(&mut self) {
        let begin = self.at;
        while let Some(byte) = self.peek(0) {
            let sign = self.at > begin && matches!(byte, b'+' | b'-') && matches!(self.sql[self.at - 1], b'e' | b'E');
            if !(is_word(byte) || byte == b'.' || sign) {
                break;
            }
            self.at += 1;
        }
        self.out.push(b'?');
    }

    /// A name or a keyword; directly before a quote it says what kind of string follows.
    fn word(&mut self) -> Option<()> {
        let word = &self.sql[self.at..self.at + self.word_bytes()];
        self.out.extend_from_slice(word);
        self.at += word.len();
        if self.peek(0) == Some(b'\'') { self.string(word.eq_ignore_ascii_case(b"e")) } else { Some(()) }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_become_question_marks_and_comments_go() {
        for (sql, shown) in [
            ("select 1", "select ?"),
            ("SELECT name FROM t1 WHERE id = 42 AND n=-1.5e-3", "SELECT name FROM t1 WHERE id = ? AND n=-?"),
            ("select 'it''s', x from t -- secret\nwhere y = .5", "select ?, x from t where y = ?"),
            ("select /* a /* nested */ secret */ 0xFF, 1_000, a1", "select ?, ?, a1"),
            ("select $$sec'ret$$, $tag$ $$ x $tag$, $1, a$b", "select ?, ?, $1, a$b"),
            (r"select e'a\'b', E'c', x'ff', U&'d', 'un", "select e?, E?, x?, U&?, ?"),
            ("select \"hunter2\", `x``y`, \"a\"\"b\" from t", "select \"?\", `?`, \"?\" from t"),
            ("insert into t values ('é', :name, @p, ?)", "insert into t values (?, :name, @p, ?)"),
            ("select größe from bücher limit 10;", "select größe from bücher limit ?;"),
            ("  select\n\t1  ", "select ? "),
            ("select a #> '{b}', a #- '{c}'", "select a #> ?, a #- ?"),
            ("select 'a' 'b', 1in(2), 3.14::text", "select ? ?, ?(?), ?::text"),
        ] {
            assert_eq!(without_literals(sql).as_deref(), Some(shown), "{sql}");
        }
    }

    #[test]
    fn where_nobody_can_say_what_a_string_is_nothing_is_shown() {
        for sql in [r"select 'it\'s secret'", r"select 'c:\\', 'secret'", "select 1 # it's one\n, 'secret'"] {
            assert_eq!(without_literals(sql), None, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(sql in ".*") {
            let _ = without_literals(&sql);
        }

        #[test]
        fn no_mixture_of_tokens_makes_it_panic(sql in "[-'\"`$/*e\\\\é1a. \n]{0,40}") {
            let _ = without_literals(&sql);
        }

        #[test]
        fn no_literal_comes_out(text in "[^'\\\\]{0,20}", number in any::<u32>()) {
            let sql = format!("select * from t where a = 'S3CRET{text}' and b = {number} -- S3CRET\n or c = $q$S3CRET$q$");
            let shown = without_literals(&sql).unwrap();
            prop_assert_eq!(shown, "select * from t where a = ? and b = ? or c = ?");
        }
    }
}

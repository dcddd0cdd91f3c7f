//! Strings in PostgreSQL's forms. All but bit strings become plain ones with their value worked out, so that nothing
//! behind this file knows of backslashes and dollars; the walk writes them in one form that has one reading.

use sqlparser::tokenizer::Token;

use super::{
    Lexer,
    names::{continues_name, starts_name},
};
use crate::refusal::{Fault, Rule, Verdict};

/// Adjacent literals are joined by PostgreSQL where a line ends between them, and an error elsewhere.
pub(super) fn is_string(token: &Token) -> bool {
    matches!(token, Token::SingleQuotedString(_) | Token::SingleQuotedByteStringLiteral(_) | Token::HexStringLiteral(_))
}

impl Lexer<'_> {
    /// `'…'`; a backslash is a backslash.
    pub(super) fn plain_string(&mut self) -> Verdict<Token> {
        self.until_quote(b'\'', "a string").map(Token::SingleQuotedString)
    }

    /// `B'01'` and `X'1F'`.
    pub(super) fn bit_string(&mut self) -> Verdict<Token> {
        let start = self.at;
        let hex = matches!(self.peek(0), b'x' | b'X');
        self.at += 1;
        let digits = self.until_quote(b'\'', "a bit string")?;
        match hex {
            true if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Token::HexStringLiteral(digits)),
            false if digits.bytes().all(|byte| matches!(byte, b'0' | b'1')) => {
                Ok(Token::SingleQuotedByteStringLiteral(digits))
            }
            _ => Err(Fault::at(Rule::Literal("Bit strings with other signs than digits"), start)),
        }
    }

    /// `$$…$$` and `$tag$…$tag$`.
    pub(super) fn dollar_string(&mut self) -> Verdict<Token> {
        let start = self.at;
        self.at += 1;
        if starts_name(self.peek(0)) {
            while continues_name(self.peek(0)) && self.peek(0) != b'$' {
                self.at += 1;
            }
        }
        if self.peek(0) != b'$' {
            return Err(Fault::at(Rule::Character("a single $".to_owned()), start));
        }
        self.at += 1;
        let mark = &self.sql[start..self.at];
        let Some(length) = self.sql[self.at..].find(mark) else { return Err(unclosed("a $-quoted string", start)) };
        let value = self.sql[self.at..self.at + length].to_owned();
        self.at += length + mark.len();
        without_nul(value, start).map(Token::SingleQuotedString)
    }

    /// What is between `quote`s, doubled ones undone.
    pub(super) fn until_quote(&mut self, quote: u8, what: &str) -> Verdict<String> {
        let start = self.at;
        let mut value = String::new();
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(length) = rest.iter().position(|&byte| byte == quote) else { return Err(unclosed(what, start)) };
            value.push_str(&self.sql[self.at..self.at + length]);
            self.at += length + 1;
            if self.peek(0) != quote {
                return without_nul(value, start);
            }
            value.push(char::from(quote));
            self.at += 1;
        }
    }

    /// `E'…'` with backslashes.
    pub(super) fn escape_string(&mut self) -> Verdict<Token> {
        let start = self.at;
        let mut value = String::new();
        self.at += 2;
        loop {
            let Some(c) = self.sql[self.at..].chars().next() else { return Err(unclosed("a string", start)) };
            self.at += c.len_utf8();
            match c {
                '\'' if self.peek(0) == b'\'' => {
                    self.at += 1;
                    value.push('\'');
                }
                '\'' => return without_nul(value, start).map(Token::SingleQuotedString),
                '\\' => value.push(self.escape(start)?),
                c => value.push(c),
            }
        }
    }

    /// The character that a backslash and what follows it stand for.
    fn escape(&mut self, start: usize) -> Verdict<char> {
        let Some(c) = self.sql[self.at..].chars().next() else { return Err(unclosed("a string", start)) };
        self.at += c.len_utf8();
        match c {
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.code_point(4, 16),
            'U' => self.code_point(8, 16),
            'x' if self.peek(0).is_ascii_hexdigit() => self.byte(2, 16),
            '0'..='7' => {
                self.at -= 1;
                self.byte(3, 8)
            }
            c => Ok(c),
        }
    }

    /// A code point of exactly `digits` digits.
    fn code_point(&mut self, digits: usize, radix: u32) -> Verdict<char> {
        let written = self.bytes.get(self.at..self.at + digits).unwrap_or_default();
        let value = written
            .iter()
            .try_fold(0_u32, |value, &byte| Some(value.checked_mul(radix)? + char::from(byte).to_digit(radix)?));
        match value.filter(|_| written.len() == digits).and_then(char::from_u32) {
            Some(c) => {
                self.at += digits;
                Ok(c)
            }
            None => Err(self.refuse(Rule::Literal("Escapes that stand for no character"))),
        }
    }

    /// A byte of up to `digits` digits; only ASCII, for others are pieces of characters.
    fn byte(&mut self, digits: usize, radix: u32) -> Verdict<char> {
        let mut value = 0;
        for _ in 0..digits {
            let Some(digit) = char::from(self.peek(0)).to_digit(radix) else { break };
            value = value * radix + digit;
            self.at += 1;
        }
        match u8::try_from(value).ok().filter(u8::is_ascii) {
            Some(byte) => Ok(char::from(byte)),
            None => Err(self.refuse(Rule::Literal("Escapes that stand for a part of a character"))),
        }
    }
}

fn unclosed(what: &str, start: usize) -> Fault {
    Fault::at(Rule::Syntax(format!("{what} is not closed")), start)
}

fn without_nul(value: String, start: usize) -> Verdict<String> {
    match value.contains('\0') {
        false => Ok(value),
        true => Err(Fault::at(Rule::Character("a NUL".to_owned()), start)),
    }
}

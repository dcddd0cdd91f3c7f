//! Cuts a statement into tokens exactly as PostgreSQL's own lexer does (`standard_conforming_strings=on`), and refuses
//! what PostgreSQL's versions or other readers take differently. sqlparser's lexer is not asked, so that there is no
//! second opinion; it gets our tokens, each with its byte as its place.

mod names;
mod numbers;
mod signs;
mod strings;

use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

use crate::{
    caps::Caps,
    refusal::{Fault, Rule, Verdict},
};

/// The tokens of `sql`, without blanks, comments and one semicolon at the end.
pub(crate) fn tokens(sql: &str, caps: &Caps) -> Verdict<Vec<TokenWithSpan>> {
    if sql.len() > caps.bytes {
        return Err(Rule::TooLong(caps.bytes).into());
    }
    let mut lexer = Lexer { sql, bytes: sql.as_bytes(), at: 0 };
    let mut tokens: Vec<TokenWithSpan> = Vec::with_capacity(sql.len() / 4);
    let mut ended = false;
    while let Some((start, token)) = lexer.next()? {
        if ended {
            return Err(Fault::at(Rule::Several, start));
        }
        if tokens.len() == caps.tokens {
            return Err(Fault::at(Rule::TooManyTokens(caps.tokens), start));
        }
        if token == Token::SemiColon {
            ended = true;
            continue;
        }
        if strings::is_string(&token) && tokens.last().is_some_and(|last| strings::is_string(&last.token)) {
            return Err(Fault::at(Rule::Literal("Two string literals side by side"), start));
        }
        tokens.push(TokenWithSpan { token, span: place(start) });
    }
    Ok(tokens)
}

/// The place of a token: line 1, and the byte counted from one.
fn place(start: usize) -> Span {
    let at = Location::new(1, start as u64 + 1);
    Span::new(at, at)
}

pub(crate) struct Lexer<'a> {
    sql: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        // NUL stands for the end, too; a NUL in the text is refused before anything is made of it.
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Verdict<Option<(usize, Token)>> {
        self.skip_blanks()?;
        let start = self.at;
        let Some(&first) = self.bytes.get(start) else { return Ok(None) };
        let token = match first {
            b'\'' => self.plain_string()?,
            b'e' | b'E' if self.peek(1) == b'\'' => self.escape_string()?,
            b'b' | b'B' | b'x' | b'X' if self.peek(1) == b'\'' => self.bit_string()?,
            b'n' | b'N' if self.peek(1) == b'\'' => return Err(self.refuse(Rule::Literal("National strings (N'…')"))),
            b'u' | b'U' if self.peek(1) == b'&' && matches!(self.peek(2), b'\'' | b'"') => {
                return Err(self.refuse(Rule::Literal("Unicode escapes (U&'…' and U&\"…\")")));
            }
            b'"' => self.quoted_name()?,
            b'$' if self.peek(1).is_ascii_digit() => self.parameter()?,
            b'$' => self.dollar_string()?,
            b'0'..=b'9' => self.number()?,
            b'.' if self.peek(1).is_ascii_digit() => self.number()?,
            _ if names::starts_name(first) => self.name()?,
            _ => self.sign()?,
        };
        Ok(Some((start, token)))
    }

    fn skip_blanks(&mut self) -> Verdict<()> {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0c => self.at += 1,
                b'-' if self.peek(1) == b'-' => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|&byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                }
                b'/' if self.peek(1) == b'*' => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    /// Comments nest.
    fn skip_comment(&mut self) -> Verdict<()> {
        let start = self.at;
        let mut open = 0_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => open += 1,
                (b'*', b'/') => open -= 1,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            self.at += 2;
            if open == 0 {
                return Ok(());
            }
        }
        Err(Fault::at(Rule::Syntax("a comment is not closed".to_owned()), start))
    }

    fn refuse(&self, rule: Rule) -> Fault {
        Fault::at(rule, self.at)
    }
}

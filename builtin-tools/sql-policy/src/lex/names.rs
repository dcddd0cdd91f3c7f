//! Names and parameters: what is a letter, how names are folded, and how long they may be.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, Word},
};

use super::Lexer;
use crate::refusal::{Fault, Rule, Verdict, cut};

/// PostgreSQL cuts longer names off; then another thing is meant than was written.
const NAME_BYTES_MAX: usize = 63;

/// More values are hardly bound by a model, and every one of them costs a slot in the driver's message.
pub(crate) const PARAMETERS_MAX: usize = 250;

pub(super) fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

pub(super) fn continues_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Lexer<'_> {
    /// A keyword or a name without quotes.
    pub(super) fn name(&mut self) -> Verdict<Token> {
        let start = self.at;
        while continues_name(self.peek(0)) {
            self.at += 1;
        }
        let written = &self.sql[start..self.at];
        if let Some((offset, odd)) = written.char_indices().find(|(_, c)| is_unseen(*c)) {
            let rule = Rule::Character(format!("the invisible character U+{:04X}", u32::from(odd)));
            return Err(Fault::at(rule, start + offset));
        }
        if written.len() > NAME_BYTES_MAX {
            return Err(Fault::at(Rule::Name(cut(written)), start));
        }
        if written.is_ascii() {
            return Ok(Token::make_word(written, None));
        }
        // sqlparser compares keywords in Unicode's upper case, where ſ is S; PostgreSQL's keywords are ASCII.
        Ok(Token::Word(Word { value: written.to_owned(), quote_style: None, keyword: Keyword::NoKeyword }))
    }

    /// A name in double quotes.
    pub(super) fn quoted_name(&mut self) -> Verdict<Token> {
        let start = self.at;
        let name = self.until_quote(b'"', "a name in double quotes")?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Fault::at(Rule::Name(cut(format!("\"{name}\""))), start));
        }
        Ok(Token::make_word(&name, Some('"')))
    }

    /// `$1` to `$250`.
    pub(super) fn parameter(&mut self) -> Verdict<Token> {
        let start = self.at;
        self.at += 1;
        while continues_name(self.peek(0)) {
            self.at += 1;
        }
        let written = &self.sql[start..self.at];
        let number = written[1..].parse::<usize>().ok().filter(|number| (1..=PARAMETERS_MAX).contains(number));
        match number {
            Some(number) if written[1..] == number.to_string() => Ok(Token::Placeholder(written.to_owned())),
            _ => Err(Fault::at(Rule::Parameter(cut(written)), start)),
        }
    }
}

/// Blanks and marks of Unicode that PostgreSQL would take for letters of a name.
pub(super) fn is_unseen(c: char) -> bool {
    !c.is_ascii()
        && (c.is_whitespace()
            || c.is_control()
            || matches!(
                c,
                '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                    | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                    | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                    | '\u{e0000}'..='\u{e0fff}'
            ))
}

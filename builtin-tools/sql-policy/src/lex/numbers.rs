//! Numbers as PostgreSQL 15 has them. Later versions also read `0x1F` and `1_000`, earlier ones read them as a number with
//! an alias behind it; so they are refused.

use sqlparser::tokenizer::Token;

use super::{Lexer, names::continues_name};
use crate::refusal::{Fault, Rule, Verdict, cut};

impl Lexer<'_> {
    /// `12`, `1.5`, `.5`, `1.`, `1e9`, `1.5E-3`.
    pub(super) fn number(&mut self) -> Verdict<Token> {
        let start = self.at;
        self.skip_digits();
        if self.peek(0) == b'.' {
            self.at += 1;
            self.skip_digits();
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let signed = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + signed).is_ascii_digit() {
                self.at += 1 + signed;
                self.skip_digits();
            }
        }
        let number = self.sql[start..self.at].to_owned();
        let dots = number.ends_with('.') && self.peek(0) == b'.';
        if dots || continues_name(self.peek(0)) {
            while continues_name(self.peek(0)) || self.peek(0) == b'.' {
                self.at += 1;
            }
            let said = format!("{} is not a number", cut(&self.sql[start..self.at]));
            return Err(Fault::at(Rule::Syntax(said), start));
        }
        Ok(Token::Number(number, false))
    }

    fn skip_digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }
}

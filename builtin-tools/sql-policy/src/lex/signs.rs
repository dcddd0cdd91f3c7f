//! Operators and punctuation. An operator is the longest run of its signs, as PostgreSQL cuts it; only those on the list
//! are known.

use sqlparser::tokenizer::Token;

use super::Lexer;
use crate::{
    operators,
    refusal::{Fault, Rule, Verdict, cut},
};

impl Lexer<'_> {
    pub(super) fn sign(&mut self) -> Verdict<Token> {
        let start = self.at;
        let first = self.peek(0);
        if operators::is_sign(first) {
            return self.operator();
        }
        self.at += 1;
        match first {
            b',' => Ok(Token::Comma),
            b'(' => Ok(Token::LParen),
            b')' => Ok(Token::RParen),
            b'[' => Ok(Token::LBracket),
            b']' => Ok(Token::RBracket),
            b';' => Ok(Token::SemiColon),
            b'.' if self.peek(0) == b'.' => Err(Fault::at(Rule::Character("two dots".to_owned()), start)),
            b'.' => Ok(Token::Period),
            b':' if self.peek(0) == b':' => {
                self.at += 1;
                Ok(Token::DoubleColon)
            }
            b':' if self.peek(0) == b'=' => Err(Fault::at(Rule::Operator(":=".to_owned()), start)),
            b':' => Ok(Token::Colon),
            0 => Err(Fault::at(Rule::Character("a NUL".to_owned()), start)),
            odd if odd.is_ascii_graphic() => Err(Fault::at(Rule::Character(char::from(odd).to_string()), start)),
            odd => Err(Fault::at(Rule::Character(format!("the control character U+{odd:04X}")), start)),
        }
    }

    fn operator(&mut self) -> Verdict<Token> {
        let start = self.at;
        let run = self.bytes[start..].iter().take_while(|byte| operators::is_sign(**byte)).count();
        let run = &self.sql[start..start + run];
        // A comment ends an operator.
        let comment = [run.find("--"), run.find("/*")].into_iter().flatten().min();
        let mut operator = &run[..comment.unwrap_or(run.len())];
        // `*-` is two operators, `@-` is one: a sign of number ends no operator of the signs of arithmetic and comparison.
        if !operator.bytes().any(|byte| b"~!@#%^&|`?".contains(&byte)) {
            while operator.len() > 1 && operator.ends_with(['+', '-']) {
                operator = &operator[..operator.len() - 1];
            }
        }
        self.at = start + operator.len();
        operators::token(operator).ok_or_else(|| Fault::at(Rule::Operator(cut(operator)), start))
    }
}

//! Bounds a statement before the parser sees it: bytes, tokens, and how deep it nests. The parser and the tree's own drop
//! recurse, so these bounds are what keeps them within [`crate::STACK_BYTES`]; [`crate::parse`] adds one on its recursion.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::refusal::{Fault, Rule, Verdict};

/// How much is read.
pub(crate) struct Caps {
    pub(crate) bytes: usize,
    pub(crate) tokens: usize,
    /// Parentheses, brackets and CASEs that are open at a time, JOINs that wait for their ON, operators in a row.
    pub(crate) nesting: usize,
}

impl Caps {
    /// What a caller may send.
    pub(crate) const CALLER: Self = Self { bytes: 64 * 1024, tokens: 10_000, nesting: 200 };

    /// What may come of it: names are quoted and qualified, so that text grows by a factor; nothing nests deeper, but a
    /// parenthesis here and there is added.
    pub(crate) const RENDERED: Self = Self { bytes: 1024 * 1024, tokens: 60_000, nesting: 300 };
}

/// Refuses what nests deeper than `caps` allow.
pub(crate) fn check(tokens: &[TokenWithSpan], caps: &Caps) -> Verdict<()> {
    let mut nesting = Nesting::default();
    let mut before = &Token::EOF;
    for TokenWithSpan { token, span } in tokens {
        nesting.step(token, before);
        if nesting.deepest() > caps.nesting {
            return Err(Fault::spanned(Rule::TooDeep, *span));
        }
        before = token;
    }
    Ok(())
}

#[derive(Default)]
struct Nesting {
    cases: usize,
    /// For every open parenthesis or bracket, how many JOINs wait for their ON; `a JOIN b JOIN c …` nests to the right.
    open: Vec<usize>,
    joins: usize,
    natural: bool,
    /// Operators and NOTs in a row: all but one of them are prefixes.
    prefixes: usize,
}

impl Nesting {
    fn step(&mut self, token: &Token, before: &Token) {
        self.prefixes = if is_prefix(token) { self.prefixes + 1 } else { 0 };
        match token {
            Token::LParen | Token::LBracket => self.open.push(std::mem::take(&mut self.joins)),
            Token::RParen | Token::RBracket => self.joins = self.open.pop().unwrap_or_default(),
            Token::Word(word) if !is_label(before) => match word.keyword {
                Keyword::CASE => self.cases += 1,
                Keyword::END => self.cases = self.cases.saturating_sub(1),
                // Neither of these waits for an ON.
                Keyword::JOIN if std::mem::take(&mut self.natural) || is_keyword(before, Keyword::CROSS) => {}
                Keyword::JOIN => self.joins += 1,
                Keyword::ON | Keyword::USING => self.joins = self.joins.saturating_sub(1),
                Keyword::NATURAL => self.natural = true,
                _ => {}
            },
            _ => {}
        }
    }

    fn deepest(&self) -> usize {
        (self.open.len() + self.cases).max(self.joins).max(self.prefixes)
    }
}

/// After AS or a dot even a reserved word is just a name.
fn is_label(before: &Token) -> bool {
    *before == Token::Period || is_keyword(before, Keyword::AS)
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword)
}

/// What can stand before an expression without a parenthesis.
fn is_prefix(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(word.keyword, Keyword::NOT | Keyword::INTERVAL),
        Token::Plus | Token::Minus | Token::Tilde | Token::AtSign | Token::PGSquareRoot | Token::PGCubeRoot => true,
        Token::DoubleExclamationMark | Token::Sharp | Token::AtDashAt | Token::AtAt => true,
        Token::QuestionMarkDash | Token::QuestionPipe => true,
        _ => false,
    }
}

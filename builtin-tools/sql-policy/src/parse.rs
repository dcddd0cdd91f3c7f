//! From tokens to a tree: which word a statement may begin with, and sqlparser, kept within bounds. What the tree may
//! contain is the walk's business.

mod explain;
pub(crate) mod labels;
pub(crate) mod reserved;
mod rewrite;

use sqlparser::{
    ast::Query,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    dialect::Postgres,
    refusal::{Fault, Rule, Verdict, cut},
};

/// How often the parser may enter itself. Every parenthesis costs it up to four entries.
const RECURSION_MAX: usize = 1_200;

/// Operands that may be read for each token; more than three are rare.
const FUEL_PER_TOKEN: usize = 30;
const FUEL_MIN: usize = 2_000;

/// A statement that begins as one, in tokens that sqlparser reads as PostgreSQL would.
pub(crate) struct Prepared {
    /// EXPLAIN with its options, if that is what is asked.
    pub(crate) explain: Option<String>,
    pub(crate) tokens: Vec<TokenWithSpan>,
}

/// Refuses what does not begin as a query, takes EXPLAIN off, and rewrites the words that sqlparser takes differently.
pub(crate) fn prepare(mut tokens: Vec<TokenWithSpan>) -> Verdict<Prepared> {
    let explain = explain::take(&mut tokens)?;
    refuse_precise_intervals(&tokens)?;
    let first = tokens.iter().find(|token| token.token != Token::LParen).ok_or(Rule::Empty)?;
    match &first.token {
        Token::Word(word) if begins_a_query(word.keyword) => Ok(Prepared { explain, tokens: rewrite::words(tokens) }),
        Token::Word(word) => {
            let written = if word.quote_style.is_none() { word.value.to_ascii_uppercase() } else { word.value.clone() };
            Err(Fault::spanned(Rule::NotAQuery(cut(written)), first.span))
        }
        other => Err(Fault::spanned(Rule::NotAQuery(cut(other)), first.span)),
    }
}

/// `INTERVAL (0) '1.5 seconds'`: sqlparser reads the precision and forgets it.
fn refuse_precise_intervals(tokens: &[TokenWithSpan]) -> Verdict<()> {
    let mut literals = tokens.windows(5).filter(|five| match [0, 1, 3, 4].map(|n| &five[n].token) {
        [Token::Word(word), Token::LParen, Token::RParen, Token::SingleQuotedString(_)] => {
            word.keyword == Keyword::INTERVAL
        }
        _ => false,
    });
    match literals.next() {
        Some(five) => Err(Fault::spanned(Rule::Clause("INTERVAL with a precision"), five[0].span)),
        None => Ok(()),
    }
}

fn begins_a_query(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::SELECT | Keyword::VALUES | Keyword::TABLE | Keyword::WITH)
}

/// The tree of the one query that `tokens` are. Only a query is asked for; the parser's statements are many.
pub(crate) fn query(tokens: Vec<TokenWithSpan>) -> Verdict<Box<Query>> {
    let dialect = Postgres::with_fuel(FUEL_MIN + FUEL_PER_TOKEN * tokens.len());
    let mut parser = Parser::new(&dialect).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
    let parsed = parser.parse_query();
    let rest = parser.peek_token();
    match parsed {
        _ if dialect.ran_dry() => Err(Rule::TooDeep.into()),
        Ok(query) if rest.token == Token::EOF => Ok(query),
        Ok(_) => Err(misread(&dialect, format!("{} was not expected", cut(&rest.token)), || {
            Fault::spanned(Rule::Empty, rest.span)
        })),
        Err(ParserError::RecursionLimitExceeded) => Err(Rule::TooDeep.into()),
        Err(ParserError::ParserError(said) | ParserError::TokenizerError(said)) => {
            let (words, byte) = split_place(&said);
            Err(misread(&dialect, words, || byte.map_or(Rule::Empty.into(), |byte| Fault::at(Rule::Empty, byte))))
        }
    }
}

/// A syntax error, or the parameter of another driver that caused it, at the place of `place`.
fn misread(dialect: &Postgres, words: String, place: impl FnOnce() -> Fault) -> Fault {
    let rule = match dialect.foreign_parameter() {
        Some(sign) => Rule::Parameter(sign.to_owned()),
        None if words.contains("UPDATE or SHARE") => Rule::Clause("Locking of rows (FOR NO KEY UPDATE, FOR KEY SHARE)"),
        None if words.contains("No infix parser for token") => {
            Rule::Syntax("an operator stands where it cannot; put its left side in parentheses".to_owned())
        }
        None => Rule::Syntax(words),
    };
    place().with(rule)
}

/// The parser's words end with ` at Line: 1, Column: 23`; the column is the lexer's byte.
fn split_place(said: &str) -> (String, Option<usize>) {
    const WORDS_MAX: usize = 160;
    let (words, place) = said.rsplit_once(" at Line: ").unwrap_or((said, ""));
    let byte = place.rsplit_once("Column: ").and_then(|(_, column)| column.parse::<usize>().ok()?.checked_sub(1));
    let words = words.trim_start_matches("sql parser error: ").trim_end_matches('.');
    (words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect(), byte)
}

//! EXPLAIN, read from the tokens: the parser would take any statement behind it, and enter itself for each EXPLAIN. Only
//! options that run nothing are known.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::refusal::{Fault, Rule, Verdict};

/// Takes EXPLAIN and its options from the beginning of `tokens`, and gives them as they may run.
pub(super) fn take(tokens: &mut Vec<TokenWithSpan>) -> Verdict<Option<String>> {
    if !is_keyword(tokens.first(), Keyword::EXPLAIN) {
        return Ok(None);
    }
    let mut written = "EXPLAIN".to_owned();
    let mut at = 1;
    if has_options(tokens) {
        let close = tokens.iter().position(|token| token.token == Token::RParen).unwrap_or(tokens.len());
        let options: Verdict<Vec<String>> =
            tokens[2..close].split(|token| token.token == Token::Comma).map(option).collect();
        written = format!("EXPLAIN ({})", options?.join(", "));
        at = close + 1;
    } else {
        if is_analyze(tokens.get(at)) {
            return Err(place(tokens.get(at), Rule::Clause("EXPLAIN ANALYZE")));
        }
        if is_keyword(tokens.get(at), Keyword::VERBOSE) {
            written.push_str(" (VERBOSE true)");
            at += 1;
        }
    }
    tokens.drain(..at.min(tokens.len()));
    Ok(Some(written))
}

/// Behind EXPLAIN a parenthesis begins the options or the query.
fn has_options(tokens: &[TokenWithSpan]) -> bool {
    let query = [Keyword::SELECT, Keyword::VALUES, Keyword::WITH, Keyword::TABLE];
    let begins_query = |token: Option<&TokenWithSpan>| match token.map(|token| &token.token) {
        Some(Token::LParen) => true,
        Some(Token::Word(word)) => query.contains(&word.keyword),
        _ => false,
    };
    tokens.get(1).is_some_and(|token| token.token == Token::LParen) && !begins_query(tokens.get(2))
}

/// `VERBOSE`, `COSTS off`, `FORMAT json`
fn option(tokens: &[TokenWithSpan]) -> Verdict<String> {
    let refused = |rule| place(tokens.first(), Rule::Clause(rule));
    let (name, value) = match tokens {
        [name] => (word(name), None),
        [name, value] => (word(name), Some(word(value))),
        _ => (None, None),
    };
    match (name.as_deref(), value.as_ref().map(Option::as_deref)) {
        (Some("analyze" | "analyse"), _) => Err(refused("EXPLAIN ANALYZE")),
        (Some("verbose"), value) => switched("VERBOSE", value).ok_or_else(|| refused("VERBOSE with this value")),
        (Some("costs"), value) => switched("COSTS", value).ok_or_else(|| refused("COSTS with this value")),
        (Some("format"), Some(Some(format @ ("text" | "json" | "yaml")))) => Ok(format!("FORMAT {format}")),
        (Some("format"), _) => Err(refused("EXPLAIN in formats other than TEXT, JSON and YAML")),
        _ => Err(refused("EXPLAIN with options other than VERBOSE, COSTS and FORMAT")),
    }
}

fn switched(name: &str, value: Option<Option<&str>>) -> Option<String> {
    match value {
        None | Some(Some("true" | "on" | "1")) => Some(format!("{name} true")),
        Some(Some("false" | "off" | "0")) => Some(format!("{name} false")),
        Some(_) => None,
    }
}

/// A word, a string or a number, as the option that it names.
fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        Token::SingleQuotedString(text) => Some(text.to_ascii_lowercase()),
        Token::Number(number, _) => Some(number.clone()),
        _ => None,
    }
}

fn is_keyword(token: Option<&TokenWithSpan>, keyword: Keyword) -> bool {
    matches!(token.map(|token| &token.token), Some(Token::Word(word)) if word.keyword == keyword)
}

fn is_analyze(token: Option<&TokenWithSpan>) -> bool {
    token.and_then(word).is_some_and(|word| word == "analyze" || word == "analyse")
}

fn place(token: Option<&TokenWithSpan>, rule: Rule) -> Fault {
    match token {
        Some(token) => Fault::spanned(rule, token.span),
        None => rule.into(),
    }
}

//! Words that sqlparser takes otherwise than PostgreSQL, rewritten before it sees them: `TABLE x` to the query that it
//! stands for, `x ISNULL` to `x IS NULL`, `AS day` to `AS "day"`, and the like.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::labels;

/// `tokens` in words that mean to sqlparser what they mean to PostgreSQL.
pub(super) fn words(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut written = Vec::with_capacity(tokens.len() + 8);
    let mut before = Before::Start;
    let mut rest = tokens.into_iter().peekable();
    while let Some(TokenWithSpan { token, span }) = rest.next() {
        let next = rest.peek().map_or(&Token::EOF, |next| &next.token);
        let here = Before::of(&token);
        for token in rewritten(token, before, next) {
            written.push(TokenWithSpan { token, span });
        }
        before = here;
    }
    written
}

/// What stands before a word, as far as it matters.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing, or something behind which a query may begin.
    Start,
    As,
    Dot,
    /// What a bound of a window may follow.
    Bound,
    Other,
}

impl Before {
    fn of(token: &Token) -> Self {
        match token {
            Token::LParen | Token::RParen => Self::Start,
            Token::Period => Self::Dot,
            Token::Word(word) => match word.keyword {
                Keyword::AS => Self::As,
                Keyword::BETWEEN | Keyword::AND | Keyword::ROWS | Keyword::RANGE | Keyword::GROUPS => Self::Bound,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::ALL | Keyword::DISTINCT => Self::Start,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

fn rewritten(token: Token, before: Before, next: &Token) -> Vec<Token> {
    let Token::Word(word) = &token else {
        // sqlparser would take the distance for an interval, whatever the window is ordered by.
        let distance = before == Before::Bound && matches!(token, Token::SingleQuotedString(_)) && is_direction(next);
        return if distance { vec![Token::LParen, token, Token::RParen] } else { vec![token] };
    };
    if word.quote_style.is_some() {
        return vec![token];
    }
    let keywords = |words: [&str; 2]| words.map(Token::make_keyword).to_vec();
    match before {
        // sqlparser forgets how the name in `TABLE x` was quoted, and takes it in few places only.
        Before::Start if word.keyword == Keyword::TABLE && matches!(next, Token::Word(_)) => {
            vec![Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")]
        }
        Before::As if labels::wants_as(&word.value.to_ascii_lowercase()) => {
            let Word { value, .. } = word;
            vec![Token::make_word(&value.to_ascii_lowercase(), Some('"'))]
        }
        Before::Start if is_trim_side(word.keyword) && is_from(next) => {
            vec![token, Token::SingleQuotedString(" ".to_owned())]
        }
        Before::Start | Before::Other if word.value.eq_ignore_ascii_case("isnull") => keywords(["IS", "NULL"]),
        _ => vec![token],
    }
}

fn is_trim_side(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::BOTH | Keyword::LEADING | Keyword::TRAILING)
}

fn is_direction(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::PRECEDING | Keyword::FOLLOWING))
}

fn is_from(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.keyword == Keyword::FROM)
}

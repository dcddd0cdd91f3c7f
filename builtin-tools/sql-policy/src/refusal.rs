//! Why a statement is refused, in words for the model that wrote it: what was refused, and what to write instead. The rules
//! themselves live where they are applied; the explorer shows the sentence, the hint and the place.

use std::fmt;

use sqlparser::tokenizer::Span;

/// A refusal with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct Refusal {
    /// The rule that the statement breaks.
    pub rule: Rule,
    /// Where in the caller's text, in characters counted from one, as PostgreSQL counts them; where it is known.
    pub position: Option<usize>,
}

/// The rules that a statement can break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// More text than is read.
    #[error("The statement is longer than {0} bytes.")]
    TooLong(usize),
    /// More tokens than are read.
    #[error("The statement has more than {0} words, numbers and signs.")]
    TooManyTokens(usize),
    /// Nested further than is followed.
    #[error("The statement is nested too deeply or too intricately.")]
    TooDeep,
    /// A character that has no place outside of a string.
    #[error("The statement contains {0}, which has no place here.")]
    Character(String),
    /// The parser did not understand.
    #[error("The statement could not be read as PostgreSQL: {0}.")]
    Syntax(String),
    /// Nothing but blanks and comments.
    #[error("The statement is empty.")]
    Empty,
    /// More than one statement.
    #[error("Only one statement is run at a time, and this text has several.")]
    Several,
    /// A statement that is no query.
    #[error("Only queries are run here, and {0} is none.")]
    NotAQuery(String),
    /// A function that is not on the list.
    #[error("The function {0} is not among those that may be called here.")]
    Function(String),
    /// A table that may not be read, or that is not there.
    #[error("The table {0} is not among those that may be read here.")]
    Table(String),
    /// A name that cannot be meant.
    #[error("The name {0} is too long, empty, reserved, or has too many parts.")]
    Name(String),
    /// A type that is not on the list.
    #[error("The type {0} is not among those that may be used here.")]
    Type(String),
    /// An operator that is not on the list.
    #[error("The operator {0} is not among those that may be used here.")]
    Operator(String),
    /// A collation of a schema.
    #[error("The collation {0} is not one of pg_catalog.")]
    Collation(String),
    /// A clause that does not only read, or that PostgreSQL does not have.
    #[error("{0} may not be used here.")]
    Clause(&'static str),
    /// A parameter that is not `$1` to `$250`.
    #[error("{0} is not a parameter that can be bound.")]
    Parameter(String),
    /// A literal in a form that two readers may read differently.
    #[error("{0} are not read here.")]
    Literal(&'static str),
    /// What was written anew did not read back as the same.
    #[error("The statement is written in a way that could be read in two ways.")]
    Unfaithful,
}

impl Rule {
    /// A stable name for logs, audit and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Rule::TooLong(_) | Rule::TooManyTokens(_) => "E_LONG",
            Rule::TooDeep => "E_DEEP",
            Rule::Character(_) => "E_CHARACTER",
            Rule::Syntax(_) | Rule::Empty => "E_SYNTAX",
            Rule::Several => "E_MULTI",
            Rule::NotAQuery(_) => "E_NOT_A_QUERY",
            Rule::Function(_) => "E_FUNCTION",
            Rule::Table(_) => "E_TABLE",
            Rule::Name(_) => "E_NAME",
            Rule::Type(_) => "E_TYPE",
            Rule::Operator(_) => "E_OPERATOR",
            Rule::Collation(_) => "E_COLLATION",
            Rule::Clause(_) => "E_CLAUSE",
            Rule::Parameter(_) => "E_PARAMETER",
            Rule::Literal(_) => "E_LITERAL",
            Rule::Unfaithful => "E_UNFAITHFUL",
        }
    }

    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        match self {
            Rule::TooLong(_) | Rule::TooManyTokens(_) => {
                "Shorten it: bind long values as parameters ($1, $2, …), or split the question into several queries."
            }
            Rule::TooDeep => "Flatten it: use WITH for nested queries and IN (…) for long chains of OR.",
            Rule::Character(_) => "Retype the place with plain blanks and quotes.",
            Rule::Syntax(_) => {
                "Write one plain SELECT in PostgreSQL's syntax; quote names that are keywords with \"…\"."
            }
            Rule::Empty => "Write one SELECT.",
            Rule::Several => "Send each SELECT in a call of its own; one semicolon at the end is fine.",
            Rule::NotAQuery(_) => "Use SELECT, VALUES, TABLE, WITH … SELECT, or EXPLAIN of one of them.",
            Rule::Function(_) => {
                "Use PostgreSQL's usual functions for text, numbers, dates, JSON, arrays and aggregates; settings, files, \
                 sessions, sequences, XML and user-defined functions are out of reach."
            }
            Rule::Table(_) => "Call list_tables to see which tables there are, and write them as schema.table.",
            Rule::Name(_) => {
                "Names have at most 63 bytes, and those of WITH do not begin with pg_; write table.column, with an alias for the table if need be."
            }
            Rule::Type(_) => {
                "Use plain types such as integer, bigint, numeric, text, boolean, date, timestamptz, interval, uuid, jsonb \
                 and arrays of them; for others compare as text."
            }
            Rule::Operator(_) => "Use PostgreSQL's usual operators, with blanks around them.",
            Rule::Collation(_) => "Leave COLLATE out, or write COLLATE \"C\".",
            Rule::Clause(_) => "Leave it out; only plain reading is possible here.",
            Rule::Parameter(_) => "Write parameters as $1, $2, … up to $250 and give their values in the same order.",
            Rule::Literal(_) => "Write the text as '…' with quotes doubled, and binary data as decode('…', 'hex').",
            Rule::Unfaithful => "Simplify the statement, for example by adding parentheses.",
        }
    }
}

impl Refusal {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        self.rule.hint()
    }

    /// A stable name for logs, audit and tests.
    pub fn code(&self) -> &'static str {
        self.rule.code()
    }
}

impl From<Rule> for Refusal {
    fn from(rule: Rule) -> Self {
        Self { rule, position: None }
    }
}

/// A refusal on its way out, with its place in bytes; [`Fault::in_text`] makes characters of them.
#[derive(Debug)]
pub(crate) struct Fault {
    rule: Rule,
    byte: Option<usize>,
}

pub(crate) type Verdict<T> = Result<T, Fault>;

impl Fault {
    pub(crate) fn at(rule: Rule, byte: usize) -> Self {
        Self { rule, byte: Some(byte) }
    }

    /// The lexer gives every token the line 1 and its byte, counted from one, as its column.
    pub(crate) fn spanned(rule: Rule, span: Span) -> Self {
        let byte = (span.start.line == 1).then(|| usize::try_from(span.start.column).ok()?.checked_sub(1)).flatten();
        Self { rule, byte }
    }

    /// Another rule, broken at the same place.
    pub(crate) fn with(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    pub(crate) fn in_text(self, sql: &str) -> Refusal {
        let characters = |byte| sql.get(..byte).map(|before| before.chars().count() + 1);
        Refusal { rule: self.rule, position: self.byte.and_then(characters) }
    }
}

impl From<Rule> for Fault {
    fn from(rule: Rule) -> Self {
        Self { rule, byte: None }
    }
}

/// What somebody wrote, fit for a sentence: short, on one line, nothing that steers a terminal.
pub(crate) fn cut(text: impl fmt::Display) -> String {
    const CHARACTERS_MAX: usize = 64;
    let text = text.to_string();
    let mut characters = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut short: String = characters.by_ref().take(CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

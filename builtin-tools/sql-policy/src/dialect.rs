//! The dialect that sqlparser reads with: PostgreSQL's, less what a reader does not need, and with a store of fuel. Where
//! the parser guesses and goes back, nested input can cost it time beyond all measure; without fuel it can only fail.

use std::{any::TypeId, cell::Cell};

use sqlparser::{
    ast::{DataType, Expr, ObjectName, TypedString, Value, ValueWithSpan},
    dialect::{Dialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use crate::types;

/// PostgreSQL's dialect with a bound on the work.
#[derive(Debug)]
pub(crate) struct Postgres {
    plain: PostgreSqlDialect,
    fuel: Cell<usize>,
    /// The sign of another driver's parameter, where an expression should begin.
    foreign_parameter: Cell<Option<&'static str>>,
}

impl Postgres {
    /// A dialect that parses at most `fuel` operands.
    pub(crate) fn with_fuel(fuel: usize) -> Self {
        Self { plain: PostgreSqlDialect {}, fuel: Cell::new(fuel), foreign_parameter: Cell::new(None) }
    }

    pub(crate) fn ran_dry(&self) -> bool {
        self.fuel.get() == 0
    }

    pub(crate) fn foreign_parameter(&self) -> Option<&'static str> {
        self.foreign_parameter.get()
    }
}

impl Dialect for Postgres {
    fn dialect(&self) -> TypeId {
        self.plain.dialect()
    }

    /// Called for every operand: the place to count, and to see `?`, `:name` and `%s` where a value should be.
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        match self.fuel.get().checked_sub(1) {
            Some(rest) => self.fuel.set(rest),
            None => return Some(Err(ParserError::RecursionLimitExceeded)),
        }
        match &parser.peek_token_ref().token {
            Token::Question => self.foreign_parameter.set(Some("?")),
            Token::Colon => self.foreign_parameter.set(Some(":name")),
            Token::Mod => self.foreign_parameter.set(Some("%s")),
            Token::Word(word) if word.quote_style.is_none() && types::may_begin_literal(&word.value) => {
                return typed_literal(parser);
            }
            _ => {}
        }
        None
    }

    /// COLLATE, which sqlparser takes behind an operand but not behind a cast. The left side can only be had by copying, so
    /// it must be small; a bigger one in parentheses is an operand.
    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, _precedence: u8) -> Option<Result<Expr, ParserError>> {
        let small = match left {
            Expr::Cast { expr, .. } => {
                matches!(expr.as_ref(), Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
            }
            _ => false,
        };
        if !small || !parser.parse_keyword(Keyword::COLLATE) {
            return None;
        }
        let collate = |collation| Expr::Collate { expr: Box::new(left.clone()), collation };
        Some(parser.parse_object_name(false).map(collate))
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        self.plain.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.plain.prec_value(precedence)
    }

    fn is_identifier_start(&self, c: char) -> bool {
        self.plain.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        self.plain.is_identifier_part(c)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.plain.is_reserved_for_identifier(keyword)
    }

    fn is_table_alias(&self, keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        self.plain.is_table_alias(keyword, parser)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_explain_with_utility_options(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    /// Arguments are read once and then looked at; the other way reads each of them twice.
    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        true
    }

    fn supports_empty_projections(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_geometric_types(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        false
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
}

/// `inet '10.0.0.1'`: sqlparser takes this form of a literal only with the types that are keywords to it.
fn typed_literal(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let [name, value] = parser.peek_tokens_ref();
    let (Token::Word(name), Token::SingleQuotedString(text)) = (&name.token, &value.token) else { return None };
    let (data_type, span) =
        (DataType::Custom(ObjectName::from(vec![name.to_ident(value.span)]), Vec::new()), value.span);
    let value = ValueWithSpan { value: Value::SingleQuotedString(text.clone()), span };
    parser.advance_token();
    parser.advance_token();
    Some(Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })))
}

//! Values: numbers, strings, truth values, parameters.

use sqlparser::ast::{Expr, TypedString, Value, ValueWithSpan};

use super::{Walk, absent};
use crate::{
    refusal::{Fault, Rule, Verdict, cut},
    types,
};

impl Walk<'_> {
    pub(super) fn literal(&mut self, literal: &ValueWithSpan) -> Verdict<()> {
        let ValueWithSpan { value, span } = literal;
        match value {
            Value::Number(number, false) => self.text.number(number),
            Value::SingleQuotedString(value) => self.text.string(value),
            Value::SingleQuotedByteStringLiteral(digits) => self.text.word(&format!("B'{digits}'")),
            Value::HexStringLiteral(digits) => self.text.word(&format!("X'{digits}'")),
            Value::Boolean(value) => self.text.word(if *value { "TRUE" } else { "FALSE" }),
            Value::Null => self.text.word("NULL"),
            Value::Placeholder(sign) => {
                let number = sign.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
                let number = number.ok_or_else(|| Fault::spanned(Rule::Parameter(cut(sign)), *span))?;
                self.params = self.params.max(number);
                self.text.word(sign);
            }
            _ => return Err(Fault::spanned(Rule::Literal("Literals of this kind"), *span)),
        }
        Ok(())
    }

    /// `date '2024-02-29'`, written as the cast that it is.
    pub(super) fn typed_string(&mut self, typed: &TypedString) -> Verdict<()> {
        let TypedString { data_type, value, uses_odbc_syntax } = typed;
        absent(!uses_odbc_syntax, "{d '…'}")?;
        let text = string(value)?;
        let data_type = types::written(data_type).map_err(|rule| Fault::spanned(rule, value.span))?;
        self.text.word("CAST(");
        self.text.string(text);
        self.text.word("AS");
        self.text.word(&data_type);
        self.text.glue(")");
        Ok(())
    }
}

/// The text of a string literal.
pub(super) fn string(value: &ValueWithSpan) -> Verdict<&str> {
    match &value.value {
        Value::SingleQuotedString(text) => Ok(text),
        _ => Err(Fault::spanned(Rule::Syntax("a string '…' is expected here".to_owned()), value.span)),
    }
}

/// The text of an expression that is a string literal.
pub(super) fn string_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => string(value).ok(),
        _ => None,
    }
}

//! Words of a condition.

use rust_decimal::Decimal;

use super::{ConditionError, Literal};
use crate::clock::{day_of, is_date_time};
use crate::json::decimal;

/// A word of the language.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A field name or keyword.
    Word(String),
    /// A value that is not a word.
    Value(Literal),
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, `(`, `)`, `,`
    Sign(&'static str),
}

const SIGNS: &[&str] = &["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

/// Cuts a condition into words.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, ConditionError> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '"' | '\'' => quoted(rest, first)?,
            '[' => bracketed(rest)?,
            _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(if *sign == "<>" { "!=" } else { sign }), sign.len()),
                None => bare(rest)?,
            },
        };
        out.push(token);
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(out)
}

fn syntax(message: impl Into<String>) -> ConditionError {
    ConditionError::Syntax(message.into())
}

fn quoted(text: &str, quote: char) -> Result<(Token, usize), ConditionError> {
    let mut value = String::new();
    let mut symbols = text.char_indices().skip(1);
    while let Some((at, symbol)) = symbols.next() {
        if symbol == '\\' {
            match symbols.next() {
                Some((_, escaped @ ('\\' | '"' | '\''))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            }
        } else if symbol == quote {
            return Ok((Token::Value(Literal::Text(value)), at + 1));
        } else {
            value.push(symbol);
        }
    }
    Err(syntax("A string is not closed."))
}

fn bracketed(text: &str) -> Result<(Token, usize), ConditionError> {
    let end = text.find(']').ok_or_else(|| syntax("A date is not closed by ]."))?;
    let inner = text.get(1..end).unwrap_or_default().trim();
    let date = if is_date_time(inner) {
        inner.to_owned()
    } else if inner.len() == 10 && day_of(inner).is_some() {
        format!("{inner}T00:00:00Z")
    } else {
        return Err(syntax(format!("[{inner}] is not a date.")));
    };
    Ok((Token::Value(Literal::Date(date)), end + 1))
}

fn bare(text: &str) -> Result<(Token, usize), ConditionError> {
    let end = text
        .find(|symbol: char| !(symbol.is_alphanumeric() || matches!(symbol, '/' | '_' | '.' | '-' | '+')))
        .unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    if word.is_empty() {
        let symbol = text.chars().next().unwrap_or_default();
        return Err(syntax(format!("Unexpected character {symbol}.")));
    }
    let numeric =
        word.starts_with(|symbol: char| symbol.is_ascii_digit() || matches!(symbol, '-' | '+' | '.'));
    let token = if numeric {
        let number: Option<Decimal> = decimal(word.strip_prefix('+').unwrap_or(word));
        Token::Value(Literal::Number(number.ok_or_else(|| syntax(format!("{word} is not a number.")))?))
    } else {
        match word.to_ascii_lowercase().as_str() {
            "null" => Token::Value(Literal::Null),
            "true" => Token::Value(Literal::Bool(true)),
            "false" => Token::Value(Literal::Bool(false)),
            _ => Token::Word(word.to_owned()),
        }
    };
    Ok((token, end))
}

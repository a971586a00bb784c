//! The condition language of list calls: `conditions`, `childConditions` and `customFieldConditions`.
//!
//! `field op value` joined by `and`, `or`, `not` and parentheses. Comparing with an absent value is neither true nor
//! false, as in SQL, so `not` of it does not match either.

mod eval;
mod lexer;
mod parser;

pub(crate) use eval::{Bound, bind, matches};

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ConditionError {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// No such field, or one that cannot be filtered by.
    #[error("{0} is not a field that can be used in a condition")]
    UnknownField(String),
}

/// A parsed condition; `P` is what stands for a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition<P> {
    /// Every part holds.
    All(Vec<Condition<P>>),
    /// One part holds.
    Any(Vec<Condition<P>>),
    /// The part does not hold.
    Not(Box<Condition<P>>),
    /// A comparison.
    Compare(P, Operator, Literal),
    /// Membership in a list.
    In(P, Vec<Literal>),
}

impl<P> Condition<P> {
    /// Whether membership in a list is asked for anywhere.
    pub(crate) fn asks_for_lists(&self) -> bool {
        match self {
            Condition::All(parts) | Condition::Any(parts) => parts.iter().any(Self::asks_for_lists),
            Condition::Not(part) => part.asks_for_lists(),
            Condition::Compare(..) => false,
            Condition::In(..) => true,
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `contains`
    Contains,
    /// `like`
    Like,
}

/// A value in a condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(rust_decimal::Decimal),
    /// Quoted text.
    Text(String),
    /// A date in brackets, brought to `yyyy-MM-ddTHH:mm:ssZ`.
    Date(String),
}

/// Parses a condition.
pub(crate) fn parse(text: &str) -> Result<Condition<String>, ConditionError> {
    parser::Parser::new(lexer::tokens(text)?).condition()
}

//! Recursive descent over the words, to a bounded depth.

use super::lexer::Token;
use super::{Condition, ConditionError, Literal, Operator};

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 50;

/// Reads words from left to right.
pub(crate) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Condition<String>, ConditionError>;

impl Parser {
    /// A parser over words.
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        Parser { tokens, at: 0, depth: 0 }
    }

    /// The whole condition.
    pub(crate) fn condition(mut self) -> Parsed {
        let parsed = self.any()?;
        match self.peek() {
            None => Ok(parsed),
            Some(token) => Err(unexpected(Some(token))),
        }
    }

    fn any(&mut self) -> Parsed {
        let mut parts = vec![self.all()?];
        while self.keyword("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Parsed {
        let mut parts = vec![self.one()?];
        while self.keyword("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ConditionError::Syntax("The condition is nested too deeply.".into()));
        }
        let parsed = if self.keyword("not") {
            Condition::Not(Box::new(self.one()?))
        } else if self.sign("(") {
            let inner = self.any()?;
            self.expect(")")?;
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn comparison(&mut self) -> Parsed {
        let field = match self.next() {
            Some(Token::Word(word)) => word,
            other => return Err(unexpected(other.as_ref())),
        };
        let negated = self.keyword("not");
        let parsed = if self.keyword("in") {
            Condition::In(field, self.list()?)
        } else if self.keyword("contains") {
            Condition::Compare(field, Operator::Contains, self.value()?)
        } else if self.keyword("like") {
            Condition::Compare(field, Operator::Like, self.value()?)
        } else if negated {
            return Err(unexpected(self.peek()));
        } else {
            let operator = match self.next() {
                Some(Token::Sign("=")) => Operator::Equal,
                Some(Token::Sign("!=")) => Operator::NotEqual,
                Some(Token::Sign("<")) => Operator::Less,
                Some(Token::Sign("<=")) => Operator::LessOrEqual,
                Some(Token::Sign(">")) => Operator::Greater,
                Some(Token::Sign(">=")) => Operator::GreaterOrEqual,
                other => return Err(unexpected(other.as_ref())),
            };
            Condition::Compare(field, operator, self.value()?)
        };
        Ok(if negated { Condition::Not(Box::new(parsed)) } else { parsed })
    }

    fn list(&mut self) -> Result<Vec<Literal>, ConditionError> {
        self.expect("(")?;
        let mut values = vec![self.value()?];
        while self.sign(",") {
            values.push(self.value()?);
        }
        self.expect(")")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<Literal, ConditionError> {
        match self.next() {
            Some(Token::Value(literal)) => Ok(literal),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(known)) if known.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(known)) if *known == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ConditionError> {
        if self.sign(sign) { Ok(()) } else { Err(unexpected(self.peek())) }
    }
}

fn unexpected(token: Option<&Token>) -> ConditionError {
    ConditionError::Syntax(match token {
        Some(Token::Word(word)) => format!("Unexpected word {word}."),
        Some(Token::Value(_)) => "Unexpected value.".to_owned(),
        Some(Token::Sign(sign)) => format!("Unexpected {sign}."),
        None => "The condition ends too early.".to_owned(),
    })
}

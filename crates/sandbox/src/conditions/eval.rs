//! Deciding whether a row meets a condition.

use std::cmp::Ordering;

use super::{Condition, ConditionError, Literal, Operator};
use crate::json::Json;

/// A condition whose fields are resolved.
pub(crate) type Bound<P> = Condition<P>;

/// Replaces field names by what stands for them; fails at the first that means nothing.
pub(crate) fn bind<P>(
    condition: Condition<String>,
    resolve: &dyn Fn(&str) -> Option<P>,
) -> Result<Bound<P>, ConditionError> {
    let field = |name: String| resolve(&name).ok_or(ConditionError::UnknownField(name));
    let every = |parts: Vec<Condition<String>>| -> Result<Vec<Bound<P>>, ConditionError> {
        parts.into_iter().map(|part| bind(part, resolve)).collect()
    };
    Ok(match condition {
        Condition::All(parts) => Condition::All(every(parts)?),
        Condition::Any(parts) => Condition::Any(every(parts)?),
        Condition::Not(part) => Condition::Not(Box::new(bind(*part, resolve)?)),
        Condition::Compare(name, operator, literal) => Condition::Compare(field(name)?, operator, literal),
        Condition::In(name, literals) => Condition::In(field(name)?, literals),
    })
}

/// Whether the condition holds; `read` gives the value of a field.
pub(crate) fn matches<P>(condition: &Bound<P>, read: &dyn Fn(&P) -> Json) -> bool {
    decide(condition, read) == Some(true)
}

/// Three-valued: none when an absent value leaves it open.
fn decide<P>(condition: &Bound<P>, read: &dyn Fn(&P) -> Json) -> Option<bool> {
    match condition {
        Condition::All(parts) => {
            let mut open = false;
            for part in parts {
                match decide(part, read) {
                    Some(false) => return Some(false),
                    Some(true) => {}
                    None => open = true,
                }
            }
            (!open).then_some(true)
        }
        Condition::Any(parts) => {
            let mut open = false;
            for part in parts {
                match decide(part, read) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => open = true,
                }
            }
            (!open).then_some(false)
        }
        Condition::Not(part) => decide(part, read).map(|held| !held),
        Condition::Compare(field, operator, literal) => compare(&read(field), *operator, literal),
        Condition::In(field, literals) => {
            let value = read(field);
            if value == Json::Null {
                return None;
            }
            Some(literals.iter().any(|literal| compare(&value, Operator::Equal, literal) == Some(true)))
        }
    }
}

fn compare(value: &Json, operator: Operator, literal: &Literal) -> Option<bool> {
    let absent = *value == Json::Null;
    if *literal == Literal::Null {
        return match operator {
            Operator::Equal => Some(absent),
            Operator::NotEqual => Some(!absent),
            _ => None,
        };
    }
    if absent {
        return None;
    }
    if matches!(operator, Operator::Contains | Operator::Like) {
        let text = shown(value);
        let pattern = match literal {
            Literal::Text(text) | Literal::Date(text) => text.clone(),
            Literal::Number(number) => number.normalize().to_string(),
            Literal::Bool(flag) => flag.to_string(),
            Literal::Null => return None,
        };
        return Some(if operator == Operator::Contains {
            text.to_lowercase().contains(&pattern.to_lowercase())
        } else {
            like(&text.to_lowercase(), &pattern.to_lowercase())
        });
    }
    let order = order(value, literal);
    Some(match operator {
        Operator::Equal => order == Some(Ordering::Equal),
        Operator::NotEqual => order != Some(Ordering::Equal),
        Operator::Less => order == Some(Ordering::Less),
        Operator::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Operator::Greater => order == Some(Ordering::Greater),
        Operator::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Contains | Operator::Like => false,
    })
}

/// How a value stands to a literal; none when they cannot be compared.
fn order(value: &Json, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Json::Bool(flag), Literal::Bool(wanted)) => Some(flag.cmp(wanted)),
        (Json::Bool(flag), Literal::Text(word)) => Some(flag.cmp(&word.to_lowercase().parse().ok()?)),
        (Json::Bool(flag), Literal::Number(number)) => {
            Some(i64::from(*flag).cmp(&i64::try_from(*number).ok()?))
        }
        (Json::Int(_) | Json::Dec(_), Literal::Number(number)) => Some(value.as_decimal()?.cmp(number)),
        (Json::Int(_) | Json::Dec(_), Literal::Text(text)) => {
            Some(value.as_decimal()?.cmp(&crate::json::decimal(text.trim())?))
        }
        (Json::Str(text), Literal::Text(wanted)) => Some(text.to_lowercase().cmp(&wanted.to_lowercase())),
        (Json::Str(text), Literal::Date(wanted)) => Some(text.as_str().cmp(wanted.as_str())),
        (Json::Str(text), Literal::Number(number)) => Some(crate::json::decimal(text.trim())?.cmp(number)),
        (Json::Str(text), Literal::Bool(flag)) => Some(text.to_lowercase().as_str().cmp(&*flag.to_string())),
        _ => None,
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Str(text) => text.clone(),
        other => other.to_text(),
    }
}

/// SQL LIKE with `*` beside `%`; `[x]` is a class of characters, so a real bracket is written `[[]`.
fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern = compiled(pattern);
    let (mut at, mut step) = (0, 0);
    // Where to go on when a run has to take one character more: position after the run, text taken so far.
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(step) {
            Some(Piece::Run) => {
                step += 1;
                retry = Some((step, at));
                continue;
            }
            Some(piece) if piece.takes(text[at]) => {
                at += 1;
                step += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((after, taken)) => {
                retry = Some((after, taken + 1));
                at = taken + 1;
                step = after;
            }
            None => return false,
        }
    }
    pattern.get(step..).unwrap_or_default().iter().all(|piece| *piece == Piece::Run)
}

#[derive(Debug, PartialEq)]
enum Piece {
    Run,
    One,
    Exact(char),
    Class(Vec<char>, bool),
}

impl Piece {
    fn takes(&self, symbol: char) -> bool {
        match self {
            Piece::Run => false,
            Piece::One => true,
            Piece::Exact(wanted) => *wanted == symbol,
            Piece::Class(symbols, not) => symbols.contains(&symbol) != *not,
        }
    }
}

fn compiled(pattern: &str) -> Vec<Piece> {
    let symbols: Vec<char> = pattern.chars().collect();
    let mut pieces = Vec::with_capacity(symbols.len());
    let mut at = 0;
    while at < symbols.len() {
        let piece = match symbols[at] {
            '*' | '%' => Piece::Run,
            '_' => Piece::One,
            '[' => match symbols.iter().skip(at + 2).position(|symbol| *symbol == ']') {
                Some(length) => {
                    let inner = &symbols[at + 1..at + 2 + length];
                    let not = inner.first() == Some(&'^') && inner.len() > 1;
                    at += length + 2;
                    Piece::Class(inner.iter().skip(usize::from(not)).copied().collect(), not)
                }
                None => Piece::Exact('['),
            },
            other => Piece::Exact(other),
        };
        pieces.push(piece);
        at += 1;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn like_follows_sql_with_stars() {
        assert!(like("microsoft 365", "*365"));
        assert!(like("microsoft 365", "%soft%"));
        assert!(like("microsoft 365", "microsoft 36_"));
        assert!(like("[a] b", "[[]a]*"));
        assert!(!like("microsoft 365", "365"));
        assert!(like("aaab", "*a*ab"));
        assert!(!like("", "_"));
        assert!(like("", "*"));
    }
}

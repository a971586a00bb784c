//! Every word that the table of settings allows is understood: one that is not would be the default without a word.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::settings::{SETTINGS, Settings, ValueKind};

/// Settings that are read as text where they are used, each by a parser of its own.
const READ_ELSEWHERE: [&str; 7] =
    ["schedule.", "notify.", "quantity.", "retention.", "source.", "validation.", "observe."];

fn with(key: &str, value: &str) -> String {
    let values = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    format!("{:?}", Settings::from_values(&values).unwrap())
}

#[test]
fn every_word_of_a_choice_makes_other_settings() {
    for row in SETTINGS {
        let ValueKind::Choice(words) = row.kind else { continue };
        let made: BTreeSet<String> = words.iter().map(|word| with(row.key, word)).collect();
        let elsewhere = READ_ELSEWHERE.iter().any(|start| row.key.starts_with(start));
        assert!(made.len() == words.len() || (elsewhere && made.len() == 1), "{}: {words:?}", row.key);
    }
}

#[test]
fn every_number_counts() {
    for row in SETTINGS {
        let number = matches!(
            row.kind,
            ValueKind::Number
                | ValueKind::OptionalNumber
                | ValueKind::Seconds
                | ValueKind::Runs
                | ValueKind::Days
        );
        let elsewhere = READ_ELSEWHERE.iter().any(|start| row.key.starts_with(start));
        if number && !elsewhere {
            assert_ne!(with(row.key, row.default), with(row.key, "17"), "{}", row.key);
        }
    }
}

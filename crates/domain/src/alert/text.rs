//! What tickets and notes say: templates with variables in braces.

use super::{Alert, Millis};
use jiff::Timestamp;

/// Variables that stay the same while a cause lasts: a ticket's one line is made of these alone.
pub(super) const STABLE: &[&str] =
    &["kind", "subject", "customer", "customer_id", "organization", "source", "severity"];

/// Every variable.
pub const VARIABLES: &[&str] = &[
    "kind",
    "subject",
    "customer",
    "customer_id",
    "organization",
    "source",
    "severity",
    "summary",
    "detail",
    "since",
    "key",
    "fix",
];

/// The first note, where no rule says otherwise.
pub(super) const DEFAULT: &str = "{summary}\n\n{detail}\n\nKind: {kind}\nSubject: {subject}\nCustomer: {customer}\n\
    Severity: {severity}\nSince: {since}\nTold by: {source}\n\nWhat to do: {fix}\n\nKey: {key}";

/// Names that an alert itself does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Of the customer; its id where nothing is known of it.
    pub customer: String,
    /// Of the organization.
    pub organization: String,
    /// What to do about it; empty takes a word that fits any alert.
    pub fix: String,
}

/// Variables as they are written.
pub(super) fn shown(variables: &[&str]) -> String {
    variables.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(" ")
}

/// Whether a template names nothing but these.
pub(super) fn knows(template: &str, variables: &[&str]) -> bool {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { return false };
        if !variables.contains(&name) {
            return false;
        }
        rest = after;
    }
    true
}

/// A template with its variables filled in. What an alert has none of is left out, with the line that would name it.
pub(super) fn fill(template: &str, alert: &Alert, names: &Names, key: &str) -> String {
    let teller = alert.teller();
    let value = |name: &str| -> String {
        match name {
            "kind" => alert.kind.replace('_', " "),
            "subject" => alert.subject.clone().unwrap_or_default(),
            "customer" => names.customer.clone(),
            "customer_id" => teller.map(|voice| voice.customer.to_string()).unwrap_or_default(),
            "organization" => names.organization.clone(),
            "source" => teller.map(|voice| voice.source.to_string()).unwrap_or_default(),
            "severity" => alert.severity.name().to_owned(),
            "summary" => alert.summary.clone(),
            "detail" => alert.detail.clone().unwrap_or_default(),
            "since" => instant(alert.opened_at),
            "key" => key.to_owned(),
            "fix" if names.fix.is_empty() => {
                "Remove the cause; the ticket closes when the alert does.".to_owned()
            }
            "fix" => names.fix.clone(),
            _ => String::new(), // open set: text, checked where it is saved
        }
    };
    let mut lines: Vec<String> = Vec::new();
    for line in template.split('\n') {
        let (filled, named, found) = fill_line(line, &value);
        // A line about nothing is none: `Subject:` without a subject.
        if named && !found && line.split('{').next().is_some_and(|before| !before.contains(['(', '['])) {
            continue;
        }
        if filled.trim().is_empty() && lines.last().is_none_or(|last| last.trim().is_empty()) {
            continue;
        }
        lines.push(filled);
    }
    lines.join("\n").trim().to_owned()
}

fn fill_line(line: &str, value: &dyn Fn(&str) -> String) -> (String, bool, bool) {
    let (mut filled, mut rest, mut named, mut found) = (String::new(), line, false, false);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        let text = value(name);
        named = true;
        found |= !text.is_empty();
        filled.push_str(&text);
        rest = after;
    }
    filled.push_str(rest);
    (filled, named, found)
}

/// The one line: what is missing leaves no brackets or colons behind.
pub(super) fn one_line(template: &str, alert: &Alert, names: &Names) -> String {
    let mut template = template.to_owned();
    for (name, missing) in [
        ("subject", alert.subject.as_deref().is_none_or(str::is_empty)),
        ("customer", names.customer.is_empty()),
    ] {
        if missing {
            for form in [format!(": {{{name}}}"), format!(" ({{{name}}})"), format!(" {{{name}}}")] {
                template = template.replace(&form, "");
            }
        }
    }
    fill(&template, alert, names, "")
}

/// An instant, for people.
pub(super) fn instant(at: Millis) -> String {
    match Timestamp::from_millisecond(at) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => at.to_string(),
    }
}

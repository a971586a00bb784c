//! What mails say, in the languages there are. Findings keep their own words.

use std::fmt::Write;
use trueup_domain::finding::Severity;
use trueup_engine::notify::{Language, Told};

/// Findings that one mail names; of more it says how many.
const MOST: usize = 50;

/// Subject and text of a mail about findings of one organization.
pub fn about(
    language: Language,
    organization: &str,
    findings: &[Told],
    is_digest: bool,
    console: Option<&str>,
) -> (String, String) {
    let count = findings.len();
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    let (subject, opening) = match (language, is_digest) {
        (Language::English, false) => (
            format!("trueup: {count} {} in {organization}", if count == 1 { "error" } else { "errors" }),
            format!("In {organization} something is not billed, or would be billed wrong:"),
        ),
        (Language::English, true) => (
            format!("trueup: {count} new findings in {organization}, {errors} of them errors"),
            format!("What came up in {organization} since the last summary:"),
        ),
        (Language::German, false) => (
            format!("trueup: {count} Fehler bei {organization}"),
            format!("Bei {organization} wird etwas nicht oder falsch abgerechnet:"),
        ),
        (Language::German, true) => (
            format!("trueup: {count} neue Befunde bei {organization}, davon {errors} Fehler"),
            format!("Was bei {organization} seit der letzten Zusammenfassung aufgefallen ist:"),
        ),
    };
    let mut text = format!("{opening}\n");
    for finding in findings.iter().take(MOST) {
        let severity = severity(language, finding.severity);
        let _ = write!(text, "\n{} ({severity}): {}\n  {}\n", finding.code, finding.message, finding.fix);
    }
    if count > MOST {
        let more = count - MOST;
        let _ = match language {
            Language::English => write!(text, "\nAnd {more} more.\n"),
            Language::German => write!(text, "\nUnd {more} weitere.\n"),
        };
    }
    let _ = match (language, console) {
        (Language::English, Some(url)) => write!(text, "\nAll of them: {url}\n"),
        (Language::German, Some(url)) => write!(text, "\nAlle Befunde: {url}\n"),
        (Language::English, None) => write!(text, "\n`trueup finding list` shows all of them.\n"),
        (Language::German, None) => write!(text, "\n`trueup finding list` zeigt alle.\n"),
    };
    // A subject is one line, whatever an organization is called.
    (subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect(), text)
}

fn severity(language: Language, severity: Severity) -> &'static str {
    match (language, severity) {
        (Language::English, _) => severity.name(),
        (Language::German, Severity::Error) => "Fehler",
        (Language::German, Severity::Warning) => "Warnung",
        (Language::German, Severity::Info) => "Hinweis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_names_what_it_is_about_in_its_language() {
        let finding = Told {
            code: "TU2001".into(),
            severity: Severity::Error,
            message: "Customer c is not mapped.".into(),
            fix: "Map it.".into(),
        };
        let (subject, text) =
            about(Language::English, "North\r\nBcc: x", std::slice::from_ref(&finding), false, None);
        assert_eq!(subject, "trueup: 1 error in North  Bcc: x");
        assert!(text.contains("TU2001 (error): Customer c is not mapped.\n  Map it."), "{text}");
        let many = vec![finding; 60];
        let (subject, text) = about(Language::German, "Nord", &many, true, Some("https://t.example.com"));
        assert_eq!(subject, "trueup: 60 neue Befunde bei Nord, davon 60 Fehler");
        assert!(text.contains("Und 10 weitere.") && text.contains("https://t.example.com"), "{text}");
    }
}

//! What a run of alerts tells people, beside the tickets.

use super::run::{LANE, Work};
use crate::failure::Failure;
use std::collections::BTreeMap;
use trueup_domain::alert::{Alert, Hold};
use trueup_domain::finding::{Code, Finding, Severity, Subject};

impl Work<'_> {
    /// What a person should know: once a customer, once a rule, once a right.
    pub(super) async fn tell(&mut self, alerts: &[Alert]) -> Result<(), Failure> {
        let mut told: BTreeMap<(Code, Subject), (String, usize)> = BTreeMap::new();
        for alert in alerts {
            let voice = alert.teller();
            let (code, subject, message) = match &alert.hold {
                Some(Hold::NoCompany) => (
                    Code::Tu9504,
                    Subject {
                        source: voice.map(|voice| voice.source.clone()),
                        customer: voice.map(|voice| voice.customer.clone()),
                        ..Subject::default()
                    },
                    match voice.filter(|voice| self.names.is_stranger(&voice.source, &voice.customer)) {
                        Some(voice) => format!(
                            "wait: customer {} is not in the feed of {} yet, and linked to no company in ConnectWise.",
                            voice.customer, voice.source
                        ),
                        None => "wait: the customer is linked to no company in ConnectWise.".to_owned(),
                    },
                ),
                Some(Hold::NoBoard) => (
                    Code::Tu9501,
                    Subject { detail: Some(format!("rule {}", alert.kind)), ..Subject::default() },
                    format!("of the kind {} wait: no rule says on which service board.", alert.kind),
                ),
                Some(Hold::Refused { code, words }) => {
                    let detail = match code {
                        Code::Tu9501 => format!("rule {}", alert.kind),
                        _ => words.chars().take(200).collect(), // open set: the right that lacks, or ConnectWise's words
                    };
                    (*code, Subject { detail: Some(detail), ..Subject::default() }, format!("wait: {words}"))
                }
                Some(Hold::NoRule | Hold::Quiet { .. } | Hold::Flapping | Hold::Storm | Hold::InDoubt)
                | None => continue,
            };
            let known = told.entry((code, subject)).or_insert((message, 0));
            known.1 += 1;
        }
        for ((code, subject), (message, count)) in told {
            let alerts = if count == 1 { "1 alert".to_owned() } else { format!("{count} alerts") };
            self.report.findings.push(Finding::new(code, subject, format!("{alerts} {message}")));
        }
        let (now, today) = (self.clock.now(), self.clock.today());
        Ok(self.store.record_findings(self.request.org, LANE, now, today, &self.report.findings).await?)
    }
}

/// A person closed the ticket of what goes on.
pub(super) fn lasting(alert: &Alert) -> Finding {
    let voice = alert.teller();
    let ticket = alert.thread.as_ref().map_or(0, |thread| thread.ticket.0);
    let subject = Subject {
        source: voice.map(|voice| voice.source.clone()),
        customer: voice.map(|voice| voice.customer.clone()),
        detail: Some(format!("alert {}", alert.id)),
        ..Subject::default()
    };
    let message = format!("Ticket {ticket} was closed by a person, and its cause lasts: {}", alert.summary);
    let mut finding = Finding::new(Code::Tu9503, subject, message);
    finding.severity = Severity::Info;
    finding
}

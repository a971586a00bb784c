//! A test ticket: made, noted and closed by the rule of a kind, so that what is missing shows before it matters.

use super::book::{Activity, ActivityKind};
use super::rules::Wish;
use crate::failure::Failure;
use crate::mappings::Site;
use crate::ports::{Psa, PsaError, WriteError};
use serde::Serialize;
use trueup_domain::alert::{
    Alert, AlertId, Around, Decision, Names, Origin, Rule, Seen, Side, Step, Told, ToldState, decide, resolve,
};
use trueup_domain::finding::Code;
use trueup_domain::ids::{CompanyId, CustomerId, SourceId};
use trueup_domain::plan::short_hash;
use trueup_domain::ticket::TicketId;

/// For what a test ticket is made.
#[derive(Clone, Debug)]
pub struct TestWish {
    /// By which rule.
    pub rule: Wish,
    /// For which company; none takes that of the rule.
    pub company: Option<CompanyId>,
    /// What makes this test another one than the last.
    pub nonce: String,
    /// The time zone where the rule names none.
    pub zone: String,
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestStep {
    /// `made`, `noted` or `closed`.
    pub step: &'static str,
    /// Whether it went well.
    pub ok: bool,
    /// The exception code, where it did not.
    pub code: Option<String>,
    /// What happened: the missing right is named.
    pub message: String,
}

/// What a test showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// The ticket; none where it could not be made.
    pub ticket: Option<i64>,
    /// Its one line.
    pub summary: String,
    /// The steps that were tried.
    pub steps: Vec<TestStep>,
}

impl TestReport {
    /// Whether everything went well.
    pub fn is_good(&self) -> bool {
        self.steps.len() == 3 && self.steps.iter().all(|step| step.ok)
    }
}

/// Makes a ticket by the rule of a kind, notes on it, and closes it.
///
/// # Errors
/// [`Failure::Wrong`] where the rule names no board or nobody's company; the store's. What ConnectWise refuses is in the
/// report.
pub async fn test(site: Site<'_>, psa: &dyn Psa, wish: &TestWish) -> Result<TestReport, Failure> {
    let levels = site.store.alerts().list_rules(site.org).await?;
    let held = resolve(site.org, &levels, &wish.rule.about());
    let mut rule = Rule::of(&held, &wish.zone)
        .map_err(|error| Failure::wrong(error.to_string(), "Correct the rule."))?;
    // Whether it is switched on yet is what the test comes before.
    (rule.psa, rule.quiet, rule.close_when_cleared, rule.flap_cycles) = (true, None, true, 0);
    rule.company = wish.company.or(rule.company);
    let now = site.clock.now();
    let told = Told {
        origin: Origin::Test,
        source: SourceId::from("test"),
        customer: CustomerId::from(""),
        kind: wish.rule.kind.replace('*', "test"),
        subject: Some("test ticket".to_owned()),
        key: None,
        severity: wish.rule.about().severity,
        state: ToldState::Open,
        at: now,
        summary: "This ticket tests the way from trueup to ConnectWise. It is closed by itself.".to_owned(),
        detail: None,
    };
    let id = AlertId::from(short_hash("al", &[site.org.as_str(), "test", &wish.nonce], 16));
    let mut alert = Alert::first(id, &told).ok_or_else(|| Failure::wrong("nothing to test", "Try again."))?;
    let names =
        Names { customer: String::new(), organization: site.org.to_string(), fix: "Nothing.".to_owned() };
    let around = Around { names, ..Around::default() };
    let Decision { steps, hold, .. } = decide(&alert, &Seen::NotRead, &rule, &around, now);
    let Some(Step::Make { draft, life }) = steps.into_iter().next().map(|planned| planned.step) else {
        let why = hold.map(|hold| hold.words()).unwrap_or_default();
        return Err(Failure::wrong(
            format!("a test ticket cannot be made: {why}"),
            "Name a service board in the rule, and a company in the rule or for the test.",
        ));
    };
    let mut report = TestReport { ticket: None, summary: draft.summary.to_string(), steps: Vec::new() };
    match psa.create_ticket(&draft).await {
        Ok(made) => {
            report.ticket = Some(made.id.0);
            report.steps.push(good("made"));
            alert.made(made.id, &draft, life, now);
            let over = Told { state: ToldState::Closed, ..told };
            alert.take(&over);
            rest(psa, &alert, &rule, &around, made.id, now, &mut report).await?;
        }
        Err(error) => report.steps.push(bad("made", &error)),
    }
    let failed = report.steps.iter().find(|step| !step.ok);
    let entry = Activity {
        at: now,
        kind: ActivityKind::Ticket,
        action: "tested".to_owned(),
        alert: None,
        rule_kind: Some(wish.rule.kind.clone()),
        severity: wish.rule.severity,
        source: None,
        customer: None,
        ticket: report.ticket,
        text: match failed {
            None => "A test ticket was made, noted and closed.".to_owned(),
            Some(step) => format!("A test ticket failed: {}", step.message),
        },
        why: Some(format!("{} asked for it", site.actor)),
    };
    site.store.alerts().log(site.org, &[entry]).await?;
    let detail = serde_json::json!({ "ticket": report.ticket, "steps": report.steps });
    let audit = site.entry("alert.test", format!("alert-rule/{}", wish.rule.kind), &detail);
    site.store.append_audit(site.org, &[audit]).await?;
    Ok(report)
}

async fn rest(
    psa: &dyn Psa,
    alert: &Alert,
    rule: &Rule,
    around: &Around,
    ticket: TicketId,
    now: i64,
    report: &mut TestReport,
) -> Result<(), Failure> {
    for planned in decide(alert, &Seen::NotRead, rule, around, now).steps {
        let (word, done) = match planned.step {
            Step::Make { .. } => continue,
            Step::Note { draft, .. } => ("noted", psa.add_ticket_note(ticket, &draft).await.map(drop)),
            Step::Turn { to, status } => {
                let status = match status {
                    Some(status) => Ok(Some(status)),
                    None => closing(psa, rule, to).await,
                };
                let done = match status {
                    Ok(Some(status)) => psa.set_ticket_status(ticket, status).await.map(drop),
                    Ok(None) => Err(WriteError::Refused(PsaError {
                        code: Code::Tu9501,
                        message: "the service board has no status that closes a ticket".to_owned(),
                        their_words: None,
                    })),
                    Err(error) => Err(WriteError::Refused(error)),
                };
                ("closed", done)
            }
        };
        report.steps.push(match &done {
            Ok(()) => good(word),
            Err(error) => bad(word, error),
        });
    }
    Ok(())
}

async fn closing(
    psa: &dyn Psa,
    rule: &Rule,
    to: Side,
) -> Result<Option<trueup_domain::ticket::StatusId>, PsaError> {
    let Some(board) = rule.board else { return Ok(None) };
    let board = psa.find_board(board).await?;
    Ok(board.as_ref().filter(|_| to == Side::Closed).and_then(|b| b.closing_status()).map(|s| s.id))
}

fn good(step: &'static str) -> TestStep {
    TestStep { step, ok: true, code: None, message: format!("The ticket was {step}.") }
}

fn bad(step: &'static str, error: &WriteError) -> TestStep {
    let (WriteError::Refused(error) | WriteError::InDoubt(error)) = error;
    let theirs = error.their_words.as_deref().filter(|words| !error.message.contains(words));
    let message = match theirs {
        Some(words) => format!("{} ({words})", error.message),
        None => error.message.clone(),
    };
    TestStep { step, ok: false, code: Some(error.code.to_string()), message }
}

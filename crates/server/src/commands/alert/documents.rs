//! Alerts, rules and the log, as they are shown.

use crate::output::documents::FindingDoc;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use trueup_domain::alert::{Alert, Closer, Entry, FieldKind, FieldRow, HeldValue, KINDS, Thread};
use trueup_engine::alerts::{DoneStep, LoggedActivity, RunReport, TestReport, TestStep};
use utoipa::ToSchema;

/// The header of the log.
pub const LOG_HEADER: &[&str] = &["entry", "at", "about", "what", "severity", "customer", "ticket", "text"];

fn instant(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// One that tells of an alert.
#[derive(Serialize, ToSchema)]
pub struct AlertVoiceDoc {
    source: String,
    customer_id: String,
    /// Whether it says that the cause lasts.
    open: bool,
    /// When it said so last.
    at: String,
}

/// The ticket of an alert.
#[derive(Serialize, ToSchema)]
pub struct TicketDoc {
    ticket_id: i64,
    /// Our key, which the ticket carries as its external reference.
    key: String,
    company_id: i64,
    /// The board on which it was made.
    board_id: i64,
    made_at: String,
    /// Whether it is closed.
    closed: bool,
    /// Who closed it: `trueup`, or a person; nothing while it is open.
    closed_by: Option<String>,
    /// Whether somebody deleted it.
    deleted: bool,
    /// The ticket that it lies under.
    parent: Option<i64>,
    /// The ticket that the alert had before.
    former: Option<i64>,
}

impl From<&Thread> for TicketDoc {
    fn from(thread: &Thread) -> Self {
        Self {
            ticket_id: thread.ticket.0,
            key: thread.key.to_string(),
            company_id: thread.company.0,
            board_id: thread.board.0,
            made_at: instant(thread.made_at),
            closed: thread.closed.is_some(),
            closed_by: thread.closed.as_ref().map(|closed| match &closed.by {
                Closer::Us => "trueup".to_owned(),
                Closer::Person(who) => who.clone(),
            }),
            deleted: thread.gone,
            parent: thread.parent.map(|id| id.0),
            former: thread.former.map(|id| id.0),
        }
    }
}

/// Why something waits that is to be written.
#[derive(Serialize, ToSchema)]
pub struct AlertHoldDoc {
    /// `no_rule`, `no_company`, `no_board`, `quiet`, `flapping`, `storm`, `refused` or `in_doubt`.
    #[schema(value_type = String)]
    why: &'static str,
    /// The reason, in words.
    words: String,
}

/// An alert.
#[derive(Serialize, ToSchema)]
pub struct AlertDoc {
    pub alert_id: String,
    /// `open`, `acknowledged` or `cleared`.
    #[schema(value_type = String)]
    pub state: &'static str,
    kind: String,
    subject: Option<String>,
    /// `critical`, `error`, `warning` or `info`.
    #[schema(value_type = String)]
    severity: &'static str,
    source: String,
    customer_id: String,
    summary: String,
    detail: Option<String>,
    /// What makes two tellings the same alert.
    key: String,
    /// Since when it is open, or was last.
    opened_at: String,
    /// Since when it is over.
    cleared_at: Option<String>,
    /// When something was told last.
    last_at: String,
    /// How often it was told again.
    repeats: u32,
    /// How often it was opened.
    cycle: u32,
    /// Who took it as known, by closing its ticket.
    acknowledged_by: Option<String>,
    acknowledged_at: Option<String>,
    told_by: Vec<AlertVoiceDoc>,
    ticket: Option<TicketDoc>,
    hold: Option<AlertHoldDoc>,
}

impl From<&Alert> for AlertDoc {
    fn from(alert: &Alert) -> Self {
        let voice = alert.teller();
        Self {
            alert_id: alert.id.to_string(),
            state: alert.state(),
            kind: alert.kind.clone(),
            subject: alert.subject.clone(),
            severity: alert.severity.name(),
            source: voice.map(|voice| voice.source.to_string()).unwrap_or_default(),
            customer_id: voice.map(|voice| voice.customer.to_string()).unwrap_or_default(),
            summary: alert.summary.clone(),
            detail: alert.detail.clone(),
            key: alert.key.clone(),
            opened_at: instant(alert.opened_at),
            cleared_at: alert.cleared_at.map(instant),
            last_at: instant(alert.last_at),
            repeats: alert.repeats,
            cycle: alert.cycle,
            acknowledged_by: alert.acknowledged.as_ref().map(|known| known.by.clone()),
            acknowledged_at: alert.acknowledged.as_ref().map(|known| instant(known.at)),
            told_by: alert
                .voices
                .iter()
                .map(|voice| AlertVoiceDoc {
                    source: voice.source.to_string(),
                    customer_id: voice.customer.to_string(),
                    open: voice.open,
                    at: instant(voice.at),
                })
                .collect(),
            ticket: alert.thread.as_ref().map(TicketDoc::from),
            hold: alert.hold.as_ref().map(|hold| AlertHoldDoc { why: hold.name(), words: hold.words() }),
        }
    }
}

impl AlertDoc {
    /// The row of a table.
    pub fn cells(&self) -> Vec<String> {
        vec![
            self.alert_id.clone(),
            self.state.to_owned(),
            self.severity.to_owned(),
            self.kind.clone(),
            self.subject.clone().unwrap_or_default(),
            self.customer_id.clone(),
            self.opened_at.clone(),
            self.ticket.as_ref().map(|ticket| ticket.ticket_id.to_string()).unwrap_or_default(),
            self.hold.as_ref().map(|hold| hold.why.replace('_', " ")).unwrap_or_default(),
        ]
    }

    /// The alert, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{} ({}, {})", self.summary, self.state, self.severity),
            format!("Kind {}, customer {}, since {}.", self.kind, self.customer_id, self.opened_at),
        ];
        if let Some(ticket) = &self.ticket {
            let state = match &ticket.closed_by {
                Some(who) => format!("closed by {who}"),
                None => "open".to_owned(),
            };
            lines.push(format!("Ticket {}, {state}.", ticket.ticket_id));
        }
        if let Some(hold) = &self.hold {
            lines.push(format!("Waits: {}.", hold.words));
        }
        lines
    }
}

/// An entry of the log.
#[derive(Serialize, ToSchema)]
pub struct ActivityDoc {
    /// Its number: later ones are greater.
    pub entry: i64,
    at: String,
    /// `alert`, `ticket`, `quantity` or `finding`.
    #[schema(value_type = String)]
    about: &'static str,
    /// What happened, in one word.
    action: String,
    alert_id: Option<String>,
    /// The kind under which a rule can be made for the like of it.
    rule_kind: Option<String>,
    #[schema(value_type = Option<String>)]
    severity: Option<&'static str>,
    source: Option<String>,
    customer_id: Option<String>,
    ticket_id: Option<i64>,
    text: String,
    why: Option<String>,
}

impl From<&LoggedActivity> for ActivityDoc {
    fn from(logged: &LoggedActivity) -> Self {
        let entry = &logged.entry;
        Self {
            entry: logged.seq,
            at: instant(entry.at),
            about: entry.kind.name(),
            action: entry.action.clone(),
            alert_id: entry.alert.as_ref().map(ToString::to_string),
            rule_kind: entry.rule_kind.clone(),
            severity: entry.severity.map(|severity| severity.name()),
            source: entry.source.clone(),
            customer_id: entry.customer.clone(),
            ticket_id: entry.ticket,
            text: entry.text.clone(),
            why: entry.why.clone(),
        }
    }
}

impl ActivityDoc {
    /// The row of a table.
    pub fn cells(&self) -> Vec<String> {
        vec![
            self.entry.to_string(),
            self.at.clone(),
            self.about.to_owned(),
            self.action.clone(),
            self.severity.unwrap_or_default().to_owned(),
            self.customer_id.clone().unwrap_or_default(),
            self.ticket_id.map(|id| id.to_string()).unwrap_or_default(),
            self.text.clone(),
        ]
    }
}

/// What one level says of a kind.
#[derive(Serialize, ToSchema)]
pub struct RuleEntryDoc {
    /// The kind; `*` for every kind.
    kind: String,
    /// The severity; nothing for every one.
    #[schema(value_type = Option<String>)]
    severity: Option<&'static str>,
    /// The organization that set it.
    from: String,
    /// What is set, by key.
    #[schema(value_type = BTreeMap<String, String>)]
    values: BTreeMap<&'static str, String>,
    /// The names of what ids stood for when they were set, by key.
    #[schema(value_type = BTreeMap<String, String>)]
    labels: BTreeMap<&'static str, String>,
}

impl RuleEntryDoc {
    /// Of an entry.
    pub fn new(entry: &Entry, from: &str) -> Self {
        let labels = entry.values.iter().filter_map(|(f, v)| Some((f.key(), v.label.clone()?)));
        Self {
            kind: entry.kind.clone(),
            severity: entry.severity.map(|severity| severity.name()),
            from: from.to_owned(),
            values: entry.values.iter().map(|(field, value)| (field.key(), value.text.clone())).collect(),
            labels: labels.collect(),
        }
    }

    /// The row of a table.
    pub fn cells(&self) -> Vec<String> {
        let says: Vec<String> = self
            .values
            .iter()
            .map(|(key, value)| match self.labels.get(key) {
                Some(label) => format!("{key}={value} ({label})"),
                None => format!("{key}={value}"),
            })
            .collect();
        vec![
            self.kind.clone(),
            self.severity.unwrap_or_default().to_owned(),
            self.from.clone(),
            says.join(", "),
        ]
    }
}

/// A value that a rule can say, as a form shows it.
#[derive(Serialize, ToSchema)]
pub struct RuleFieldDoc {
    /// The key.
    #[schema(value_type = String)]
    key: &'static str,
    /// `switch`, `choice`, `number`, `pick`, `line`, `text`, `hours`, `zone` or `addresses`.
    #[schema(value_type = String)]
    form: &'static str,
    /// What may be chosen.
    #[schema(value_type = Vec<String>)]
    choices: Vec<&'static str>,
    /// What is accepted, in words.
    allowed: String,
    /// One sentence.
    #[schema(value_type = String)]
    meaning: &'static str,
    /// The value where no level sets one.
    #[schema(value_type = String)]
    default: &'static str,
    /// Whether it holds for the organizations below.
    inherited: bool,
}

impl From<&FieldRow> for RuleFieldDoc {
    fn from(row: &FieldRow) -> Self {
        let (form, choices): (&'static str, Vec<&'static str>) = match row.kind {
            FieldKind::Switch => ("switch", vec!["on", "off"]),
            FieldKind::Choice(words) => ("choice", words.to_vec()),
            FieldKind::Number(..) => ("number", Vec::new()),
            FieldKind::Pick => ("pick", Vec::new()),
            FieldKind::Line => ("line", Vec::new()),
            FieldKind::Text => ("text", Vec::new()),
            FieldKind::Hours => ("hours", Vec::new()),
            FieldKind::Zone => ("zone", Vec::new()),
            FieldKind::Addresses => ("addresses", Vec::new()),
        };
        Self {
            key: row.key,
            form,
            choices,
            allowed: row.allowed(),
            meaning: row.meaning,
            default: row.default,
            inherited: row.field.is_inherited(),
        }
    }
}

/// A value that holds for a kind.
#[derive(Serialize, ToSchema)]
pub struct RuleValueDoc {
    /// What it is.
    #[serde(flatten)]
    field: RuleFieldDoc,
    /// The value that holds.
    value: String,
    /// The name of what an id stood for when it was set.
    label: Option<String>,
    /// The organization that set it; nothing where it is the default.
    from: Option<String>,
    /// The kind for which it was set.
    set_for: Option<String>,
    /// Whether this organization set it for just this kind and severity.
    own: bool,
}

impl RuleValueDoc {
    /// Of a value that holds.
    pub fn new(row: &FieldRow, held: &HeldValue, own: &Entry) -> Self {
        Self {
            field: RuleFieldDoc::from(row),
            value: held.text.clone(),
            label: held.label.clone(),
            from: held.from.as_ref().map(ToString::to_string),
            set_for: held.kind.clone(),
            own: own.values.contains_key(&row.field),
        }
    }

    /// The row of a table.
    pub fn cells(&self) -> Vec<String> {
        let value = match &self.label {
            Some(label) => format!("{} ({label})", self.value),
            None => self.value.replace('\n', " "),
        };
        let from = match (&self.from, &self.set_for) {
            (Some(from), Some(kind)) => format!("{from}, {kind}"),
            (Some(from), None) => from.clone(),
            (None, _) => "default".to_owned(),
        };
        vec![self.field.key.to_owned(), value, from, self.field.meaning.to_owned()]
    }
}

/// A kind that is known.
#[derive(Serialize, ToSchema)]
pub struct AlertKindDoc {
    #[schema(value_type = String)]
    kind: &'static str,
    #[schema(value_type = String)]
    meaning: &'static str,
    /// Whether it makes tickets only where a rule names it.
    named_alone: bool,
}

/// The kinds that are known; a source may tell any other.
pub fn kinds() -> Vec<AlertKindDoc> {
    KINDS
        .iter()
        .map(|row| AlertKindDoc { kind: row.name, meaning: row.meaning, named_alone: row.named_alone })
        .collect()
}

/// What a run did.
#[derive(Serialize)]
pub struct AlertRunDoc {
    /// Whether another run is under way: this one did nothing.
    pub busy: bool,
    /// Whether tickets are made at all (`alerts`).
    on: bool,
    /// Whether there is a connection to make them through.
    connected: bool,
    /// How much was told since the last run.
    taken: u64,
    /// Open alerts.
    open: usize,
    /// What was written.
    steps: Vec<DoneStep>,
    /// How many alerts wait, by reason.
    held: BTreeMap<&'static str, usize>,
    /// What a person should know.
    pub findings: Vec<FindingDoc>,
    /// Why ConnectWise could not be asked any further.
    pub stopped: Option<String>,
    /// Calls of ConnectWise.
    calls: u64,
}

impl AlertRunDoc {
    /// Of a report.
    pub fn new(report: &RunReport, on: bool, connected: bool, calls: u64) -> Self {
        Self {
            busy: report.busy,
            on,
            connected,
            taken: report.taken,
            open: report.open,
            steps: report.steps.clone(),
            held: report.held.clone(),
            findings: report.findings.iter().map(FindingDoc::from).collect(),
            stopped: report.stopped.as_ref().map(|error| format!("{}: {}", error.code, error.message)),
            calls,
        }
    }

    /// One line, for people.
    pub fn line(&self) -> String {
        let held: Vec<String> =
            self.held.iter().map(|(why, count)| format!("{count} {}", why.replace('_', " "))).collect();
        let waits = if held.is_empty() { String::new() } else { format!(" Waiting: {}.", held.join(", ")) };
        let why_none = match (self.on, self.connected) {
            (false, _) => " Tickets are switched off (`alerts`).",
            (true, false) => " There is no connection to make tickets through.",
            (true, true) => "",
        };
        format!(
            "{} told, {} open, {} steps, {} calls.{waits}{why_none}",
            self.taken,
            self.open,
            self.steps.len(),
            self.calls
        )
    }

    /// The rows of a table.
    pub fn cells(&self) -> Vec<Vec<String>> {
        self.steps
            .iter()
            .map(|step| {
                let ticket = step.ticket.map(|id| id.to_string()).unwrap_or_default();
                vec![step.alert.to_string(), step.action.clone(), ticket, step.why.clone()]
            })
            .collect()
    }
}

/// One step of a test.
#[derive(Serialize, ToSchema)]
pub struct AlertTestStepDoc {
    /// `made`, `noted` or `closed`.
    #[schema(value_type = String)]
    step: &'static str,
    ok: bool,
    code: Option<String>,
    /// What happened; a missing right is named.
    message: String,
}

impl From<&TestStep> for AlertTestStepDoc {
    fn from(step: &TestStep) -> Self {
        Self { step: step.step, ok: step.ok, code: step.code.clone(), message: step.message.clone() }
    }
}

/// What a test ticket showed.
#[derive(Serialize, ToSchema)]
pub struct AlertTestDoc {
    /// Whether everything went well.
    pub ok: bool,
    ticket_id: Option<i64>,
    /// The one line of the ticket.
    pub summary: String,
    steps: Vec<AlertTestStepDoc>,
}

impl From<&TestReport> for AlertTestDoc {
    fn from(report: &TestReport) -> Self {
        Self {
            ok: report.is_good(),
            ticket_id: report.ticket,
            summary: report.summary.clone(),
            steps: report.steps.iter().map(AlertTestStepDoc::from).collect(),
        }
    }
}

impl AlertTestDoc {
    /// The rows of a table.
    pub fn cells(&self) -> Vec<Vec<String>> {
        self.steps
            .iter()
            .map(|step| {
                vec![
                    step.step.to_owned(),
                    if step.ok { "yes" } else { "no" }.to_owned(),
                    step.code.clone().unwrap_or_default(),
                    step.message.clone(),
                ]
            })
            .collect()
    }
}

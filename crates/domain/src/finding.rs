//! Exception codes and findings. A code is never renumbered and never reused; texts may be improved.

use crate::ids::{AdditionId, AgreementId, CustomerId, ProductId, SourceId, SubscriptionId, TaskId};
use crate::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// It waits for a person, or deserves a look.
    Warning,
    /// Something is not billed, or would be billed wrong.
    Error,
}

impl Severity {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What makes a finding go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It is tried again by itself.
    Auto,
    /// It is checked again once the cause is gone.
    Fix,
    /// A person decides.
    User,
    /// This change is not tried again.
    Never,
}

/// One row of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    /// The code.
    pub code: Code,
    /// Its text form.
    pub name: &'static str,
    /// A short title.
    pub title: &'static str,
    /// The usual severity.
    pub severity: Severity,
    /// What makes it go away.
    pub retry: Retry,
    /// The smallest thing that stops.
    pub blocks: &'static str,
    /// What the user can do.
    pub fix: &'static str,
}

/// The stable exception codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Code {
    /// ConnectWise out of reach.
    Tu1001,
    /// Credentials refused.
    Tu1002,
    /// Client id missing or refused.
    Tu1003,
    /// Permission missing.
    Tu1004,
    /// Wrong base address.
    Tu1005,
    /// ConnectWise throttles.
    Tu1006,
    /// Answer not understood.
    Tu1007,
    /// Customer not mapped.
    Tu2001,
    /// Mapped company gone.
    Tu2002,
    /// Product not mapped.
    Tu2003,
    /// Mapped catalog item cannot be used.
    Tu2004,
    /// Fee not mapped.
    Tu2005,
    /// Source customer or product gone.
    Tu2006,
    /// Mapping conflict.
    Tu2007,
    /// Lookup value missing.
    Tu2008,
    /// No suitable agreement.
    Tu3001,
    /// Several suitable agreements.
    Tu3002,
    /// Chosen agreement cannot be used.
    Tu3003,
    /// Billing cycle differs.
    Tu3004,
    /// Subscription would span two agreements.
    Tu3005,
    /// Double proration.
    Tu3006,
    /// Several open additions for one product.
    Tu3007,
    /// Known addition is gone or was ended.
    Tu3008,
    /// Before the billing start.
    Tu4001,
    /// Period already invoiced.
    Tu4002,
    /// Outside the agreement or term.
    Tu4003,
    /// Billing model not supported.
    Tu4004,
    /// Ends before the last invoiced day.
    Tu4005,
    /// Part period cannot be computed.
    Tu4006,
    /// Quantities differ.
    Tu5001,
    /// Quantity fell sharply.
    Tu5002,
    /// Quantity is zero.
    Tu5003,
    /// Quantity not allowed.
    Tu5004,
    /// Value is old or estimated.
    Tu5005,
    /// Currency differs.
    Tu6001,
    /// Price or cost missing.
    Tu6002,
    /// Price changed beyond the limit.
    Tu6003,
    /// Margin too low.
    Tu6004,
    /// Part period or credit left out.
    Tu6005,
    /// Totals differ.
    Tu6006,
    /// Plan is out of date.
    Tu7001,
    /// Changed by a person.
    Tu7002,
    /// Outcome unknown.
    Tu7003,
    /// ConnectWise refused the change.
    Tu7004,
    /// Read-back differs.
    Tu7005,
    /// Waits for an earlier change.
    Tu7006,
    /// Needs approval.
    Tu7007,
    /// Change goes back and forth.
    Tu7008,
    /// Source out of reach or refused.
    Tu8001,
    /// List incomplete.
    Tu8002,
    /// Source empty or much smaller.
    Tu8003,
    /// Record refused.
    Tu8004,
    /// Gap in the history.
    Tu8005,
    /// Sold and billed disagree.
    Tu8006,
    /// Run missed, skipped or late.
    Tu9001,
    /// Push day adapted.
    Tu9002,
    /// Data directory in use.
    Tu9101,
    /// No room or not writable.
    Tu9102,
    /// Database out of reach.
    Tu9103,
    /// Database newer or migration failed.
    Tu9104,
    /// Key missing or wrong.
    Tu9105,
    /// Ticket target not valid.
    Tu9501,
    /// Ticket could not be made, noted or closed.
    Tu9502,
    /// Ticket closed while the cause lasts.
    Tu9503,
    /// Alert held: not linked.
    Tu9504,
}

/// The catalogue, one row a code, in the order of the codes.
pub const CODES: &[CodeRow] = &[
    row(
        Code::Tu1001,
        "TU1001",
        "ConnectWise out of reach",
        Severity::Error,
        Retry::Auto,
        "connection",
        "Wait; check the address, the firewall and the ConnectWise status page.",
    ),
    row(
        Code::Tu1002,
        "TU1002",
        "Credentials refused",
        Severity::Error,
        Retry::Fix,
        "connection",
        "Check the company id and enter a fresh pair of keys.",
    ),
    row(
        Code::Tu1003,
        "TU1003",
        "Client id missing or refused",
        Severity::Error,
        Retry::Fix,
        "connection",
        "Register a client id at the ConnectWise developer site and enter it for the connection.",
    ),
    row(
        Code::Tu1004,
        "TU1004",
        "Permission missing",
        Severity::Error,
        Retry::Fix,
        "what needs the right",
        "Give the API member the rights named (module > function > level), then test the connection again.",
    ),
    row(
        Code::Tu1005,
        "TU1005",
        "Wrong base address",
        Severity::Error,
        Retry::Fix,
        "connection",
        "Take the proposed address; a self-hosted server must be allowed first.",
    ),
    row(
        Code::Tu1006,
        "TU1006",
        "ConnectWise throttles",
        Severity::Warning,
        Retry::Auto,
        "nothing",
        "Nothing to do; spread the schedules if it happens often.",
    ),
    row(
        Code::Tu1007,
        "TU1007",
        "Answer not understood",
        Severity::Error,
        Retry::Auto,
        "record",
        "Keep the exchange and update trueup, or pin an older API version.",
    ),
    row(
        Code::Tu2001,
        "TU2001",
        "Customer not mapped",
        Severity::Error,
        Retry::Fix,
        "customer",
        "Map the customer to a company (`mapping import`, kind customer), or mark it as not billed.",
    ),
    row(
        Code::Tu2002,
        "TU2002",
        "Mapped company gone",
        Severity::Error,
        Retry::Fix,
        "customer",
        "Restore the company, or map the customer to another one.",
    ),
    row(
        Code::Tu2003,
        "TU2003",
        "Product not mapped",
        Severity::Error,
        Retry::Fix,
        "task",
        "Map the product to a catalog item (`mapping import`, kind product), or mark it as not billed.",
    ),
    row(
        Code::Tu2004,
        "TU2004",
        "Mapped catalog item cannot be used",
        Severity::Error,
        Retry::Fix,
        "task",
        "Activate the catalog item, or map the product to another one.",
    ),
    row(
        Code::Tu2005,
        "TU2005",
        "Fee not mapped",
        Severity::Error,
        Retry::Fix,
        "line",
        "Map the fee to a catalog item (`mapping import`, kind fee).",
    ),
    row(
        Code::Tu2006,
        "TU2006",
        "Source customer or product gone",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Release the mapping, or confirm that the record was renamed.",
    ),
    row(
        Code::Tu2007,
        "TU2007",
        "Mapping conflict",
        Severity::Error,
        Retry::User,
        "mapping",
        "Release the older mapping, or give the product an agreement of its own.",
    ),
    row(
        Code::Tu2008,
        "TU2008",
        "Lookup value missing",
        Severity::Error,
        Retry::Fix,
        "record",
        "Fill in the lookup value that is named.",
    ),
    row(
        Code::Tu3001,
        "TU3001",
        "No suitable agreement",
        Severity::Error,
        Retry::Fix,
        "subscription",
        "Choose, create or change an agreement of the company.",
    ),
    row(
        Code::Tu3002,
        "TU3002",
        "Several suitable agreements",
        Severity::Error,
        Retry::User,
        "subscription",
        "Choose one of them (`mapping import`, kind agreement).",
    ),
    row(
        Code::Tu3003,
        "TU3003",
        "Chosen agreement cannot be used",
        Severity::Error,
        Retry::Fix,
        "subscription",
        "Choose another agreement, or re-open this one.",
    ),
    row(
        Code::Tu3004,
        "TU3004",
        "Billing cycle differs",
        Severity::Error,
        Retry::User,
        "subscription",
        "Choose an agreement with the same billing cycle.",
    ),
    row(
        Code::Tu3005,
        "TU3005",
        "Subscription would span two agreements",
        Severity::Error,
        Retry::User,
        "task",
        "Move the subscription as a whole, or name a separate agreement for proration.",
    ),
    row(
        Code::Tu3006,
        "TU3006",
        "Double proration",
        Severity::Error,
        Retry::User,
        "task",
        "Let ConnectWise prorate (proration_by), name a separate agreement for proration, or switch the agreement's flag off.",
    ),
    row(
        Code::Tu3007,
        "TU3007",
        "Several open additions for one product",
        Severity::Error,
        Retry::User,
        "line",
        "Say which addition it is (`mapping import`, kind addition), or end the others; `--adopt` takes a single match.",
    ),
    row(
        Code::Tu3008,
        "TU3008",
        "Known addition is gone or was ended",
        Severity::Warning,
        Retry::User,
        "line",
        "Confirm that it stays ended, adopt another addition, or let a new one be created.",
    ),
    row(
        Code::Tu4001,
        "TU4001",
        "Before the billing start",
        Severity::Error,
        Retry::User,
        "line",
        "Take the first legal date that is shown, or move the billing start.",
    ),
    row(
        Code::Tu4002,
        "TU4002",
        "Period already invoiced",
        Severity::Error,
        Retry::User,
        "line",
        "Nothing, where the next open period is fine; else undo the invoice or let ConnectWise prorate.",
    ),
    row(
        Code::Tu4003,
        "TU4003",
        "Outside the agreement or term",
        Severity::Error,
        Retry::User,
        "line",
        "Change the dates, or extend the agreement.",
    ),
    row(
        Code::Tu4004,
        "TU4004",
        "Billing model not supported",
        Severity::Error,
        Retry::Never,
        "task",
        "Bill it by hand; the task stays ignored with this reason.",
    ),
    row(
        Code::Tu4005,
        "TU4005",
        "Ends before the last invoiced day",
        Severity::Warning,
        Retry::User,
        "line",
        "Keep the proposed last invoiced day, or switch credits on.",
    ),
    row(
        Code::Tu4006,
        "TU4006",
        "Part period cannot be computed",
        Severity::Error,
        Retry::User,
        "line",
        "Correct the period at the source.",
    ),
    row(
        Code::Tu5001,
        "TU5001",
        "Quantities differ",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Take the source's quantity, keep the one in ConnectWise, or record an exception.",
    ),
    row(
        Code::Tu5002,
        "TU5002",
        "Quantity fell sharply",
        Severity::Error,
        Retry::User,
        "line",
        "Approve the new quantity or refuse it.",
    ),
    row(
        Code::Tu5003,
        "TU5003",
        "Quantity is zero",
        Severity::Warning,
        Retry::User,
        "line",
        "Write 0, end the line, or keep it.",
    ),
    row(
        Code::Tu5004,
        "TU5004",
        "Quantity not allowed",
        Severity::Error,
        Retry::Fix,
        "line",
        "Correct the quantity at the source.",
    ),
    row(
        Code::Tu5005,
        "TU5005",
        "Value is old or estimated",
        Severity::Warning,
        Retry::Auto,
        "line",
        "Wait for the final value, or bill the estimate.",
    ),
    row(
        Code::Tu6001,
        "TU6001",
        "Currency differs",
        Severity::Error,
        Retry::Fix,
        "subscription",
        "Choose an agreement in the right currency, or correct the source.",
    ),
    row(
        Code::Tu6002,
        "TU6002",
        "Price or cost missing",
        Severity::Error,
        Retry::Fix,
        "line",
        "Enter a price, choose the other price source, or confirm 0.",
    ),
    row(
        Code::Tu6003,
        "TU6003",
        "Price changed beyond the limit",
        Severity::Warning,
        Retry::User,
        "line",
        "Approve the new price, or keep the old one.",
    ),
    row(
        Code::Tu6004,
        "TU6004",
        "Margin too low",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Change price or mark-up, or accept it with a reason.",
    ),
    row(
        Code::Tu6005,
        "TU6005",
        "Part period or credit left out",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Take marketplace prices, let ConnectWise prorate, or switch credits on.",
    ),
    row(
        Code::Tu6006,
        "TU6006",
        "Totals differ",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Compare the totals; adjust the rounding or the form of the line.",
    ),
    row(
        Code::Tu7001,
        "TU7001",
        "Plan is out of date",
        Severity::Warning,
        Retry::Auto,
        "agreement",
        "Plan again and look at the difference.",
    ),
    row(
        Code::Tu7002,
        "TU7002",
        "Changed by a person",
        Severity::Warning,
        Retry::User,
        "line",
        "Keep theirs, take ours, or change who owns the field.",
    ),
    row(
        Code::Tu7003,
        "TU7003",
        "Outcome unknown",
        Severity::Error,
        Retry::Auto,
        "agreement",
        "Nothing: ConnectWise is read again before anything is sent; run apply once the settle time is over.",
    ),
    row(
        Code::Tu7004,
        "TU7004",
        "ConnectWise refused the change",
        Severity::Error,
        Retry::User,
        "line",
        "Correct what ConnectWise names, then retry the task.",
    ),
    row(
        Code::Tu7005,
        "TU7005",
        "Read-back differs",
        Severity::Warning,
        Retry::User,
        "nothing",
        "Accept the form in which ConnectWise keeps it, or correct it.",
    ),
    row(
        Code::Tu7006,
        "TU7006",
        "Waits for an earlier change",
        Severity::Warning,
        Retry::Fix,
        "task",
        "Solve or ignore the earlier change first.",
    ),
    row(
        Code::Tu7007,
        "TU7007",
        "Needs approval",
        Severity::Warning,
        Retry::User,
        "run",
        "Look at the plan, then run `apply --all --approve` or apply it by its id.",
    ),
    row(
        Code::Tu7008,
        "TU7008",
        "Change goes back and forth",
        Severity::Warning,
        Retry::User,
        "line",
        "Decide who owns the field.",
    ),
    row(
        Code::Tu8001,
        "TU8001",
        "Source out of reach or refused",
        Severity::Error,
        Retry::Auto,
        "source",
        "Check the credentials of the source, or wait.",
    ),
    row(
        Code::Tu8002,
        "TU8002",
        "List incomplete",
        Severity::Error,
        Retry::Auto,
        "source",
        "Nothing: the list is read again.",
    ),
    row(
        Code::Tu8003,
        "TU8003",
        "Source empty or much smaller",
        Severity::Error,
        Retry::User,
        "source",
        "Confirm that it is true, or repair the source.",
    ),
    row(
        Code::Tu8004,
        "TU8004",
        "Record refused",
        Severity::Error,
        Retry::Fix,
        "record",
        "Correct the record at the source and import it again.",
    ),
    row(
        Code::Tu8005,
        "TU8005",
        "Gap in the history",
        Severity::Error,
        Retry::User,
        "source",
        "Take a full snapshot and reconcile.",
    ),
    row(
        Code::Tu8006,
        "TU8006",
        "Sold and billed disagree",
        Severity::Warning,
        Retry::User,
        "nothing",
        "End, create or map it, or mark it as intended.",
    ),
    row(
        Code::Tu9001,
        "TU9001",
        "Run missed, skipped or late",
        Severity::Warning,
        Retry::Auto,
        "run",
        "Nothing: it is caught up once. Check the host.",
    ),
    row(
        Code::Tu9002,
        "TU9002",
        "Push day adapted",
        Severity::Info,
        Retry::Never,
        "nothing",
        "Nothing; the date that was used is shown.",
    ),
    row(
        Code::Tu9101,
        "TU9101",
        "Data directory in use",
        Severity::Error,
        Retry::User,
        "run",
        "Stop the other process, or use PostgreSQL for several.",
    ),
    row(
        Code::Tu9102,
        "TU9102",
        "No room or not writable",
        Severity::Error,
        Retry::Auto,
        "run",
        "Free some room or make the directory writable, then run it again.",
    ),
    row(
        Code::Tu9103,
        "TU9103",
        "Database out of reach",
        Severity::Error,
        Retry::Auto,
        "run",
        "Start the database; work resumes by itself.",
    ),
    row(
        Code::Tu9104,
        "TU9104",
        "Database newer or migration failed",
        Severity::Error,
        Retry::User,
        "run",
        "Use the version that wrote the database, or restore the backup made before the migration.",
    ),
    row(
        Code::Tu9105,
        "TU9105",
        "Key missing or wrong",
        Severity::Error,
        Retry::User,
        "connection",
        "Put the key file back; sealed secrets cannot be read without it.",
    ),
    row(
        Code::Tu9501,
        "TU9501",
        "Ticket target not valid",
        Severity::Error,
        Retry::Fix,
        "ticket",
        "Choose a board, type, status and priority that belong together.",
    ),
    row(
        Code::Tu9502,
        "TU9502",
        "Ticket could not be made, noted or closed",
        Severity::Error,
        Retry::Fix,
        "ticket",
        "Give the right that is named; the ticket is sent afterwards.",
    ),
    row(
        Code::Tu9503,
        "TU9503",
        "Ticket closed while the cause lasts",
        Severity::Info,
        Retry::User,
        "nothing",
        "Accept it, or reopen the ticket.",
    ),
    row(
        Code::Tu9504,
        "TU9504",
        "Alert held: not linked",
        Severity::Warning,
        Retry::Fix,
        "ticket",
        "Link the organization to a company; open alerts are then sent.",
    ),
];

const fn row(
    code: Code,
    name: &'static str,
    title: &'static str,
    severity: Severity,
    retry: Retry,
    blocks: &'static str,
    fix: &'static str,
) -> CodeRow {
    CodeRow { code, name, title, severity, retry, blocks, fix }
}

impl Code {
    /// The row of the catalogue.
    pub fn row(self) -> &'static CodeRow {
        // The catalogue has one row a code, in the order of the enum: a test compares them.
        &CODES[self as usize]
    }

    /// The code of a text form.
    pub fn from_name(name: &str) -> Option<Self> {
        CODES.iter().find(|row| row.name == name).map(|row| row.code)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

/// What a finding is about. The code and the subject together are its identity.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The task.
    pub task: Option<TaskId>,
    /// The source.
    pub source: Option<SourceId>,
    /// The customer at the source.
    pub customer: Option<CustomerId>,
    /// The subscription.
    pub subscription: Option<SubscriptionId>,
    /// The product.
    pub product: Option<ProductId>,
    /// The agreement.
    pub agreement: Option<AgreementId>,
    /// The addition.
    pub addition: Option<AdditionId>,
    /// Anything else: a line id, a file and line, a fee, a right.
    pub detail: Option<String>,
}

/// Something a person should know, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The code.
    pub code: Code,
    /// How grave this one is.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What happened and why, in plain words.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Money at risk, where known.
    pub amount: Option<(Money, Currency)>,
    /// The other side's own words, unchanged, secrets masked.
    pub their_words: Option<String>,
}

impl Finding {
    /// A finding with the code's usual severity and fix.
    pub fn new(code: Code, subject: Subject, message: impl Into<String>) -> Self {
        let row = code.row();
        Self {
            code,
            severity: row.severity,
            subject,
            message: message.into(),
            fix: row.fix.to_owned(),
            amount: None,
            their_words: None,
        }
    }

    /// With another severity than the code's usual one.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// With the money at risk.
    #[must_use]
    pub fn amount(mut self, amount: Money, currency: Currency) -> Self {
        self.amount = Some((amount, currency));
        self
    }

    /// With another fix than the code's usual one.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    /// With the other side's words.
    #[must_use]
    pub fn their_words(mut self, words: impl Into<String>) -> Self {
        self.their_words = Some(words.into());
        self
    }
}

//! Exception codes and findings. A code is never renumbered and never reused; texts may be improved.

use crate::ids::{AdditionId, AgreementId, CustomerId, ProductId, SourceId, SubscriptionId, TaskId};
use crate::money::{Currency, Money};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

mod codes;

pub use codes::{CODES, Code, CodeRow};

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
    /// The tasks that it holds, where it is about something that several of them need: [`Finding::shared`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tasks: BTreeSet<TaskId>,
}

impl Subject {
    /// What a code is about, of all that was known where it was met: a customer without a company is one finding,
    /// however many orders wait for it.
    fn narrowed(&self, code: Code) -> Self {
        let source = Self { source: self.source.clone(), ..Self::default() };
        let customer = Self { customer: self.customer.clone(), ..source.clone() };
        match code {
            Code::Tu2001 | Code::Tu2002 => customer,
            Code::Tu2003 | Code::Tu2004 => Self { product: self.product.clone(), ..customer },
            Code::Tu2005 => Self { detail: self.detail.clone(), ..source },
            Code::Tu3001 | Code::Tu3002 | Code::Tu3003 | Code::Tu3004 | Code::Tu6001 => {
                Self { subscription: self.subscription.clone(), agreement: self.agreement, ..customer }
            }
            _ => self.clone(), // open set: the others are about the task, or name none
        }
    }
}

impl Finding {
    /// The subject by which it is known again.
    pub fn identity(&self) -> Subject {
        if self.subject.task.is_none() { self.subject.clone() } else { self.subject.narrowed(self.code) }
    }

    /// The finding as all the tasks that it holds share it; none where it is about one task alone.
    pub fn shared(&self) -> Option<Self> {
        let subject = self.identity();
        let task = self.subject.task.clone().filter(|_| subject.task.is_none())?;
        Some(Self { subject, tasks: BTreeSet::from([task]), ..self.clone() })
    }

    /// The same finding as it was met in other tasks.
    pub fn join(&mut self, other: Self) {
        self.severity = self.severity.max(other.severity);
        self.tasks.extend(other.tasks);
    }

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
            tasks: BTreeSet::new(),
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

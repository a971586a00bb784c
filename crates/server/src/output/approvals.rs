//! Approvals, as they are printed and answered.

use super::contract::plan_state;
use super::documents::instant;
use serde::Serialize;
use std::collections::BTreeSet;
use trueup_domain::approval::{Answer, Limit, Policy, Reason, answer, counted};
use trueup_engine::records::{ApprovalRow, ApprovalState, Millis, PlanState};
use utoipa::ToSchema;

/// Why people are asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct AskedForDoc {
    /// The limit: `amount`, `percent`, `new`, `decrease`, `cancel`, `two_above` or `brake`.
    #[schema(value_type = String)]
    limit: &'static str,
    /// In words.
    message: String,
}

impl From<&Reason> for AskedForDoc {
    fn from(reason: &Reason) -> Self {
        let limit = match reason.limit {
            Limit::Amount => "amount",
            Limit::Percent => "percent",
            Limit::New => "new",
            Limit::Decrease => "decrease",
            Limit::Cancel => "cancel",
            Limit::TwoAbove => "two_above",
            Limit::Brake => "brake",
        };
        Self { limit, message: reason.message.clone() }
    }
}

/// What somebody said.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswerDoc {
    /// Who.
    by: String,
    /// `approve` or `refuse`.
    #[schema(value_type = String)]
    decision: &'static str,
    /// Why.
    reason: Option<String>,
    /// When.
    at: String,
    /// Whether it counts: an approval before a refusal does not, nor one that is too old.
    counts: bool,
}

/// A question to people about exactly what a plan would write.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalDoc {
    /// Id, made of what would be written.
    pub approval_id: String,
    /// `waiting`, `approved`, `refused`, `applied`, `stale` or `withdrawn`.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// The plan to look at.
    plan_id: String,
    /// Where that plan stands; none where it is kept no more.
    #[schema(value_type = Option<String>)]
    plan_state: Option<&'static str>,
    /// The connection.
    connection: String,
    /// How many people are asked.
    persons: u8,
    /// How many of them have not approved yet.
    missing: u8,
    /// Why.
    reasons: Vec<AskedForDoc>,
    /// Who made the plan.
    made_by: String,
    /// When it was first asked.
    asked_at: String,
    /// When it was closed.
    closed_at: Option<String>,
    /// What people said, oldest first.
    answers: Vec<AnswerDoc>,
    /// The run that carries it out: in the answer to the approval that was the last one missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// The word for where a question stands.
pub fn state_of(row: &ApprovalRow, policy: &Policy, now: Millis) -> &'static str {
    match row.state {
        ApprovalState::Open => match answer(&row.words, row.persons, policy, &row.maker, now) {
            Answer::Given => "approved",
            Answer::Missing(_) => "waiting",
            Answer::Refused(_) => "refused",
        },
        ApprovalState::Applied => "applied",
        ApprovalState::Stale => "stale",
        ApprovalState::Withdrawn => "withdrawn",
    }
}

impl ApprovalDoc {
    /// A question as it stands now.
    pub fn new(row: &ApprovalRow, plan: Option<PlanState>, policy: &Policy, now: Millis) -> Self {
        let counting = counted(&row.words, policy, &row.maker, now);
        let counting: BTreeSet<(&str, i64)> =
            counting.iter().map(|word| (word.person.as_str(), word.at)).collect();
        let given = u8::try_from(counting.len()).unwrap_or(u8::MAX);
        let answers = row.words.iter().map(|word| AnswerDoc {
            by: word.actor.clone(),
            decision: if word.approves { "approve" } else { "refuse" },
            reason: word.reason.clone(),
            at: instant(word.at),
            counts: !word.approves || counting.contains(&(word.person.as_str(), word.at)),
        });
        Self {
            approval_id: row.id.clone(),
            state: state_of(row, policy, now),
            plan_id: row.plan.to_string(),
            plan_state: plan.map(plan_state),
            connection: row.connection.clone(),
            persons: row.persons,
            missing: row.persons.saturating_sub(given),
            reasons: row.reasons.iter().map(AskedForDoc::from).collect(),
            made_by: row.maker.clone(),
            asked_at: instant(row.asked_at),
            closed_at: row.closed_at.map(instant),
            answers: answers.collect(),
            run_id: None,
        }
    }

    /// Its row in a table.
    pub fn cells(&self) -> Vec<String> {
        let why = self.reasons.first().map(|reason| reason.message.clone()).unwrap_or_default();
        let more = self.reasons.len().saturating_sub(1);
        vec![
            self.approval_id.clone(),
            self.state.to_owned(),
            format!("{} of {}", self.persons.saturating_sub(self.missing), self.persons),
            self.plan_id.clone(),
            if more > 0 { format!("{why} (+{more})") } else { why },
        ]
    }
}

/// Header of such rows.
pub const APPROVAL_HEADER: &[&str] = &["approval", "state", "approved", "plan", "why"];

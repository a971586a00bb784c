//! What a run keeps of its lines.

use super::gather::Compared;
use super::run::{RunReport, Site};
use crate::apply::{ChangeReport, ChangeState};
use crate::applying::RunError;
use crate::findings;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{AgreementId, CatalogItemId, TaskId};
use trueup_domain::quantity::{Line, Planned, Verdict, quantity_task};

impl Site<'_> {
    /// Keeps what every line came to, and what was found.
    pub(super) async fn keep(
        &self,
        compared: &mut Compared,
        done: &BTreeMap<(AgreementId, CatalogItemId), ChangeReport>,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        let mut lines = Vec::with_capacity(compared.plan.lines.len());
        for planned in &compared.plan.lines {
            let mut line = planned.line.clone();
            if let Some(told) = done.get(&line.key()) {
                settle(&mut line, planned, told);
            }
            lines.push(line);
        }
        let changed: Vec<Line> = lines
            .iter()
            .filter(|line| self.gathered.before.get(&line.key()) != Some(line))
            .cloned()
            .collect();
        self.store.save_quantity_lines(self.request.org, &changed).await?;
        report.lines = lines;
        report.findings.extend(compared.plan.findings.iter().cloned());
        findings::once_each(&mut report.findings);
        let looked_at: BTreeSet<TaskId> = match &self.gathered.only {
            Some(only) => only.iter().map(|(source, customer)| quantity_task(source, customer)).collect(),
            None => self
                .gathered
                .readings
                .iter()
                .map(|((source, customer, _), _)| quantity_task(source, customer))
                .chain(self.gathered.before.values().map(|line| quantity_task(&line.source, &line.customer)))
                .collect(),
        };
        // What concerns a source as a whole is told by whole runs alone.
        let general = if self.gathered.only.is_some() { "quantity/some" } else { "quantity" };
        let of_some = |finding: &&Finding| self.gathered.only.is_none() || finding.subject.task.is_some();
        let found: Vec<Finding> = report.findings.iter().filter(of_some).cloned().collect();
        let scope = findings::Scope { looked_at: &looked_at, judged: None, general };
        findings::record(self.store, self.clock, self.request.org, scope, &found).await?;
        Ok(())
    }
}

/// What became of a line that was written.
fn settle(line: &mut Line, planned: &Planned, told: &ChangeReport) {
    line.addition = told.addition.or(line.addition);
    match told.state {
        ChangeState::Applied => {
            line.verdict = match planned.change.as_ref().map(|change| change.action.op()) {
                Some("create") => Verdict::Create,
                Some("cancel") => Verdict::End,
                Some(_) | None => Verdict::Update,
            };
            line.code = None;
            if !planned.told.is_empty() {
                line.told.clone_from(&planned.told);
            }
            if let Some(change) = &planned.change {
                line.why.clone_from(&change.reason);
            }
        }
        ChangeState::Failed | ChangeState::Skipped | ChangeState::InDoubt => {
            line.verdict = Verdict::Refused;
            line.code = told.error.as_ref().and_then(|error| Code::from_name(&error.code));
            if let Some(error) = &told.error {
                line.why.clone_from(&error.message);
            }
        }
    }
}

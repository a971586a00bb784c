//! The order in which a plan's changes may be carried out, worked out once from the plan.

use std::collections::{BTreeMap, HashMap};
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, ChangeId, SourceId, SubscriptionId};
use trueup_domain::plan::{Action, DraftPlan, Target};

/// What a step does to ConnectWise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Makes an addition.
    Create,
    /// Sets fields of one; a cancellation is such an edit.
    Edit,
    /// Removes one.
    Delete,
}

/// What a step works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepTarget {
    /// The addition that it creates itself.
    New,
    /// An addition that was there when the plan was made.
    Existing(AdditionId),
    /// What another step creates.
    MadeBy(usize),
    /// The plan names a change that it does not hold; such a step is never sent.
    Unknown,
}

/// One change that writes.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its place among the plan's changes.
    pub change: usize,
    /// Its lane.
    pub lane: usize,
    /// What it does.
    pub kind: StepKind,
    /// On what.
    pub target: StepTarget,
    /// Steps that must be done before: those it names, the one whose addition it works on, and the one before it of
    /// the same subscription.
    pub needs: Vec<usize>,
    /// Steps that need this one.
    pub needed_by: Vec<usize>,
}

/// The steps of one agreement, in order.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The agreement.
    pub agreement: AgreementId,
    /// Its steps.
    pub steps: Vec<usize>,
    /// Catalog items that the plan bills there: a foreign addition with one of them makes the plan stale.
    pub items: Vec<CatalogItemId>,
}

/// Steps and lanes of a plan.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Changes that write, in plan order.
    pub steps: Vec<Step>,
    /// Agreements written to, in the order in which the plan first names them.
    pub lanes: Vec<Lane>,
}

impl Layout {
    /// Works the order out.
    pub fn of(plan: &DraftPlan) -> Self {
        let mut layout = Self::default();
        let mut step_of: HashMap<&ChangeId, usize> = HashMap::new();
        let mut kept: HashMap<&ChangeId, &Target> = HashMap::new();
        let mut lane_of: BTreeMap<AgreementId, usize> = BTreeMap::new();
        for (index, change) in plan.changes.iter().enumerate() {
            let kind = match &change.action {
                Action::Create { .. } => StepKind::Create,
                Action::Update { .. } | Action::Cancel { .. } => StepKind::Edit,
                Action::Delete { .. } => StepKind::Delete,
                Action::Keep { target, .. } => {
                    kept.insert(&change.id, target);
                    continue;
                }
            };
            let lane = *lane_of.entry(change.agreement).or_insert_with(|| {
                layout.lanes.push(Lane { agreement: change.agreement, steps: Vec::new(), items: Vec::new() });
                layout.lanes.len() - 1
            });
            let number = layout.steps.len();
            step_of.insert(&change.id, number);
            if let Some(at) = layout.lanes.get_mut(lane) {
                at.steps.push(number);
                let billed = change.action.after().or(change.action.before()).map(|s| s.catalog_item);
                for item in [Some(change.catalog_item), billed].into_iter().flatten() {
                    if !at.items.contains(&item) {
                        at.items.push(item);
                    }
                }
            }
            layout.steps.push(Step {
                change: index,
                lane,
                kind,
                target: StepTarget::New,
                needs: Vec::new(),
                needed_by: Vec::new(),
            });
        }
        layout.link(plan, &step_of, &kept);
        layout
    }

    fn link(
        &mut self,
        plan: &DraftPlan,
        step_of: &HashMap<&ChangeId, usize>,
        kept: &HashMap<&ChangeId, &Target>,
    ) {
        let mut last: HashMap<(&SourceId, &SubscriptionId), usize> = HashMap::new();
        let mut links: Vec<(usize, usize)> = Vec::new();
        for (number, step) in self.steps.iter_mut().enumerate() {
            let Some(change) = plan.changes.get(step.change) else { continue };
            let mut needs: Vec<usize> = Vec::new();
            step.target = match change.action.target() {
                None => StepTarget::New,
                Some(Target::Existing(id)) => StepTarget::Existing(*id),
                Some(Target::CreatedBy(maker)) => match (step_of.get(maker), kept.get(maker)) {
                    (Some(maker), _) => {
                        needs.push(*maker);
                        StepTarget::MadeBy(*maker)
                    }
                    (None, Some(Target::Existing(id))) => StepTarget::Existing(*id),
                    (None, _) => StepTarget::Unknown,
                },
            };
            for name in &change.depends_on {
                match step_of.get(name) {
                    Some(earlier) => needs.push(*earlier),
                    None if kept.contains_key(name) => {}
                    None => step.target = StepTarget::Unknown,
                }
            }
            if let Some(earlier) = last.insert((&change.source, &change.subscription), number) {
                needs.push(earlier);
            }
            needs.sort_unstable();
            needs.dedup();
            links.extend(needs.iter().map(|earlier| (*earlier, number)));
            step.needs = needs;
        }
        for (earlier, later) in links {
            if let Some(step) = self.steps.get_mut(earlier) {
                step.needed_by.push(later);
            }
        }
    }
}

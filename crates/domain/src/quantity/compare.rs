//! The comparison of what should be billed with what the agreements hold, and the plan that follows from it.

use super::Policy;
use super::config::Config;
use super::decide::Decider;
use super::left::{hold_a_mass_drop, left_over, never_told};
use super::line::{Line, LineKey, Told, Verdict, counted_customer};
use super::reading::Readings;
use super::wants::{self, Wants};
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AdditionId, AgreementId, CompanyId, CustomerId, ProductId, SourceId};
use crate::money::Quantity;
use crate::plan::{AdditionLink, Adoption, Change, DraftPlan, Role, Target};
use crate::planner::{World, add_up, change_id, sights_of};
use crate::psa::{AdditionState, Agreement};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the comparison may look at.
pub struct Scene<'a> {
    /// Mappings, snapshot, links, customers and products, as for any plan. The snapshot holds the additions of
    /// [`agreements_of_interest`], whole.
    pub world: &'a World<'a>,
    /// The settings `quantity.*`.
    pub policy: &'a Policy,
    /// What people set.
    pub config: &'a Config,
    /// What was counted.
    pub readings: &'a Readings,
    /// The lines as the run before left them.
    pub before: &'a BTreeMap<LineKey, Line>,
    /// These customers alone; all where none is named.
    pub only: Option<&'a BTreeSet<(SourceId, CustomerId)>>,
    /// Whether agreements are left out whose next invoice is further away than `quantity.before_invoice_days`.
    pub due_only: bool,
    pub(super) links_by_line: BTreeMap<LineKey, Vec<&'a AdditionLink>>,
    pub(super) links_by_addition: BTreeMap<AdditionId, &'a AdditionLink>,
    pub(super) agreements_by_company: BTreeMap<CompanyId, Vec<&'a Agreement>>,
}

/// What a comparison is made of, beside the world.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The settings `quantity.*`.
    pub policy: &'a Policy,
    /// What people set.
    pub config: &'a Config,
    /// What was counted.
    pub readings: &'a Readings,
    /// The lines as the run before left them.
    pub before: &'a BTreeMap<LineKey, Line>,
    /// These customers alone; all where none is named.
    pub only: Option<&'a BTreeSet<(SourceId, CustomerId)>>,
    /// Whether agreements are left out whose next invoice is further away than `quantity.before_invoice_days`.
    pub due_only: bool,
}

impl<'a> Scene<'a> {
    /// Puts a scene together.
    pub fn new(world: &'a World<'a>, inputs: Inputs<'a>) -> Self {
        let mut links_by_line: BTreeMap<LineKey, Vec<&AdditionLink>> = BTreeMap::new();
        let mut links_by_addition = BTreeMap::new();
        for link in world.links {
            if link.role == Role::Quantity {
                links_by_line.entry((link.agreement, link.written.catalog_item)).or_default().push(link);
            }
            if !link.deleted {
                links_by_addition.insert(link.addition, link);
            }
        }
        let mut agreements_by_company: BTreeMap<CompanyId, Vec<&Agreement>> = BTreeMap::new();
        for agreement in world.snapshot.agreements.values() {
            agreements_by_company.entry(agreement.company).or_default().push(agreement);
        }
        let Inputs { policy, config, readings, before, only, due_only } = inputs;
        Self {
            world,
            policy,
            config,
            readings,
            before,
            only,
            due_only,
            links_by_line,
            links_by_addition,
            agreements_by_company,
        }
    }

    pub(super) fn looks_at(&self, source: &SourceId, customer: &CustomerId) -> bool {
        self.only.is_none_or(|some| some.contains(&(source.clone(), customer.clone())))
    }

    pub(super) fn customer_name(&self, source: &SourceId, customer: &CustomerId) -> String {
        let known = self.world.customers.get(&(source.clone(), customer.clone()));
        known.map_or_else(|| customer.to_string(), |found| format!("{} ({customer})", found.name))
    }

    pub(super) fn service_name(&self, source: &SourceId, service: &ProductId) -> String {
        let known = self.world.products.get(&(source.clone(), service.clone()));
        known.map_or_else(|| service.to_string(), |found| format!("{} ({service})", found.name))
    }
}

/// One line of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The line, with what becomes of it.
    pub line: Line,
    /// What is written; its id is given by the plan it goes into.
    pub change: Option<Change>,
    /// The addition that is taken over.
    pub adoption: Option<Adoption>,
    /// The name of its item as it was when its services were assigned to it.
    pub name: String,
    /// Why it waits for a person: what it holds goes into no unattended run.
    pub holds: Vec<Finding>,
    /// The levels that count as told once it is written, where they do not before that.
    pub told: Vec<Told>,
}

impl Planned {
    /// Whether anything is done for it.
    pub fn acts(&self) -> bool {
        self.change.is_some() || self.adoption.is_some()
    }
}

/// What a comparison gives.
#[derive(Clone, Debug, Default)]
pub struct QuantityPlan {
    /// The lines, by agreement and item.
    pub lines: Vec<Planned>,
    /// What a person should know, beside what lines wait for.
    pub findings: Vec<Finding>,
    /// Agreements that have to be read before it can be told whether lines are missing.
    pub unread: BTreeSet<AgreementId>,
    /// Agreements whose lines were left out, since their next invoice is further away than `quantity.before_invoice_days`.
    pub not_due: BTreeSet<AgreementId>,
}

impl QuantityPlan {
    /// The plan of some of the lines.
    pub fn draft(&self, world: &World<'_>, of: impl Fn(&Planned) -> bool) -> DraftPlan {
        let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
        for planned in self.lines.iter().filter(|planned| of(planned)) {
            if let Some(change) = &planned.change {
                let id = change_id(draft.changes.len());
                draft.changes.push(Box::new(Change { id, ..change.clone() }));
            }
            draft.adoptions.extend(planned.adoption.clone());
        }
        let after = after(world, &draft);
        let written = sights_of(world, &draft.changes, |agreement| {
            after.get(&agreement).into_iter().flatten().map(|(state, included)| (state, *included)).collect()
        });
        add_up(&mut draft, written);
        draft
    }

    /// How many lines stay as they are.
    pub fn equal(&self) -> usize {
        self.lines.iter().filter(|planned| planned.line.verdict == Verdict::Equal).count()
    }
}

/// The lines of the agreements that are written to, as the plan leaves them.
fn after(world: &World<'_>, draft: &DraftPlan) -> BTreeMap<AgreementId, Vec<(AdditionState, Quantity)>> {
    let mut edits: BTreeMap<AdditionId, &AdditionState> = BTreeMap::new();
    let mut made: BTreeMap<AgreementId, Vec<&AdditionState>> = BTreeMap::new();
    for change in &draft.changes {
        match (change.action.target(), change.action.after()) {
            (Some(Target::Existing(id)), Some(state)) => {
                edits.insert(*id, state);
            }
            (None, Some(state)) => made.entry(change.agreement).or_default().push(state),
            (Some(Target::Existing(_) | Target::CreatedBy(_)), _) | (None, None) => {}
        }
    }
    let lines_of = |agreement: AgreementId| {
        let there = world.snapshot.additions_of(agreement).iter();
        let there =
            there.map(|a| (edits.get(&a.id).map_or(&a.state, |state| *state).clone(), a.less_included));
        let new = made.get(&agreement).into_iter().flatten();
        there.chain(new.map(|state| ((*state).clone(), Quantity::ZERO))).collect()
    };
    draft.agreements_written().into_iter().map(|agreement| (agreement, lines_of(agreement))).collect()
}

/// The agreements whose additions a comparison needs: the chosen ones, and those that hold lines of its customers
/// already. Needs companies and agreements, no additions.
pub fn agreements_of_interest(scene: &Scene<'_>) -> BTreeSet<AgreementId> {
    let mut wanted: BTreeSet<AgreementId> =
        wants::gather(scene).lines.keys().map(|(agreement, _)| *agreement).collect();
    wanted.extend(own_links(scene).map(|link| link.agreement));
    wanted.retain(|id| scene.world.snapshot.agreements.contains_key(id));
    wanted
}

/// The living links of the customers that are looked at.
pub(super) fn own_links<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a AdditionLink> {
    let of = |link: &&AdditionLink| {
        let customer = customer_of(link);
        !link.deleted && customer.is_some_and(|customer| scene.looks_at(&link.source, &customer))
    };
    scene.links_by_line.values().flatten().copied().filter(of)
}

pub(super) fn customer_of(link: &AdditionLink) -> Option<CustomerId> {
    counted_customer(&link.subscription)
}

/// Compares, and plans what follows.
pub fn plan(scene: &Scene<'_>) -> QuantityPlan {
    let Wants { lines, findings, unclear, untold } = wants::gather(scene);
    let mut plan = QuantityPlan { findings, ..QuantityPlan::default() };
    for (key, parts) in &lines {
        if !is_due(scene, key.0) {
            plan.not_due.insert(key.0);
            continue;
        }
        let mut decider = Decider { scene, key: *key, parts, untold: untold.get(key), plan: &mut plan };
        if let Some(planned) = decider.decide() {
            plan.lines.push(planned);
        }
    }
    let wanted: BTreeSet<LineKey> = lines.keys().copied().collect();
    left_over(scene, &wanted, &unclear, &mut plan);
    plan.findings.extend(never_told(scene));
    hold_a_mass_drop(scene, &mut plan);
    plan.findings.extend(adapted(scene.policy, scene.world.today));
    plan
}

/// Says which day is the push day of a month that does not have the one that is set.
fn adapted(policy: &Policy, today: Date) -> Option<Finding> {
    let day = policy.push_day?;
    let used = day.adapted_in_month_of(today)?;
    let message = format!(
        "Quantities are pushed on day {day} of a month (schedule.quantity), which {:04}-{:02} does not have: they are \
         pushed on {used}.",
        used.year(),
        used.month()
    );
    let subject = Subject { detail: Some("schedule.quantity".into()), ..Subject::default() };
    Some(Finding::new(Code::Tu9002, subject, message))
}

fn is_due(scene: &Scene<'_>, agreement: AgreementId) -> bool {
    let Some(days) = scene.policy.before_invoice_days.filter(|_| scene.due_only) else { return true };
    let Some(agreement) = scene.world.snapshot.agreements.get(&agreement) else { return true };
    let next = scene.world.snapshot.invoicing_agreement(agreement).next_invoice;
    next.is_none_or(|next| crate::period::days_between(scene.world.today, next) <= i64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;
    use crate::settings::Settings;

    #[test]
    fn a_push_day_that_a_month_does_not_have_is_told_with_the_day_that_is_used() {
        for (schedule, today, used) in [
            ("monthly 31 02:00", "2025-04-03", Some("2025-04-30")),
            ("monthly 31 02:00", "2025-05-31", None),
            ("monthly 29 02:00", "2025-02-28", Some("2025-02-28")),
            ("monthly 29 02:00", "2028-02-28", None),
            ("monthly last 02:00", "2025-02-28", None),
            ("daily 02:00", "2025-02-28", None),
            ("off", "2025-02-28", None),
        ] {
            let values = BTreeMap::from([("schedule.quantity".to_owned(), schedule.to_owned())]);
            let settings = Settings::from_values(&values).unwrap_or_default();
            let told = adapted(&settings.quantity, today.parse().unwrap_or_default());
            assert_eq!(told.is_some(), used.is_some(), "{schedule} {today}: {told:?}");
            if let (Some(told), Some(used)) = (told, used) {
                assert!(told.message.ends_with(&format!("pushed on {used}.")), "{told:?}");
                assert_eq!((told.code, told.severity), (Code::Tu9002, Severity::Info));
            }
        }
    }
}

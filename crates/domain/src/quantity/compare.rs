//! The comparison of what should be billed with what the agreements hold, and the plan that follows from it.

use super::chain::{Chain, Part, Rule, compute};
use super::config::{Config, Pick};
use super::find::{Found, find, links_of};
use super::line::{Line, LineKey, Verdict, quantity_subscription, quantity_task};
use super::reading::{Origin, Reading, Readings};
use super::wants::{self, Counted, Wants, adds_up, services_of, subject_of};
use super::{Decrease, Policy};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ChangeId, CompanyId, CustomerId, ProductId, SourceId};
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{
    Action, AdditionLink, Adoption, Change, DraftPlan, KeyParts, OperationKey, Role, Target, edit_key,
};
use crate::planner::{World, add_up, change_id, sights_of};
use crate::psa::{AdditionState, Agreement, BillFlag, CatalogItem, ObservedAddition};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Lines that fall in one run before the share of them counts: two of two customers are no sign of a broken source.
const MASS_FROM: usize = 5;

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
    /// Why it waits for a person: what it holds goes into no unattended run.
    pub holds: Vec<Finding>,
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
}

impl QuantityPlan {
    /// The plan of some of the lines.
    pub fn draft(&self, world: &World<'_>, of: impl Fn(&Planned) -> bool) -> DraftPlan {
        let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
        for planned in self.lines.iter().filter(|planned| of(planned)) {
            if let Some(change) = &planned.change {
                let id = change_id(draft.changes.len());
                draft.changes.push(Change { id, ..change.clone() });
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
fn own_links<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a AdditionLink> {
    let of = |link: &&AdditionLink| {
        let customer = customer_of(link);
        !link.deleted && customer.is_some_and(|customer| scene.looks_at(&link.source, &customer))
    };
    scene.links_by_line.values().flatten().copied().filter(of)
}

fn customer_of(link: &AdditionLink) -> Option<CustomerId> {
    link.subscription.as_str().strip_prefix("quantity:").map(CustomerId::from)
}

/// Compares, and plans what follows.
pub fn plan(scene: &Scene<'_>) -> QuantityPlan {
    let Wants { lines, findings, unclear } = wants::gather(scene);
    let mut plan = QuantityPlan { findings, ..QuantityPlan::default() };
    for (key, parts) in &lines {
        if !is_due(scene, key.0) {
            continue;
        }
        let mut decider = Decider { scene, key: *key, parts, plan: &mut plan };
        if let Some(planned) = decider.decide() {
            plan.lines.push(planned);
        }
    }
    let wanted: BTreeSet<LineKey> = lines.keys().copied().collect();
    left_over(scene, &wanted, &unclear, &mut plan);
    hold_a_mass_drop(scene, &mut plan);
    plan
}

fn is_due(scene: &Scene<'_>, agreement: AgreementId) -> bool {
    let Some(days) = scene.policy.before_invoice_days.filter(|_| scene.due_only) else { return true };
    let Some(agreement) = scene.world.snapshot.agreements.get(&agreement) else { return true };
    let next = scene.world.snapshot.invoicing_agreement(agreement).next_invoice;
    next.is_none_or(|next| crate::period::days_between(scene.world.today, next) <= i64::from(days))
}

/// Decides what becomes of one line.
struct Decider<'s, 'a> {
    scene: &'s Scene<'a>,
    key: LineKey,
    parts: &'s [Counted<'a>],
    plan: &'s mut QuantityPlan,
}

/// Why a line is not written.
struct Stop(Box<Finding>);

impl<'a> Decider<'_, 'a> {
    fn owner(&self) -> Option<&Counted<'a>> {
        self.parts.first()
    }

    fn subject(&self) -> Subject {
        let Some(owner) = self.owner() else { return Subject::default() };
        Subject {
            product: Some(owner.service.clone()),
            agreement: Some(self.key.0),
            detail: Some(format!("item {}", self.key.1)),
            ..subject_of(owner.source, owner.customer)
        }
    }

    fn finding(&self, code: Code, message: impl Into<String>) -> Finding {
        Finding::new(code, self.subject(), message)
    }

    fn stop(&self, code: Code, message: impl Into<String>) -> Stop {
        Stop(Box::new(self.finding(code, message)))
    }

    /// What people call the line.
    fn name(&self, item: Option<&CatalogItem>) -> String {
        let item = item.map_or_else(|| format!("item {}", self.key.1), |item| item.identifier.clone());
        let customer = self
            .owner()
            .map(|owner| self.scene.customer_name(owner.source, owner.customer))
            .unwrap_or_default();
        format!("{item} of {customer}")
    }

    fn decide(&mut self) -> Option<Planned> {
        let owner = *self.owner()?;
        let (agreement, item) = self.key;
        let all: Vec<&Reading> = self.parts.iter().flat_map(|part| part.readings).collect();
        let mut line = Line {
            source: owner.source.clone(),
            customer: owner.customer.clone(),
            agreement,
            item,
            services: services_of(self.parts),
            addition: None,
            observed: None,
            chain: None,
            verdict: Verdict::Refused,
            why: String::new(),
            code: None,
            as_of: all
                .iter()
                .min_by_key(|reading| instant(&reading.as_of))
                .map(|reading| reading.as_of.clone()),
            zero_since: None,
        };
        // What is there is shown also where nothing can be written.
        let pick = self.scene.config.pick(owner.source, owner.customer, item);
        let found = find(self.scene, self.key, pick);
        if let Found::Own(there) | Found::Picked(there) | Found::Candidate(there) = &found {
            line.addition = Some(there.id);
            line.observed = Some(there.state.quantity);
        }
        match self.write(&mut line, &owner, &all, found) {
            Ok(planned) => Some(planned),
            Err(Stop(finding)) => {
                line.why.clone_from(&finding.message);
                line.code = Some(finding.code);
                self.plan.findings.push(*finding);
                Some(Planned { line, change: None, adoption: None, holds: Vec::new() })
            }
        }
    }

    fn write(
        &mut self,
        line: &mut Line,
        owner: &Counted<'a>,
        all: &[&Reading],
        found: Found<'a>,
    ) -> Result<Planned, Stop> {
        let world = self.scene.world;
        let item = self.usable_item(owner)?;
        let rule = self.scene.config.rule(owner.source, self.key.1, owner.customer);
        self.may_add_up(&rule, item)?;
        self.is_fresh(line, all, item)?;
        let chain = self.chain(line, &rule, item)?;
        let wanted = chain.quantity;
        line.zero_since = wanted.is_zero().then(|| {
            self.scene.before.get(&self.key).and_then(|before| before.zero_since).unwrap_or(world.today)
        });
        line.chain = Some(chain.clone());
        let Some(agreement) = world.snapshot.agreements.get(&self.key.0) else {
            return Err(self.stop(Code::Tu3003, format!("Agreement {} is gone.", self.key.0)));
        };
        let Some(currency) = agreement.currency else {
            return Err(self.stop(Code::Tu6001, format!("Agreement {} has no currency.", self.key.0)));
        };
        let make = Make { agreement, item, currency, chain: &chain };
        match found {
            Found::Own(there) => self.compare(line, &make, there, false),
            Found::Picked(there) => self.compare(line, &make, there, true),
            Found::Candidate(there) => {
                let mut planned = self.compare(line, &make, there, true)?;
                if !self.scene.policy.takes_over {
                    let message = format!(
                        "{} is there already: addition {} with a quantity of {}, which trueup did not write. It counts \
                         as the line once somebody takes it over.",
                        self.name(Some(item)),
                        there.id,
                        there.state.quantity.shown()
                    );
                    let hold = self
                        .finding(Code::Tu3007, message)
                        .severity(Severity::Warning)
                        .fix(
                            "Take it over: apply the plan that is shown, `trueup quantity run --adopt`, or `trueup quantity \
                             pick`. `quantity.adopt = take` always does.",
                        );
                    planned.line.verdict = Verdict::Held;
                    planned.line.code = Some(Code::Tu3007);
                    planned.line.why.clone_from(&hold.message);
                    planned.holds.push(hold);
                }
                Ok(planned)
            }
            Found::Missing => self.create(line, &make),
            _ if wanted.is_zero() => Ok(nothing(line, "nothing is counted, and no line is there")),
            other => Err(self.not_found(other, item)),
        }
    }

    fn not_found(&mut self, found: Found<'_>, item: &CatalogItem) -> Stop {
        let name = self.name(Some(item));
        match found {
            Found::Several(ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                let message = format!("{name} is there {} times: additions {}.", ids.len(), ids.join(", "));
                let fix = "Say which one it is (`trueup quantity pick`), or end the others.";
                Stop(Box::new(self.finding(Code::Tu3007, message).fix(fix)))
            }
            Found::Ended(id) => {
                let message =
                    format!("{name}: addition {id} was ended or removed, and not by a run. It stays so.");
                Stop(Box::new(self.finding(Code::Tu3008, message).severity(Severity::Error).fix(PICK)))
            }
            Found::EndedBefore(id) => {
                let message = format!(
                    "{name}: agreement {} has addition {id} of it, which was ended before. Nothing is made anew without \
                     somebody's word.",
                    self.key.0
                );
                Stop(Box::new(self.finding(Code::Tu3008, message).severity(Severity::Error).fix(PICK)))
            }
            Found::OfOrders(id) => {
                let message = format!("{name}: addition {id} bills it already, for an order.");
                let fix = "Assign the service to another item, or bill it by orders alone.";
                Stop(Box::new(self.finding(Code::Tu2007, message).fix(fix)))
            }
            Found::Elsewhere(other, id) => {
                let message = format!(
                    "{name}: agreement {} has no line of it, and agreement {other} of the same company has addition {id}. \
                     Is it billed there?",
                    self.key.0
                );
                let fix = "Choose that agreement for the customer, or say that a new line is meant (`trueup quantity pick \
                           --create`).";
                Stop(Box::new(self.finding(Code::Tu3007, message).fix(fix)))
            }
            Found::Unread(agreements) => {
                self.plan.unread.extend(agreements);
                let message = format!("{name}: other agreements of the company were not read yet.");
                Stop(Box::new(self.finding(Code::Tu8002, message)))
            }
            Found::Own(_) | Found::Picked(_) | Found::Candidate(_) | Found::Missing => {
                Stop(Box::new(self.finding(Code::Tu3008, format!("{name} has no addition."))))
            }
        }
    }

    fn usable_item(&mut self, owner: &Counted<'a>) -> Result<&'a CatalogItem, Stop> {
        let id = self.key.1;
        let names = services_of(self.parts);
        let services: Vec<String> = names.iter().map(|s| self.scene.service_name(owner.source, s)).collect();
        let wrong = |why: &str| {
            self.stop(
                Code::Tu2004,
                format!("{} is assigned to catalog item {id}, which {why}.", services.join(", ")),
            )
        };
        let item = match self.scene.world.snapshot.catalog.get(&id) {
            None => return Err(wrong("is not in ConnectWise any more")),
            Some(item) if item.inactive => return Err(wrong("is inactive")),
            Some(item) if item.bundle => return Err(wrong("is a bundle, and bundles cannot be additions")),
            Some(item) => item,
        };
        if item.identifier != owner.identifier {
            let subject = Subject { detail: Some(format!("renamed item {id}")), ..Subject::default() };
            let message = format!(
                "Catalog item {id} was `{}` when {} was assigned to it, and is `{}` now. It is found by its id and goes on.",
                owner.identifier,
                services.join(", "),
                item.identifier
            );
            let finding = Finding::new(Code::Tu2006, subject, message)
                .fix("Assign the service again, so that the name is the new one.");
            if !self.plan.findings.contains(&finding) {
                self.plan.findings.push(finding);
            }
        }
        Ok(item)
    }

    /// Several services or customers on one addition need somebody's word: else each would write its own quantity over
    /// the others'.
    fn may_add_up(&self, rule: &Rule, item: &CatalogItem) -> Result<(), Stop> {
        if rule.add_up || !adds_up(self.parts) {
            return Ok(());
        }
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|part| {
                let service = self.scene.service_name(part.source, part.service);
                format!("{service} of {}", self.scene.customer_name(part.source, part.customer))
            })
            .collect();
        let message = format!(
            "{} on agreement {} would bill {} levels: {}.",
            item.identifier,
            self.key.0,
            parts.len(),
            parts.join(", ")
        );
        let fix = "Switch `add_up` on for the item (`trueup quantity rule`), so that their sum is billed, or assign them to \
                   items of their own.";
        Err(Stop(Box::new(self.finding(Code::Tu2007, message).fix(fix))))
    }

    /// No level that is old, estimated, or older than the one that was billed last.
    fn is_fresh(&self, line: &Line, all: &[&Reading], item: &CatalogItem) -> Result<(), Stop> {
        let today = self.scene.world.today;
        let limit = self.scene.policy.stale_days;
        for reading in all {
            if let Some(doubt) = &reading.doubt {
                let message = format!("{}: {doubt}. It is billed once it is final.", self.name(Some(item)));
                return Err(self.stop(Code::Tu5005, message));
            }
            let age = reading.day().map(|day| crate::period::days_between(day, today));
            let is_counter = matches!(reading.origin, Origin::Counter);
            if let Some(age) = age.filter(|age| is_counter && limit > 0 && *age > i64::from(limit)) {
                let message = format!(
                    "{}: {} was counted {age} days ago, on {}; the limit is {limit} (quantity.stale_days). The quantity \
                     stays as it is.",
                    self.name(Some(item)),
                    reading.name,
                    reading.as_of
                );
                return Err(self.stop(Code::Tu5005, message));
            }
        }
        let before = self.scene.before.get(&self.key).filter(|before| before.services == line.services);
        if let (Some(now), Some(then)) = (&line.as_of, before.and_then(|before| before.as_of.as_ref()))
            && let (Some(now_at), Some(then_at)) = (instant(now), instant(then))
            && now_at < then_at
        {
            let message = format!(
                "{}: the source tells a level of {now}, and one of {then} was billed already. The later one stays.",
                self.name(Some(item))
            );
            return Err(self.stop(Code::Tu5005, message));
        }
        Ok(())
    }

    fn chain(&self, line: &mut Line, rule: &Rule, item: &CatalogItem) -> Result<Chain, Stop> {
        let several: BTreeSet<_> = self.parts.iter().map(|part| part.whose).collect();
        let told = several.len() > 1 || self.parts.iter().any(|part| part.whose != part.customer);
        let names: Vec<String> =
            self.parts.iter().map(|part| self.scene.customer_name(part.source, part.whose)).collect();
        let mut parts = Vec::with_capacity(self.parts.len());
        for (counted, name) in self.parts.iter().zip(&names) {
            match counted.readings {
                [reading] => parts.push(Part { whose: told.then_some(name.as_str()), reading }),
                several => {
                    let units: Vec<&str> =
                        several.iter().map(|r| r.unit.as_deref().unwrap_or("no unit")).collect();
                    let message = format!(
                        "{}: {} is counted in several units ({}), and nobody says which one is billed.",
                        self.name(Some(item)),
                        self.scene.service_name(counted.source, counted.service),
                        units.join(", ")
                    );
                    return Err(self.stop(Code::Tu5004, message));
                }
            }
        }
        let whose: BTreeSet<_> = self.parts.iter().map(|part| (part.source, part.whose)).collect();
        let mut excluded = Vec::new();
        for service in rule.excluded_services() {
            for (source, customer) in &whose {
                excluded.extend(self.scene.readings.of(source, customer, service));
            }
        }
        let excluded: Vec<Part<'_>> =
            excluded.into_iter().map(|reading| Part { whose: None, reading }).collect();
        compute(rule, &parts, &excluded).map_err(|error| {
            line.chain = None;
            let steps: Vec<&str> = error.steps.iter().map(|step| step.text.as_str()).collect();
            let message = format!("{}: {}. So far: {}.", self.name(Some(item)), error.why, steps.join("; "));
            self.stop(Code::Tu5004, message)
        })
    }

    /// The quantity of an addition that is there.
    fn compare(
        &mut self,
        line: &mut Line,
        make: &Make<'_>,
        there: &ObservedAddition,
        takes_over: bool,
    ) -> Result<Planned, Stop> {
        let (wanted, observed) = (make.chain.quantity, there.state.quantity);
        let adoption = takes_over.then(|| self.adoption(line, there));
        let name = self.name(Some(make.item));
        if wanted == observed {
            return self.as_it_is(line, make, there, adoption);
        }
        let mut holds = Vec::new();
        if wanted < observed {
            if let Some(hold) = self.fall(&name, observed, wanted) {
                holds.push(hold);
            } else if self.scene.policy.decrease == Decrease::Never {
                let message = format!(
                    "{name}: the source counts {} where ConnectWise bills {}, and quantities never fall \
                     (quantity.decrease).",
                    wanted.shown(),
                    observed.shown()
                );
                return Err(self.stop(Code::Tu5001, message));
            }
        }
        let state = AdditionState { quantity: wanted, ..there.state.clone() };
        let reason = format!(
            "{name}: {} where ConnectWise bills {}; the quantity alone is changed.",
            wanted.shown(),
            observed.shown()
        );
        let key = self.edit_key("quantity", there, &wanted.display());
        let effect = self.effect(make, there, &state);
        let action =
            Action::Update { target: Target::Existing(there.id), before: there.state.clone(), wanted: state };
        let change = self.change(line, make, action, key, effect, reason)?;
        Ok(self.planned(line, Verdict::Update, Some(change), adoption, holds))
    }

    /// Nothing to write, but where a quantity stays at 0: then an end is proposed.
    fn as_it_is(
        &mut self,
        line: &mut Line,
        make: &Make<'_>,
        there: &ObservedAddition,
        adoption: Option<Adoption>,
    ) -> Result<Planned, Stop> {
        let today = self.scene.world.today;
        let again = line.zero_since.filter(|since| *since < today);
        let Some(since) = again.filter(|_| adoption.is_none()) else {
            let verdict = if adoption.is_some() { Verdict::Adopt } else { Verdict::Equal };
            line.why = format!("ConnectWise has {} already", there.state.quantity.shown());
            return Ok(self.planned(line, verdict, None, adoption, Vec::new()));
        };
        let snapshot = self.scene.world.snapshot;
        let period = billing::invoice_period(snapshot, make.agreement, today);
        let last = period.map_or(today, crate::period::Period::last_day).max(there.state.effective);
        let name = self.name(Some(make.item));
        let message = format!("{name}: the quantity is 0 since {since}. The line may end on {last}.");
        let hold = self
            .finding(Code::Tu5003, message)
            .fix("Apply the plan that ends it, or leave it: a quantity of 0 bills nothing.");
        let state = AdditionState { cancelled: Some(last), ..there.state.clone() };
        let reason = format!("{name}: nothing is counted since {since}; the line ends.");
        let key = self.edit_key("end", there, &last.to_string());
        let effect = self.effect(make, there, &state);
        let action =
            Action::Cancel { target: Target::Existing(there.id), before: there.state.clone(), wanted: state };
        let change = self.change(line, make, action, key, effect, reason)?;
        Ok(self.planned(line, Verdict::End, Some(change), None, vec![hold]))
    }

    /// What keeps a fall from being written by itself; none where it may follow.
    fn fall(&self, name: &str, observed: Quantity, wanted: Quantity) -> Option<Finding> {
        if wanted.is_zero() {
            let message =
                format!("{name}: nothing is counted any more where ConnectWise bills {}.", observed.shown());
            return Some(self.finding(Code::Tu5003, message).fix(
                "Apply the plan that is shown: the quantity becomes 0 and the line stays. Correct the source where that is \
                 not meant.",
            ));
        }
        let sharp = wanted
            .decimal()
            .checked_mul(Decimal::ONE_HUNDRED)
            .zip(observed.decimal().checked_mul(self.scene.policy.fall_percent))
            .is_none_or(|(now, limit)| now < limit);
        if sharp {
            let message = format!(
                "{name} falls from {} to {}, below {} percent.",
                observed.shown(),
                wanted.shown(),
                self.scene.policy.fall_percent.normalize()
            );
            return Some(self.finding(Code::Tu5002, message));
        }
        (self.scene.policy.decrease == Decrease::Hold).then(|| {
            let message = format!(
                "{name} falls from {} to {}, and quantities that fall wait (quantity.decrease).",
                observed.shown(),
                wanted.shown()
            );
            self.finding(Code::Tu5002, message).severity(Severity::Warning)
        })
    }

    fn create(&mut self, line: &mut Line, make: &Make<'_>) -> Result<Planned, Stop> {
        let wanted = make.chain.quantity;
        let name = self.name(Some(make.item));
        if wanted.is_zero() {
            return Ok(nothing(line, "nothing is counted, and no line is there"));
        }
        let pick = self.scene.config.pick(&line.source, &line.customer, line.item);
        let asked =
            matches!(pick, Some(Pick::Create { known }) if known == links_of(self.scene, self.key).count());
        if !self.scene.policy.creates && !asked {
            let message = format!(
                "{name}: {} are counted, agreement {} has no line of it, and missing lines are not created \
                 (quantity.create_missing).",
                wanted.shown(),
                make.agreement.id
            );
            return Err(Stop(Box::new(self.finding(Code::Tu8006, message).fix(
                "Create the line in ConnectWise, or say that trueup does (`trueup quantity pick --create`).",
            ))));
        }
        let effective = self.first_day(make)?;
        let state = AdditionState {
            catalog_item: make.item.id,
            quantity: wanted,
            unit_price: make.item.price.unwrap_or_default(),
            unit_cost: make.item.cost.unwrap_or_default(),
            effective,
            cancelled: None,
            bill: BillFlag::Billable,
            taxable: None,
            description: None,
            invoice_description: None,
        };
        let world = self.scene.world;
        let subscription = quantity_subscription(&line.customer);
        let is_first = !world.links.iter().any(|link| {
            link.role == Role::Quantity && link.source == line.source && link.subscription == subscription
        });
        let mut holds = Vec::new();
        if is_first && !asked {
            let message = format!(
                "{name}: the first line of this customer is created, with a quantity of {}.",
                wanted.shown()
            );
            holds.push(self.finding(Code::Tu7007, message).fix(
                "Look at the plan and apply it by its id, approve it, or run `trueup quantity run --approve`.",
            ));
        }
        let revision = u32::try_from(links_of(self.scene, self.key).count()).unwrap_or(u32::MAX);
        let key = KeyParts {
            organization: world.organization,
            source: &line.source,
            order: &format!("{subscription}/{}", make.agreement.id),
            line: &make.item.id.to_string(),
            role: Role::Quantity,
            // A line is made once, whenever it is: the day is no part of what it is.
            period_start: Date::constant(2000, 1, 1),
            revision,
        }
        .key();
        let effect = billing::extended(&state, Quantity::ZERO, make.currency);
        let reason = format!(
            "{name}: {} are counted and no line is there; price and cost are the catalog's.",
            wanted.shown()
        );
        let change = self.change(line, make, Action::Create { wanted: state }, key, effect, reason)?;
        Ok(self.planned(line, Verdict::Create, Some(change), None, holds))
    }

    /// The first day that a new line may bill: today, or the next invoice where today is invoiced already; never before
    /// the billing start.
    fn first_day(&self, make: &Make<'_>) -> Result<Date, Stop> {
        let world = self.scene.world;
        let billed_by = world.snapshot.invoicing_agreement(make.agreement);
        let floors =
            [make.agreement.start, make.agreement.bill_start, billed_by.bill_start, world.settings.go_live];
        let mut day = floors.into_iter().flatten().fold(world.today, Date::max);
        if !make.agreement.prorates
            && let Some(next) = billed_by.next_invoice.filter(|_| billed_by.invoiced_before(day))
        {
            day = day.max(next);
        }
        if make.agreement.end.is_some_and(|end| day > end) {
            let message = format!("Agreement {} ends before a line could begin on {day}.", make.agreement.id);
            return Err(self.stop(Code::Tu4003, message));
        }
        Ok(day)
    }

    fn effect(
        &self,
        make: &Make<'_>,
        there: &ObservedAddition,
        wanted: &AdditionState,
    ) -> Result<PriceAndCost, MoneyError> {
        let Some(period) = billing::open_period(self.scene.world.snapshot, make.agreement) else {
            return Ok(PriceAndCost::default());
        };
        let billed = |state: &AdditionState| {
            billing::billed_in(state, there.less_included, period, make.agreement.prorates, make.currency)
        };
        billed(wanted)?.minus(billed(&there.state)?)
    }

    fn edit_key(&self, op: &str, there: &ObservedAddition, goal: &str) -> OperationKey {
        // The same edit once more, after a person took it back, is another one: ConnectWise's own instant tells.
        let seen = there.last_updated.as_deref().unwrap_or_default();
        let goal = format!("{}/{goal}/{seen}", there.state.quantity.display());
        edit_key(self.scene.world.organization, "quantity", op, &there.id.to_string(), &goal)
    }

    fn adoption(&self, line: &Line, there: &ObservedAddition) -> Adoption {
        Adoption {
            addition: there.id,
            agreement: line.agreement,
            task: quantity_task(&line.source, &line.customer),
            source: line.source.clone(),
            subscription: quantity_subscription(&line.customer),
            product: line.services.first().cloned().unwrap_or_else(|| ProductId::from("")),
            role: Role::Quantity,
            state: there.state.clone(),
        }
    }

    fn change(
        &self,
        line: &Line,
        make: &Make<'_>,
        action: Action,
        key: OperationKey,
        effect: Result<PriceAndCost, MoneyError>,
        reason: String,
    ) -> Result<Change, Stop> {
        let effect = effect.map_err(|error| {
            self.stop(Code::Tu6006, format!("{} cannot be summed up: {error}.", self.name(Some(make.item))))
        })?;
        Ok(Change {
            id: ChangeId::from(""),
            action,
            key,
            role: Role::Quantity,
            task: quantity_task(&line.source, &line.customer),
            order: None,
            line: None,
            source: line.source.clone(),
            subscription: quantity_subscription(&line.customer),
            customer: line.customer.clone(),
            product: line.services.first().cloned().unwrap_or_else(|| ProductId::from("")),
            company: make.agreement.company,
            agreement: make.agreement.id,
            catalog_item: make.item.id,
            currency: make.currency,
            true_period: None,
            amount: effect.price,
            cost: effect.cost,
            reason,
            formula: make.chain.formula(),
            amended: None,
            depends_on: Vec::new(),
        })
    }

    fn planned(
        &self,
        line: &Line,
        verdict: Verdict,
        change: Option<Change>,
        adoption: Option<Adoption>,
        holds: Vec<Finding>,
    ) -> Planned {
        let mut line = line.clone();
        if let Some(change) = &change {
            line.why.clone_from(&change.reason);
        }
        line.verdict = verdict;
        if let Some(hold) = holds.first() {
            line.verdict = Verdict::Held;
            line.code = Some(hold.code);
            line.why.clone_from(&hold.message);
        }
        Planned { line, change, adoption, holds }
    }
}

/// What a change of a line is made of.
struct Make<'m> {
    agreement: &'m Agreement,
    item: &'m CatalogItem,
    currency: Currency,
    chain: &'m Chain,
}

const PICK: &str = "Say that a new line is meant (`trueup quantity pick --create`), which addition it is (`trueup quantity pick \
                    --addition`), or leave it: nothing is written.";

fn nothing(line: &Line, why: &str) -> Planned {
    let mut line = line.clone();
    line.verdict = Verdict::Equal;
    why.clone_into(&mut line.why);
    Planned { line, change: None, adoption: None, holds: Vec::new() }
}

/// An instant of a source; a date counts from its first moment.
fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.get(..10)?.parse().ok()?;
    day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Additions of ours that nothing asks for any more: told with what they bill, and never changed.
fn left_over(
    scene: &Scene<'_>,
    wanted: &BTreeSet<LineKey>,
    unclear: &BTreeSet<(SourceId, CustomerId)>,
    plan: &mut QuantityPlan,
) {
    let mut silent: BTreeMap<&SourceId, Vec<Finding>> = BTreeMap::new();
    for link in own_links(scene) {
        let key = (link.agreement, link.written.catalog_item);
        let Some(customer) = customer_of(link) else { continue };
        if wanted.contains(&key) || unclear.contains(&(link.source.clone(), customer.clone())) {
            continue;
        }
        let there = scene.world.snapshot.additions_of(link.agreement).iter().find(|a| a.id == link.addition);
        let Some(there) = there.filter(|there| there.state.is_open() && !there.state.quantity.is_zero())
        else {
            continue;
        };
        let subject = Subject {
            product: Some(link.product.clone()),
            agreement: Some(link.agreement),
            addition: Some(link.addition),
            ..subject_of(&link.source, &customer)
        };
        let (why, is_silent) = why_left(scene, link, &customer);
        let name = scene.customer_name(&link.source, &customer);
        let service = scene.service_name(&link.source, &link.product);
        let message = format!(
            "{service} of {name}: {why}. Addition {} of agreement {} goes on with a quantity of {}.",
            link.addition,
            link.agreement,
            there.state.quantity.shown()
        );
        let code = if is_silent { Code::Tu8003 } else { Code::Tu8006 };
        let mut finding = Finding::new(code, subject, message).severity(Severity::Warning);
        if !is_silent {
            finding = finding.fix(
                "End it in ConnectWise, or assign, tick or switch it on again. Nothing is changed by itself.",
            );
        }
        let currency = scene.world.snapshot.agreements.get(&link.agreement).and_then(|a| a.currency);
        if let Some(currency) = currency
            && let Ok(worth) = billing::extended(&there.state, there.less_included, currency)
        {
            finding = finding.amount(Money::new(worth.price.decimal()), currency);
        }
        if is_silent {
            silent.entry(&link.source).or_default().push(finding);
        } else {
            plan.findings.push(finding);
        }
    }
    for (source, findings) in silent {
        let counted = scene.readings.iter().any(|((of, _, _), _)| of == source);
        if counted || findings.len() == 1 {
            plan.findings.extend(findings);
            continue;
        }
        let subject =
            Subject { source: Some(source.clone()), detail: Some("levels".to_owned()), ..Subject::default() };
        let message = format!(
            "Source {source} tells no level at all, and {} lines stand on it. Nothing becomes 0 by that; they stay as they \
             are.",
            findings.len()
        );
        plan.findings.push(Finding::new(Code::Tu8003, subject, message));
    }
}

/// Why nothing asks for a line any more, and whether that is only because the source is silent.
fn why_left(scene: &Scene<'_>, link: &AdditionLink, customer: &CustomerId) -> (String, bool) {
    let ticks = scene.config.ticks(&link.source, customer);
    if !ticks.billing {
        return ("the customer is switched off".to_owned(), false);
    }
    if !ticks.bills(&link.product, scene.policy.ticked_only) {
        return ("it is not ticked for the customer".to_owned(), false);
    }
    let target = scene.config.assignment(&link.source, &link.product, customer).map(|found| found.target);
    match target {
        Some(super::config::ServiceTarget::Item { id, .. }) if *id != link.written.catalog_item => {
            return (format!("it is billed as catalog item {id} now"), false);
        }
        Some(super::config::ServiceTarget::Item { .. }) => {}
        Some(super::config::ServiceTarget::NotAssigned) | None => {
            return ("it is not assigned any more".to_owned(), false);
        }
    }
    let chosen = wants::chosen_agreement(scene.world.mappings, &link.source, customer);
    if chosen != Some(link.agreement) {
        return (
            match chosen {
                Some(agreement) => format!("the customer is billed on agreement {agreement} now"),
                None => "no agreement is chosen for the customer any more".to_owned(),
            },
            false,
        );
    }
    ("the source does not count it any more, which is no count of 0".to_owned(), true)
}

/// Where many lines of a source fall at once, it is the source that is to be looked at: all falls wait.
fn hold_a_mass_drop(scene: &Scene<'_>, plan: &mut QuantityPlan) {
    let Some(limit) = scene.policy.drop_percent else { return };
    let falls = |planned: &Planned| {
        let wanted = planned.line.chain.as_ref().map(|chain| chain.quantity);
        matches!((wanted, planned.line.observed), (Some(wanted), Some(observed)) if wanted < observed)
    };
    let mut counts: BTreeMap<SourceId, (usize, usize)> = BTreeMap::new();
    for planned in &plan.lines {
        let (all, falling) = counts.entry(planned.line.source.clone()).or_default();
        *all += usize::from(planned.line.observed.is_some());
        *falling += usize::from(falls(planned));
    }
    for (source, (all, falling)) in counts {
        let over = Decimal::from(falling) * Decimal::ONE_HUNDRED > limit * Decimal::from(all);
        if falling < MASS_FROM || !over {
            continue;
        }
        let subject = Subject {
            source: Some(source.clone()),
            detail: Some("mass drop".to_owned()),
            ..Subject::default()
        };
        let message = format!(
            "{falling} of {all} lines of source {source} would fall in one run; the limit is {} percent \
             (quantity.drop_percent). They wait; what rises goes on.",
            limit.normalize()
        );
        let finding = Finding::new(Code::Tu8003, subject, message);
        for planned in plan.lines.iter_mut().filter(|planned| planned.line.source == source) {
            if falls(planned) && planned.acts() {
                planned.line.verdict = Verdict::Held;
                planned.line.code.get_or_insert(Code::Tu8003);
                planned.holds.push(finding.clone());
            }
        }
    }
}

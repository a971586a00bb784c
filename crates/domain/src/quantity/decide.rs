//! What becomes of one line: what is written, what waits for a person, and what cannot be.

use super::Decrease;
use super::chain::{Chain, Part, Rule, compute};
use super::compare::{Planned, QuantityPlan, Scene};
use super::config::Pick;
use super::find::{Found, beside, find, links_of};
use super::line::{Line, LineKey, Told, Verdict, quantity_subscription, quantity_task};
use super::reading::{Origin, Reading};
use super::wants::{Counted, adds_up, services_of, subject_of};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, ChangeId, ProductId};
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{Action, Adoption, Change, KeyParts, OperationKey, Role, Target, edit_key};
use crate::psa::{AdditionState, Agreement, BillFlag, CatalogItem, ObservedAddition};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Decides what becomes of one line.
pub(super) struct Decider<'s, 'a> {
    pub scene: &'s Scene<'a>,
    pub key: LineKey,
    pub parts: &'s [Counted<'a>],
    pub plan: &'s mut QuantityPlan,
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

    /// Decides.
    pub fn decide(&mut self) -> Option<Planned> {
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
            told: self.parts.iter().flat_map(told_of).collect(),
            zero_since: None,
        };
        // What is there is shown also where nothing can be written.
        let pick = self.scene.config.pick(owner.source, owner.customer, item);
        let found = find(self.scene, self.key, pick);
        if let Found::Own(there) | Found::Picked(there) = &found {
            let told: Vec<Finding> = self.beside(there.id).collect();
            self.plan.findings.extend(told);
        }
        if let Found::Own(there) | Found::Picked(there) | Found::Candidate(there) = &found {
            line.addition = Some(there.id);
            line.observed = Some(there.state.quantity);
        }
        match self.write(&mut line, &owner, &all, found) {
            Ok(planned) => Some(planned),
            Err(Stop(finding)) => {
                // What was not billed does not count as told: else it would be as new as itself the next time.
                line.told = self.before().map(|before| before.told.clone()).unwrap_or_default();
                line.why.clone_from(&finding.message);
                line.code = Some(finding.code);
                self.plan.findings.push(*finding);
                Some(Planned { line, change: None, adoption: None, name: String::new(), holds: Vec::new() })
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

    /// What bills the same beside the line: it goes on, and a person should know.
    fn beside(&self, own: AdditionId) -> impl Iterator<Item = Finding> {
        let agreement = self.scene.world.snapshot.agreements.get(&self.key.0);
        let item = self.scene.world.snapshot.catalog.get(&self.key.1);
        beside(self.scene, self.key, own).map(move |there| {
            let message = format!(
                "{}: addition {own} is the line, and addition {} of agreement {} bills {} of the same item beside it.",
                self.name(item),
                there.id,
                self.key.0,
                there.state.quantity.shown()
            );
            let subject = Subject { addition: Some(there.id), ..self.subject() };
            let finding = Finding::new(Code::Tu3007, subject, message)
                .severity(Severity::Warning)
                .fix("End the one that is not meant, or say that it is the line (`trueup quantity pick`).");
            let worth = agreement.and_then(|agreement| {
                let currency = agreement.currency?;
                Some((billing::extended(&there.state, there.less_included, currency).ok()?.price, currency))
            });
            match worth {
                Some((price, currency)) => finding.amount(Money::new(price.decimal()), currency),
                None => finding,
            }
        })
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

    /// The line as the run before left it.
    fn before(&self) -> Option<&'a Line> {
        self.scene.before.get(&self.key)
    }

    /// No level that is old, estimated, still to come, or older than the one of the same that was told last.
    fn is_fresh(&self, line: &Line, all: &[&Reading], item: &CatalogItem) -> Result<(), Stop> {
        let today = self.scene.world.today;
        let limit = self.scene.policy.stale_days;
        for reading in all {
            if let Some(doubt) = &reading.doubt {
                let message = format!("{}: {doubt}.", self.name(Some(item)));
                return Err(self.stop(Code::Tu5005, message));
            }
            let is_counter = matches!(reading.origin, Origin::Counter);
            let Some(age) = age_of(reading, today).filter(|_| is_counter) else { continue };
            if age < -DAYS_AHEAD {
                let message = format!(
                    "{}: {} was counted on {}, which is still to come. The quantity stays as it is, and the level is not \
                     remembered.",
                    self.name(Some(item)),
                    reading.name,
                    reading.as_of
                );
                let fix = "Set the clock of the source right; the next level of today is billed.";
                return Err(Stop(Box::new(self.finding(Code::Tu5005, message).fix(fix))));
            }
            if limit > 0 && age > i64::from(limit) {
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
        let before: BTreeMap<_, &Told> = self
            .before()
            .into_iter()
            .flat_map(|before| &before.told)
            .map(|told| (told.key(), told))
            .collect();
        for now in &line.told {
            if let Some(then) = before.get(&now.key())
                && let (Some(now_at), Some(then_at)) = (instant(&now.as_of), instant(&then.as_of))
                && now_at < then_at
            {
                let message = format!(
                    "{}: the source tells a level of {} of {}, and one of {} was told already. The later one stays.",
                    self.name(Some(item)),
                    self.scene.service_name(&now.source, &now.service),
                    now.as_of,
                    then.as_of
                );
                let fix = "Wait for the next level of the source: it is billed as soon as it is later than that one.";
                return Err(Stop(Box::new(self.finding(Code::Tu5005, message).fix(fix))));
            }
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
        let action = Action::Update {
            target: Target::Existing(there.id),
            before: there.state.clone().into(),
            wanted: state.into(),
        };
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
        let action = Action::Cancel {
            target: Target::Existing(there.id),
            before: there.state.clone().into(),
            wanted: state.into(),
        };
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
        let change = self.change(line, make, Action::Create { wanted: state.into() }, key, effect, reason)?;
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
            replayed: None,
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
            undoing: None,
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
        let name = self.owner().map(|owner| owner.identifier.to_owned()).unwrap_or_default();
        Planned { line, change, adoption, name, holds }
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
    Planned { line, change: None, adoption: None, name: String::new(), holds: Vec::new() }
}

/// A level may be of tomorrow: where its source is, today may be over already.
const DAYS_AHEAD: i64 = 1;

/// How many days ago a level was counted, where its text names a day.
fn age_of(reading: &Reading, today: Date) -> Option<i64> {
    reading.day().map(|day| crate::period::days_between(day, today))
}

fn told_of<'c>(counted: &'c Counted<'_>) -> impl Iterator<Item = Told> + 'c {
    counted.readings.iter().map(|reading| Told {
        source: counted.source.clone(),
        customer: counted.whose.clone(),
        service: counted.service.clone(),
        unit: reading.unit.clone(),
        as_of: reading.as_of.clone(),
    })
}

/// An instant of a source; a date counts from its first moment.
fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let day: Date = text.get(..10)?.parse().ok()?;
    day.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

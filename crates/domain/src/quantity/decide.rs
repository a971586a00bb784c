//! What becomes of one line: what is written, what waits for a person, and what cannot be.

mod levels;
mod writing;

use super::chain::Chain;
use super::compare::{Planned, QuantityPlan, Scene};
use super::find::{Found, beside, find};
use super::line::{Line, LineKey, Verdict};
use super::reading::{Reading, instant_of};
use super::wants::{Counted, services_of, subject_of};
use crate::billing;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::AdditionId;
use crate::money::{Currency, Money};
use crate::psa::{Agreement, CatalogItem};
use levels::told_of;
use writing::nothing;

/// Decides what becomes of one line.
pub(super) struct Decider<'s, 'a> {
    pub scene: &'s Scene<'a>,
    pub key: LineKey,
    pub parts: &'s [Counted<'a>],
    /// What belongs to it and was not told, in words.
    pub untold: Option<&'s String>,
    pub plan: &'s mut QuantityPlan,
}

/// Why a line is not written.
struct Stop(Box<Finding>);

/// What a change of a line is made of.
struct Make<'m> {
    agreement: &'m Agreement,
    item: &'m CatalogItem,
    currency: Currency,
    chain: &'m Chain,
}

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
        let current: Vec<(&Counted<'_>, Vec<&Reading>)> =
            self.parts.iter().map(|part| (part, self.current(part))).collect();
        let all: Vec<&Reading> = current.iter().flat_map(|(_, readings)| readings.iter().copied()).collect();
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
                .min_by_key(|reading| instant_of(&reading.as_of))
                .map(|reading| reading.as_of.clone()),
            told: current
                .iter()
                .flat_map(|(part, readings)| told_of((part.source, part.whose, part.service), readings))
                .collect(),
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
            Ok(planned) => Some(self.unless_in_another_unit(planned)),
            Err(Stop(finding)) => {
                // What was not billed does not count as told: else it would be as new as itself the next time.
                line.told = self.before().map(|before| before.told.clone()).unwrap_or_default();
                line.why.clone_from(&finding.message);
                line.code = Some(finding.code);
                self.plan.findings.push(*finding);
                Some(Planned {
                    line,
                    change: None,
                    adoption: None,
                    name: String::new(),
                    holds: Vec::new(),
                    told: Vec::new(),
                })
            }
        }
    }

    /// Holds what would be written of a level in another unit. Until it is written the unit before stays the line's, so that
    /// the next run asks again.
    fn unless_in_another_unit(&self, mut planned: Planned) -> Planned {
        let item = self.scene.world.snapshot.catalog.get(&self.key.1);
        let writes = planned.acts().then_some(item).flatten();
        let Some(hold) = writes.and_then(|item| self.other_unit(&planned.line, item)) else { return planned };
        planned.line.verdict = Verdict::Held;
        planned.line.code = Some(hold.code);
        planned.line.why.clone_from(&hold.message);
        planned.told = std::mem::take(&mut planned.line.told);
        planned.line.told = self.before().map(|before| before.told.clone()).unwrap_or_default();
        planned.holds.insert(0, hold);
        planned
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
        let rule = self.scene.config.rule(owner.source, owner.identifier, owner.customer);
        self.may_add_up(&rule, item)?;
        if let Some(untold) = self.untold {
            let message = format!("{}: {untold}. The quantity stays as it is.", self.name(Some(item)));
            let fix = "Take the use of the month in. Where nobody uses it any more, untick the service for the customer, or take it off \
                       the item (`trueup quantity unassign`).";
            return Err(Stop(Box::new(self.finding(Code::Tu8003, message).fix(fix))));
        }
        let excluded = self.excluded(&rule);
        let counted: Vec<&Reading> =
            all.iter().copied().chain(excluded.iter().map(|(_, level)| *level)).collect();
        line.told.extend(excluded.iter().flat_map(|(whose, level)| told_of(*whose, &[*level])));
        self.is_fresh(line, &counted, item)?;
        let chain = self.chain(line, &rule, item, excluded.into_iter().map(|(_, level)| level))?;
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

    /// The line as the run before left it.
    fn before(&self) -> Option<&'a Line> {
        self.scene.before.get(&self.key)
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
            Found::OfOthers(id) => {
                let message = format!(
                    "{name}: addition {id} bills it already, for another organization or another installation of trueup. Each \
                     would write its own quantity over the other's."
                );
                let fix = "Bill the customer of one of them on another agreement, or let one organization count both. Where \
                           it is this line all the same, say so (`trueup quantity pick --addition`).";
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
}

const PICK: &str = "Say that a new line is meant (`trueup quantity pick --create`), which addition it is (`trueup quantity pick \
                    --addition`), or leave it: nothing is written.";

//! What is written of a line: the change of a quantity, a new addition, an end, and what waits for a person.

use super::{Decider, Make, Stop};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{ChangeId, ProductId};
use crate::money::{MoneyError, Quantity};
use crate::plan::{Action, Adoption, Change, KeyParts, OperationKey, Role, Target, edit_key};
use crate::psa::{AdditionState, BillFlag, ObservedAddition};
use crate::quantity::Decrease;
use crate::quantity::compare::Planned;
use crate::quantity::config::Pick;
use crate::quantity::find::links_of;
use crate::quantity::line::{Line, Verdict, quantity_subscription, quantity_task};
use jiff::civil::Date;
use rust_decimal::Decimal;

impl Decider<'_, '_> {
    /// The quantity of an addition that is there.
    pub(super) fn compare(
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
        // One that a person dated to end already gets no second end.
        let Some(since) = again.filter(|_| adoption.is_none() && there.state.is_open()) else {
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

    pub(super) fn create(&mut self, line: &mut Line, make: &Make<'_>) -> Result<Planned, Stop> {
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
        Planned { line, change, adoption, name, holds, told: Vec::new() }
    }
}

pub(super) fn nothing(line: &Line, why: &str) -> Planned {
    let mut line = line.clone();
    line.verdict = Verdict::Equal;
    why.clone_into(&mut line.why);
    Planned { line, change: None, adoption: None, name: String::new(), holds: Vec::new(), told: Vec::new() }
}

//! Writing changes: what is created, edited, ended or removed, each once, with its money and its place in the picture.

use super::amending::{Said, Word};
use super::{Builder, LastStep, NewLine};
use crate::billing::{self, PriceAndCost};
use crate::desired::Fields;
use crate::ids::{AgreementId, CompanyId, CustomerId, ProductId};
use crate::mapping::MappingKind;
use crate::money::{Money, MoneyError, Quantity};
use crate::period::{Period, day_text, next_day};
use crate::plan::{Action, Change, OperationKey, Role, Target, edit_key};
use crate::planner::context::Stop;
use crate::planner::origin::{Made, Origin};
use crate::planner::part::{self, Kept, Prices};
use crate::planner::picture::{Key, Line, State};
use crate::planner::text::text;
use crate::psa::{AdditionState, Agreement, BillFlag};
use jiff::civil::Date;

#[derive(Clone, Copy)]
enum EditKind {
    Cancel,
    Update,
}

impl EditKind {
    fn action(self, line: &Line<'_>, wanted: Box<AdditionState>) -> Action {
        let (target, before) = (line.target.clone(), Box::new((*line.state).clone()));
        match self {
            Self::Cancel => Action::Cancel { target, before, wanted },
            Self::Update => Action::Update { target, before, wanted },
        }
    }
}

impl<'a> Builder<'_, 'a> {
    /// The line that an earlier run of this task wrote for a line of the order.
    pub fn written(&self, line_id: &str, role: Role, day: Date) -> Option<&Line<'a>> {
        self.picture.find_key(&self.key(line_id, role, day))
    }

    /// Whether the line is there or was, whatever became of it since. One that the journal does not know of is owned
    /// again; `for_days` tells the days that it is for from the first one that it is dated on.
    pub(super) fn is_there(
        &mut self,
        key: &OperationKey,
        line: &NewLine<'_>,
        for_days: impl FnOnce(&AdditionState) -> Option<Period>,
    ) -> bool {
        let Some(there) = self.picture.find_key(key).cloned() else {
            return self.context.index.was_removed(key);
        };
        let true_days = for_days(&there.state);
        self.own_again(&there, key.clone(), &line.product, line.role, true_days);
        self.push_keep(&there, key.clone(), line.role, &line.product, line.line_id.clone());
        true
    }

    /// Counts a line that is as it should be.
    pub fn keep(&mut self, line: &Line<'_>, role: Role, product: &ProductId, line_id: String) {
        let key = self.edit_key("keep", line, "");
        self.push_keep(line, key, role, product, line_id);
    }

    pub(super) fn push_keep(
        &mut self,
        there: &Line<'_>,
        key: OperationKey,
        role: Role,
        product: &ProductId,
        line_id: String,
    ) {
        // One that the plan itself makes is counted there.
        let Target::Existing(_) = there.target else { return };
        let action = Action::Keep { target: there.target.clone(), before: Box::new((*there.state).clone()) };
        let reason = "It is there already.".to_owned();
        self.push(action, key, role, product, there.agreement, line_id, reason, String::new());
    }

    /// What a new line bills on the first invoice that carries it: of one that ends within that invoice the share of its days,
    /// where the agreement prorates.
    pub(super) fn billed_once(
        &self,
        agreement: &Agreement,
        wanted: &AdditionState,
    ) -> Result<PriceAndCost, MoneyError> {
        let currency = self.context.currency;
        let invoice = billing::invoice_period(self.context.world.snapshot, agreement, wanted.effective)
            .filter(|invoice| {
                agreement.prorates && wanted.cancelled.is_some_and(|last| last < invoice.end())
            });
        match (wanted.bill, invoice) {
            (BillFlag::DoNotBill | BillFlag::NoCharge, _) => Ok(PriceAndCost::default()),
            (BillFlag::Billable, Some(invoice)) => {
                billing::billed_in(wanted, Quantity::ZERO, invoice, true, currency)
            }
            (BillFlag::Billable, None) => billing::extended(wanted, Quantity::ZERO, currency),
        }
    }

    pub(super) fn push_create(
        &mut self,
        agreement: &'a Agreement,
        line: NewLine<'a>,
        wanted: AdditionState,
        key: OperationKey,
        true_period: Option<Period>,
        reason: String,
    ) -> Result<(), Stop> {
        if wanted.quantity.is_zero() {
            return Ok(());
        }
        let said = match self.word_on(&key, Some(&wanted), None) {
            Word::AsProposed => None,
            Word::LeftOut(by) => {
                let amounts = self.billed_once(agreement, &wanted)?;
                let formula = line.money.formula;
                let action = Action::Create { wanted: wanted.into() };
                let (role, of) = (line.role, line.line_id);
                let mut change =
                    self.change(action, key, role, &line.product, agreement.id, of, reason, formula);
                (change.amount, change.cost) = (amounts.price, amounts.cost);
                change.true_period = true_period;
                self.leave_out(*change, amounts, &by)?;
                return Ok(());
            }
            Word::Set(said) => Some(said),
        };
        let true_days = true_period.or_else(|| {
            let moved = said.as_ref().is_some_and(|s| s.wanted.effective != wanted.effective);
            let days = wanted.cancelled.and_then(|last| Period::new(wanted.effective, next_day(last)).ok());
            days.filter(|_| moved)
        });
        let wanted = said.as_ref().map_or(wanted, |said| said.wanted.clone());
        if said.is_none() {
            self.tell_drift(&line)?;
        }
        let task = self.context.task;
        let state = State::from(wanted.clone());
        let origin = Made {
            source: &task.source,
            product: line.product.clone(),
            role: line.role,
            order: self.given_by(),
            true_period: true_days,
            edits: Vec::new(),
            ends: Vec::new(),
            written: state.clone(),
            next_invoice_at_write: self.invoicing(agreement).next_invoice,
        };
        let amounts = self.billed_once(agreement, &wanted)?;
        let formula = line.money.formula;
        let action = Action::Create { wanted: wanted.into() };
        let carried = Key::Made(key.0.as_str().into());
        let mut change =
            self.change(action, key, line.role, &line.product, agreement.id, line.line_id, reason, formula);
        (change.amount, change.cost, change.true_period) = (amounts.price, amounts.cost, true_days);
        let id = change.id.clone();
        self.draft.changes.push(change);
        if let Some(said) = said {
            self.note_amended(&said);
            if matches!(line.role, Role::Recurring | Role::Quantity) {
                self.tell_moved_days(agreement, &line.product, &said)?;
            }
        }
        self.picture.add(Line {
            target: Target::CreatedBy(id),
            agreement: agreement.id,
            state,
            less_included: Quantity::ZERO,
            key: carried,
            origin: Some(Origin::made(self.context.subscription_no, origin)),
            touched: true,
        });
        Ok(())
    }

    /// Ends a line on `last`, its last billed day. A line that never billed a day by then is removed.
    pub fn end(&mut self, line: &Line, last: Date, reason: String) -> Result<(), Stop> {
        if line.state.cancelled.is_some_and(|at| at <= last) {
            return Ok(());
        }
        if last < line.state.effective && !self.is_billed(line) {
            return self.delete(line, reason);
        }
        let wanted =
            AdditionState { cancelled: Some(last.max(line.state.effective)), ..(*line.state).clone() };
        self.tell_billed_again(line, last)?;
        self.edit(line, wanted, reason, EditKind::Cancel).map(|_| ())
    }

    /// Lets a line that was to end go on up to `last`. What invoices have left out of it since is billed once, by shares of
    /// the periods that are laid from `anchor`.
    pub fn put_off(
        &mut self,
        line: &Line<'a>,
        last: Date,
        anchor: Period,
        reason: String,
    ) -> Result<(), Stop> {
        let Some(agreement) = self.agreement_of(line) else { return Ok(()) };
        let Some(ended) = line.state.cancelled.filter(|ended| *ended < last) else { return Ok(()) };
        let snapshot = self.context.world.snapshot;
        let own_invoice = billing::invoice_period(snapshot, agreement, ended).filter(|_| !agreement.prorates);
        let unbilled = own_invoice.map_or(next_day(ended), Period::end);
        let paid = self.last_invoiced_day(agreement).map(next_day);
        let until = paid.map(|paid| self.paid_for(agreement, paid.min(next_day(last))));
        if let Some(days) = until.and_then(|until| Period::new(unbilled, until).ok()) {
            self.bill_left_out(agreement, line, days, anchor)?;
        }
        if paid.is_some_and(|paid| last < paid) {
            return Ok(());
        }
        self.tell_billed_again(line, last)?;
        let wanted = AdditionState { cancelled: Some(last), ..(*line.state).clone() };
        self.edit(line, wanted, reason, EditKind::Cancel).map(|_| ())
    }

    /// Bills days of a line once that invoices have left out.
    fn bill_left_out(
        &mut self,
        agreement: &'a Agreement,
        line: &Line<'a>,
        days: Period,
        anchor: Period,
    ) -> Result<(), Stop> {
        let product = Self::product_of(line);
        let units = self.units_in(days, anchor)?;
        let item = self.context.world.snapshot.catalog.get(&line.state.catalog_item);
        let (Some(item), false) = (item, agreement.prorates) else {
            let value = line.state.unit_price.exact().times(line.state.quantity.exact())?.times(units)?;
            let why = "it was invoiced without the line";
            return Ok(self.left_out(&product, days, value, why)?);
        };
        let (settings, currency) = (self.context.world.settings, self.context.currency);
        let prices = Prices { price: line.state.unit_price, cost: line.state.unit_cost, cost_known: true };
        let target = match &line.target {
            Target::Existing(id) => id.to_string(),
            Target::CreatedBy(_) => String::new(),
        };
        let left_out = NewLine {
            line_id: format!("goes-on:{product}/{target}"),
            product: product.clone(),
            item,
            role: Role::Recurring,
            money: part::open_ended(
                settings,
                currency,
                prices,
                line.state.quantity,
                Kept::shown(&line.state, prices),
            )?,
            description: self.description(&product, None),
            bill: line.state.bill,
            taxable: line.state.taxable,
            key_day: None,
            since: None,
            reason: String::new(),
        };
        self.catch_up(agreement, &left_out, days.start(), days.end(), anchor)
    }

    /// Ends a line after everything new of this task: whatever stops a run half way leaves too much, never too little.
    pub fn end_last(&mut self, line: &Line<'a>, last: Date, reason: String) {
        self.last.push(LastStep::End(Box::new(line.clone()), last, reason));
    }

    /// Removes a line after everything new of this task.
    pub fn delete_last(&mut self, line: &Line<'a>, reason: String) {
        self.last.push(LastStep::Delete(Box::new(line.clone()), reason));
    }

    /// Does what was put off to the end.
    pub fn last_steps(&mut self) -> Result<(), Stop> {
        for step in std::mem::take(&mut self.last) {
            match step {
                LastStep::End(line, last, reason) => self.end(&line, last, reason)?,
                LastStep::Delete(line, reason) => self.delete(&line, reason)?,
            }
        }
        Ok(())
    }

    /// Sets managed fields of a line. `held` begins on the day since which the new state holds, and ends where the line
    /// bills it.
    pub fn update(
        &mut self,
        line: &Line,
        wanted: AdditionState,
        held: Period,
        reason: String,
    ) -> Result<(), Stop> {
        if Fields::between(&wanted, &line.state).is_empty() {
            return Ok(());
        }
        if !self.edit(line, wanted, reason, EditKind::Update)? {
            return Ok(());
        }
        if let Some(change) = self.draft.changes.last_mut() {
            change.true_period = Some(held);
        }
        self.picture.note_edit(line, held, self.context.order_id());
        Ok(())
    }

    /// Writes other values of a line; says whether there is anything to write.
    fn edit(
        &mut self,
        line: &Line,
        proposed: AdditionState,
        reason: String,
        kind: EditKind,
    ) -> Result<bool, Stop> {
        if Fields::between(&proposed, &line.state).is_empty() {
            return Ok(false);
        }
        let proposal = self.key_of_edit(line, &proposed, kind);
        match self.word_on(&proposal, Some(&proposed), Some(&line.state)) {
            Word::AsProposed => self.push_wanted(line, proposed, reason, kind, proposal),
            Word::LeftOut(by) => {
                let effect = self.effect(line, Some(&proposed))?;
                let formula = self.formula_of(&proposed, kind);
                let action = kind.action(line, proposed.into());
                let change = self.change_of(action, proposal, line, reason, formula, effect);
                self.leave_out(*change, effect, &by)?;
                Ok(false)
            }
            Word::Set(said) => self.push_said(line, &said, reason),
        }
    }

    /// Writes what a person set of a line that is there.
    fn push_said(&mut self, line: &Line, said: &Said, reason: String) -> Result<bool, Stop> {
        let wanted = said.wanted.clone();
        if Fields::between(&wanted, &line.state).is_empty() {
            return Ok(false);
        }
        let only_ends = AdditionState { cancelled: line.state.cancelled, ..wanted.clone() } == *line.state;
        let kind = if only_ends && wanted.cancelled.is_some() { EditKind::Cancel } else { EditKind::Update };
        let key = self.key_of_edit(line, &wanted, kind);
        self.push_wanted(line, wanted, reason, kind, key)?;
        self.note_amended(said);
        if let Some(agreement) = self.agreement_of(line) {
            self.tell_moved_days(agreement, &Self::product_of(line), said)?;
        }
        Ok(true)
    }

    fn push_wanted(
        &mut self,
        line: &Line,
        wanted: AdditionState,
        reason: String,
        kind: EditKind,
        key: OperationKey,
    ) -> Result<bool, Stop> {
        let effect = self.effect(line, Some(&wanted))?;
        let formula = self.formula_of(&wanted, kind);
        self.push_edit(kind.action(line, wanted.clone().into()), key, line, reason, formula, effect);
        let ended_by = match kind {
            EditKind::Cancel => self.given_by(),
            EditKind::Update => None,
        };
        self.picture.set_state(line, wanted, ended_by);
        Ok(true)
    }

    fn key_of_edit(&self, line: &Line, wanted: &AdditionState, kind: EditKind) -> OperationKey {
        let op = match kind {
            EditKind::Cancel => "cancel",
            EditKind::Update => "update",
        };
        let AdditionState { cancelled, quantity, unit_price, unit_cost, .. } = wanted;
        let goal = match cancelled.map(day_text) {
            Some(last) => text(format_args!("Some({last})/{quantity}/{unit_price}/{unit_cost}")),
            None => text(format_args!("None/{quantity}/{unit_price}/{unit_cost}")),
        };
        self.edit_key(op, line, &goal)
    }

    fn formula_of(&self, wanted: &AdditionState, kind: EditKind) -> String {
        match kind {
            EditKind::Cancel => {
                let last = day_text(wanted.cancelled.unwrap_or(wanted.effective));
                text(format_args!("last billed day {last}"))
            }
            EditKind::Update => {
                let unit = wanted.unit_price.shown(self.context.currency);
                text(format_args!("{} x {unit}", wanted.quantity.shown()))
            }
        }
    }

    /// Removes a line that was never billed.
    pub fn delete(&mut self, line: &Line, reason: String) -> Result<(), Stop> {
        let effect = self.effect(line, None)?;
        let key = self.edit_key("delete", line, "");
        let action = Action::Delete { target: line.target.clone(), before: Box::new((*line.state).clone()) };
        match self.word_on(&key, None, Some(&line.state)) {
            Word::AsProposed => {}
            Word::LeftOut(by) => {
                let change = self.change_of(action, key, line, reason, "never billed".into(), effect);
                self.leave_out(*change, effect, &by)?;
                return Ok(());
            }
            Word::Set(said) => {
                self.push_said(line, &said, reason)?;
                return Ok(());
            }
        }
        self.push_edit(action, key, line, reason, "never billed".into(), effect);
        self.picture.remove(line);
        Ok(())
    }

    pub(super) fn edit_key(&self, op: &str, line: &Line<'_>, goal: &str) -> OperationKey {
        let target = match &line.target {
            Target::Existing(id) => id.to_string(),
            // The line has no id yet: its own key stands for it.
            Target::CreatedBy(_) => self.picture.now(line).and_then(Line::key).unwrap_or_default().to_owned(),
        };
        let organization = self.context.world.organization;
        match self.context.task.undone {
            0 => edit_key(organization, self.order_text(), op, &target, goal),
            // The same edit once more, after it was taken back, is another one.
            times => edit_key(organization, self.order_text(), &format!("{op}#{times}"), &target, goal),
        }
    }

    pub(super) fn push_edit(
        &mut self,
        action: Action,
        key: OperationKey,
        line: &Line,
        reason: String,
        formula: String,
        effect: PriceAndCost,
    ) {
        let change = self.change_of(action, key, line, reason, formula, effect);
        self.draft.changes.push(change);
    }

    /// A change of a line that is there, or that the plan makes.
    fn change_of(
        &self,
        action: Action,
        key: OperationKey,
        line: &Line,
        reason: String,
        formula: String,
        effect: PriceAndCost,
    ) -> Box<Change> {
        let role = line.origin.as_ref().map_or(Role::Recurring, Origin::role);
        let product = Self::product_of(line);
        let mut change =
            self.change(action, key, role, &product, line.agreement, String::new(), reason, formula);
        change.catalog_item = line.state.catalog_item;
        change.amount = effect.price;
        change.cost = effect.cost;
        if let Target::CreatedBy(made_by) = &line.target {
            change.depends_on.push(made_by.clone());
        }
        change
    }

    /// What a change of a line adds to the next invoice.
    pub(super) fn effect(
        &self,
        line: &Line,
        wanted: Option<&AdditionState>,
    ) -> Result<PriceAndCost, MoneyError> {
        let world = self.context.world;
        let Some(agreement) = self.agreement_of(line) else { return Ok(PriceAndCost::default()) };
        let Some(period) = billing::open_period(world.snapshot, agreement) else {
            return Ok(PriceAndCost::default());
        };
        let billed = |state: &AdditionState| {
            billing::billed_in(state, line.less_included, period, agreement.prorates, self.context.currency)
        };
        let before = billed(&line.state)?;
        let after = wanted.map_or(Ok(PriceAndCost::default()), billed)?;
        after.minus(before)
    }

    /// The agreement of a line.
    pub fn agreement_of(&self, line: &Line) -> Option<&'a Agreement> {
        let own = self.context.agreement;
        if line.agreement == own.id {
            return Some(own);
        }
        self.context.world.snapshot.agreements.get(&line.agreement)
    }

    #[expect(clippy::too_many_arguments, reason = "one private place where a change is put together")]
    pub(super) fn push(
        &mut self,
        action: Action,
        key: OperationKey,
        role: Role,
        product: &ProductId,
        agreement: AgreementId,
        line_id: String,
        reason: String,
        formula: String,
    ) {
        let change = self.change(action, key, role, product, agreement, line_id, reason, formula);
        self.draft.changes.push(change);
    }

    #[expect(clippy::too_many_arguments, reason = "one private place where a change is put together")]
    fn change(
        &self,
        action: Action,
        key: OperationKey,
        role: Role,
        product: &ProductId,
        agreement: AgreementId,
        line_id: String,
        reason: String,
        formula: String,
    ) -> Box<Change> {
        let task = self.context.task;
        let catalog_item = action
            .after()
            .or(action.before())
            .map_or(crate::ids::CatalogItemId(0), |state| state.catalog_item);
        let (company, customer) = self.billed_on(agreement);
        Box::new(Change {
            id: self.next_id(),
            action,
            key,
            role,
            task: task.id.clone(),
            order: self.given_by().cloned(),
            line: (!line_id.is_empty()).then_some(line_id),
            source: task.source.clone(),
            subscription: task.subscription.clone(),
            customer,
            product: product.clone(),
            company,
            agreement,
            catalog_item,
            currency: self.context.currency,
            true_period: None,
            amount: Money::ZERO,
            cost: Money::ZERO,
            reason,
            formula,
            depends_on: Vec::new(),
            amended: None,
            undoing: None,
        })
    }

    /// The company of an agreement, and who is billed there: a transfer ends lines of another customer.
    fn billed_on(&self, agreement: AgreementId) -> (CompanyId, CustomerId) {
        let context = self.context;
        let own = || (context.company, context.customer_id.clone());
        if agreement == context.agreement.id {
            return own();
        }
        let known = context.world.snapshot.agreements.get(&agreement);
        let Some(company) = known.map(|a| a.company).filter(|company| *company != context.company) else {
            return own();
        };
        let mut mapped = context.world.mappings.iter().filter(|m| {
            m.kind == MappingKind::Customer && m.source == context.task.source && m.psa_id == Some(company.0)
        });
        let customer = match (mapped.next(), mapped.next()) {
            (Some(one), None) => CustomerId::from(one.source_id.as_str()),
            // Which of several it was is not written anywhere.
            (Some(_), Some(_)) | (None, _) => context.customer_id.clone(),
        };
        (company, customer)
    }
}

//! Lines that others wrote: which are free, which a mapping names, and taking one over.

use super::{Builder, NewLine};
use crate::billing;
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AdditionId, ProductId};
use crate::mapping_rules::ItemRule;
use crate::period::Period;
use crate::plan::{Adoption, OperationKey, Replayed, Role, Target, TaskOutcome};
use crate::planner::AdoptionAnswer;
use crate::planner::context::Stop;
use crate::planner::origin::{Made, Origin};
use crate::planner::picture::Line;
use crate::psa::{Agreement, BillFlag, CatalogItem};
use jiff::civil::Date;

impl<'a> Builder<'_, 'a> {
    /// Takes a line over: it becomes the subscription's recurring line for the product, without a write.
    pub fn adopt(&mut self, line: &Line<'a>, product: &ProductId) {
        self.own(line, product, Role::Recurring, None);
    }

    /// Owns a line again that carries a key of this task and that the journal does not know of: it was lost, or put back
    /// from before the line was written. `true_days` are those that the line is for, where its dates do not tell them.
    pub fn own_again(
        &mut self,
        line: &Line<'a>,
        key: OperationKey,
        product: &ProductId,
        role: Role,
        true_days: Option<Period>,
    ) {
        if line.origin.is_none() {
            let order = self.given_by().cloned();
            self.own(line, product, role, Some(Replayed { order, key: Some(key), days: true_days }));
        }
    }

    /// Takes a line of the subscription as the order of the task left it in a run that the journal does not know of. `days`
    /// are those of its period from the order's day on.
    pub fn take_as_left(&mut self, line: &Line<'a>, product: &ProductId, days: Option<Period>) {
        let (Some(order), Some(origin)) = (self.given_by(), &line.origin) else { return };
        let was = Line { state: origin.written().clone().into(), ..line.clone() };
        let edited = days.filter(|_| was.state.amounts() != line.state.amounts());
        let by = Replayed { order: Some(order.clone()), key: None, days: edited };
        self.draft.adoptions.extend(self.adoption_of(line, product, Role::Recurring, Some(by)));
        if let Some(held) = edited {
            self.picture.note_edit(&was, held, Some(order));
        }
        let ended = line.state.cancelled.is_some().then_some(order);
        self.picture.set_state(line, (*line.state).clone(), ended);
    }

    /// The line with the key of a line of this task, and the key, where the journal does not know of it.
    pub fn unknown(&self, line_id: &str, role: Role, day: Date) -> Option<(Line<'a>, OperationKey)> {
        let key = self.key(line_id, role, day);
        let line = self.picture.find_key(&key).filter(|line| line.origin.is_none())?;
        Some((line.clone(), key))
    }

    /// Lines of the task's agreement with a key that the journal does not know of.
    pub fn unknown_lines(&self) -> impl Iterator<Item = &Line<'a>> {
        let lines = self.picture.lines_of(self.context.agreement.id).iter();
        lines.filter(|line| line.origin.is_none() && line.key().is_some())
    }

    fn adoption_of(
        &self,
        line: &Line<'_>,
        product: &ProductId,
        role: Role,
        replayed: Option<Replayed>,
    ) -> Option<Adoption> {
        let Target::Existing(addition) = line.target else { return None };
        let task = self.context.task;
        Some(Adoption {
            addition,
            agreement: line.agreement,
            task: task.id.clone(),
            source: task.source.clone(),
            subscription: task.subscription.clone(),
            product: product.clone(),
            role,
            state: (*line.state).clone(),
            replayed,
        })
    }

    fn own(&mut self, line: &Line<'a>, product: &ProductId, role: Role, replayed: Option<Replayed>) {
        let order = self.given_by().filter(|_| replayed.is_some());
        let Some(adoption) = self.adoption_of(line, product, role, replayed) else { return };
        let origin = Made {
            source: &self.context.task.source,
            product: product.clone(),
            role,
            order,
            true_period: adoption.true_period(),
            edits: Vec::new(),
            ends: Vec::new(),
            written: line.state.clone(),
            next_invoice_at_write: None,
        };
        self.draft.adoptions.push(adoption);
        self.picture.claim(line, Origin::made(self.context.subscription_no, origin));
    }

    /// The additions with the item that nobody has claimed and that bill from `from` on, on the agreement of the task.
    pub fn unclaimed(&self, item: &CatalogItem, from: Date) -> Vec<Line<'a>> {
        self.unclaimed_on(self.context.agreement, item, from)
    }

    /// Stops the task where another product of ours, or another organization's, is billed as the item on the agreement:
    /// two that share an item would be taken for each other, and one of them be billed twice (TU2007). A line that takes
    /// the place of one is no news, and one product that is sold several times adds up.
    pub(super) fn is_nobody_elses(&self, agreement: &Agreement, line: &NewLine<'_>) -> Result<(), Stop> {
        let context = self.context;
        let product = &line.product;
        if context.world.settings.mapping.item != ItemRule::Agreement || line.role != Role::Recurring {
            return Ok(());
        }
        if self.own_lines_for(product, Role::Recurring).next().is_some() {
            return Ok(());
        }
        let on_item = |there: &&Line| there.state.is_open() && there.state.catalog_item == line.item.id;
        let other = self.picture.lines_of(agreement.id).iter().filter(on_item).find_map(|there| {
            let origin = match &there.origin {
                Some(origin) => origin,
                None => {
                    let foreign = there.key().filter(|key| !context.world.unlinked.contains(*key));
                    return foreign.map(|_| (there, None));
                }
            };
            if origin.role() != Role::Recurring || origin.subscription == Some(context.subscription_no) {
                return None;
            }
            (origin.source() != &context.task.source || origin.product() != product)
                .then(|| (there, Some((origin.source(), origin.product()))))
        });
        let Some((there, of)) = other else { return Ok(()) };
        let id = match &there.target {
            Target::Existing(id) => id.to_string(),
            Target::CreatedBy(change) => format!("of change {change}"),
        };
        let whose = match of {
            Some((source, other)) if source == &context.task.source => format!("product {other}"),
            Some((source, other)) => format!("product {other} of source {source}"),
            None => "another organization, or another installation of trueup".to_owned(),
        };
        let message = format!(
            "On agreement {}, catalog item {} is billed for {whose} by addition {id}: {} would be billed as the same item.",
            agreement.id,
            line.item.id,
            context.product_name(product)
        );
        let detail = format!("agreement {}, catalog item {}", agreement.id, line.item.id);
        let subject = Subject { detail: Some(detail), ..context.subject_of_product(product) };
        let finding = Finding::new(Code::Tu2007, subject, message).fix(
            "Map one of them to another item, company or agreement, or set mapping.product_item to many where both are \
             meant.",
        );
        Err(Stop { findings: vec![finding], outcome: TaskOutcome::NeedsMapping })
    }

    /// The same on any agreement: the open ones; where there are none, those that somebody has dated to end later. A line
    /// of one invoice alone is no recurring line.
    pub fn unclaimed_on(&self, agreement: &Agreement, item: &CatalogItem, from: Date) -> Vec<Line<'a>> {
        let free = self.picture.unclaimed(agreement.id, item.id);
        let open: Vec<Line<'a>> = free.iter().filter(|l| l.state.is_open()).map(|l| (*l).clone()).collect();
        if !open.is_empty() {
            return open;
        }
        let goes_on = |line: &&Line| {
            let Some(last) = line.state.cancelled.filter(|last| *last >= from) else { return false };
            let invoice =
                billing::invoice_period(self.context.world.snapshot, agreement, line.state.effective);
            invoice.is_none_or(|invoice| !invoice.contains(last))
        };
        free.into_iter().filter(goes_on).cloned().collect()
    }

    /// A line as the agreement that holds it shows it, where that was read.
    pub fn read_line(&self, id: AdditionId) -> Option<Line<'a>> {
        let home = self.context.index.register.home_of(id)?;
        self.picture.find(home, &Target::Existing(id)).cloned()
    }

    /// The lines that a mapping says are the subscription's line for the product; taken over when they are first used.
    pub fn mapped_lines(&mut self, product: &ProductId) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for id in self.named_additions(product) {
            let Some(line) = self.read_line(id) else { continue };
            if line.origin.is_none() {
                self.adopt(&line, product);
                lines.extend(self.picture.now(&line).cloned());
            } else if line.is_of(self.context.subscription_no, product, Role::Recurring) {
                lines.push(line);
            }
        }
        lines
    }

    /// Whether this very task takes the line over.
    pub fn was_taken_over_now(&self, line: &Line) -> bool {
        let taken = &self.draft.adoptions[self.before.adoptions..];
        taken.iter().any(|adoption| line.target == Target::Existing(adoption.addition))
    }

    /// Leaves a line that this very task took over to whom it belongs: what was seen of it is no answer.
    pub fn let_go(&mut self, line: &Line<'a>) {
        let first = self.before.adoptions;
        let found = self.draft.adoptions[first..].iter();
        let Some(at) = found.map(|a| Target::Existing(a.addition)).position(|target| target == line.target)
        else {
            return;
        };
        self.draft.adoptions.remove(first + at);
        self.picture.disclaim(line);
    }

    /// The additions that a mapping names as the line of a product.
    pub fn named_additions(&self, product: &ProductId) -> Vec<AdditionId> {
        let task = self.context.task;
        self.context.world.mappings.adopted_additions(&task.source, &task.subscription, product)
    }

    /// The addition that a mapping names for the product, taken over with the values it has now: free, or of this very
    /// subscription and open, or the line `itself` that is in question.
    pub fn take_mapped(&mut self, product: &ProductId, itself: Option<&Target>) -> Option<Line<'a>> {
        let named = self.named_additions(product);
        let is_meant = |line: &Line| {
            let of_it =
                line.origin.is_none() || line.is_of(self.context.subscription_no, product, Role::Recurring);
            of_it && (Some(&line.target) == itself || line.state.is_open())
        };
        let of_itself = itself.filter(|itself| named.iter().any(|id| **itself == Target::Existing(*id)));
        let lines = named.iter().filter_map(|id| self.read_line(*id));
        let line =
            lines.filter(|line| of_itself.is_none_or(|target| line.target == *target)).find(is_meant)?;
        self.adopt(&line, product);
        self.picture.now(&line).cloned()
    }

    /// Whether a mapping names this very line for the product.
    pub fn is_named_by_mapping(&self, line: &Line, product: &ProductId) -> bool {
        self.named_additions(product).iter().any(|id| line.target == Target::Existing(*id))
    }

    /// Bill and tax flag of the subscription's recurring line for a product; the usual ones where there is none.
    pub fn flags_of(&self, product: &ProductId) -> (BillFlag, Option<bool>) {
        self.own_lines_for(product, Role::Recurring)
            .last()
            .map_or((BillFlag::Billable, None), |l| (l.state.bill, l.state.taxable))
    }

    /// The answer about adoption.
    pub fn adoption(&self) -> AdoptionAnswer {
        self.context.world.adoption
    }
}

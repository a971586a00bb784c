//! Lines that others wrote: which are free, which a mapping names, and taking one over.

use super::{Builder, NewLine};
use crate::billing;
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AdditionId, ProductId};
use crate::mapping_rules::ItemRule;
use crate::plan::{Adoption, Role, Target, TaskOutcome};
use crate::planner::AdoptionAnswer;
use crate::planner::context::Stop;
use crate::planner::origin::{Made, Origin};
use crate::planner::picture::Line;
use crate::psa::{Agreement, BillFlag, CatalogItem};
use jiff::civil::Date;

impl<'a> Builder<'_, 'a> {
    /// Takes a line over: it becomes the subscription's recurring line for the product, without a write.
    pub fn adopt(&mut self, line: &Line<'a>, product: &ProductId) {
        let Target::Existing(addition) = line.target else { return };
        let task = self.context.task;
        let adoption = Adoption {
            addition,
            agreement: line.agreement,
            task: task.id.clone(),
            source: task.source.clone(),
            subscription: task.subscription.clone(),
            product: product.clone(),
            role: Role::Recurring,
            state: (*line.state).clone(),
        };
        let dated = adoption.dated();
        self.draft.adoptions.push(adoption);
        self.picture.claim(
            line,
            Origin::made(
                self.context.subscription_no,
                Made {
                    source: &task.source,
                    product: product.clone(),
                    role: Role::Recurring,
                    order: None,
                    true_period: dated,
                    edits: Vec::new(),
                    written: line.state.clone(),
                    next_invoice_at_write: None,
                },
            ),
        );
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
                None => return there.key().map(|_| (there, None)),
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

    /// The line that a mapping says is the subscription's line for the product; taken over when it is first used.
    pub fn mapped_line(&mut self, product: &ProductId) -> Option<Line<'a>> {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product)?;
        let line = self.read_line(id)?;
        if line.origin.is_none() {
            self.adopt(&line, product);
            return self.picture.now(&line).cloned();
        }
        line.is_of(self.context.subscription_no, product, Role::Recurring).then_some(line)
    }

    /// Whether this very task takes the line over.
    pub fn was_taken_over_now(&self, line: &Line) -> bool {
        let taken = &self.draft.adoptions[self.before.adoptions..];
        taken.iter().any(|adoption| line.target == Target::Existing(adoption.addition))
    }

    /// The addition that a mapping names for the product, taken over with the values it has now: free, or of this very
    /// subscription and open, or the line `itself` that is in question.
    pub fn take_mapped(&mut self, product: &ProductId, itself: Option<&Target>) -> Option<Line<'a>> {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product)?;
        let line = self.read_line(id)?;
        if Some(&line.target) != itself && !line.state.is_open() {
            return None;
        }
        let free = line.origin.is_none();
        if !free && !line.is_of(self.context.subscription_no, product, Role::Recurring) {
            return None;
        }
        self.adopt(&line, product);
        self.picture.now(&line).cloned()
    }

    /// Whether a mapping names this very line for the product.
    pub fn is_named_by_mapping(&self, line: &Line, product: &ProductId) -> bool {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product);
        id.is_some_and(|id| line.target == Target::Existing(id))
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

//! Subscriptions whose periods do not lie on the invoice periods of their agreement. ConnectWise bills a line whole on
//! every invoice that holds one of its days: an open line gives one invoice a period, and each invoice stands for the
//! period that begins in it. By that lines end, and what was invoiced is caught up or given back. Where an invoice holds
//! the beginnings of two periods, or of none, it stands for no single one, and a warning says which is wrong.

use super::builder::Builder;
use super::context::Stop;
use super::picture::Line;
use crate::billing;
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::Quantity;
use crate::period::{Period, PeriodError, next_day, previous_day};
use crate::plan::Role;
use crate::psa::Agreement;
use jiff::civil::Date;

impl<'a> Builder<'_, 'a> {
    fn subscription_period(&self, day: Date) -> Result<Option<Period>, PeriodError> {
        let context = self.context;
        let said = match (context.order_period, context.subscription) {
            (Some(said), _) => Some(said),
            (None, Some(sold)) => Some(context.cycle.period_containing(sold.start, day)?),
            (None, None) => None,
        };
        said.map(|said| self.period_of(said, day)).transpose()
    }

    /// Whether one of the subscription's periods begins on a day.
    pub fn begins_period(&self, day: Date) -> bool {
        self.subscription_period(day).is_ok_and(|own| own.is_some_and(|own| own.start() == day))
    }

    /// The last day of a line whose periods from `boundary` on something else bills, or nothing: the day before it, or,
    /// where the invoice that holds it stands for the period that begins there, the last day of the invoice before.
    pub fn last_before(&self, agreement: &Agreement, boundary: Date) -> Date {
        let plain = previous_day(boundary);
        // An invoice that begins there has billed nothing before it: both say the same day.
        let invoice = self.invoice_period(agreement, boundary).filter(|invoice| invoice.start() != boundary);
        let Some(invoice) = invoice else { return plain };
        let (Ok(Some(own)), Ok(Some(before))) =
            (self.subscription_period(boundary), self.subscription_period(plain))
        else {
            return plain;
        };
        let stands_for_it =
            own.start() == boundary && before.start() < invoice.start() && own.end() >= invoice.end();
        if stands_for_it && !agreement.prorates { previous_day(invoice.start()) } else { plain }
    }

    /// The last day of a line that is cancelled on `day`, where the invoices stand for other days than their own.
    pub fn last_owed(&self, agreement: &Agreement, day: Date) -> Option<Date> {
        let own = self.subscription_period(day).ok().flatten().filter(|_| !agreement.prorates)?;
        let boundary = if own.start() == day { day } else { own.end() };
        Some(self.last_before(agreement, boundary))
    }

    /// The day up to which a customer has paid when everything before `day` is invoiced: each invoice stands for the
    /// period that begins in it.
    pub fn paid_for(&self, agreement: &Agreement, day: Date) -> Date {
        let (Some(last), Some(next), Ok(Some(own))) = (
            self.invoice_period(agreement, previous_day(day)),
            self.invoice_period(agreement, day),
            self.subscription_period(day),
        ) else {
            return day;
        };
        let stands_for_it = next.start() == day && last.contains(own.start()) && next.contains(own.end());
        if stands_for_it && !agreement.prorates { own.end() } else { day }
    }

    /// The first day that invoices of an agreement have not paid for; none where nothing is invoiced.
    pub fn paid_up_to(&self, agreement: &'a Agreement) -> Option<Date> {
        let after = self.last_invoiced_day(agreement).map(next_day)?;
        Some(self.paid_for(agreement, after))
    }

    fn invoice_period(&self, agreement: &Agreement, day: Date) -> Option<Period> {
        billing::invoice_period(self.context.world.snapshot, agreement, day)
    }

    /// Says that a line which ends on `last` is billed once more than it is owed: its last period is paid for by an
    /// earlier invoice, and the invoice of its last day bills it whole again.
    pub fn tell_billed_again(&mut self, line: &Line, last: Date) -> Result<(), Stop> {
        let Some(agreement) = self.agreement_of(line).filter(|a| !a.prorates) else { return Ok(()) };
        // The periods of the subscription are no measure for a line of the cycle that it had before.
        if agreement.billing_cycle.is_some_and(|cycle| !cycle.same_length(self.context.cycle)) {
            return Ok(());
        }
        let recurring =
            line.origin.as_ref().filter(|o| o.role() == Role::Recurring).map(|o| o.product().clone());
        let (Some(product), Some(invoice), Some(own)) =
            (recurring, self.invoice_period(agreement, last), self.subscription_period(last)?)
        else {
            return Ok(());
        };
        let paid_before = own.start().max(line.state.effective) < invoice.start();
        // Two periods begin in that invoice: an earlier one held none, and billed the line for the first of them.
        let holds_two = own.start() >= invoice.start() && own.end() < invoice.end();
        if !(paid_before || holds_two) || self.is_invoiced(agreement, invoice.start()) {
            return Ok(());
        }
        let currency = self.context.currency;
        let amount = billing::extended(&line.state, Quantity::ZERO, currency)?.price;
        let message = format!(
            "{} is sold by periods such as {own}, and agreement {} is invoiced by periods such as {invoice}: the line \
             ends on {last}, and that invoice bills it whole once more, {} {currency}.",
            self.context.product_name(&product),
            agreement.id,
            amount.shown(currency)
        );
        self.tell_unaligned(&product, agreement, message, Some(amount));
        Ok(())
    }

    /// Says that a state which began inside an invoice period is caught up by shares of its days, while the invoices go
    /// on by whole periods of their own.
    pub fn tell_caught_up_by_shares(&mut self, product: &ProductId, agreement: &'a Agreement, gap: Period) {
        let Some(invoice) = self.invoice_period(agreement, gap.start()) else { return };
        let own = self.subscription_period(gap.end()).ok().flatten();
        let ends_with_one = own.is_none_or(|own| own.start() == gap.end());
        let exact = self.paid_for(agreement, gap.end()) != gap.end();
        if agreement.prorates || exact || (invoice.start() == gap.start() && ends_with_one) {
            return;
        }
        let message = format!(
            "{} changes on {}, inside the invoice period {invoice} of agreement {}, which was invoiced: {gap} is reckoned \
             by its days, and the invoices bill whole periods up to {} and from there on, not the subscription's own.",
            self.context.product_name(product),
            gap.start(),
            agreement.id,
            gap.end()
        );
        self.tell_unaligned(product, agreement, message, None);
    }

    fn tell_unaligned(
        &mut self,
        product: &ProductId,
        agreement: &Agreement,
        message: String,
        amount: Option<crate::money::Money>,
    ) {
        let currency = self.context.currency;
        let finding = self.about(Code::Tu4006, product, message).severity(Severity::Warning).fix(format!(
            "Correct that invoice by hand; and move the subscription to an agreement whose invoices begin on the day its \
             periods do, or let ConnectWise prorate on agreement {} (proration_by).",
            agreement.id
        ));
        self.find(match amount {
            Some(amount) => finding.amount(amount, currency),
            None => finding,
        });
    }
}

//! Subscriptions whose periods do not lie on the invoice periods of their agreement. ConnectWise bills a line whole on
//! every invoice that holds one of its days: an open line still gives one invoice a period, but where it ends inside an
//! invoice period, that invoice bills it once more, and beside it what takes its place.

use super::builder::Builder;
use super::context::Stop;
use super::picture::Line;
use crate::billing;
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::Quantity;
use crate::period::{Period, PeriodError};
use crate::plan::Role;
use crate::psa::Agreement;
use jiff::civil::Date;

impl<'a> Builder<'_, 'a> {
    fn subscription_period(&self, day: Date) -> Result<Option<Period>, PeriodError> {
        self.context.order_period.map(|said| self.period_of(said, day)).transpose()
    }

    fn invoice_period(&self, agreement: &Agreement, day: Date) -> Option<Period> {
        billing::invoice_period(self.context.world.snapshot, agreement, day)
    }

    /// Says that a line which ends on `last` is billed once more than it is owed: its last period is paid for by an
    /// earlier invoice, and the invoice of its last day bills it whole again.
    pub fn tell_billed_again(&mut self, line: &Line, last: Date) -> Result<(), Stop> {
        let Some(agreement) = self.agreement_of(line).filter(|a| !a.prorates) else { return Ok(()) };
        let recurring = line
            .origin
            .as_ref()
            .filter(|o| o.role == Role::Recurring)
            .map(|o| o.product.clone().into_owned());
        let (Some(product), Some(invoice), Some(own)) =
            (recurring, self.invoice_period(agreement, last), self.subscription_period(last)?)
        else {
            return Ok(());
        };
        let paid_before = own.start().max(line.state.effective) < invoice.start();
        if !paid_before || self.is_invoiced(agreement, invoice.start()) {
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
        if agreement.prorates || (invoice.start() == gap.start() && ends_with_one) {
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

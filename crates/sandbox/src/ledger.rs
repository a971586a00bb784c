//! What was billed, line by line.
//!
//! The vendor's API shows totals of an agreement invoice and no lines. Tests need the lines, so the sandbox keeps
//! them here and shows them at `/sandbox/invoices`.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::json::{Json, object};

/// One line of an agreement invoice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BilledLine {
    /// The agreement it is of: the invoiced one or a child of it.
    pub agreement: i64,
    /// The addition; none for the agreement's base amount.
    pub addition: Option<i64>,
    /// The catalog item's identifier.
    pub product: String,
    /// quantity - lessIncluded.
    pub quantity: Decimal,
    /// Price of a unit for the days billed.
    pub unit_price: Decimal,
    /// What the line adds to the invoice.
    pub amount: Decimal,
    /// Sales tax is due on it.
    pub taxable: bool,
    /// First day of the billing period.
    pub period_start: Date,
    /// First day after the billing period.
    pub period_end: Date,
    /// First day billed.
    pub from: Date,
    /// Last day billed.
    pub to: Date,
    /// The line makes up for a period invoiced before the addition was entered.
    pub catch_up: bool,
    /// What prints.
    pub description: String,
}

/// One agreement invoice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BilledInvoice {
    /// The invoice.
    pub invoice: i64,
    /// The agreement invoiced.
    pub agreement: i64,
    /// First day of the period.
    pub period_start: Date,
    /// First day after the period.
    pub period_end: Date,
    /// It bills late additions alone, and no period of the agreement.
    pub additions_only: bool,
    /// The lines.
    pub lines: Vec<BilledLine>,
    /// Sales tax on the taxable lines.
    pub sales_tax: Decimal,
}

impl BilledInvoice {
    /// The sum of the lines.
    pub(crate) fn subtotal(&self) -> Decimal {
        self.lines.iter().map(|line| line.amount).sum()
    }

    /// The sum of the lines and the tax.
    pub(crate) fn total(&self) -> Decimal {
        self.subtotal().checked_add(self.sales_tax).unwrap_or_default()
    }

    /// The invoice as the control interface shows it.
    pub(crate) fn to_json(&self) -> Json {
        object([
            ("invoice_id", Json::Int(self.invoice)),
            ("agreement_id", Json::Int(self.agreement)),
            ("period_start", day(self.period_start)),
            ("period_end", day(self.period_end)),
            ("additions_only", Json::Bool(self.additions_only)),
            ("subtotal", Json::Dec(self.subtotal())),
            ("sales_tax", Json::Dec(self.sales_tax)),
            ("total", Json::Dec(self.total())),
            ("lines", Json::Arr(self.lines.iter().map(BilledLine::to_json).collect())),
        ])
    }
}

impl BilledLine {
    fn to_json(&self) -> Json {
        object([
            ("agreement_id", Json::Int(self.agreement)),
            ("addition_id", self.addition.map_or(Json::Null, Json::Int)),
            ("product", self.product.as_str().into()),
            ("quantity", Json::Dec(self.quantity)),
            ("unit_price", Json::Dec(self.unit_price)),
            ("amount", Json::Dec(self.amount)),
            ("taxable", Json::Bool(self.taxable)),
            ("period_start", day(self.period_start)),
            ("period_end", day(self.period_end)),
            ("from", day(self.from)),
            ("to", day(self.to)),
            ("catch_up", Json::Bool(self.catch_up)),
            ("description", self.description.as_str().into()),
        ])
    }
}

fn day(date: Date) -> Json {
    Json::Str(date.to_string())
}

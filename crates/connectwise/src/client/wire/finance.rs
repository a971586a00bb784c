//! Agreements, additions, billing cycles, currencies, invoices.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ById, Info, Reference};
use crate::client::value::{Number, WireDate, optional_date, words};

/// Names of an addition's fields, for patches and messages.
pub mod addition_fields {
    /// The catalog item.
    pub const PRODUCT: &str = "product";
    /// How many.
    pub const QUANTITY: &str = "quantity";
    /// How many are not billed.
    pub const LESS_INCLUDED: &str = "lessIncluded";
    /// Price of one.
    pub const UNIT_PRICE: &str = "unitPrice";
    /// Cost of one.
    pub const UNIT_COST: &str = "unitCost";
    /// Whether it is billed.
    pub const BILL_CUSTOMER: &str = "billCustomer";
    /// First billed day.
    pub const EFFECTIVE_DATE: &str = "effectiveDate";
    /// End of billing.
    pub const CANCELLED_DATE: &str = "cancelledDate";
    /// Whether it is taxed.
    pub const TAXABLE: &str = "taxableFlag";
    /// The text on the screen.
    pub const DESCRIPTION: &str = "description";
    /// The text on the invoice.
    pub const INVOICE_DESCRIPTION: &str = "invoiceDescription";
}

words! {
    /// The state of an agreement or addition, as ConnectWise derives it.
    AgreementStatus {
        /// In force.
        Active,
        /// Cancelled.
        Cancelled,
        /// Past its end.
        Expired,
        /// Not begun.
        Inactive,
    }
}

words! {
    /// Whether something is billed.
    BillCustomer {
        /// Billed.
        Billable,
        /// Not billed.
        DoNotBill,
        /// Shown at no charge.
        NoCharge,
    }
}

words! {
    /// Where the periods of an agreement lie.
    InvoicingCycle {
        /// On the day that its billing starts on.
        ContractYear,
        /// On the calendar year.
        CalendarYear,
    }
}

words! {
    /// The length of a billing cycle.
    BillingOptions {
        /// Seven days.
        Weekly,
        /// Fourteen days.
        BiWeekly,
        /// A month.
        Monthly,
        /// Two months.
        BiMonthly,
        /// Three months.
        Quarterly,
        /// Six months.
        SemiAnnual,
        /// A year.
        Yearly,
        /// Once.
        NotRecurring,
    }
}

/// An agreement.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreement {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub agreement_type: Option<Reference>,
    /// Whose.
    pub company: Reference,
    /// The agreement on whose invoice it is billed.
    pub parent_agreement: Option<Reference>,
    /// First day.
    #[serde(default, deserialize_with = "optional_date")]
    pub start_date: Option<WireDate>,
    /// Last day.
    #[serde(default, deserialize_with = "optional_date")]
    pub end_date: Option<WireDate>,
    /// Whether it has no last day.
    pub no_ending_date_flag: Option<bool>,
    /// Whether it is cancelled.
    pub cancelled_flag: Option<bool>,
    /// When it ends by cancellation.
    #[serde(default, deserialize_with = "optional_date")]
    pub date_cancelled: Option<WireDate>,
    /// How often it is billed.
    pub billing_cycle: Option<Reference>,
    /// Whether it is billed once.
    pub bill_one_time_flag: Option<bool>,
    /// First billed day.
    #[serde(default, deserialize_with = "optional_date")]
    pub bill_start_date: Option<WireDate>,
    /// First day of the period to be invoiced next.
    #[serde(default, deserialize_with = "optional_date")]
    pub next_invoice_date: Option<WireDate>,
    /// Whether ConnectWise prorates additions.
    pub prorate_flag: Option<bool>,
    /// Whether what it prorates of invoiced days is billed at once.
    pub invoice_prorated_additions_flag: Option<bool>,
    /// Where its periods lie.
    pub invoicing_cycle: Option<InvoicingCycle>,
    /// The currency.
    pub currency: Option<CurrencyReference>,
    /// Its state.
    pub agreement_status: Option<AgreementStatus>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}

/// An addition of an agreement.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addition {
    /// The id.
    pub id: i64,
    /// The catalog item.
    pub product: Reference,
    /// How many.
    pub quantity: Option<Number>,
    /// How many of them are not billed.
    pub less_included: Option<Number>,
    /// Price of one.
    pub unit_price: Option<Number>,
    /// Cost of one.
    pub unit_cost: Option<Number>,
    /// Whether it is billed.
    pub bill_customer: Option<BillCustomer>,
    /// First billed day.
    #[serde(default, deserialize_with = "optional_date")]
    pub effective_date: Option<WireDate>,
    /// End of billing.
    #[serde(default, deserialize_with = "optional_date")]
    pub cancelled_date: Option<WireDate>,
    /// Whether it is taxed.
    pub taxable_flag: Option<bool>,
    /// A text of 50 characters that people may edit and invoices may print.
    pub serial_number: Option<String>,
    /// The text on the invoice.
    pub invoice_description: Option<String>,
    /// The text on the screen.
    pub description: Option<String>,
    /// The agreement it belongs to.
    pub agreement_id: Option<i64>,
    /// Its state.
    pub agreement_status: Option<AgreementStatus>,
    /// Fields of the tenant's own.
    #[serde(default)]
    pub custom_fields: Option<Vec<CustomField>>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}

/// A new addition. What is left out, ConnectWise takes from the catalog item.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAddition {
    /// The catalog item.
    pub product: ById,
    /// How many.
    pub quantity: Number,
    /// Price of one; none leaves it to the catalog item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Number>,
    /// Cost of one; none leaves it to the catalog item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Number>,
    /// Whether it is billed.
    pub bill_customer: BillCustomer,
    /// First billed day.
    pub effective_date: WireDate,
    /// End of billing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_date: Option<WireDate>,
    /// Whether it is taxed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taxable_flag: Option<bool>,
    /// The text on the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The text on the invoice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_description: Option<String>,
    /// The serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// Fields of the tenant's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_fields: Option<Vec<CustomField>>,
}

/// A field of the tenant's own, with its value. The value is kept as it came, since the whole array is sent back.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomField {
    /// The id of the field.
    pub id: i64,
    /// Its caption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// The value as it came: a text, a number, a boolean or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
}

impl CustomField {
    /// The value as text, without the direction marks that the vendor's screens put into it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let raw = self.value.as_ref()?.get();
        let text: String = match serde_json::from_str::<Option<String>>(raw) {
            Ok(text) => text?,
            Err(_) => raw.to_owned(),
        };
        let text = text.replace(['\u{200e}', '\u{200f}', '\u{feff}'], "").trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// A billing cycle of the tenant's table.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillingCycle {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Its length; the readable copy of the table leaves it out.
    pub billing_options: Option<BillingOptions>,
}

/// A currency inside another record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CurrencyReference {
    /// The id.
    pub id: Option<i64>,
    /// The ISO code, where the tenant filled it in.
    #[serde(default, deserialize_with = "text_or_name")]
    pub currency_code: Option<String>,
    /// The tenant's own short text for it, often the ISO code.
    pub currency_identifier: Option<String>,
    /// Decimal places.
    pub number_of_decimals: Option<i32>,
    /// The name.
    pub name: Option<String>,
}

/// A currency of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Currency {
    /// The id.
    pub id: i64,
    /// The ISO code.
    #[serde(default, deserialize_with = "text_or_name")]
    pub currency_code: Option<String>,
    /// The tenant's own short text for it, often the ISO code.
    pub currency_identifier: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// The code is a text inside other records and a reference in the table of currencies.
fn text_or_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Reference(Reference),
    }
    Ok(match Option::<Either>::deserialize(deserializer)? {
        Some(Either::Text(text)) => Some(text),
        Some(Either::Reference(reference)) => reference.name.or(reference.identifier),
        None => None,
    })
}

/// An invoice.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// The id.
    pub id: i64,
    /// The number.
    pub invoice_number: Option<String>,
    /// The kind.
    #[serde(rename = "type")]
    pub invoice_type: Option<String>,
    /// Whose.
    pub company: Option<Reference>,
    /// The agreement that was billed.
    pub agreement: Option<Reference>,
    /// Its date.
    #[serde(default, deserialize_with = "optional_date")]
    pub date: Option<WireDate>,
    /// Before tax.
    pub subtotal: Option<Number>,
    /// Tax.
    pub sales_tax: Option<Number>,
    /// With tax.
    pub total: Option<Number>,
    /// The currency.
    pub currency: Option<CurrencyReference>,
}

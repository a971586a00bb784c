//! Records as ConnectWise spells them: only the fields that are used.
//!
//! Unknown fields and unknown words are let pass, since the vendor adds both without notice. A managed field of another
//! type is an error: guessing there would bill somebody wrongly.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::value::{Number, WireDate, optional_date, words};

/// A record with an id.
pub trait Record {
    /// The id.
    fn id(&self) -> i64;
}

macro_rules! record {
    ($($name:ident),+) => {
        $(impl Record for $name {
            fn id(&self) -> i64 {
                self.id
            }
        })+
    };
}
record!(
    Company,
    Agreement,
    Addition,
    CatalogItem,
    BillingCycle,
    Currency,
    Invoice,
    SetupRow,
    UserDefinedField,
    SecurityRole,
    SecurityRoleSetting,
    ApiMember,
    Named,
    CallbackEntry
);

/// A reference to another record. Which of its keys are there depends on the kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Reference {
    /// The id.
    pub id: Option<i64>,
    /// The short unique text.
    pub identifier: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// A reference by id, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ById {
    /// The id.
    pub id: i64,
}

/// When a record was last changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Info {
    /// The instant as ConnectWise writes it, in whole seconds.
    #[serde(rename = "lastUpdated")]
    pub last_updated: Option<String>,
    /// Who changed it.
    #[serde(rename = "updatedBy")]
    pub updated_by: Option<String>,
}

/// A company.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Company {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: String,
    /// The name.
    pub name: String,
    /// Its status, a record of the tenant's own table.
    pub status: Option<Reference>,
    /// Whether it is in the recycle bin.
    #[serde(default)]
    pub deleted_flag: Option<bool>,
    /// Its currency.
    pub currency: Option<CurrencyReference>,
    /// The account number, which other systems use for their own id.
    pub account_number: Option<String>,
    /// The company that pays in its place.
    pub bill_to_company: Option<Reference>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
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

/// A row of a setup table, as far as anybody may read it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupRow {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// Whether it is taken where nothing is said.
    pub default_flag: Option<bool>,
}

/// A new catalog item.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewCatalogItem {
    /// The short unique text, 75 characters.
    pub identifier: String,
    /// The text, 60 characters.
    pub description: String,
    /// The text for customers.
    pub customer_description: String,
    /// The subcategory.
    pub subcategory: ById,
    /// The type.
    #[serde(rename = "type")]
    pub product_type: ById,
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

words! {
    /// What a catalog item is.
    ProductClass {
        /// An agreement sold as a product.
        Agreement,
        /// Several items in one; cannot be an addition.
        Bundle,
        /// Goods on stock.
        Inventory,
        /// Goods not on stock.
        NonInventory,
        /// A service.
        Service,
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
    /// Whether prorated additions are invoiced at once.
    pub invoice_prorated_additions_flag: Option<bool>,
    /// The currency.
    pub currency: Option<CurrencyReference>,
    /// The amount billed a period besides the additions.
    pub bill_amount: Option<Number>,
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

/// A catalog item.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogItem {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: String,
    /// The text.
    pub description: Option<String>,
    /// Whether it is no longer used.
    pub inactive_flag: Option<bool>,
    /// What it is.
    pub product_class: Option<ProductClass>,
    /// Price of one.
    pub price: Option<Number>,
    /// Cost of one.
    pub cost: Option<Number>,
    /// Whether it is taxed.
    pub taxable_flag: Option<bool>,
    /// The text for customers.
    pub customer_description: Option<String>,
    /// The vendor's number of it.
    pub vendor_sku: Option<String>,
    /// The number that another system knows it by.
    #[serde(rename = "integrationXRef")]
    pub integration_xref: Option<String>,
    /// The manufacturer's number.
    pub manufacturer_part_number: Option<String>,
    /// Its unit.
    pub unit_of_measure: Option<Reference>,
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

/// The definition of a custom field.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserDefinedField {
    /// The id.
    pub id: i64,
    /// The caption.
    pub caption: Option<String>,
    /// The screen it is on.
    pub screen_id: Option<String>,
    /// The part of the screen.
    pub pod_id: Option<i64>,
    /// The kind of field, for instance `Text`.
    pub field_type_identifier: Option<String>,
    /// Whether it cannot be written.
    pub read_only_flag: Option<bool>,
}

/// A security role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRole {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
    /// Whether it may do everything.
    pub admin_flag: Option<bool>,
}

words! {
    /// How far a right reaches.
    AccessLevel {
        /// Not at all.
        None,
        /// Own records; the others vanish without a word.
        My,
        /// All records.
        All,
    }
}

/// One function of a security role.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRoleSetting {
    /// The id.
    pub id: i64,
    /// The module.
    pub module_name: Option<String>,
    /// The module, as an identifier.
    pub module_identifier: Option<String>,
    /// The function.
    pub module_function_name: Option<String>,
    /// The function, as an identifier.
    pub module_function_identifier: Option<String>,
    /// Creating.
    pub add_level: Option<AccessLevel>,
    /// Changing.
    pub edit_level: Option<AccessLevel>,
    /// Deleting.
    pub delete_level: Option<AccessLevel>,
    /// Reading.
    pub inquire_level: Option<AccessLevel>,
    /// Whether a list narrows it further.
    pub custom_flag: Option<bool>,
}

/// A member that is used through the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiMember {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: Option<String>,
    /// Its role.
    pub security_role: Option<Reference>,
}

/// Any record of which only id and name matter.
#[derive(Debug, Clone, Deserialize)]
pub struct Named {
    /// The id.
    pub id: i64,
    /// The name.
    pub name: Option<String>,
}

/// A registered callback.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackEntry {
    /// The id.
    pub id: i64,
    /// Where it posts to.
    pub url: Option<String>,
    /// The kind of record.
    #[serde(rename = "type")]
    pub record_type: Option<String>,
    /// The level.
    pub level: Option<String>,
    /// The record of that level.
    pub object_id: Option<i64>,
    /// Whether it was switched off, which ConnectWise does after three days of failures.
    pub inactive_flag: Option<bool>,
}

/// Facts of the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemInfo {
    /// The version, for instance `v2026.3.105333`.
    pub version: Option<String>,
    /// Whether it is ConnectWise's cloud.
    pub is_cloud: Option<bool>,
    /// The zone of the server's clock.
    pub server_time_zone: Option<String>,
}

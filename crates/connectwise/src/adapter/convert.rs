//! ConnectWise's records in our words, and back. The only place that knows both spellings.
//!
//! A managed field that is not there is an error, not a default: a field renamed by a newer version must stop the
//! agreement and not rewrite it.

use jiff::civil::Date;
use rust_decimal::Decimal;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::money::{Currency, Money, Quantity};
use trueup_domain::period::{BillingCycle, CycleUnit, next_day, previous_day};
use trueup_domain::plan::{Field, FieldChange, OperationKey, looks_like_key};
use trueup_domain::psa::{
    AdditionState, Agreement, AgreementStatus, BillFlag, CatalogItem, Company, CompanyProfile, CompanyState,
    ObservedAddition,
};
use trueup_domain::settings::CancelledDate;

use super::lookups::Tables;
use super::marker::{Place, same_caption};
use crate::client::wire::{
    self, BillingOptions, ById, CurrencyReference, ProductClass, addition_fields as fields,
};
use crate::client::{NewAddition, Number, PatchOp, WireDate};

/// A record that cannot be carried over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{record}: {why}")]
pub(super) struct Faulty {
    /// Which record.
    pub(super) record: String,
    /// What is wrong with it.
    pub(super) why: String,
}

/// How additions of this tenant are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// What the cancelled date means.
    pub(super) cancelled_date: CancelledDate,
    /// The caption of the custom field with the key.
    pub(super) caption: &'a str,
}

pub(super) fn company(record: &wire::Company) -> Company {
    let status = record.status.as_ref().and_then(|s| s.name.as_deref()).unwrap_or_default();
    let state = if record.deleted_flag == Some(true) {
        CompanyState::Deleted
    } else if status.to_ascii_lowercase().contains("inactive") {
        // Statuses are a table of the tenant's own; the name is what its people go by.
        CompanyState::Inactive
    } else {
        CompanyState::Active
    };
    Company {
        id: CompanyId(record.id),
        identifier: record.identifier.clone(),
        name: record.name.clone(),
        state,
        currency: record.currency.as_ref().and_then(currency),
        profile: profile(record),
    }
}

fn profile(record: &wire::Company) -> CompanyProfile {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.trim().is_empty());
    let name = |value: &Option<wire::Reference>| value.as_ref().and_then(|r| text(&r.name));
    CompanyProfile {
        account_number: text(&record.account_number),
        tax_id: text(&record.tax_identifier),
        website: text(&record.website),
        email: text(&record.invoice_to_email_address),
        phone: text(&record.phone_number),
        street: text(&record.address_line1),
        city: text(&record.city),
        region: text(&record.state),
        postcode: text(&record.zip),
        country: name(&record.country),
        contact: name(&record.default_contact),
    }
}

/// The currency that a record names, by whichever of its texts is an ISO code.
pub(super) fn currency(reference: &CurrencyReference) -> Option<Currency> {
    iso_code([&reference.currency_code, &reference.currency_identifier, &reference.name])
}

/// The currency that a row of the tenant's table is.
pub(super) fn currency_of(row: &wire::Currency) -> Option<Currency> {
    iso_code([&row.currency_code, &row.currency_identifier, &row.name])
}

fn iso_code(texts: [&Option<String>; 3]) -> Option<Currency> {
    texts.into_iter().flatten().find_map(|text| text.trim().to_ascii_uppercase().parse().ok())
}

/// How often a billing cycle recurs; none where it does not, or where nothing says.
pub(super) fn billing_cycle(row: &wire::BillingCycle) -> Option<BillingCycle> {
    let by_name;
    let options = match (&row.billing_options, &row.name) {
        (Some(options), _) => options,
        (None, Some(name)) => {
            by_name = cycle_by_name(name)?;
            &by_name
        }
        (None, None) => return None,
    };
    let (every, unit) = match options {
        BillingOptions::Weekly => (1, CycleUnit::Week),
        BillingOptions::BiWeekly => (2, CycleUnit::Week),
        BillingOptions::Monthly => (1, CycleUnit::Month),
        BillingOptions::BiMonthly => (2, CycleUnit::Month),
        BillingOptions::Quarterly => (3, CycleUnit::Month),
        BillingOptions::SemiAnnual => (6, CycleUnit::Month),
        BillingOptions::Yearly => (1, CycleUnit::Year),
        BillingOptions::NotRecurring | BillingOptions::Unknown(_) => return None,
    };
    BillingCycle::new(every, unit).ok()
}

/// The readable copy of the table has names only. Just the plain words are taken: a guess here would bill wrongly.
fn cycle_by_name(name: &str) -> Option<BillingOptions> {
    let plain: String =
        name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    Some(match plain.as_str() {
        "weekly" => BillingOptions::Weekly,
        "biweekly" => BillingOptions::BiWeekly,
        "monthly" => BillingOptions::Monthly,
        "bimonthly" => BillingOptions::BiMonthly,
        "quarterly" => BillingOptions::Quarterly,
        "semiannual" | "semiannually" => BillingOptions::SemiAnnual,
        "yearly" | "annual" | "annually" => BillingOptions::Yearly,
        _ => return None,
    })
}

pub(super) fn agreement(record: &wire::Agreement, tables: &Tables) -> Result<Agreement, Faulty> {
    let faulty = |why: &str| Faulty { record: format!("agreement {}", record.id), why: why.to_owned() };
    let company = record.company.id.ok_or_else(|| faulty("`company` has no id"))?;
    let cycle =
        record.billing_cycle.as_ref().and_then(|c| c.id).filter(|_| record.bill_one_time_flag != Some(true));
    let status = match &record.agreement_status {
        Some(wire::AgreementStatus::Active) => AgreementStatus::Active,
        Some(wire::AgreementStatus::Cancelled) => AgreementStatus::Cancelled,
        Some(wire::AgreementStatus::Expired) => AgreementStatus::Expired,
        Some(wire::AgreementStatus::Inactive) => AgreementStatus::Inactive,
        None if record.cancelled_flag == Some(true) => AgreementStatus::Cancelled,
        // Nothing is written into an agreement whose state is not known, and the others go on.
        Some(wire::AgreementStatus::Unknown(_)) | None => AgreementStatus::Inactive,
    };
    Ok(Agreement {
        id: AgreementId(record.id),
        name: record.name.clone(),
        company: CompanyId(company),
        agreement_type: record.agreement_type.as_ref().and_then(|t| t.name.clone()).unwrap_or_default(),
        status,
        billing_cycle: cycle.and_then(|id| tables.cycles.get(&id).copied().flatten()),
        currency: tables.currency_of(record),
        start: day(record.start_date),
        end: last_day(record),
        bill_start: day(record.bill_start_date),
        next_invoice: day(record.next_invoice_date),
        prorates: record.prorate_flag == Some(true),
        prorates_at_once: record.invoice_prorated_additions_flag == Some(true),
        by_calendar: record.invoicing_cycle == Some(wire::InvoicingCycle::CalendarYear),
        parent: record.parent_agreement.as_ref().and_then(|p| p.id).map(AgreementId),
        last_updated: record.info.last_updated.clone(),
    })
}

/// The last day of an agreement: its end date, or the day on which it is cancelled, whichever comes first.
fn last_day(record: &wire::Agreement) -> Option<Date> {
    let ends = day(record.end_date).filter(|_| record.no_ending_date_flag != Some(true));
    let cancelled = day(record.date_cancelled).filter(|_| record.cancelled_flag == Some(true));
    ends.into_iter().chain(cancelled).min()
}

pub(super) fn addition(
    record: &wire::Addition,
    agreement: AgreementId,
    reading: &Reading<'_>,
) -> Result<ObservedAddition, Faulty> {
    let faulty =
        |why: String| Faulty { record: format!("addition {} of agreement {agreement}", record.id), why };
    let missing = |field: &str| faulty(format!("the field `{field}` is missing"));
    if record.agreement_id.is_some_and(|id| id != agreement.0) {
        return Err(faulty("it belongs to another agreement".to_owned()));
    }
    let decimal = |field: &str, value: Option<Number>| {
        let value = value.ok_or_else(|| missing(field))?.0.normalize();
        in_range(value).then_some(value).ok_or_else(|| faulty(format!("`{field}` is out of range: {value}")))
    };
    let bill = match record.bill_customer.as_ref().ok_or_else(|| missing(fields::BILL_CUSTOMER))? {
        wire::BillCustomer::Billable => BillFlag::Billable,
        wire::BillCustomer::DoNotBill => BillFlag::DoNotBill,
        wire::BillCustomer::NoCharge => BillFlag::NoCharge,
        wire::BillCustomer::Unknown(word) => {
            return Err(faulty(format!("`billCustomer` is `{}`", short(word))));
        }
    };
    let less_included = match record.less_included {
        Some(value) => Quantity::new(decimal(fields::LESS_INCLUDED, Some(value))?),
        None => Quantity::ZERO,
    };
    let state = AdditionState {
        catalog_item: CatalogItemId(record.product.id.ok_or_else(|| missing(fields::PRODUCT))?),
        quantity: Quantity::new(decimal(fields::QUANTITY, record.quantity)?),
        unit_price: Money::new(decimal(fields::UNIT_PRICE, record.unit_price)?),
        unit_cost: Money::new(decimal(fields::UNIT_COST, record.unit_cost)?),
        effective: day(record.effective_date).ok_or_else(|| missing(fields::EFFECTIVE_DATE))?,
        cancelled: day(record.cancelled_date).map(|d| last_billed(d, reading.cancelled_date)),
        bill,
        taxable: record.taxable_flag,
        description: text(record.description.as_deref()),
        invoice_description: text(record.invoice_description.as_deref()),
    };
    Ok(ObservedAddition {
        id: AdditionId(record.id),
        agreement,
        state,
        less_included,
        marker: key_of(record, reading.caption),
        last_updated: record.info.last_updated.clone(),
    })
}

/// The key, wherever it was written: the setting may have changed since.
fn key_of(record: &wire::Addition, caption: &str) -> Option<String> {
    let custom = record
        .custom_fields
        .iter()
        .flatten()
        .filter(|f| f.caption.as_deref().is_some_and(|c| same_caption(c, caption)))
        .find_map(wire::CustomField::text);
    let serial =
        || record.serial_number.as_deref().map(str::trim).filter(|s| looks_like_key(s)).map(str::to_owned);
    custom.or_else(serial)
}

pub(super) fn catalog_item(record: &wire::CatalogItem) -> Result<CatalogItem, Faulty> {
    let money = |field: &str, value: Option<Number>| match value.map(|v| v.0.normalize()) {
        Some(value) if in_range(value) => Ok(Some(Money::new(value))),
        None => Ok(None),
        Some(value) => Err(Faulty {
            record: format!("catalog item {}", record.id),
            why: format!("`{field}` is out of range: {value}"),
        }),
    };
    Ok(CatalogItem {
        id: CatalogItemId(record.id),
        identifier: record.identifier.clone(),
        description: record.description.clone().unwrap_or_default(),
        price: money("price", record.price)?,
        cost: money("cost", record.cost)?,
        taxable: record.taxable_flag,
        inactive: record.inactive_flag == Some(true),
        bundle: record.product_class == Some(ProductClass::Bundle),
    })
}

/// A new addition that carries its key.
pub(super) fn new_addition(
    wanted: &AdditionState,
    key: &OperationKey,
    place: &Place,
    cancelled_date: CancelledDate,
) -> Result<NewAddition, String> {
    let custom_fields = match place {
        Place::CustomField(id) => Some(vec![wire::CustomField {
            id: *id,
            caption: None,
            value: Some(serde_json::value::to_raw_value(&key.0).map_err(|e| e.to_string())?),
        }]),
        Place::SerialNumber | Place::Nowhere => None,
    };
    Ok(NewAddition {
        product: ById { id: wanted.catalog_item.0 },
        quantity: Number(wanted.quantity.decimal()),
        unit_price: Some(Number(wanted.unit_price.decimal())),
        unit_cost: Some(Number(wanted.unit_cost.decimal())),
        bill_customer: bill_customer(wanted.bill),
        effective_date: WireDate(wanted.effective),
        cancelled_date: wanted.cancelled.map(|d| WireDate(written_end(d, cancelled_date))),
        taxable_flag: wanted.taxable,
        description: wanted.description.clone(),
        invoice_description: wanted.invoice_description.clone(),
        serial_number: (*place == Place::SerialNumber).then(|| key.0.clone()),
        custom_fields,
    })
}

/// The same without price, cost, tax flag and texts: ConnectWise fills what a body leaves out from the catalog item.
pub(super) fn priced_by_catalog(addition: NewAddition) -> NewAddition {
    NewAddition {
        unit_price: None,
        unit_cost: None,
        taxable_flag: None,
        description: None,
        invoice_description: None,
        ..addition
    }
}

/// The named fields, set to what is wanted.
pub(super) fn patch(
    wanted: &AdditionState,
    changes: &[FieldChange],
    cancelled_date: CancelledDate,
) -> Result<Vec<PatchOp>, String> {
    let mut ops = Vec::new();
    for change in changes {
        let op = match change.field {
            Field::CatalogItem => {
                Some(PatchOp::replace(fields::PRODUCT, &ById { id: wanted.catalog_item.0 }))
            }
            Field::Quantity => Some(PatchOp::replace(fields::QUANTITY, &Number(wanted.quantity.decimal()))),
            Field::UnitPrice => {
                Some(PatchOp::replace(fields::UNIT_PRICE, &Number(wanted.unit_price.decimal())))
            }
            Field::UnitCost => Some(PatchOp::replace(fields::UNIT_COST, &Number(wanted.unit_cost.decimal()))),
            Field::EffectiveDate => {
                Some(PatchOp::replace(fields::EFFECTIVE_DATE, &WireDate(wanted.effective)))
            }
            Field::CancelledDate => Some(match wanted.cancelled {
                Some(d) => {
                    PatchOp::replace(fields::CANCELLED_DATE, &WireDate(written_end(d, cancelled_date)))
                }
                None => Ok(PatchOp::clear(fields::CANCELLED_DATE)),
            }),
            Field::Bill => Some(PatchOp::replace(fields::BILL_CUSTOMER, &bill_customer(wanted.bill))),
            // None leaves these to the catalog item, so there is nothing to set.
            Field::Taxable => wanted.taxable.map(|t| PatchOp::replace(fields::TAXABLE, &t)),
            Field::Description => {
                wanted.description.as_ref().map(|t| PatchOp::replace(fields::DESCRIPTION, t))
            }
            Field::InvoiceDescription => {
                wanted.invoice_description.as_ref().map(|t| PatchOp::replace(fields::INVOICE_DESCRIPTION, t))
            }
        };
        ops.extend(op.transpose().map_err(|e| e.to_string())?);
    }
    Ok(ops)
}

fn bill_customer(flag: BillFlag) -> wire::BillCustomer {
    match flag {
        BillFlag::Billable => wire::BillCustomer::Billable,
        BillFlag::DoNotBill => wire::BillCustomer::DoNotBill,
        BillFlag::NoCharge => wire::BillCustomer::NoCharge,
    }
}

fn last_billed(written: Date, meaning: CancelledDate) -> Date {
    match meaning {
        CancelledDate::LastBilledDay => written,
        CancelledDate::FirstUnbilledDay => previous_day(written),
    }
}

fn written_end(last_billed: Date, meaning: CancelledDate) -> Date {
    match meaning {
        CancelledDate::LastBilledDay => last_billed,
        CancelledDate::FirstUnbilledDay => next_day(last_billed),
    }
}

/// What the domain can calculate with: below a thousand million millions, up to 18 decimal places.
fn in_range(value: Decimal) -> bool {
    value.scale() <= 18 && value.abs() < Decimal::from(1_000_000_000_000_000_i64)
}

fn day(date: Option<WireDate>) -> Option<Date> {
    date.map(|d| d.0)
}

fn text(value: Option<&str>) -> Option<String> {
    value.filter(|t| !t.is_empty()).map(str::to_owned)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

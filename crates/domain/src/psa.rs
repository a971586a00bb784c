//! What ConnectWise holds, in our words: companies, agreements, additions, catalog items, and a snapshot of them.

use crate::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use crate::money::{Currency, Money, Quantity};
use crate::period::{BillingCycle, CycleUnit, Period};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a record can be used, and if not why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompanyState {
    /// In use.
    Active,
    /// Set inactive.
    Inactive,
    /// In the recycle bin.
    Deleted,
}

/// A customer's record in ConnectWise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Company {
    /// Record id.
    pub id: CompanyId,
    /// Short unique text.
    pub identifier: String,
    /// Display name.
    pub name: String,
    /// State.
    pub state: CompanyState,
    /// Currency, where set.
    pub currency: Option<Currency>,
    /// What else is known of it: tells which customer it is, and makes a customer of it.
    #[serde(default, skip_serializing_if = "CompanyProfile::is_empty")]
    pub profile: CompanyProfile,
}

/// What is known of a company beside what billing needs. Empty texts are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanyProfile {
    /// The account number, which other systems use for their own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_number: Option<String>,
    /// Tax id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Web site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Address that invoices go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Telephone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Street.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postcode: Option<String>,
    /// Country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Name of the main contact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

impl CompanyProfile {
    /// Takes what is given where nothing is known: ConnectWise is right about what it has.
    pub fn fill(&mut self, given: &Self) {
        let Self {
            account_number,
            tax_id,
            website,
            email,
            phone,
            street,
            city,
            region,
            postcode,
            country,
            contact,
        } = self;
        let pairs = [
            (account_number, &given.account_number),
            (tax_id, &given.tax_id),
            (website, &given.website),
            (email, &given.email),
            (phone, &given.phone),
            (street, &given.street),
            (city, &given.city),
            (region, &given.region),
            (postcode, &given.postcode),
            (country, &given.country),
            (contact, &given.contact),
        ];
        for (own, given) in pairs {
            if own.as_ref().is_none_or(|text| text.trim().is_empty()) {
                own.clone_from(given);
            }
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// State of an agreement, as ConnectWise derives it from dates and the cancelled flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgreementStatus {
    /// In force.
    Active,
    /// Cancelled.
    Cancelled,
    /// Past its end date.
    Expired,
    /// Not begun, or switched off.
    Inactive,
}

/// A recurring contract in ConnectWise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Record id.
    pub id: AgreementId,
    /// Display name.
    pub name: String,
    /// Whose.
    pub company: CompanyId,
    /// Name of the agreement type.
    pub agreement_type: String,
    /// State.
    pub status: AgreementStatus,
    /// Billing cycle; none when it is unknown or not recurring.
    pub billing_cycle: Option<BillingCycle>,
    /// Currency: the agreement's, else the company's, else the system's.
    pub currency: Option<Currency>,
    /// First day.
    pub start: Option<Date>,
    /// Last day; none without end.
    pub end: Option<Date>,
    /// First day that is billed.
    pub bill_start: Option<Date>,
    /// First day of the next period to be invoiced: everything before it is invoiced.
    pub next_invoice: Option<Date>,
    /// Whether ConnectWise prorates additions by itself.
    pub prorates: bool,
    /// Whether ConnectWise bills what it prorates of invoiced days at once, on an invoice of its own, and not with the next
    /// period (`invoiceProratedAdditionsFlag`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prorates_at_once: bool,
    /// Whether its periods lie on the calendar year, whatever day its billing starts on: then the first one is cut short.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_calendar: bool,
    /// The agreement on whose invoice this one is billed.
    pub parent: Option<AgreementId>,
    /// When ConnectWise last changed the record, as it writes it.
    pub last_updated: Option<String>,
}

impl Agreement {
    /// Whether a day is invoiced: the next invoice date has moved past the billing start, and past the day. Where nothing
    /// says when billing started, everything before the next invoice counts as invoiced.
    pub fn invoiced_before(&self, date: Date) -> bool {
        let Some(next) = self.next_invoice else { return false };
        self.bill_start.or(self.start).is_none_or(|start| next > start) && date < next
    }

    /// Whether a line that begins on `effective` may be on an invoice already: one of this agreement, or of the one that
    /// invoices it. `at_write` is the next invoice date as it was when trueup wrote the line, where it did. Where nobody can
    /// tell, the line counts as billed: what was billed must not be deleted (D9).
    pub fn may_have_billed(&self, billed_by: &Self, effective: Date, at_write: Option<Date>) -> bool {
        // What was known at the write are the agreement's own invoices: of the parent's only the dates can tell.
        let by_parent = billed_by.id != self.id;
        if by_parent && billed_by.invoiced_before(effective) {
            return true;
        }
        let Some(next) = self.next_invoice else { return !by_parent };
        if self.prorates && self.prorates_at_once && self.invoiced_before(effective) {
            return true;
        }
        match at_write {
            Some(then) => next > then && effective < next,
            None => self.invoiced_before(effective),
        }
    }

    /// The day that its periods are laid from: its billing start, or the first day of a year where they lie on the
    /// calendar. Weeks lie on no year.
    pub fn laid_from(&self, cycle: BillingCycle) -> Option<Date> {
        let start = self.bill_start.or(self.start)?;
        Some(if self.lies_on_calendar(cycle) { start.first_of_year() } else { start })
    }

    /// Whether its periods are months or years of the calendar.
    pub(crate) fn lies_on_calendar(&self, cycle: BillingCycle) -> bool {
        self.by_calendar && matches!(cycle.unit, CycleUnit::Month | CycleUnit::Year)
    }

    /// The period that the next invoice bills.
    pub fn open_period(&self) -> Option<Period> {
        let next = self.next_invoice?;
        let cycle = self.billing_cycle?;
        let anchor = self.laid_from(cycle).unwrap_or(next);
        // Invoiced periods are laid from the billing start; an agreement moved by hand is laid from where it stands.
        match cycle.period_containing(anchor, next) {
            Ok(period) if period.start() == next => Some(period),
            Ok(period) if self.lies_on_calendar(cycle) => self.cut_short(period, next),
            Ok(_) | Err(_) => Period::new(next, cycle.boundary(next, 1).ok()?).ok(),
        }
    }

    /// The days of a calendar period that the invoice with `day` bills: billing starts within the first, and an invoice
    /// date that was moved by hand parts another. Where ConnectWise prorates, the first stays whole: shares are of all of
    /// it, and no line begins before the billing start.
    pub(crate) fn cut_short(&self, period: Period, day: Date) -> Option<Period> {
        let start = self.bill_start.or(self.start);
        let is_first = start.is_some_and(|start| period.contains(start));
        let next = self.next_invoice.filter(|next| !(is_first && start == Some(*next)));
        let cuts = [start.filter(|_| !self.prorates), next];
        let mut cuts = cuts.into_iter().flatten().filter(|cut| period.start() < *cut && *cut < period.end());
        cuts.try_fold(period, |left, cut| if day < cut { left.before_day(cut) } else { left.from_day(cut) })
    }
}

/// Whether an addition is billed to the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BillFlag {
    /// Billed.
    #[default]
    Billable,
    /// Not billed.
    DoNotBill,
    /// Shown at no charge.
    NoCharge,
}

/// The managed fields of an addition: what trueup writes, compares and explains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionState {
    /// What is billed.
    pub catalog_item: CatalogItemId,
    /// How many.
    pub quantity: Quantity,
    /// Price of one unit.
    pub unit_price: Money,
    /// Cost of one unit.
    pub unit_cost: Money,
    /// First billed day.
    pub effective: Date,
    /// Last billed day; none while open. The tenant's own reading of ConnectWise's field is handled at the edge.
    pub cancelled: Option<Date>,
    /// Whether it is billed.
    #[serde(default)]
    pub bill: BillFlag,
    /// Whether it is taxed; none leaves it to the catalog item.
    pub taxable: Option<bool>,
    /// The line's text; none leaves it to the catalog item.
    pub description: Option<String>,
    /// The text that prints on the invoice; none leaves it to the catalog item.
    pub invoice_description: Option<String>,
}

impl AdditionState {
    /// Quantity, price and cost.
    pub fn amounts(&self) -> (Quantity, Money, Money) {
        (self.quantity, self.unit_price, self.unit_cost)
    }

    /// Whether the addition bills on `day`.
    pub fn bills_on(&self, day: Date) -> bool {
        self.effective <= day && self.cancelled.is_none_or(|last| day <= last)
    }

    /// Whether it is not over on `day`: it has no end, or one that is still to come or is that day.
    pub fn lasts(&self, day: Date) -> bool {
        self.cancelled.is_none_or(|last| day <= last)
    }

    /// Whether it has no end.
    pub fn is_open(&self) -> bool {
        self.cancelled.is_none()
    }
}

/// A line on an agreement, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedAddition {
    /// Record id.
    pub id: AdditionId,
    /// On which agreement.
    pub agreement: AgreementId,
    /// The managed fields.
    pub state: AdditionState,
    /// How many of the quantity are included and not billed.
    #[serde(default)]
    pub less_included: Quantity,
    /// Our key, where the addition carries one.
    pub marker: Option<String>,
    /// When ConnectWise last changed the record, as it writes it.
    pub last_updated: Option<String>,
}

/// A product definition in ConnectWise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogItem {
    /// Record id.
    pub id: CatalogItemId,
    /// Short unique text.
    pub identifier: String,
    /// Text.
    pub description: String,
    /// Price of one unit.
    pub price: Option<Money>,
    /// Cost of one unit.
    pub cost: Option<Money>,
    /// Whether it is taxed.
    pub taxable: Option<bool>,
    /// Whether it was set inactive.
    pub inactive: bool,
    /// Whether it is of class Bundle, which cannot be an addition.
    pub bundle: bool,
}

/// What was read from ConnectWise, whole: a snapshot is a value only when every list in it arrived complete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Companies by id.
    pub companies: BTreeMap<CompanyId, Company>,
    /// Agreements by id.
    pub agreements: BTreeMap<AgreementId, Agreement>,
    /// Additions of each agreement that was read, in the order of their ids.
    pub additions: BTreeMap<AgreementId, Vec<ObservedAddition>>,
    /// Catalog items by id.
    pub catalog: BTreeMap<CatalogItemId, CatalogItem>,
}

impl Snapshot {
    /// The additions of one agreement.
    pub fn additions_of(&self, agreement: AgreementId) -> &[ObservedAddition] {
        self.additions.get(&agreement).map_or(&[], Vec::as_slice)
    }

    /// One addition, wherever it is.
    pub fn find_addition(&self, id: AdditionId) -> Option<&ObservedAddition> {
        self.additions.values().flatten().find(|a| a.id == id)
    }

    /// The agreement whose invoice bills this one: itself, or its parent where it has one.
    pub fn invoicing_agreement<'a>(&'a self, agreement: &'a Agreement) -> &'a Agreement {
        invoicing_among(&self.agreements, agreement)
    }
}

/// The agreement whose invoice bills this one, as far as it is among those that are known.
pub fn invoicing_among<'a>(
    agreements: &'a BTreeMap<AgreementId, Agreement>,
    agreement: &'a Agreement,
) -> &'a Agreement {
    let mut at = agreement;
    // Parents of parents do not occur in ConnectWise; the bound keeps a broken record from looping.
    for _ in 0..8 {
        match at.parent.and_then(|id| agreements.get(&id)) {
            Some(parent) => at = parent,
            None => break,
        }
    }
    at
}

//! Rules of agreements: defaults, dates, status and the next invoice date.

use jiff::civil::Date;

use crate::clock::day_text;
use crate::error::Detail;
use crate::json::Json;
use crate::normalize::{Mode, missing};
use crate::schema::paths;
use crate::store::{Record, Row, World};

/// Fields an agreement takes from its type when a body leaves them out.
const FROM_TYPE: &[(&str, &str)] = &[
    ("location", "location"),
    ("department", "department"),
    ("applicationUnits", "applicationUnits"),
    ("applicationLimit", "applicationLimit"),
    ("applicationCycle", "applicationCycle"),
    ("applicationUnlimitedFlag", "applicationUnlimitedFlag"),
    ("oneTimeFlag", "oneTimeFlag"),
    ("employeeCompRate", "employeeCompRate"),
    ("employeeCompNotExceed", "employeeCompNotExceed"),
    ("compHourlyRate", "compHourlyRate"),
    ("compLimitAmount", "compLimitAmount"),
    ("billingCycle", "billingCycle"),
    ("billOneTimeFlag", "billOneTimeFlag"),
    ("billingTerms", "billingTerms"),
    ("invoicingCycle", "invoicingCycle"),
    ("billAmount", "billAmount"),
    ("taxable", "taxableFlag"),
    ("invoiceDescription", "invoiceDescription"),
    ("billTime", "billTime"),
    ("billExpenses", "billExpenses"),
    ("billProducts", "billProducts"),
    ("prorateFlag", "prorateFlag"),
    ("autoInvoiceFlag", "autoInvoiceFlag"),
    ("billZeroAmountFlag", "billZeroAmountFlag"),
    ("invoiceProratedAdditionsFlag", "invoiceProratedAdditionsFlag"),
];

/// Booleans that are false rather than absent.
const OFF: &[&str] = &[
    "restrictLocationFlag",
    "restrictDepartmentFlag",
    "cancelledFlag",
    "applicationUnlimitedFlag",
    "oneTimeFlag",
    "coverAgreementTime",
    "coverAgreementProduct",
    "coverAgreementExpense",
    "coverSalesTax",
    "carryOverUnused",
    "allowOverruns",
    "expireWhenZero",
    "chargeToFirm",
    "billOneTimeFlag",
    "taxable",
    "restrictDownPayment",
    "prorateFlag",
    "invoiceProratedAdditionsFlag",
    "topComment",
    "bottomComment",
    "billableTimeInvoice",
    "billableExpenseInvoice",
    "billableProductInvoice",
    "autoInvoiceFlag",
    "billZeroAmountFlag",
];

/// Fills what a body left out.
pub(crate) fn fill(world: &World, draft: &mut Record) {
    if let Some(kind) = world.record_at(paths::AGREEMENT_TYPES, draft.link("type")) {
        for (field, source) in FROM_TYPE {
            if let Some(value) = kind.get(source) {
                draft.default(field, value.clone());
            }
        }
    }
    let company = draft.link("company");
    if let Some(record) = world.record_at(paths::COMPANIES, company) {
        for field in ["currency", "taxCode", "site", "billingTerms"] {
            if let Some(value) = record.get(field) {
                draft.default(field, value.clone());
            }
        }
    }
    let first = |path| world.default_of(path).map_or(Json::Null, Json::Int);
    draft.default("billingCycle", first(paths::BILLING_CYCLES));
    draft.default("billingTerms", first(paths::BILLING_TERMS));
    draft.default("currency", first(paths::CURRENCIES));
    draft.default("location", first(paths::LOCATIONS));
    draft.default("department", first(paths::DEPARTMENTS));
    let today = Json::Str(day_text(world.clock.today()));
    draft.default("startDate", today);
    if let Some(start) = draft.get("startDate").cloned() {
        draft.default("billStartDate", start);
    }
    draft.default("noEndingDateFlag", Json::Bool(draft.get("endDate").is_none()));
    for (field, word) in [
        ("applicationUnits", "Amount"),
        ("applicationCycle", "CalendarMonth"),
        ("employeeCompRate", "Actual"),
        ("employeeCompNotExceed", "Billing"),
        ("invoicingCycle", "ContractYear"),
        ("billTime", "NoDefault"),
        ("billExpenses", "NoDefault"),
        ("billProducts", "NoDefault"),
        ("periodType", "Current"),
    ] {
        draft.default(field, word.into());
    }
    for field in ["applicationLimit", "compHourlyRate", "compLimitAmount", "billAmount", "prorateFirstBill"] {
        draft.default(field, Json::Dec(rust_decimal::Decimal::ZERO));
    }
    for field in OFF {
        draft.default(field, Json::Bool(false));
    }
    let (company, contact, site) =
        (draft.get("company").cloned(), draft.get("contact").cloned(), draft.get("site").cloned());
    for (field, value) in [
        ("billToCompany", &company),
        ("billToContact", &contact),
        ("billToSite", &site),
        ("shipToCompany", &company),
        ("shipToContact", &contact),
        ("shipToSite", &site),
    ] {
        draft.default(field, value.clone().unwrap_or(Json::Null));
    }
}

/// Checks a draft and settles its next invoice date.
pub(crate) fn check(
    world: &World,
    id: Option<i64>,
    draft: &mut Record,
    old: Option<&Record>,
    mode: Mode,
    details: &mut Vec<Detail>,
) {
    let invoiced = id.is_some_and(|id| !world.billed(id).is_empty());
    let moved = old.is_some_and(|old| old.get("billStartDate") != draft.get("billStartDate"));
    if draft.get("nextInvoiceDate").is_none() || (moved && !invoiced && mode != Mode::Seed) {
        let start = draft.get("billStartDate").cloned().unwrap_or(Json::Null);
        draft.set("nextInvoiceDate", start);
    }
    if mode == Mode::Seed {
        return;
    }
    let mut wrong = |field: &str, message: &str| {
        details.push(Detail::new("InvalidField", message, "agreement", field));
    };
    if draft.flag("noEndingDateFlag") == draft.get("endDate").is_some() {
        let message = if draft.flag("noEndingDateFlag") {
            "endDate cannot be set while noEndingDateFlag is true."
        } else {
            "endDate is required when noEndingDateFlag is false."
        };
        wrong("endDate", message);
    }
    if let (Some(start), Some(end)) = (draft.day("startDate"), draft.day("endDate"))
        && end < start
    {
        wrong("endDate", "endDate cannot be less than startDate.");
    }
    if draft.link("parentAgreement").is_some() && draft.link("parentAgreement") == id {
        wrong("parentAgreement", "An agreement cannot be its own parent.");
    }
    if let Some(parent) = world.record_at(paths::AGREEMENTS, draft.link("parentAgreement"))
        && parent.link("billingCycle") != draft.link("billingCycle")
    {
        wrong("billingCycle", "The billing cycle must be the same as the parent agreement's.");
    }
    if world.rules.contact_required
        && draft.get("contact").is_none()
        && !details.iter().any(|detail| detail.field.starts_with("contact") || detail.resource == "contact")
    {
        details.push(missing("agreement", "contact"));
    }
}

/// What the server works out for an agreement.
pub(crate) fn computed(world: &World, row: &Row, name: &str) -> Option<Json> {
    match name {
        "agreementStatus" => Some(status(&row.record, world.clock.today()).into()),
        "companyLocation" => Some(row.record.get("location").cloned().unwrap_or(Json::Null)),
        "nextInvoiceDate" => {
            Some(next_invoice(world, &row.record).map_or(Json::Null, |day| Json::Str(day_text(day))))
        }
        _ => None,
    }
}

fn status(record: &Record, today: Date) -> &'static str {
    if record.flag("cancelledFlag") && record.day("dateCancelled").is_none_or(|day| day <= today) {
        "Cancelled"
    } else if record.day("startDate").is_some_and(|day| day > today) {
        "Inactive"
    } else if record.day("endDate").is_some_and(|day| day < today) {
        "Expired"
    } else {
        "Active"
    }
}

/// The day the next invoice starts at; a child follows its parent, which invoices it.
pub(crate) fn next_invoice(world: &World, record: &Record) -> Option<Date> {
    billed_by(world, record).unwrap_or(record).day("nextInvoiceDate")
}

/// The parent agreement that invoices this one, if any.
fn billed_by<'w>(world: &'w World, record: &Record) -> Option<&'w Record> {
    world.record_at(paths::AGREEMENTS, record.link("parentAgreement"))
}

/// The agreement whose invoices bill this one: its parent, or itself.
pub(crate) fn payer(world: &World, agreement: i64) -> i64 {
    let record = world.record_at(paths::AGREEMENTS, Some(agreement));
    record.and_then(|record| record.link("parentAgreement")).unwrap_or(agreement)
}

/// The last day an agreement bills, if it ends.
pub(crate) fn last_day(record: &Record) -> Option<Date> {
    let cancelled = if record.flag("cancelledFlag") { record.day("dateCancelled") } else { None };
    [record.day("endDate"), cancelled].into_iter().flatten().min()
}

/// Decimal places of the agreement's currency.
pub(crate) fn places(world: &World, record: &Record) -> u32 {
    let currency = world.record_at(paths::CURRENCIES, record.link("currency"));
    currency
        .and_then(|currency| currency.get("numberOfDecimals"))
        .and_then(Json::as_int)
        .and_then(|places| u32::try_from(places).ok())
        .unwrap_or(2)
}

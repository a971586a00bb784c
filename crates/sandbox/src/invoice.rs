//! Agreement invoicing: one invoice a period, full or prorated lines, catch-up of late additions, and undoing it.

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::addition::{billed_quantity, last_billed_day, prorates_itself, round, share};
use crate::agreement::{last_day, next_invoice, payer, places};
use crate::clock::day_text;
use crate::error::{ApiError, Detail};
use crate::json::{Json, object};
use crate::ledger::{BilledInvoice, BilledLine};
use crate::period::{Cycle, Period, days_between};
use crate::schema::{self, paths};
use crate::store::{Record, Row, World};
use crate::tax::sales_tax;

fn refused(message: &str) -> ApiError {
    ApiError::invalid("agreement", vec![Detail::new("InvalidField", message, "agreement", "nextInvoiceDate")])
}

/// What is being invoiced: the days, and the whole period they are counted against.
#[derive(Clone, Copy)]
struct Billing {
    from: Date,
    period: Period,
    prorate: bool,
    places: u32,
}

/// Makes the next invoice of an agreement and answers its id.
pub(crate) fn generate(world: &mut World, agreement: i64) -> Result<i64, ApiError> {
    let Some(row) = world.row_at(paths::AGREEMENTS, agreement) else {
        return Err(ApiError::not_found("Agreement", agreement));
    };
    let owner = row.record.clone();
    if owner.link("parentAgreement").is_some() {
        return Err(refused("The agreement is invoiced with its parent agreement."));
    }
    let period = open_period(world, agreement, &owner)?;
    let next = owner.day("nextInvoiceDate").unwrap_or(period.start);
    let billing = Billing {
        from: next.max(period.start),
        period,
        prorate: owner.flag("prorateFlag"),
        places: places(world, &owner),
    };
    let lines = lines(world, agreement, &owner, billing);
    let billed = BilledInvoice {
        invoice: 0,
        agreement,
        period_start: billing.from,
        period_end: period.end,
        additions_only: false,
        sales_tax: sales_tax(world, &owner, &lines, billing.from, billing.places),
        lines,
    };
    let invoice = post(world, &owner, billed, billing.from);
    let mut advanced = owner;
    advanced.set("nextInvoiceDate", Json::Str(day_text(period.end)));
    world.replace(agreement, advanced);
    Ok(invoice)
}

/// With `invoiceProratedAdditionsFlag`, what additions owe for periods already invoiced goes on an invoice of its own
/// at once; the agreement's next invoice stays where it is. Answers the invoice, if there was anything to bill.
pub(crate) fn bill_late_additions(world: &mut World, agreement: i64) -> Option<i64> {
    let payer = payer(world, agreement);
    let owner = world.record_at(paths::AGREEMENTS, Some(payer))?.clone();
    if !owner.flag("invoiceProratedAdditionsFlag") {
        return None;
    }
    let lines = late_lines(world, payer, &owner);
    let period_start = lines.iter().map(|line| line.from).min()?;
    let period_end = lines.iter().map(|line| line.period_end).max()?;
    let today = world.clock.today();
    let billed = BilledInvoice {
        invoice: 0,
        agreement: payer,
        period_start,
        period_end,
        additions_only: true,
        sales_tax: sales_tax(world, &owner, &lines, today, places(world, &owner)),
        lines,
    };
    Some(post(world, &owner, billed, today))
}

/// The invoices of an agreement's periods, oldest first.
fn period_invoices(world: &World, agreement: i64) -> impl DoubleEndedIterator<Item = &BilledInvoice> {
    world.billed(agreement).iter().filter(|invoice| !invoice.additions_only)
}

/// The period the next invoice is for.
fn open_period(world: &World, agreement: i64, owner: &Record) -> Result<Period, ApiError> {
    let cycle =
        Cycle::of(world, owner).ok_or_else(|| refused("The agreement has no billing cycle or start."))?;
    let next =
        owner.day("nextInvoiceDate").ok_or_else(|| refused("The agreement has no next invoice date."))?;
    let once = owner.flag("billOneTimeFlag")
        || world
            .record_at(paths::BILLING_CYCLES, owner.link("billingCycle"))
            .is_some_and(|cycle| cycle.text("billingOptions") == Some("NotRecurring"));
    if once && period_invoices(world, agreement).next().is_some() {
        return Err(refused("The agreement bills once and was invoiced already."));
    }
    if last_day(owner).is_some_and(|last| last < next) {
        return Err(refused("The agreement has ended; there is no period left to invoice."));
    }
    cycle.containing(next).ok_or_else(|| refused("The next invoice date is out of range."))
}

fn lines(world: &World, agreement: i64, owner: &Record, billing: Billing) -> Vec<BilledLine> {
    let mut lines: Vec<BilledLine> = base_line(world, agreement, owner, billing).into_iter().collect();
    for (record, row) in billable(world, agreement, owner) {
        lines.extend(caught_up(world, agreement, record, row, billing));
        lines.extend(addition_line(world, record, row, billing, false));
    }
    lines
}

/// What additions owe for periods that were invoiced before they were entered.
fn late_lines(world: &World, agreement: i64, owner: &Record) -> Vec<BilledLine> {
    let prorate = owner.flag("prorateFlag");
    let places = places(world, owner);
    let Some(newest) = period_invoices(world, agreement).next_back() else { return Vec::new() };
    let period = Period { start: newest.period_start, end: newest.period_end };
    let billing = Billing { from: newest.period_start, period, prorate, places };
    billable(world, agreement, owner)
        .into_iter()
        .flat_map(|(record, row)| caught_up(world, agreement, record, row, billing))
        .collect()
}

/// The billable additions of an agreement and of its children, with the agreement each belongs to.
fn billable<'w>(world: &'w World, agreement: i64, owner: &'w Record) -> Vec<(&'w Record, &'w Row)> {
    let children = world
        .table_at(paths::AGREEMENTS)
        .rows
        .values()
        .filter(|row| row.record.link("parentAgreement") == Some(agreement))
        .map(|row| (row.id, &row.record));
    std::iter::once((agreement, owner))
        .chain(children)
        .flat_map(|(id, record)| world.table_at(paths::ADDITIONS).rows_of(id).map(move |row| (record, row)))
        .filter(|(_, row)| row.record.text("billCustomer") == Some("Billable"))
        .collect()
}

fn base_line(world: &World, agreement: i64, owner: &Record, billing: Billing) -> Option<BilledLine> {
    let first = period_invoices(world, agreement).next().is_none();
    let part = owner.number("prorateFirstBill");
    let amount = if first && !part.is_zero() { part } else { owner.number("billAmount") };
    let amount = round(amount, billing.places);
    (!amount.is_zero()).then(|| BilledLine {
        agreement,
        addition: None,
        product: String::new(),
        quantity: Decimal::ONE,
        unit_price: amount,
        amount,
        taxable: owner.flag("taxable"),
        period_start: billing.period.start,
        period_end: billing.period.end,
        from: billing.from,
        to: billing.period.last(),
        catch_up: false,
        description: owner.text("invoiceDescription").unwrap_or_default().to_owned(),
    })
}

/// Lines for periods that were invoiced before the addition was entered, each once.
fn caught_up(world: &World, agreement: i64, owner: &Record, row: &Row, billing: Billing) -> Vec<BilledLine> {
    if !billing.prorate && !prorates_itself(&row.record) {
        return Vec::new();
    }
    let earlier = world.billed(agreement);
    period_invoices(world, agreement)
        .filter_map(|invoice| {
            let known = earlier
                .iter()
                .flat_map(|other| &other.lines)
                .any(|line| line.addition == Some(row.id) && line.period_end == invoice.period_end);
            if known {
                return None;
            }
            let period = Cycle::of(world, owner)?.containing(invoice.period_start)?;
            let billing = Billing { from: invoice.period_start, period, ..billing };
            addition_line(world, owner, row, billing, true)
        })
        .collect()
}

fn addition_line(
    world: &World,
    owner: &Record,
    row: &Row,
    billing: Billing,
    catch_up: bool,
) -> Option<BilledLine> {
    let record = &row.record;
    let period = billing.period;
    let effective = record.day("effectiveDate")?;
    let from = effective.max(billing.from);
    let to = last_billed_day(world, owner, record).map_or(period.last(), |last| last.min(period.last()));
    if from > to {
        return None;
    }
    let price = record.number("unitPrice");
    let days = i64::from(days_between(from, to)) + 1;
    // The addition's own switch is for its first period alone.
    let prorate =
        billing.prorate || (prorates_itself(record) && period.start <= effective && effective < period.end);
    let unit_price =
        if prorate { share(price, days, period, billing.places).unwrap_or(price) } else { price };
    let quantity = billed_quantity(record);
    let item = world.record_at(paths::CATALOG, record.link("product"));
    let mut description =
        record.text("invoiceDescription").or(record.text("description")).unwrap_or_default().to_owned();
    if prorate && days < period.days() {
        let (month, day, year) = (from.month(), from.day(), from.year());
        description
            .push_str(&format!(" This item has been prorated with a start date of {month}/{day}/{year}."));
    }
    Some(BilledLine {
        agreement: row.parent,
        addition: Some(row.id),
        product: item.and_then(|item| item.text("identifier")).unwrap_or_default().to_owned(),
        quantity,
        unit_price,
        amount: round(unit_price.checked_mul(quantity).unwrap_or_default(), billing.places),
        taxable: record.flag("taxableFlag"),
        period_start: period.start,
        period_end: period.end,
        from,
        to,
        catch_up,
        description,
    })
}

/// Writes the invoice record and the ledger entry.
fn post(world: &mut World, owner: &Record, mut billed: BilledInvoice, date: Date) -> i64 {
    let resource = schema::find(paths::INVOICES).unwrap_or_default();
    let mut record = Record::new(resource);
    let due_days = world
        .record_at(paths::BILLING_TERMS, owner.link("billingTerms"))
        .and_then(|terms| terms.get("dueDays"))
        .and_then(Json::as_int)
        .unwrap_or(0);
    let due = date.checked_add(jiff::Span::new().days(due_days.clamp(0, 3650))).unwrap_or(date);
    record.set("type", "Agreement".into());
    record.set("status", world.default_of(paths::BILLING_STATUSES).map_or(Json::Null, Json::Int));
    for (field, source) in [
        ("company", "company"),
        ("billToCompany", "billToCompany"),
        ("shipToCompany", "shipToCompany"),
        ("billingSite", "billToSite"),
        ("billingTerms", "billingTerms"),
        ("customerPO", "customerPO"),
        ("location", "location"),
        ("currency", "currency"),
        ("taxCode", "taxCode"),
    ] {
        record.set(field, owner.get(source).cloned().unwrap_or(Json::Null));
    }
    record.set("applyToType", "Agreement".into());
    record.set("applyToId", Json::Int(billed.agreement));
    record.set("agreement", Json::Int(billed.agreement));
    record.set("date", Json::Str(day_text(date)));
    record.set("dueDate", Json::Str(day_text(due)));
    record.set("taxableFlag", Json::Bool(billed.lines.iter().any(|line| line.taxable)));
    for field in ["agreementAmount", "subtotal"] {
        record.set(field, Json::Dec(billed.subtotal()));
    }
    record.set("salesTax", Json::Dec(billed.sales_tax));
    record.set("total", Json::Dec(billed.total()));
    for field in ["productTotal", "serviceTotal", "expenseTotal"] {
        record.set(field, Json::Dec(Decimal::ZERO));
    }
    let id = world.insert(record, 0, None, true);
    world.adjust(paths::INVOICES, id, |record| record.set("invoiceNumber", Json::Str(format!("{id:05}"))));
    billed.invoice = id;
    world.bill(billed);
    id
}

/// Takes an agreement invoice back: its period is open again. Only the newest of an agreement can be.
pub(crate) fn undo(world: &mut World, invoice: i64) -> Result<(), ApiError> {
    let Some(known) = world.all_billed().find(|known| known.invoice == invoice) else { return Ok(()) };
    let (agreement, start, additions_only) = (known.agreement, known.period_start, known.additions_only);
    if world.billed(agreement).last().map(|newest| newest.invoice) != Some(invoice) {
        return Err(ApiError::conflict());
    }
    world.unbill_newest(agreement);
    if additions_only {
        return Ok(());
    }
    if let Some(owner) = world.record_at(paths::AGREEMENTS, Some(agreement)) {
        let mut owner = owner.clone();
        owner.set("nextInvoiceDate", Json::Str(day_text(start)));
        world.replace(agreement, owner);
    }
    Ok(())
}

/// Payments, credits and balance of an invoice.
pub(crate) fn settled(world: &World, row: &Row, name: &str) -> Decimal {
    let paid: Decimal =
        world.table_at(paths::PAYMENTS).rows_of(row.id).map(|payment| payment.record.number("amount")).sum();
    match name {
        "payments" => paid,
        "balance" => row.record.number("total").checked_sub(paid).unwrap_or_default(),
        _ => Decimal::ZERO,
    }
}

/// The recap of an agreement: when it was invoiced last and will be next.
pub(crate) fn recap(world: &World, row: &Row) -> Json {
    let record = &row.record;
    let company = world.record_at(paths::COMPANIES, record.link("company"));
    let mut recap = object([
        ("id", Json::Int(row.id)),
        ("name", record.get("name").cloned().unwrap_or(Json::Null)),
        (
            "companyName",
            company.and_then(|company| company.get("name")).cloned().unwrap_or_else(|| "".into()),
        ),
    ]);
    if let Some(status) = crate::agreement::computed(world, row, "agreementStatus") {
        recap.set("agreementStatus", status);
    }
    let payer = payer(world, row.id);
    if let Some(last) = period_invoices(world, payer).next_back() {
        let invoice = world.record_at(paths::INVOICES, Some(last.invoice));
        recap.set("lastInvoiceAmount", Json::Str(crate::json::double_text(last.total())));
        recap.set("lastInvoiceDate", Json::Str(day_text(last.period_start)));
        let number = invoice.and_then(|invoice| invoice.get("invoiceNumber")).cloned();
        recap.set("lastInvoiceNumber", number.unwrap_or_else(|| "".into()));
    } else if let Some(last) = newest_invoice(world, payer) {
        recap.set("lastInvoiceAmount", Json::Str(crate::json::double_text(last.number("total"))));
        for (member, field) in [("lastInvoiceDate", "date"), ("lastInvoiceNumber", "invoiceNumber")] {
            recap.set(member, last.get(field).cloned().unwrap_or_else(|| "".into()));
        }
    }
    if let Some(next) = next_invoice(world, record) {
        recap.set("nextInvoiceDate", Json::Str(day_text(next)));
    }
    recap
}

/// The newest invoice record of an agreement, for invoices a seed brought along without lines.
fn newest_invoice(world: &World, agreement: i64) -> Option<&Record> {
    let invoices = world.table_at(paths::INVOICES).rows.values().map(|row| &row.record);
    let own = invoices.filter(|invoice| invoice.link("agreement") == Some(agreement));
    own.max_by_key(|invoice| invoice.day("date"))
}

//! Usage, counters, invoices, payments, alerts, snapshots.

use super::{each, unique};
use crate::fields::{
    Fault, boolean, currency, date, filled, id, instant_text, list, moment, money, negative, object, one_of,
    opt, period, quantity, req, signed, text,
};
use crate::json::Value;
use trueup_domain::feed::{
    Alert, Counter, Ext, Payment, RecordKind, SnapshotMark, SourceInvoice, SourceInvoiceLine, UsageRecord,
};

/// Reads a usage record. Only a correction may be below zero.
pub(crate) fn usage(value: Value<'_>) -> Result<UsageRecord, Fault> {
    let (start, from) = req(value, "start", moment)?;
    let (end, until) = req(value, "end", moment)?;
    if from >= until {
        let reason =
            format!("it runs from {start} to {end}, which holds no time; `end` must be later than `start`");
        return Err(Fault::of(value.get("end").unwrap_or(value), reason).under("end"));
    }
    let usage = UsageRecord {
        id: req(value, "id", id)?,
        subscription: opt(value, "subscription", id)?.map(Into::into),
        customer: opt(value, "customer", id)?.map(Into::into),
        product: req(value, "product", id)?.into(),
        quantity: req(value, "quantity", signed)?,
        start,
        end,
        unit: opt(value, "unit", text)?,
        unit_price: opt(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
        amount: opt(value, "amount", money)?,
        cost_amount: opt(value, "cost_amount", money)?,
        currency: opt(value, "currency", currency)?,
        status: opt(value, "status", |v| one_of(v, &["estimated", "final", "corrected"]))?
            .unwrap_or_else(|| "final".to_owned()),
        replaces: opt(value, "replaces", id)?,
        summed: None,
        ext: Ext::default(),
    };
    if usage.subscription.is_none() && usage.customer.is_none() {
        let reason = "usage needs a `subscription` or a `customer`, and has neither; add one of them";
        return Err(Fault::of(value, reason).under("subscription"));
    }
    if usage.quantity.is_negative() && usage.status != "corrected" {
        return Err(negative(value.get("quantity").unwrap_or(value)).under("quantity"));
    }
    Ok(usage)
}

/// Reads a counter.
pub(crate) fn counter(value: Value<'_>) -> Result<Counter, Fault> {
    Ok(Counter {
        customer: req(value, "customer", id)?.into(),
        product: req(value, "product", id)?.into(),
        value: req(value, "value", quantity)?,
        as_of: req(value, "as_of", instant_text)?,
        unit: opt(value, "unit", text)?,
        ext: Ext::default(),
    })
}

fn invoice_line(value: Value<'_>) -> Result<SourceInvoiceLine, Fault> {
    let value = object(value)?;
    Ok(SourceInvoiceLine {
        id: req(value, "id", id)?,
        product: req(value, "product", id)?.into(),
        quantity: req(value, "quantity", signed)?,
        unit_price: req(value, "unit_price", money)?,
        unit_cost: opt(value, "unit_cost", money)?,
        amount: opt(value, "amount", money)?,
        description: opt(value, "description", text)?,
        period: opt(value, "period", period)?,
        taxable: opt(value, "taxable", boolean)?,
    })
}

/// Reads an invoice.
pub(crate) fn invoice(value: Value<'_>) -> Result<SourceInvoice, Fault> {
    let list = req(value, "lines", list)?;
    let lines = each(list, "lines", invoice_line)?;
    unique(list, "lines", lines.iter().map(|line| line.id.as_str()))?;
    Ok(SourceInvoice {
        id: req(value, "id", id)?,
        customer: req(value, "customer", id)?.into(),
        number: req(value, "number", text)?,
        kind: req(value, "kind", |v| one_of(v, &["debit", "credit"]))?,
        stage: req(value, "stage", text)?,
        date: req(value, "date", date)?,
        currency: req(value, "currency", currency)?,
        lines,
        due_date: opt(value, "due_date", date)?,
        period: opt(value, "period", period)?,
        notes: opt(value, "notes", text)?,
        related_invoice: opt(value, "related_invoice", id)?,
        ext: Ext::default(),
    })
}

/// Reads a payment.
pub(crate) fn payment(value: Value<'_>) -> Result<Payment, Fault> {
    Ok(Payment {
        id: req(value, "id", id)?,
        invoice: req(value, "invoice", id)?,
        amount: req(value, "amount", money)?,
        currency: req(value, "currency", currency)?,
        date: req(value, "date", date)?,
        method: req(value, "method", text)?,
        credit_invoice: opt(value, "credit_invoice", id)?,
        ext: Ext::default(),
    })
}

/// Reads an alert.
pub(crate) fn alert(value: Value<'_>) -> Result<Alert, Fault> {
    Ok(Alert {
        id: req(value, "id", id)?,
        customer: req(value, "customer", id)?.into(),
        kind: req(value, "kind", filled)?,
        state: req(value, "state", |v| one_of(v, &["open", "updated", "closed"]))?,
        at: req(value, "at", instant_text)?,
        summary: req(value, "summary", text)?,
        severity: opt(value, "severity", text)?,
        subject: opt(value, "subject", text)?,
        key: opt(value, "key", text)?,
        detail: opt(value, "detail", text)?,
        ext: Ext::default(),
    })
}

/// Reads a snapshot mark.
pub(crate) fn snapshot(value: Value<'_>) -> Result<SnapshotMark, Fault> {
    let list = req(value, "types", list)?;
    let mut types = Vec::new();
    for (index, item) in list.children().enumerate() {
        let kind = item.as_text().and_then(|word| RecordKind::from_name(&word));
        let Some(kind) = kind.filter(|kind| *kind != RecordKind::Snapshot) else {
            let reason = format!("{} is no type of record that a list can hold", crate::fields::shown(item));
            return Err(Fault::of(item, reason).under(&format!("types[{index}]")));
        };
        types.push(kind);
    }
    Ok(SnapshotMark {
        types,
        complete: req(value, "complete", boolean)?,
        as_of: req(value, "as_of", instant_text)?,
        ext: Ext::default(),
    })
}

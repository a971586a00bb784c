//! The grid of a job: rows as documents and as CSV, each with the field that it is about and the place that settles it.

use crate::mapping_csv::safe;
use serde::Serialize;
use trueup_domain::finding::Code;
use trueup_engine::jobs::GridRow;
use url::form_urlencoded::byte_serialize;
use utoipa::ToSchema;

/// A row of the grid.
#[derive(Serialize, ToSchema)]
pub struct GridRowDoc {
    #[schema(value_type = String)]
    severity: &'static str,
    code: String,
    source: Option<String>,
    customer_id: Option<String>,
    company_id: Option<i64>,
    agreement_id: Option<i64>,
    product_id: Option<String>,
    catalog_item_id: Option<i64>,
    subscription_id: Option<String>,
    task_id: Option<String>,
    order_id: Option<String>,
    date: Option<String>,
    /// What of the row is wrong: `company`, `catalog_item`, `billing_cycle`, `quantity` and so on; empty where no field is.
    #[schema(value_type = String)]
    field: &'static str,
    detail: Option<String>,
    message: String,
    fix: String,
    /// Where the console settles it: a path below the organization's.
    link: Option<String>,
}

impl From<&GridRow> for GridRowDoc {
    fn from(row: &GridRow) -> Self {
        let field = Code::from_name(&row.code).map_or("", field_of);
        Self {
            field,
            link: link_of(row, field),
            severity: row.severity.name(),
            code: row.code.clone(),
            source: row.source.as_ref().map(ToString::to_string),
            customer_id: row.customer.as_ref().map(ToString::to_string),
            company_id: row.company,
            agreement_id: row.agreement,
            product_id: row.product.clone(),
            catalog_item_id: row.catalog_item,
            subscription_id: row.subscription.clone(),
            task_id: row.task.as_ref().map(ToString::to_string),
            order_id: row.order.clone(),
            date: row.date.clone(),
            detail: row.detail.clone(),
            message: row.message.clone(),
            fix: row.fix.clone(),
        }
    }
}

/// What a code is about.
fn field_of(code: Code) -> &'static str {
    match code {
        Code::Tu1004 => "rights",
        Code::Tu2001 | Code::Tu2002 => "company",
        Code::Tu2003 | Code::Tu2004 | Code::Tu2005 => "catalog_item",
        Code::Tu2007 => "mapping",
        Code::Tu3001 | Code::Tu3002 | Code::Tu3003 | Code::Tu3005 | Code::Tu3006 => "agreement",
        Code::Tu3004 => "billing_cycle",
        Code::Tu3007 | Code::Tu3008 => "addition",
        Code::Tu4001 | Code::Tu4002 | Code::Tu4003 | Code::Tu4005 | Code::Tu4006 => "date",
        Code::Tu5001 | Code::Tu5002 | Code::Tu5003 | Code::Tu5004 | Code::Tu5005 => "quantity",
        Code::Tu6001 => "currency",
        Code::Tu6002 | Code::Tu6003 | Code::Tu6004 => "unit_price",
        Code::Tu8001 | Code::Tu8002 | Code::Tu8003 | Code::Tu8005 => "source",
        _ => "", // open set: the others are about no single field
    }
}

/// Where a row is settled: at the mapping, the connection or the task.
fn link_of(row: &GridRow, field: &str) -> Option<String> {
    let mapping = |tab: &str, id: &str| {
        let id: String = byte_serialize(id.as_bytes()).collect();
        format!("mapping?tab={tab}&search={id}")
    };
    match (field, &row.customer, &row.product, &row.task) {
        ("rights", ..) => Some("connections".to_owned()),
        ("company", Some(customer), ..) => Some(mapping("customer", customer.as_str())),
        ("catalog_item" | "mapping", _, Some(product), _) => Some(mapping("product", product)),
        (.., Some(task)) => Some(format!("tasks/{task}")),
        _ => None, // open set: no page is about it alone
    }
}

const COLUMNS: [&str; 18] = [
    "row",
    "severity",
    "code",
    "source",
    "customer",
    "company",
    "agreement",
    "product",
    "catalog_item",
    "subscription",
    "task",
    "order",
    "date",
    "field",
    "detail",
    "message",
    "fix",
    "link",
];

/// The grid as CSV, without cells that a spreadsheet would run.
///
/// # Errors
/// None that memory does not have.
pub fn csv_of(rows: &[GridRow]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for (number, row) in rows.iter().enumerate() {
        let row = GridRowDoc::from(row);
        let text = |text: Option<String>| safe(&text.unwrap_or_default());
        let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
        writer.write_record([
            (number + 1).to_string(),
            row.severity.to_owned(),
            row.code,
            text(row.source),
            text(row.customer_id),
            id(row.company_id),
            id(row.agreement_id),
            text(row.product_id),
            id(row.catalog_item_id),
            text(row.subscription_id),
            text(row.task_id),
            text(row.order_id),
            text(row.date),
            row.field.to_owned(),
            text(row.detail),
            safe(&row.message),
            safe(&row.fix),
            text(row.link),
        ])?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

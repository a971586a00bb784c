//! What the months bill and where money is at risk: the figures behind the charts of an overview.

use crate::output::documents::instant;
use crate::serve::extract::Find;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use jiff::Span;
use serde::{Deserialize, Serialize};
use trueup_domain::finding::Code;
use trueup_domain::money::Currency;
use trueup_engine::figures::{RiskKind, figures};
use trueup_engine::ports::{Clock, Store};
use utoipa::{IntoParams, ToSchema};

/// Which months.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FiguresQuery {
    /// How many months, the last of them the next one (12 where it is missing)
    #[param(minimum = 2, maximum = 36)]
    months: Option<u32>,
}

/// What the invoices bill whose period begins in a month.
#[derive(Serialize, ToSchema)]
pub struct MonthDoc {
    /// The month.
    #[schema(example = "2026-03")]
    month: String,
    #[schema(value_type = String)]
    currency: Currency,
    /// What the additions bill.
    billed: String,
    /// What they cost.
    cost: String,
    /// How much of `billed` is invoiced already.
    invoiced: String,
}

/// What people changed by hand in ConnectWise.
#[derive(Serialize, ToSchema)]
pub struct DriftDoc {
    /// The month in which it was first seen.
    #[schema(example = "2026-03")]
    month: String,
    #[schema(value_type = String)]
    currency: Currency,
    /// The sum of the differences, without their signs.
    amount: String,
    /// How many lines.
    lines: u64,
}

/// Money at risk.
#[derive(Serialize, ToSchema)]
pub struct RiskDoc {
    /// `unmapped`, `failed`, `ended_but_billed`, `below_cost` or `changed_by_hand`.
    #[schema(value_type = String)]
    kind: &'static str,
    #[schema(value_type = String)]
    currency: Currency,
    /// What one period of theirs comes to.
    amount: String,
    /// How many orders or lines.
    count: u64,
    /// The exception code that speaks of it, where there is one.
    code: Option<String>,
}

/// The figures of an organization.
#[derive(Serialize, ToSchema)]
pub struct FiguresDoc {
    /// The organization's date.
    today: String,
    /// When ConnectWise was last read; none where it never was.
    read_at: Option<String>,
    /// The months, the oldest first; a currency that occurs has every month.
    months: Vec<MonthDoc>,
    /// Changes by hand, the oldest first.
    drift: Vec<DriftDoc>,
    /// Money at risk now.
    risk: Vec<RiskDoc>,
}

fn code_of(kind: RiskKind) -> Option<Code> {
    match kind {
        RiskKind::BelowCost => Some(Code::Tu6004),
        RiskKind::ChangedByHand => Some(Code::Tu7002),
        RiskKind::Unmapped | RiskKind::Failed | RiskKind::EndedButBilled => None,
    }
}

/// What the months bill, and where money is at risk
///
/// Computed from the picture of ConnectWise that was read last; nothing is read anew.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/figures", tag = "overview", operation_id = "figures",
    params(("org" = String, Path, description = "The organization"), FiguresQuery),
    responses((status = 200, description = "Of now", body = FiguresDoc)))]
pub async fn show(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<FiguresQuery>,
) -> Result<Json<FiguresDoc>, Problem> {
    let count = query.months.unwrap_or(12);
    if !(2..=36).contains(&count) {
        return Err(Problem::field("months", "name 2 to 36"));
    }
    let today = service.clock.today();
    let back = Span::new().try_months(i64::from(count) - 2).unwrap_or_default();
    let first = today.first_of_month().checked_sub(back).unwrap_or(today.first_of_month());
    let store = service.store.as_ref();
    let connection = store.list_connections(&scope.org).await?.into_iter().next().map(|c| c.name);
    let found = figures(store, &service.clock, &scope.org, connection.as_deref(), (first, count)).await?;
    let month = |day: jiff::civil::Date| day.strftime("%Y-%m").to_string();
    Ok(Json(FiguresDoc {
        today: today.to_string(),
        read_at: found.read_at.map(instant),
        months: found
            .months
            .iter()
            .map(|((day, currency), sum)| MonthDoc {
                month: month(*day),
                currency: *currency,
                billed: sum.billed.price.display(*currency),
                cost: sum.billed.cost.display(*currency),
                invoiced: sum.invoiced.display(*currency),
            })
            .collect(),
        drift: found
            .drift
            .iter()
            .map(|((day, currency), sum)| DriftDoc {
                month: month(*day),
                currency: *currency,
                amount: sum.amount.display(*currency),
                lines: sum.count,
            })
            .collect(),
        risk: found
            .risks
            .iter()
            .map(|((kind, currency), sum)| RiskDoc {
                kind: kind.name(),
                currency: *currency,
                amount: sum.amount.display(*currency),
                count: sum.count,
                code: code_of(*kind).map(|code| code.to_string()),
            })
            .collect(),
    }))
}

//! How an organization stands, in one answer: what waits for somebody, and how much money hangs on it.

use crate::output::documents::instant;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use trueup_domain::feed::RecordKind;
use trueup_domain::finding::{Code, Severity};
use trueup_domain::money::{Currency, Money};
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::{FindingFilter, FindingState};
use utoipa::ToSchema;

/// Open findings of one code.
#[derive(Serialize, ToSchema)]
pub struct FindingGroupDoc {
    /// The exception code.
    code: String,
    /// `error`, `warning` or `info`.
    #[schema(value_type = String)]
    severity: &'static str,
    /// The code in words.
    #[schema(value_type = String)]
    title: &'static str,
    /// How many.
    count: u64,
    /// Since when the oldest is open.
    since: String,
    /// The sum of the amounts that they name, by currency, without their signs. Those that name none are not in it.
    amounts: BTreeMap<String, String>,
}

/// Where the picture of ConnectWise comes from.
#[derive(Serialize, ToSchema)]
pub struct PictureDoc {
    /// The connection.
    connection: String,
    /// When ConnectWise was last read; none where it never was.
    read_at: Option<String>,
}

/// How an organization stands.
#[derive(Serialize, ToSchema)]
pub struct OverviewDoc {
    /// The organization's date.
    today: String,
    /// The connection; none where there is none yet.
    picture: Option<PictureDoc>,
    /// Tasks by state.
    tasks: BTreeMap<String, u64>,
    /// Open findings by code, the gravest first.
    findings: Vec<FindingGroupDoc>,
    /// Customers that the sources told of.
    customers: u64,
}

/// How an organization stands
#[utoipa::path(get, path = "/api/v1/organizations/{org}/overview", tag = "overview",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Of now", body = OverviewDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<OverviewDoc>, Problem> {
    let store = &service.store;
    let connection = store.list_connections(&scope.org).await?.into_iter().next();
    let picture = match connection {
        Some(found) => {
            let state = store.load_picture_state(&scope.org, &found.name).await?;
            Some(PictureDoc { connection: found.name, read_at: state.map(|state| instant(state.at)) })
        }
        None => None,
    };
    let customers = store.count_records(&scope.org, RecordKind::Customer).await?.into_values().sum();
    Ok(Json(OverviewDoc {
        today: service.clock.today().to_string(),
        picture,
        tasks: store.count_tasks(&scope.org).await?,
        findings: open_findings(&service, &scope).await?,
        customers,
    }))
}

#[derive(Default)]
struct Group {
    count: u64,
    since: i64,
    sums: BTreeMap<Currency, Money>,
}

async fn open_findings(service: &Service, scope: &Scope) -> Result<Vec<FindingGroupDoc>, Problem> {
    let filter = FindingFilter {
        states: vec![FindingState::Open, FindingState::Recurred],
        ..FindingFilter::default()
    };
    let mut groups: BTreeMap<(u8, Code), Group> = BTreeMap::new();
    for stored in service.store.list_findings(&scope.org, &filter).await? {
        let finding = &stored.finding;
        let group = groups.entry((rank(finding.severity), finding.code)).or_default();
        group.since =
            if group.count == 0 { stored.first_seen_at } else { group.since.min(stored.first_seen_at) };
        group.count += 1;
        if let Some((amount, currency)) = finding.amount {
            let sum = group.sums.entry(currency).or_default();
            // A sum that no decimal can hold stays what it was: the findings themselves tell the amounts.
            *sum = sum.plus(amount.abs()).unwrap_or(*sum);
        }
    }
    Ok(groups
        .into_iter()
        .map(|((rank, code), group)| FindingGroupDoc {
            code: code.to_string(),
            severity: [Severity::Error, Severity::Warning, Severity::Info]
                .get(usize::from(rank))
                .map_or("", |severity| severity.name()),
            title: code.row().title,
            count: group.count,
            since: instant(group.since),
            amounts: group.sums.into_iter().map(|(c, sum)| (c.to_string(), sum.display(c))).collect(),
        })
        .collect())
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    }
}

//! Tables of the tenant that agreements refer to: billing cycles and currencies.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use trueup_domain::money::Currency;
use trueup_domain::period::BillingCycle;

use super::convert;
use crate::client::wire;
use crate::client::{ClientError, ConnectWiseClient};

/// The tables, as far as agreements needed them so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// Billing cycles by id; none for those that do not recur or are not understood.
    pub(super) cycles: BTreeMap<i64, Option<BillingCycle>>,
    /// Currencies of companies that were asked for.
    pub(super) company_currency: BTreeMap<i64, Option<Currency>>,
    /// The currency of a tenant that has only one.
    pub(super) only_currency: Option<Currency>,
    currencies_read: bool,
}

/// Keeps the tables for the life of the adapter; what an agreement names and they lack is read then.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    tables: Mutex<Arc<Tables>>,
}

impl Lookups {
    /// The tables with everything that these agreements name.
    pub(super) async fn tables(
        &self,
        client: &ConnectWiseClient,
        agreements: &[wire::Agreement],
    ) -> Result<Arc<Tables>, ClientError> {
        let mut kept = self.tables.lock().await;
        let mut tables = Tables::clone(&kept);
        let cycle_missing = agreements
            .iter()
            .filter_map(|a| a.billing_cycle.as_ref()?.id)
            .any(|id| !tables.cycles.contains_key(&id));
        if cycle_missing {
            let rows = client.list_billing_cycles().await?;
            tables.cycles.extend(rows.iter().map(|row| (row.id, convert::billing_cycle(row))));
        }
        let without_currency: Vec<i64> = agreements
            .iter()
            .filter(|a| convert::currency(a.currency.as_ref()).is_none())
            .filter_map(|a| a.company.id)
            .collect();
        let known = |id: &i64| tables.company_currency.contains_key(id);
        let companies: Vec<i64> = without_currency.iter().copied().filter(|id| !known(id)).collect();
        if !companies.is_empty() {
            for company in client.list_companies_by_id(&companies).await? {
                tables.company_currency.insert(company.id, convert::currency(company.currency.as_ref()));
            }
            // A company that is not listed is asked for only once.
            for id in companies {
                tables.company_currency.entry(id).or_default();
            }
        }
        let open = |id: &i64| tables.company_currency.get(id).copied().flatten().is_none();
        if !tables.currencies_read && without_currency.iter().any(open) {
            tables.only_currency = convert::only_currency(&client.list_currencies().await?);
            tables.currencies_read = true;
        }
        *kept = Arc::new(tables);
        Ok(Arc::clone(&kept))
    }

    /// Keeps the currencies of companies that were just read, so that their agreements need not ask for them.
    pub(super) async fn note_companies(&self, companies: &[wire::Company]) {
        let mut kept = self.tables.lock().await;
        let tables = Arc::make_mut(&mut kept);
        for company in companies {
            tables.company_currency.insert(company.id, convert::currency(company.currency.as_ref()));
        }
    }
}

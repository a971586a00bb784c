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
    /// What companies that were asked for name as their currency.
    company_currency: BTreeMap<i64, Option<wire::CurrencyReference>>,
    /// Currencies by id, none for those that no text of theirs tells; read where an agreement's own texts tell nothing.
    currencies: Option<BTreeMap<i64, Option<Currency>>>,
}

impl Tables {
    /// The currency of an agreement: the one that it names, else that of its company, else the only one of the tenant. One
    /// that is named and not known is no other one.
    pub(super) fn currency_of(&self, record: &wire::Agreement) -> Option<Currency> {
        let known = self.currencies.as_ref();
        let only = || known.filter(|known| known.len() == 1)?.values().copied().next().flatten();
        match self.named(record) {
            Some(named) => {
                let by_id = || known?.get(&named.id?).copied().flatten();
                convert::currency(named).or_else(by_id).or_else(only)
            }
            None => only(),
        }
    }

    fn named<'a>(&'a self, record: &'a wire::Agreement) -> Option<&'a wire::CurrencyReference> {
        record.currency.as_ref().or_else(|| self.company_currency.get(&record.company.id?)?.as_ref())
    }
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
        let unnamed = agreements.iter().filter(|a| a.currency.is_none()).filter_map(|a| a.company.id);
        let companies: Vec<i64> = unnamed.filter(|id| !tables.company_currency.contains_key(id)).collect();
        if !companies.is_empty() {
            for company in client.list_companies_by_id(&companies).await? {
                tables.company_currency.insert(company.id, company.currency);
            }
            // A company that is not listed is asked for only once.
            for id in companies {
                tables.company_currency.entry(id).or_default();
            }
        }
        if tables.currencies.is_none() && agreements.iter().any(|a| tables.currency_of(a).is_none()) {
            let rows = client.list_currencies().await?;
            tables.currencies = Some(rows.iter().map(|row| (row.id, convert::currency_of(row))).collect());
        }
        *kept = Arc::new(tables);
        Ok(Arc::clone(&kept))
    }

    /// Keeps the currencies of companies that were just read, so that their agreements need not ask for them.
    pub(super) async fn note_companies(&self, companies: &[wire::Company]) {
        let mut kept = self.tables.lock().await;
        let tables = Arc::make_mut(&mut kept);
        for company in companies {
            tables.company_currency.insert(company.id, company.currency.clone());
        }
    }
}

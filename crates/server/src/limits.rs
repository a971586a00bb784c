//! How fast each ConnectWise may be called: one budget for everything in this process that calls it, kept in the database
//! where other processes call it as well.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use trueup_connectwise::client::address::is_of_cloud;
use trueup_connectwise::client::{Budget, LimiterConfig, Pace};
use trueup_engine::records::Connection;
use trueup_store::SqlStore;
use trueup_transport::{Exchanging, Ledger, Report, exchange};

/// With more budgets than this those that nobody uses and that know nothing are forgotten.
const MANY: usize = 256;

/// How fast ConnectWise's cloud is called before anything is learnt: its guide for developers says that more than 1,000 calls
/// a minute will likely be limited.
const FIRST_PACE: Pace = Pace { calls: 950, per: Duration::from_secs(60) };

/// The budgets of this process; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Limits(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    budgets: Mutex<HashMap<String, Budget>>,
    store: OnceLock<Weak<SqlStore>>,
}

impl Limits {
    /// From now on budgets are shared with every process that works on this store.
    pub fn share(&self, store: &Arc<SqlStore>) {
        let _ = self.0.store.set(Arc::downgrade(store));
    }

    /// The budget of a connection. Connections with the same keys to the same company have one, whoever they belong to.
    pub fn budget(&self, connection: &Connection) -> Budget {
        let id = id_of(connection);
        let mut budgets = self.0.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.get(&id) {
            return budget.clone();
        }
        if budgets.len() >= MANY {
            budgets.retain(|_, budget| !budget.is_idle());
        }
        let ledger = self.0.store.get().map(|store| {
            let ledger: Arc<dyn Ledger> = Arc::new(Shared { store: store.clone(), id: id.clone() });
            ledger
        });
        let pace = is_of_cloud(&connection.url).then_some(FIRST_PACE);
        let budget = Budget::new(LimiterConfig { pace, ..LimiterConfig::default() }, ledger);
        budgets.insert(id, budget.clone());
        budget
    }
}

/// With the public key: somebody who only knows the name of another's company has no part in its budget.
fn id_of(connection: &Connection) -> String {
    let mut hash = Sha256::new();
    for part in [connection.url.as_str(), connection.company.as_str(), connection.public_key.as_str()] {
        hash.update(part.trim().trim_end_matches('/').to_lowercase());
        hash.update([0]);
    }
    let mut id = String::new();
    for byte in hash.finalize() {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// A budget in the database.
struct Shared {
    store: Weak<SqlStore>,
    id: String,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Ledger for Shared {
    fn exchange<'a>(&'a self, report: &'a Report) -> Exchanging<'a> {
        Box::pin(async move {
            let store = self.store.upgrade().ok_or_else(|| "the store is closed".to_owned())?;
            let changed = store.change_budget(&self.id, |kept, now| exchange(kept, now, report)).await;
            changed.map_err(|error| error.to_string())?.ok_or_else(|| "the database is embedded".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_PACE, Limits};
    use std::time::Duration;
    use trueup_connectwise::client::Budget;
    use trueup_connectwise::client::address::is_of_cloud;
    use trueup_engine::records::{Connection, SecretText};

    fn connection(url: &str, company: &str, public_key: &str) -> Connection {
        Connection {
            name: "x".to_owned(),
            url: url.to_owned(),
            company: company.to_owned(),
            public_key: public_key.to_owned(),
            private_key: SecretText::new("secret".to_owned()),
            client_id: "id".to_owned(),
            created_at: 0,
        }
    }

    #[test]
    fn what_leads_to_one_place_has_one_budget() {
        let limits = Limits::default();
        let of = |url: &str, company: &str, key: &str| limits.budget(&connection(url, company, key));
        let same = |a: &Budget, b: &Budget| a.is_same(b);
        let one = of("https://na.example", "acme", "k");
        assert!(same(&one, &of("https://na.example/", "ACME", "k")));
        assert!(!same(&one, &of("https://eu.example", "acme", "k")));
        assert!(!same(&one, &of("https://na.example", "acme", "other")));
        assert!(!same(&one, &of("https://na.examplea", "cme", "k")));
        assert!(same(&one, &limits.clone().budget(&connection("https://na.example", "acme", "k"))));
    }

    #[test]
    fn the_cloud_is_called_within_what_its_guide_allows() {
        assert!(FIRST_PACE.interval() * 1_000 > Duration::from_secs(60));
        assert!(is_of_cloud("https://api-na.myconnectwise.net"));
        for other in ["http://127.0.0.1:8080", "https://psa.example", "https://xmyconnectwise.net"] {
            assert!(!is_of_cloud(other), "{other}");
        }
    }

    #[test]
    fn many_that_know_nothing_are_forgotten() {
        let limits = Limits::default();
        let held = limits.budget(&connection("https://na.example", "held", "k"));
        for n in 0..2_000 {
            limits.budget(&connection("https://na.example", &format!("c{n}"), "k"));
        }
        assert!(limits.0.budgets.lock().unwrap().len() <= 257);
        assert!(held.is_same(&limits.budget(&connection("https://na.example", "held", "k"))));
    }
}

//! What comes in after the invoiced month: work that is left for whoever opens the console.

use super::orders::{Sold, records_of};
use super::world::{COMPANIES, Company, NEWCOMERS, PHONE, SUITE, VAULT};
use serde_json::{Value, json};

/// The day on which the console is opened.
pub const TODAY: &str = "2026-04-02";
const FIRST: &str = "2026-04-01";

fn period() -> Value {
    json!({ "start": FIRST, "end": "2026-05-01" })
}

/// The feed: two customers and a product that nobody has mapped, and orders of customers that are known.
pub fn feed() -> String {
    let mut records: Vec<Value> = NEWCOMERS
        .iter()
        .map(|company| {
            json!({
                "type": "customer", "id": company.customer(), "name": company.name,
                "currency": company.currency.code(),
            })
        })
        .collect();
    records.push(json!({ "type": "product", "id": VAULT.id, "name": VAULT.name, "kind": VAULT.kind }));
    let known = |number: i64| COMPANIES.iter().find(|company| company.number == number);
    let mut sell = |company: Option<&Company>, product, id: &str, order: &str, quantity, on: &str| {
        if let Some(company) = company {
            let sold = Sold { id, order, product, quantity, before: None, on, period: period() };
            records.extend(records_of(company, &sold));
        }
    };
    sell(NEWCOMERS.first(), SUITE, "suite-21", "SO-21", 14, FIRST);
    sell(NEWCOMERS.last(), SUITE, "suite-22", "SO-22", 9, TODAY);
    sell(known(2), VAULT, "vault-02", "SO-02-V", 34, FIRST);
    sell(known(5), VAULT, "vault-05", "SO-05-V", 85, TODAY);
    sell(known(9), PHONE, "phone-09", "SO-09-P", 12, FIRST);
    sell(known(1), PHONE, "phone-01", "SO-01-P", 6, TODAY);
    for (number, more) in [(16, 4), (20, 5)] {
        if let Some(company) = known(number) {
            let (id, order) = (format!("suite-{number}"), format!("CH-{number}-04"));
            let before = Some(company.seats);
            let quantity = company.seats + more;
            let sold = Sold {
                id: &id,
                order: &order,
                product: SUITE,
                quantity,
                before,
                on: TODAY,
                period: period(),
            };
            records.extend(records_of(company, &sold));
        }
    }
    records.iter().map(|record| format!("{record}\n")).collect()
}

//! What people do in ConnectWise and here, what they see there, and what they answer when they are asked.

use super::counts::ITEMS;
use super::desk::{CUSTOMERS, Desk, FOREIGN, TWO_AGREEMENTS, agreement};
use super::nights::Year;
use jiff::civil::Date;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Code;
use trueup_domain::quantity::Verdict;
use trueup_engine::quantity::RunReport;

/// What of an addition is a person's alone, whoever made it.
const THEIRS: [&str; 12] = [
    "product",
    "billCustomer",
    "effectiveDate",
    "unitPrice",
    "unitCost",
    "lessIncluded",
    "taxableFlag",
    "description",
    "invoiceDescription",
    "serialNumber",
    "opportunity",
    "purchaseItemFlag",
];

/// The status that closes and the one that opens again, by board.
fn statuses(board: i64) -> (i64, i64) {
    match board {
        1 => (5, 3),
        3 => (32, 31),
        _ => (25, 22),
    }
}

/// People, and what they did.
#[derive(Default)]
pub struct People {
    /// ConnectWise is out of reach before this day.
    pub away_until: u64,
    /// The source tells nothing before this day.
    pub silent_until: u64,
    /// Customers who are billed on another agreement now.
    pub moved: BTreeMap<usize, i64>,
    /// Customers who are switched off.
    pub off: BTreeSet<usize>,
    /// Agreements that are cancelled for now.
    pub cancelled: BTreeSet<i64>,
    /// Additions as people have seen them last, without what trueup may change.
    seen: BTreeMap<i64, Value>,
    /// Prices and costs of the catalog that people changed.
    prices: BTreeMap<i64, (Value, Value)>,
    /// Additions that people deleted.
    deleted: BTreeSet<i64>,
    /// Tickets that a person closed or opened again.
    pub closed: BTreeSet<i64>,
    pub reopened: BTreeSet<i64>,
    /// Tickets that others were merged into, and those that were.
    pub merged: BTreeSet<i64>,
    /// References of tickets that a person deleted.
    pub deleted_tickets: Vec<String>,
    /// Whether the board of a rule is gone, and whether the right to close is.
    pub board_is_gone: bool,
    pub may_not_close: bool,
    /// Since when the last customer is linked to its company.
    pub linked_since: Option<u64>,
}

impl People {
    /// The invoices that are due.
    pub async fn invoice(&mut self, desk: &Desk, date: Date) {
        if date.day() > 3 {
            return;
        }
        for id in desk.agreements() {
            for _ in 0..12 {
                let (_, row) = desk.by_hand("GET", &format!("finance/agreements/{id}"), &Value::Null).await;
                let next = row["nextInvoiceDate"].as_str().and_then(|text| text.get(..10)?.parse().ok());
                if row["cancelledFlag"] == true || next.is_none_or(|next: Date| next > date) {
                    break;
                }
                let (status, told) =
                    desk.by_hand("POST", &format!("finance/agreements/{id}/invoice"), &json!({})).await;
                assert_eq!(status, 201, "{told}");
            }
        }
    }

    /// Looks at every addition: nothing but quantities and ends may be another than when it was seen last, and what is
    /// new has the prices of the catalog.
    pub async fn see(&mut self, desk: &Desk) -> Result<(), String> {
        let mut there = BTreeSet::new();
        for agreement in desk.agreements() {
            for row in desk.additions(agreement).await {
                let item = row["product"]["id"].as_i64().unwrap();
                if item == FOREIGN {
                    continue;
                }
                let id = row["id"].as_i64().unwrap();
                there.insert(id);
                let now = theirs(&row);
                match self.seen.get(&id) {
                    Some(before) if *before != now => {
                        return Err(format!("addition {id} was changed: {before} became {now}"));
                    }
                    Some(_) => {}
                    None => {
                        let (price, cost) = self.price_of(item);
                        if row["serialNumber"].is_string()
                            && (money(&row["unitPrice"]) != money(&price)
                                || money(&row["unitCost"]) != money(&cost))
                        {
                            return Err(format!("the catalog says {price} and {cost}: {row}"));
                        }
                        self.seen.insert(id, now);
                    }
                }
            }
        }
        match self.seen.keys().find(|id| !there.contains(id) && !self.deleted.contains(id)) {
            Some(id) => Err(format!("addition {id} is not there any more, and nobody deleted it")),
            None => Ok(()),
        }
    }

    fn price_of(&self, item: i64) -> (Value, Value) {
        if let Some(known) = self.prices.get(&item) {
            return known.clone();
        }
        let (_, _, price, cost) = ITEMS.iter().find(|row| row.0 == item).unwrap();
        let money =
            |cents: &i64| json!(format!("{}.{:02}", cents / 100, cents % 100).parse::<f64>().unwrap());
        (money(price), money(cost))
    }

    /// A day's work.
    pub async fn work(&mut self, year: &mut Year) -> Result<(), String> {
        if year.day >= 40 && self.linked_since.is_none() {
            year.desk.link(CUSTOMERS - 1, agreement(CUSTOMERS - 1)).await;
            self.linked_since = Some(year.day);
        }
        self.boards_and_rights(year).await;
        let mut rows = Vec::new();
        for id in year.desk.agreements() {
            let open = |row: &Value| row["cancelledDate"].is_null() && row["product"]["id"] != FOREIGN;
            rows.extend(year.desk.additions(id).await.into_iter().filter(open).map(|row| (id, row)));
        }
        for _ in 0..year.rng.below(4) {
            if rows.is_empty() {
                break;
            }
            let at = usize::try_from(year.rng.below(rows.len() as u64)).unwrap();
            let (agreement, row) = rows.swap_remove(at);
            self.edit(year, agreement, &row).await;
        }
        if year.rng.chance(30) {
            self.turn(year).await;
        }
        if year.rng.chance(300) {
            self.desk_work(year).await;
        }
        Ok(())
    }

    /// Something about one addition.
    async fn edit(&mut self, year: &mut Year, agreement: i64, row: &Value) {
        let id = row["id"].as_i64().unwrap();
        let path = format!("finance/agreements/{agreement}/additions/{id}");
        let change = |field: &str, value: Value| json!([{"op": "replace", "path": field, "value": value}]);
        let (what, ops) = match year.rng.below(24) {
            0..=8 => ("quantities by hand", change("quantity", json!(year.rng.within(0, 80)))),
            9..=12 => ("prices by hand", change("unitPrice", json!(year.rng.within(1, 9_000)))),
            13 => ("costs by hand", change("unitCost", json!(year.rng.within(1, 90)))),
            14 | 15 => ("texts by hand", change("description", json!(format!("of {}", year.date)))),
            16 => ("texts by hand", change("invoiceDescription", json!(format!("for {}", year.date)))),
            17 => ("flags by hand", change("billCustomer", json!("DoNotBill"))),
            18 => {
                let end = format!("{}T00:00:00Z", year.date);
                let begun = row["effectiveDate"].as_str().is_some_and(|day| *day <= *end);
                if !begun {
                    return;
                }
                ("ends by hand", change("cancelledDate", json!(end)))
            }
            19 => {
                let (status, told) = year.desk.by_hand("DELETE", &path, &Value::Null).await;
                assert_eq!(status, 204, "{told}");
                self.deleted.insert(id);
                year.desk.net.tell(format!("ann deletes addition {id}"));
                year.note("deletions by hand");
                return;
            }
            20 => {
                let item = row["product"]["id"].as_i64().unwrap();
                let body = json!({"product": {"id": item}, "quantity": 1, "unitPrice": 5, "unitCost": 1,
                    "billCustomer": "Billable", "effectiveDate": "2025-06-01T00:00:00Z"});
                let path = format!("finance/agreements/{agreement}/additions");
                let (status, made) = year.desk.by_hand("POST", &path, &body).await;
                assert_eq!(status, 201, "{made}");
                self.seen.insert(made["id"].as_i64().unwrap(), theirs(&made));
                year.desk.net.tell(format!("ann makes addition {} of item {item}", made["id"]));
                year.note("lines by hand");
                return;
            }
            _ => {
                let (item, _, _, _) = ITEMS[usize::try_from(year.rng.below(5)).unwrap()];
                let (price, cost) = (json!(year.rng.within(1, 99)), json!(year.rng.within(1, 9)));
                let ops = json!([{"op": "replace", "path": "price", "value": price},
                    {"op": "replace", "path": "cost", "value": cost}]);
                let (status, told) =
                    year.desk.by_hand("PATCH", &format!("procurement/catalog/{item}"), &ops).await;
                assert_eq!(status, 200, "{told}");
                self.prices.insert(item, (price, cost));
                year.note("prices of the catalog");
                return;
            }
        };
        let (status, now) = year.desk.by_hand("PATCH", &path, &ops).await;
        assert_eq!(status, 200, "{now}");
        self.seen.insert(id, theirs(&now));
        year.desk.net.tell(format!("ann: addition {id}: {ops}"));
        year.note(what);
    }

    /// A customer's agreement, or the customer.
    pub async fn turn(&mut self, year: &mut Year) {
        let customer = usize::try_from(year.rng.below(CUSTOMERS as u64 - 1)).unwrap();
        let flag = |on: bool| json!([{"op": "replace", "path": "cancelledFlag", "value": on}]);
        match year.rng.below(3) {
            0 => {
                let on = self.off.remove(&customer);
                if !on {
                    self.off.insert(customer);
                }
                year.desk.switch(customer, on).await;
                year.note("customers switched");
            }
            1 => {
                let agreement = self.moved.get(&customer).copied().unwrap_or_else(|| agreement(customer));
                let on = !self.cancelled.remove(&agreement);
                if on {
                    self.cancelled.insert(agreement);
                }
                let path = format!("finance/agreements/{agreement}");
                let (status, told) = year.desk.by_hand("PATCH", &path, &flag(on)).await;
                assert_eq!(status, 200, "{told}");
                year.note("agreements cancelled or back");
            }
            _ if customer < TWO_AGREEMENTS => {
                let other = agreement(customer) + 100;
                let home = match self.moved.remove(&customer) {
                    Some(_) => agreement(customer),
                    None => {
                        self.moved.insert(customer, other);
                        other
                    }
                };
                year.desk.link(customer, home).await;
                year.note("customers on another agreement");
            }
            _ => {}
        }
    }

    /// The service desk: tickets are closed, opened again, deleted and moved to another board.
    async fn desk_work(&mut self, year: &mut Year) {
        let tickets = year.desk.list("service/tickets").await;
        if tickets.is_empty() {
            return;
        }
        // The newest are on the desk.
        let from = tickets.len().saturating_sub(20) as u64;
        let at = from + year.rng.below(tickets.len() as u64 - from);
        let row = &tickets[usize::try_from(at).unwrap()];
        let (id, board) = (row["id"].as_i64().unwrap(), row["board"]["id"].as_i64().unwrap());
        let (close, open) = statuses(board);
        let path = format!("service/tickets/{id}");
        let is_closed = row["closedFlag"] == true;
        let status = |to: i64| json!([{"op": "replace", "path": "status", "value": {"id": to}}]);
        let (what, ops) = match year.rng.below(9) {
            0..=3 if !is_closed && !self.may_not_close => {
                self.closed.insert(id);
                ("tickets closed by hand", status(close))
            }
            4 if is_closed => {
                self.reopened.insert(id);
                self.closed.remove(&id);
                ("tickets opened by hand", status(open))
            }
            5 => {
                let (code, told) = year.desk.by_hand("DELETE", &path, &Value::Null).await;
                assert_eq!(code, 204, "{told}");
                self.deleted_tickets.extend(row["externalXRef"].as_str().map(str::to_owned));
                year.desk.net.tell(format!("ann deletes ticket {id}"));
                year.note("tickets deleted by hand");
                return;
            }
            6 if board == 2 && !(is_closed && self.may_not_close) => {
                let (close, open) = statuses(1);
                let to = if is_closed { close } else { open };
                let ops = json!([{"op": "replace", "path": "board", "value": {"id": 1}},
                    {"op": "replace", "path": "type", "value": Value::Null},
                    {"op": "replace", "path": "status", "value": {"id": to}}]);
                ("tickets on another board", ops)
            }
            _ => ("priorities by hand", json!([{"op": "replace", "path": "priority", "value": {"id": 2}}])),
        };
        let (code, told) = year.desk.by_hand("PATCH", &path, &ops).await;
        assert_eq!(code, 200, "{ops}: {told}");
        year.desk.net.tell(format!("ann: ticket {id}: {ops}"));
        year.note(what);
    }

    /// A board goes, with its tickets, and some weeks later the rule names another. For a while the right to close is
    /// not there.
    async fn boards_and_rights(&mut self, year: &mut Year) {
        match year.day {
            30 => {
                for row in year.desk.list("service/tickets").await {
                    if row["board"]["id"] == 3 {
                        let path = format!("service/tickets/{}", row["id"]);
                        assert_eq!(year.desk.by_hand("DELETE", &path, &Value::Null).await.0, 204);
                        self.deleted_tickets.extend(row["externalXRef"].as_str().map(str::to_owned));
                    }
                }
                for path in
                    ["service/boards/3/statuses/31", "service/boards/3/statuses/32", "service/boards/3"]
                {
                    let (status, told) = year.desk.by_hand("DELETE", path, &Value::Null).await;
                    assert_eq!(status, 204, "{path}: {told}");
                }
                self.board_is_gone = true;
            }
            70 => year.desk.net.tell("ann looks for the right to close".to_owned()),
            60 | 80 => {
                let level = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "All"});
                let functions = if year.day == 60 {
                    json!({"functions": {"Service Desk/Close Service Tickets": level}})
                } else {
                    json!({})
                };
                year.desk.sandbox.control().set_roles(functions).unwrap();
                self.may_not_close = year.day == 60;
            }
            _ => {}
        }
        // It takes until ConnectWise is there again: a rule is checked where it is saved.
        if self.board_is_gone && year.day >= 45 && year.day >= self.away_until && !year.desk.net.is_wild() {
            year.desk.rule("sync_conflict", &[("board", "Alerts")]).await;
            self.board_is_gone = false;
        }
    }

    /// Everything that stands in the way at the end of the year is put right.
    pub async fn put_right(&mut self, year: &mut Year) {
        let flag = json!([{"op": "replace", "path": "cancelledFlag", "value": false}]);
        for agreement in std::mem::take(&mut self.cancelled) {
            let path = format!("finance/agreements/{agreement}");
            assert_eq!(year.desk.by_hand("PATCH", &path, &flag).await.0, 200);
        }
        for customer in std::mem::take(&mut self.off) {
            year.desk.switch(customer, true).await;
        }
        if self.linked_since.is_none() {
            year.desk.link(CUSTOMERS - 1, agreement(CUSTOMERS - 1)).await;
            self.linked_since = Some(year.day);
        }
        if self.board_is_gone {
            year.desk.rule("sync_conflict", &[("board", "Alerts")]).await;
            self.board_is_gone = false;
        }
        if self.may_not_close {
            year.desk.sandbox.control().set_roles(json!({})).unwrap();
            self.may_not_close = false;
        }
    }

    /// What somebody says where trueup did not dare to choose. Returns whether anything was said.
    pub async fn answer(&mut self, desk: &Desk, report: &RunReport) -> bool {
        let mut said = false;
        for line in report.lines.iter().filter(|line| line.verdict == Verdict::Refused) {
            if ![Some(Code::Tu3007), Some(Code::Tu3008)].contains(&line.code) {
                continue;
            }
            let customer: usize = line.customer.as_str().trim_start_matches("c-").parse().unwrap();
            let open = |row: &Value| {
                row["cancelledDate"].is_null() && row["product"]["id"].as_i64() == Some(line.item.0)
            };
            let there = desk.additions(line.agreement.0).await.into_iter().find(open);
            let addition = there.and_then(|row| row["id"].as_i64());
            desk.net.tell(format!("ann picks {addition:?} for item {} of customer {customer}", line.item));
            desk.pick(customer, line.item.0, addition).await;
            said = true;
        }
        said
    }
}

fn theirs(row: &Value) -> Value {
    THEIRS
        .iter()
        .map(|name| ((*name).to_owned(), row[*name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A number of money, whichever way it is written.
fn money(value: &Value) -> Option<rust_decimal::Decimal> {
    value.to_string().parse::<rust_decimal::Decimal>().ok().map(|number| number.normalize())
}

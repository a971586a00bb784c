//! Real input through the front door: a published cloud bill, a marketplace's answers and its fulfilment requests, each
//! from the file to the additions in ConnectWise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "the command line's tests use all of it")]
mod bench;

use bench::Bench;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The data of the source connectors' own tests.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sources/tests/data").join(name)
}

fn document(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn answers(folder: &str) -> Vec<String> {
    let all = std::fs::read_dir(data(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<String> = all
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| path.display().to_string())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn import(bench: &Bench, dialect: &str, files: &[String]) -> Value {
    let mut args = vec!["feed", "import", "--from", dialect];
    args.extend(files.iter().map(String::as_str));
    bench.json(&args).exits(0).json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// A decimal, written as text or as a JSON number.
fn decimal(value: &Value) -> Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|e| panic!("{e}: {value}"))
}

fn cents(exact: Decimal) -> Decimal {
    exact.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

fn company(id: usize) -> Value {
    json!({"id": id, "identifier": format!("Company{id}"), "name": format!("Company {id}")})
}

fn contact(company: usize) -> Value {
    json!({"id": company + 10_000, "firstName": "Ada", "lastName": "Byron", "company": {"id": company}})
}

/// A catalog item whose own price and cost must never be taken.
fn item(id: usize) -> Value {
    let name = format!("ITEM{id}");
    json!({"id": id, "identifier": name, "description": name, "customerDescription": name, "subcategory": {"id": 1},
        "type": {"id": 1}, "price": 777, "cost": 555})
}

/// An agreement that is billed monthly from `start` on, and was never invoiced.
fn agreement(id: usize, company: usize, start: &str, currency: usize) -> Value {
    let start = format!("{start}T00:00:00Z");
    json!({"id": id, "name": "Cloud", "type": {"name": "Cloud Services"}, "company": {"id": company},
        "contact": {"id": company + 10_000}, "startDate": start, "billStartDate": start, "billingCycle": {"id": 2},
        "currency": {"id": currency}})
}

const USD: usize = 1;
const EUR: usize = 2;
const GBP: usize = 3;

/// All additions with the id of their agreement.
fn additions(bench: &Bench) -> Vec<(String, Value)> {
    let state = bench.ask("state");
    let of_agreements = state["resources"]["finance/agreements/{id}/additions"].as_object().cloned();
    let lines = |(id, all): (String, Value)| {
        all.as_array().cloned().unwrap_or_default().into_iter().map(move |one| (id.clone(), one))
    };
    of_agreements.unwrap_or_default().into_iter().flat_map(lines).collect()
}

/// Runs the whole way once more: no task, no change, no call that writes.
fn again_changes_nothing(bench: &Bench, dialect: &str, files: &[String], since: &str) {
    let before = bench.ask("state")["resources"].clone();
    let idle = bench.json(&["apply", "--all", "--no-adopt"]).exits(0).json();
    assert_eq!(idle["summary"]["applied"], 0, "{idle}");
    let counts = import(bench, dialect, files);
    for (kind, count) in counts["records"].as_object().unwrap() {
        assert_eq!((&count["new"], &count["changed"]), (&json!(0), &json!(0)), "{kind}");
    }
    let check = bench.json(&["check", "--since", since]).exits(0).json();
    assert!(list(&check, "created").is_empty(), "{check}");
    let idle = bench.json(&["apply", "--all", "--no-adopt"]).exits(0).json();
    assert_eq!(idle["summary"]["applied"], 0, "{idle}");
    assert!(list(&idle, "changes").is_empty(), "{idle}");
    assert_eq!(bench.ask("state")["resources"], before);
    bench.json(&["audit", "verify"]).exits(0);
}

fn codes<'a>(document: &'a Value, code: &str) -> Vec<&'a Value> {
    list(document, "findings").iter().filter(|finding| finding["code"] == code).collect()
}

/// The published bill: a company, an agreement and a mapping for each sub account, one item for all services.
struct Bill {
    bench: Bench,
    files: Vec<String>,
    expected: Value,
    agreements: BTreeMap<String, usize>,
}

impl Bill {
    fn new() -> Self {
        let expected = document(&data("focus/expected.json"));
        let groups = list(&expected, "groups");
        let accounts: BTreeSet<&str> = groups.iter().map(|group| text(group, "SubAccountId")).collect();
        let services: BTreeSet<(&str, &str)> =
            groups.iter().map(|group| (text(group, "ProviderName"), text(group, "ServiceName"))).collect();
        let agreements: BTreeMap<String, usize> =
            accounts.iter().enumerate().map(|(n, id)| ((*id).to_owned(), 2_000 + n)).collect();

        let mut bench = Bench::new("2024-11-05");
        bench.connect("2024-11-01");
        let companies = 1_000..1_000 + accounts.len();
        bench.control(
            "seed",
            &json!({"resources": {
                "company/companies": companies.clone().map(company).collect::<Vec<_>>(),
                "company/contacts": companies.clone().map(contact).collect::<Vec<_>>(),
                "procurement/catalog": [item(70)],
                "finance/agreements":
                    companies.map(|id| agreement(id + 1_000, id, "2024-09-01", USD)).collect::<Vec<_>>(),
            }}),
        );
        let mut rows = String::new();
        for (account, agreement) in &agreements {
            writeln!(rows, "customer,\"{account}\",{},,", agreement - 1_000).unwrap();
        }
        for (provider, service) in services {
            writeln!(rows, "product,\"{provider}/{service}\",70,,").unwrap();
        }
        bench.map(&rows).exits(0);
        let files = vec![data("focus/focus_sample.csv").display().to_string()];
        Self { bench, files, expected, agreements }
    }

    fn applied(&self) -> Value {
        import(&self.bench, "focus", &self.files);
        let check = self.bench.json(&["check", "--since", "2024-01-01"]).exits(0).json();
        assert_eq!(check["tasks"], json!({"ready": 220}));
        self.bench.json(&["apply", "--all", "--no-adopt"]).exits(0).json()
    }

    /// Billing orders, with the agreement and the exact sums of price and cost, where they charge something.
    fn charged(&self) -> BTreeMap<String, (usize, Decimal, Decimal)> {
        let of_group = |group: &Value| {
            let names = ["BillingAccountId", "SubAccountId", "ProviderName", "ServiceName"];
            let mut parts: Vec<&str> = names.iter().map(|name| text(group, name)).collect();
            parts.push(&text(group, "BillingPeriodStart")[..10]);
            let agreement = self.agreements[text(group, "SubAccountId")];
            (parts.join("|"), (agreement, decimal(&group["BilledCost"]), decimal(&group["EffectiveCost"])))
        };
        let all = list(&self.expected, "groups").iter().map(of_group);
        all.filter(|(_, (_, billed, _))| !billed.is_zero()).collect()
    }

    /// Each of the orders has one addition of its own, at its exact sums, rounded once.
    fn are_billed(&self, applied: &Value, orders: &BTreeMap<String, (usize, Decimal, Decimal)>) {
        let additions = additions(&self.bench);
        assert_eq!(additions.len(), orders.len());
        assert_eq!(applied["summary"]["applied"], json!(orders.len()), "{}", applied["summary"]);
        let held: BTreeMap<String, &(String, Value)> =
            additions.iter().map(|held| (held.1["id"].to_string(), held)).collect();
        let mut seen = BTreeSet::new();
        for change in list(applied, "changes") {
            let order = text(change, "order_id");
            let (agreement, billed, effective) = orders.get(order).unwrap_or_else(|| panic!("{order}"));
            assert!(seen.insert(order), "{order} has two additions");
            let (on, addition) = held[&change["addition_id"].to_string()];
            assert_eq!(on, &agreement.to_string(), "{order}");
            let quantity = decimal(&addition["quantity"]);
            assert_eq!(quantity.abs(), Decimal::ONE, "{order}");
            assert_eq!(quantity * decimal(&addition["unitPrice"]), cents(*billed), "{order}: {addition}");
            assert_eq!(quantity * decimal(&addition["unitCost"]), cents(*effective), "{order}: {addition}");
            let start = &order[order.len() - 10..];
            assert_eq!(&text(addition, "effectiveDate")[..10], start, "{order}");
            assert_eq!(text(addition, "cancelledDate")[..7], start[..7], "{order}: a charge of one month");
        }
        assert_eq!(seen.len(), orders.len());
    }
}

#[test]
fn a_published_bill_is_taken_in_to_the_last_digit() {
    let bill = Bill::new();
    let taken = import(&bill.bench, "focus", &bill.files);
    let totals = &taken["totals"]["by_currency"]["USD"];
    assert_eq!((text(totals, "amount"), text(totals, "cost")), ("20.52022672899", "14.97651418586"));
    assert_eq!(totals["amount"], bill.expected["total"]["BilledCost"]);
    assert_eq!(totals["cost"], bill.expected["total"]["EffectiveCost"]);
    assert_eq!(taken["records"]["order"]["new"], bill.expected["group_count"]);
    assert_eq!(taken["records"]["customer"]["new"], json!(bill.agreements.len()));
    assert!(list(&taken, "refused").is_empty());
    let dirty: Vec<u64> =
        list(&bill.expected, "dirty_rows").iter().map(|row| row["row"].as_u64().unwrap()).collect();
    // The header is line 1 of the file and not counted in the rows.
    let named: Vec<u64> = list(&taken, "warnings").iter().map(|w| w["line"].as_u64().unwrap() - 1).collect();
    assert_eq!(named, dirty);
}

#[test]
fn each_charge_of_the_bill_becomes_one_addition_rounded_once() {
    let bill = Bill::new();
    let applied = bill.applied();
    let mut orders = bill.charged();
    assert_eq!(orders.len(), 174);
    // Credits are off by themselves: the one refund of the bill is left out, and said.
    let refunds: Vec<String> = orders
        .iter()
        .filter(|(_, (_, billed, _))| billed.is_sign_negative())
        .map(|(id, _)| id.clone())
        .collect();
    let left_out = codes(&applied, "TU6005");
    assert_eq!((refunds.len(), left_out.len()), (1, 1), "{left_out:?}");
    assert_eq!(left_out[0]["amount"], json!({"amount": "-0.15", "currency": "USD"}));
    orders.retain(|id, _| !refunds.contains(id));
    bill.are_billed(&applied, &orders);

    // What rounding took or gave is said for each order, with the exact amount.
    let tasks = bill.bench.json(&["task", "list"]).exits(0).json();
    let order_of: BTreeMap<&str, &str> =
        list(&tasks, "tasks").iter().map(|task| (text(task, "task_id"), text(task, "order_id"))).collect();
    let mut drifted = BTreeSet::new();
    for finding in codes(&applied, "TU6006") {
        let order = order_of[text(finding, "task_id")];
        let exact = orders[order].1.normalize().to_string();
        assert!(text(finding, "message").contains(&exact), "{finding}");
        drifted.insert(order);
    }
    let expected: BTreeSet<&str> = orders
        .iter()
        .filter(|(_, (_, billed, _))| cents(*billed) != *billed)
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(drifted, expected);
    again_changes_nothing(&bill.bench, "focus", &bill.files, "2024-01-01");
}

#[test]
fn with_credits_the_refund_of_the_bill_is_an_addition_as_well() {
    let mut bill = Bill::new();
    bill.bench.env("TRUEUP_CREDITS", "on");
    let applied = bill.applied();
    assert!(codes(&applied, "TU6005").is_empty(), "{applied}");
    bill.are_billed(&applied, &bill.charged());
}

/// The marketplace's customers on a GBP (41) and a EUR (42) agreement; items 71 to 73, and 74 for the fee.
fn marketplace() -> Bench {
    let mut bench = Bench::new("2025-07-10");
    bench.connect("2025-07-01");
    bench.control(
        "seed",
        &json!({"resources": {
            "company/companies": [company(31), company(32)],
            "company/contacts": [contact(31), contact(32)],
            "procurement/catalog": [item(71), item(72), item(73), item(74)],
            "finance/agreements": [agreement(41, 31, "2024-01-01", GBP), agreement(42, 32, "2024-01-01", EUR)],
        }}),
    );
    let rows = "customer,1000001,31,,\ncustomer,1000002,32,,\nproduct,MAIL-BIZ-STD,71,,\nproduct,BACKUP-GB,72,,\n\
                product,SUITE-E3,73,,\nfee,cancellation,74,,\n";
    bench.map(rows).exits(0);
    bench
}

/// An addition as `agreement/item: quantity x price, first day..last day`.
fn shown(agreement: &str, addition: &Value) -> String {
    let day = |name: &str| addition[name].as_str().map_or("", |text| &text[..10]).to_owned();
    format!(
        "{agreement}/{}: {} x {:.2}, {}..{}",
        addition["product"]["id"],
        decimal(&addition["quantity"]).normalize(),
        decimal(&addition["unitPrice"]),
        day("effectiveDate"),
        day("cancelledDate")
    )
}

/// The open lines that the canonical world implies: what its active subscriptions hold.
fn open_in_the_canonical_world() -> BTreeSet<String> {
    let canonical = document(&data("dialects/canonical.json"));
    let mut open = BTreeSet::new();
    for subscription in list(&canonical, "subscriptions") {
        let quantity = decimal(&subscription["quantity"]);
        if subscription["status"] != "active" || quantity.is_zero() {
            continue;
        }
        let agreement = if subscription["currency"] == "GBP" { 41 } else { 42 };
        let item = if subscription["sku"] == "SUITE-E3" { 73 } else { 71 };
        let price = decimal(&subscription["unit_price"]);
        open.insert(format!("{agreement}/{item}: {} x {price:.2}", quantity.normalize()));
    }
    open
}

#[test]
fn the_answers_of_a_marketplace_become_the_lines_they_imply() {
    let bench = marketplace();
    let files = answers("dialects/cloudblue-simpleapi");
    let taken = import(&bench, "cloudblue-simpleapi", &files);
    assert_eq!(taken["records"]["order"]["new"], 11);
    assert!(list(&taken, "refused").is_empty());

    let check = bench.json(&["check", "--since", "2024-01-01"]).exits(0).json();
    let tasks: BTreeSet<&str> = list(&check, "created").iter().map(|task| text(task, "order_id")).collect();
    // The change to 45 seats is not carried out yet.
    assert!(!tasks.contains("900009"), "{tasks:?}");
    assert_eq!(check["not_completed"], 1);
    // What a month in advance costs is billed by the open line itself.
    let no_task: Vec<&str> = list(&check, "no_task").iter().map(|order| text(order, "order_id")).collect();
    assert_eq!(no_task, ["900010"]);

    let applied = bench.json(&["apply", "--all", "--no-adopt"]).exits(0).json();
    assert_eq!(
        (&applied["summary"]["failed"], &applied["summary"]["skipped"], &applied["summary"]["in_doubt"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let additions = additions(&bench);
    let lines: Vec<String> = additions.iter().map(|(on, addition)| shown(on, addition)).collect();

    let open: BTreeSet<String> = lines
        .iter()
        .filter_map(|line| line.strip_suffix(".."))
        .map(|line| line.split(", ").next().unwrap().to_owned())
        .collect();
    assert_eq!(open, open_in_the_canonical_world());
    assert_eq!(lines.iter().filter(|line| line.ends_with("..")).count(), 2, "{lines:#?}");

    for expected in [
        // s1: setup and the rest of January, ten seats until the change, its part of June, twelve from July on.
        "41/71: 10 x 2.50, 2024-01-15..2024-01-31",
        "41/71: 1 x 68.55, 2024-01-15..2024-01-31",
        "41/71: 10 x 12.50, 2024-02-01..2025-06-30",
        "41/71: 1 x 16.67, 2025-06-11..2025-06-30",
        "41/71: 12 x 12.50, 2025-07-01..",
        // s2: use in June.
        "41/72: 1 x 13.36, 2025-06-01..2025-06-30",
        // s3: not changed.
        "42/73: 40 x 36.00, 2025-03-01..",
        // s4: eight seats until the change, and the fee for cancelling.
        "42/71: 8 x 12.50, 2024-11-01..2025-02-28",
        "42/71: 5 x 12.50, 2025-03-01..2025-05-31",
        "42/74: 1 x 20.00, 2025-05-31..2025-05-31",
    ] {
        let count = lines.iter().filter(|line| *line == expected).count();
        assert_eq!(count, 1, "{expected} in {lines:#?}");
    }
    // Nothing else on the agreement in pounds, and nothing of the cancelled subscription after its last day.
    assert_eq!(lines.iter().filter(|line| line.starts_with("41/")).count(), 6, "{lines:#?}");
    for (_, addition) in additions.iter().filter(|(on, a)| on == "42" && a["product"]["id"] != 73) {
        assert!(&text(addition, "cancelledDate")[..10] <= "2025-05-31", "{addition}");
    }
    // A line that goes on is called by its product; what an amount is for is said on the line of that amount.
    let said = |line: &str| {
        let at = lines.iter().position(|known| known == line).unwrap();
        text(&additions[at].1, "description").to_owned()
    };
    assert_eq!(said("41/71: 1 x 68.55, 2024-01-15..2024-01-31"), "Recurring, 15 to 31 January");
    for standing in [
        "41/71: 10 x 12.50, 2024-02-01..2025-06-30",
        "41/71: 12 x 12.50, 2025-07-01..",
        "42/71: 5 x 12.50, 2025-03-01..2025-05-31",
    ] {
        assert_eq!(said(standing), "Business Mail Standard", "{standing}");
    }
    let cost = |line: &str| {
        let at = lines.iter().position(|known| known == line).unwrap();
        decimal(&additions[at].1["unitCost"])
    };
    assert_eq!(cost("41/71: 12 x 12.50, 2025-07-01..").to_string(), "9.38");
    assert_eq!(cost("41/72: 1 x 13.36, 2025-06-01..2025-06-30").to_string(), "11.36");
    assert_eq!(cost("42/73: 40 x 36.00, 2025-03-01..").normalize().to_string(), "28.8");

    // The refund of the decrease is left out while credits are off, and said; that of June has nothing to give back,
    // since June was never invoiced and the line ends before it.
    let told = codes(&applied, "TU6005");
    let (left_out, nothing): (Vec<_>, Vec<_>) = told.into_iter().partition(|f| !f["amount"].is_null());
    let left_out: Vec<&str> = left_out.into_iter().map(|f| text(&f["amount"], "amount")).collect();
    assert_eq!(left_out, ["-25.45"]);
    assert!(nothing.iter().any(|f| text(f, "message").contains("nothing to give back")), "{nothing:?}");
    again_changes_nothing(&bench, "cloudblue-simpleapi", &files, "2024-01-01");
}

/// What a request mentions of an item or a customer takes the place of nothing that was described whole, and the same
/// answers again, in whatever order, change nothing.
#[test]
fn a_mention_takes_the_place_of_nothing() {
    let bench = Bench::new("2024-01-01");
    let file = |name: &str| vec![data("cloudblue-connect").join(name).display().to_string()];
    let items = file("cli_items_response.json");
    let taken = import(&bench, "cloudblue-connect", &items);
    let known = taken["records"]["product"]["new"].as_u64().unwrap();
    assert!(known > 10, "{taken}");
    import(&bench, "cloudblue-connect", &file("ff_request.json"));
    import(&bench, "cloudblue-connect", &file("billing_request.json"));
    for again in ["cli_items_response.json", "ff_request.json", "billing_request.json"] {
        let taken = import(&bench, "cloudblue-connect", &file(again));
        for (kind, counts) in taken["records"].as_object().unwrap() {
            assert_eq!(
                (&counts["new"], &counts["changed"]),
                (&json!(0), &json!(0)),
                "{again}, {kind}: {taken}"
            );
        }
    }
}

#[test]
fn requests_that_wait_for_the_vendor_give_no_task() {
    let mut bench = Bench::new("2025-07-10");
    bench.connect("2025-07-01");
    let files = answers("cloudblue-connect");
    let taken = import(&bench, "cloudblue-connect", &files);
    assert!(list(&taken, "refused").is_empty());
    assert_eq!(taken["records"]["order"]["new"], 9);
    // No request of Connect carries a price, and that is said.
    assert!(list(&taken, "warnings").iter().any(|warning| warning["code"] == "TU6002"));
    let taken = import(&bench, "cloudblue-connect", &files);
    assert_eq!(taken["records"]["order"], json!({"new": 0, "changed": 0, "unchanged": 9}));

    // Seven requests in a list, one alone and one for billing, none of them carried out.
    let check = bench.json(&["check", "--since", "2000-01-01"]).json();
    assert_eq!(check["not_completed"], 9);
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    for task in list(&tasks, "tasks") {
        assert!(task["order_id"].is_null(), "{task}");
        assert_ne!(task["subscription_id"], "AS-1895-0864-1238", "a subscription that is not active yet");
        assert_eq!(task["kind"], "reconciliation", "{task}");
    }
    let applied = bench.json(&["apply", "--all", "--no-adopt"]).json();
    assert_eq!(applied["summary"]["applied"], 0, "{applied}");
    assert!(additions(&bench).is_empty());
}

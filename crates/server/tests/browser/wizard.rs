//! One task, step by step: each type of order, with what the review shows of it and what ConnectWise holds then.

use crate::alone;
use crate::driver::Browser;
use crate::quantities::pick;
use crate::sold::{World, line, map, order, seats, subscription, synchronize, three_more};
use serde_json::{Value, json};

#[test]
fn a_sale_is_mapped_reviewed_set_by_hand_and_written() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    world.enter(&browser);
    world.wizard(&browser, "SO-s-1", "Green Lane");
    map(&browser, "Map this customer: Green Lane", "Company in ConnectWise", "Green Lane LLC (GreenLane)");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    map(&browser, "Map this product: Mail, one seat", "Product in ConnectWise", "Mail Seat (MAIL)");
    map(&browser, "Map this product: Getting started", "Product in ConnectWise", "Onboarding (SETUP)");
    // The only agreement of the company is taken by itself.
    browser.sees("What it comes to");
    browser.sees("Green Lane cloud");
    browser.sees("Set-up, once");
    browser.sees("$110.00");
    browser.sees("$10.00");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(
        world.sandbox.additions(40),
        Vec::<String>::new(),
        "nothing is written before somebody says so"
    );

    browser.click("Change: Onboarding");
    browser.sees("Change the line Onboarding");
    browser.fill("Unit price", "12.50");
    browser.fill("Text on the invoice", "Getting started, agreed by telephone");
    pick(&browser, "Taxed", "No");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Compute anew");
    browser.sees("Set by hand");
    browser.sees("$12.50");
    browser.click("Leave out: Mail Seat");
    browser.sees("Lines that are left out");
    browser.click("Take in again: Mail Seat");
    browser.sees_no_more("Lines that are left out");
    browser.sees("$122.50");
    synchronize(&browser);
    assert_eq!(browser.barriers(), Vec::<String>::new());
    let mut lines = world.sandbox.additions(40);
    lines.sort();
    assert_eq!(lines, ["7 5.0 x 22.0 2023-03-01..open", "9 1.0 x 12.5 2023-03-01..2023-03-31"]);
    let text = world.sandbox.field(40, 9, "invoiceDescription");
    assert!(text.as_str().unwrap().starts_with("Getting started, agreed by telephone"), "{text}");
    assert_eq!(world.sandbox.field(40, 9, "taxableFlag"), json!(false));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_change_that_prorates_shows_amounts_and_formula_and_usage_is_billed_once() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    world.sandbox.invoice(40);

    world.feed(&[three_more("CH-1", "s-1")]);
    world.enter(&browser);
    world.wizard(&browser, "CH-1", "Green Lane");
    // Whom and what it is about is known: the review comes at once, with those steps done.
    browser.sees("What it comes to");
    browser.sees("Part of a period");
    browser.sees("22.00 x 17/31 = 12.0645 -> 12.06; 3 x 12.06");
    browser.sees("$36.18");
    browser.sees("Effect on the next invoices");
    browser.sees("Green Lane cloud is invoiced up to Mar 31, 2023");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    synchronize(&browser);
    // March is invoiced: the part of it comes with the next invoice.
    let mut lines = world.sandbox.additions(40);
    lines.sort();
    let wanted = [
        "7 3.0 x 12.06 2023-04-01..2023-04-30",
        "7 5.0 x 22.0 2023-03-01..2023-03-31",
        "7 8.0 x 22.0 2023-04-01..open",
        "9 1.0 x 10.0 2023-03-01..2023-03-31",
    ];
    assert_eq!(lines, wanted);

    let used = [line("1", "overuse", "store", "250", "0.12", "0.08")];
    world.feed(&[
        subscription("u-1", "c-1", "store", "1", "0.12", "0.08"),
        order("BO-1", "billing", "u-1", "2023-03-18", &used),
    ]);
    world.wizard(&browser, "BO-1", "Green Lane");
    browser.sees("Use beyond what is included");
    browser.sees("$30.00");
    synchronize(&browser);
    let lines = world.sandbox.additions(40);
    assert!(lines.contains(&"8 250.0 x 0.12 2023-04-01..2023-04-30".to_owned()), "{lines:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// An order may name a product that its source never told of: it is mapped like any other, and nobody is told that nothing has
/// to be billed.
#[test]
fn a_product_that_only_an_order_names_is_mapped_where_it_is_missing() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    let used = [line("1", "overuse", "extra", "250", "0.12", "0.08")];
    world.feed(&[order("BO-9", "billing", "s-1", "2023-03-18", &used)]);
    world.enter(&browser);
    world.wizard(&browser, "BO-9", "Green Lane");
    browser.sees("What are these products in the catalog of ConnectWise?");
    assert!(!browser.text().contains("holds what was sold already"), "{}", browser.text());
    assert_eq!(browser.barriers(), Vec::<String>::new());
    // A plan of it says the same.
    let org = "/api/v1/organizations/default";
    let plan = world.operator().post(&format!("{org}/plans"), &json!({})).is(201).json();
    let wizard = browser.path();
    browser.open(&world.page(&format!("/plans/{}", plan["plan_id"].as_str().unwrap())));
    browser.sees("Product not mapped");
    browser.sees("Nothing can be written yet");
    assert!(!browser.text().contains("holds what was sold already"), "{}", browser.text());
    browser.open(&format!("http://{}{wizard}", world.service.at));
    map(&browser, "Map this product: extra", "Product in ConnectWise", "Storage (STORE)");
    browser.sees("Use beyond what is included");
    browser.sees("$30.00");
    synchronize(&browser);
    let lines = world.sandbox.additions(40);
    assert!(lines.iter().any(|line| line.starts_with("8 250.0 x 0.12 ")), "{lines:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// The part of an open period and the line from the next one on are no reason to speak of invoices.
#[test]
fn a_change_in_an_open_period_is_no_warning() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    world.feed(&[three_more("CH-1", "s-1")]);
    world.enter(&browser);
    world.wizard(&browser, "CH-1", "Green Lane");
    browser.sees("Part of a period");
    browser.sees("Effect on the next invoices");
    let shown = browser.text();
    assert!(!shown.contains("is invoiced up to"), "{shown}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// A cancellation with its fee.
fn cancelled(id: &str, subscription: &str) -> Value {
    let mut fee = line("1", "cancellation", "early-end", "1", "50.00", "0.00");
    fee["product"] = json!("early-end");
    order(id, "cancellation", subscription, "2023-03-20", &[fee])
}

#[test]
fn a_cancellation_ends_what_was_billed_and_removes_what_was_not() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.feed(&seats("c-2", "s-2"));
    world.write();
    world.sandbox.invoice(41);
    world.feed(&[
        json!({ "type": "product", "id": "early-end", "name": "Ending early", "kind": "one_time" }),
        cancelled("CA-1", "s-1"),
    ]);
    world.enter(&browser);

    // Not billed yet: it goes away.
    world.wizard(&browser, "CA-1", "Green Lane");
    browser.sees("Fee for cancelling");
    browser.sees("$50.00");
    browser.sees("Removed");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    synchronize(&browser);
    let lines = world.sandbox.additions(40);
    assert!(lines.iter().any(|line| line.starts_with("10 1.0 x 50.0 ")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("7 ")), "{lines:?}");

    // Billed up to the end of March: it gets a last day.
    world.feed(&[cancelled("CA-2", "s-2")]);
    world.wizard(&browser, "CA-2", "Harbour");
    browser.sees("Fee for cancelling");
    browser.sees("Ended");
    browser.sees("Harbour cloud is invoiced up to Mar 31, 2023");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    synchronize(&browser);
    let lines = world.sandbox.additions(41);
    assert!(lines.contains(&"7 5.0 x 22.0 2023-03-01..2023-03-31".to_owned()), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("10 1.0 x 50.0 ")), "{lines:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn who_planned_the_same_task_meanwhile_is_named_before_anything_is_written() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.enter(&browser);
    world.wizard(&browser, "SO-s-1", "Green Lane");
    browser.sees("What it comes to");
    let org = "/api/v1/organizations/default";
    let person = world.operator();
    let tasks = person.get(&format!("{org}/tasks?search=SO-s-1")).is(200).json();
    let task = &tasks["items"][0]["task_id"];
    person.post(&format!("{org}/plans"), &json!({ "tasks": [task] })).is(201);
    // It looks from time to time.
    browser.sees("planned this task as well");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(world.sandbox.additions(40), Vec::<String>::new());
    browser.click("Show how it stands now");
    browser.sees_no_more("planned this task as well");
    synchronize(&browser);
    assert_eq!(world.sandbox.additions(40).len(), 2);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

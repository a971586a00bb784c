//! What one looks at before it is written, what is at risk where nothing is, and what can be taken back.

use crate::alone;
use crate::driver::Browser;
use crate::quantities::pick;
use crate::sold::{World, line, order, seats, subscription, synchronize, three_more};
use serde_json::json;

const ORG: &str = "/api/v1/organizations/default";

#[test]
fn days_costs_and_billing_are_set_by_hand_and_prices_are_taken_from_where_one_says() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    // The marketplace is cheaper than the catalog, which has 22.00.
    world.feed(&[
        subscription("s-1", "c-1", "mail", "5", "20.00", "16.00"),
        order(
            "SO-s-1",
            "sales",
            "s-1",
            "2023-03-01",
            &[line("1", "recurring", "mail", "5", "20.00", "16.00")],
        ),
    ]);
    world.enter(&browser);
    world.wizard(&browser, "SO-s-1", "Green Lane");
    browser.sees("$100.00");
    pick(&browser, "Prices from", "ConnectWise's prices");
    browser.sees("$110.00");
    pick(&browser, "Prices from", "The marketplace's prices");
    browser.sees("$100.00");

    browser.click("Change: Mail Seat");
    browser.sees("Change the line Mail Seat");
    browser.fill("Unit cost", "15.25");
    browser.fill("First billed day", "2023-04-01");
    browser.fill("Last billed day", "2023-12-31");
    pick(&browser, "Billing", "No charge");
    browser.click("Compute anew");
    browser.sees("Set by hand");
    browser.sees("Dec 31, 2023");
    browser.sees("$15.25");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    synchronize(&browser);
    assert_eq!(world.sandbox.additions(40), ["7 5.0 x 20.0 2023-04-01..2023-12-31"]);
    assert_eq!(world.sandbox.field(40, 7, "unitCost"), json!(15.25));
    assert_eq!(world.sandbox.field(40, 7, "billCustomer"), json!("NoCharge"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn an_agreement_that_prorates_by_itself_is_warned_of() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&[json!({ "type": "customer", "id": "c-3", "name": "Willow", "currency": "USD" })]);
    let willow = json!({ "kind": "customer", "source": "shop", "source_id": "c-3", "psa_id": 14 });
    world.operator().put(&format!("{ORG}/mappings"), &willow).is(200);
    world.feed(&seats("c-3", "s-9"));
    world.enter(&browser);
    world.wizard(&browser, "SO-s-9", "Willow");
    browser.sees("Willow cloud prorates by itself in ConnectWise");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_is_not_billed_is_on_the_overview_with_its_amount_and_leads_to_where_it_is_mended() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    world.run(&json!({ "kind": "check" }));
    world.enter(&browser);
    browser.sees("Money at risk");
    browser.sees("Sold and not mapped");
    browser.sees("$120.00");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Sold and not mapped");
    browser.sees("Green Lane");
    world.map_all();
    world.write();
    browser.open(&world.page(""));
    browser.sees("Nothing is at risk");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_line_that_was_taken_back_offers_no_taking_back() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    world.invoice(40);
    world.enter(&browser);
    browser.open(&world.page("/agreements/40"));
    browser.click("Why is this 5?");
    browser.sees("Take back this line");
    let line = browser.path();
    browser.click("Take back this line");
    browser.sees("Take back what was written?");
    browser.click("Plan it");
    browser.sees("Line by line");
    browser.click("Write to ConnectWise");
    browser.sees("Write this plan to ConnectWise?");
    browser.click("Write to ConnectWise");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Written')",
        &[],
    );
    browser.open(&format!("http://{}{line}", world.service.at));
    browser.sees("taken back");
    assert!(!browser.text().contains("Take back this line"), "{}", browser.text());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn an_ended_line_says_what_it_bills_beside_what_the_next_invoices_become() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    world.invoice(40);
    world.feed(&[three_more("CH-1", "s-1")]);
    world.enter(&browser);
    world.wizard(&browser, "CH-1", "Green Lane");
    browser.sees("Next invoices:");
    // The plan itself says only its last day.
    let ended = "
        const is = (row) => [...row.querySelectorAll('.badge')].some((b) => b.innerText === 'Ended');
        const row = [...document.querySelectorAll('main tr')].find(is);
        const shown = row ? [1, 2].map((at) => row.cells[at].innerText.trim()) : ['–'];
        return shown.includes('–') ? null : shown;";
    let shown = browser.until("quantity and price of the line that ends", ended, &[]);
    assert_eq!(shown, json!(["5", "$22.00"]));
    // On a phone the sums are whole as well.
    browser.window(390, 844);
    let cut = "
        const cells = [...document.querySelectorAll('.sums td')].filter((cell) => cell.checkVisibility());
        return cells.length > 0 && cells.every((cell) => cell.getBoundingClientRect().right <= innerWidth);";
    browser.until("sums that fit the phone", cut, &[]);
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_somebody_refused_is_not_offered_to_be_written() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.set("approval.persons", "1");
    world.set("approval.amount", "1");
    world.feed(&seats("c-1", "s-1"));
    world.run(&json!({ "kind": "check" }));
    let person = world.operator();
    let plan = person.post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    let id = plan["plan_id"].as_str().unwrap();
    world.run(&json!({ "kind": "apply", "plan_id": id }));
    let asked = person.get(&format!("{ORG}/approvals")).is(200).json();
    let approval = asked["items"][0]["approval_id"].as_str().unwrap();
    world.enter(&browser);
    browser.open(&world.page(&format!("/plans/{id}")));
    browser.sees("This plan waits for an approval");
    assert!(!browser.text().contains("Write to ConnectWise"), "{}", browser.text());
    let no = json!({ "decision": "refuse", "reason": "The wrong month" });
    person.post(&format!("{ORG}/approvals/{approval}/decide"), &no).is(200);
    browser.open(&world.page(&format!("/plans/{id}")));
    browser.sees("Somebody refused this plan");
    browser.sees("The wrong month");
    assert!(!browser.text().contains("Write to ConnectWise"), "{}", browser.text());
    // The console speaks of its own ways, not of those of the command line.
    browser.open(&world.page("/exceptions?code=TU7007"));
    browser.sees("approve or refuse it under Approvals");
    let shown = browser.text();
    assert!(!shown.contains("trueup approval") && !shown.contains("trueup apply"), "{shown}");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("To the approval");
    browser.sees("Who said what");
    assert_eq!(world.sandbox.additions(40), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

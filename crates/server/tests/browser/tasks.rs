//! The work list: what it is narrowed down to stands in the address, and is kept under a name.

use crate::alone;
use crate::driver::Browser;
use crate::quantities::pick;
use crate::sold::{World, line, order, seats, subscription};
use serde_json::json;

/// What the address holds of the filters.
fn address(browser: &Browser) -> String {
    browser.script("return location.search", &[]).as_str().unwrap().to_owned()
}

#[test]
fn the_list_is_narrowed_down_by_source_and_age_and_kept_as_a_view() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    // A second source, with an order of yesterday.
    world.feed_from(
        "market",
        &[
            json!({ "type": "customer", "id": "m-1", "name": "Young Market", "currency": "USD" }),
            json!({ "type": "product", "id": "mail", "name": "Mail", "kind": "seat" }),
            subscription("m-1", "m-1", "mail", "2", "22.00", "17.60"),
            order(
                "SO-m-1",
                "sales",
                "m-1",
                "2023-03-19",
                &[line("1", "recurring", "mail", "2", "22.00", "17.60")],
            ),
        ],
    );
    world.run(&json!({ "kind": "check" }));
    world.enter(&browser);
    browser.open(&world.page("/tasks"));
    browser.sees("Green Lane");
    browser.sees("Young Market");
    pick(&browser, "Source", "market");
    browser.sees_no_more("Green Lane");
    browser.sees("Young Market");
    assert_eq!(address(&browser), "?source=market");
    pick(&browser, "Age", "7 days or older");
    browser.sees("No task fits these filters");
    pick(&browser, "Age", "Up to 7 days");
    browser.sees("Young Market");
    assert_eq!(address(&browser), "?source=market&age=-7");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Views");
    browser.click("Keep this view…");
    browser.fill("Name", "New at the market");
    browser.click("Save");

    // The address alone is enough, and so is the name.
    browser.open(&world.page("/tasks?age=7"));
    browser.sees("Green Lane");
    browser.sees_no_more("Young Market");
    browser.click("Views");
    browser.click("New at the market");
    browser.sees("Young Market");
    browser.sees_no_more("Green Lane");
    assert_eq!(address(&browser), "?source=market&age=-7");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// What a field holds.
fn held(browser: &Browser, label: &str) -> String {
    let script = "
        const found = [...document.querySelectorAll('label')].find((l) => l.innerText.trim() === arguments[0]);
        return document.getElementById(found?.htmlFor)?.value ?? null;";
    browser.script(script, &[json!(label)]).as_str().unwrap().to_owned()
}

#[test]
fn the_search_is_what_the_address_says_and_finds_customers_and_companies_by_name() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    world.feed(&seats("c-2", "s-2"));
    world.run(&json!({ "kind": "check" }));
    world.enter(&browser);
    browser.open(&world.page("/tasks?search=s-2"));
    browser.sees("Harbour");
    browser.sees_no_more("Green Lane");
    assert_eq!(held(&browser, "Search"), "s-2");
    // The address loses the search, and so does the field.
    browser.click("Tasks");
    browser.sees("Green Lane");
    assert_eq!((held(&browser, "Search"), address(&browser)), (String::new(), String::new()));
    // By the name of the customer, and by that of the company in ConnectWise.
    browser.fill("Search", "harb");
    browser.sees_no_more("Green Lane");
    browser.sees("SO-s-2");
    assert_eq!(address(&browser), "?search=harb");
    world.map_all();
    browser.fill("Search", "lane llc");
    browser.sees("SO-s-1");
    browser.sees_no_more("SO-s-2");
    assert_eq!(address(&browser), "?search=lane+llc");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

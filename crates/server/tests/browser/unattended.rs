//! What is written for many at once: by a schedule, or by an upload that a validation allowed; and what a release undoes.

use crate::alone;
use crate::driver::Browser;
use crate::sold::{World, map, seats};
use std::time::{Duration, Instant};

/// Waits until the last run that the schedule started has ended so, and looks at it.
fn by_schedule(world: &World, browser: &Browser, state: &str) {
    // It fires once a minute.
    let begun = Instant::now();
    let id = loop {
        let runs = world.scheduled();
        let last = runs.first().filter(|run| run["state"] == state);
        if let Some(run) = last {
            break run["run_id"].as_str().unwrap().to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "no scheduled run ends as {state}: {runs:?}");
        std::thread::sleep(Duration::from_millis(500));
    };
    browser.open(&world.page(&format!("/runs/{id}")));
    browser.sees("by schedule");
}

#[test]
fn a_sync_by_schedule_fails_for_want_of_a_mapping_and_passes_once_it_is_there() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    world.enter(&browser);
    world.set("schedule.sync", "1m");
    by_schedule(&world, &browser, "needs_person");
    browser.sees("Stopped for a person");
    assert_eq!(world.sandbox.additions(40), Vec::<String>::new());
    browser.open(&world.page("/tasks"));
    browser.sees("Needs mapping");
    browser.sees("Customer not mapped (TU2001), Product not mapped (TU2003)");
    browser.click("Green Lane");
    browser.sees("What is in its way");
    map(&browser, "Map this customer", "Company in ConnectWise", "Green Lane LLC (GreenLane)");
    browser.open(&world.page("/mapping?tab=product"));
    map(&browser, "Map Mail, one seat", "Product in ConnectWise", "Mail Seat (MAIL)");
    map(&browser, "Map Getting started", "Product in ConnectWise", "Onboarding (SETUP)");
    by_schedule(&world, &browser, "done");
    browser.sees("Line by line");
    let mut lines = world.sandbox.additions(40);
    lines.sort();
    assert_eq!(lines, ["7 5.0 x 22.0 2023-03-01..open", "9 1.0 x 10.0 2023-03-01..2023-03-31"]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_validation_with_errors_is_mended_and_uploaded() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.feed(&seats("c-2", "s-2"));
    let harbour = "/api/v1/organizations/default/mappings?kind=customer&source=shop&source_id=c-2";
    world.operator().delete(harbour).is(204);
    world.enter(&browser);
    browser.open(&world.page("/jobs"));
    browser.click("New validation");
    browser.click("Validate all customers");
    browser.sees("What stands in the way");
    browser.sees("Customer not mapped");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert!(!browser.text().contains("Upload to ConnectWise"), "what has errors cannot be uploaded");
    map(&browser, "Map this customer: Harbour", "Company in ConnectWise", "Harbour Clinic (HarbourClinic)");
    browser.click("Validate again");
    browser.sees("Nothing stands in the way. It can be uploaded.");
    assert_eq!(world.sandbox.additions(40), Vec::<String>::new(), "a validation writes nothing");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Upload to ConnectWise");
    browser.sees("Upload to ConnectWise?");
    browser.click("Upload to ConnectWise");
    browser.sees("Everything was written to ConnectWise.");
    assert_eq!(world.sandbox.additions(40).len(), 2);
    assert_eq!(world.sandbox.additions(41).len(), 2);
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_mapping_is_released_with_all_that_hangs_on_it() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.write();
    // Somebody chose the agreement of a subscription: that hangs on the customer's company.
    let chosen =
        serde_json::json!({ "kind": "agreement", "source": "shop", "source_id": "s-1", "psa_id": 40 });
    let mappings = "/api/v1/organizations/default/mappings";
    world.operator().put(mappings, &chosen).is(200);
    world.feed(&seats("c-1", "s-3"));
    world.run(&serde_json::json!({ "kind": "check" }));
    world.enter(&browser);
    browser.open(&world.page("/mapping"));
    browser.tick("Only what is not mapped");
    browser.click("Release the mapping of Green Lane");
    browser.sees("trueup forgets what it is in ConnectWise.");
    browser.sees("One task goes back to where it lacks a mapping");
    browser.sees("2 lines in ConnectWise are looked after no more");
    browser.sees("One mapping is released");
    browser.tick("Release also the mappings that hang on it");
    browser.sees("3 mappings are released");
    browser.sees("Agreement: s-1 → #40");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.fill("Reason", "The customer moved to another company");
    browser.click("Release");
    browser.sees("The mapping is released");
    let left = world.operator().get(&format!("{mappings}?kind=agreement")).is(200).json();
    assert_eq!(left["items"], serde_json::json!([]), "what hangs on it went as well");
    browser.open(&world.page("/tasks"));
    browser.sees("Needs mapping");
    assert_eq!(world.sandbox.additions(40).len(), 2, "the lines stay as they are");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

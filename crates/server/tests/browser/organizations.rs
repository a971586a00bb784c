//! The tree of organizations: what a value reaches below is told before it is saved, and what a move changes before it is
//! done.

use crate::admin::choose;
use crate::alone;
use crate::bench::{FIRST, PASSWORD, Service};
use crate::driver::Browser;
use crate::quantities::pick;
use crate::sign_in;
use serde_json::json;

#[test]
fn an_organization_is_moved_after_its_change_was_told_and_a_value_tells_whom_it_reaches() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let operator = service.operator();
    for (id, parent) in [("north", "default"), ("south", "default"), ("clinic", "north"), ("ward", "clinic")]
    {
        operator.organization(id, Some(parent));
    }
    let set = |org: &str, key: &str, value: &str| {
        operator
            .put(&format!("/api/v1/organizations/{org}/settings/{key}"), &json!({ "value": value }))
            .is(200);
    };
    set("north", "credits", "on");
    set("ward", "schedule.sync", "hourly");
    let page = |path: &str| format!("http://{}/o/default{path}", service.at);
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");

    browser.open(&page("/organizations?of=clinic"));
    browser.sees("Settings of clinic");
    browser.click("Move");
    browser.sees("Move clinic");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    pick(&browser, "Below which organization", "south");
    browser.sees("2 organizations move.");
    browser.sees("Credits: On: written as negative lines (From north) → Off: no negative lines (Built in)");
    browser.sees("What is written by schedule waits");
    browser.sees("ward: ");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Move it");
    browser.sees("clinic now stands below south");
    let shown = operator.get("/api/v1/organizations/clinic").is(200).json();
    assert_eq!(shown["parent"], "south");
    // It waits there until somebody lets it go on.
    browser.open(&format!("http://{}/o/ward/settings?tab=schedules", service.at));
    browser.sees("Paused");
    browser.open(&format!("http://{}/o/clinic/audit", service.at));
    browser.sees("Organization moved");

    // A change tells whom it reaches: those that inherit, and not the one that sets its own.
    operator.delete("/api/v1/organizations/north/settings/credits").is(200);
    set("south", "credits", "on");
    browser.open(&page("/organizations?of=default"));
    browser.sees("Settings of ");
    browser.fill("Find a setting", "credits");
    browser.click("Change: Credits");
    browser.sees("One organization below inherits it and changes with it: north");
    browser.sees("One sets its own and stays as it is: south (On: written as negative lines)");
    browser.sees("2 more stand below those and are not touched.");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    choose(&browser, "on");
    browser.click("Save");
    browser.sees("Credits is now: On: written as negative lines");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_schedule_fires_on_a_day_of_the_month() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let operator = service.operator();
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.open(&format!("http://{}/o/default/settings?tab=schedules", service.at));
    let value = || {
        let all = operator.get("/api/v1/organizations/default/settings").is(200).json();
        let found = all["items"].as_array().unwrap().iter().find(|one| one["key"] == "schedule.quantity");
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    browser.click("Change how often: Write quantities");
    pick(&browser, "How often", "Every month");
    pick(&browser, "Day of the month", "Day 15");
    browser.fill("Time of day", "04:45");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees("Every month on day 15 at 4:45");
    assert_eq!(value(), "monthly 15 04:45");
    browser.click("Change how often: Write quantities");
    pick(&browser, "Day of the month", "Last day");
    browser.click("Save");
    browser.sees("Every month on the last day at 4:45");
    assert_eq!(value(), "monthly last 04:45");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

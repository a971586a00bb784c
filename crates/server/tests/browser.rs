//! The console in a real browser, against the real service and the sandbox.
//!
//! It needs chromedriver, Chromium and a built console; `cargo test-all` sets them up. Without them the tests say that
//! they are skipped, in CI they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the workbench of the API's tests has more than these need")]

#[path = "browser/admin.rs"]
mod admin;
#[path = "browser/alerts.rs"]
mod alerts;
#[path = "api/bench.rs"]
mod bench;
#[path = "browser/demo.rs"]
mod demo;
#[path = "browser/door.rs"]
mod door;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/german.rs"]
mod german;
#[path = "api/http.rs"]
mod http;
#[path = "browser/keyboard.rs"]
mod keyboard;
#[path = "browser/mapping.rs"]
mod mapping;
#[path = "browser/network.rs"]
mod network;
#[path = "browser/organizations.rs"]
mod organizations;
#[path = "browser/pictures.rs"]
mod pictures;
#[path = "api/postgres.rs"]
mod postgres;
#[path = "api/provider.rs"]
mod provider;
#[path = "browser/quantities.rs"]
mod quantities;
#[path = "browser/review.rs"]
mod review;
#[path = "browser/sandbox.rs"]
mod sandbox;
#[path = "browser/sold.rs"]
mod sold;
#[path = "browser/tasks.rs"]
mod tasks;
#[path = "browser/unattended.rs"]
mod unattended;
#[path = "browser/wizard.rs"]
mod wizard;

use bench::{FIRST, PASSWORD, Service};
use demo::Demo;
use driver::Browser;
use serde_json::json;
use std::sync::{Mutex, MutexGuard, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Several browsers at once only wait for each other.
fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sign_in(browser: &Browser, service: &Service, email: &str, password: &str) {
    browser.open(&format!("http://{}/", service.at));
    browser.fill("E-mail address", email);
    browser.fill("Password", password);
    browser.click("Sign in");
}

#[test]
fn a_one_time_password_has_to_be_changed_and_signing_out_ends_it() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let one_time = service.announced["first_administrator"]["one_time_password"].as_str().unwrap().to_owned();
    sign_in(&browser, &service, FIRST, "not the password");
    browser.sees("address or the password is wrong");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    sign_in(&browser, &service, FIRST, &one_time);
    browser.sees("Choose a password");
    browser.fill("Password of now", &one_time);
    browser.fill("New password", PASSWORD);
    browser.fill("New password, once more", "another password");
    browser.click("Save the password");
    browser.sees("The two are not the same.");
    browser.fill("New password, once more", PASSWORD);
    browser.click("Save the password");
    browser.sees("What needs you now");
    browser.sees("Connect ConnectWise");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.click("Your account");
    browser.click("Sign out");
    browser.sees("E-mail address");
    browser.open(&format!("http://{}/o/default/tasks", service.at));
    browser.sees("E-mail address");
}

#[test]
fn two_partners_never_see_each_other() {
    let _alone = alone();
    let (Some(north), Some(south)) = (Browser::start(), Browser::start()) else { return };
    let service = Service::sqlite();
    let operator = service.operator();
    for (browser, org, other) in [(&north, "north", "south"), (&south, "south", "north")] {
        operator.organization(org, None);
        operator.colleague(org, "admin");
        let feed = format!("/api/v1/feed?organization={org}");
        let customer = json!([{ "type": "customer", "id": "c-1", "name": format!("Customer of {org}") }]);
        operator.post(&feed, &customer).is(200);
        sign_in(browser, &service, &format!("admin@{org}.example.com"), PASSWORD);
        browser.sees("What needs you now");
        assert_eq!(browser.path(), format!("/o/{org}"));
        browser.open(&format!("http://{}/o/{org}/mapping", service.at));
        browser.sees(&format!("Customer of {org}"));
        assert!(!browser.text().contains(&format!("Customer of {other}")));
    }
    for (browser, other) in [(&north, "south"), (&south, "north")] {
        for page in ["", "/tasks", "/mapping", "/plans", "/exceptions"] {
            browser.open(&format!("http://{}/o/{other}{page}", service.at));
            browser.sees("There is no such organization");
            assert!(!browser.text().contains(&format!("Customer of {other}")), "{other}{page}");
        }
    }
}

#[test]
fn the_demo_signs_in_and_its_open_work_is_mapped_planned_written_and_taken_back() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let demo = Demo::start();
    browser.open(&demo.address);
    browser.sees("What needs you now");
    browser.sees("need a mapping");
    assert!(!browser.script("return location.href", &[]).as_str().unwrap().contains("password"));
    // The newcomers are known by name; the new product as well.
    browser.click("Map them");
    browser.sees("Sable Coast Diving");
    browser.click("Mapping");
    browser.sees("Suggestions");
    browser.click("Accept 2");
    browser.sees("Everything is mapped");
    browser.click("Products");
    browser.sees("Password Vault");
    browser.click("Accept 2");
    browser.sees("Everything is mapped");
    browser.click("Tasks");
    browser.click("Check for changes");
    browser.sees("Done");
    browser.sees_no_more("Needs mapping");
    browser.click("Make a plan");
    browser.sees("Effect on the next invoices");
    browser.sees("Line by line");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    let plan = browser.path();
    browser.click("Write to ConnectWise");
    browser.sees("Write this plan to ConnectWise?");
    browser.click("Write to ConnectWise");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Written')",
        &[],
    );
    browser.open(&format!("{}{plan}", demo.root()));
    browser.sees("Take back");
    browser.click("Take back");
    browser.sees("Take back what was written?");
    browser.click("Plan it");
    browser.until("the plan that takes it back", "return location.pathname !== arguments[0]", &[json!(plan)]);
    browser.sees("Removed");
    // Why is this 8? In two clicks from the agreement.
    browser.open(&format!("{}/o/default/agreements", demo.root()));
    browser.click("Brightwater Logistics");
    browser.click("Why is this 34?");
    browser.sees("Its values");
    browser.sees("What happened to it");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! An alert's life in the console: told, made a rule of, followed by a ticket, inherited and set anew below, over.

use crate::alone;
use crate::demo::Demo;
use crate::driver::Browser;
use crate::quantities::{ask, pick};
use serde_json::{Value, json};

fn told(state: &str, at: &str) -> Value {
    json!([{
        "type": "alert", "id": format!("a-{state}"), "customer": "c-01", "kind": "failed_backup", "state": state,
        "at": at, "summary": "The backup of srv1 failed", "severity": "error", "subject": "srv1",
    }])
}

/// Brings tickets up to date and waits until that is done.
fn follow(browser: &Browser) {
    browser.click("Bring tickets up to date");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Done')",
        &[],
    );
}

#[test]
fn an_alert_becomes_a_ticket_by_a_rule_made_of_the_log_and_ends_with_it() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let demo = Demo::start();
    let page = |path: &str| format!("{}/o/{path}", demo.root());
    browser.open(&demo.address);
    browser.sees("What needs you now");
    let below = json!({ "id": "north", "name": "North branch", "kind": "customer", "parent": "default" });
    ask(&browser, "POST", "/api/v1/organizations", &below);

    browser.open(&page("default/alerts"));
    browser.sees("Nothing is wrong");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    ask(&browser, "POST", "/api/v1/feed?organization=default", &told("open", "2026-04-02T01:00:00Z"));
    follow(&browser);
    browser.sees("The backup of srv1 failed");
    browser.sees("Waits: no rule makes a ticket of it");

    // A rule is made of what happened.
    browser.click("Log");
    browser.sees("Alert opened");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.until(
        "the button of the entry",
        "const found = [...document.querySelectorAll('button')].find((b) => b.innerText === 'Make a rule');
         if (!found) return false;
         found.click();
         return true;",
        &[],
    );
    browser.sees("Make tickets of \"Failed backup\"");
    pick(&browser, "Service board", "Alerts");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees("Makes tickets");
    browser.sees("on the board Alerts");

    // The rest of the target is chosen from what is on that board.
    browser.click("Choose where tickets go");
    browser.sees("Where tickets go: Failed backup");
    pick(&browser, "Type", "Backup");
    pick(&browser, "Subtype", "Failed");
    pick(&browser, "Status that closes it", "Closed - Cleared");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees_no_more("Where tickets go: Failed backup");
    browser.sees("Closed - Cleared");
    assert_eq!(browser.barriers(), Vec::<String>::new());

    browser.click("Alerts");
    follow(&browser);
    browser.sees("Ticket 1");
    browser.click("The backup of srv1 failed");
    browser.sees("What happened");
    browser.sees("Ticket made");
    assert_eq!(browser.barriers(), Vec::<String>::new());

    // Below it is inherited, set anew and inherited again.
    browser.open(&page("north/alerts?tab=rules&kind=failed_backup"));
    browser.sees("From Demo reseller");
    browser.click("Change: Note repeats, in minutes");
    browser.fill("Value", "120");
    browser.click("Save");
    browser.sees("120");
    browser.click("Use inherited: Note repeats, in minutes");
    browser.sees("Use the inherited value of \"Note repeats, in minutes\"?");
    browser.click("Use inherited");
    browser.sees_no_more("120");

    browser.open(&page("default/alerts?kind=failed_backup"));
    browser.click("Send a test ticket");
    browser.sees("By the rule for \"Failed backup\" a ticket is made, noted and closed");
    pick(&browser, "Company", "Alder Street Dental (AlderStreetDental)");
    browser.click("Send a test ticket");
    browser.sees("Everything worked");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Close");

    // Over: the ticket closes with it.
    ask(&browser, "POST", "/api/v1/feed?organization=default", &told("closed", "2026-04-02T03:00:00Z"));
    follow(&browser);
    browser.open(&page("default/alerts?state=cleared"));
    browser.sees("Closed by trueup");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! The whole way without a mouse: signing in, the list, one task step by step, and writing it.

use crate::alone;
use crate::bench::{FIRST, PASSWORD};
use crate::driver::{Browser, DOWN, ENTER};
use crate::sold::{World, seats};

#[test]
fn from_signing_in_to_writing_with_the_keyboard_alone() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    browser.open(&world.page(""));
    browser.sees("E-mail address");
    browser.reach("E-mail address");
    browser.press(FIRST);
    browser.reach("Password");
    browser.press(PASSWORD);
    browser.press(ENTER);
    browser.sees("What needs you now");

    browser.reach("Tasks");
    browser.press(ENTER);
    browser.sees("Each order becomes a task.");
    browser.reach("Check for changes");
    browser.press(ENTER);
    browser.sees("New tasks: 1");
    browser.reach("Green Lane");
    browser.press(ENTER);
    browser.sees("What was sold");
    browser.reach("Synchronize");
    browser.press(ENTER);

    // Each step's dialog takes the focus, and its list is chosen from by typing.
    for (button, field, typed, option) in [
        ("Map this customer: Green Lane", "Company in ConnectWise", "green", "Green Lane LLC (GreenLane)"),
        ("Map this product: Mail, one seat", "Product in ConnectWise", "mail", "Mail Seat (MAIL)"),
        ("Map this product: Getting started", "Product in ConnectWise", "onb", "Onboarding (SETUP)"),
    ] {
        browser.reach(button);
        browser.press(ENTER);
        browser.reach(field);
        browser.press(typed);
        browser.until(
            option,
            "const shown = [...document.querySelectorAll('[role=option]')].filter((e) => e.checkVisibility());
             return shown.length === 1 && shown[0].innerText === arguments[0];",
            &[serde_json::json!(option)],
        );
        browser.press(DOWN);
        browser.press(ENTER);
        browser.reach("Map");
        browser.press(ENTER);
        browser.until(
            "the end of the dialog",
            "return document.querySelector('[role=dialog]') === null",
            &[],
        );
    }
    browser.sees("What it comes to");
    browser.reach("Leave out: Onboarding");
    browser.press(ENTER);
    browser.sees("Lines that are left out");
    browser.reach("Take in again: Onboarding");
    browser.press(ENTER);
    browser.sees_no_more("Lines that are left out");
    browser.reach("Synchronize");
    browser.press(ENTER);
    browser.sees("Result line by line");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Done')",
        &[],
    );
    // Who cannot see it is told by the heading that has the focus.
    browser.until(
        "the focus on the result",
        "return document.activeElement?.innerText === 'Result line by line'",
        &[],
    );
    assert_eq!(world.sandbox.additions(40).len(), 2);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

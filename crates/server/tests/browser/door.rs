//! The door: signing in by password and by another service, each form of the page in each look.

use crate::bench::{FIRST, PASSWORD};
use crate::driver::Browser;
use crate::pictures::{LOOKS, Look};
use crate::provider::{Provider, says};
use crate::{alone, sign_in};
use serde_json::json;

/// The page as it stands, in each look: what axe finds and how broad it is; a picture of it where one was asked for.
fn in_each_look(browser: &Browser, name: &str, again: impl Fn()) -> Vec<String> {
    let mut wrong = Vec::new();
    for look in LOOKS {
        look.take(browser);
        again();
        wrong.extend(look.faults(browser, name));
        look.paint(browser, name);
    }
    Look::usual(browser);
    wrong
}

#[test]
fn people_sign_in_by_another_service_and_come_back_to_where_they_wanted_to_go() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let provider = Provider::start();
    let service = provider.service(&[("TRUEUP_OIDC_NAME", "Example login")]);
    provider.lead_back_to(service.at);
    let operator = service.operator();
    let ann = json!({ "email": "ann@example.com", "role": "billing" });
    operator.post("/api/v1/organizations/default/users", &ann).is(201);
    let page = |path: &str| format!("http://{}{path}", service.at);
    browser.open(&page("/"));
    let wrong = in_each_look(&browser, "sign-in-two-ways", || {
        browser.open(&page("/"));
        browser.sees("Sign in with Example login");
        browser.sees("E-mail address");
    });
    assert_eq!(wrong, Vec::<String>::new());

    // Who is known there and not here is told so, and may try the password.
    *provider.says.lock().unwrap() = says("nobody@example.com");
    browser.click("Sign in with Example login");
    browser.sees("You have no access here");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.path(), "/");

    *provider.says.lock().unwrap() = says("ann@example.com");
    browser.open(&page("/o/default/tasks?state=failed"));
    browser.sees("Sign in with Example login");
    browser.click("Sign in with Example login");
    browser.sees("Each order becomes a task.");
    assert_eq!(browser.path(), "/o/default/tasks");
    assert_eq!(browser.script("return location.search", &[]), json!("?state=failed"));
    browser.click("Your account");
    browser.sees("ann@example.com");
    browser.click("Sign out");
    browser.sees("Sign in with Example login");

    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_service_for_signing_in_that_is_away_is_told_on_the_page() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let nowhere = ("TRUEUP_OIDC_ISSUER", "http://127.0.0.1:1");
    let service = Provider::start().service(&[nowhere]);
    let _operator = service.operator();
    browser.open(&format!("http://{}/", service.at));
    browser.click("Sign in with Single sign-on");
    browser.sees("The other service does not answer");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    // The password works beside it.
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_door_is_without_barriers_in_each_form_and_look() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = crate::bench::Service::sqlite();
    let page = |path: &str| format!("http://{}{path}", service.at);
    browser.open(&page("/"));
    let mut wrong = in_each_look(&browser, "sign-in", || {
        browser.open(&page("/"));
        browser.sees("E-mail address");
    });
    wrong.extend(in_each_look(&browser, "sign-in-refused", || {
        sign_in(&browser, &service, FIRST, "not the password");
        browser.sees("address or the password is wrong");
    }));
    let once = service.announced["first_administrator"]["one_time_password"].as_str().unwrap();
    sign_in(&browser, &service, FIRST, once);
    browser.sees("Choose a password");
    wrong.extend(in_each_look(&browser, "password", || {
        browser.open(&page("/"));
        browser.sees("Choose a password");
        browser.fill("Password of now", once);
        browser.fill("New password", "short");
        browser.click("Save the password");
        browser.sees("It is shorter than 12 characters.");
    }));
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

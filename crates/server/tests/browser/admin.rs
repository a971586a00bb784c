//! What an administrator does: connecting ConnectWise, settings of levels, and people with roles.

use crate::bench::{Backend, FIRST, PASSWORD, Service};
use crate::driver::Browser;
use crate::sandbox::Sandbox;
use crate::{alone, sign_in};
use serde_json::json;

/// Chooses a radio button by its value, within the dialog where there is one.
pub fn choose(browser: &Browser, value: &str) {
    let script = "
        const within = document.querySelector('[role=dialog]') ?? document;
        const found = within.querySelector(`input[type=radio][value=\"${arguments[0]}\"]`);
        if (!found) return false;
        found.click();
        return true;";
    browser.until(&format!("the choice {value}"), script, &[json!(value)]);
}

#[test]
fn connecting_names_the_rights_that_are_missing_until_they_are_there() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let Some(service) = Service::start(Backend::Sqlite, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")])
    else {
        return;
    };
    let sandbox = Sandbox::start();
    sandbox.roles(&json!({
        "Finance/Agreements": { "add": "None" },
        // Only its own: the list looks empty instead of forbidden.
        "Finance/Invoicing": { "inquire": "My" },
    }));
    let _operator = service.operator();
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.click("Connect");
    browser.sees("No ConnectWise is connected");
    browser.click("Connect ConnectWise");
    browser.sees("Your ConnectWise");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    choose(&browser, "own");
    browser.fill("Address of the server", sandbox.text("url"));
    browser.fill("Company", sandbox.text("company"));
    browser.click("Go on");
    browser.sees("Where do I find these?");
    browser.fill("Public key", sandbox.text("public_key"));
    browser.fill("Private key", "not the key");
    browser.fill("Client id", sandbox.text("client_id"));
    browser.click("Test and connect");
    browser.sees("Credentials refused");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.fill("Private key", sandbox.text("private_key"));
    browser.click("Test and connect");
    browser.sees("2 rights are missing");
    browser.sees("Add All");
    browser.sees("see what was invoiced");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.sees("Copy for a ticket");
    sandbox.roles(&json!({}));
    browser.click("Test again");
    browser.sees("Every right is there");
    browser.click("Read ConnectWise now");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === 'Done')",
        &[],
    );
    browser.click("To the connections");
    browser.sees("Keys stored");
    assert!(!browser.text().contains(sandbox.text("private_key")), "a private key is shown");
    browser.click("Test: connectwise");
    browser.sees("Every right is there");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_setting_is_inherited_overridden_and_reset() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let operator = service.operator();
    operator.organization("north", Some("default"));
    operator.put("/api/v1/organizations/default/settings/credits", &json!({ "value": "on" })).is(200);
    let credits = || {
        let all = operator.get("/api/v1/organizations/north/settings").is(200).json();
        let found = all["items"].as_array().unwrap().iter().find(|one| one["key"] == "credits").cloned();
        found.unwrap()
    };
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.open(&format!("http://{}/o/default/organizations?of=north", service.at));
    browser.sees("Settings of north");
    browser.sees("How days are counted");
    browser.fill("Find a setting", "credits");
    browser.sees_no_more("How days are counted");
    browser.sees("On: written as negative lines");
    browser.click("Change: Credits");
    browser.sees("Built in: Off: no negative lines");
    choose(&browser, "off");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees("Credits is now: Off: no negative lines");
    browser.sees("Set here");
    let own = credits();
    assert_eq!((own["value"].as_str(), own["own"].as_bool()), (Some("off"), Some(true)));
    browser.click("Reset: Credits");
    browser.sees("Reset \"Credits\"?");
    browser.click("Reset");
    browser.sees("Credits is now: On: written as negative lines");
    browser.sees_no_more("Set here");
    let inherited = credits();
    assert_eq!((inherited["value"].as_str(), inherited["own"].as_bool()), (Some("on"), Some(false)));
    // Both stand in the audit, with what was before.
    browser.open(&format!("http://{}/o/north/audit?what=setting", service.at));
    browser.sees("Setting reset");
    browser.sees("Setting changed");
    // It is searched by what it is about, and by days.
    browser.open(&format!("http://{}/o/north/audit?search=credits", service.at));
    browser.sees("Setting reset");
    browser.open(&format!("http://{}/o/north/audit?search=nobody-did-this", service.at));
    browser.sees("No entry fits these filters");
    browser.open(&format!("http://{}/o/north/audit?from=2020-01-01&to=2020-01-02", service.at));
    browser.sees("No entry fits these filters");
    browser.open(&format!("http://{}/o/north/audit?from=2020-01-01", service.at));
    browser.sees("Setting reset");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_person_with_a_role_sees_only_what_the_role_allows_and_is_out_when_shut_out() {
    let _alone = alone();
    let (Some(browser), Some(other)) = (Browser::start(), Browser::start()) else { return };
    let service = Service::sqlite();
    let _operator = service.operator();
    let page = |path: &str| format!("http://{}/o/default{path}", service.at);
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.open(&page("/settings?tab=people"));
    browser.sees("Nobody has a role in this organization");
    browser.click("Add a person");
    browser.sees("Looks at everything, and changes nothing.");
    browser.fill("E-mail address", "looker@example.com");
    browser.fill("Name", "Looker");
    choose(&browser, "read_only");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Add a person");
    browser.sees("One-time password for Looker");
    let once = browser.script("return document.querySelector('[data-once]').innerText", &[]);
    let once = once.as_str().unwrap();

    sign_in(&other, &service, "looker@example.com", once);
    other.sees("Choose a password");
    other.fill("Password of now", once);
    other.fill("New password", PASSWORD);
    other.fill("New password, once more", PASSWORD);
    other.click("Save the password");
    other.sees("What needs you now");
    other.open(&page("/settings"));
    other.sees("You may look at settings.");
    other.sees("How days are counted");
    let shown = other.text();
    for hidden in ["API tokens", "People", "Change\n"] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    other.open(&page("/connections"));
    other.sees("An administrator or partner operator can connect it.");
    other.open(&page("/connections/new"));
    other.sees("You may not see this page");
    assert_eq!(other.complaints(), Vec::<String>::new());

    browser.open(&page("/settings?tab=people"));
    browser.sees("May sign in");
    browser.click("Shut out: Looker");
    browser.sees("Shut Looker out?");
    browser.click("Shut out");
    browser.sees("Looker was changed");
    other.open(&page("/tasks"));
    other.sees("E-mail address");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn an_address_is_looked_at_before_keys_are_asked_for() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let _operator = service.operator();
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.open(&format!("http://{}/o/default/connections/new", service.at));
    choose(&browser, "own");
    browser.fill("Address of the server", "anything");
    browser.fill("Company", "acme");
    browser.click("Go on");
    browser.sees("This is no address.");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.fill("Address of the server", "http://connectwise.example.com");
    browser.sees("Keys travel over https alone.");
    browser.fill("Address of the server", "https://eu.myconnectwise.net");
    browser.click("Take https://api-eu.myconnectwise.net");
    browser.fill("Address of the server", "https://connectwise.example.com");
    browser.click("Go on");
    browser.sees("Where do I find these?");
    // The service knows which hosts may be called; what it says stands at the address.
    browser.fill("Public key", "public");
    browser.fill("Private key", "private");
    browser.fill("Client id", "client");
    browser.click("Test and connect");
    browser.sees("is not allowed");
    browser.sees("Address of the server");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_setting_that_somebody_changed_meanwhile_is_told_before_anything_is_saved() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let service = Service::sqlite();
    let operator = service.operator();
    let settings = "/api/v1/organizations/default/settings";
    sign_in(&browser, &service, FIRST, PASSWORD);
    browser.sees("What needs you now");
    browser.open(&format!("http://{}/o/default/settings", service.at));
    browser.fill("Find a setting", "credits");
    browser.sees_no_more("How days are counted");
    browser.click("Change: Credits");
    browser.sees("Built in: Off: no negative lines");
    operator.put(&format!("{settings}/credits"), &json!({ "value": "on" })).is(200);
    browser.click("Save");
    browser.sees("Somebody changed it meanwhile");
    browser.sees("Nothing of yours was saved.");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    let all = operator.get(settings).is(200).json();
    let credits = all["items"].as_array().unwrap().iter().find(|one| one["key"] == "credits").unwrap();
    assert_eq!(credits["value"], "on");
    browser.click("Leave it so");
    browser.sees_no_more("Somebody changed it meanwhile");
    browser.sees("On: written as negative lines");

    // Whoever read it since may set it, and whoever was told may decide otherwise.
    browser.click("Change: Credits");
    browser.sees("Built in: Off: no negative lines");
    operator.put(&format!("{settings}/credits"), &json!({ "value": "off" })).is(200);
    browser.click("Save");
    browser.sees("Somebody changed it meanwhile");
    browser.click("Save mine nevertheless");
    browser.sees("Credits is now:");
    let all = operator.get(settings).is(200).json();
    let credits = all["items"].as_array().unwrap().iter().find(|one| one["key"] == "credits").unwrap();
    assert_eq!(credits["value"], "on");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

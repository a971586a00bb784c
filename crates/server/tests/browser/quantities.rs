//! What is only counted: a service is assigned, inherited, set anew below, and its quantity is explained.

use crate::admin::choose;
use crate::alone;
use crate::demo::Demo;
use crate::driver::Browser;
use serde_json::{Value, json};

/// Asks the API as whoever is signed in in the browser; what it answers.
pub fn ask(browser: &Browser, method: &str, path: &str, body: &Value) -> Value {
    let script = "
        const asked = (method, path, token, body) => {
            const request = new XMLHttpRequest();
            request.open(method, path, false);
            if (token) request.setRequestHeader('x-csrf-token', token);
            if (body) request.setRequestHeader('content-type', 'application/json');
            request.send(body);
            return request;
        };
        const session = JSON.parse(asked('GET', '/api/v1/session').responseText);
        const answer = asked(arguments[0], arguments[1], session.csrf_token, JSON.stringify(arguments[2]));
        return [answer.status, answer.responseText];";
    let answer = browser.script(script, &[json!(method), json!(path), body.clone()]);
    assert!(answer[0].as_u64().is_some_and(|status| status < 300), "{method} {path}: {answer}");
    serde_json::from_str(answer[1].as_str().unwrap_or_default()).unwrap_or_default()
}

/// Chooses from a list that opens at its field. A dialog that is still opening takes the focus away, and the list closes: then
/// it is opened again.
pub fn pick(browser: &Browser, label: &str, option: &str) {
    let script = "
        const named = (e) => (e.getAttribute('aria-label') ?? e.innerText ?? '').trim();
        const options = [...document.querySelectorAll('[role=option]')].filter((e) => e.checkVisibility());
        const wanted = options.find((e) => named(e) === arguments[1]);
        if (wanted) {
            wanted.scrollIntoView({ block: 'center' });
            wanted.click();
            return true;
        }
        const found = [...document.querySelectorAll('label')].find((l) => l.innerText.trim() === arguments[0]);
        const field = found && document.getElementById(found.htmlFor);
        if (field && field.getAttribute('aria-expanded') !== 'true') {
            field.focus();
            field.click();
        }
        return false;";
    browser.until(&format!("\"{option}\" in the list \"{label}\""), script, &[json!(label), json!(option)]);
}

fn mailboxes(customer: &str, name: &str, count: &str) -> Value {
    json!([
        { "type": "customer", "id": customer, "name": name },
        { "type": "product", "id": "mbx", "name": "Mailbox" },
        { "type": "counter", "customer": customer, "product": "mbx", "value": count, "as_of": "2026-04-02T01:00:00Z" },
    ])
}

#[test]
fn a_counted_service_is_assigned_inherited_set_anew_below_and_explained() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let demo = Demo::start();
    let page = |path: &str| format!("{}/o/{path}", demo.root());
    browser.open(&demo.address);
    browser.sees("What needs you now");
    let below = json!({ "id": "north", "name": "North branch", "kind": "customer", "parent": "default" });
    ask(&browser, "POST", "/api/v1/organizations", &below);
    let dental = mailboxes("c-01", "Alder Street Dental", "12");
    ask(&browser, "POST", "/api/v1/feed?organization=default", &dental);
    ask(&browser, "POST", "/api/v1/feed?organization=north", &mailboxes("n-1", "Harbour Clinic", "9"));

    // Who begins lands where something has to be said.
    browser.open(&page("default/quantities"));
    browser.sees("Open: not billed");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Assign: Mailbox");
    browser.sees("As what is Mailbox billed?");
    pick(&browser, "Product in ConnectWise", "Password Vault (VAULT)");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees("Set here");

    browser.open(&page("north/quantities?tab=services"));
    browser.sees("From Demo reseller");
    browser.click("Change: Mailbox");
    browser.sees("As what is Mailbox billed?");
    choose(&browser, "nothing");
    browser.click("Save");
    browser.sees("Not assigned: not billed");
    browser.sees("Set here");
    browser.click("Reset: Mailbox");
    browser.sees("Reset \"Mailbox\"?");
    browser.click("Reset");
    browser.sees("From Demo reseller");
    browser.sees_no_more("Set here");

    // The quantity comes about step by step.
    browser.open(&page("default/quantities?tab=customers"));
    browser.click("Choose agreement: Alder Street Dental");
    browser.sees("On which agreement is Alder Street Dental billed?");
    pick(&browser, "Agreement in ConnectWise", "Cloud monthly (#1001)");
    browser.click("Save");
    browser.sees("Change agreement");
    browser.open(&page("default/quantities?tab=services"));
    browser.click("Rule: Mailbox");
    browser.sees("How Password Vault is counted");
    browser.fill("Included for nothing", "2");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Save");
    browser.sees("2 included");
    browser.click("Compare");
    browser.sees("One line would be written");
    browser.click("Why is this 10?");
    browser.sees("2 are included: 10 remain");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! Mapping many at once: companies that become customers, and files out of and into the console.

use crate::alone;
use crate::driver::Browser;
use crate::sold::{World, seats};
use serde_json::json;

#[test]
fn companies_become_customers_the_complete_at_once_and_the_others_with_what_they_lack() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.enter(&browser);
    browser.open(&world.page("/mapping?tab=companies"));
    browser.sees("Willow Books");
    browser.sees("Complete");
    browser.sees("Green Lane LLC");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Import all that are complete");
    browser.sees("One customer was imported");
    browser.sees_no_more("Willow Books");

    browser.click("Import Green Lane LLC");
    browser.sees("ConnectWise lacks something that a customer needs");
    let fields = [
        ("Contact", "Ada Byron"),
        ("E-mail address for invoices", "billing@greenlane.example.com"),
        ("Telephone", "+1 555 0100"),
        ("Street", "1 Green Lane"),
        ("City", "Springfield"),
        ("Region", "IL"),
        ("Postcode", "62701"),
    ];
    for (label, value) in fields {
        browser.fill(label, value);
    }
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Import");
    browser.sees_no_more("Green Lane LLC");
    // They are customers of the source that is there, and mapped.
    let mapped = "/api/v1/organizations/default/mappings?kind=customer";
    let mappings = world.operator().get(mapped).is(200).json();
    let mut told: Vec<_> = mappings["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["source"].as_str().unwrap(), one["psa_id"].as_i64().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [("shop", 12), ("shop", 14)]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Gives the page's file field a file.
fn upload(browser: &Browser, name: &str, text: &str) {
    let script = "
        const field = document.querySelector('input[type=file]');
        if (!field) return false;
        const files = new DataTransfer();
        files.items.add(new File([arguments[1]], arguments[0], { type: 'text/csv' }));
        field.files = files.files;
        field.dispatchEvent(new Event('change', { bubbles: true }));
        return true;";
    browser.until("a field for files", script, &[json!(name), json!(text)]);
}

/// What a link of the page leads to, as whoever is signed in reads it.
fn download(browser: &Browser, link: &str) -> String {
    let script = "
        const link = [...document.querySelectorAll('a')].find((a) => a.innerText.trim() === arguments[0]);
        if (!link) return null;
        const request = new XMLHttpRequest();
        request.open('GET', link.href, false);
        request.send();
        return [request.status, request.responseText];";
    let answer = browser.until(&format!("the link {link}"), script, &[json!(link)]);
    assert_eq!(answer[0], 200, "{answer}");
    answer[1].as_str().unwrap().to_owned()
}

#[test]
fn mappings_go_out_and_come_in_as_a_file() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.feed(&seats("c-1", "s-1"));
    world.enter(&browser);
    browser.open(&world.page("/mapping"));
    browser.sees("Green Lane");
    upload(
        &browser,
        "mappings.csv",
        "kind,source_id,psa_id\ncustomer,c-1,12\nproduct,mail,7\nproduct,onboarding,none\nproduct,store\n",
    );
    browser.sees("2 mappings were saved");
    browser.sees("2 rows were refused");
    browser.sees("Line 4");
    browser.sees("Line 5");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.click("Close");
    let file = download(&browser, "Download as CSV");
    assert!(file.starts_with("kind,source_id,psa_id"), "{file}");
    assert!(file.contains("customer,c-1,12") && file.contains("product,mail,7"), "{file}");
    // What went out comes in again and changes nothing.
    upload(&browser, "again.csv", &file);
    browser.sees("were saved");
    assert_eq!(download(&browser, "Download as CSV"), file);

    // A second source has a file of its own.
    world.feed_from("market", &[json!({ "type": "customer", "id": "m-1", "name": "Young Market" })]);
    browser.open(&world.page("/mapping?source=market"));
    browser.sees("Young Market");
    assert_eq!(download(&browser, "Download as CSV").trim().lines().count(), 1, "nothing of it is mapped");
    upload(&browser, "market.csv", "kind,source_id,psa_id\ncustomer,m-1,13\n");
    browser.sees("One mapping was saved");
    assert!(download(&browser, "Download as CSV").contains("customer,m-1,13"));
    assert_eq!(browser.barriers(), Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

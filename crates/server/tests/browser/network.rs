//! A network that breaks: what was not sent is not written later, and nobody is told that something happened which did not.

use crate::alone;
use crate::driver::Browser;
use crate::sold::{World, map, seats};
use serde_json::{Value, json};
use std::time::Duration;

const ORG: &str = "/api/v1/organizations/default";

fn runs(world: &World, kind: &str) -> usize {
    let all = world.operator().get(&format!("{ORG}/runs?limit=200")).is(200).json();
    all["items"].as_array().unwrap().iter().filter(|run| run["kind"] == kind).count()
}

#[test]
fn a_write_that_was_cancelled_without_a_network_is_not_written_when_it_is_back() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.run(&json!({ "kind": "check" }));
    let plan = world.operator().post(&format!("{ORG}/plans"), &json!({})).is(201).json();
    world.enter(&browser);
    browser.open(&world.page(&format!("/plans/{}", plan["plan_id"].as_str().unwrap())));
    browser.click("Write to ConnectWise");
    browser.sees("Cancel");
    browser.offline(true);
    browser.click("Write to ConnectWise");
    browser.sees("trueup does not answer");
    browser.click("Cancel");
    browser.sees_no_more("trueup does not answer");

    // Nor is anybody told that they are signed out who are not.
    browser.click("Your account");
    browser.click("Sign out");
    browser.sees("You are still signed in");
    browser.sees("trueup does not answer");

    browser.offline(false);
    browser.open(&world.page("/runs"));
    browser.sees("Runs");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(runs(&world, "apply"), 0, "what was cancelled is not written");
    assert_eq!(world.sandbox.additions(40), Vec::<String>::new());
    // With the network the same button ends the session.
    browser.click("Your account");
    browser.click("Sign out");
    browser.sees("Password");
}

/// A product whose id stands within those of many others: the wizard finds its own mapping.
#[test]
fn the_wizard_finds_the_mapping_of_a_short_id_among_many_longer_ones() {
    let _alone = alone();
    let Some(browser) = Browser::start() else { return };
    let world = World::start();
    world.map_all();
    let longer = |n: u32| json!({ "type": "product", "id": format!("1-mail-{n}"), "name": format!("Mail {n}"), "kind": "seat" });
    let many: Vec<Value> = (0..250).map(longer).collect();
    world.feed(&many);
    let rows = (0..250).map(|n| format!("product,1-mail-{n},7\n")).collect::<String>();
    let person = world.operator();
    let import = person.request("POST", &format!("{ORG}/mappings/import?source=shop"));
    import.body("text/csv", format!("kind,source_id,psa_id\n{rows}")).send(world.service.at).is(200);
    let one = format!("{ORG}/mappings?kind=product&source=shop&source_id=mail");
    let found = person.get(&one).is(200).json();
    assert_eq!(found["items"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["items"][0]["psa_id"], 7, "{found}");

    let harbour = format!("{ORG}/mappings?kind=customer&source=shop&source_id=c-2");
    person.delete(&harbour).is(204);
    world.feed(&seats("c-2", "s-2"));
    world.enter(&browser);
    world.wizard(&browser, "SO-s-2", "Harbour");
    map(&browser, "Map this customer: Harbour", "Company in ConnectWise", "Harbour Clinic (HarbourClinic)");
    browser.sees("What it comes to");
    browser.sees("Harbour cloud");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

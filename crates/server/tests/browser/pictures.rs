//! Every page, wide and on a phone, in light and in dark: looked at by axe-core at each run, and painted on demand.

use crate::demo::Demo;
use crate::driver::Browser;
use serde_json::json;
use std::path::PathBuf;

/// Name and path below the organization.
const PAGES: &[(&str, &str)] = &[
    ("overview", ""),
    ("tasks", "/tasks?state=all"),
    ("jobs", "/jobs"),
    ("job-new", "/jobs/new"),
    ("plans", "/plans"),
    ("runs", "/runs"),
    ("reconcile", "/reconcile"),
    ("approvals", "/approvals?which=all"),
    ("exceptions", "/exceptions"),
    ("mapping-customers", "/mapping"),
    ("mapping-products", "/mapping?tab=product"),
    ("mapping-fees", "/mapping?tab=fee"),
    ("mapping-agreements", "/mapping?tab=agreement"),
    ("mapping-companies", "/mapping?tab=companies"),
    ("quantities", "/quantities"),
    ("quantity-lines", "/quantities?tab=lines"),
    ("quantity-customers", "/quantities?tab=customers"),
    ("connections", "/connections"),
    ("connect", "/connections/new"),
    ("organizations", "/organizations"),
    ("settings", "/settings"),
    ("schedules", "/settings?tab=schedules"),
    ("approval-limits", "/settings?tab=approval"),
    ("people", "/settings?tab=people"),
    ("tokens", "/settings?tab=tokens"),
    ("webhooks", "/settings?tab=webhooks"),
    ("audit", "/audit"),
    ("not-found", "/nothing"),
];

/// Pages that a click on the first row of a list leads to: name, list.
const INNER: &[(&str, &str)] = &[("task", "/tasks?state=all"), ("plan", "/plans")];

/// Where nothing is read any more.
const SETTLED: &str =
    "return document.querySelector('h1') !== null && document.querySelector('[aria-busy=true]') === null";

#[test]
fn every_page_is_without_barriers_wide_and_narrow_light_and_dark() {
    let _alone = crate::alone();
    let Some(browser) = Browser::start() else { return };
    let folder = std::env::var_os("TRUEUP_SCREENSHOTS").map(PathBuf::from);
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder).unwrap();
    }
    let demo = Demo::start();
    browser.open(&demo.address);
    browser.sees("What needs you now");
    let org = format!("{}/o/default", demo.root());
    let mut pages: Vec<(String, String)> =
        PAGES.iter().map(|(name, path)| ((*name).to_owned(), format!("{org}{path}"))).collect();
    for (name, list) in INNER {
        browser.open(&format!("{org}{list}"));
        let link = "return document.querySelector('.table tbody a')?.href ?? null";
        let href = browser.until("a row", link, &[]);
        pages.push(((*name).to_owned(), href.as_str().unwrap().to_owned()));
    }
    let mut wrong = Vec::new();
    for (scheme, width) in [("light", 1_360), ("dark", 1_360), ("light", 390), ("dark", 390)] {
        browser.script("localStorage.setItem('trueup-color-scheme', arguments[0])", &[json!(scheme)]);
        for (name, url) in &pages {
            browser.window(width, if width < 600 { 844 } else { 900 });
            browser.open(url);
            browser.until(name, SETTLED, &[]);
            let shape = if width < 600 { "phone" } else { "wide" };
            let broad = browser.script("return document.documentElement.scrollWidth", &[]).as_u64().unwrap();
            if broad > u64::from(width) {
                wrong.push(format!("{name} {shape}: {broad} pixels broad"));
            }
            wrong.extend(browser.barriers().into_iter().map(|b| format!("{name} {scheme} {shape}: {b}")));
            if let Some(folder) = &folder {
                browser.picture(&folder.join(format!("{name}-{shape}-{scheme}.png")), width);
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! Every page, wide and on a phone, in light and in dark: looked at by axe-core at each run, and painted on demand.

use crate::demo::Demo;
use crate::driver::Browser;
use crate::quantities::ask;
use serde_json::{Value, json};
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
    ("alerts", "/alerts"),
    ("alert-rules", "/alerts?tab=rules"),
    ("alert-log", "/alerts?tab=log"),
    ("agreements", "/agreements"),
    ("agreement", "/agreements/1001"),
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
const INNER: &[(&str, &str)] = &[
    ("task", "/tasks?state=all"),
    ("task-open", "/tasks"),
    ("plan", "/plans"),
    ("job", "/jobs"),
    ("run", "/runs"),
    ("alert", "/alerts"),
    ("approval", "/approvals?which=all"),
    ("addition", "/agreements/1002"),
];

/// Colours and width: as a page is looked at.
#[derive(Clone, Copy)]
pub struct Look {
    scheme: &'static str,
    width: u32,
}

/// Wide ones, and phones.
pub const LOOKS: [Look; 4] = [
    Look { scheme: "light", width: 1_360 },
    Look { scheme: "dark", width: 1_360 },
    Look { scheme: "light", width: 390 },
    Look { scheme: "dark", width: 390 },
];

impl Look {
    /// As a browser of the tests begins.
    pub fn usual(browser: &Browser) {
        browser.script("localStorage.removeItem('trueup-color-scheme')", &[]);
        browser.window(1_280, 900);
    }

    fn shape(self) -> &'static str {
        if self.width < 600 { "phone" } else { "wide" }
    }

    /// From now on pages that are opened look so.
    pub fn take(self, browser: &Browser) {
        browser.script("localStorage.setItem('trueup-color-scheme', arguments[0])", &[json!(self.scheme)]);
        self.measure(browser);
    }

    /// The size alone: a picture of a long page leaves another one behind.
    fn measure(self, browser: &Browser) {
        browser.window(self.width, if self.width < 600 { 844 } else { 900 });
    }

    /// What axe-core finds on the page, and whether it is broader than its window.
    pub fn faults(self, browser: &Browser, name: &str) -> Vec<String> {
        let broad = browser.script("return document.documentElement.scrollWidth", &[]).as_u64().unwrap();
        let (scheme, shape) = (self.scheme, self.shape());
        let mut wrong: Vec<String> =
            browser.barriers().into_iter().map(|b| format!("{name} {scheme} {shape}: {b}")).collect();
        if broad > u64::from(self.width) {
            wrong.push(format!("{name} {shape}: {broad} pixels broad"));
        }
        wrong
    }

    /// Paints the page where pictures were asked for.
    pub fn paint(self, browser: &Browser, name: &str) {
        let Some(folder) = std::env::var_os("TRUEUP_SCREENSHOTS").map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).unwrap();
        browser.picture(&folder.join(format!("{name}-{}-{}.png", self.shape(), self.scheme)), self.width);
    }
}

/// Where nothing is read any more.
const SETTLED: &str =
    "return document.querySelector('h1') !== null && document.querySelector('[aria-busy=true]') === null";

const ORG: &str = "/api/v1/organizations/default";

/// Waits until no run goes on, of so many at least.
fn runs_end(browser: &Browser, at_least: u64) {
    let script = "
        const request = new XMLHttpRequest();
        request.open('GET', '/api/v1/organizations/default/runs?limit=50', false);
        request.send();
        const runs = JSON.parse(request.responseText).items;
        return runs.length >= arguments[0] && runs.every((run) => run.finished_at);";
    browser.until("the end of the runs", script, &[json!(at_least)]);
}

/// Work of each kind, so that no list is empty: an alert, a validation, and a plan that waits for approval.
fn fill_every_list(browser: &Browser) {
    let alert = json!([{
        "type": "alert", "id": "a-1", "customer": "c-01", "kind": "failed_backup", "state": "open",
        "at": "2026-04-02T01:00:00Z", "summary": "The backup of srv1 failed", "severity": "error", "subject": "srv1",
    }]);
    ask(browser, "POST", "/api/v1/feed?organization=default", &alert);
    ask(browser, "PUT", &format!("{ORG}/settings/approval.persons"), &json!({ "value": "1" }));
    ask(browser, "POST", &format!("{ORG}/runs"), &json!({ "kind": "alerts" }));
    ask(browser, "POST", &format!("{ORG}/jobs"), &json!({}));
    runs_end(browser, 2);
    // What was written is taken back, which is more than may go unasked.
    let plans = ask(browser, "GET", &format!("{ORG}/plans?limit=50"), &Value::Null);
    let written = plans["items"].as_array().unwrap().iter().find(|plan| plan["state"] == "applied").unwrap();
    let back = ask(browser, "POST", &format!("{ORG}/undo"), &json!({ "plan_id": written["plan_id"] }));
    let wish = json!({ "kind": "apply", "plan_id": back["plan_id"] });
    ask(browser, "POST", &format!("{ORG}/runs"), &wish);
    runs_end(browser, 3);
}

#[test]
fn every_page_is_without_barriers_wide_and_narrow_light_and_dark() {
    let _alone = crate::alone();
    let Some(browser) = Browser::start() else { return };
    let demo = Demo::start();
    browser.open(&demo.address);
    browser.sees("What needs you now");
    fill_every_list(&browser);
    let org = format!("{}/o/default", demo.root());
    let mut pages: Vec<(String, String)> =
        PAGES.iter().map(|(name, path)| ((*name).to_owned(), format!("{org}{path}"))).collect();
    for (name, list) in INNER {
        browser.open(&format!("{org}{list}"));
        let link = "return document.querySelector('main tbody a')?.href ?? null";
        let href = browser.until(&format!("a row of {list}"), link, &[]);
        let href = href.as_str().unwrap();
        pages.push(((*name).to_owned(), href.to_owned()));
        if *name == "task-open" {
            pages.push(("wizard".to_owned(), format!("{href}/sync")));
        }
    }
    let mut wrong = Vec::new();
    for look in LOOKS {
        look.take(&browser);
        for (name, url) in &pages {
            look.measure(&browser);
            browser.open(url);
            browser.until(name, SETTLED, &[]);
            wrong.extend(look.faults(&browser, name));
            look.paint(&browser, name);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

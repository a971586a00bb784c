//! The console as somebody reads it whose browser speaks German: no English text of the catalogues, and days and money as
//! they are written in German.

use crate::alone;
use crate::bench::{FIRST, PASSWORD};
use crate::driver::Browser;
use crate::sold::{World, seats};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The texts of one language, by their keys.
fn catalogue(language: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/src/i18n").join(language);
    let mut texts = BTreeMap::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut key: Option<String> = None;
        let mut rest = source.as_str();
        while let Some(at) = rest.find(['\'', '"', '`', '/']) {
            let quote = rest[at..].chars().next().unwrap();
            rest = &rest[at + 1..];
            if quote == '/' {
                // A comment goes to the end of its line.
                rest = if rest.starts_with('/') {
                    rest.split_once('\n').map_or("", |(_, rest)| rest)
                } else {
                    rest
                };
                continue;
            }
            let (text, after) = quoted(rest, quote);
            rest = after;
            match key.take() {
                Some(key) => drop(texts.insert(key, text)),
                None => key = rest.trim_start().starts_with(':').then_some(text),
            }
        }
    }
    assert!(texts.len() > 1_000, "{} texts in {}", texts.len(), folder.display());
    texts
}

/// A text up to its quotation mark, and what comes after.
fn quoted(source: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut letters = source.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
            letter if letter == quote => return (text, &source[at + 1..]),
            letter => text.push(letter),
        }
    }
    (text, "")
}

/// English texts that no German reader should see, those with gaps as their pieces.
fn foreign() -> Vec<Vec<String>> {
    let (english, german) = (catalogue("en"), catalogue("de"));
    let known: BTreeSet<&String> = german.values().collect();
    let pieces = |text: &String| {
        let mut parts = text.split('{');
        let first = parts.next().unwrap_or_default().to_owned();
        let others = parts.map(|part| part.split_once('}').map_or(part, |(_, after)| after).to_owned());
        std::iter::once(first).chain(others).collect::<Vec<String>>()
    };
    // A gap between a word or two fits too much.
    let says_enough = |pieces: &Vec<String>| pieces.len() == 1 || pieces.concat().trim().len() > 8;
    english.values().filter(|text| !known.contains(text)).map(pieces).filter(says_enough).collect()
}

/// Texts of the page, and of what is read aloud, that are English though no part of the page says that it is.
const FAULTS: &str = "
    const whole = new Set(), gaps = [], german = new Set(arguments[1]);
    const plain = (text) => text.replace(/[.*+?^${}()|[\\]\\\\]/g, '\\\\$&');
    for (const pieces of arguments[0]) {
        if (pieces.length === 1) whole.add(pieces[0].trim());
        else gaps.push(new RegExp('^' + pieces.map(plain).join('.+') + '$'));
    }
    const odd = /[$\u{20ac}\u{a3}]\\s?\\d|\\d\\.\\d\\d\\s?[$\u{20ac}\u{a3}]|\\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \\d+, \\d{4}|\\b\\d{4}-\\d\\d-\\d\\d\\b/;
    const wrong = [];
    const look = (text, at) => {
        const said = (text ?? '').trim();
        if (said === '' || at.closest('[lang=en], script, style, code, noscript, input') !== null) return;
        if (whole.has(said) || gaps.some((gap) => gap.test(said))) wrong.push('English: ' + said);
        // How a value is typed is said as it is.
        if (odd.test(said) && !german.has(said)) wrong.push('form: ' + said);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) look(walker.currentNode.data, walker.currentNode.parentElement);
    for (const e of document.querySelectorAll('[aria-label], [placeholder], [title]')) {
        for (const name of ['aria-label', 'placeholder', 'title']) look(e.getAttribute(name), e);
    }
    look(document.title, document.body);
    return [...new Set(wrong)];";

/// What a line will say on the invoice is shown as it will stand there.
const ON_THE_INVOICE: &str = "Getting started (2023-03-01 to 2023-03-31)";

/// A reader of German: what the catalogue calls things, and what was read in another language.
struct Reader<'a> {
    browser: &'a Browser,
    german: BTreeMap<String, String>,
    foreign: Vec<Vec<String>>,
    wrong: Vec<String>,
}

impl Reader<'_> {
    #[track_caller]
    fn word(&self, key: &str) -> &str {
        self.german.get(key).unwrap_or_else(|| panic!("no text {key}"))
    }

    #[track_caller]
    fn click(&self, key: &str) {
        self.browser.click(self.word(key));
    }

    #[track_caller]
    fn sees(&self, key: &str) {
        self.browser.sees(self.word(key));
    }

    /// Reads the whole page, once nothing of it is still on its way.
    #[track_caller]
    fn read(&mut self, page: &str) {
        let settled = "return document.querySelector('h1') !== null && document.querySelector('[aria-busy=true]') === null";
        self.browser.until(page, settled, &[]);
        let mut known: Vec<&str> = self.german.values().map(String::as_str).collect();
        known.push(ON_THE_INVOICE);
        let found = self.browser.script(FAULTS, &[json!(self.foreign), json!(known)]);
        let found = found.as_array().unwrap().iter();
        self.wrong.extend(found.map(|fault| format!("{page}: {}", fault.as_str().unwrap())));
    }
}

#[test]
fn a_reader_of_german_meets_no_english_from_signing_in_to_the_exceptions() {
    let _alone = alone();
    let Some(browser) = Browser::start_in("de-DE") else { return };
    let world = World::start();
    world.map_all();
    world.feed(&seats("c-1", "s-1"));
    world.feed(&seats("c-2", "s-2"));
    let harbour = "/api/v1/organizations/default/mappings?kind=customer&source=shop&source_id=c-2";
    world.operator().delete(harbour).is(204);
    world.run(&json!({ "kind": "check" }));
    let mut reader =
        Reader { browser: &browser, german: catalogue("de"), foreign: foreign(), wrong: Vec::new() };

    browser.open(&format!("http://{}/", world.service.at));
    reader.sees("signIn.lead");
    reader.read("sign-in");
    browser.fill(reader.word("signIn.email"), FIRST);
    browser.fill(reader.word("signIn.password"), PASSWORD);
    reader.click("signIn.submit");
    reader.sees("overview.now");
    assert_eq!(browser.script("return document.documentElement.lang", &[]), json!("de"));
    browser.sees("120,00\u{a0}$");
    reader.read("overview");

    browser.open(&world.page("/tasks?state=all"));
    browser.sees("01.03.2023");
    reader.read("tasks");
    browser.click("Green Lane");
    reader.sees("sync.start");
    reader.read("task");
    reader.click("sync.start");
    reader.sees("sync.amounts");
    browser.sees("22,00\u{a0}$");
    reader.read("wizard");
    browser.click(&format!("{}: Mail Seat", reader.word("sync.edit")));
    reader.sees("sync.edit.save");
    reader.read("wizard, a line");
    reader.click("action.cancel");
    reader.click("sync.write");
    reader.sees("sync.result.lines");
    browser.until(
        "the end of the run",
        "return [...document.querySelectorAll('.badge')].some((b) => b.innerText === arguments[0])",
        &[json!(reader.word("run.state.done"))],
    );
    reader.read("wizard, its result");
    assert_eq!(world.sandbox.additions(40).len(), 2);

    let plans = world.operator().get("/api/v1/organizations/default/plans?limit=1").is(200).json();
    let plan = plans["items"][0]["plan_id"].as_str().unwrap().to_owned();
    let pages = [
        ("/plans".to_owned(), "plans.lead"),
        (format!("/plans/{plan}"), "plan.lines"),
        ("/runs".to_owned(), "run.state.done"),
        ("/mapping".to_owned(), "mapping.tab.customer"),
        ("/mapping?tab=product".to_owned(), "mapping.tab.product"),
        ("/mapping?tab=companies".to_owned(), "mapping.tab.companies"),
        ("/settings".to_owned(), "settings.tab.all"),
        ("/settings?tab=schedules".to_owned(), "settings.tab.schedules"),
        ("/settings?tab=approval".to_owned(), "settings.tab.approval"),
        ("/settings?tab=people".to_owned(), "settings.tab.people"),
        ("/exceptions".to_owned(), "exceptions.title"),
        ("/audit".to_owned(), "audit.title"),
    ];
    for (path, there) in pages {
        browser.open(&world.page(&path));
        reader.sees(there);
        reader.read(&path);
    }
    assert_eq!(reader.wrong, Vec::<String>::new());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// In German a point groups the thousands: 1.000 is no 1, and what could be either is refused as it was typed.
#[test]
fn a_german_thousand_is_a_thousand() {
    let _alone = alone();
    let Some(browser) = Browser::start_in("de-DE") else { return };
    let world = World::start();
    let german = catalogue("de");
    let word = |key: &str| german[key].as_str();
    browser.open(&format!("http://{}/", world.service.at));
    browser.fill(word("signIn.email"), FIRST);
    browser.fill(word("signIn.password"), PASSWORD);
    browser.click(word("signIn.submit"));
    browser.sees(word("overview.now"));
    let kept = || {
        let all = world.operator().get("/api/v1/organizations/default/settings").is(200).json();
        let items = all["items"].as_array().unwrap().clone();
        items.into_iter().find(|one| one["key"] == "approval.two_above").unwrap()["value"].clone()
    };
    let before = kept();
    browser.open(&world.page("/settings?tab=approval"));
    browser.click(&format!("{}: {}", "Ändern", word("setting.approval.two_above")));
    browser.fill(word("settings.value"), "1.00");
    browser.click(word("action.save"));
    browser.sees("\u{201e}1.00\u{201c} ist keine Zahl");
    assert_eq!(kept(), before, "nothing is sent that could be read in two ways");
    browser.fill(word("settings.value"), "12.000,5");
    browser.click(word("action.save"));
    browser.sees_no_more("ist keine Zahl");
    browser.until("the dialog to close", "return document.querySelector('[role=dialog]') === null", &[]);
    assert_eq!(kept(), json!("12000.5"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

//! What ended or vanished at the source and is billed all the same, and findings that no longer hold.

use super::bench::{BASE, Bench, MAPPINGS, order, sale, upgrade};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = concat!(
    r#"{"type":"subscription","id":"s-1","customer":"c-100","status":"STATUS","currency":"USD","#,
    r#""billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01"END,"#,
    r#""items":[{"id":"seats","product":"exo-p1","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}"#,
    "\n",
);

fn subscription(status: &str, end: &str) -> String {
    let end = if end.is_empty() { String::new() } else { format!(r#","cancelled_on":"{end}""#) };
    SUBSCRIPTION.replace("STATUS", status).replace("END", &end)
}

fn complete(types: &str) -> String {
    format!(
        "{{\"type\":\"snapshot\",\"types\":[{types}],\"complete\":true,\"as_of\":\"2023-04-10T06:00:00Z\"}}\n"
    )
}

/// Five seats billed on addition 1.
fn billed() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    bench
}

#[test]
fn a_field_that_goes_back_and_forth_is_a_question_of_who_owns_it() {
    let mut bench = billed();
    let set = |bench: &Bench, quantity: i64| {
        let edit = json!([{"op": "replace", "path": "quantity", "value": quantity}]);
        bench.by_hand("PATCH", "finance/agreements/40/additions/1", &edit);
        bench.json(&["psa", "pull"]).exits(0);
        open(bench).into_iter().filter(|f| f.0 == "TU7008").map(|f| f.2).collect::<Vec<_>>()
    };
    assert_eq!(set(&bench, 6), Vec::<String>::new());
    assert_eq!(set(&bench, 7), Vec::<String>::new(), "changed further, not back and forth");
    for day in ["2023-03-21", "2023-03-22"] {
        assert_eq!(set(&bench, 5), Vec::<String>::new());
        bench.on(day);
        let said = set(&bench, 6);
        assert_eq!(said.len(), usize::from(day == "2023-03-22"), "{said:?}");
    }
    let said = set(&bench, 5);
    assert!(
        said[0].contains("The quantity of exo-p1") && said[0].contains("2023-03-21, 2023-03-22"),
        "{said:?}"
    );
    // Long ago is no fight any more.
    bench.on("2023-08-01");
    assert_eq!(set(&bench, 5), Vec::<String>::new());
}

#[test]
fn one_finding_is_said_once() {
    let mut bench = billed();
    let end = json!([{"op": "replace", "path": "cancelledDate", "value": "2023-03-31T00:00:00Z"}]);
    bench.by_hand("PATCH", "finance/agreements/40/additions/1", &end);
    bench.on("2023-03-25");
    bench
        .feed(&order("CX-1", "cancellation", "2023-03-25", r#""charge":"cancellation","quantity":"0""#))
        .exits(0);
    bench.json(&["check"]);
    let document = bench.json(&["apply", "--all"]).json();
    let findings = document["findings"].as_array().unwrap();
    let ended = findings.iter().filter(|f| f["code"] == "TU3008").count();
    assert_eq!(ended, 1, "{document}");
}

fn open(bench: &Bench) -> Vec<(String, Value, String)> {
    let document = bench.json(&["finding", "list"]).exits(0).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (text(&f["code"]), f["amount"].clone(), text(&f["message"])))
        .collect()
}

#[test]
fn a_complete_list_tells_what_is_gone_and_an_incomplete_one_nothing() {
    let mut bench = billed();
    bench.on("2023-04-10");
    let other = subscription("active", "").replace("s-1", "s-2");
    // Without the word `complete` nothing is concluded.
    bench.feed(&other).exits(0);
    bench.json(&["check", "--since", "2023-04-01"]);
    assert!(open(&bench).iter().all(|(code, ..)| code != "TU8006"));
    // A record of the file was refused: it did not come in whole.
    let broken = format!("{other}{{\"type\":\"subscription\"}}\n{}", complete("\"subscription\""));
    let report = bench.feed(&broken).exits(1);
    assert!(report.out.contains("nothing missing is taken as gone"), "{report:?}");
    bench.json(&["check"]);
    assert!(open(&bench).iter().all(|(code, ..)| code != "TU8006"));
    // Now it says that s-1 is no more.
    bench.feed(&format!("{other}{}", complete("\"subscription\""))).exits(0);
    bench.json(&["check"]);
    let gone: Vec<String> = open(&bench).into_iter().filter(|f| f.0 == "TU8006").map(|f| f.2).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].contains("s-1 is not in the source's last complete list"), "{gone:?}");
    // It comes back.
    bench.feed(&subscription("active", "")).exits(0);
    bench.json(&["check"]);
    assert!(open(&bench).iter().all(|(code, ..)| code != "TU8006"));
}

/// Several files of one import, each with a mark of its own kinds: each counts, and of two of a kind the later.
#[test]
fn each_of_several_marks_counts_for_its_kinds() {
    let mut bench = billed();
    bench.on("2023-04-10");
    let subscriptions = bench.file(
        "subscriptions.ndjson",
        &format!("{}{}", subscription("active", "").replace("s-1", "s-2"), complete("\"subscription\"")),
    );
    let customers = BASE.lines().find(|line| line.contains("\"type\":\"customer\"")).unwrap();
    let customers = bench.file("customers.ndjson", &format!("{customers}\n{}", complete("\"customer\"")));
    let earlier = complete("\"subscription\"").replace("true", "false").replace("06:00", "05:00");
    let earlier = bench.file("earlier.ndjson", &earlier);
    bench.json(&["feed", "import", &subscriptions, &customers, &earlier]).exits(0);
    bench.json(&["check"]);
    let gone: Vec<String> = open(&bench).into_iter().filter(|f| f.0 == "TU8006").map(|f| f.2).collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    assert!(gone[0].contains("s-1 is not in the source's last complete list"), "{gone:?}");
    // A later word that it is not the whole stands over an earlier one.
    bench.json(&["feed", "import", &bench.file("again.ndjson", &subscription("active", ""))]).exits(0);
    let later = complete("\"subscription\"").replace("true", "false").replace("06:00", "07:00");
    let later = bench.file("later.ndjson", &later);
    bench.json(&["feed", "import", &later, &subscriptions]).exits(0);
    bench.json(&["check"]);
    assert!(open(&bench).iter().all(|(code, ..)| code != "TU8006"));
}

#[test]
fn an_empty_list_is_not_believed() {
    let mut bench = billed();
    bench.on("2023-04-10");
    let report = bench.feed(&complete("\"subscription\",\"customer\"")).exits(1);
    assert_eq!(report.out.matches("TU8003").count(), 2, "{report:?}");
    bench.json(&["check"]).exits(0);
    assert_eq!(open(&bench), []);
}

#[test]
fn a_customer_that_is_gone_at_the_source_shows_at_its_mapping() {
    let mut bench = billed();
    bench.on("2023-04-10");
    let other = r#"{"type":"customer","id":"c-200","name":"Blue Lane LLC","currency":"USD"}"#;
    bench.feed(&format!("{other}\n{}", complete("\"customer\""))).exits(0);
    bench.json(&["check"]).exits(0);
    let codes: Vec<String> = open(&bench).into_iter().map(|f| f.0).collect();
    assert_eq!(codes, ["TU2006"]);
}

#[test]
fn a_word_about_how_a_line_was_written_is_settled_by_the_next_check() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-04-01");
    bench.feed(&format!("{BASE}{}{}", sale(), upgrade())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench.json(&["apply", "--all"]).exits(0);
    let codes: Vec<String> = open(&bench).into_iter().map(|f| f.0).collect();
    assert!(codes.contains(&"TU4002".to_owned()), "{codes:?}");
    bench.on("2023-03-21");
    bench.json(&["check"]).exits(0);
    assert_eq!(open(&bench), []);
}

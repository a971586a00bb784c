//! Whole runs: whom they touch, what holds them, what they report, and a month of nights.

use super::desk::{
    additions, assigned, codes, count, count_at, five, mark, more_customers, patch, quantities, run,
    verdicts, writes_since,
};
use serde_json::{Value, json};

#[test]
fn mp_17_ax_31_what_is_counted_is_not_written_before_a_run() {
    let (bench, _) = five();
    let before = mark(&bench);
    count(&bench, &[("c-1", "mbx", "9")]);
    bench.json(&["check"]);
    bench.json(&["apply", "--all"]).exits(0);
    assert_eq!(writes_since(&bench, before), []);
    assert_eq!(quantities(&bench, 40), [5.0]);
}

#[test]
fn mp_20_a_run_for_one_customer_touches_that_one_alone() {
    let bench = assigned();
    more_customers(&bench, 2);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "6"), ("c-3", "mbx", "7")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--customer", "c-2", "--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"], "{ran}");
    assert_eq!(writes_since(&bench, before).len(), 1);
    assert_eq!(quantities(&bench, 52), [6.0]);
    assert!(additions(&bench, 40).is_empty());
    let all = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(verdicts(&all), ["create", "equal", "create"], "{all}");
}

#[test]
fn mp_20_a_run_for_one_customer_writes_the_whole_sum_that_it_has_a_part_in() {
    let bench = assigned();
    bench.json(&["setting", "set", "mapping.customer_company", "many"]).exits(0);
    bench.feed("{\"type\":\"customer\",\"id\":\"c-9\",\"name\":\"Branch\"}\n").exits(0);
    bench.map("customer,c-9,12,,\nagreement,customer:c-9,40,,\n").exits(0);
    more_customers(&bench, 1);
    bench.json(&["quantity", "rule", "--item", "7", "--add-up", "on"]).exits(0);
    count(&bench, &[("c-1", "mbx", "10"), ("c-9", "mbx", "4"), ("c-2", "mbx", "3")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [14.0]);
    count_at(
        &bench,
        "2023-03-10T02:00:00Z",
        &[("c-1", "mbx", "11"), ("c-9", "mbx", "5"), ("c-2", "mbx", "4")],
    );
    for customer in ["c-1", "c-9"] {
        let ran = run(&bench, &["--customer", customer]).exits(0).json();
        assert_eq!(verdicts(&ran).len(), 1, "{ran}");
        assert_eq!(
            (quantities(&bench, 40), quantities(&bench, 52)),
            (vec![16.0], vec![3.0]),
            "{customer}: {ran}"
        );
    }
    let refused = run(&bench, &["--customer", "nobody"]).exits(2).json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("nobody"), "{refused}");
}

#[test]
fn ax_30_push_now_and_then_the_regular_one_write_once() {
    let (bench, _) = five();
    count(&bench, &[("c-1", "mbx", "8")]);
    run(&bench, &["--customer", "c-1"]).exits(0);
    let before = mark(&bench);
    run(&bench, &[]).exits(0);
    assert_eq!(writes_since(&bench, before), []);
}

#[test]
fn mp_36_ax_46_a_cancelled_agreement_stops_its_customer_alone() {
    let bench = assigned();
    more_customers(&bench, 8);
    let levels: Vec<(String, &str, &str)> = (1..10).map(|n| (format!("c-{n}"), "mbx", "5")).collect();
    let levels: Vec<(&str, &str, &str)> = levels.iter().map(|(c, s, l)| (c.as_str(), *s, *l)).collect();
    count(&bench, &levels);
    bench.by_hand(
        "PATCH",
        "finance/agreements/54",
        &json!([{ "op": "replace", "path": "cancelledFlag", "value": true }]),
    );
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!((verdicts(&ran).len(), codes(&ran)), (8, vec!["TU3003".to_owned()]), "{ran}");
    let billed = (2..10).filter(|n| quantities(&bench, 50 + n) == [5.0]).count();
    assert_eq!(billed, 7);
    assert!(additions(&bench, 54).is_empty());
}

#[test]
fn mp_39_the_report_is_what_connectwise_holds() {
    let bench = assigned();
    more_customers(&bench, 3);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "6"), ("c-3", "mbx", "7"), ("c-4", "mbx", "8")]);
    run(&bench, &["--approve"]).exits(0);
    count_at(
        &bench,
        "2023-03-10T02:00:00Z",
        &[("c-1", "mbx", "9"), ("c-2", "mbx", "6"), ("c-3", "mbx", "2"), ("c-4", "mbx", "7")],
    );
    let ran = run(&bench, &[]).exits(1).json();
    let counts = &ran["counts"];
    assert_eq!(
        (&counts["update"], &counts["equal"], &counts["held"]),
        (&json!(2), &json!(1), &json!(1)),
        "{ran}"
    );
    for line in ran["lines"].as_array().unwrap() {
        let agreement = line["agreement_id"].as_i64().unwrap();
        let there = quantities(&bench, agreement)[0];
        let said = if line["verdict"] == "held" { &line["observed"] } else { &line["wanted"] };
        assert_eq!(said.as_str().unwrap().parse::<f64>().unwrap(), there, "{line}");
    }
    let shown = bench.json(&["quantity", "show"]).exits(0).json();
    assert_eq!(shown["lines"], ran["lines"]);
}

#[test]
fn ax_45_a_source_that_tells_nothing_changes_nothing() {
    let (bench, _) = five();
    let file = bench.file(
        "none.ndjson",
        "{\"type\":\"snapshot\",\"types\":[\"counter\"],\"complete\":true,\"as_of\":\"2023-03-10T02:00:00Z\"}\n",
    );
    bench.json(&["feed", "import", &file]);
    let before = mark(&bench);
    run(&bench, &["--approve"]);
    assert_eq!(writes_since(&bench, before), []);
    assert_eq!(quantities(&bench, 40), [5.0]);
}

#[test]
fn where_most_of_a_source_falls_at_once_all_falls_wait_and_rises_go_on() {
    let bench = assigned();
    more_customers(&bench, 7);
    let levels = |bench: &crate::bench::Bench, at: &str, of: &dyn Fn(i64) -> i64| {
        let rows: Vec<(String, String)> = (1..9).map(|n| (format!("c-{n}"), of(n).to_string())).collect();
        let rows: Vec<(&str, &str, &str)> =
            rows.iter().map(|(c, l)| (c.as_str(), "mbx", l.as_str())).collect();
        count_at(bench, at, &rows);
    };
    levels(&bench, "2023-03-10T01:00:00Z", &|_| 20);
    run(&bench, &["--approve"]).exits(0);
    levels(&bench, "2023-03-10T02:00:00Z", &|n| if n == 1 { 25 } else { 15 });
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(codes(&ran), ["TU8003"], "{ran}");
    assert_eq!(quantities(&bench, 40), [25.0], "what rises goes on");
    assert_eq!(quantities(&bench, 52), [20.0]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 52), [15.0]);
}

#[test]
fn usage_is_summed_over_the_month_with_corrections_in_the_place_of_what_they_replace() {
    let bench = assigned();
    let used = |id: &str, day: &str, quantity: &str, more: &str| {
        format!(
            "{{\"type\":\"usage\",\"id\":\"{id}\",\"customer\":\"c-1\",\"product\":\"mbx\",\"quantity\":\"{quantity}\",\
             \"start\":\"{day}\",\"end\":\"2023-03-31\"{more}}}\n"
        )
    };
    let feed = [
        used("u-0", "2023-01-31", "100", ""),
        used("u-1", "2023-02-01", "10.25", ""),
        used("u-2", "2023-02-28", "5.5", ""),
        used("u-3", "2023-02-15", "7", ",\"status\":\"corrected\",\"replaces\":\"u-2\""),
        used("u-4", "2023-03-01", "100", ""),
    ]
    .concat();
    bench.feed(&feed).exits(0);
    bench.json(&["quantity", "rule", "--item", "7", "--decimals", "2"]).exits(0);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [17.25], "{ran}");
    assert!(ran["lines"][0]["steps"][0]["text"].as_str().unwrap().contains("the sum of 2 records"), "{ran}");
    // An estimate waits for the final record.
    bench.feed(&used("u-1", "2023-02-01", "20", ",\"status\":\"estimated\"")).exits(0);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(codes(&ran), ["TU5005"], "{ran}");
    assert_eq!(quantities(&bench, 40), [17.25]);
}

#[test]
fn use_of_a_subscription_that_nobody_knows_is_told_until_it_is_known() {
    let bench = assigned();
    let used = |id: &str, of: &str, quantity: &str, more: &str| {
        format!(
            "{{\"type\":\"usage\",\"id\":\"{id}\",\"subscription\":\"{of}\",\"product\":\"mbx\",\"quantity\":\
             \"{quantity}\",\"start\":\"2023-02-03\",\"end\":\"2023-02-04\"{more}}}\n"
        )
    };
    let feed = [
        used("u-1", "s-nope", "7", ""),
        used("u-2", "s-nope", "2", ""),
        // What another record replaces does not count here either.
        used("u-3", "s-nope", "1.5", ",\"replaces\":\"u-2\""),
    ];
    bench.feed(&feed.concat()).exits(0);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!((verdicts(&ran).len(), codes(&ran)), (0, vec!["TU2001".to_owned()]), "{ran}");
    let message = ran["findings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("8.5") && message.contains("s-nope") && message.contains("Mailbox"),
        "{message}"
    );
    // It is somebody's business as long as it is so, and gone with what is missing.
    let listed = bench.json(&["finding", "list"]).exits(0).json();
    assert_eq!(listed["findings"].as_array().unwrap().len(), 1, "{listed}");
    let known = json!({ "type": "subscription", "id": "s-nope", "customer": "c-1", "status": "active",
        "currency": "USD", "billing_cycle": { "every": 1, "unit": "month" }, "start": "2023-01-01",
        "period": { "start": "2023-03-01", "end": "2023-04-01" },
        "items": [{ "id": "seats", "product": "mbx", "quantity": "1" }] });
    bench.feed(&format!("{known}\n")).exits(0);
    bench.json(&["quantity", "rule", "--item", "7", "--decimals", "1"]).exits(0);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!((quantities(&bench, 40), codes(&ran).len()), (vec![8.5], 0), "{ran}");
    let listed = bench.json(&["finding", "list"]).exits(0).json();
    assert_eq!(listed["findings"], json!([]), "{listed}");
}

#[test]
fn usage_that_came_added_up_is_billed_and_tells_of_how_many_lines_it_is() {
    let bench = assigned();
    let header = "id,customer,product,quantity,start,end\n";
    let rows: String =
        (1..=20).map(|day| format!("u-{day},c-1,mbx,0.55,2023-02-{day:02},2023-03-01\n")).collect();
    let file = bench.file("usage.csv", &format!("{header}{rows}u-21,c-1,mbx,100,2023-03-01,2023-03-02\n"));
    let came = bench.json(&["feed", "import", &file, "--summed"]).exits(0).json();
    assert_eq!(came["records"]["usage"]["new"], 2, "{came}");
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [11.0], "{ran}");
    assert!(ran["lines"][0]["steps"][0]["text"].as_str().unwrap().contains("the sum of 20 records"), "{ran}");
    // Lines of the same month beside the sum may be in it already.
    let single = "{\"type\":\"usage\",\"id\":\"u-1\",\"customer\":\"c-1\",\"product\":\"mbx\",\"quantity\":\"5\",\
                  \"start\":\"2023-02-01\",\"end\":\"2023-03-01\"}\n";
    bench.feed(single).exits(0);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(codes(&ran), ["TU5005"], "{ran}");
    assert_eq!(quantities(&bench, 40), [11.0]);
}

#[test]
fn the_policy_asks_people_about_quantities_as_about_everything() {
    let (bench, _) = five();
    bench.json(&["setting", "set", "approval.persons", "1"]).exits(0);
    bench.json(&["setting", "set", "approval.amount", "100"]).exits(0);
    count(&bench, &[("c-1", "mbx", "50")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU7007"], "{ran}");
    assert_eq!(writes_since(&bench, before), []);
    let plan = ran["waiting"][0]["plan_id"].as_str().unwrap();
    bench.json(&["apply", plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [50.0]);
}

#[test]
fn mp_01_mp_02_mp_03_the_role_of_the_page_is_enough_and_what_lacks_is_named() {
    let bench = assigned();
    let role = |functions: Value| bench.control("roles", &json!({ "functions": functions }));
    let none = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "None"});
    // Nothing else than what the page names: nobody may see an invoice.
    role(json!({
        "Finance/Invoicing": none,
        "Companies/Company Maintenance": {"add": "None", "edit": "None", "delete": "None", "inquire": "All"},
        "Companies/Contacts": {"add": "None", "edit": "None", "delete": "None", "inquire": "All"},
        "Finance/Agreements": {"add": "All", "edit": "All", "delete": "None", "inquire": "All"},
        "Procurement/Product Catalog": {"add": "None", "edit": "None", "delete": "None", "inquire": "All"},
    }));
    count(&bench, &[("c-1", "mbx", "5")]);
    let made = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!((verdicts(&made), codes(&made).len()), (vec!["create".to_owned()], 0), "{made}");
    count(&bench, &[("c-1", "mbx", "8")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    // The check of the rights finds nothing either, and asks for no right to delete.
    let tested = bench.json(&["connection", "test"]).exits(0).json();
    assert_eq!((&tested["ok"], &tested["missing"]), (&json!(true), &json!([])), "{tested}");
    assert!(!tested["rights"].to_string().contains("Delete"), "{tested}");
    let doctor = bench.json(&["doctor"]).json();
    assert!(!doctor.to_string().contains("TU1004"), "{doctor}");
    // Each right that is taken away is named.
    count(&bench, &[("c-1", "mbx", "9")]);
    for (function, lacks, named) in [
        ("Finance/Agreements", json!({"edit": "None"}), "Finance > Agreements > Edit All"),
        ("Finance/Agreements", json!({"inquire": "None"}), "Finance > Agreements > Inquire All"),
        (
            "Companies/Company Maintenance",
            json!({"inquire": "None"}),
            "Companies > Company Maintenance > Inquire All",
        ),
        (
            "Procurement/Product Catalog",
            json!({"inquire": "None"}),
            "Procurement > Product Catalog > Inquire All",
        ),
    ] {
        role(json!({ function: lacks }));
        let ran = run(&bench, &[]);
        assert_ne!(ran.exit, 0, "{ran:?}");
        assert!(ran.out.contains(named) && ran.out.contains("TU1004"), "{named}: {}", ran.out);
        assert_eq!(quantities(&bench, 40), [8.0]);
    }
    role(json!({}));
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
}

#[test]
fn mp_16_a_month_of_nights_names_no_price_and_deletes_nothing() {
    let mut bench = assigned();
    more_customers(&bench, 3);
    let start = mark(&bench);
    let mut seed = 7_u64;
    let mut by_hand = 0;
    for night in 1..=28 {
        let day = format!("2023-03-{night:02}");
        bench.on(&day);
        let levels: Vec<(String, String)> = (1..5)
            .map(|n| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (format!("c-{n}"), (10 + (seed >> 33) % 8).to_string())
            })
            .collect();
        let rows: Vec<(&str, &str, &str)> =
            levels.iter().map(|(c, l)| (c.as_str(), "mbx", l.as_str())).collect();
        count_at(&bench, &format!("{day}T01:00:00Z"), &rows);
        if night == 10 {
            let id = additions(&bench, 52)[0]["id"].as_i64().unwrap();
            patch(&bench, 52, id, "quantity", json!(3));
            patch(&bench, 52, id, "invoiceDescription", json!("theirs"));
            by_hand = 2;
        }
        run(&bench, &["--approve"]).exits(0);
        for (customer, level) in &levels {
            let agreement = if customer == "c-1" { 40 } else { 50 + customer[2..].parse::<i64>().unwrap() };
            assert_eq!(
                quantities(&bench, agreement),
                [level.parse::<f64>().unwrap()],
                "night {night} {customer}"
            );
        }
    }
    let writes = writes_since(&bench, start);
    assert!(writes.len() > 28, "{}", writes.len());
    let wrong: Vec<_> = writes
        .iter()
        .filter(|(method, _, body)| {
            method == "DELETE" || body.contains("unitPrice") || body.contains("unitCost")
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let texts = writes.iter().filter(|(_, _, body)| body.contains("Description")).count();
    assert_eq!((texts, by_hand), (1, 2), "only a person named a text");
}

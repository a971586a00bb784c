//! Taking in what was sold.

use super::bench::{BASE, Bench, order, sale, upgrade};

#[test]
fn bad_lines_are_refused_with_line_field_and_reason_and_the_rest_goes_in() {
    let bench = Bench::new("2023-03-20");
    let lines =
        format!("{BASE}not json\n{}{{\"type\":\"order\",\"id\":\"X\",\"kind\":\"change\"}}\n", sale());
    let document = bench.feed(&lines).exits(1).json();
    assert_eq!(document["records"]["order"]["new"], 1);
    assert_eq!(document["records"]["subscription"]["new"], 1);
    let refused = document["refused"].as_array().unwrap();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[0]["line"], 4);
    assert_eq!(refused[1]["line"], 6);
    for one in refused {
        assert!(one["reason"].as_str().is_some_and(|r| !r.is_empty()));
        assert!(one["code"].as_str().is_some_and(|c| c.starts_with("TU")));
        assert!(one["file"].as_str().is_some_and(|f| f.ends_with("feed.ndjson")));
    }
    assert!(refused[1]["field"].is_string());
}

#[test]
fn the_same_file_twice_changes_nothing_and_totals_are_exact() {
    let bench = Bench::new("2023-03-20");
    let lines = format!("{BASE}{}{}", sale(), upgrade());
    let first = bench.feed(&lines).exits(0).json();
    assert_eq!(first["records"]["order"]["new"], 2);
    assert_eq!(first["totals"]["by_currency"]["USD"]["amount"], "176.00");
    assert_eq!(first["totals"]["by_currency"]["USD"]["cost"], "140.80");
    let second = bench.feed(&lines).exits(0).json();
    assert_eq!(second["records"]["order"]["unchanged"], 2);
    assert_eq!(second["records"]["order"]["new"], 0);
    let changed = bench.feed(&lines.replace("\"quantity\":\"5\"", "\"quantity\":\"6\"")).exits(0).json();
    assert_eq!(changed["records"]["order"]["changed"], 1);
}

#[test]
fn a_check_takes_nothing_in_and_needs_no_data_directory() {
    let bench = Bench::new("2023-03-20");
    let file = bench.file("feed.ndjson", &format!("{BASE}{}", sale()));
    let document = bench.json(&["feed", "check", &file]).exits(0).json();
    assert_eq!(document["records"]["order"]["new"], 1);
    assert!(!bench.path("data").exists());
}

#[test]
fn records_come_from_standard_input_and_from_tables() {
    let bench = Bench::new("2023-03-20");
    let ran = bench.piped(&["feed", "import", "-", "--format", "json"], BASE).exits(0);
    assert_eq!(ran.json()["records"]["customer"]["new"], 1);
    let file = bench.file("customers.csv", "id,name,currency\nc-1,One,USD\nc-2,Two,USD\n");
    let table = bench.json(&["feed", "import", &file, "--type", "customer"]).exits(0).json();
    assert_eq!(table["records"]["customer"]["new"], 2);
}

#[test]
fn two_sources_may_use_the_same_ids() {
    let bench = Bench::new("2023-03-20");
    let file = bench.file("feed.ndjson", BASE);
    bench.json(&["feed", "import", &file]).exits(0);
    let other = bench.json(&["feed", "import", &file, "--source", "second"]).exits(0).json();
    assert_eq!(other["records"]["customer"]["new"], 1);
}

#[test]
fn an_array_is_taken_in_whatever_the_file_is_called() {
    let bench = Bench::new("2023-03-20");
    let records: Vec<&str> = BASE.lines().collect();
    let array = format!("[{}]", records.join(",\n"));
    for name in ["feed.ndjson", "feed.json", "feed.txt", "feed.jsonl", "feed.csv", "feed"] {
        let file = bench.file(name, &array);
        let document = bench.json(&["feed", "check", &file]).exits(0).json();
        assert_eq!(document["records"]["subscription"]["new"], 1, "{name}: {document}");
    }
    // A broken first line that looks like one takes no other line along.
    let file = bench.file("feed.ndjson", &format!("[\"broken\n{BASE}"));
    let document = bench.json(&["feed", "check", &file]).exits(1).json();
    assert_eq!(document["records"]["subscription"]["new"], 1, "{document}");
    assert_eq!(document["refused"][0]["line"], 1);
}

#[test]
fn hostile_lines_cost_themselves_alone() {
    let bench = Bench::new("2023-03-20");
    let customer = |id: &str| format!("{{\"type\":\"customer\",\"id\":\"{id}\",\"name\":\"N\"}}");
    let price = |number: &str| {
        format!(
            "{{\"type\":\"product\",\"id\":\"p\",\"name\":\"P\",\"currency\":\"USD\",\"unit_price\":{number}}}"
        )
    };
    let deep = format!("{{\"type\":\"customer\",\"id\":\"d\",\"name\":\"D\",\"x\":{}", "[".repeat(1_000_000));
    let broken: [&[u8]; 12] = [
        deep.as_bytes(),
        &price("1e400").into_bytes(),
        &price(&"9".repeat(100_000)).into_bytes(),
        &price("\"1e5\"").into_bytes(),
        &price("\"NaN\"").into_bytes(),
        b"{\"type\":\"customer\",\"id\":\"n\0\",\"name\":\"N\"}",
        b"{\"type\":\"customer\",\"id\":\"n\\u0000\",\"name\":\"N\"}",
        b"{\"type\":\"customer\",\"id\":\"\xff\xfe\",\"name\":\"N\"}",
        b"{\"type\":\"customer\",\"id\":\"\\ud800\",\"name\":\"N\"}",
        b"{\"type\":\"customer\",\"id\":\"a\",\"id\":\"b\",\"name\":\"N\"}",
        b"{\"type\":\"customer\",\"id\":\"a\",\"name\":\"N\"",
        b"\xff\xfe{\0}\0",
    ];
    let mut bytes = b"\xEF\xBB\xBF".to_vec();
    for (n, line) in broken.iter().enumerate() {
        bytes.extend_from_slice(customer(&format!("c-{n}")).as_bytes());
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    std::fs::write(bench.path("hostile.ndjson"), &bytes).unwrap();
    let document = bench.json(&["feed", "import", "hostile.ndjson"]).exits(1).json();
    assert_eq!(document["records"]["customer"]["new"], broken.len(), "{document}");
    let lines: Vec<u64> =
        document["refused"].as_array().unwrap().iter().map(|r| r["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, (1..=broken.len() as u64).map(|n| 2 * n).collect::<Vec<_>>());
    for dialect in ["focus", "cloudblue-connect", "cloudblue-simpleapi"] {
        let ran = bench.json(&["feed", "check", "--from", dialect, "hostile.ndjson"]);
        assert_eq!(ran.exit, 1, "{dialect}: {ran:?}");
        assert!(!ran.json()["refused"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_line_without_end_is_refused_in_flat_memory_and_the_rest_goes_on() {
    let bench = Bench::new("2023-03-20");
    let script = "{ printf '%s\\n' \"$2\"; yes \"$3\" | tr -d '\\n' | head -c 400000000; printf '\\n%s\\n' \"$4\"; } \
                  | { ulimit -v 400000; exec \"$1\" feed check - --format json $5; }";
    let lines: Vec<&str> = BASE.lines().collect();
    let tables = ["id,name", "1,One"];
    for (first, filling, last, flags, taken) in [
        (lines[0], "{\"x\":\"", lines[1], "", 2),
        (lines[0], "[", lines[1], "", 2),
        ("[", "{\"a\":[1,\"", lines[1], "", 0),
        (tables[0], "x,y\"", tables[1], "--type customer", 1),
        (tables[0], "\"x", tables[1], "--type customer", 1),
        ("", "{\"id\":", "", "--from cloudblue-connect", 0),
        ("", "{\"id\":", "", "--from cloudblue-simpleapi", 0),
        ("BilledCost,BillingAccountId", "a,\"", "", "--from focus", 0),
    ] {
        let binary = env!("CARGO_BIN_EXE_trueup");
        let output = std::process::Command::new("sh")
            .args(["-c", script, "sh", binary, first, filling, last, flags])
            .current_dir(bench.dir.path())
            .output()
            .unwrap();
        let ran = super::bench::Ran::from(output);
        assert_eq!(ran.exit, 1, "{filling} {flags}: {ran:?}");
        let document = ran.json();
        let count: u64 = document["records"]
            .as_object()
            .unwrap()
            .values()
            .map(|counts| counts["new"].as_u64().unwrap())
            .sum();
        assert_eq!(count, taken, "{filling} {flags}: {document}");
        assert!(document["refused"][0]["line"].as_u64().is_some_and(|line| line <= 2), "{document}");
    }
}

#[test]
fn a_directory_is_no_file() {
    let bench = Bench::new("2023-03-20");
    std::fs::create_dir(bench.path("folder.ndjson")).unwrap();
    let ran = bench.json(&["feed", "import", "folder.ndjson"]).exits(2);
    assert!(ran.err.contains("directory"), "{ran:?}");
    bench.file("empty.ndjson", "");
    bench.json(&["feed", "import", "empty.ndjson"]).exits(0);
}

/// An export that is appended to holds an order twice: the last one counts, and the same file again changes nothing,
/// however far apart the two stand.
#[rstest::rstest]
#[case::side_by_side(0)]
#[case::batches_apart(5_100)]
fn a_file_with_two_versions_of_an_order_is_taken_in_once(#[case] between: usize) {
    let mut bench = Bench::new("2023-03-01");
    bench.connect("2023-03-01");
    bench.map(super::bench::MAPPINGS).exits(0);
    let six = sale().replace("\"quantity\":\"5\"", "\"quantity\":\"6\"");
    let customer = |n: usize| format!("{{\"type\":\"customer\",\"id\":\"x-{n}\",\"name\":\"X {n}\"}}\n");
    let others: String = (0..between).map(customer).collect();
    let file = format!("{BASE}{}{others}{six}", sale());
    let counted = |text: &str| bench.feed(text).exits(0).json()["records"]["order"].clone();
    assert_eq!(counted(&file), serde_json::json!({"new": 1, "changed": 1, "unchanged": 0}));
    bench.json(&["check"]).exits(0);
    let ran = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(ran["changes"][0]["fields"]["quantity"]["to"], "6", "{ran}");
    assert_eq!(counted(&file), serde_json::json!({"new": 0, "changed": 0, "unchanged": 2}));
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["findings"], serde_json::json!([]), "{checked}");
    // The older one alone is a change, of which a person is told; taken back it is none.
    assert_eq!(counted(&sale()), serde_json::json!({"new": 0, "changed": 1, "unchanged": 0}));
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["findings"][0]["code"], "TU8006", "{checked}");
    assert_eq!(counted(&six)["changed"], 1);
    let checked = bench.json(&["check"]).exits(0).json();
    assert_eq!(checked["findings"], serde_json::json!([]), "{checked}");
}

/// A feed places customers below the organization it is imported into, with all that is theirs, in whatever order it comes;
/// an organization that is not there is named, and who is somewhere already stays there.
#[test]
fn a_feed_places_customers_under_partners_of_the_tree() {
    let bench = Bench::new("2023-03-20");
    let placed =
        BASE.replace(r#""name":"Green Lane LLC""#, r#""name":"Green Lane LLC","organization":"part""#);
    let other = concat!(
        r#"{"type":"customer","id":"c-1","name":"One","organization":"nowhere"}"#,
        "\n",
        r#"{"type":"customer","id":"c-2","name":"Two","organization":"default"}"#,
        "\n",
    );
    // The orders come before the customer that they are of.
    let feed = format!("{}{}{placed}{other}", upgrade(), sale());
    let document = bench.feed(&feed).exits(0).json();
    assert_eq!(document["placed"], serde_json::Value::Null, "there is no such organization yet: {document}");
    assert!(reasons(&document)[0].contains("--parent default"), "{document}");

    let bench = Bench::new("2023-03-20");
    bench.json(&["org", "add", "part", "--parent", "default"]).exits(0);
    let document = bench.feed(&feed).exits(0).json();
    // The customer, its subscription and two orders; products are everybody's.
    assert_eq!(document["placed"], serde_json::json!({ "part": 4 }), "{document}");
    assert_eq!(document["records"]["order"]["new"], 2, "{document}");
    let told = reasons(&document);
    assert!(told.len() == 1 && told[0].contains("1 customers are of organization nowhere"), "{told:?}");
    let again = bench.feed(&feed).exits(0).json();
    for kind in ["customer", "subscription", "order", "product"] {
        let counts = &again["records"][kind];
        assert_eq!((&counts["new"], &counts["changed"]), (&0.into(), &0.into()), "{kind}: {again}");
    }
    let created = |org: &str| {
        let checked = bench.json(&["check", "--org", org]).json();
        checked["created"].as_array().unwrap().len()
    };
    assert_eq!((created("default"), created("part")), (0, 2), "each task is of one organization");

    // A later order alone finds its way, and a customer that the feed takes elsewhere stays.
    let line = r#""charge":"recurring","quantity":"1","old_quantity":"8","new_quantity":"9""#;
    let late = order("CH-2", "change", "2023-03-18", line);
    assert_eq!(bench.feed(&late).exits(0).json()["placed"], serde_json::json!({ "part": 1 }));
    let moved = reasons(&bench.feed(BASE).exits(0).json());
    assert!(
        moved.iter().any(|text| text.contains("such as c-100, are customers of part and stay")),
        "{moved:?}"
    );
    assert_eq!((created("default"), created("part")), (0, 1));
}

fn reasons(document: &serde_json::Value) -> Vec<String> {
    let warnings = document["warnings"].as_array().unwrap();
    warnings.iter().filter_map(|w| w["reason"].as_str()).map(str::to_owned).collect()
}

/// What was refused is a finding of each check until it comes in: a feed that comes by itself is watched by nobody.
#[test]
fn a_refused_record_is_told_until_it_comes_in() {
    let mut bench = Bench::new("2023-03-20");
    let broken = sale().replace(r#""quantity":"5""#, r#""quantity":"five""#);
    bench.feed(&format!("{BASE}{broken}{{\n")).exits(1);
    let told = |bench: &Bench| -> Vec<String> {
        bench.json(&["check"]);
        let listed = bench.json(&["finding", "list", "--code", "TU8004"]).exits(0).json();
        let all = listed["findings"].as_array().unwrap();
        let open = all.iter().filter(|finding| finding["state"] == "open");
        open.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect()
    };
    let first = told(&bench);
    assert_eq!(first.len(), 2, "{first:?}");
    assert!(
        first.iter().any(|text| text.contains("sent order SO-1, which was refused: line 4")),
        "{first:?}"
    );
    // Another import says nothing of the order; what could not be read was in the file of before.
    bench.on("2023-03-21");
    bench.feed(BASE).exits(0);
    let second = told(&bench);
    assert!(second.len() == 1 && second[0].contains("order SO-1"), "{second:?}");
    // Each check says so, and none passes for one with nothing to do, until somebody puts it aside.
    let open = |bench: &Bench| bench.json(&["finding", "list", "--state", "open", "--code", "TU8004"]).json();
    for _ in 0..2 {
        let checked = bench.json(&["check"]).exits(1).json();
        assert!(checked["findings"].to_string().contains("order SO-1"), "{checked}");
    }
    let id = open(&bench)["findings"][0]["finding_id"].as_str().unwrap().to_owned();
    bench.json(&["finding", "ignore", &id, "--reason", "never to come"]).exits(0);
    let aside = bench.json(&["check"]).json()["findings"].to_string();
    assert!(!aside.contains("order SO-1"), "{aside}");
    bench.json(&["finding", "reopen", &id]).exits(0);
    bench.on("2023-03-22");
    bench.feed(&sale()).exits(0);
    assert_eq!(told(&bench), Vec::<String>::new());
}

/// The rows of an order that stand apart in a table are refused whole, also where the table comes through a pipe; and a row
/// that is cut says which order it was of. Both are told until they come in.
#[test]
fn what_a_table_takes_apart_or_cuts_is_told_by_its_order() {
    let bench = Bench::new("2023-03-20");
    bench.feed(BASE).exits(0);
    let row = |id: &str, line: &str, rest: &str| {
        format!(
            "order,{id},sales,s-1,2023-03-01T09:00:00Z,2023-03-01,2023-04-01,USD,{line},recurring,exo-p1{rest}\n"
        )
    };
    let table = format!(
        "type,id,kind,subscription,completed_at,period.start,period.end,currency,line.id,line.charge,line.product,\
         line.quantity,line.unit_price,line.unit_cost\n{}{}{}{}",
        row("SO-1", "1", ",5,22.00,17.60"),
        row("SO-2", "1", ",1,22.00,17.60"),
        row("SO-1", "2", ",1,22.00,17.60"),
        row("SO-3", "1", ",5"),
    );
    let taken = bench.piped(&["feed", "import", "-", "--format", "json"], &table).exits(1).json();
    assert_eq!(taken["records"]["order"]["new"], 1, "{taken}");
    bench.json(&["check"]).exits(1);
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    assert!(!tasks.to_string().contains("SO-1") && tasks.to_string().contains("SO-2"), "{tasks}");
    // The next import of the source says nothing of them.
    bench.feed(BASE).exits(0);
    bench.json(&["check"]).exits(1);
    let told =
        bench.json(&["finding", "list", "--code", "TU8004", "--state", "open"]).exits(0).json().to_string();
    assert!(told.contains("order SO-1") && told.contains("order SO-3"), "{told}");
}

/// Of many records that were refused none is forgotten with the next import.
#[test]
fn of_many_refused_records_none_is_forgotten() {
    let bench = Bench::new("2023-03-20");
    let order = |number: usize, quantity: &str| {
        sale()
            .replace(r#""id":"SO-1""#, &format!(r#""id":"SO-{number}""#))
            .replace(r#""quantity":"5""#, &format!(r#""quantity":"{quantity}""#))
    };
    let all = |numbers: std::ops::Range<usize>, quantity: &str| -> String {
        numbers.map(|number| order(number, quantity)).collect()
    };
    let refused = |bench: &Bench| {
        bench.json(&["check"]);
        let listed = bench.json(&["finding", "list", "--code", "TU8004"]).exits(0).json();
        let open = listed["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] == "open");
        open.count()
    };
    bench.feed(&format!("{BASE}{}", all(0..150, "five"))).exits(1);
    // A hundred by name, and how many more.
    assert_eq!(refused(&bench), 101);
    bench.feed(&all(0..100, "5")).exits(0);
    assert_eq!(refused(&bench), 50);
}

/// What waits for its customer is followed by what comes of it later: the last version counts. An order of a subscription
/// that nobody knows goes where the customer is that it names.
#[test]
fn a_record_that_waits_for_its_customer_does_not_outlive_its_newer_version() {
    let bench = Bench::new("2023-03-20");
    bench.json(&["org", "add", "part", "--parent", "default"]).exits(0);
    let placed =
        BASE.replace(r#""name":"Green Lane LLC""#, r#""name":"Green Lane LLC","organization":"part""#);
    let corrected = sale().replace(r#""quantity":"5""#, r#""quantity":"8""#);
    assert_ne!(corrected, sale());
    let stray = r#"{"type":"order","id":"SO-9","kind":"sales","subscription":"s-9","customer":"c-100","completed_at":"2023-03-01T00:00:00Z","effective":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"m365","quantity":"1","unit_price":"1.00"}]}"#;
    let document = bench.feed(&format!("{}{placed}{corrected}{stray}\n", sale())).exits(0).json();
    // The customer, its subscription, the two versions of its order, and the order of a subscription that is not there.
    assert_eq!(document["placed"], serde_json::json!({ "part": 5 }), "{document}");
    let created = bench.json(&["check", "--org", "part"]).json()["created"].clone();
    let task = created.as_array().unwrap().iter().find(|task| task["order_id"] == "SO-1").unwrap();
    let id = task["task_id"].as_str().unwrap();
    let shown = bench.json(&["task", "show", id, "--org", "part"]).exits(0).json();
    assert!(shown.to_string().contains(r#""quantity":"8""#), "{shown}");
}

/// An order that waits is kept without a word; one whose state is written otherwise than `completed` would be sold and
/// never billed.
#[test]
fn an_unknown_state_of_an_order_is_told() {
    let bench = Bench::new("2023-03-20");
    let with =
        |status: &str| sale().replace("\"currency\"", &format!("\"status\":\"{status}\",\"currency\""));
    let waiting = reasons(&bench.feed(&format!("{BASE}{}", with("pending"))).exits(0).json());
    assert!(waiting.is_empty(), "{waiting:?}");
    let told = reasons(&bench.feed(&format!("{BASE}{}", with("Completed"))).exits(0).json());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"Completed\", such as SO-1") && told[0].contains("`completed`"), "{told:?}");
}

/// Rows of a FOCUS bill have no ids: the second file of a period replaces what the first one said.
#[test]
fn a_bill_that_comes_file_by_file_is_told() {
    let bench = Bench::new("2024-10-05");
    let bill = |file: &str, cost: &str| {
        let row = "a,c,P,S,2024-09-01 00:00:00,2024-10-01 00:00:00,USD";
        let head = "BillingAccountId,SubAccountId,ProviderName,ServiceName,BillingPeriodStart,BillingPeriodEnd,\
                    BillingCurrency,BilledCost,EffectiveCost";
        bench.file(file, &format!("{head}\n{row},{cost},{cost}\n"))
    };
    let (first, second) = (bill("1.csv", "1.25"), bill("2.csv", "2.50"));
    let take = |files: &[&str]| {
        let mut args = vec!["feed", "import", "--from", "focus"];
        args.extend(files);
        bench.json(&args).exits(0).json()
    };
    assert!(reasons(&take(&[&first])).is_empty());
    let told = reasons(&take(&[&second]));
    assert!(told.len() == 1 && told[0].starts_with("1 orders were known"), "{told:?}");
    let whole = take(&[&first, &second]);
    assert_eq!(whole["totals"]["by_currency"]["USD"]["amount"], "3.75");
}

/// A bill with a broken row holds its orders back: each check says that nothing of them is billed, whatever else is imported, until
/// the bill comes whole.
#[test]
fn a_bill_that_lacks_rows_is_told_until_it_comes_whole() {
    let bench = Bench::new("2024-10-05");
    let head = "BillingAccountId,SubAccountId,ProviderName,ServiceName,BillingPeriodStart,BillingPeriodEnd,\
                BillingCurrency,BilledCost,EffectiveCost";
    let row = |customer: &str, cost: &str| {
        format!("a,{customer},P,S,2024-09-01 00:00:00,2024-10-01 00:00:00,USD,{cost},{cost}\n")
    };
    let take = |rows: String| {
        let file = bench.file("bill.csv", &format!("{head}\n{rows}"));
        bench.json(&["feed", "import", "--from", "focus", &file])
    };
    take(format!("{}{}", row("c-1", "1.25"), row("c-2", "much"))).exits(1);
    let other = bench.file("other.ndjson", r#"{"type":"customer","id":"zz","name":"Other"}"#);
    bench.json(&["feed", "import", &other]).exits(0);
    for _ in 0..2 {
        let checked = bench.json(&["check"]).exits(1).json();
        let told = checked["findings"].to_string();
        assert!(told.contains("TU8002") && told.contains("nothing of"), "{checked}");
    }
    take(format!("{}{}", row("c-1", "1.25"), row("c-2", "2.50"))).exits(0);
    bench.json(&["check"]);
    let open = bench.json(&["finding", "list", "--code", "TU8002"]).exits(0).json();
    assert_eq!(open["findings"].as_array().map(Vec::len), Some(0), "{open}");
}

/// A request that was refused is the order that it would have been: an import of something else does not let it be forgotten.
#[test]
fn a_refused_request_is_told_until_it_comes_in() {
    let bench = Bench::new("2024-10-05");
    let bad = r#"[{"id":"PR-1-1","type":"purchase","status":"approved"}]"#;
    let file = bench.file("requests.json", bad);
    bench.json(&["feed", "import", "--from", "cloudblue-connect", &file]).exits(1);
    let other = bench.file("other.ndjson", r#"{"type":"customer","id":"zz","name":"Other"}"#);
    bench.json(&["feed", "import", &other]).exits(0);
    let checked = bench.json(&["check"]).exits(1).json();
    assert!(checked["findings"].to_string().contains("PR-1-1"), "{checked}");
}

/// An export that failed writes an error in the place of records: that is no empty table.
#[rstest::rstest]
#[case("null")]
#[case("Service Unavailable")]
#[case("true\n")]
fn what_is_no_feed_is_not_taken_for_an_empty_one(#[case] text: &str) {
    let bench = Bench::new("2023-03-20");
    let taken = bench.piped(&["feed", "import", "-", "--format", "json"], text).exits(1).json();
    assert_eq!(taken["refused"].as_array().map(Vec::len), Some(1), "{taken}");
}

#[test]
fn usage_is_added_up_while_it_is_read_and_the_same_file_again_changes_nothing() {
    let bench = Bench::new("2026-11-02");
    let header = "id,customer,product,quantity,unit,unit_price,currency,start,end\n";
    let line = |id: &str, customer: &str, quantity: &str| {
        format!("{id},{customer},mbx,{quantity},GB,0.25,EUR,2026-10-05,2026-10-06\n")
    };
    let lines =
        [header, &line("u1", "c-1", "0.1"), &line("u2", "c-1", "0.2"), "u3,c-1\n", &line("u4", "c-2", "4")]
            .concat();
    let file = bench.file("usage.csv", &lines);
    let checked = bench.json(&["feed", "check", &file, "--summed"]).exits(1).json();
    assert_eq!(checked["summed"], serde_json::json!({"lines": 3, "repeated": 0, "replaced": 0}));
    assert_eq!(checked["refused"][0]["line"], 4, "{checked}");
    assert_eq!(checked["totals"]["by_currency"]["EUR"]["amount"], "1.075");
    assert!(!bench.path("data").exists());

    let first = bench.json(&["feed", "import", &file, "--summed"]).exits(1).json();
    assert_eq!(
        (&first["records"]["usage"]["new"], &first["summed"]["lines"]),
        (&2.into(), &3.into()),
        "{first}"
    );
    assert_eq!(first["totals"], checked["totals"]);
    let again = bench.json(&["feed", "import", &file, "--summed"]).exits(1).json();
    assert_eq!(again["records"]["usage"]["unchanged"], 2, "{again}");
    // A corrected file stands for the first one; another part of the month beside it.
    let file = bench.file("usage.csv", &[header, &line("u1", "c-1", "0.5")].concat());
    let changed = bench.json(&["feed", "import", &file, "--summed"]).exits(0).json();
    assert_eq!(changed["records"]["usage"]["changed"], 1, "{changed}");
    let beside = bench.json(&["feed", "import", &file, "--summed", "--part", "east"]).exits(0).json();
    assert_eq!(beside["records"]["usage"]["new"], 1, "{beside}");

    for wrong in [&["--from", "focus"][..], &["--type", "order"]] {
        let args = [&["feed", "check", &file, "--summed"], wrong].concat();
        bench.json(&args).exits(2);
    }
    let gone = bench.path("gone.csv").display().to_string();
    bench.json(&["feed", "check", &gone, "--summed"]).exits(2);
}

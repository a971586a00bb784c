//! What people set: assignments, names, ticks, rules, and the tree.

use super::desk::{
    additions, assigned, bare, codes, count, count_at, five, item, mark, more_customers, quantities, run,
    seed, verdicts, writes_since,
};
use serde_json::{Value, json};

fn refusal(ran: &Value) -> String {
    let error = &ran["error"];
    format!("{} {}", error["message"].as_str().unwrap_or_default(), error["fix"].as_str().unwrap_or_default())
}

#[test]
fn mp_06_a_service_is_assigned_once_for_all_customers() {
    let bench = assigned();
    more_customers(&bench, 2);
    count(&bench, &[("c-1", "mbx", "5"), ("c-2", "mbx", "6"), ("c-3", "mbx", "7")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"; 3], "{ran}");
    assert_eq!(
        [quantities(&bench, 40), quantities(&bench, 52), quantities(&bench, 53)],
        [[5.0], [6.0], [7.0]]
    );
}

#[test]
fn mp_07_not_assigned_ends_the_writes_and_reports_what_goes_on() {
    let (bench, addition) = five();
    bench.json(&["quantity", "assign", "mbx", "--not-assigned"]).exits(0);
    count(&bench, &[("c-1", "mbx", "9")]);
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!((verdicts(&ran).len(), codes(&ran)), (0, vec!["TU8006".to_owned()]), "{ran}");
    let finding = &ran["findings"][0];
    assert!(finding["message"].as_str().unwrap().contains(&format!("Addition {addition}")), "{finding}");
    assert_eq!(finding["amount"]["amount"], "110.00", "{finding}");
    assert_eq!(writes_since(&bench, before), []);
    assert_eq!(quantities(&bench, 40), [5.0]);
    // Taken back, it goes on.
    bench.json(&["quantity", "assign", "mbx", "--item", "7"]).exits(0);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
}

#[test]
fn mp_08_a_deprecated_service_is_marked_and_asks_for_a_confirmation() {
    let bench = bare();
    count(&bench, &[("c-1", "old", "3")]);
    let refused = bench.json(&["quantity", "assign", "old", "--item", "7"]).exits(2).json();
    assert!(refusal(&refused).contains("deprecated"), "{refused}");
    let services = bench.json(&["quantity", "services"]).exits(0).json();
    assert_eq!(services["services"][0]["deprecated"], true, "{services}");
    let done = bench.json(&["quantity", "assign", "old", "--item", "7", "--confirm"]).exits(0).json();
    assert!(done["notice"].as_str().unwrap().contains("deprecated"), "{done}");
}

#[test]
fn mp_09_a_customer_is_complete_once_its_agreement_is_chosen() {
    let bench = assigned();
    more_customers(&bench, 1);
    bench.feed("{\"type\":\"customer\",\"id\":\"c-9\",\"name\":\"Ash\"}\n").exits(0);
    seed(
        &bench,
        json!({"company/companies": [{"id": 29, "identifier": "Ash", "name": "Ash"}],
        "finance/agreements": [super::desk::agreement(59, 29, "Cloud")]}),
    );
    bench.map("customer,c-9,29,,\n").exits(0);
    count(&bench, &[("c-9", "mbx", "4"), ("c-2", "mbx", "1")]);
    let complete = |bench: &crate::bench::Bench| -> Vec<(String, bool)> {
        let list = bench.json(&["quantity", "customers"]).exits(0).json();
        let rows = list["customers"].as_array().unwrap().clone();
        rows.iter().map(|r| (r["customer"].as_str().unwrap().to_owned(), r["complete"] == true)).collect()
    };
    assert_eq!(complete(&bench), [("c-9".to_owned(), false), ("c-2".to_owned(), true)]);
    bench.map("agreement,customer:c-9,59,,\n").exits(0);
    assert_eq!(complete(&bench), [("c-9".to_owned(), true), ("c-2".to_owned(), true)]);
}

#[test]
fn mp_10_an_agreement_of_another_company_is_not_billed() {
    let bench = assigned();
    more_customers(&bench, 1);
    bench.map("agreement,customer:c-1,52,,\n").exits(0);
    count(&bench, &[("c-1", "mbx", "4")]);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU3003"], "{ran}");
    assert!(
        ran["findings"][0]["message"].as_str().unwrap().contains("company 22, not of company 12"),
        "{ran}"
    );
    assert!(additions(&bench, 52).is_empty());
}

#[test]
fn mp_11_inactive_items_and_bundles_are_refused() {
    let bench = bare();
    let mut inactive = item(8, "GONE", 1.0);
    inactive["inactiveFlag"] = json!(true);
    let mut bundle = item(9, "SET", 1.0);
    bundle["productClass"] = json!("Bundle");
    seed(&bench, json!({ "procurement/catalog": [inactive, bundle] }));
    for (id, why) in [("8", "inactive"), ("9", "bundle"), ("99", "no catalog item")] {
        let refused = bench.json(&["quantity", "assign", "mbx", "--item", id]).exits(2).json();
        assert!(refusal(&refused).contains(why), "{refused}");
    }
}

#[test]
fn mp_31_two_services_on_one_item_are_refused_until_they_add_up() {
    let bench = assigned();
    let refused = bench.json(&["quantity", "assign", "arc", "--item", "7"]).exits(2).json();
    assert!(refusal(&refused).contains("TU2007"), "{refused}");
    bench.json(&["quantity", "rule", "--item", "7", "--add-up", "on"]).exits(0);
    bench.json(&["quantity", "assign", "arc", "--item", "7"]).exits(0);
    count(&bench, &[("c-1", "mbx", "10"), ("c-1", "arc", "3")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [13.0]);
    let steps: Vec<&str> =
        ran["lines"][0]["steps"].as_array().unwrap().iter().map(|s| s["text"].as_str().unwrap()).collect();
    assert_eq!(steps, ["Archive: 3 counted 2023-03-10", "Mailbox: 10 counted 2023-03-10", "3 + 10 = 13"]);
}

#[test]
fn ax_43_two_customers_on_one_agreement_are_refused_until_they_add_up() {
    let bench = assigned();
    bench.feed("{\"type\":\"customer\",\"id\":\"c-2\",\"name\":\"Branch\"}\n").exits(0);
    bench.json(&["setting", "set", "mapping.customer_company", "many"]).exits(0);
    bench.map("customer,c-2,12,,\nagreement,customer:c-2,40,,\n").exits(0);
    count(&bench, &[("c-1", "mbx", "10"), ("c-2", "mbx", "4")]);
    let refused = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&refused), ["TU2007"], "{refused}");
    assert!(additions(&bench, 40).is_empty());
    bench.json(&["quantity", "rule", "--item", "7", "--add-up", "on"]).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [14.0]);
    let before = mark(&bench);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["equal"]);
    assert_eq!(writes_since(&bench, before), []);
}

#[test]
fn mp_32_ax_44_another_agreement_gets_the_quantity_and_the_old_line_is_reported() {
    let (bench, addition) = five();
    seed(&bench, json!({"finance/agreements": [super::desk::agreement(41, 12, "New")]}));
    bench.map("agreement,customer:c-1,41,,\n").exits(0);
    count(&bench, &[("c-1", "mbx", "6")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(
        (verdicts(&ran), codes(&ran)),
        (vec!["create".to_owned()], vec!["TU8006".to_owned()]),
        "{ran}"
    );
    let message = ran["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("agreement 41 now") && message.contains(&addition.to_string()), "{message}");
    assert_eq!((quantities(&bench, 40), quantities(&bench, 41)), (vec![5.0], vec![6.0]));
}

#[test]
fn ax_13_a_name_that_differs_in_a_letter_is_refused_with_the_nearest() {
    let bench = bare();
    let refused = bench.json(&["quantity", "assign", "mbx", "--product", "EXO-P2"]).exits(2).json();
    assert!(refusal(&refused).contains("`EXO-P1`"), "{refused}");
    let refused = bench.json(&["quantity", "assign", "mbx", "--product", "Something else"]).exits(2).json();
    assert!(!refusal(&refused).contains("EXO-P1"), "{refused}");
    bench.json(&["quantity", "assign", "mbx", "--product", "  EXO-P1 "]).exits(0);
}

#[test]
fn ax_14_a_name_that_differs_only_in_case_is_proposed_and_not_taken() {
    let bench = bare();
    let refused = bench.json(&["quantity", "assign", "mbx", "--product", "exo-p1"]).exits(2).json();
    assert!(refusal(&refused).contains("`EXO-P1`"), "{refused}");
    let holds = bench.json(&["quantity", "assignments"]).exits(0).json();
    assert_eq!(holds["entries"], json!([]), "{holds}");
}

#[test]
fn ax_15_a_renamed_item_goes_on_and_is_told() {
    let (bench, _) = five();
    bench.by_hand(
        "PATCH",
        "procurement/catalog/7",
        &json!([{ "op": "replace", "path": "identifier", "value": "EXO-NEW" }]),
    );
    count(&bench, &[("c-1", "mbx", "8")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(
        (verdicts(&ran), codes(&ran)),
        (vec!["update".to_owned()], vec!["TU2006".to_owned()]),
        "{ran}"
    );
    assert!(ran["findings"][0]["message"].as_str().unwrap().contains("EXO-NEW"), "{ran}");
    // A rule is found by the name under which the service is assigned, whichever of both it was when it was set.
    let level_after = |bench: &crate::bench::Bench| {
        let ran = run(bench, &["--approve"]).exits(0).json();
        (codes(&ran).first().cloned(), quantities(bench, 40))
    };
    bench.json(&["quantity", "rule", "--item", "7", "--minimum", "9"]).exits(0);
    assert_eq!(level_after(&bench).1, [9.0]);
    bench.json(&["quantity", "assign", "mbx", "--item", "7"]).exits(0);
    assert_eq!(level_after(&bench), (None, vec![9.0]));
}

#[test]
fn ax_19_billing_with_nothing_ticked_is_refused() {
    let bench = assigned();
    bench.json(&["setting", "set", "quantity.customers", "ticked"]).exits(0);
    let refused = bench.json(&["quantity", "customer", "c-1", "--billing", "on"]).exits(2).json();
    assert!(refusal(&refused).contains("no service is ticked"), "{refused}");
    count(&bench, &[("c-1", "mbx", "10")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran).len(), 0, "nothing is ticked at first: {ran}");
    bench.json(&["quantity", "customer", "c-1", "--billing", "on", "--tick", "mbx"]).exits(0);
    assert_eq!(verdicts(&run(&bench, &["--approve"]).exits(0).json()), ["create"]);
}

#[test]
fn ax_20_without_an_agreement_nothing_is_written_and_a_finding_says_so() {
    let bench = assigned();
    bench.json(&["mapping", "release", "agreement", "customer:c-1"]).exits(0);
    count(&bench, &[("c-1", "mbx", "10")]);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU3001"], "{ran}");
    assert!(ran["findings"][0]["message"].as_str().unwrap().contains("Not billed: 10 Mailbox"), "{ran}");
    assert!(additions(&bench, 40).is_empty());
}

#[test]
fn ax_21_what_is_not_ticked_is_not_billed_whatever_it_counts() {
    let bench = assigned();
    seed(&bench, json!({ "procurement/catalog": [item(8, "ARCHIVE", 3.0)] }));
    bench.json(&["quantity", "assign", "arc", "--item", "8"]).exits(0);
    bench.json(&["quantity", "customer", "c-1", "--tick", "mbx"]).exits(0);
    for level in ["3", "9"] {
        count(&bench, &[("c-1", "mbx", "10"), ("c-1", "arc", level)]);
        run(&bench, &["--approve"]).exits(0);
        assert_eq!(quantities(&bench, 40), [10.0]);
    }
}

#[test]
fn ax_22_a_ticked_service_without_an_item_at_any_level_is_refused() {
    let bench = assigned();
    let refused = bench.json(&["quantity", "customer", "c-1", "--tick", "mbx", "arc"]).exits(2).json();
    assert!(refusal(&refused).contains("service arc"), "{refused}");
}

#[test]
fn mp_38_ax_18_what_nobody_assigned_and_whom_nobody_mapped_come_first_with_their_counts() {
    let bench = assigned();
    bench.feed("{\"type\":\"customer\",\"id\":\"c-8\",\"name\":\"Zulu\"}\n").exits(0);
    count(&bench, &[("c-1", "mbx", "10"), ("c-1", "arc", "3"), ("c-8", "mbx", "2")]);
    let services = bench.json(&["quantity", "services"]).exits(0).json();
    let first = &services["services"][0];
    assert_eq!(
        (&first["service"], &first["state"], &first["level"]),
        (&json!("arc"), &json!("open"), &json!("3"))
    );
    let customers = bench.json(&["quantity", "customers"]).exits(0).json();
    assert_eq!(customers["customers"][0]["customer"], "c-8", "{customers}");
    let complete: Vec<bool> =
        customers["customers"].as_array().unwrap().iter().map(|row| row["complete"] == true).collect();
    assert_eq!(complete, [false, true], "who is not linked comes first: {customers}");
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU2001", "TU2003"], "{ran}");
    assert_eq!(quantities(&bench, 40), [10.0], "the others go on");
}

#[test]
fn mp_40_a_customer_that_is_switched_off_is_left_out_and_its_line_is_reported() {
    let (bench, _) = five();
    bench.json(&["quantity", "customer", "c-1", "--billing", "off"]).exits(0);
    count(&bench, &[("c-1", "mbx", "9")]);
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(codes(&ran), ["TU8006"], "{ran}");
    assert_eq!(writes_since(&bench, before), []);
}

#[test]
fn ax_37_storage_is_billed_in_the_unit_and_rounding_that_are_set() {
    let bytes = |value: &str| {
        format!(
            "{{\"type\":\"counter\",\"customer\":\"c-1\",\"product\":\"mbx\",\"value\":\"{value}\",\"unit\":\"bytes\",\
             \"as_of\":\"2023-03-10T01:00:00Z\"}}\n"
        )
    };
    for (flags, wanted) in [
        (&["--add-up", "off"][..], "1235"),
        (&["--unit", "GiB", "--rounding", "nearest", "--decimals", "2"][..], "1149.78"),
        (&["--unit", "TB"][..], "2"),
    ] {
        let bench = assigned();
        let args: Vec<&str> = ["quantity", "rule", "--item", "7"].iter().chain(flags).copied().collect();
        bench.json(&args).exits(0);
        bench.feed(&bytes("1234567890123")).exits(0);
        let shown = bench.json(&["quantity", "preview"]).exits(0).json();
        assert_eq!(shown["lines"][0]["wanted"], wanted, "{shown}");
    }
}

#[test]
fn ax_39_levels_below_count_for_the_nearest_with_a_company_where_that_is_set() {
    let bench = assigned();
    more_customers(&bench, 1);
    bench
        .feed(concat!(
            "{\"type\":\"customer\",\"id\":\"c-1a\",\"name\":\"North\",\"parent\":\"c-1\"}\n",
            "{\"type\":\"customer\",\"id\":\"c-2\",\"name\":\"Own\",\"parent\":\"c-1\"}\n"
        ))
        .exits(0);
    count(&bench, &[("c-1", "mbx", "10"), ("c-1a", "mbx", "3"), ("c-2", "mbx", "5")]);
    run(&bench, &["--approve"]).exits(1);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![10.0], vec![5.0]));
    bench.json(&["setting", "set", "quantity.children", "without_company"]).exits(0);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!((quantities(&bench, 40), quantities(&bench, 52)), (vec![13.0], vec![5.0]), "{ran}");
    let steps = ran["lines"][0]["steps"].to_string();
    assert!(steps.contains("Mailbox of North (c-1a): 3"), "{steps}");
    // One below that is switched off is billed through nobody.
    bench.json(&["quantity", "customer", "c-1a", "--billing", "off"]).exits(0);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [10.0], "{ran}");
}

#[test]
fn ax_39_levels_far_below_count_whoever_else_counts() {
    let bench = assigned();
    bench
        .feed(concat!(
            "{\"type\":\"customer\",\"id\":\"d-1\",\"name\":\"Department\",\"parent\":\"c-1\"}\n",
            "{\"type\":\"customer\",\"id\":\"s-1\",\"name\":\"Site\",\"parent\":\"d-1\"}\n"
        ))
        .exits(0);
    bench.json(&["setting", "set", "quantity.children", "without_company"]).exits(0);
    count(&bench, &[("s-1", "mbx", "3")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [3.0], "{ran}");
    count(&bench, &[("d-1", "mbx", "2")]);
    let ran = run(&bench, &["--customer", "c-1"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [5.0], "{ran}");
    count_at(&bench, "2023-03-10T02:00:00Z", &[("s-1", "mbx", "4")]);
    let ran = run(&bench, &["--customer", "s-1"]).exits(0).json();
    assert_eq!(quantities(&bench, 40), [6.0], "{ran}");
}

#[test]
fn ax_06_ax_07_an_assignment_above_holds_below_until_a_level_sets_its_own() {
    let bench = assigned();
    seed(&bench, json!({ "procurement/catalog": [item(8, "OWN", 3.0)] }));
    bench.json(&["org", "add", "north", "--name", "North", "--parent", "default"]).exits(0);
    bench.json(&["org", "add", "site", "--name", "Site", "--parent", "north"]).exits(0);
    let seen = |org: &str| {
        let list = bench.json(&["--org", org, "quantity", "assignments"]).exits(0).json();
        let row = list["entries"][0].clone();
        (row["target"]["item"]["id"].as_i64(), row["from"].as_str().unwrap().to_owned())
    };
    assert_eq!(seen("site"), (Some(7), "default".to_owned()));
    bench.json(&["--org", "north", "quantity", "assign", "mbx", "--item", "8"]).exits(0);
    assert_eq!(seen("site"), (Some(8), "north".to_owned()));
    assert_eq!(seen("default"), (Some(7), "default".to_owned()));
    bench.json(&["--org", "north", "quantity", "unassign", "mbx"]).exits(0);
    assert_eq!(seen("site"), (Some(7), "default".to_owned()));
    let nothing = bench.json(&["--org", "site", "quantity", "unassign", "mbx"]).exits(2).json();
    assert!(refusal(&nothing).contains("sets nothing"), "{nothing}");
}

#[test]
fn ax_05_ax_10_below_the_connection_and_the_assignments_hold_and_customers_do_not() {
    let bench = assigned();
    bench.json(&["org", "add", "north", "--name", "North", "--parent", "default"]).exits(0);
    count(&bench, &[("c-1", "mbx", "10")]);
    run(&bench, &["--approve"]).exits(0);
    let file = bench.file(
        "north.ndjson",
        concat!(
            "{\"type\":\"customer\",\"id\":\"c-1\",\"name\":\"Namesake\"}\n",
            "{\"type\":\"counter\",\"customer\":\"c-1\",\"product\":\"mbx\",\"value\":\"4\",\
             \"as_of\":\"2023-03-10T01:00:00Z\"}\n"
        ),
    );
    bench.json(&["--org", "north", "feed", "import", &file]).exits(0);
    let ran = bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU2001"], "the company of the namesake above is not taken: {ran}");
    seed(
        &bench,
        json!({"company/companies": [{"id": 31, "identifier": "N", "name": "N"}],
        "finance/agreements": [super::desk::agreement(61, 31, "Cloud")]}),
    );
    let rows = bench.file(
        "m.csv",
        "kind,source_id,psa_id,scope,options\ncustomer,c-1,31,,\nagreement,customer:c-1,61,,\n",
    );
    bench.json(&["--org", "north", "mapping", "import", &rows]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&bench, 61)), (vec![10.0], vec![4.0]));
}

/// Two organizations whose customers are one company, with one agreement and one item.
#[test]
fn ax_43_two_organizations_do_not_write_their_quantities_over_each_other() {
    let bench = assigned();
    let of = |org: &'static str, args: &[&str]| bench.json(&[&["--org", org], args].concat());
    for (org, level) in [("north", "8"), ("south", "5")] {
        bench.json(&["org", "add", org, "--name", org, "--parent", "default"]).exits(0);
        let feed = format!(
            "{{\"type\":\"customer\",\"id\":\"x-1\",\"name\":\"{org}\"}}\n{{\"type\":\"counter\",\"customer\":\"x-1\",\
             \"product\":\"mbx\",\"value\":\"{level}\",\"as_of\":\"2023-03-10T01:00:00Z\"}}\n"
        );
        of(org, &["feed", "import", &bench.file(&format!("{org}.ndjson"), &feed)]).exits(0);
        let rows = "kind,source_id,psa_id,scope,options\ncustomer,x-1,12,,\nagreement,customer:x-1,40,,\n";
        of(org, &["mapping", "import", &bench.file("m.csv", rows)]).exits(0);
    }
    of("north", &["quantity", "run", "--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [8.0]);
    bench.json(&["setting", "set", "quantity.adopt", "take"]).exits(0);
    let refused = of("south", &["quantity", "run", "--approve"]).exits(1).json();
    assert_eq!(
        (codes(&refused), quantities(&bench, 40)),
        (vec!["TU2007".to_owned()], vec![8.0]),
        "{refused}"
    );
    of("north", &["quantity", "run"]).exits(0);
    assert_eq!(quantities(&bench, 40), [8.0]);
}

#[test]
fn rules_that_mean_nothing_are_refused_and_fractions_need_a_rounding() {
    let bench = assigned();
    for flags in [
        &["--pack", "0"][..],
        &["--ratio", "1/0"][..],
        &["--minimum", "5", "--maximum", "3"][..],
        &["--decimals", "7"][..],
        &["--tier", "10=2", "--tier", "5=1"][..],
        &["--unit", "gb"][..],
        &["--included", "x"][..],
    ] {
        let args: Vec<&str> = ["quantity", "rule", "--item", "7"].iter().chain(flags).copied().collect();
        bench.json(&args).exits(2);
    }
    count(&bench, &[("c-1", "mbx", "2.5")]);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU5004"], "{ran}");
    bench.json(&["quantity", "rule", "--item", "7", "--rounding", "up"]).exits(0);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [3.0]);
    count_at(&bench, "2023-03-10T02:00:00Z", &[("c-1", "mbx", "3.0")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["equal"]);
}

#[test]
fn ax_12_two_tenants_in_one_tree_each_get_their_own_lines() {
    let bench = assigned();
    let mut other = crate::bench::Bench::new("2023-03-10");
    other.connect("2023-04-01");
    // The other tenant has the item under another id, and something else under the id that it has here.
    seed(
        &other,
        json!({
            "procurement/catalog": [item(77, "EXO-P1", 9.0), item(7, "OTHER", 1.0)],
            "company/companies": [{"id": 31, "identifier": "N", "name": "N"}],
            "finance/agreements": [super::desk::agreement(61, 31, "Cloud")],
        }),
    );
    bench.json(&["org", "add", "north", "--name", "North", "--parent", "default"]).exits(0);
    let access = &other.sandbox.as_ref().unwrap().access;
    let text = |name: &str| access[name].as_str().unwrap();
    let (url, company, key, id) = (text("url"), text("company"), text("public_key"), text("client_id"));
    let add = ["--org", "north", "connection", "add", "--url", url, "--company", company];
    let keys = ["--public-key", key, "--client-id", id];
    bench.json(&[add.as_slice(), keys.as_slice()].concat()).exits(0);
    let file = bench.file(
        "north.ndjson",
        concat!(
            "{\"type\":\"customer\",\"id\":\"n-1\",\"name\":\"Northern\"}\n",
            "{\"type\":\"counter\",\"customer\":\"n-1\",\"product\":\"mbx\",\"value\":\"4\",\
             \"as_of\":\"2023-03-10T01:00:00Z\"}\n"
        ),
    );
    bench.json(&["--org", "north", "feed", "import", &file]).exits(0);
    let rows = bench.file(
        "m.csv",
        "kind,source_id,psa_id,scope,options\ncustomer,n-1,31,,\nagreement,customer:n-1,61,,\n",
    );
    bench.json(&["--org", "north", "mapping", "import", &rows]).exits(0);
    count(&bench, &[("c-1", "mbx", "10")]);
    let (here, there) = (mark(&bench), mark(&other));
    let ran = bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"], "{ran}");
    assert_eq!(mark(&bench), here, "the tenant of the level above is not called");
    let made = additions(&other, 61);
    assert_eq!((made.len(), &made[0]["product"]["id"], &made[0]["unitPrice"]), (1, &json!(77), &json!(9.0)));
    assert!(mark(&other) > there);
    let there = mark(&other);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"], "{ran}");
    assert_eq!((quantities(&bench, 40), quantities(&other, 61)), (vec![10.0], vec![4.0]));
    assert_eq!(mark(&other), there, "nor the one of the level below");
    // No list mixes both: each sees the customers and lines of its own tenant.
    let of = |org: &str| bench.json(&["--org", org, "quantity", "show"]).exits(0).json();
    assert_eq!(
        (&of("north")["lines"][0]["catalog_item_id"], of("north")["lines"].as_array().unwrap().len()),
        (&json!(77), 1)
    );
    assert_eq!(
        (&of("default")["lines"][0]["catalog_item_id"], of("default")["lines"].as_array().unwrap().len()),
        (&json!(7), 1)
    );
    // A rule that is set above is the item's of that name here, and not the one's that happens to have its number.
    bench.json(&["quantity", "rule", "--item", "7", "--minimum", "12"]).exits(0);
    run(&bench, &["--approve"]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!((quantities(&bench, 40), quantities(&other, 61)), (vec![12.0], vec![12.0]));
    // Nearer it is the same rule again, by either name of the item, until it is taken back.
    bench.json(&["--org", "north", "quantity", "rule", "--item", "77", "--minimum", "5"]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!(quantities(&other, 61), [5.0]);
    bench.json(&["--org", "north", "quantity", "rule", "--product", "EXO-P1", "--minimum", "6"]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!(quantities(&other, 61), [6.0]);
    bench.json(&["--org", "north", "quantity", "rule", "--item", "77", "--reset"]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!(quantities(&other, 61), [12.0]);
    bench.json(&["quantity", "rule", "--item", "7", "--reset"]).exits(0);
    bench.json(&["--org", "north", "quantity", "run", "--approve"]).exits(0);
    assert_eq!(quantities(&other, 61), [4.0]);
    // Once the name is gone there, the id of the level above says nothing: nothing is written.
    let gone = json!([{ "op": "replace", "path": "identifier", "value": "RENAMED" }]);
    other.by_hand("PATCH", "procurement/catalog/77", &gone);
    let later = bench.file(
        "later.ndjson",
        "{\"type\":\"counter\",\"customer\":\"n-1\",\"product\":\"mbx\",\"value\":\"6\",\"as_of\":\"2023-03-10T02:00:00Z\"}\n",
    );
    bench.json(&["--org", "north", "feed", "import", &later]).exits(0);
    let ran = bench.json(&["--org", "north", "quantity", "run", "--approve"]).json();
    assert!(codes(&ran).contains(&"TU2004".to_owned()), "{ran}");
    assert_eq!(quantities(&other, 61), [4.0]);
}

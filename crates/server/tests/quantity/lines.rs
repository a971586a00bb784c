//! What becomes of a line: equal, raised, lowered, made, taken over, refused.

use super::desk::{
    add, additions, agreement, assigned, bare, codes, count, count_at, five, item, mark, patch, quantities,
    run, seed, verdicts, writes_since,
};
use serde_json::json;

#[test]
fn mp_12_ax_36_equal_levels_write_nothing() {
    let (bench, _) = five();
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(verdicts(&ran), ["equal"], "{ran}");
    assert_eq!(writes_since(&bench, before), []);
}

#[test]
fn mp_13_ax_32_five_becomes_eight_by_one_patch_of_the_quantity_alone() {
    let (bench, addition) = five();
    let before = mark(&bench);
    count(&bench, &[("c-1", "mbx", "8")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(verdicts(&ran), ["update"], "{ran}");
    let writes = writes_since(&bench, before);
    let [(method, path, body)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(method, "PATCH");
    assert!(path.ends_with(&format!("/additions/{addition}")), "{path}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap(),
        json!([{ "op": "replace", "path": "quantity", "value": 8 }])
    );
    assert_eq!(quantities(&bench, 40), [8.0]);
}

#[test]
fn mp_14_mp_15_what_a_person_set_beside_the_quantity_survives_every_run() {
    let (bench, addition) = five();
    patch(&bench, 40, addition, "unitPrice", json!(19.5));
    patch(&bench, 40, addition, "description", json!("Their own words"));
    patch(&bench, 40, addition, "taxableFlag", json!(true));
    patch(&bench, 40, addition, "billCustomer", json!("NoCharge"));
    for level in ["8", "9", "7"] {
        count(&bench, &[("c-1", "mbx", level)]);
        run(&bench, &[]).exits(0);
    }
    let row = &additions(&bench, 40)[0];
    assert_eq!(row["quantity"], json!(7.0));
    assert_eq!(row["unitPrice"], json!(19.5));
    assert_eq!(row["description"], json!("Their own words"));
    assert_eq!(row["taxableFlag"], json!(true));
    assert_eq!(row["billCustomer"], json!("NoCharge"));
}

#[test]
fn mp_21_ax_40_a_missing_line_is_made_once_after_a_yes_at_the_catalogs_price() {
    let bench = assigned();
    count(&bench, &[("c-1", "mbx", "10")]);
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(verdicts(&ran), ["held"], "{ran}");
    assert_eq!(codes(&ran), ["TU7007"], "{ran}");
    assert_eq!(writes_since(&bench, before), []);

    let plan = ran["waiting"][0]["plan_id"].as_str().unwrap();
    bench.json(&["apply", plan]).exits(0);
    let writes = writes_since(&bench, before);
    let [(method, _, body)] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!(method, "POST");
    for field in ["unitPrice", "unitCost", "description", "taxableFlag", "invoiceDescription"] {
        assert!(!body.contains(field), "{body}");
    }
    let made = additions(&bench, 40);
    assert_eq!((made.len(), &made[0]["quantity"], &made[0]["unitPrice"]), (1, &json!(10.0), &json!(22.0)));

    let again = run(&bench, &[]).exits(0).json();
    assert_eq!(verdicts(&again), ["equal"], "{again}");
    assert_eq!(additions(&bench, 40).len(), 1);
}

#[test]
fn an_addition_that_is_there_is_proposed_and_taken_over_by_a_word() {
    let bench = assigned();
    let addition = add(&bench, 40, 7, "5");
    count(&bench, &[("c-1", "mbx", "8")]);
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!((verdicts(&ran), codes(&ran)), (vec!["held".to_owned()], vec!["TU3007".to_owned()]), "{ran}");
    assert_eq!(writes_since(&bench, before), []);
    let plan = ran["waiting"][0]["plan_id"].as_str().unwrap();
    bench.json(&["apply", plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [8.0]);
    let explained = bench.json(&["audit", "explain", &addition.to_string()]).exits(0).json();
    assert_eq!(explained["role"], "quantity", "{explained}");
    count_at(&bench, "2023-03-10T02:00:00Z", &[("c-1", "mbx", "9")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
}

#[test]
fn why_eight_is_answered_step_by_step() {
    let (bench, addition) = five();
    bench
        .json(&[
            "quantity",
            "rule",
            "--item",
            "7",
            "--exclude",
            "2=our own",
            "--included",
            "1",
            "--pack",
            "3",
        ])
        .exits(0);
    count(&bench, &[("c-1", "mbx", "25")]);
    run(&bench, &[]).exits(0);
    let explained = bench.json(&["audit", "explain", &addition.to_string()]).exits(0).json();
    let steps: Vec<&str> = explained["quantity"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps,
        [
            "Mailbox: 25 counted 2023-03-10",
            "25 - 2 (our own) = 23",
            "1 are included: 22 remain",
            "8 packs of 3: 8 are billed"
        ]
    );
    let formula = explained["values"]["quantity"]["formula"].as_str().unwrap();
    assert!(formula.contains("25 - 2 (our own) = 23; 1 are included"), "{formula}");
    let people = bench.run(&["audit", "explain", &addition.to_string()]).exits(0).out;
    assert!(people.contains("Why 8:"), "{people}");
}

#[test]
fn mp_22_without_the_setting_a_missing_line_is_a_finding() {
    let bench = assigned();
    bench.json(&["setting", "set", "quantity.create_missing", "off"]).exits(0);
    count(&bench, &[("c-1", "mbx", "10")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(
        (verdicts(&ran), codes(&ran)),
        (vec!["refused".to_owned()], vec!["TU8006".to_owned()]),
        "{ran}"
    );
    assert_eq!(writes_since(&bench, before), []);
    // A person's word for this one line counts.
    bench.json(&["quantity", "pick", "--customer", "c-1", "--item", "7", "--create"]).exits(0);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["create"]);
}

#[test]
fn mp_23_in_an_invoiced_period_a_line_begins_with_the_next_invoice() {
    let bench = assigned();
    count(&bench, &[("c-1", "mbx", "10")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(additions(&bench, 40)[0]["effectiveDate"], "2023-04-01T00:00:00Z");
}

#[test]
fn mp_23_an_agreement_that_prorates_takes_today() {
    let bench = assigned();
    bench.by_hand(
        "PATCH",
        "finance/agreements/40",
        &json!([{ "op": "replace", "path": "prorateFlag", "value": true }]),
    );
    count(&bench, &[("c-1", "mbx", "10")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(additions(&bench, 40)[0]["effectiveDate"], "2023-03-10T00:00:00Z");
}

#[test]
fn mp_24_a_line_never_begins_before_the_billing_start() {
    let bench = assigned();
    seed(
        &bench,
        json!({"finance/agreements": [{"id": 41, "name": "Later", "type": {"name": "Cloud Services"},
            "company": {"id": 12}, "contact": {"id": 5}, "startDate": "2023-01-01T00:00:00Z",
            "billStartDate": "2023-06-01T00:00:00Z", "nextInvoiceDate": "2023-06-01", "billingCycle": {"id": 2}}]}),
    );
    bench.map("agreement,customer:c-1,41,,\n").exits(0);
    count(&bench, &[("c-1", "mbx", "10")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(additions(&bench, 41)[0]["effectiveDate"], "2023-06-01T00:00:00Z");
}

#[test]
fn mp_25_a_bundle_of_three_services_is_three_lines_at_three_prices() {
    let bench = bare();
    seed(&bench, json!({"procurement/catalog": [item(8, "CLOUDFILTER", 2.0), item(9, "SAFESEND", 3.5)]}));
    for (service, item) in [("bracket", "7"), ("cloudfilter", "8"), ("safesend", "9")] {
        bench.json(&["quantity", "assign", service, "--item", item]).exits(0);
    }
    count(&bench, &[("c-1", "bracket", "10"), ("c-1", "cloudfilter", "10"), ("c-1", "safesend", "10")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!(verdicts(&ran), ["create"; 3], "{ran}");
    let mut lines: Vec<_> = additions(&bench, 40)
        .iter()
        .map(|row| (row["quantity"].as_f64(), row["unitPrice"].as_f64()))
        .collect();
    lines.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap());
    assert_eq!(lines, [(Some(10.0), Some(2.0)), (Some(10.0), Some(3.5)), (Some(10.0), Some(22.0))]);
}

#[test]
fn mp_26_ax_42_two_open_additions_are_left_alone_until_somebody_picks() {
    let bench = assigned();
    let (one, two) = (add(&bench, 40, 7, "5"), add(&bench, 40, 7, "6"));
    count(&bench, &[("c-1", "mbx", "8")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--adopt", "--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU3007"], "{ran}");
    let message = ran["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains(&one.to_string()) && message.contains(&two.to_string()), "{message}");
    assert_eq!(writes_since(&bench, before), []);

    let id = two.to_string();
    bench.json(&["quantity", "pick", "--customer", "c-1", "--item", "7", "--addition", &id]).exits(0);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    assert_eq!(quantities(&bench, 40), [5.0, 8.0]);
}

#[test]
fn a_second_addition_by_hand_is_told_and_the_line_moves_to_it_where_somebody_says_so() {
    let (bench, own) = five();
    let second = add(&bench, 40, 7, "6");
    count_at(&bench, "2023-03-10T02:00:00Z", &[("c-1", "mbx", "8")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(
        (verdicts(&ran), codes(&ran)),
        (vec!["update".to_owned()], vec!["TU3007".to_owned()]),
        "{ran}"
    );
    let finding = &ran["findings"][0];
    let message = finding["message"].as_str().unwrap();
    assert!(message.contains(&format!("addition {second}")), "{message}");
    assert_eq!(finding["amount"]["amount"], "132.00", "{finding}");
    assert_eq!(quantities(&bench, 40), [8.0, 6.0]);

    let id = second.to_string();
    bench.json(&["quantity", "pick", "--customer", "c-1", "--item", "7", "--addition", &id]).exits(0);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(verdicts(&ran), ["update"], "{ran}");
    assert_eq!(quantities(&bench, 40), [8.0, 8.0]);
    assert!(ran["findings"][0]["message"].as_str().unwrap().contains(&format!("addition {own}")), "{ran}");
    // So it stays, and nothing is left to tell once the other one is ended.
    patch(&bench, 40, own, "cancelledDate", json!("2023-04-30T00:00:00Z"));
    count_at(&bench, "2023-03-10T03:00:00Z", &[("c-1", "mbx", "9")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!((verdicts(&ran), codes(&ran).len()), (vec!["update".to_owned()], 0), "{ran}");
    assert_eq!(quantities(&bench, 40), [9.0]);
}

#[test]
fn a_word_about_what_is_not_there_is_refused() {
    let (bench, addition) = five();
    add(&bench, 40, 7, "6");
    seed(&bench, json!({ "procurement/catalog": [item(8, "OTHER", 3.0)] }));
    let other = add(&bench, 40, 8, "1").to_string();
    let own = addition.to_string();
    for (args, says) in [
        (vec!["pick", "--customer", "c-1", "--item", "7", "--addition", "999999"], "999999"),
        (vec!["pick", "--customer", "c-1", "--item", "7", "--addition", &other], "item 8"),
        (vec!["pick", "--customer", "nobody", "--item", "7", "--addition", &own], "nobody"),
        (vec!["pick", "--customer", "nobody", "--item", "7", "--create"], "nobody"),
        (vec!["pick", "--customer", "c-1", "--item", "777", "--create"], "777"),
        (vec!["customer", "nobody", "--billing", "off"], "nobody"),
        (vec!["rule", "--item", "777", "--add-up", "on"], "777"),
    ] {
        let all: Vec<&str> = std::iter::once("quantity").chain(args).collect();
        let refused = bench.json(&all).exits(2).json();
        assert!(refused["error"].to_string().contains(says), "{all:?}: {refused}");
    }
    let kept = bench.json(&["quantity", "assignments"]).exits(0).json();
    assert_eq!(kept["entries"].as_array().unwrap().len(), 1, "nothing of it is kept: {kept}");
}

#[test]
fn mp_27_ax_41_what_a_person_ended_stays_ended_until_somebody_decides() {
    let (mut bench, addition) = five();
    patch(&bench, 40, addition, "cancelledDate", json!("2023-04-30T00:00:00Z"));
    // Its end is still to come: until then it bills, and what it bills is what is counted.
    count(&bench, &[("c-1", "mbx", "9")]);
    let before = mark(&bench);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    let writes = writes_since(&bench, before);
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].2.contains("quantity") && !writes[0].2.contains("cancelledDate"), "{writes:?}");
    let there = additions(&bench, 40).remove(0);
    assert_eq!(there["quantity"], json!(9.0));
    assert!(
        there["cancelledDate"].as_str().unwrap().starts_with("2023-04-30"),
        "the person's end stays: {there}"
    );
    bench.on("2023-04-30");
    count_at(&bench, "2023-04-30T01:00:00Z", &[("c-1", "mbx", "10")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"], "its last day is billed");
    // Over: it stays so, and nothing is made in its place.
    bench.on("2023-05-01");
    count_at(&bench, "2023-05-01T01:00:00Z", &[("c-1", "mbx", "11")]);
    let before = mark(&bench);
    for _ in 0..2 {
        let ran = run(&bench, &["--approve"]).exits(1).json();
        assert_eq!(codes(&ran), ["TU3008"], "{ran}");
    }
    assert_eq!(writes_since(&bench, before), []);
    bench.json(&["quantity", "pick", "--customer", "c-1", "--item", "7", "--create"]).exits(0);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["create"]);
    assert_eq!(additions(&bench, 40).len(), 2);
    // The word was for one line: when that one is ended as well, none is made again.
    let second = additions(&bench, 40).iter().filter_map(|row| row["id"].as_i64()).max().unwrap();
    patch(&bench, 40, second, "cancelledDate", json!("2023-05-10T00:00:00Z"));
    bench.on("2023-05-11");
    count_at(&bench, "2023-05-11T01:00:00Z", &[("c-1", "mbx", "11")]);
    assert_eq!(codes(&run(&bench, &["--approve"]).exits(1).json()), ["TU3008"]);
    assert_eq!(additions(&bench, 40).len(), 2);
}

#[test]
fn a_line_of_0_that_a_person_ends_later_gets_no_second_end() {
    let (mut bench, addition) = five();
    patch(&bench, 40, addition, "cancelledDate", json!("2023-04-30T00:00:00Z"));
    count(&bench, &[("c-1", "mbx", "0")]);
    run(&bench, &["--approve"]).exits(0);
    bench.on("2023-03-12");
    count_at(&bench, "2023-03-12T01:00:00Z", &[("c-1", "mbx", "0")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    assert_eq!((verdicts(&ran), codes(&ran).len()), (vec!["equal".to_owned()], 0), "{ran}");
    assert_eq!(writes_since(&bench, before), []);
    // Counted again before that day it is billed again; after it nothing is made without somebody's word.
    count_at(&bench, "2023-03-12T02:00:00Z", &[("c-1", "mbx", "4")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    bench.on("2023-05-01");
    count_at(&bench, "2023-05-01T01:00:00Z", &[("c-1", "mbx", "4")]);
    assert_eq!(codes(&run(&bench, &["--approve"]).exits(1).json()), ["TU3008"]);
}

#[test]
fn mp_28_a_line_on_another_agreement_of_the_company_is_asked_about() {
    let bench = assigned();
    seed(&bench, json!({"finance/agreements": [agreement(41, 12, "Other")]}));
    add(&bench, 41, 7, "5");
    count(&bench, &[("c-1", "mbx", "8")]);
    let before = mark(&bench);
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert_eq!(codes(&ran), ["TU3007"], "{ran}");
    assert!(ran["findings"][0]["message"].as_str().unwrap().contains("agreement 41"), "{ran}");
    assert_eq!(writes_since(&bench, before), []);
}

#[test]
fn mp_29_ax_33_a_fall_follows_waits_or_stays_as_set() {
    for (setting, verdict, exit, left) in
        [("follow", "update", 0, 6.0), ("hold", "held", 1, 8.0), ("never", "refused", 0, 8.0)]
    {
        let (bench, _) = five();
        count(&bench, &[("c-1", "mbx", "8")]);
        run(&bench, &[]).exits(0);
        bench.json(&["setting", "set", "quantity.decrease", setting]).exits(0);
        count(&bench, &[("c-1", "mbx", "6")]);
        let ran = run(&bench, &[]).exits(exit).json();
        assert_eq!(verdicts(&ran), [verdict], "{setting}: {ran}");
        assert_eq!(quantities(&bench, 40), [left], "{setting}");
        assert_eq!(additions(&bench, 40).len(), 1, "no credit line: {setting}");
        if setting == "hold" {
            assert_eq!(verdicts(&run(&bench, &["--approve"]).exits(0).json()), ["update"]);
            assert_eq!(quantities(&bench, 40), [6.0]);
        }
    }
}

#[test]
fn mp_30_ax_34_more_than_half_is_held_in_every_mode() {
    for setting in ["follow", "hold", "never"] {
        let (bench, _) = five();
        count(&bench, &[("c-1", "mbx", "8")]);
        run(&bench, &[]).exits(0);
        bench.json(&["setting", "set", "quantity.decrease", setting]).exits(0);
        count(&bench, &[("c-1", "mbx", "3")]);
        let ran = run(&bench, &[]).exits(1).json();
        assert_eq!(
            (verdicts(&ran), codes(&ran)),
            (vec!["held".to_owned()], vec!["TU5002".to_owned()]),
            "{ran}"
        );
        assert_eq!(quantities(&bench, 40), [8.0], "{setting}");
    }
}

#[test]
fn mp_30_ax_35_zero_is_held_then_written_then_an_end_is_proposed() {
    let (mut bench, _) = five();
    count(&bench, &[("c-1", "mbx", "0")]);
    let before = mark(&bench);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!((verdicts(&ran), codes(&ran)), (vec!["held".to_owned()], vec!["TU5003".to_owned()]), "{ran}");
    let plan = ran["waiting"][0]["plan_id"].as_str().unwrap().to_owned();
    bench.json(&["apply", &plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [0.0]);
    // The same night nothing more.
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["equal"]);

    bench.on("2023-03-11");
    count_at(&bench, "2023-03-11T01:00:00Z", &[("c-1", "mbx", "0")]);
    let again = run(&bench, &[]).exits(1).json();
    assert_eq!(
        (verdicts(&again), codes(&again)),
        (vec!["held".to_owned()], vec!["TU5003".to_owned()]),
        "{again}"
    );
    assert_eq!(quantities(&bench, 40), [0.0], "an end is proposed, and nothing is written");
    let plan = again["waiting"][0]["plan_id"].as_str().unwrap().to_owned();
    bench.json(&["apply", &plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [0.0; 0]);
    assert!(!writes_since(&bench, before).iter().any(|(method, _, _)| method == "DELETE"));

    // What was ended here comes back when it is counted again.
    bench.on("2023-03-12");
    count_at(&bench, "2023-03-12T01:00:00Z", &[("c-1", "mbx", "4")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["create"]);
    assert_eq!(quantities(&bench, 40), [4.0]);
}

#[test]
fn a_fall_that_was_held_is_written_once_somebody_approved_it() {
    let (bench, _) = five();
    count(&bench, &[("c-1", "mbx", "1")]);
    run(&bench, &[]).exits(1);
    let list = bench.json(&["approval", "list"]).exits(0).json();
    let rows = list["approvals"].as_array().unwrap_or_else(|| panic!("{list}"));
    assert_eq!(rows.len(), 1, "{list}");
    // The same question again is not asked twice.
    let again = run(&bench, &[]).exits(1).json();
    assert_eq!(bench.json(&["approval", "list"]).exits(0).json()["approvals"].as_array().unwrap().len(), 1);
    let plan = again["waiting"][0]["plan_id"].as_str().unwrap();
    bench.json(&["apply", plan]).exits(0);
    assert_eq!(quantities(&bench, 40), [1.0]);
    // What was held rises again: the question is gone.
    count(&bench, &[("c-1", "mbx", "2")]);
    run(&bench, &[]).exits(0);
    assert_eq!(bench.json(&["approval", "list"]).exits(0).json()["approvals"].as_array().unwrap().len(), 0);
}

#[test]
fn a_question_is_out_of_date_where_the_source_or_somebody_said_otherwise_since() {
    let (bench, _) = five();
    let asked = |ran: &serde_json::Value| ran["waiting"][0]["plan_id"].as_str().unwrap().to_owned();
    let applied = |plan: &str| {
        let ran = bench.json(&["apply", plan]);
        (ran.exit, ran.out.contains("TU7001"))
    };
    // A broken night, and the source is right again in the morning.
    count(&bench, &[("c-1", "mbx", "0")]);
    let plan = asked(&run(&bench, &[]).exits(1).json());
    count_at(&bench, "2023-03-10T07:00:00Z", &[("c-1", "mbx", "6")]);
    assert_eq!(applied(&plan), (1, true));
    assert_eq!(quantities(&bench, 40), [5.0]);
    // Switched off since.
    count_at(&bench, "2023-03-10T08:00:00Z", &[("c-1", "mbx", "1")]);
    let plan = asked(&run(&bench, &[]).exits(1).json());
    bench.json(&["quantity", "customer", "c-1", "--billing", "off"]).exits(0);
    assert_eq!(applied(&plan), (1, true));
    bench.json(&["quantity", "customer", "c-1", "--billing", "on"]).exits(0);
    assert_eq!(quantities(&bench, 40), [5.0]);
    // The same level counted again asks for the same, and so does another one of something else.
    let plan = asked(&run(&bench, &[]).exits(1).json());
    count_at(&bench, "2023-03-10T09:00:00Z", &[("c-1", "mbx", "1"), ("c-1", "arc", "7")]);
    assert_eq!(applied(&plan), (0, false));
    assert_eq!(quantities(&bench, 40), [1.0]);
}

#[test]
fn mp_37_ax_48_a_creation_without_an_answer_makes_one_line() {
    let mut bench = assigned();
    bench.env("TRUEUP_APPLY_SETTLE_SECONDS", "1");
    count(&bench, &[("c-1", "mbx", "10")]);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "POST", "path_contains": "additions"}, "action": "drop_after"}]}),
    );
    let ran = run(&bench, &["--approve"]).exits(1).json();
    assert!(codes(&ran).contains(&"TU7003".to_owned()), "{ran}");
    for _ in 0..4 {
        if run(&bench, &["--approve"]).exit == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["equal"]);
    assert_eq!(quantities(&bench, 40), [10.0]);
}

#[test]
fn ax_47_two_refusals_of_a_busy_server_are_tried_again_in_the_same_run() {
    let (bench, _) = five();
    count(&bench, &[("c-1", "mbx", "8")]);
    bench.control(
        "faults",
        &json!({"schedule": [{"match": {"method": "PATCH"}, "action": "status", "status": 503, "times": 2}]}),
    );
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    assert_eq!(quantities(&bench, 40), [8.0]);
}

#[test]
fn an_old_counter_and_one_older_than_the_last_are_not_billed() {
    let (mut bench, _) = five();
    count_at(&bench, "2023-03-10T05:00:00Z", &[("c-1", "mbx", "8")]);
    run(&bench, &[]).exits(0);
    count_at(&bench, "2023-03-10T04:00:00Z", &[("c-1", "mbx", "6")]);
    // Nor in the nights after: what was billed last is remembered, whatever came since.
    for _ in 0..3 {
        let ran = run(&bench, &[]).exits(0).json();
        assert_eq!(
            (verdicts(&ran), codes(&ran)),
            (vec!["refused".to_owned()], vec!["TU5005".to_owned()]),
            "{ran}"
        );
    }
    count_at(&bench, "2023-03-10T06:00:00Z", &[("c-1", "mbx", "7")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    count_at(&bench, "2023-03-10T07:00:00Z", &[("c-1", "mbx", "8")]);
    run(&bench, &[]).exits(0);
    bench.on("2023-03-30");
    count_at(&bench, "2023-03-12T04:00:00Z", &[("c-1", "mbx", "9")]);
    let ran = run(&bench, &[]).exits(0).json();
    assert_eq!(
        (verdicts(&ran), codes(&ran)),
        (vec!["refused".to_owned()], vec!["TU5005".to_owned()]),
        "{ran}"
    );
    assert_eq!(quantities(&bench, 40), [8.0]);
}

#[test]
fn of_levels_that_are_added_up_none_goes_back_behind_what_was_billed() {
    let bench = assigned();
    bench.json(&["quantity", "rule", "--item", "7", "--add-up", "on"]).exits(0);
    bench.json(&["quantity", "assign", "arc", "--item", "7"]).exits(0);
    count_at(&bench, "2023-03-10T01:00:00Z", &[("c-1", "arc", "3")]);
    count_at(&bench, "2023-03-10T09:00:00Z", &[("c-1", "mbx", "10")]);
    run(&bench, &["--approve"]).exits(0);
    assert_eq!(quantities(&bench, 40), [13.0]);
    // Older than the level of its service, and newer than that of the other one.
    count_at(&bench, "2023-03-10T05:00:00Z", &[("c-1", "mbx", "9")]);
    for _ in 0..2 {
        let ran = run(&bench, &["--approve"]).exits(0).json();
        assert_eq!(codes(&ran), ["TU5005"], "{ran}");
        assert_eq!(quantities(&bench, 40), [13.0]);
    }
    count_at(&bench, "2023-03-10T04:00:00Z", &[("c-1", "arc", "2")]);
    count_at(&bench, "2023-03-10T09:00:00Z", &[("c-1", "mbx", "10")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    assert_eq!(quantities(&bench, 40), [12.0]);
}

#[test]
fn a_counter_of_a_day_to_come_is_not_billed_and_locks_nothing() {
    let (mut bench, _) = five();
    for (at, level) in [("2099-01-01T00:00:00Z", "9"), ("2023-03-12T00:00:00Z", "8")] {
        count_at(&bench, at, &[("c-1", "mbx", level)]);
        let ran = run(&bench, &["--approve"]).exits(0).json();
        assert_eq!(
            (verdicts(&ran), codes(&ran)),
            (vec!["refused".to_owned()], vec!["TU5005".to_owned()]),
            "{ran}"
        );
        assert_eq!(quantities(&bench, 40), [5.0]);
    }
    // The day after is today already where the source is.
    count_at(&bench, "2023-03-11T03:00:00+14:00", &[("c-1", "mbx", "6")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    bench.on("2023-03-11");
    count_at(&bench, "2023-03-11T05:00:00Z", &[("c-1", "mbx", "7")]);
    assert_eq!(verdicts(&run(&bench, &[]).exits(0).json()), ["update"]);
    assert_eq!(quantities(&bench, 40), [7.0]);

    // Nor where it is the first level of all.
    let bench = assigned();
    count_at(&bench, "2099-01-01T00:00:00Z", &[("c-1", "mbx", "9")]);
    assert_eq!(codes(&run(&bench, &["--approve"]).exits(0).json()), ["TU5005"]);
    count(&bench, &[("c-1", "mbx", "4")]);
    assert_eq!(verdicts(&run(&bench, &["--approve"]).exits(0).json()), ["create"]);
    assert_eq!(quantities(&bench, 40), [4.0]);
}

#[test]
fn a_run_that_was_undone_stays_undone() {
    let bench = assigned();
    count(&bench, &[("c-1", "mbx", "10")]);
    let ran = run(&bench, &["--approve"]).exits(0).json();
    let plan = ran["applied"][0]["plan_id"].as_str().unwrap();
    let undo = bench.json(&["undo", "--plan", plan]).exits(0).json();
    bench.json(&["apply", undo["plan_id"].as_str().unwrap()]).exits(0);
    assert_eq!(quantities(&bench, 40), [0.0; 0]);
    let ran = run(&bench, &[]).exits(1).json();
    assert_eq!(codes(&ran), ["TU3008"], "{ran}");
    assert_eq!(quantities(&bench, 40), [0.0; 0]);
}

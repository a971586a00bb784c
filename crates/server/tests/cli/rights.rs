//! Rights that are missing: named where a connection is tested, at the start of a run, and where a call is refused.

use super::bench::{BASE, Bench, MAPPINGS, sale};
use super::moves::another_company;
use serde_json::{Value, json};

const ADD: &str = "Finance > Agreements > Add All";

/// A sale that is ready to be written.
fn ready() -> Bench {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.feed(&format!("{BASE}{}", sale())).exits(0);
    bench.map(MAPPINGS).exits(0);
    bench.json(&["check"]).exits(0);
    bench
}

fn role(bench: &Bench, functions: &Value) {
    bench.control("roles", &json!({ "functions": functions }));
}

fn task(bench: &Bench) -> (String, String) {
    let tasks = bench.json(&["task", "list"]).exits(0).json();
    let text = |name: &str| tasks["tasks"][0][name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn open(bench: &Bench) -> Vec<String> {
    let list = bench.json(&["finding", "list", "--code", "TU1004"]).exits(0).json();
    list["findings"].as_array().unwrap().iter().map(|f| f["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_that_lacks_a_right_fails_its_tasks_with_the_list_and_sends_nothing() {
    let bench = ready();
    role(&bench, &json!({"Finance/Agreements": {"add": "None", "delete": "My"}}));
    let refused = bench.json(&["apply", "--all"]).exits(1).json();
    let message = refused["error"]["message"].as_str().unwrap();
    assert_eq!(refused["error"]["code"], "TU1004");
    assert!(message.contains(&format!("{ADD}; Finance > Agreements > Delete All")), "{message}");
    let (state, reason) = task(&bench);
    assert_eq!((state.as_str(), reason.starts_with("TU1004: ")), ("failed", true), "{reason}");
    assert!(reason.contains(ADD), "{reason}");
    assert_eq!(open(&bench).len(), 1);
    assert!(open(&bench)[0].contains(ADD));
    let journal = bench.ask("journal/summary");
    assert!(journal["calls"].get("POST finance/agreements/{id}/additions").is_none(), "{journal}");
    // `doctor` and the test of the connection name the same.
    let doctor = bench.json(&["doctor"]).exits(1);
    assert!(doctor.out.contains(ADD), "{doctor:?}");
    assert!(bench.run(&["connection", "test"]).exits(1).out.contains("Add All"));
    // With the rights the next run goes on by itself, and the finding is resolved.
    role(&bench, &json!({}));
    let done = bench.json(&["apply", "--all"]).exits(0).json();
    assert_eq!(done["summary"]["applied"], 1);
    assert_eq!(task(&bench), ("done".to_owned(), String::new()));
    assert_eq!(open(&bench), Vec::<String>::new());
    // Where nothing waits nobody is asked.
    role(&bench, &json!({"Finance/Agreements": {"add": "None"}}));
    bench.json(&["apply", "--all"]).exits(0);
}

#[test]
fn ax_02_each_part_names_the_rights_that_it_lacks_and_does_without_those_of_the_other() {
    let bench = ready();
    let none = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "None"});
    let missing = |tested: &Value, part: &str| -> Vec<String> {
        let rights = tested[part].as_array().unwrap().iter();
        rights
            .map(|right| {
                format!("{} > {}", right["function"].as_str().unwrap(), right["level"].as_str().unwrap())
            })
            .collect()
    };
    role(&bench, &json!({"Service Desk/Service Tickets": none, "Service Desk/Close Service Tickets": none}));
    let tested = bench.json(&["connection", "test"]).exits(0).json();
    assert_eq!((&tested["ok"], &tested["missing"]), (&json!(true), &json!([])));
    assert_eq!(
        missing(&tested, "missing_for_tickets"),
        [
            "Service Tickets > Inquire All",
            "Service Tickets > Add All",
            "Service Tickets > Edit All",
            "Close Service Tickets > Edit All",
        ]
    );
    let shown = bench.run(&["connection", "test"]).exits(0).out;
    assert!(shown.contains("For tickets these rights are missing"), "{shown}");
    bench.json(&["apply", "--all"]).exits(0);
    role(&bench, &json!({"Finance/Agreements": none}));
    let tested = bench.json(&["connection", "test"]).exits(1).json();
    assert_eq!(tested["missing_for_tickets"], json!([]));
    assert!(missing(&tested, "missing").contains(&"Agreements > Add All".to_owned()));
}

#[test]
fn the_right_to_create_items_is_needed_where_items_are_created() {
    let bench = ready();
    role(&bench, &json!({"Procurement/Product Catalog": {"add": "None"}}));
    bench.json(&["--set", "create_missing_products=on", "apply", "--all"]).exits(1);
    bench.json(&["apply", "--all"]).exits(0);
}

#[test]
fn a_plan_that_meets_a_missing_right_names_it() {
    let bench = ready();
    let plan = bench.json(&["plan"]).exits(0).json();
    role(&bench, &json!({"Finance/Agreements": {"add": "None"}}));
    let applied = bench.json(&["apply", plan["plan_id"].as_str().unwrap()]).exits(1).json();
    assert_eq!(applied["changes"][0]["error"]["code"], "TU1004");
    let message = applied["changes"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains(ADD), "{message}");
    let words = applied["changes"][0]["error"]["their_words"].as_str().unwrap();
    assert!(words.contains("You do not have security permission"), "{words}");
    // A right that is missing for reading stops the whole command.
    role(&bench, &json!({"Companies/Company Maintenance": {"inquire": "None"}}));
    let plan = bench.json(&["plan"]).exits(3).json();
    let message = plan["error"]["message"].as_str().unwrap();
    assert!(message.contains("Companies > Company Maintenance > Inquire All"), "{message}");
}

/// A member that sees its own records alone does not see what others made: nothing may be concluded from that, or a line
/// that somebody else made would be written a second time.
#[test]
fn nothing_is_concluded_from_what_a_member_sees_of_its_own() {
    let bench = ready();
    let plan = bench.json(&["plan"]).exits(0).json();
    let plan_id = plan["plan_id"].as_str().unwrap();
    role(&bench, &json!({"Finance/Agreements": {"inquire": "My"}}));
    for args in [
        &["plan"][..],
        &["apply", plan_id],
        &["plan", "--reconcile", "2023-03-01..2023-04-01", "--customer", "c-100"],
        &["psa", "pull"],
    ] {
        let refused = bench.json(args).exits(3).json();
        assert_eq!(refused["error"]["code"], "TU1004", "{args:?}: {refused}");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("Finance > Agreements > Inquire All"), "{args:?}: {message}");
    }
    assert_eq!(open(&bench).len(), 1);
    let journal = bench.ask("journal/summary");
    assert!(journal["calls"].get("POST finance/agreements/{id}/additions").is_none(), "{journal}");
    role(&bench, &json!({}));
    bench.json(&["psa", "pull"]).exits(0);
    bench.json(&["apply", plan_id]).exits(0);
    assert_eq!(open(&bench), Vec::<String>::new());
}

/// What a list of the role hides is missing from every answer. The list itself is told, and what is gone is counted.
#[test]
fn a_list_that_hides_agreements_is_told() {
    let bench = ready();
    bench.json(&["psa", "pull"]).exits(0);
    assert!(!bench.run(&["connection", "test"]).exits(0).out.contains("Customize"));
    bench.control("roles", &json!({"hidden_agreement_types": ["Cloud Services"]}));
    let tested = bench.run(&["connection", "test"]).exits(0).out;
    assert!(tested.contains("Customize"), "{tested}");
    assert_eq!(bench.json(&["psa", "pull"]).exits(0).json()["agreements_gone"], 1);
    let plan = bench.json(&["plan"]).json();
    let told: Vec<&str> =
        plan["findings"].as_array().unwrap().iter().filter_map(|f| f["message"].as_str()).collect();
    assert!(told.iter().any(|message| message.contains("Customize")), "{told:?}");
}

/// A run that ConnectWise refuses leaves a finding for whoever looks in the morning, and the next that works resolves it.
#[test]
fn why_connectwise_did_not_answer_is_kept() {
    let bench = ready();
    let kept = || {
        let list = bench.json(&["finding", "list"]).exits(0).json();
        let of_connection = |f: &&Value| f["code"].as_str().is_some_and(|code| code.starts_with("TU100"));
        list["findings"].as_array().unwrap().iter().filter(of_connection).cloned().collect::<Vec<_>>()
    };
    let every: [(&[&str], u16, &str); 4] = [
        (&["apply", "--all"], 503, "TU1001"),
        (&["apply", "--all"], 401, "TU1002"),
        (&["psa", "pull"], 401, "TU1002"),
        (&["plan"], 401, "TU1002"),
    ];
    for (args, status, code) in every {
        bench.control(
            "faults",
            &json!({"schedule": [{"match": {}, "action": "status", "status": status, "times": 1000}]}),
        );
        bench.json(args).exits(3);
        let found = kept();
        assert_eq!(found.len(), 1, "{args:?}: {found:?}");
        assert_eq!(
            (&found[0]["code"], &found[0]["subject"]["detail"]),
            (&json!(code), &json!("connection connectwise"))
        );
        bench.control("faults", &json!({"schedule": []}));
        bench.json(&["psa", "pull"]).exits(0);
        assert!(kept().is_empty(), "{args:?}");
    }
}

/// An addition that nobody can understand keeps its own agreement waiting, and nobody else: plans, runs and pulls go on, and say
/// which one it is until it can be read again.
#[test]
fn an_addition_that_is_not_understood_keeps_no_other_customer_waiting() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    another_company(&bench);
    let theirs = |text: &str| {
        text.replace("c-100", "c-200")
            .replace("\"s-1\"", "\"s-2\"")
            .replace("SO-1", "SO-2")
            .replace("Green Lane", "Blue Lake")
    };
    bench.feed(&format!("{BASE}{}{}{}", sale(), theirs(BASE), theirs(&sale()))).exits(0);
    bench.map(&format!("{MAPPINGS}customer,c-200,13,,\n")).exits(0);
    bench.json(&["check", "--since", "2023-03-01"]).exits(0);
    bench.json(&["psa", "pull"]).exits(0);
    let seed = |quantity: &Value| {
        let line = json!({ "id": 900, "product": { "id": 7 }, "quantity": quantity, "unitPrice": 1.0, "unitCost": 1.0,
            "effectiveDate": "2023-03-01T00:00:00Z", "billCustomer": "Billable" });
        bench.control(
            "seed",
            &json!({ "resources": { "finance/agreements/{id}/additions": { "50": [line] } } }),
        );
    };
    seed(&json!(7_922_816_251_426_433_759_354_u128 as f64));
    let pulled = bench.json(&["psa", "pull"]).exits(1).json();
    assert_eq!((&pulled["agreements"], &pulled["agreements_unread"]), (&json!(2), &json!(1)), "{pulled}");
    let told = || {
        let list = bench.json(&["finding", "list", "--code", "TU1007", "--state", "open"]).exits(0).json();
        list["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["subject"]["agreement"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(), [50]);
    let ran = bench.json(&["apply", "--all"]).exits(1).json();
    assert_eq!(ran["summary"]["applied"], 1, "{ran}");
    let failed = bench.json(&["task", "list", "--state", "failed"]).exits(0).json();
    assert_eq!(
        (&failed["tasks"][0]["customer_id"], &failed["tasks"][0]["reason"]),
        (&json!("c-200"), &json!("TU1007")),
        "{failed}"
    );
    // The pull of what changed asks again as long as it is not understood.
    assert_eq!(bench.json(&["psa", "pull", "--changed"]).exits(1).json()["agreements_unread"], 1);
    seed(&json!(1.0));
    assert_eq!(bench.json(&["psa", "pull", "--changed"]).exits(0).json()["agreements_unread"], 0);
    assert!(told().len() == 1, "the task's own until it is tried again: {:?}", told());
    bench.json(&["apply", "--all"]).json();
    assert!(told().is_empty(), "{:?}", told());
}

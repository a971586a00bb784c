//! Organizations in the tree: what a move changes is told first, and what is inherited is changed where it stands.

use super::bench::Bench;
use serde_json::{Value, json};

/// Two partners below the first organization; the customer of one has a site.
fn tree() -> Bench {
    let bench = Bench::new("2023-03-20");
    for (id, parent) in [("north", "default"), ("south", "default"), ("clinic", "north"), ("ward", "clinic")]
    {
        bench.json(&["org", "add", id, "--parent", parent]).exits(0);
    }
    bench
}

fn set(bench: &Bench, org: &str, key: &str, value: &str) {
    bench.json(&["--org", org, "setting", "set", key, value]).exits(0);
}

fn value(bench: &Bench, org: &str, key: &str) -> (String, String) {
    let found = bench.json(&["--org", org, "setting", "get", key]).exits(0).json();
    (found["value"].as_str().unwrap().to_owned(), found["from"].as_str().unwrap().to_owned())
}

fn parent(bench: &Bench, org: &str) -> Value {
    let all = bench.json(&["org", "list"]).exits(0).json();
    let rows = all["organizations"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == org).unwrap()["parent"].clone()
}

#[test]
fn a_move_is_told_first_and_done_exactly_so() {
    let bench = tree();
    set(&bench, "north", "credits", "on");
    set(&bench, "ward", "schedule.sync", "hourly");
    let told = bench.run(&["org", "move", "clinic", "--parent", "south"]).exits(0).out;
    for words in ["2 organization(s) move.", "credits", "Nothing is moved yet: --token "] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let token = told.split("--token ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(parent(&bench, "clinic"), "north", "asking changes nothing");

    // What was shown is not so any more.
    set(&bench, "south", "margin_floor_percent", "5");
    let wish = ["org", "move", "clinic", "--parent", "south", "--token", &token];
    let refused = bench.json(&wish).exits(2);
    assert!(refused.err.contains("not what was shown"), "{refused:?}");
    assert_eq!(value(&bench, "ward", "credits"), ("on".into(), "organization:north".into()));

    let told = bench.json(&["org", "move", "clinic", "--parent", "south"]).exits(0).json();
    let keys: Vec<&str> =
        told["settings"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["credits", "margin_floor_percent"]);
    assert_eq!(told["pauses"], json!([{ "organization": "ward", "schedule": "sync" }]));
    let wish = ["org", "move", "clinic", "--parent", "south", "--token", told["token"].as_str().unwrap()];
    let done = bench.run(&wish).exits(0);
    assert!(done.out.contains("Moved organization clinic."), "{done:?}");
    assert_eq!((parent(&bench, "clinic"), parent(&bench, "ward")), (json!("south"), json!("clinic")));
    assert_eq!(value(&bench, "ward", "credits"), ("off".into(), "default".into()));
    assert_eq!(value(&bench, "ward", "margin_floor_percent"), ("5".into(), "organization:south".into()));

    // To the top; there nothing of the levels that were above holds.
    let told = bench.json(&["org", "move", "clinic", "--top"]).exits(0).json();
    bench.json(&["org", "move", "clinic", "--top", "--token", told["token"].as_str().unwrap()]).exits(0);
    assert_eq!(parent(&bench, "clinic"), Value::Null);
    assert_eq!(value(&bench, "ward", "margin_floor_percent").1, "default");
}

#[test]
fn what_makes_no_tree_is_not_moved() {
    let bench = tree();
    for (what, wish) in [
        ("below what is below it", &["org", "move", "north", "--parent", "ward"][..]),
        ("below itself", &["org", "move", "north", "--parent", "north"]),
        ("to where it is", &["org", "move", "clinic", "--parent", "north"]),
        ("below nobody", &["org", "move", "clinic", "--parent", "nowhere"]),
        ("who is not there", &["org", "move", "nobody", "--parent", "north"]),
        ("nowhere", &["org", "move", "clinic"]),
        ("to two places", &["org", "move", "clinic", "--parent", "south", "--top"]),
    ] {
        let refused = bench.json(wish).exits(2);
        assert!(!refused.err.is_empty(), "{what}: {refused:?}");
    }
    assert_eq!((parent(&bench, "north"), parent(&bench, "clinic")), (json!("default"), json!("north")));
}

#[test]
fn the_keys_of_a_connection_are_changed_where_it_stands() {
    let mut bench = Bench::new("2023-03-20");
    bench.connect("2023-03-01");
    bench.json(&["org", "add", "shop", "--parent", "default"]).exits(0);
    // Below it is used, and not changed: it would be a second one there, and the first kept its old keys.
    bench.json(&["--org", "shop", "connection", "test"]).exits(0);
    for named in [
        &["--org", "shop", "connection", "rotate"][..],
        &["--org", "shop", "connection", "rotate", "connectwise"],
    ] {
        let refused = bench.json(named).exits(2);
        assert!(refused.err.contains("default"), "it says where: {refused:?}");
    }
    let rotations = |org: &str| {
        let all = bench.json(&["--org", org, "audit", "list"]).exits(0).json();
        let entries = all["entries"].as_array().unwrap();
        entries.iter().filter(|entry| entry["action"] == "connection.rotate").count()
    };
    assert_eq!((rotations("shop"), rotations("default")), (0, 0));
    bench.json(&["connection", "rotate"]).exits(0);
    assert_eq!((rotations("shop"), rotations("default")), (0, 1));
    bench.json(&["--org", "shop", "connection", "test"]).exits(0);
    // One of its own by the same name takes the other's place there, and is its own to change.
    let access = bench.sandbox.as_ref().unwrap().access.clone();
    let of = |name: &str| access[name].as_str().unwrap();
    let mut own = vec!["--org", "shop", "connection", "add", "--url", of("url"), "--company", of("company")];
    own.extend(["--public-key", of("public_key"), "--client-id", of("client_id")]);
    bench.json(&own).exits(0);
    bench.json(&["--org", "shop", "connection", "rotate"]).exits(0);
    assert_eq!((rotations("shop"), rotations("default")), (1, 1));
}

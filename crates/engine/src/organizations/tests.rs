#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{MAX_DEPTH, Tree, foresee, reach};
use crate::records::OrganizationRow;
use crate::settings::Overlays;
use std::collections::BTreeMap;
use trueup_domain::ids::OrganizationId;

fn org(id: &str) -> OrganizationId {
    OrganizationId::from(id)
}

/// Two partners with customers, below an operator; one of the customers has sites.
fn tree() -> Tree {
    let rows: Vec<OrganizationRow> = [
        ("msp", None),
        ("north", Some("msp")),
        ("south", Some("msp")),
        ("clinic", Some("north")),
        ("ward", Some("clinic")),
        ("lab", Some("clinic")),
        ("school", Some("north")),
    ]
    .into_iter()
    .map(|(id, parent)| OrganizationRow {
        id: org(id),
        name: id.to_owned(),
        kind: "customer".to_owned(),
        parent: parent.map(org),
    })
    .collect();
    Tree::of(&rows)
}

fn set(tree: &mut Tree, id: &str, key: &str, value: &str) {
    tree.settings.entry(org(id)).or_default().insert(key.to_owned(), value.to_owned());
}

fn ids(all: &[OrganizationId]) -> Vec<&str> {
    all.iter().map(OrganizationId::as_str).collect()
}

#[test]
fn ax_09_a_value_reaches_those_that_inherit_and_none_that_override() {
    let mut tree = tree();
    assert_eq!(reach(&tree, &org("msp"), "schedule.quantity").inherit.len(), 6);
    set(&mut tree, "clinic", "schedule.quantity", "off");
    set(&mut tree, "ward", "schedule.quantity", "daily 03:00");
    set(&mut tree, "south", "schedule.pull", "off");
    let found = reach(&tree, &org("msp"), "schedule.quantity");
    assert_eq!(ids(&found.inherit), ["north", "south", "school"]);
    assert_eq!(found.own, [(org("clinic"), "off".to_owned())]);
    assert_eq!(found.apart, 2, "lab inherits from clinic, ward sets its own below it");
    assert_eq!(reach(&tree, &org("lab"), "schedule.quantity"), super::Reach::default());
    assert_eq!(reach(&tree, &org("nobody"), "schedule.quantity"), super::Reach::default());
}

#[test]
fn ax_11_what_is_inherited_otherwise_after_a_move_is_told_before() {
    let mut tree = tree();
    set(&mut tree, "msp", "credits", "on");
    set(&mut tree, "north", "line_mode", "dual");
    set(&mut tree, "south", "credits", "off");
    set(&mut tree, "lab", "credits", "on");
    tree.companies.insert(org("north"), "North".to_owned());
    tree.companies.insert(org("south"), "NORTH ".to_owned());
    let none = Overlays::default();
    let found = foresee(&tree, &org("clinic"), Some(&org("south")), &none).unwrap();
    assert_eq!(ids(&found.organizations), ["clinic", "lab", "ward"]);
    assert_eq!((ids(&found.left), ids(&found.joined)), (vec!["north"], vec!["south"]));
    let told: Vec<_> = found
        .settings
        .iter()
        .map(|one| {
            let (before, after) = (&one.before, &one.after);
            let levels = (before.level.describe(), after.level.describe());
            (before.key, before.value.as_str(), after.value.as_str(), levels, ids(&one.organizations))
        })
        .collect();
    let from = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let wanted = [
        ("credits", "on", "off", from("organization:msp", "organization:south"), vec!["clinic", "ward"]),
        (
            "line_mode",
            "dual",
            "prorate_line",
            from("organization:north", "default"),
            vec!["clinic", "lab", "ward"],
        ),
    ];
    let mut told = told;
    told.sort_unstable_by_key(|one| one.0);
    assert_eq!(told, wanted, "what lab sets itself stays");
    assert_eq!(found.companies, [], "it is the same company in other letters");

    // What stands over the tree changes with no move.
    let file = BTreeMap::from([("credits".to_owned(), "off".to_owned())]);
    let fixed = Overlays { environment: file, ..Overlays::default() };
    let found = foresee(&tree, &org("clinic"), Some(&org("south")), &fixed).unwrap();
    assert_eq!(found.settings.iter().map(|one| one.before.key).collect::<Vec<_>>(), ["line_mode"]);

    tree.companies.insert(org("south"), "South".to_owned());
    tree.companies.insert(org("ward"), "Ward".to_owned());
    let found = foresee(&tree, &org("clinic"), Some(&org("south")), &none).unwrap();
    let told: Vec<_> = found.companies.iter().map(|one| one.organization.as_str()).collect();
    assert_eq!(told, ["clinic", "lab"], "ward has a connection of its own");
    let found = foresee(&tree, &org("clinic"), None, &none).unwrap();
    assert_eq!(found.companies.iter().filter(|one| one.after.is_none()).count(), 2);
    assert_eq!((ids(&found.left), found.joined.len()), (vec!["north", "msp"], 0));
    assert_eq!(found.touched().len(), 3);
}

#[test]
fn nothing_comes_below_itself_where_it_is_or_too_deep() {
    let mut tree = tree();
    let none = Overlays::default();
    let refused = |tree: &Tree, id: &str, parent: Option<&str>| {
        foresee(tree, &org(id), parent.map(org).as_ref(), &none).unwrap_err().to_string()
    };
    assert_eq!(refused(&tree, "north", Some("north")), "organization north cannot be placed below itself");
    let loops = refused(&tree, "north", Some("ward"));
    assert_eq!(loops, "ward is below north: the two would be above each other");
    assert_eq!(refused(&tree, "north", Some("msp")), "organization north is below msp already");
    assert_eq!(refused(&tree, "msp", None), "organization msp is at the top already");
    let mut above = org("south");
    for level in 0..MAX_DEPTH - 4 {
        let next = org(&format!("deep-{level}"));
        tree.parents.insert(next.clone(), Some(above));
        above = next;
    }
    // Clinic and what is below it are two levels.
    assert!(foresee(&tree, &org("clinic"), Some(&above), &none).is_ok());
    let lowest = org("lowest");
    tree.parents.insert(lowest.clone(), Some(above));
    assert!(refused(&tree, "clinic", Some("lowest")).contains("more than 32 levels"));
}

//! The SimpleAPI of CloudBlue Commerce: one invented world.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::Decimal;
use trueup_domain::feed::{
    BillingModel, Charge, Contact, Customer, Order, OrderKind, Product, Record, Subscription,
};
use trueup_engine::ports::Refusal;
use trueup_sources::{ReadOptions, dialect};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialects/cloudblue-simpleapi")
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

fn canonical() -> Value {
    let text = std::fs::read_to_string(folder().parent().unwrap().join("canonical.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[derive(Default, PartialEq, Debug)]
struct World {
    customers: Vec<Customer>,
    contacts: Vec<Contact>,
    products: Vec<Product>,
    subscriptions: Vec<Subscription>,
    orders: Vec<Order>,
    refusals: Vec<Refusal>,
}

fn read(files: &[PathBuf]) -> World {
    let mut world = World::default();
    for item in dialect("cloudblue-simpleapi").unwrap().read(files, ReadOptions::default()) {
        match item {
            Ok(Record::Customer(r)) => world.customers.push(r),
            Ok(Record::Contact(r)) => world.contacts.push(r),
            Ok(Record::Product(r)) => world.products.push(r),
            Ok(Record::Subscription(r)) => world.subscriptions.push(r),
            Ok(Record::Order(r)) => world.orders.push(r),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => world.refusals.push(refusal),
        }
    }
    world
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().unwrap().parse().unwrap()
}

/// The names of the canonical world for the ids of this source.
fn names() -> BTreeMap<&'static str, &'static str> {
    [
        ("1000001", "c1"),
        ("1000002", "c2"),
        ("1000100", "s1"),
        ("1000101", "s2"),
        ("1000102", "s3"),
        ("1000103", "s4"),
    ]
    .into()
}

#[test]
fn the_world_comes_out_as_it_is() {
    let world = read(&files());
    assert_eq!(world.refusals, []);
    let canonical = canonical();
    let names = names();
    for (found, expected) in world.customers.iter().zip(canonical["customers"].as_array().unwrap()) {
        assert_eq!(names[found.id.as_str()], expected["source_id"]);
        assert_eq!(found.name, expected["name"].as_str().unwrap());
        assert_eq!(found.currency.unwrap().code(), expected["currency"]);
    }
    assert_eq!(world.contacts.len(), 3);
    for expected in canonical["contacts"].as_array().unwrap() {
        let found = world.contacts.iter().find(|c| c.email.as_deref() == expected["email"].as_str()).unwrap();
        assert_eq!(names[found.customer.as_str()], expected["customer"]);
        assert_eq!(found.role.as_deref(), expected["role"].as_str());
        assert_eq!(found.phone.as_deref(), expected["phone"].as_str());
        assert_eq!(found.primary, expected["primary"].as_bool());
    }
    for expected in canonical["products"].as_array().unwrap() {
        let found =
            world.products.iter().find(|p| p.id.as_str() == expected["sku"].as_str().unwrap()).unwrap();
        assert_eq!(found.unit_price.unwrap().to_string(), expected["unit_price"]);
        assert_eq!(found.unit_cost.unwrap().to_string(), expected["unit_cost"]);
        assert_eq!(found.currency, None);
    }
}

#[test]
fn subscriptions_have_the_canonical_quantities() {
    let world = read(&files());
    let canonical = canonical();
    for (found, expected) in world.subscriptions.iter().zip(canonical["subscriptions"].as_array().unwrap()) {
        assert_eq!(names()[found.id.as_str()], expected["source_id"]);
        assert_eq!(found.items[0].quantity.to_string(), expected["quantity"]);
        assert_eq!(found.items[0].product.as_str(), expected["sku"]);
        assert_eq!(found.items[0].unit_price.unwrap().to_string(), expected["unit_price"]);
        assert_eq!(found.items[0].unit_cost.unwrap().to_string(), expected["unit_cost"]);
        assert_eq!(serde_json::to_value(found.status).unwrap(), expected["status"]);
        assert_eq!(found.currency.code(), expected["currency"]);
        assert_eq!(found.start.to_string(), expected["created"]);
        if let Some(end) = expected["term_end"].as_str() {
            let term = found.term.unwrap();
            assert_eq!(term.start.to_string(), expected["term_start"]);
            assert_eq!(term.end.unwrap().yesterday().unwrap().to_string(), end);
        }
    }
    let s4 = &world.subscriptions[3];
    assert_eq!(
        (s4.end.unwrap().to_string().as_str(), s4.cancelled_on.unwrap().to_string().as_str()),
        ("2025-06-01", "2025-05-31")
    );
    assert_eq!(world.subscriptions[1].billing_model, BillingModel::Arrears);
}

#[test]
fn orders_have_the_canonical_steps_and_amounts() {
    let world = read(&files());
    let canonical = canonical();
    assert_eq!(world.orders.len(), 11);
    let mut steps = Vec::new();
    for expected in canonical["orders"].as_array().unwrap() {
        let id = expected["source_id"].as_str().unwrap();
        let found = world.orders.iter().find(|o| o.id.as_str() == id).unwrap();
        assert_eq!(found.number.as_deref(), expected["number"].as_str());
        assert_eq!(found.kind.name(), expected["type"]);
        assert_eq!(names()[found.subscription.as_str()], expected["subscription"]);
        assert_eq!(found.status, expected["status"].as_str().unwrap());
        assert_eq!(found.created_at.as_deref(), expected["created_at"].as_str());
        if let Some(at) = expected["effective_at"].as_str() {
            assert_eq!(found.completed_at, at);
            assert_eq!(found.effective.to_string(), &at[..10]);
        }
        assert!(found.period.contains(found.effective) || found.kind == OrderKind::Billing);
        let sum: Decimal = found.lines.iter().filter_map(|l| l.amount).map(|a| a.decimal()).sum();
        assert_eq!(sum, decimal(&expected["total"]), "{id}");
        if found.kind == OrderKind::Change {
            let line = &found.lines[0];
            assert_eq!((line.charge, found.lines.len()), (Charge::Recurring, 1));
            assert_eq!(line.old_quantity.unwrap().decimal(), decimal(&expected["old_quantity"]), "{id}");
            assert_eq!(line.new_quantity.unwrap().decimal(), decimal(&expected["new_quantity"]), "{id}");
            assert_eq!(line.quantity, line.new_quantity.unwrap().minus(line.old_quantity.unwrap()).unwrap());
            assert_eq!(line.unit_price.unwrap().to_string(), expected["lines"][0]["unit_price"]);
            if found.is_completed() {
                steps.push((
                    found.completed_at.clone(),
                    line.old_quantity.unwrap().display(),
                    line.new_quantity.unwrap().display(),
                ));
            }
        } else if found.kind != OrderKind::Renewal {
            for (line, expected) in found.lines.iter().zip(expected["lines"].as_array().unwrap()) {
                assert_eq!(line.quantity.decimal(), decimal(&expected["quantity"]));
                assert_eq!(line.unit_price.unwrap().to_string(), expected["unit_price"]);
                assert_eq!(line.amount.unwrap().to_string(), expected["amount"]);
            }
        }
    }
    let events: Vec<(String, String, String)> = canonical["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["new_quantity"] != "0")
        .map(|e| {
            ["at", "old_quantity", "new_quantity"].map(|name| e[name].as_str().unwrap().to_owned()).into()
        })
        .collect();
    assert_eq!(steps, events);
}

#[test]
fn periods_follow_the_rules() {
    let world = read(&files());
    let order = |id: &str| world.orders.iter().find(|o| o.id.as_str() == id).unwrap();
    let period = |id: &str| order(id).period.to_string();
    assert_eq!(period("900001"), "2024-01-01 to 2024-01-31");
    assert_eq!(period("900010"), "2025-07-01 to 2025-07-31");
    assert_eq!(period("900011"), "2025-06-01 to 2025-06-30");
    assert_eq!(period("900006"), "2025-03-01 to 2025-03-31");
    let cancellation = order("900007");
    assert_eq!(cancellation.period.to_string(), "2025-05-01 to 2025-05-31");
    assert_eq!(cancellation.lines[0].charge, Charge::Refund);
    assert_eq!(cancellation.lines[0].period.unwrap().to_string(), "2025-06-01 to 2025-06-30");
    assert_eq!(cancellation.lines[0].unit_cost.unwrap().to_string(), "9.375");
    assert_eq!((cancellation.lines[1].charge, cancellation.lines[1].period), (Charge::Cancellation, None));
    assert_eq!(order("900011").lines[1].unit_cost.unwrap().to_string(), "0.03825");
    assert!(order("900003").lines.is_empty());
    let waiting = order("900009");
    assert_eq!(
        (waiting.status.as_str(), waiting.lines[0].old_quantity.unwrap().display()),
        ("processing", "40".into())
    );
}

#[test]
fn the_order_of_the_files_does_not_matter() {
    let mut reversed = files();
    reversed.reverse();
    assert_eq!(read(&reversed), read(&files()));
}

#[test]
fn lists_alone_are_reported() {
    let only = |keep: &dyn Fn(&str) -> bool| {
        let kept: Vec<PathBuf> =
            files().into_iter().filter(|f| keep(f.file_name().unwrap().to_str().unwrap())).collect();
        read(&kept)
    };
    let world = only(&|name| name != "order.900008.json" && name != "subscription.1000101.json");
    let told: Vec<&str> = world.refusals.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(world.refusals.len(), 2, "{told:?}");
    assert!(told[0].contains("GET /orders/900008") && told[1].contains("GET /subscriptions/1000101"));
    assert!(world.refusals.iter().all(|r| !r.warning && r.code == "TU8002"));

    let world = only(&|name| name != "orders.o10.json" && name != "order.900011.json");
    assert!(world.refusals[0].warning && world.refusals[0].reason.contains("10 of 11 orders"));
}

#[test]
fn an_unknown_past_is_told_by_the_charge() {
    let world = read(&[folder().join("order.900005.json"), folder().join("subscription.1000103.json")]);
    let line = &world.orders[0].lines[0];
    assert_eq!((line.old_quantity.unwrap().display(), line.quantity.display()), ("8".into(), "-3".into()));
    assert_eq!(line.amount.unwrap().to_string(), "-25.45");
}

fn changed(name: &str, change: impl Fn(&mut Value)) -> (tempfile::TempDir, PathBuf) {
    let mut value: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap();
    change(&mut value);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, value.to_string()).unwrap();
    (dir, file)
}

#[test]
fn a_change_of_three_charges_is_netted_by_its_parts() {
    let (_dir, file) = changed("order.900008.json", |order| {
        let mut refund = order["details"][0].clone();
        refund["type"] = "recurringRefund".into();
        refund["quantity"] = 10.into();
        refund["extendedPrice"]["amount"] = "125.00".into();
        let mut old = order["details"][0].clone();
        old["quantity"] = 10.into();
        old["extendedPrice"]["amount"] = "41.67".into();
        order["details"][0]["quantity"] = 12.into();
        order["details"][0]["extendedPrice"]["amount"] = "100.00".into();
        order["details"].as_array_mut().unwrap().extend([refund, old]);
    });
    let world = read(&[file, folder().join("order.900001.json")]);
    let order = world.orders.iter().find(|o| o.id.as_str() == "900008").unwrap();
    let charges: Vec<Charge> = order.lines.iter().map(|l| l.charge).collect();
    assert_eq!(charges, [Charge::Recurring, Charge::Prorate, Charge::Refund, Charge::Prorate]);
    let net: Decimal = order.lines.iter().filter_map(|l| l.amount).map(|a| a.decimal()).sum();
    assert_eq!(net.to_string(), "16.67");
    assert_eq!(order.lines[0].amount, None);
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for (name, field, change) in [
        ("order.900001.json", "details[0].type", "/details/0/type"),
        ("order.900001.json", "type", "/type"),
        ("order.900001.json", "details[1].extendedPrice.amount", "/details/1/extendedPrice/amount"),
        ("order.900001.json", "provisioningDate", "/provisioningDate"),
        ("subscription.1000100.json", "status", "/status"),
        ("subscription.1000100.json", "billingPeriod.type", "/billingPeriod/type"),
        ("subscription.1000100.json", "products[0].quantity", "/products/0/quantity"),
    ] {
        let (_dir, file) =
            changed(name, |value| *value.pointer_mut(change).unwrap() = "statement_day".into());
        let world = read(&[file]);
        assert_eq!(world.refusals.len(), 1, "{change}");
        assert_eq!(world.refusals[0].field.as_deref(), Some(field));
        assert!(world.orders.is_empty() && world.subscriptions.is_empty());
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("a", "{\"x\":1}"), ("b", "[["), ("c", "\u{0}"), ("d", "5")] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        assert_eq!(read(&[file]).refusals.len(), 1, "{name}");
    }
}

/// The first order with a second product, of a subscription of its own.
fn about_two(mpn: &str, charges: &[&str]) -> World {
    let (_dir, file) = changed("order.900001.json", |order| {
        let mut product = order["products"][0].clone();
        product["mpn"] = mpn.into();
        product["subscriptionId"] = "1000999".into();
        order["products"].as_array_mut().unwrap().push(product);
        for charge in charges {
            let mut detail = order["details"][1].clone();
            detail["mpn"] = (*charge).into();
            order["details"].as_array_mut().unwrap().push(detail);
        }
    });
    read(&[file])
}

#[test]
fn a_charge_of_an_order_about_two_subscriptions_goes_to_exactly_one() {
    let world = about_two("OTHER", &["OTHER"]);
    assert_eq!(world.refusals, []);
    let lines: Vec<(&str, usize)> = world.orders.iter().map(|o| (o.id.as_str(), o.lines.len())).collect();
    assert_eq!(lines, [("900001:1000100", 2), ("900001:1000999", 1)]);
    let sum: Decimal =
        world.orders.iter().flat_map(|o| &o.lines).filter_map(|l| l.amount).map(|a| a.decimal()).sum();
    assert_eq!(sum.to_string(), "162.10", "25.00 + 68.55 + 68.55");
}

#[test]
fn a_charge_that_could_be_of_two_subscriptions_or_of_none_refuses_its_order() {
    // The same product for both, and a fee that is no product of either.
    for (mpn, charges, field) in
        [("MAIL-BIZ-STD", &[][..], "details[0].mpn"), ("OTHER", &["HANDLING"][..], "details[2].mpn")]
    {
        let world = about_two(mpn, charges);
        assert!(world.orders.is_empty(), "{mpn}: {:?}", world.orders);
        let said: Vec<_> = world.refusals.iter().map(|r| (r.code.as_str(), r.field.as_deref())).collect();
        assert_eq!(said, [("TU8004", Some(field))], "{:?}", world.refusals);
    }
    let (_dir, file) = changed("order.900001.json", |order| {
        let products = order["products"].as_array_mut().unwrap();
        for subscription in [Value::Null, "1000998".into(), "1000999".into()] {
            let mut product = products[0].clone();
            product["mpn"] = format!("P-{subscription}").into();
            product["subscriptionId"] = subscription;
            products.push(product);
        }
    });
    let world = read(&[file]);
    assert!(world.orders.is_empty());
    assert_eq!(world.refusals[0].field.as_deref(), Some("products[1].subscriptionId"));
}

#[test]
fn billing_that_is_not_supported_is_said_by_the_subscription_and_its_orders() {
    let word = |order: &Order, field: &str| order.ext.0.get(field).map(|raw| raw.get().to_owned());
    // Said by the order alone, and by the subscription alone.
    let (_dir, order) =
        changed("order.900001.json", |o| o["billingModel"] = "chargeBeforeSubscriptionPeriod".into());
    let world = read(&[order]);
    assert_eq!(word(&world.orders[0], "billing_charge").as_deref(), Some("\"before_subscription_period\""));
    let (_dir, ahead) =
        changed("subscription.1000100.json", |s| s["billingModel"] = "chargeBeforeSubscriptionPeriod".into());
    let world = read(&[ahead, folder().join("order.900001.json")]);
    assert!(world.subscriptions[0].ext.0.contains_key("billing_charge"));
    assert!(word(&world.orders[0], "billing_charge").is_some());
    // A subscription that is refused for its cycle tells its orders so.
    let (_dir, aligned) =
        changed("subscription.1000100.json", |s| s["billingPeriod"]["type"] = "statement_day".into());
    let world = read(&[aligned, folder().join("order.900001.json")]);
    assert!(world.subscriptions.is_empty() && world.refusals.len() == 1);
    assert_eq!(word(&world.orders[0], "billing_alignment").as_deref(), Some("\"statement_day\""));
    // All others say nothing of the kind.
    assert!(read(&files()).orders.iter().all(|o| !o.ext.0.keys().any(|key| key.starts_with("billing_"))));
}

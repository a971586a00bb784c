//! Quantities: what people set comes with its level, an entry takes the place of the one about the same, and a line is kept
//! as the last run saw it.

use crate::support::rows::{entry, org, source};
use crate::support::{Backend, Fixture};
use jiff::civil::date;
use rstest::rstest;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId};
use trueup_domain::quantity::chain::{Chain, Rule, Step};
use trueup_domain::quantity::config::ServiceTarget;
use trueup_domain::quantity::{Entry, Line, Pick, Verdict};
use trueup_engine::ports::Store;
use trueup_engine::records::OrganizationRow;

fn service(name: &str, customer: Option<&str>, item: i64) -> Entry {
    let target = ServiceTarget::Item {
        id: CatalogItemId(item),
        identifier: format!("ITEM-{item}"),
        tenant: "here".to_owned(),
    };
    Entry::Service { service: name.into(), customer: customer.map(Into::into), target }
}

fn line(agreement: i64, item: i64, quantity: &str) -> Line {
    Line {
        source: source(),
        customer: "c-1".into(),
        agreement: AgreementId(agreement),
        item: CatalogItemId(item),
        services: vec!["mbx".into()],
        addition: Some(AdditionId(900)),
        observed: Some("12345678901.123456".parse().unwrap()),
        chain: Some(Chain {
            steps: vec![Step {
                step: "count".to_owned(),
                text: format!("{quantity} boxes"),
                value: quantity.to_owned(),
            }],
            quantity: quantity.parse().unwrap(),
        }),
        verdict: Verdict::Held,
        why: "it falls".to_owned(),
        code: Some(Code::Tu5002),
        as_of: Some("2023-03-10T01:00:00Z".to_owned()),
        told: Vec::new(),
        zero_since: Some(date(2023, 3, 9)),
    }
}

#[rstest]
#[tokio::test]
async fn what_people_set_about_quantities_comes_with_its_level(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, top, below, other) = (&fixture.store, org("top"), org("below"), org("other"));
    for (id, parent) in [(&top, None), (&below, Some(&top)), (&other, None)] {
        let row = OrganizationRow {
            id: id.clone(),
            parent: parent.cloned(),
            name: id.to_string(),
            kind: "partner".to_owned(),
        };
        store.add_organization(&row).await.unwrap();
    }
    let audit = [entry("quantity.assign", None)];
    let rule = Entry::Product {
        identifier: "EXO-P1".to_owned(),
        item: CatalogItemId(7),
        customer: None,
        rule: Rule { add_up: true, included: "2.5".parse().unwrap(), ..Rule::default() },
    };
    let above = [service("mbx", None, 7), service("mbx", Some("c-1"), 8), rule.clone()];
    store.save_quantity_entries(&top, &source(), &above, &[], &audit).await.unwrap();
    // Of two about the same in one batch the last counts.
    let own = [service("mbx", None, 1), service("mbx", None, 9)];
    store.save_quantity_entries(&below, &source(), &own, &[], &audit).await.unwrap();

    let of = async |org| -> Vec<(String, Entry)> {
        let levels = store.list_quantity_entries(org).await.unwrap();
        levels.into_iter().map(|level| (level.from.to_string(), level.entry)).collect()
    };
    let top_rows: Vec<(String, Entry)> =
        [rule, service("mbx", None, 7), service("mbx", Some("c-1"), 8)].map(|e| ("top".to_owned(), e)).into();
    assert_eq!(of(&top).await, top_rows);
    let mut expected = vec![("below".to_owned(), service("mbx", None, 9))];
    expected.extend(top_rows);
    assert_eq!(of(&below).await, expected, "the nearest level comes first");
    assert!(of(&other).await.is_empty());

    // A change and a removal are one transaction, with what is audited.
    let pick =
        Entry::Line { customer: "c-1".into(), item: CatalogItemId(7), pick: Pick::Create { known: 2 } };
    let gone = [service("mbx", None, 9).key()];
    store.save_quantity_entries(&below, &source(), std::slice::from_ref(&pick), &gone, &audit).await.unwrap();
    assert_eq!(of(&below).await[0], ("below".to_owned(), pick));
    assert_eq!(of(&below).await.len(), 4);
    // The same name of another source is something else.
    store
        .save_quantity_entries(&below, &"second".into(), &[service("mbx", None, 3)], &[], &audit)
        .await
        .unwrap();
    assert_eq!(of(&below).await.len(), 5);
    assert_eq!(store.verify_audit(&below).await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_line_is_kept_as_the_last_run_saw_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(fixture) = Fixture::new(backend).await else { return };
    let (store, a, b) = (&fixture.store, org("a"), org("b"));
    let lines = [line(41, 7, "5"), line(40, 8, "0.000001"), line(40, 7, "98765432109.654321")];
    store.save_quantity_lines(&a, &lines).await.unwrap();
    let kept = store.list_quantity_lines(&a).await.unwrap();
    assert_eq!(kept, [lines[2].clone(), lines[1].clone(), lines[0].clone()], "by agreement and item, exact");
    let newer = Line {
        chain: None,
        verdict: Verdict::Refused,
        code: None,
        told: Vec::new(),
        zero_since: None,
        addition: None,
        ..line(40, 7, "1")
    };
    // Of two of the same line in one batch the last counts.
    store.save_quantity_lines(&a, &[line(40, 7, "3"), newer.clone()]).await.unwrap();
    store.save_quantity_lines(&a, &[]).await.unwrap();
    let key = newer.key();
    assert_eq!(store.find_quantity_line(&a, key).await.unwrap(), Some(newer));
    assert_eq!(store.list_quantity_lines(&a).await.unwrap().len(), 3);
    assert_eq!(store.find_quantity_line(&a, (AgreementId(40), CatalogItemId(9))).await.unwrap(), None);
    assert_eq!(store.find_quantity_line(&b, key).await.unwrap(), None);
    assert!(store.list_quantity_lines(&b).await.unwrap().is_empty());
}

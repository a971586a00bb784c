//! Sources that only count: Mailprotector's users, Anchor's accounts and storage. The invented world comes out as
//! `canonical.json` says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use trueup_domain::feed::Record;
use trueup_engine::ports::Refusal;
use trueup_sources::{ReadOptions, dialect};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialects").join(name)
}

fn read(name: &str, files: &[PathBuf]) -> (Vec<Record>, Vec<Refusal>) {
    let as_of = Some("2025-06-30T02:00:00Z".parse().unwrap());
    let options = ReadOptions { as_of, ..ReadOptions::default() };
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    for item in dialect(name).unwrap().read(files, options) {
        match item {
            Ok(record) => records.push(record),
            Err(refusal) => refused.push(refusal),
        }
    }
    (records, refused)
}

/// Levels by customer and service.
fn levels(records: &[Record]) -> BTreeMap<(String, String), String> {
    let counters = records.iter().filter_map(|record| match record {
        Record::Counter(c) => Some(((c.customer.to_string(), c.product.to_string()), c.value.display())),
        _ => None,
    });
    counters.collect()
}

fn written(dir: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const DOMAINS: &str =
    r#"[{"id": 1, "name": "alder.example", "customer": {"id": 1, "name": "Alder Dental Ltd"}}]"#;

fn level(of: &str, service: &str, value: &str) -> ((String, String), String) {
    ((of.to_owned(), service.to_owned()), value.to_owned())
}

#[test]
fn mp_35_users_are_counted_and_aliases_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut files: Vec<PathBuf> = ["customers.json", "users.domain1.json", "users.domain1.headers"]
        .map(|name| data("mailprotector").join(name))
        .to_vec();
    files.push(written(&dir, "domains.json", DOMAINS));
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(refused, []);
    assert_eq!(levels(&records), BTreeMap::from([level("1", "Default", "12")]));
    let customers = records.iter().filter(|record| matches!(record, Record::Customer(_))).count();
    assert_eq!(customers, 2);
}

#[test]
fn mp_33_a_list_that_is_not_whole_counts_nothing_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let user = |id: u32, domain: u32| {
        format!(
            r#"{{"id":{id},"name":"u{id}","user_type":{{"name":"Standard"}},"parent":null,
            "domain":{{"id":{domain},"name":"d{domain}.example"}},"user_group":{{"id":1,"name":"Bracket"}}}}"#
        )
    };
    let list = |ids: std::ops::Range<u32>, domain: u32| {
        format!("[{}]", ids.map(|id| user(id, domain)).collect::<Vec<_>>().join(","))
    };
    let header = |total: u32| format!("X-Pagination: {{\"total\":{total},\"per_page\":25,\"page\":1}}\n");
    let domains = r#"[{"id":1,"name":"d1.example","customer":{"id":1,"name":"One"}},
        {"id":2,"name":"d2.example","customer":{"id":2,"name":"Two"}},
        {"id":3,"name":"d3.example","customer":{"id":3,"name":"Three"}},
        {"id":4,"name":"d4.example","customer":{"id":3,"name":"Three"}}]"#;
    let files = [
        written(&dir, "domains.json", domains),
        // Two of three pages.
        written(&dir, "users.d1.p1.json", &list(0..25, 1)),
        written(&dir, "users.d1.p2.json", &list(25..50, 1)),
        written(&dir, "users.d1.p1.headers", &header(60)),
        written(&dir, "users.d2.json", &list(100..110, 2)),
        written(&dir, "users.d2.headers", &header(10)),
        // One of the customer's two domains.
        written(&dir, "users.d3.json", &list(200..205, 3)),
    ];
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(levels(&records), BTreeMap::from([level("2", "Bracket", "10")]));
    let codes: Vec<&str> = refused.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(codes, ["TU8002", "TU8002"], "{refused:?}");

    // With the page that was missing, and the other domain, everybody is counted.
    let mut files = files.to_vec();
    files.push(written(&dir, "users.d1.p3.json", &list(50..60, 1)));
    files.push(written(&dir, "users.d4.json", &list(300..301, 4)));
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(refused, []);
    let all = [level("1", "Bracket", "60"), level("2", "Bracket", "10"), level("3", "Bracket", "6")];
    assert_eq!(levels(&records), BTreeMap::from(all));
}

#[test]
fn mp_34_an_answer_that_says_an_error_counts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        written(&dir, "domains.json", DOMAINS),
        written(&dir, "users.domain1.json", r#"{"error": "The access token expired"}"#),
    ];
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(levels(&records), BTreeMap::new());
    let codes: Vec<&str> = refused.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(codes, ["TU8004", "TU8002"], "{refused:?}");
}

#[test]
fn mp_30_a_list_without_a_user_is_one_of_none_where_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let none = "X-Pagination: {\"total\":0,\"per_page\":25,\"page\":1}\n";
    let user = r#"[{"id":1,"name":"u","user_type":{"name":"Standard"},"domain":{"id":1,"name":"alder.example"},
        "user_group":{"name":"Bracket"}}]"#;
    let domains = r#"[{"id":1,"name":"alder.example","customer":{"id":1,"name":"One"}},
        {"id":2,"name":"parked.example","customer":{"id":1,"name":"One"}},
        {"id":3,"name":"birch.example","customer":{"id":2,"name":"Two"}}]"#;
    let mut files = vec![
        written(&dir, "domains.json", domains),
        written(&dir, "users.domain1.json", user),
        written(&dir, "users.domain2.json", "[]"),
        written(&dir, "users.domain2.headers", none),
        written(&dir, "users.birch.example.json", "[]"),
    ];
    // Nothing says that the list of the third domain is whole.
    let (records, refused) = read("mailprotector", &files);
    let said: Vec<&str> = refused.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(said, ["TU8002", "TU8002"], "{refused:?}");
    assert_eq!(levels(&records), BTreeMap::from([level("1", "Bracket", "1")]));
    files.push(written(&dir, "users.birch.example.headers", none));
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(refused, []);
    assert_eq!(levels(&records), BTreeMap::from([level("1", "Bracket", "1"), level("2", "Bracket", "0")]));

    // The last user of a group is gone: the list of groups still names it.
    files.push(written(&dir, "user_groups.json", r#"[{"id":1,"name":"Bracket"}]"#));
    written(&dir, "users.domain1.json", "[]");
    files.push(written(&dir, "users.domain1.headers", none));
    let (records, refused) = read("mailprotector", &files);
    assert_eq!(refused, []);
    assert_eq!(levels(&records), BTreeMap::from([level("1", "Bracket", "0"), level("2", "Bracket", "0")]));

    // One that says of no domain whose it is, and one that lacks what it says to have.
    written(&dir, "users.birch.example.headers", &none.replace(":0", ":4"));
    files.extend([written(&dir, "users.json", "[]"), written(&dir, "users.headers", none)]);
    let (_, refused) = read("mailprotector", &files);
    let said: Vec<&str> = refused.iter().map(|refusal| refusal.code.as_str()).collect();
    assert_eq!(said, ["TU8002", "TU8002", "TU8002"], "{refused:?}");
}

#[test]
fn ax_35_an_organization_without_a_person_counts_none() {
    let dir = tempfile::tempdir().unwrap();
    let none = r#"{"results":[],"total":0}"#;
    let (records, refused) = read("anchor", &[written(&dir, "persons.101.json", none)]);
    assert_eq!(refused, []);
    assert_eq!(
        levels(&records),
        BTreeMap::from([level("101", "accounts", "0"), level("101", "storage", "0")])
    );
    // A total that is missing, or that is not reached, says that nothing was read.
    for text in [r#"{"results":[]}"#, r#"{"results":[],"total":3}"#] {
        let (records, _) = read("anchor", &[written(&dir, "persons.101.json", text)]);
        assert_eq!(levels(&records), BTreeMap::new(), "{text}");
    }
}

#[test]
fn a_full_page_without_headers_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let users: Vec<String> = (0..25)
        .map(|id| {
            format!(
                r#"{{"id":{id},"name":"u","user_type":{{"name":"Standard"}},"domain":{{"id":1,"name":"d"}},"user_group":{{"name":"G"}}}}"#
            )
        })
        .collect();
    let files = [
        written(&dir, "domains.json", DOMAINS),
        written(&dir, "users.json", &format!("[{}]", users.join(","))),
    ];
    let (records, refused) = read("mailprotector", &files);
    assert_eq!((levels(&records).len(), refused.len()), (0, 1), "{refused:?}");
    assert_eq!(refused[0].code, "TU8002");
}

#[test]
fn ax_38_accounts_storage_and_file_servers_are_each_organizations_own() {
    let names =
        ["organizations.json", "persons.101.json", "persons.102.json", "persons.103.json", "activity.json"];
    let (records, refused) = read("anchor", &names.map(|name| data("anchor").join(name)));
    let said: Vec<(&str, bool)> = refused.iter().map(|r| (r.code.as_str(), r.warning)).collect();
    assert_eq!(said, [("TU8002", true)], "the top organization has no list of persons: {refused:?}");
    let canonical: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(data("canonical.json")).unwrap()).unwrap();
    let mut expected = BTreeMap::from([level("100", "file-server", "0")]);
    for (organization, counts) in canonical["counters"]["anchor"].as_object().unwrap() {
        expected.extend([
            level(organization, "accounts", &counts["accounts"].to_string()),
            level(organization, "storage", &counts["bytes"].to_string()),
            level(organization, "file-server", if counts["file_server"] == true { "1" } else { "0" }),
        ]);
    }
    assert_eq!(levels(&records), expected);
    let parents: BTreeMap<String, Option<String>> = records
        .iter()
        .filter_map(|record| match record {
            Record::Customer(c) => Some((c.id.to_string(), c.parent.as_ref().map(ToString::to_string))),
            _ => None,
        })
        .collect();
    assert_eq!(parents["103"].as_deref(), Some("102"));
    let alerts: Vec<(&str, Option<&str>, &str)> = records
        .iter()
        .filter_map(|record| match record {
            Record::Alert(a) => Some((a.id.as_str(), a.key.as_deref(), a.at.as_str())),
            _ => None,
        })
        .collect();
    let wanted: Vec<(&str, Option<&str>, &str)> = canonical["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["source_id"].as_str().unwrap(), a["dedupe_key"].as_str(), a["at"].as_str().unwrap()))
        .collect();
    assert_eq!(alerts, wanted);
}

#[test]
fn ax_45_persons_that_were_not_read_whole_are_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let persons = r#"{"results":[{"type":"person","id":1,"company_id":5,"space_usage":10}],"total":101}"#;
    let (records, refused) = read("anchor", &[written(&dir, "persons.json", persons)]);
    assert_eq!(levels(&records), BTreeMap::new());
    assert_eq!(refused[0].code, "TU8002");
    let empty = written(&dir, "none.json", r#"{"error": "rate limit"}"#);
    let (records, refused) = read("anchor", &[empty]);
    assert_eq!((records.len(), refused[0].code.as_str()), (0, "TU8004"));
}

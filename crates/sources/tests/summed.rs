//! Usage that is added up while it is read comes to what the lines come to one by one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use trueup_domain::feed::{Record, RecordKind, UsageRecord};
use trueup_domain::money::Quantity;
use trueup_domain::quantity::reading::sum;
use trueup_engine::feed::decimal;
use trueup_engine::ports::Refusal;
use trueup_sources::{FeedFormat, FeedOptions, UsageSums, read_feed, sum_usage};

/// Month, whose, of what, unit, currency.
type Key = (String, Option<String>, Option<String>, String, Option<String>, Option<String>);

/// Quantity, lines, estimates, amount, cost.
type Came = (String, u64, u64, Option<String>, Option<String>);

struct Both {
    dir: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Both {
    fn of(texts: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = texts.iter().map(|(name, _)| dir.path().join(name)).collect();
        for (name, text) in texts {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self { dir, files }
    }

    fn summed(&self) -> UsageSums {
        let _ = &self.dir;
        sum_usage(&self.files, true).unwrap()
    }

    /// What the lines come to one by one, as the store keeps them and a run reads them; and what is refused.
    fn one_by_one(&self) -> (BTreeMap<Key, Came>, Vec<Refusal>) {
        let mut kept: BTreeMap<String, UsageRecord> = BTreeMap::new();
        let mut refused = Vec::new();
        for file in &self.files {
            let options = FeedOptions {
                file_name: file.display().to_string(),
                kind: Some(RecordKind::Usage),
                format: FeedFormat::Auto,
                path: None,
            };
            let bytes = std::fs::read(file).unwrap();
            for found in read_feed(bytes.as_slice(), options) {
                match found {
                    Ok(Record::Usage(usage)) => {
                        kept.insert(usage.id.clone(), usage);
                    }
                    Ok(_) => {}
                    Err(refusal) => refused.push(refusal),
                }
            }
        }
        let replaced: BTreeSet<String> = kept.values().filter_map(|usage| usage.replaces.clone()).collect();
        let mut by_key: BTreeMap<Key, Vec<UsageRecord>> = BTreeMap::new();
        for usage in kept.into_values().filter(|usage| !replaced.contains(&usage.id)) {
            by_key.entry(key(&usage)).or_default().push(usage);
        }
        let came = by_key.into_iter().map(|(key, records)| {
            let used = sum(&records, &BTreeSet::new()).unwrap();
            let worth =
                |given: fn(&UsageRecord) -> Option<trueup_domain::money::Money>,
                 price: fn(&UsageRecord) -> Option<trueup_domain::money::Money>| {
                    let values: Vec<_> = records
                        .iter()
                        .filter_map(|usage| match (given(usage), price(usage)) {
                            (Some(amount), _) => Some(amount.exact()),
                            (None, Some(price)) => Some(price.exact().times(usage.quantity.exact()).unwrap()),
                            (None, None) => None,
                        })
                        .collect();
                    let all =
                        values.iter().try_fold(trueup_domain::money::Exact::ZERO, |all, one| all.plus(*one));
                    (!values.is_empty()).then(|| decimal(all.unwrap()).to_string())
                };
            let amount = worth(|usage| usage.amount, |usage| usage.unit_price);
            let cost = worth(|usage| usage.cost_amount, |usage| usage.unit_cost);
            (key, (plain(used.sum), used.records as u64, used.estimates as u64, amount, cost))
        });
        (came.collect(), refused)
    }
}

fn plain(quantity: Quantity) -> String {
    decimal(quantity.exact()).to_string()
}

fn key(usage: &UsageRecord) -> Key {
    (
        usage.start[..7].to_owned(),
        usage.subscription.as_ref().map(ToString::to_string),
        usage.customer.as_ref().map(ToString::to_string),
        usage.product.to_string(),
        usage.unit.clone(),
        usage.currency.map(|currency| currency.to_string()),
    )
}

fn records(sums: UsageSums, part: &str) -> (Vec<UsageRecord>, Vec<Refusal>) {
    let (mut records, mut refused) = (Vec::new(), Vec::new());
    for found in sums.into_records(part) {
        match found {
            Ok(Record::Usage(usage)) => records.push(usage),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => refused.push(refusal),
        }
    }
    // Which sum comes first says nothing.
    records.sort_by(|one, other| one.start.cmp(&other.start));
    (records, refused)
}

fn came(records: &[UsageRecord]) -> BTreeMap<Key, Came> {
    let came = records.iter().map(|usage| {
        let lines = usage.summed.as_ref().unwrap();
        let text = |money: Option<trueup_domain::money::Money>| money.map(|money| money.to_string());
        let figures = (text(usage.amount), text(usage.cost_amount));
        (key(usage), (plain(usage.quantity), lines.lines, lines.estimates, figures.0, figures.1))
    });
    came.collect()
}

fn told(refusals: &[Refusal]) -> Vec<(String, u64, Option<String>, String, String)> {
    let told = refusals.iter().filter(|refusal| !refusal.warning);
    told.map(|r| (r.file.clone(), r.line, r.field.clone(), r.code.clone(), r.reason.clone())).collect()
}

const HEADER: &str = "id,subscription,customer,product,quantity,unit,unit_price,unit_cost,amount,currency,start,end,status,replaces\n";

fn one_file(rows: &str) -> Both {
    Both::of(&[("usage.csv", format!("{HEADER}{rows}").as_bytes())])
}

fn agree(both: &Both) -> (Vec<UsageRecord>, Vec<Refusal>) {
    let (expected, refused) = both.one_by_one();
    let (records, found) = records(both.summed(), "");
    assert_eq!(came(&records), expected);
    assert_eq!(told(&found), told(&refused));
    (records, found)
}

#[test]
fn lines_become_a_sum_of_their_month_that_says_where_they_stand() {
    let both = one_file(
        "u1,s-1,,gb,1.000000000000000001,GB,2.5,,,EUR,2026-10-01,2026-10-02,,\n\
         u2,s-1,,gb,0.5,GB,2,1,,EUR,2026-10-31T23:00:00Z,2026-11-01T00:00:00Z,estimated,\n\
         u3,s-1,,gb,7,GB,,,3,EUR,2026-11-01,2026-11-02,final,\n",
    );
    let (records, told) = records(both.summed(), "");
    let [october, november] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(october.quantity.to_string(), "1.500000000000000001");
    assert_eq!((october.start.as_str(), october.end.as_str()), ("2026-10-01", "2026-11-01"));
    assert_eq!(october.status, "estimated");
    let lines = october.summed.as_ref().unwrap();
    assert_eq!((lines.first.as_str(), lines.last.as_str()), ("usage.csv:2", "usage.csv:3"));
    assert_eq!((lines.lines, lines.estimates), (2, 1));
    // 1.000000000000000001 x 2.5 has 19 places; 18 are kept.
    assert_eq!(october.amount.unwrap().to_string(), "3.500000000000000003");
    assert!(told[0].warning && told[0].reason.starts_with("1 amounts have more than 18"), "{told:?}");
    assert_eq!(november.amount.unwrap().to_string(), "3");
    assert_eq!(
        both.summed().totals().unwrap().amounts.values().next().unwrap().amount.to_string(),
        "6.5000000000000000025"
    );
}

#[test]
fn bad_lines_are_named_as_the_feed_names_them_and_the_others_count() {
    let both = one_file(
        "u1,s-1,,gb,1,GB,,,,,2026-10-01,2026-10-02,,\n\
         u2,s-1,,gb,-1,GB,,,,,2026-10-01,2026-10-02,,\n\
         ,s-1,,gb,1,GB,,,,,2026-10-01,2026-10-02,,\n\
         u4,,,gb,1,GB,,,,,2026-10-01,2026-10-02,,\n\
         u5,s-1,,gb,\"1,5\",GB,,,,,2026-10-01,2026-10-02,,\n\
         u6,s-1,,gb,1,GB,,,,EUX,2026-10-01,2026-10-02,,\n\
         u7,s-1,,gb,1,GB,,,,,2026-10-02,2026-10-02,,\n\
         u8,s-1,,gb,1,GB,,,,,2026-02-30,2026-10-02,,\n\
         u9,s-1,,gb,1,GB,,,,,2026-10-01,2026-10-02,guessed,\n\
         \n\
         u10,s-1,,gb,1,GB\n\
         u11,s-1,,gb,1,GB,,,,,2026-10-01T00:00:00+02:00,2026-10-02,,,\n\
         u12,s-1,,gb,1000000000000000,GB,,,,,2026-10-01,2026-10-02,,\n\
         u13,s-1,,gb,2,\"G\"\"B\",,,,,2026-10-01,2026-10-02,,\n\
         u14,s-1,,gb,-2.25,GB,,,,,2026-10-01T00:00:00+02:00,2026-10-02,corrected,\n",
    );
    let (records, found) = agree(&both);
    assert_eq!(
        found.iter().map(|refusal| refusal.line).collect::<Vec<_>>(),
        [3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]
    );
    assert_eq!(records.len(), 2);
    assert!(records.iter().any(|usage| usage.quantity.to_string() == "-1.25" && usage.status == "corrected"));
}

#[test]
fn of_an_id_the_last_line_counts_and_what_is_replaced_does_not() {
    let line = |id: &str, quantity: &str, status: &str, replaces: &str| {
        format!("{id},s-1,,gb,{quantity},GB,2,,,EUR,2026-10-01,2026-10-02,{status},{replaces}\n")
    };
    let first =
        [HEADER.to_owned(), line("a", "1", "", ""), line("b", "10", "", ""), line("a", "2", "", "")].concat();
    let second = [
        HEADER.to_owned(),
        line("c", "100", "corrected", "b"),
        // What replaced "a" is itself followed by a line of its id that does not.
        line("d", "1000", "corrected", "a"),
        line("d", "4000", "corrected", ""),
        line("e", "10000", "", ""),
        line("e", "10000", "", ""),
    ]
    .concat();
    let both = Both::of(&[("1.csv", first.as_bytes()), ("2.csv", second.as_bytes())]);
    let (records, _) = agree(&both);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].quantity.to_string(), "14102");
    let sums = both.summed();
    assert_eq!((sums.lines, sums.repeated, sums.replaced), (4, 3, 1));
    assert_eq!(sums.totals().unwrap().amounts.values().next().unwrap().amount.to_string(), "28204");
}

#[test]
fn what_is_replaced_by_nothing_that_is_there_is_told() {
    let both = one_file("u1,s-1,,gb,5,GB,,,,,2026-10-01,2026-10-02,corrected,gone\n");
    let (_, found) = agree(&both);
    assert!(found[0].warning && found[0].reason.contains("replaces gone"), "{found:?}");
}

#[test]
fn the_same_lines_are_the_same_records_and_another_part_stands_beside_them() {
    let both = one_file("u1,s-1,,gb,5,GB,,,,,2026-10-01,2026-10-02,,\n");
    let ids =
        |part: &str| records(both.summed(), part).0.into_iter().map(|usage| usage.id).collect::<Vec<_>>();
    assert_eq!(ids(""), ids(""));
    assert_ne!(ids(""), ids("monday"));
}

#[test]
fn cells_over_several_lines_and_quotes_that_never_close_are_read_as_the_feed_reads_them() {
    let rows = "u1,s-1,,gb,1,GB,,,,,2026-10-01,2026-10-02,,\n\
                u2,s-1,,\"g\nb\",2,GB,,,,,2026-10-01,2026-10-02,,\n\
                u3,s-1,,gb,4,GB,,,,,2026-10-01,2026-10-02,,\n\
                u4,s-1,,gb,8,\"GB,,,,,2026-10-01,2026-10-02,,\n\
                u5,s-1,,gb,16,GB,,,,,2026-10-01,2026-10-02,,\n";
    let (records, found) = agree(&one_file(rows));
    assert_eq!(records.len(), 2);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, 6, "{found:?}");
}

#[test]
fn lists_of_json_and_other_columns_come_to_the_same() {
    let json = "{\"type\":\"usage\",\"id\":\"1\",\"customer\":\"c\",\"product\":\"p\",\"quantity\":\"3\",\"start\":\"2026-10-01\",\"end\":\"2026-10-02\"}\n\
                {\"type\":\"usage\",\"id\":\"2\",\"customer\":\"c\",\"product\":\"p\",\"quantity\":-3,\"start\":\"2026-10-01\",\"end\":\"2026-10-02\"}\n";
    let csv = "type;meter;id;customer;product;quantity;start;end\nusage;m;3;c;p;4;2026-10-01;2026-10-02\n;m;4;\"c\";p;5;2026-10-01;2026-10-02\n\
               customer;m;5;c;p;5;2026-10-01;2026-10-02\n";
    let both = Both::of(&[("1.ndjson", json.as_bytes()), ("2.csv", csv.as_bytes())]);
    let (records, found) = records(both.summed(), "");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].quantity.to_string(), "12");
    let told: Vec<_> = found.iter().map(|refusal| (refusal.line, refusal.warning)).collect();
    assert_eq!(told, [(2, false), (4, false), (1, true)], "{found:?}");
    assert!(found[2].reason.contains("`meter`"));
}

#[test]
fn what_is_no_file_is_not_summed() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("gone.csv"), PathBuf::from("-")] {
        let refusal = sum_usage(&[path], true).err().unwrap();
        assert_eq!(refusal.code, "TU8001");
    }
}

/// Rows over several blocks, so that threads share them.
#[test]
fn many_lines_come_to_the_same_whichever_thread_reads_them() {
    use std::fmt::Write as _;
    let mut rows = String::new();
    for line in 0..40_000_u64 {
        let (subscription, product) = (line * 7919 % 997, line % 7);
        let id = if line % 1000 == 0 { line / 2 } else { line };
        let cost = if line % 3 == 1 { format!("0.1{}", line % 11) } else { String::new() };
        writeln!(
            rows,
            "u{id},s-{subscription},,p-{product},{}.{:03},GB,0.0{},{cost},,EUR,2026-1{}-05T10:00:00Z,2026-1{}-05T11:00:00Z,,",
            line % 91,
            line % 1000,
            1 + line % 9,
            line % 3,
            line % 3
        )
        .unwrap();
        if line == 20_000 {
            rows.push_str("broken\n");
        }
    }
    let (_, found) = agree(&one_file(&rows));
    assert_eq!(found[0].line, 20_003);
}

fn row() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        "[0-9]{1,3}",
        "-?[0-9]{1,16}(\\.[0-9]{1,19})?",
        Just("1e2".to_owned()),
        Just(String::new())
    ];
    let word = prop_oneof![
        "[ab]",
        Just("\"a\"".to_owned()),
        Just("\"a\"\"b\"".to_owned()),
        Just(" a".to_owned()),
        "[aé\"\r]{1,2}"
    ];
    let id = prop_oneof!["[a-f]", Just(String::new())];
    let day = prop_oneof![
        Just("2026-10-01".to_owned()),
        "2026-1[0-3]-[0-3][0-9]",
        "2026-10-0[1-3]T[0-2][0-9]:00:00(Z|\\+02:00)"
    ];
    let status = prop_oneof![3 => Just(""), 1 => Just("estimated"), 2 => Just("corrected"), 1 => Just("odd")];
    let money = prop_oneof![Just(String::new()), "[0-9]{1,4}(\\.[0-9]{1,12})?"];
    let currency = prop_oneof![3 => Just("EUR"), 1 => Just(""), 1 => Just("eur")];
    let subscription = prop_oneof![3 => Just("s-1".to_owned()), 1 => Just(String::new()), 1 => word.clone()];
    (id.clone(), subscription, word.clone(), number, word, money.clone(), money, currency, day.clone(), (day, status, id))
        .prop_map(|(id, sub, product, number, unit, price, amount, currency, start, (end, status, replaces))| {
            format!("{id},{sub},,{product},{number},{unit},{price},,{amount},{currency},{start},{end},{status},{replaces}")
        })
}

proptest! {
    #[test]
    fn any_table_comes_to_what_its_lines_come_to(
        rows in prop::collection::vec(row(), 0..12), crlf in any::<bool>(), ended in any::<bool>()
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = rows.join(end);
        if ended {
            text.push_str(end);
        }
        let both = one_file(&text);
        let (expected, refused) = both.one_by_one();
        let (records, found) = records(both.summed(), "");
        let rounded = found.iter().any(|refusal| refusal.reason.contains("more than 18 decimal places"));
        if !rounded {
            prop_assert_eq!(came(&records), expected);
        }
        prop_assert_eq!(told(&found), told(&refused));
    }
}

//! The feed, from its text to records and refusals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use rstest::rstest;
use std::io::{BufReader, Cursor, Read};
use trueup_domain::feed::{Record, RecordKind};
use trueup_engine::ports::Refusal;
use trueup_sources::{FeedFormat, FeedOptions, incoming, read_feed};

fn read(bytes: &[u8], format: FeedFormat, kind: Option<RecordKind>) -> Vec<Result<Record, Refusal>> {
    let options = FeedOptions { file_name: "feed".into(), kind, format, path: None };
    read_feed(BufReader::with_capacity(64, bytes), options).collect()
}

fn ndjson(text: &str) -> Vec<Result<Record, Refusal>> {
    read(text.as_bytes(), FeedFormat::Auto, None)
}

/// Line, field, code and reason of the only refusal.
fn refused(text: &str) -> (u64, String, String, String) {
    let mut refusals: Vec<Refusal> = ndjson(text).into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    let refusal = refusals.remove(0);
    (refusal.line, refusal.field.unwrap_or_default(), refusal.code, refusal.reason)
}

const EXAMPLE: &str = r#"{"type":"customer","id":"c-100","name":"Green Lane LLC","currency":"USD"}
{"type":"product","id":"exo-p1","name":"Exchange Online (Plan 1)","kind":"seat","unit_price":"22.00","unit_cost":"17.60","currency":"USD","billing_cycle":{"every":1,"unit":"month"}}
{"type":"subscription","id":"1000048531","customer":"c-100","status":"active","currency":"USD","billing_cycle":{"every":1,"unit":"month"},"start":"2023-03-01","period":{"start":"2023-03-01","end":"2023-04-01"},"items":[{"id":"seats","product":"exo-p1","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}

{"type":"order","id":"SO-1","kind":"sales","subscription":"1000048531","completed_at":"2023-03-01T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"5","unit_price":"22.00","unit_cost":"17.60"}]}
{"type":"order","id":"CH-1","kind":"change","subscription":"1000048531","completed_at":"2023-03-15T09:00:00Z","period":{"start":"2023-03-01","end":"2023-04-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"exo-p1","quantity":"3","old_quantity":"5","new_quantity":"8","unit_price":"22.00","unit_cost":"17.60"}]}
"#;

const ORDER: &str = r#"{"type":"order","id":"O","kind":"sales","subscription":"s","completed_at":"2025-06-01T00:30:00+03:00","period":{"start":"2025-06-01","end":"2025-07-01"},"currency":"USD","lines":[{"id":"1","charge":"recurring","product":"p","quantity":"5","unit_price":"12.500"}]}"#;

fn all_kinds() -> String {
    let rest = r#"{"type":"organization","id":"org","name":"Org","kind":"partner"}
{"type":"contact","id":"k","customer":"c-100","email":"a@b.example","role":"billing","primary":true}
{"type":"usage","id":"u","customer":"c-100","product":"exo-p1","quantity":1.250,"start":"2025-06-01","end":"2025-06-02T00:00:00Z"}
{"type":"counter","customer":"c-100","product":"exo-p1","value":"12","as_of":"2025-06-01T00:00:00Z","unit":"seat"}
{"type":"invoice","id":"i","customer":"c-100","number":"7","kind":"debit","stage":"sent","date":"2025-06-01","currency":"USD","lines":[{"id":"1","product":"exo-p1","quantity":1,"unit_price":"2.00"}]}
{"type":"payment","id":"p","invoice":"i","amount":"2.00","currency":"USD","date":"2025-06-01","method":"card"}
{"type":"alert","id":"a","customer":"c-100","kind":"disk","state":"open","at":"2025-06-01T00:00:00Z","summary":"full"}
{"type":"snapshot","types":["subscription","counter"],"complete":true,"as_of":"2025-06-01T00:00:00Z"}
"#;
    format!("{EXAMPLE}{rest}")
}

#[test]
fn takes_every_kind() {
    let records: Vec<Record> = ndjson(&all_kinds()).into_iter().map(Result::unwrap).collect();
    let mut kinds: Vec<RecordKind> = records.iter().map(Record::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, RecordKind::ALL);
    let Record::Usage(usage) = &records[7] else { panic!("a usage record") };
    assert_eq!(usage.quantity.to_string(), "1.250");
    assert_eq!(usage.status, "final");
}

#[test]
fn stored_records_read_back_the_same() {
    for record in ndjson(&all_kinds()).into_iter().map(Result::unwrap) {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}

#[test]
fn the_three_formats_say_the_same() {
    let lines: Vec<_> = ndjson(&all_kinds()).into_iter().map(Result::unwrap).collect();
    let filled: Vec<String> = all_kinds().lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
    let array = format!("\u{feff} [\n{}\n]\n", filled.join(",\n"));
    let values = all_kinds().replace("{\"type\"", "{\n\"type\"");
    let windows = format!("\u{feff}{}", all_kinds().replace('\n', "\r\n"));
    for text in [array, values, windows] {
        let found: Vec<_> = ndjson(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, lines, "{}", &text[..20]);
    }
}

#[test]
fn a_table_says_the_same() {
    let csv = "type,id,kind,subscription,completed_at,period.start,period.end,currency,name,line.id,line.charge,line.product,line.quantity,line.unit_price,line.note,address.city\n\
        customer,c-1,,,,,,USD,\"Green, Lane\",,,,,,,Austin\n\
        order,O-1,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,,1,recurring,p,5,12.500,,\n\
        order,O-1,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,,2,setup,p,1,2.50,hello,\n\
        order,O-2,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,,1,recurring,p,x,12.500,,\n\
        order,O-3,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,,1,recurring,p,1,1,,\n\
        order,O-3,sales,other,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,,2,recurring,p,1,1,,\n\
        customer,c-2,,,,,,,Last,,,,,,,\n";
    let found = read(csv.as_bytes(), FeedFormat::Auto, None);
    assert_eq!(found.len(), 5, "{found:?}");
    let Ok(Record::Customer(customer)) = &found[0] else { panic!("{found:?}") };
    assert_eq!(customer.name, "Green, Lane");
    assert_eq!(customer.address.as_ref().unwrap().city.as_deref(), Some("Austin"));
    let Ok(Record::Order(order)) = &found[1] else { panic!("{found:?}") };
    assert_eq!(order.lines.len(), 2);
    assert_eq!(order.lines[0].unit_price.unwrap().to_string(), "12.500");
    assert_eq!(order.ext.0["lines[1].note"].get(), "\"hello\"");
    let Err(bad) = &found[2] else { panic!("{found:?}") };
    assert_eq!((bad.line, bad.field.as_deref(), bad.code.as_str()), (5, Some("lines[0].quantity"), "TU5004"));
    let Err(unequal) = &found[3] else { panic!("{found:?}") };
    assert_eq!(unequal.line, 6);
    assert!(unequal.reason.contains("line 7"), "{}", unequal.reason);
    assert!(found[4].is_ok());
}

#[test]
fn a_table_of_one_kind_needs_no_type() {
    let csv = "id;customer;status;currency;billing_cycle.every;billing_cycle.unit;start;item.id;item.product;item.quantity;anchor_day;term.start;term.auto_renew\n\
        s1;c;active;EUR;1;month;2025-01-01;a;p;1;31;2025-01-01;true\n\
        s1;c;active;EUR;1;month;2025-01-01;b;q;2;31;2025-01-01;true\n";
    let found = read(csv.as_bytes(), FeedFormat::Csv, Some(RecordKind::Subscription));
    let Ok(Record::Subscription(subscription)) = &found[0] else { panic!("{found:?}") };
    assert_eq!((subscription.items.len(), subscription.anchor_day, found.len()), (2, Some(31), 1));
}

#[test]
fn unknown_fields_are_kept_as_they_came() {
    let text = ORDER.replacen(
        "{\"type\"",
        "{\"colour\":{\"a\": 1.50},\"ext\":{\"kept\":[1,2]},\"nothing\":null,\"type\"",
        1,
    );
    let text = text
        .replace("\"id\":\"1\",", "\"id\":\"1\",\"shade\":1e3,")
        .replace("\"end\":\"2025-07-01\"", "\"end\":\"2025-07-01\",\"x\":1");
    let Record::Order(order) = ndjson(&text).remove(0).unwrap() else { panic!("an order") };
    let kept: Vec<(&str, &str)> = order.ext.0.iter().map(|(k, v)| (k.as_str(), v.get())).collect();
    assert_eq!(
        kept,
        [
            ("colour", "{\"a\": 1.50}"),
            ("kept", "[1,2]"),
            ("lines[0].shade", "1e3"),
            ("nothing", "null"),
            ("period.x", "1")
        ]
    );
}

#[test]
fn times_are_told_in_their_own_offset() {
    let Record::Order(order) = ndjson(ORDER).remove(0).unwrap() else { panic!("an order") };
    assert_eq!(order.effective.to_string(), "2025-06-01");
    assert!(!order.effective_given);
    assert_eq!(order.completed_us, 1_748_727_000_000_000);
    assert_eq!(order.completed_at, "2025-06-01T00:30:00+03:00");
}

#[rstest]
#[case::no_decimal("\"12.500\"", "\"12,50\"", "lines[0].unit_price", "TU8004", "12,50")]
#[case::huge("\"12.500\"", "1e400", "lines[0].unit_price", "TU8004", "too large")]
#[case::exponent_in_text("\"12.500\"", "\"1e2\"", "lines[0].unit_price", "TU8004", "plain digits")]
#[case::negative("\"quantity\":\"5\"", "\"quantity\":\"-5\"", "lines[0].quantity", "TU5004", "below zero")]
#[case::not_a_number("\"quantity\":\"5\"", "\"quantity\":\"NaN\"", "lines[0].quantity", "TU5004", "NaN")]
#[case::no_price_type("\"12.500\"", "[1]", "lines[0].unit_price", "TU8004", "a list")]
#[case::empty_id("\"id\":\"O\"", "\"id\":\" \"", "id", "TU8004", "empty")]
#[case::number_as_id("\"id\":\"O\"", "\"id\":7", "id", "TU8004", "text in quotes")]
#[case::no_id("\"id\":\"O\",", "", "id", "TU8004", "lacks")]
#[case::charge("\"recurring\"", "\"weekly\"", "lines[0].charge", "TU8004", "recurring, setup")]
#[case::kind("\"sales\"", "\"sale\"", "kind", "TU8004", "use one of")]
#[case::unknown_type("\"type\":\"order\"", "\"type\":\"ordre\"", "type", "TU8004", "\"ordre\"")]
#[case::no_type("\"type\":\"order\",", "", "type", "TU8004", "does not say")]
#[case::date("2025-07-01", "2025-02-30", "period.end", "TU8004", "2025-02-30")]
#[case::empty_period("2025-07-01", "2025-06-01", "period", "TU8004", "no day")]
#[case::instant("+03:00", "", "completed_at", "TU8004", "offset")]
#[case::currency("USD", "usd", "currency", "TU8004", "usd")]
#[case::no_currency("USD", "XXX", "currency", "TU8004", "XXX")]
#[case::lines("\"lines\":[{", "\"lines\":[5,{", "lines[0]", "TU8004", "an object")]
#[case::double("\"id\":\"O\"", "\"id\":\"O\",\"id\":\"O\"", "", "TU8004", "`id` stands twice")]
#[case::nul("\"id\":\"O\"", "\"id\":\"O\\u0000\"", "", "TU8004", "NUL")]
#[case::cut("]}", "", "", "TU8004", "ends")]
#[case::ext_twice("\"id\":\"O\"", "\"id\":\"O\",\"x\":1,\"ext\":{\"x\":1}", "ext.x", "TU8004", "as well")]
fn refuses_with_line_field_and_reason(
    #[case] from: &str,
    #[case] to: &str,
    #[case] field: &str,
    #[case] code: &str,
    #[case] reason: &str,
) {
    let broken = ORDER.replacen(from, to, 1);
    assert_ne!(broken, ORDER);
    let text = format!("{ORDER}\n\n{broken}\n{ORDER}\n");
    let (line, found_field, found_code, found_reason) = refused(&text);
    assert_eq!((line, found_field.as_str(), found_code.as_str()), (3, field, code));
    assert!(found_reason.contains(reason), "{found_reason}");
    assert_eq!(ndjson(&text).iter().filter(|r| r.is_ok()).count(), 2);
}

#[test]
fn a_refund_and_a_step_down_may_be_negative() {
    let refund = ORDER.replace("recurring", "refund").replace("\"quantity\":\"5\"", "\"quantity\":\"-5\"");
    assert!(ndjson(&refund)[0].is_ok());
    let change = ORDER.replace("sales", "change").replace("\"quantity\":\"5\"", "\"quantity\":\"-5\"");
    assert!(ndjson(&change)[0].is_ok());
    let contradiction = change
        .replace("\"quantity\":\"-5\"", "\"quantity\":\"-5\",\"old_quantity\":\"5\",\"new_quantity\":\"1\"");
    assert_eq!(refused(&contradiction).1, "lines[0].quantity");
}

#[test]
fn two_lines_with_one_id_are_refused() {
    let line = r#"{"id":"1","charge":"setup","product":"p","quantity":"1"},"#;
    let (_, field, ..) = refused(&ORDER.replace("\"lines\":[", &format!("\"lines\":[{line}")));
    assert_eq!(field, "lines[1].id");
    let many: String = (0..20).map(|n| line.replace("\"1\",\"ch", &format!("\"x{n}\",\"ch"))).collect();
    assert!(ndjson(&ORDER.replace("\"lines\":[", &format!("\"lines\":[{many}")))[0].is_ok());
}

#[test]
fn faults_inside_a_spread_record_name_their_own_line() {
    let spread = ORDER.replace("\"lines\"", "\n\"lines\"").replace("\"12.500\"", "\n\"x\"");
    let text = format!("[\n{ORDER},\n{spread}]");
    assert_eq!(refused(&text).0, 5);
}

#[test]
fn bytes_that_are_no_text_cost_one_line() {
    let mut bytes = ORDER.as_bytes().to_vec();
    bytes.extend_from_slice(b"\n\xff\xfe{}\n{\"id\":\"\0\"}\n");
    bytes.extend_from_slice(ORDER.as_bytes());
    let found = read(&bytes, FeedFormat::Ndjson, None);
    let refusals: Vec<_> =
        found.iter().filter_map(|r| r.as_ref().err()).map(|r| (r.line, r.reason.clone())).collect();
    assert_eq!(found.len(), 4);
    assert!(refusals[0].0 == 2 && refusals[0].1.contains("UTF-8"));
    assert!(refusals[1].0 == 3 && refusals[1].1.contains("NUL"));
}

#[test]
fn long_lines_and_deep_text_are_passed_over() {
    let long = format!("{{\"type\":\"customer\",\"id\":\"{}\"}}", "x".repeat(9 << 20));
    let deep = format!("{}1{}", "[".repeat(5_000_000), "]".repeat(2_000_000));
    let text = format!("{long}\n{deep}\n{ORDER}");
    let found = ndjson(&text);
    assert!(found[0].as_ref().unwrap_err().reason.contains("8 MiB"));
    assert!(found[1].as_ref().unwrap_err().reason.contains("64 levels"));
    assert!(found[2].is_ok());
    let found = read(format!("[{long},\n{ORDER}]").as_bytes(), FeedFormat::Json, None);
    assert!(found[0].is_err() && found[1].is_ok() && found.len() == 2);
}

#[test]
fn an_endless_line_stays_flat_in_memory() {
    let endless = std::io::repeat(b'x').take(256 << 20);
    let input = BufReader::new(
        Cursor::new(format!("{ORDER}\n")).chain(endless).chain(Cursor::new(format!("\n{ORDER}"))),
    );
    let options = FeedOptions { file_name: "-".into(), kind: None, format: FeedFormat::Ndjson, path: None };
    let found: Vec<bool> = read_feed(input, options).map(|r| r.is_ok()).collect();
    assert_eq!(found, [true, false, true]);
}

#[test]
fn a_cut_list_is_told() {
    let found = read(format!("[{ORDER},\n{{\"type\":").as_bytes(), FeedFormat::Json, None);
    assert!(found[0].is_ok());
    assert_eq!(found[1].as_ref().unwrap_err().code, "TU8002");
}

#[test]
fn a_mark_counts_only_when_everything_before_it_was_taken() {
    let mark = r#"{"type":"snapshot","types":["order"],"complete":true,"as_of":"2025-06-01T00:00:00Z"}"#;
    assert!(ndjson(&format!("{ORDER}\n{mark}")).iter().all(Result::is_ok));
    let other = r#"{"type":"customer","id":""}"#;
    assert!(ndjson(&format!("{other}\n{mark}")).pop().unwrap().is_ok());
    for before in [ORDER.replace("USD", "usd"), "{".to_owned(), r#"{"type":"oder"}"#.to_owned()] {
        let last = ndjson(&format!("{before}\n{mark}")).pop().unwrap().unwrap_err();
        assert_eq!((last.line, last.code.as_str()), (2, "TU8002"), "{before}");
    }
    let followed = ndjson(&format!("{mark}\n{ORDER}"));
    assert!(followed[0].is_ok());
    assert!(followed[1].as_ref().unwrap_err().reason.contains("follow"));
}

#[test]
fn a_broken_table_is_refused_row_by_row() {
    let csv = "type,id,name\ncustomer,1,A,extra\ncustomer,2,B\ncustomer,,C\n\ncustomer,3,\"open\n";
    let found = read(csv.as_bytes(), FeedFormat::Csv, None);
    let lines: Vec<u64> = found.iter().filter_map(|r| r.as_ref().err()).map(|r| r.line).collect();
    assert_eq!((lines, found.len()), (vec![2, 4, 6], 4));
    for header in ["id,id\n1,2", "a..b\n1", "period,period.start\n1,2", ",id\n1,2"] {
        let found = read(header.as_bytes(), FeedFormat::Csv, Some(RecordKind::Customer));
        assert_eq!(found.len(), 1, "{header}");
        assert_eq!(found[0].as_ref().unwrap_err().line, 1);
    }
}

/// A file that ends within a row: what is left of a price is none, and the order is not taken in without the row.
#[test]
fn a_row_that_is_cut_takes_its_order_with_it() {
    let table = "type,id,kind,subscription,completed_at,period.start,period.end,currency,line.id,line.charge,\
                 line.product,line.quantity,line.unit_price\n\
                 order,o-1,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,1,recurring,p,5,22.00\n\
                 order,o-2,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,1,recurring,p,5,22.00\n\
                 order,o-2,sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,2,recurring,q,50,22.00";
    let whole = read(table.as_bytes(), FeedFormat::Csv, None);
    assert!(whole.len() == 2 && whole.iter().all(Result::is_ok), "{whole:?}");
    // Wherever it ends before the last cell begins; within that one it cannot be told.
    for cut in table.rfind("order,").unwrap() + 7..table.rfind(',').unwrap() {
        let found = read(&table.as_bytes()[..cut], FeedFormat::Csv, None);
        let taken: Vec<String> = found.iter().filter_map(|r| r.as_ref().ok()).map(|r| r.id()).collect();
        assert_eq!(taken, ["o-1"], "{}", &table[..cut]);
        let refused: Vec<_> =
            found.iter().filter_map(|r| r.as_ref().err()).map(|r| (r.line, r.code.as_str())).collect();
        assert!(refused.contains(&(4, "TU8002")), "{refused:?}");
    }
}

#[test]
fn an_order_of_several_rows_is_taken_in_whole_or_not_at_all() {
    let head = "type,id,kind,subscription,completed_at,period.start,period.end,currency,line.id,line.charge,\
                line.product,line.quantity,line.unit_price,line.description\n";
    let row = |id: &str, line: &str, text: &str| {
        format!(
            "order,{id},sales,s,2025-06-01T00:00:00Z,2025-06-01,2025-07-01,USD,{line},recurring,p,5,2.00,{text}\n"
        )
    };
    let taken = |rows: &[String]| -> (Vec<String>, Vec<u64>) {
        let found = read(format!("{head}{}", rows.concat()).as_bytes(), FeedFormat::Csv, None);
        let ids = found.iter().filter_map(|r| r.as_ref().ok().map(Record::id)).collect();
        (ids, found.iter().filter_map(|r| r.as_ref().err()).map(|r| r.line).collect())
    };
    // A row with a cell too many, with a quote that is never closed, with bytes that are no text: each costs its own
    // order, and no other.
    for broken in ["a,b", "\"open"] {
        let (ids, lines) = taken(&[
            row("O-1", "1", ""),
            row("O-2", "1", ""),
            row("O-2", "2", broken),
            row("O-3", "1", ""),
            row("O-4", "1", broken),
            row("O-4", "2", ""),
            row("O-5", "1", ""),
        ]);
        assert_eq!(ids, ["O-1", "O-3", "O-5"], "{broken}");
        assert_eq!(lines, [4, 3, 6, 7], "{broken}");
    }
    // Nobody can say whose a row is that is too long: neither neighbour is believed.
    let long = row("O-2", "2", &"x".repeat(9 * 1024 * 1024));
    let (ids, lines) =
        taken(&[row("O-0", "1", ""), row("O-1", "1", ""), long, row("O-3", "1", ""), row("O-4", "1", "")]);
    assert_eq!((ids, lines), (vec!["O-0".to_owned(), "O-4".to_owned()], vec![4, 3, 5]));
}

#[test]
fn equal_records_have_equal_hashes() {
    let spaced = ORDER.replace(':', ": ").replace("T00: 30: 00+03: 00", "T00:30:00+03:00");
    let hash = |text: &str| incoming(ndjson(text).remove(0).unwrap()).hash;
    assert_eq!(hash(ORDER), hash(&spaced));
    assert_ne!(hash(ORDER), hash(&ORDER.replace("12.500", "12.501")));
    assert_eq!(hash(ORDER).len(), 32);
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), format in 0..4) {
        let format = [FeedFormat::Auto, FeedFormat::Ndjson, FeedFormat::Json, FeedFormat::Csv][format as usize];
        prop_assert!(read(&bytes, format, None).len() <= bytes.len() + 1);
    }

    #[test]
    fn a_mangled_feed_never_panics(at in 0..2000_usize, with in "[\\[\\]{}\",:0a\\\\\n]{0,5}", take in 0..8_usize, array in any::<bool>()) {
        let mut text = if array { format!("[{ORDER},{ORDER}]") } else { all_kinds() };
        let from = at % text.len();
        let to = (from + take).min(text.len());
        text.replace_range(from..to, &with);
        let _ = ndjson(&text);
    }

    #[test]
    fn decimals_come_through_to_the_digit(whole in 0..1_000_000_000_u64, places in "[0-9]{0,12}", quoted in any::<bool>()) {
        let number = if places.is_empty() { whole.to_string() } else { format!("{whole}.{places}") };
        let written = if quoted { format!("\"{number}\"") } else { number.clone() };
        let text = ORDER.replace("\"12.500\"", &written);
        let Record::Order(order) = ndjson(&text).remove(0).unwrap() else { panic!("an order") };
        prop_assert_eq!(order.lines[0].unit_price.unwrap().to_string(), number);
    }
}

/// Rows of one order that do not stand together: a part of them must not pass for the order.
#[test]
fn scattered_rows_are_refused() {
    let csv = "type,id,kind,subscription,completed_at,period.start,period.end,currency,line.id,line.charge,line.product,line.quantity\n\
        order,o-1,sales,s-1,2026-03-01T09:00:00Z,2026-03-01,2026-04-01,EUR,1,recurring,p-1,5\n\
        order,o-2,sales,s-2,2026-03-01T09:00:00Z,2026-03-01,2026-04-01,EUR,1,recurring,p-1,1\n\
        order,o-1,sales,s-1,2026-03-01T09:00:00Z,2026-03-01,2026-04-01,EUR,2,setup,p-2,1\n\
        order,o-3,sales,s-3,2026-03-01T09:00:00Z,2026-03-01,2026-04-01,EUR,1,recurring,p-1,2\n";
    let ids = |found: &[Result<Record, Refusal>]| -> Vec<String> {
        found
            .iter()
            .map(|item| match item {
                Ok(record) => record.id().to_string(),
                Err(refusal) => format!("{}: {}", refusal.line, refusal.reason),
            })
            .collect()
    };
    // A file is looked through before: nothing of the order is taken in.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.csv");
    std::fs::write(&file, csv).unwrap();
    let found: Vec<_> =
        trueup_sources::Dialect::Feed.read(std::slice::from_ref(&file), Default::default()).collect();
    let apart = "the rows of this order do not stand together; a part of them must not pass for the whole: sort the \
                 table by `id` and send it again";
    assert_eq!(ids(&found), [format!("2: {apart}"), "o-2".into(), format!("4: {apart}"), "o-3".into()]);
    // Each says which record it is of, so that it can be told until it comes in.
    let of =
        |item: &Result<Record, Refusal>| item.as_ref().err()?.record.as_ref().map(|record| record.1.clone());
    assert_eq!(found.iter().filter_map(of).collect::<Vec<_>>(), ["o-1", "o-1"]);
    // Of what is read once it is known only at the second part, and said.
    let found = ids(&read(csv.as_bytes(), FeedFormat::Auto, None));
    assert_eq!((&found[0][..], &found[1][..], &found[3][..]), ("o-1", "o-2", "o-3"));
    assert!(
        found[2].starts_with("4: the rows of this order do not stand together, and its first ones"),
        "{}",
        found[2]
    );
}

/// Spreadsheets of old write lines that end in a carriage return alone: such a table is refused, never read as empty.
#[test]
fn a_table_whose_lines_end_in_a_carriage_return_alone_is_refused() {
    let text = "type,id,name,currency\rcustomer,c-1,Green Lane,USD\rcustomer,c-2,Blue Lane,USD\r";
    for format in [FeedFormat::Auto, FeedFormat::Csv] {
        let found = read(text.as_bytes(), format, None);
        let refused: Vec<_> = found.into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].reason.contains("carriage return alone"), "{refused:?}");
    }
}

/// An id that no record can have names none: what is refused of it is remembered, and would be kept at its full length.
#[test]
fn an_id_that_is_too_long_names_no_record() {
    let long = "x".repeat(1 << 20);
    for (id, named) in [(long.as_str(), false), ("", false), ("SO-1", true)] {
        let text = format!("{{\"type\":\"order\",\"id\":\"{id}\"}}");
        let refusals: Vec<Refusal> = ndjson(&text).into_iter().filter_map(Result::err).collect();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].record.is_some(), named);
        assert!(refusals[0].reason.len() < 300, "{}", refusals[0].reason.len());
    }
}

use super::*;

fn read(text: &str) -> Parsed {
    parse(text.as_bytes(), "m.csv", &SourceId::from("default"))
}

#[test]
fn good_rows_are_taken_and_bad_ones_refused_with_line_field_and_reason() {
    let parsed = read(
        "kind,source_id,psa_id,scope,options\n\
         customer,c-1,12,,\n\
         customer,c-2,twelve,,\n\
         colour,c-3,1,,\n\
         product,p-1,7,cycle:1-month,\n\
         product,p-2,7,cycle:1-moon,\n\
         product,p-3,,,do_not_bill=bundled\n\
         agreement,customer:c-1,40,,proration=41\n\
         fee,setup,7,,\n\
         addition,subscription:s-1/p-1,311,,\n\
         addition,s-1,311,,\n",
    );
    assert_eq!(parsed.mappings.len(), 5);
    let faults: Vec<(u64, Option<&str>)> =
        parsed.refused.iter().map(|r| (r.line, r.field.as_deref())).collect();
    assert_eq!(
        faults,
        [
            (3, Some("psa_id")),
            (4, Some("kind")),
            (6, Some("scope")),
            (9, Some("source_id")),
            (11, Some("source_id")),
        ]
    );
}

#[test]
fn a_header_without_a_needed_column_refuses_the_file() {
    let parsed = read("kind,source_id\ncustomer,c-1\n");
    assert!(parsed.mappings.is_empty());
    assert_eq!(parsed.refused.len(), 1);
}

#[test]
fn rows_that_contradict_each_other_are_refused() {
    let parsed = read("kind,source_id,psa_id\ncustomer,c-1,1\ncustomer,c-1,2\ncustomer,c-1,1\n");
    assert_eq!(parsed.mappings.len(), 1);
    assert_eq!(parsed.refused.iter().map(|r| r.line).collect::<Vec<_>>(), [3]);
}

/// What is billed by several additions together is named by a row for each, and written as one row that is read back.
#[test]
fn several_additions_of_one_line_are_one_mapping() {
    let parsed = read(
        "kind,source_id,psa_id,scope,options\n\
         addition,subscription:s-1/p-1,311,,\n\
         addition,subscription:s-2/p-1,320,,\n\
         addition,subscription:s-1/p-1,312,,\n\
         addition,subscription:s-1/p-1,313,,\n\
         addition,subscription:s-3/p-1,330,,with=331 x\n",
    );
    assert_eq!(parsed.refused.iter().map(|r| r.line).collect::<Vec<_>>(), [6]);
    let named: Vec<_> = parsed.mappings.iter().map(|m| (m.psa_id, m.named_together().count())).collect();
    assert_eq!(named, [(Some(311), 2), (Some(320), 0)]);
    assert_eq!(read(&write(&parsed.mappings).unwrap()).mappings, parsed.mappings);
}

#[test]
fn a_formula_is_written_safe_and_read_back() {
    let text =
        "kind,source_id,psa_id,scope,options\nproduct,=1+1,7,,\nproduct,'=2,7,,\nproduct,'quoted,7,,\n";
    let parsed = read(text);
    let written = write(&parsed.mappings).unwrap();
    assert!(written.contains("product,'=1+1,7"));
    let again = read(&written);
    assert_eq!(parsed.mappings, again.mappings);
}

#[test]
fn a_customer_is_synced_by_itself_or_not() {
    let parsed = read(
        "kind,source_id,psa_id,scope,options\n\
         customer,c-1,12,,auto_sync=off\n\
         customer,c-2,13,,auto_sync=on\n\
         customer,c-3,14,,auto_sync=yes\n\
         product,p-1,7,,auto_sync=on\n",
    );
    let said: Vec<Option<&str>> =
        parsed.mappings.iter().map(|m| m.options.get("auto_sync").map(String::as_str)).collect();
    assert_eq!(said, [Some("off"), Some("on")]);
    let lines: Vec<u64> = parsed.refused.iter().map(|r| r.line).collect();
    assert_eq!(lines, [4, 5]);
}

#[test]
fn what_no_feed_can_hold_maps_nothing() {
    let id = "x".repeat(201);
    let parsed = read(&format!(
        "kind,source_id,psa_id,scope,options\ncustomer,c\0x,12,,\ncustomer,{id},12,,\nproduct,p-1,7,,do_not_bill=a\0b\n\
         addition,subscription:{id}/p-1,311,,\nagreement,customer:{id},40,,\ncustomer,ok,12,,\n"
    ));
    let faults: Vec<(u64, &str)> =
        parsed.refused.iter().map(|r| (r.line, r.field.as_deref().unwrap_or_default())).collect();
    let id = "source_id";
    assert_eq!(faults, [(2, id), (3, id), (4, "options"), (5, id), (6, id)]);
    assert_eq!(parsed.mappings.len(), 1);
}

#[test]
fn a_row_with_more_cells_than_the_header_is_refused_unless_they_are_empty() {
    let parsed = read("kind,source_id,psa_id\ncustomer,c-1,12,,,\ncustomer,c-2,12,x\n");
    assert_eq!((parsed.mappings.len(), parsed.refused.len(), parsed.refused[0].line), (1, 1, 3));
    let parsed =
        parse(&b"kind,source_id,psa_id\ncustomer,c-\xff,12\n"[..], "m.csv", &SourceId::from("default"));
    assert!(parsed.refused[0].reason.contains("UTF-8"), "{:?}", parsed.refused);
}

//! CloudBlue Connect: the fixtures of CloudBlue's own tools, and one invented world.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use trueup_domain::feed::{Charge, OrderKind, ProductKind, Record, RecordKind, SubscriptionStatus};
use trueup_domain::period::BillingCycle;
use trueup_engine::ports::Refusal;
use trueup_sources::{ReadOptions, dialect};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn fixtures(extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data("cloudblue-connect"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

fn read(files: &[PathBuf]) -> (Vec<Record>, Vec<Refusal>) {
    let mut records = Vec::new();
    let mut refusals = Vec::new();
    for item in dialect("cloudblue-connect").unwrap().read(files, ReadOptions::default()) {
        match item {
            Ok(record) => records.push(record),
            Err(refusal) => refusals.push(refusal),
        }
    }
    (records, refusals)
}

macro_rules! of_kind {
    ($records:expr, $kind:ident) => {
        $records
            .iter()
            .filter_map(|r| if let Record::$kind(inner) = r { Some(inner) } else { None })
            .collect::<Vec<_>>()
    };
}

#[test]
fn every_fixture_is_taken_in_or_reported() {
    let (records, refusals) = read(&fixtures("json"));
    let refused: Vec<&Refusal> = refusals.iter().filter(|r| !r.warning).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let count = |kind| records.iter().filter(|r| r.kind() == kind).count();
    assert_eq!(count(RecordKind::Order), 9);
    assert_eq!(count(RecordKind::Usage), 1);
    assert_eq!(count(RecordKind::Alert), 1);
    assert!(count(RecordKind::Customer) >= 5);
    assert!(count(RecordKind::Product) >= 22);
    // Three streams of each kind, ten columns, two transformations, contract, listing request, account, marketplace.
    assert_eq!(refusals.iter().filter(|r| r.reason.contains("reference data")).count(), 22);
    for file in fixtures("json") {
        let (records, refusals) = read(std::slice::from_ref(&file));
        assert!(!records.is_empty() || !refusals.is_empty(), "{}", file.display());
        assert!(refusals.iter().all(|r| r.warning), "{}: {refusals:#?}", file.display());
    }
}

#[test]
fn nothing_is_lost_but_the_secrets() {
    for name in ["ff_request", "billing_request", "usage_records_response", "ta_account", "helpdesk"] {
        let file = data(&format!("cloudblue-connect/{name}.json"));
        let source: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let source = if source.is_array() { source[0].clone() } else { source };
        let (records, _) = read(&[file]);
        let id = source["id"].as_str().unwrap();
        let text = records.iter().find(|r| r.id() == id).map(|r| serde_json::to_value(r).unwrap()).unwrap();
        let kept = text.as_object().unwrap().values().next().unwrap()["ext"]["source"].clone();
        assert_eq!(kept, stripped(source), "{name}");
    }
    let (records, refusals) = read(&fixtures("json"));
    let all = format!("{}{refusals:?}", serde_json::to_string(&records).unwrap());
    for secret in ["not-a-password", "code=0000", "jwt_secret"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

/// The source without what must not be kept, told a second way.
fn stripped(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(stripped).collect()),
        Value::Object(mut fields) => {
            if fields.get("type").is_some_and(|t| t == "password") {
                fields.remove("value");
            }
            fields.remove("activation_key");
            fields.retain(|_, v| !v.as_str().is_some_and(|text| text.contains("code=0000")));
            Value::Object(fields.into_iter().map(|(k, v)| (k, stripped(v))).collect())
        }
        other => other,
    }
}

#[test]
fn a_purchase_becomes_a_sales_order() {
    let (records, refusals) =
        read(&[data("cloudblue-connect/ff_request.json"), data("cloudblue-connect/mkp_list.json")]);
    let order = of_kind!(records, Order)[0];
    assert_eq!((order.kind, order.status.as_str()), (OrderKind::Sales, "pending"));
    assert!(!order.is_completed());
    let lines: Vec<(&str, String)> =
        order.lines.iter().map(|l| (l.product.as_str(), l.quantity.to_string())).collect();
    let expected =
        [("PRD-276-377-545-0005", "5"), ("PRD-276-377-545-0006", "6"), ("PRD-276-377-545-0009", "9")];
    assert_eq!(lines, expected.map(|(id, n)| (id, n.to_owned())));
    let subscription = of_kind!(records, Subscription)[0];
    assert_eq!((subscription.status, subscription.items.len()), (SubscriptionStatus::Pending, 18));
    assert_eq!(subscription.currency.code(), "USD");
    assert!(of_kind!(records, Customer).iter().any(|c| Some(&c.id) == order.customer.as_ref()));
    let codes: Vec<&str> = refusals.iter().map(|r| r.code.as_str()).collect();
    assert!(codes.contains(&"TU6002"), "{refusals:#?}");
    assert!(!refusals.iter().any(|r| r.reason.contains("US dollars are assumed")));
    let (_, alone) = read(&[data("cloudblue-connect/ff_request.json")]);
    assert!(alone.iter().any(|r| r.reason.contains("US dollars are assumed")));
}

#[test]
fn each_type_of_request_is_known() {
    let (records, refusals) = read(&[data("cloudblue-connect/executive_fullfilment_requests.json")]);
    let orders = of_kind!(records, Order);
    let kinds: Vec<OrderKind> = orders.iter().map(|o| o.kind).collect();
    use OrderKind::{Cancellation, Change, Sales};
    assert_eq!(kinds, [Sales, Sales, Change, Change, Change, Cancellation, Change]);
    assert!(orders.iter().all(|o| o.status == "pending"));
    assert_eq!(refusals.iter().filter(|r| r.reason.contains("has no items") && r.line > 0).count(), 7);
}

#[test]
fn approved_requests_are_completed_and_suspensions_say_what_they_are() {
    let text = std::fs::read_to_string(data("cloudblue-connect/ff_request.json")).unwrap();
    let mut source: serde_json::Value = serde_json::from_str(&text).unwrap();
    source["status"] = "approved".into();
    source["effective_date"] = "2020-12-01T00:00:00+00:00".into();
    let dir = tempfile::tempdir().unwrap();
    for (kind, lines, pause) in [
        ("purchase", 3, None),
        ("suspend", 0, Some("\"begins\"")),
        ("resume", 0, Some("\"ends\"")),
        ("change", 3, None),
    ] {
        source["type"] = kind.into();
        source["asset"]["items"][4]["old_quantity"] = "7".into();
        let file = dir.path().join("request.json");
        std::fs::write(&file, source.to_string()).unwrap();
        let (records, _) = read(&[file]);
        let order = of_kind!(records, Order)[0];
        assert_eq!((order.status.as_str(), order.lines.len()), ("completed", lines), "{kind}");
        assert_eq!(order.ext.0.get("billing_pause").map(|raw| raw.get()), pause, "{kind}");
        assert_eq!(order.effective.to_string(), "2020-12-01");
        if kind == "change" {
            assert_eq!(order.lines[0].quantity.to_string(), "-2");
            assert_eq!(order.lines[0].old_quantity.unwrap().to_string(), "7");
            assert_eq!(order.lines[0].new_quantity.unwrap().to_string(), "5");
        }
    }
    source["type"] = "merge".into();
    let file = dir.path().join("request.json");
    std::fs::write(&file, source.to_string()).unwrap();
    let (records, refusals) = read(&[file]);
    assert!(of_kind!(records, Order).is_empty());
    assert_eq!(refusals[0].field.as_deref(), Some("type"));
}

#[test]
fn a_billing_request_becomes_a_billing_order() {
    let (records, _) = read(&[data("cloudblue-connect/billing_request.json")]);
    let order = of_kind!(records, Order)[0];
    assert_eq!((order.kind, order.status.as_str(), order.lines.len()), (OrderKind::Billing, "vendor", 6));
    assert_eq!(order.lines[0].quantity.to_string(), "3.0");
    assert_eq!(order.lines[0].charge, Charge::Recurring);
    assert_eq!(order.period.to_string(), "2020-12-13 to 2021-01-12");
}

#[test]
fn accounts_products_and_usage_keep_their_fields() {
    let (records, _) =
        read(&[data("cloudblue-connect/cli_customer.json"), data("cloudblue-connect/cli_reseller.json")]);
    let customer = of_kind!(records, Customer)
        .into_iter()
        .find(|c| c.id.as_str() == "TA-4889-0575-1415")
        .unwrap()
        .clone();
    assert_eq!(customer.parent.unwrap().as_str(), "TA-7374-0753-1907");
    assert_eq!(customer.phone.as_deref(), Some("+96250100004"));
    let address = customer.address.unwrap();
    assert_eq!((address.postcode, address.country.as_deref()), (None, Some("JO")));
    assert_eq!(of_kind!(records, Contact).len(), 2);

    let (records, _) = read(&[data("cloudblue-connect/usage_records_response.json")]);
    let usage = of_kind!(records, Usage)[0];
    assert_eq!((usage.quantity.to_string().as_str(), usage.status.as_str()), ("1.0", "final"));
    assert_eq!(usage.currency.unwrap().code(), "USD");
    assert_eq!(usage.amount, None);
}

#[test]
fn workbooks_are_taken_in_whole() {
    let (records, refusals) = read(&fixtures("xlsx"));
    assert!(refusals.iter().all(|r| r.warning), "{refusals:#?}");
    let customers = of_kind!(records, Customer);
    let [above, below] = customers[..] else { panic!("{customers:#?}") };
    assert_eq!((above.id.as_str(), above.name.as_str()), ("TA-7374-0753-1907", "Walsh and Sons"));
    assert_eq!((above.code.as_deref(), above.account_type.as_deref()), (Some("39878"), Some("reseller")));
    assert_eq!((above.tax_id.as_deref(), above.parent.as_ref()), (None, None));
    assert_eq!(above.email.as_deref(), Some("lee.example@example.com"));
    let address = above.address.as_ref().unwrap();
    assert_eq!((address.line1.as_deref(), address.postcode.as_deref()), (Some("Esperanza Ferry"), None));
    assert_eq!(below.parent.as_ref().map(|id| id.as_str()), Some("TA-7374-0753-1907"));
    // A telephone ends with a hyphen where it has no extension.
    assert_eq!(below.phone.as_deref(), Some("+96855550102"));
    let contacts = of_kind!(records, Contact);
    assert_eq!(contacts.len(), 2);
    assert_eq!(
        (contacts[0].first_name.as_deref(), contacts[0].last_name.as_deref()),
        (Some("Lee"), Some("Example"))
    );

    let products = of_kind!(records, Product);
    let [family, item] = products[..] else { panic!("{products:#?}") };
    assert_eq!((family.id.as_str(), family.name.as_str()), ("PRD-276-377-545", "My Product"));
    assert_eq!(family.vendor.as_deref(), Some("Sample Vendor Inc"));
    assert_eq!((item.id.as_str(), item.sku.as_deref()), ("PRD-276-377-545-0001", Some("MPN-R-001")));
    assert_eq!((item.kind, item.unit.as_deref()), (Some(ProductKind::Seat), Some("unit")));
    assert_eq!(item.billing_cycle, Some(BillingCycle::MONTHLY));

    // Every cell of every row is in the record, also of columns that have no place of their own.
    let row = |ext: &trueup_domain::feed::Ext| -> serde_json::Value {
        serde_json::from_str(ext.0.get("source").unwrap().get()).unwrap()
    };
    let source = row(&below.ext);
    assert_eq!(source.as_object().map(|o| o.len()), Some(20), "{source}");
    assert_eq!(source["External UID"], "e6a0fd82-61d8-4f29-8003-0a12162c55b4");
    assert_eq!(source["Technical Contact Phone"], "+96855550102-");
    assert_eq!(row(&item.ext)["Created"], "2020-10-13T01:09:09+00:00");
    assert!(row(&family.ext)["Product Detailed Description"].as_str().is_some_and(|t| t.len() > 1_000));
    let told: Vec<&str> = refusals.iter().map(|r| r.reason.as_str()).collect();
    assert!(told.iter().any(|reason| reason.contains("Countries")), "{told:?}");
}

#[test]
fn rows_of_a_workbook_are_refused_with_row_and_column() {
    let long = "x".repeat(201);
    let rows = [
        &["Company Name", "ID", "Fax", "Fax"][..],
        &["Green Lane", "TA-1", "1", "2"],
        &["No Account", "-"],
        &[],
        &["Too Long", &long],
        &["Twice", "TA-2"],
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("customers.xlsx");
    std::fs::write(&file, workbook("Customers", &sheet(&rows))).unwrap();
    let (records, refusals) = read(&[file]);
    let customers = of_kind!(records, Customer);
    assert_eq!(customers.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["TA-1", "TA-2"]);
    let source = customers[0].ext.0.get("source").unwrap().get();
    assert!(source.contains(r#""Fax":"1""#) && source.contains(r#""Fax (D)":"2""#), "{source}");
    let told: Vec<(u64, &str)> =
        refusals.iter().map(|r| (r.line, r.field.as_deref().unwrap_or_default())).collect();
    assert_eq!(told, [(3, "ID (column B)"), (5, "ID (column B)")], "{refusals:#?}");
}

#[test]
fn a_workbook_that_is_not_known_or_too_much_is_refused() {
    let text = sheet(&[&["ID"], &["TA-1"]]);
    let far = text.replace(
        "</row></sheetData>",
        "<c r=\"ZZZ2\" t=\"inlineStr\"><is><t>x</t></is></c></row></sheetData>",
    );
    let corner = text.replace(
        "</sheetData>",
        "<row r=\"1048576\"><c r=\"A1048576\" t=\"inlineStr\"><is><t>TA-9</t></is></c></row></sheetData>",
    );
    let bomb = format!("<worksheet><sheetData>{}</sheetData></worksheet>", " ".repeat(80 << 20));
    let whole = workbook("Customers", &text);
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("unknown sheet", workbook("Budget", &text), "none of the sheets that are known"),
        ("no id", workbook("Items", &sheet(&[&["Name"], &["x"]])), "no `ID`"),
        ("empty", workbook("Items", "<worksheet><sheetData/></worksheet>"), "empty"),
        ("far column", workbook("Customers", &far), "beyond the 500"),
        ("bomb", workbook("Customers", &bomb), "unpacks to more"),
        ("cut", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("no archive", b"PK\x03\x04 and nothing".to_vec(), "damaged"),
        (
            "huge",
            {
                let mut huge = whole.clone();
                huge.resize(33 << 20, 0);
                huge
            },
            "32 MiB",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, reason) in cases {
        let file = dir.path().join("case.xlsx");
        std::fs::write(&file, bytes).unwrap();
        let (records, refusals) = read(&[file]);
        assert!(records.is_empty(), "{name}");
        assert!(refusals.iter().any(|r| !r.warning && r.reason.contains(reason)), "{name}: {refusals:#?}");
    }
    // A cell at the far end of a sheet is a cell and no table that reaches there.
    let file = dir.path().join("corner.xlsx");
    std::fs::write(&file, workbook("Customers", &corner)).unwrap();
    assert_eq!(read(&[file]).0.len(), 2);
}

/// Every byte of a workbook turned, one at a time and in blocks: whatever comes out, nothing stops.
#[test]
fn damaged_workbooks_stop_nothing() {
    let whole = std::fs::read(data("cloudblue-connect").join("cli_items_sync.xlsx")).unwrap();
    let plain = workbook("Customers", &sheet(&[&["ID", "Type"], &["TA-1", "customer"]]));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("case.xlsx");
    for (bytes, step) in [(&whole, 97), (&plain, 7)] {
        for at in (0..bytes.len()).step_by(step) {
            for turned in [0xff, 0x80, 0x01] {
                let mut damaged = bytes.clone();
                damaged[at] ^= turned;
                std::fs::write(&file, damaged).unwrap();
                let (records, refusals) = read(std::slice::from_ref(&file));
                assert!(!records.is_empty() || !refusals.is_empty());
            }
        }
    }
    // The text of the sheet itself, which the archive's checksum would otherwise protect.
    let text = sheet(&[&["ID", "Type"], &["TA-1", "customer"]]);
    for at in 0..text.len() {
        for put in ["<", "&", "99999999999999999999", "\u{0}", "ZZZZZZZ"] {
            let damaged = format!("{}{put}{}", &text[..at], &text[at + 1..]);
            std::fs::write(&file, workbook("Customers", &damaged)).unwrap();
            read(std::slice::from_ref(&file));
        }
    }
}

/// The text of a sheet of these rows; an empty one is left out.
fn sheet(rows: &[&[&str]]) -> String {
    let mut text = String::from("<worksheet><sheetData>");
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        text.push_str(&format!("<row r=\"{}\">", number + 1));
        for (column, cell) in row.iter().enumerate() {
            let letter = char::from(b'A' + u8::try_from(column).unwrap());
            text.push_str(&format!(
                "<c r=\"{letter}{}\" t=\"inlineStr\"><is><t>{cell}</t></is></c>",
                number + 1
            ));
        }
        text.push_str("</row>");
    }
    text + "</sheetData></worksheet>"
}

/// A workbook of one sheet.
fn workbook(name: &str, sheet: &str) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006";
    let parts = [
        (
            "[Content_Types].xml",
            format!(
                "<Types xmlns=\"{package}/content-types\"><Default Extension=\"xml\" ContentType=\"application/xml\"/></Types>"
            ),
        ),
        (
            "_rels/.rels",
            format!(
                "<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"rId1\" Type=\"{rel}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"{main}\" xmlns:r=\"{rel}\"><sheets><sheet name=\"{name}\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships xmlns=\"{package}/relationships\"><Relationship Id=\"rId1\" Type=\"{rel}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        ("xl/worksheets/sheet1.xml", sheet.to_owned()),
    ];
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in parts {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        archive.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut archive, text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn strange_objects_are_refused_clearly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("odd.json");
    std::fs::write(&file, "[{\"id\":\"XX-1\"},\n5,{\"id\":\"TA-1\"},{\"id\":\"PR-1\",\"type\":\"purchase\",\"asset\":{}},\n{\"id\":").unwrap();
    let (records, refusals) = read(&[file]);
    assert_eq!(records.len(), 1);
    let lines: Vec<u64> = refusals.iter().filter(|r| !r.warning).map(|r| r.line).collect();
    assert_eq!(lines, [1, 2, 2, 3]);
}

#[test]
fn the_invented_world_comes_out_as_it_is() {
    let shape = |name: &str| data(&format!("dialects/cloudblue-connect-shape/{name}.json"));
    let (records, refusals) = read(&[shape("usage-records"), shape("subscriptions"), shape("tier-accounts")]);
    assert!(refusals.iter().all(|r| r.warning), "{refusals:#?}");
    let canonical: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(data("dialects/canonical.json")).unwrap()).unwrap();
    let subscriptions = of_kind!(records, Subscription);
    let expected = canonical["subscriptions"].as_array().unwrap();
    assert_eq!(subscriptions.len(), expected.len());
    for (found, expected) in subscriptions.iter().zip(expected) {
        assert_eq!(found.items[0].quantity.to_string(), expected["quantity"].as_str().unwrap());
        assert_eq!(serde_json::to_value(found.status).unwrap(), expected["status"]);
        assert_eq!(found.anchor_day, Some(1));
    }
    let usage = of_kind!(records, Usage);
    let expected = canonical["usage"].as_array().unwrap();
    assert_eq!(usage.len(), expected.len());
    for (found, expected) in usage.iter().zip(expected) {
        assert_eq!(found.quantity.to_string(), expected["quantity"].as_str().unwrap());
        assert_eq!(&found.start[..10], expected["day"].as_str().unwrap());
    }
    assert!(!serde_json::to_string(&records).unwrap().contains("not-a-password"));
    assert_eq!(of_kind!(records, Customer).len(), 3);
}

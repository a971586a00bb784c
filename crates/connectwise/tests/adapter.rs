//! The Psa port: ConnectWise's records in our words, and back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails by panicking")]

mod support;

use jiff::civil::date;
use rstest::rstest;
use serde_json::{Value, json};
use support::{ROOT, client, json as answer, server};
use trueup_connectwise::adapter::PsaAdapter;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::plan::{Field, FieldChange, OperationKey};
use trueup_domain::psa::{AdditionState, AgreementStatus, BillFlag, CompanyState};
use trueup_domain::settings::{CancelledDate, MarkerPlace};
use trueup_engine::ports::{NewItem, Psa, WriteError, WriteStyle};
use wiremock::matchers::{body_json, method, path, query_param};
use wiremock::{Mock, MockServer};

const KEY: &str = "tu0123456789abcdefghjkmnpqrs";

fn adapter(server: &MockServer, marker: MarkerPlace, cancelled_date: CancelledDate) -> PsaAdapter {
    PsaAdapter::new(client(server), WriteStyle { cancelled_date, marker })
}

fn record_answer(status: u16, body: &Value) -> wiremock::ResponseTemplate {
    answer(status, &body.to_string())
}

fn plain(server: &MockServer) -> PsaAdapter {
    adapter(server, MarkerPlace::SerialNumber, CancelledDate::LastBilledDay)
}

fn addition() -> Value {
    json!({"id": 311, "product": {"id": 7, "identifier": "SKU"}, "quantity": 5.0, "lessIncluded": 1.0, "unitPrice": 22.0,
        "unitCost": 17.6, "billCustomer": "Billable", "effectiveDate": "2026-01-01T00:00:00Z",
        "cancelledDate": "2026-03-31T00:00:00Z", "taxableFlag": true, "serialNumber": KEY, "description": "Mail",
        "invoiceDescription": "Mail, monthly", "agreementId": 40, "extPrice": 110.0, "agreementStatus": "Active",
        "_info": {"lastUpdated": "2026-01-02T03:04:05Z"}})
}

fn state() -> AdditionState {
    AdditionState {
        catalog_item: CatalogItemId(7),
        quantity: "5".parse().unwrap(),
        unit_price: "22".parse().unwrap(),
        unit_cost: "17.6".parse().unwrap(),
        effective: date(2026, 1, 1),
        cancelled: Some(date(2026, 3, 31)),
        bill: BillFlag::Billable,
        taxable: Some(true),
        description: Some("Mail".to_owned()),
        invoice_description: Some("Mail, monthly".to_owned()),
    }
}

async fn lists(server: &MockServer, records: &Value) {
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/finance/agreements/40/additions")))
        .respond_with(record_answer(200, records))
        .mount(server)
        .await;
}

#[tokio::test]
async fn an_addition_in_our_words() {
    let server = server().await;
    lists(&server, &json!([addition()])).await;
    let list = plain(&server).list_additions(AgreementId(40)).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].state, state());
    assert_eq!(
        serde_json::to_string(&list[0].state.quantity).unwrap(),
        "\"5\"",
        "trailing zeros are not kept"
    );
    assert_eq!(list[0].less_included, "1".parse().unwrap());
    assert_eq!(list[0].marker.as_deref(), Some(KEY));
    assert_eq!(list[0].last_updated.as_deref(), Some("2026-01-02T03:04:05Z"));
}

#[tokio::test]
async fn the_first_unbilled_day_is_turned_into_the_last_billed_one_and_back() {
    let server = server().await;
    let mut record = addition();
    record["cancelledDate"] = "2026-04-01T00:00:00Z".into();
    lists(&server, &json!([record])).await;
    let ops = json!([{"op": "replace", "path": "cancelledDate", "value": "2026-04-01T00:00:00Z"}]);
    Mock::given(method("PATCH"))
        .and(body_json(ops))
        .respond_with(record_answer(200, &record))
        .expect(1)
        .mount(&server)
        .await;
    let adapter = adapter(&server, MarkerPlace::SerialNumber, CancelledDate::FirstUnbilledDay);
    assert_eq!(adapter.list_additions(AgreementId(40)).await.unwrap()[0].state, state());
    let change = FieldChange { field: Field::CancelledDate, from: None, to: Some("2026-03-31".to_owned()) };
    let after = adapter.update_addition(AgreementId(40), AdditionId(311), &state(), &[change]).await.unwrap();
    assert_eq!(after.state, state());
}

/// Every managed field dropped, renamed or of another type stops the agreement; nothing is guessed.
#[rstest]
#[case("id")]
#[case("product")]
#[case("quantity")]
#[case("unitPrice")]
#[case("unitCost")]
#[case("billCustomer")]
#[case("effectiveDate")]
#[tokio::test]
async fn a_managed_field_that_changed_is_an_error(
    #[case] field: &str,
    #[values("drop", "null", "bool", "object", "word", "list")] how: &str,
) {
    let mut record = addition();
    let map = record.as_object_mut().unwrap();
    match how {
        "drop" => drop(map.remove(field)),
        "null" => drop(map.insert(field.to_owned(), Value::Null)),
        "bool" => drop(map.insert(field.to_owned(), Value::Bool(true))),
        "object" => drop(map.insert(field.to_owned(), json!({"value": 1}))),
        "word" => drop(map.insert(field.to_owned(), json!("several"))),
        _ => drop(map.insert(field.to_owned(), json!([1]))),
    }
    let server = server().await;
    lists(&server, &json!([record])).await;
    let error = plain(&server).list_additions(AgreementId(40)).await.unwrap_err();
    assert_eq!(error.code, Code::Tu1007, "{error}");
}

#[rstest]
#[case("cancelledDate", json!(5))]
#[case("cancelledDate", json!("soon"))]
#[case("lessIncluded", json!("some"))]
#[case("quantity", json!(1e30))]
#[case("agreementId", json!(41))]
#[case("taxableFlag", json!("maybe"))]
#[case("serialNumber", json!(5))]
#[tokio::test]
async fn an_optional_field_of_another_type_is_an_error(#[case] field: &str, #[case] value: Value) {
    let mut record = addition();
    record[field] = value;
    let server = server().await;
    lists(&server, &json!([record])).await;
    assert_eq!(plain(&server).list_additions(AgreementId(40)).await.unwrap_err().code, Code::Tu1007);
}

#[tokio::test]
async fn a_creation_carries_its_key_in_the_serial_number() {
    let server = server().await;
    let sent = json!({"product": {"id": 7}, "quantity": 5, "unitPrice": 22, "unitCost": 17.6, "billCustomer": "Billable",
        "effectiveDate": "2026-01-01T00:00:00Z", "cancelledDate": "2026-03-31T00:00:00Z", "taxableFlag": true,
        "description": "Mail", "invoiceDescription": "Mail, monthly", "serialNumber": KEY});
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/finance/agreements/40/additions")))
        .and(body_json(sent))
        .respond_with(record_answer(201, &addition()))
        .expect(1)
        .mount(&server)
        .await;
    let made = plain(&server)
        .create_addition(AgreementId(40), &state(), &OperationKey(KEY.to_owned()))
        .await
        .unwrap();
    assert_eq!((made.id, made.marker.as_deref()), (AdditionId(311), Some(KEY)));
}

fn definitions(fields: Value) -> Mock {
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/system/userDefinedFields")))
        .and(query_param("conditions", "caption = \"trueup key\""))
        .respond_with(record_answer(200, &fields))
}

async fn created_with(server: &MockServer) -> Value {
    let requests = server.received_requests().await.unwrap();
    let post = requests.iter().find(|r| r.method.as_str() == "POST").unwrap();
    serde_json::from_slice(&post.body).unwrap()
}

#[rstest]
#[case::only_one(json!([{"id": 22, "caption": "Trueup Key "}]), Some(22))]
#[case::the_one_on_additions(json!([{"id": 22, "caption": "trueup key", "screenId": "Ticket"}, {"id": 23, "caption": "trueup key", "screenId": "AgreementAddition"}]), Some(23))]
#[case::ambiguous(json!([{"id": 22, "caption": "trueup key"}, {"id": 23, "caption": "trueup key"}]), None)]
#[case::read_only(json!([{"id": 22, "caption": "trueup key", "readOnlyFlag": true}]), None)]
#[case::none(json!([]), None)]
#[tokio::test]
async fn auto_takes_the_custom_field_where_the_tenant_has_one(
    #[case] fields: Value,
    #[case] expected: Option<i64>,
) {
    let server = server().await;
    definitions(fields).expect(1).mount(&server).await;
    let mut record = addition();
    record["serialNumber"] = Value::Null;
    record["customFields"] = json!([{"id": 22, "caption": "trueup key", "type": "Text", "value": KEY}]);
    Mock::given(method("POST")).respond_with(record_answer(201, &record)).mount(&server).await;
    let adapter = adapter(&server, MarkerPlace::Auto, CancelledDate::LastBilledDay);
    for _ in 0..2 {
        let made =
            adapter.create_addition(AgreementId(40), &state(), &OperationKey(KEY.to_owned())).await.unwrap();
        assert_eq!(made.marker.as_deref(), Some(KEY));
    }
    let sent = created_with(&server).await;
    match expected {
        Some(id) => assert_eq!(sent["customFields"], json!([{"id": id, "value": KEY}])),
        None => assert_eq!(sent["serialNumber"], json!(KEY)),
    }
    assert_ne!(sent.get("customFields").is_some(), sent.get("serialNumber").is_some());
}

#[tokio::test]
async fn a_custom_field_seen_in_an_addition_is_not_asked_for() {
    let server = server().await;
    definitions(json!([])).expect(0).mount(&server).await;
    let mut record = addition();
    record["customFields"] = json!([{"id": 31, "caption": "trueup key", "type": "Text"}]);
    lists(&server, &json!([record])).await;
    Mock::given(method("POST")).respond_with(record_answer(201, &record)).mount(&server).await;
    let adapter = adapter(&server, MarkerPlace::Auto, CancelledDate::LastBilledDay);
    let seen = adapter.list_additions(AgreementId(40)).await.unwrap();
    assert_eq!(seen[0].marker.as_deref(), Some(KEY), "an older key in the serial number is still found");
    adapter.create_addition(AgreementId(40), &state(), &OperationKey(KEY.to_owned())).await.unwrap();
    assert_eq!(created_with(&server).await["customFields"], json!([{"id": 31, "value": KEY}]));
}

#[tokio::test]
async fn a_named_field_that_is_not_there_refuses_before_anything_is_sent() {
    let server = server().await;
    Mock::given(method("GET")).respond_with(answer(200, "[]")).mount(&server).await;
    let place = MarkerPlace::CustomField("our key".to_owned());
    let adapter = adapter(&server, place, CancelledDate::LastBilledDay);
    let error =
        adapter.create_addition(AgreementId(40), &state(), &OperationKey(KEY.to_owned())).await.unwrap_err();
    assert!(matches!(&error, WriteError::Refused(e) if e.code == Code::Tu2008), "{error}");
    assert!(server.received_requests().await.unwrap().iter().all(|r| r.method.as_str() == "GET"));
}

#[tokio::test]
async fn only_the_named_fields_are_patched_to_what_is_wanted() {
    let server = server().await;
    let ops = json!([
        {"op": "replace", "path": "quantity", "value": 8},
        {"op": "replace", "path": "unitCost", "value": 17.6},
        {"op": "replace", "path": "cancelledDate", "value": null},
        {"op": "replace", "path": "product", "value": {"id": 7}},
        {"op": "replace", "path": "billCustomer", "value": "DoNotBill"},
        {"op": "replace", "path": "effectiveDate", "value": "2026-01-01T00:00:00Z"},
    ]);
    Mock::given(method("PATCH"))
        .and(path(format!("{ROOT}/finance/agreements/40/additions/311")))
        .and(body_json(ops))
        .respond_with(record_answer(200, &addition()))
        .expect(1)
        .mount(&server)
        .await;
    let wanted = AdditionState {
        quantity: "8.00".parse().unwrap(),
        cancelled: None,
        bill: BillFlag::DoNotBill,
        taxable: None,
        ..state()
    };
    let fields = [
        Field::Quantity,
        Field::UnitCost,
        Field::CancelledDate,
        Field::CatalogItem,
        Field::Bill,
        Field::EffectiveDate,
        Field::Taxable,
    ]
    .map(|field| FieldChange { field, from: None, to: None });
    plain(&server).update_addition(AgreementId(40), AdditionId(311), &wanted, &fields).await.unwrap();
}

#[tokio::test]
async fn a_write_whose_answer_is_strange_is_in_doubt_and_a_refusal_is_not() {
    let server = server().await;
    let mut record = addition();
    record["quantity"] = Value::Null;
    Mock::given(method("POST")).respond_with(record_answer(201, &record)).mount(&server).await;
    let words = r#"{"code":"InvalidObject","message":"addition object is invalid","errors":[{"code":"InvalidField","message":"effectiveDate cannot be less than the agreement billing start date","resource":"addition","field":"effectiveDate"}]}"#;
    Mock::given(method("PATCH")).respond_with(answer(400, words)).mount(&server).await;
    Mock::given(method("DELETE")).respond_with(answer(500, "{}")).mount(&server).await;
    let adapter = plain(&server);
    let key = OperationKey(KEY.to_owned());
    let error = adapter.create_addition(AgreementId(40), &state(), &key).await.unwrap_err();
    assert!(matches!(error, WriteError::InDoubt(_)), "{error}");
    let change = [FieldChange { field: Field::Quantity, from: None, to: None }];
    let error =
        adapter.update_addition(AgreementId(40), AdditionId(311), &state(), &change).await.unwrap_err();
    let WriteError::Refused(refused) = error else { panic!("{error}") };
    assert_eq!(refused.code, Code::Tu4001);
    assert!(refused.their_words.unwrap().contains("billing start date"));
    let error = adapter.delete_addition(AgreementId(40), AdditionId(311)).await.unwrap_err();
    assert!(matches!(error, WriteError::InDoubt(_)), "{error}");
}

fn agreement(id: i64, extra: Value) -> Value {
    let mut record = json!({"id": id, "name": format!("A{id}"), "type": {"id": 1, "name": "Managed"},
        "company": {"id": 12, "identifier": "X"}, "billingCycle": {"id": 2, "name": "Monthly"},
        "startDate": "2026-01-01T00:00:00Z", "noEndingDateFlag": true, "billStartDate": "2026-01-15T00:00:00Z",
        "nextInvoiceDate": "2026-02-15T00:00:00Z", "agreementStatus": "Active", "currency": {"id": 7, "currencyCode": "EUR"}});
    for (name, value) in extra.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

#[tokio::test]
async fn agreements_with_their_parents_cycles_and_currencies_in_few_calls() {
    let server = server().await;
    let list = |cond: &str, body: Value| {
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/finance/agreements")))
            .and(query_param("conditions", cond))
            .respond_with(record_answer(200, &body))
            .expect(1)
    };
    let children = json!([
        agreement(
            40,
            json!({"prorateFlag": true, "invoicingCycle": "ContractYear", "parentAgreement": {"id": 30, "name": "P"}})
        ),
        agreement(
            41,
            json!({"currency": null, "agreementStatus": "Sleeping", "billingCycle": {"id": 9}, "endDate": "2026-12-31T00:00:00Z"})
        ),
        agreement(
            42,
            json!({"billOneTimeFlag": true, "noEndingDateFlag": false, "endDate": "2026-12-31T00:00:00Z", "agreementStatus": "Expired"})
        ),
    ]);
    list("company/id in (12,13)", children).mount(&server).await;
    list(
        "id in (30)",
        json!([agreement(30, json!({"company": {"id": 99}, "invoicingCycle": "CalendarYear"}))]),
    )
    .mount(&server)
    .await;
    Mock::given(path(format!("{ROOT}/finance/billingCycles")))
        .respond_with(answer(200, r#"[{"id":2,"name":"Monthly","billingOptions":"Monthly"},{"id":9,"name":"Lunar","billingOptions":"LunarCycle"}]"#))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/company/companies")))
        .respond_with(answer(
            200,
            r#"[{"id":12,"identifier":"X","name":"X","currency":{"id":8,"name":"GBP"}}]"#,
        ))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/finance/currencies")))
        .respond_with(answer(
            200,
            r#"[{"id":7,"currencyCode":{"id":1,"name":"EUR"}},{"id":8,"currencyCode":"GBP"}]"#,
        ))
        .expect(0)
        .mount(&server)
        .await;
    let adapter = plain(&server);
    let found = adapter.list_agreements(Some(&[CompanyId(13), CompanyId(12), CompanyId(12)])).await.unwrap();
    let shown: Vec<String> = found
        .iter()
        .map(|a| {
            let cycle = a.billing_cycle.map(|c| c.slug()).unwrap_or_default();
            let currency = a.currency.map(|c| c.code()).unwrap_or_default();
            format!(
                "{} of {}: {:?} {cycle} {currency} ends {:?} parent {:?}",
                a.id, a.company, a.status, a.end, a.parent
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    30 of 99: Active 1-month EUR ends None parent None
    40 of 12: Active 1-month EUR ends None parent Some(AgreementId(30))
    41 of 12: Inactive  GBP ends None parent None
    42 of 12: Expired  EUR ends Some(2026-12-31) parent None
    ");
    assert!(found[1].prorates && !found[0].prorates);
    // Where the periods lie: what nothing is said of lies on its own start.
    assert_eq!(found.iter().map(|a| a.by_calendar).collect::<Vec<_>>(), [true, false, false, false]);
    assert_eq!(found[1].next_invoice, Some(date(2026, 2, 15)));
    assert_eq!(found[1].status, AgreementStatus::Active);
    // companyinfo, two lists of agreements, cycles, the company
    assert_eq!(adapter.calls(), 5);
}

#[tokio::test]
async fn an_agreement_that_is_gone_is_none() {
    let server = server().await;
    let gone = r#"{"code":"NotFound","message":"Agreement 40 not found"}"#;
    Mock::given(path(format!("{ROOT}/finance/agreements/40")))
        .respond_with(answer(404, gone))
        .mount(&server)
        .await;
    assert_eq!(plain(&server).find_agreement(AgreementId(40)).await.unwrap(), None);
}

#[tokio::test]
async fn the_additions_of_many_agreements_come_whole_or_not_at_all() {
    let server = server().await;
    for id in 1..=30 {
        let mut record = addition();
        record["agreementId"] = id.into();
        Mock::given(path(format!("{ROOT}/finance/agreements/{id}/additions")))
            .respond_with(record_answer(200, &json!([record])))
            .mount(&server)
            .await;
    }
    let adapter = plain(&server);
    let ids: Vec<AgreementId> = (1..=30).map(AgreementId).collect();
    let all = adapter.list_additions_of(&ids).await.unwrap();
    assert_eq!((all.len(), adapter.calls()), (30, 31));
    let mut ids = ids;
    ids.push(AgreementId(31));
    assert!(adapter.list_additions_of(&ids).await.is_err());
}

#[tokio::test]
async fn an_agreement_that_is_not_there_is_left_out() {
    let server = server().await;
    lists(&server, &json!([addition()])).await;
    Mock::given(path(format!("{ROOT}/finance/agreements/41/additions")))
        .respond_with(answer(404, r#"{"code":"NotFound","message":"Agreement 41 not found"}"#))
        .mount(&server)
        .await;
    let found = plain(&server).list_additions_of(&[AgreementId(41), AgreementId(40)]).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [AgreementId(40)]);
}

#[tokio::test]
async fn what_changed_is_asked_for_in_whole_seconds_of_the_servers_own_time() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/finance/agreements")))
        .and(query_param("conditions", "lastUpdated >= [2026-03-01T08:30:07Z]"))
        .respond_with(answer(200, "[]").insert_header("date", "Sun, 01 Mar 2026 08:41:00 GMT"))
        .expect(1)
        .mount(&server)
        .await;
    let adapter = plain(&server);
    assert_eq!(adapter.server_time(), None);
    // 2026-03-01T08:30:07.999Z
    assert!(adapter.list_agreements_changed(1_772_353_807_999).await.unwrap().is_empty());
    assert_eq!(adapter.server_time(), Some(1_772_354_460_000));
}

#[tokio::test]
async fn companies_that_were_read_are_not_read_again_for_their_currency() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/company/companies")))
        .respond_with(answer(
            200,
            r#"[{"id":12,"identifier":"X","name":"X","currency":{"id":8,"name":"GBP"}},
                {"id":13,"identifier":"Y","name":"Y"}]"#,
        ))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/finance/agreements")))
        .respond_with(record_answer(
            200,
            &json!([{"id": 40, "name": "Cloud", "company": {"id": 12}, "_info": {}},
                {"id": 41, "name": "Cloud", "company": {"id": 13}, "_info": {}}]),
        ))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/finance/currencies")))
        .respond_with(answer(200, r#"[{"id":7,"currencyCode":"EUR"}]"#))
        .expect(1)
        .mount(&server)
        .await;
    let adapter = plain(&server);
    adapter.list_companies(None).await.unwrap();
    let found = adapter.list_agreements(None).await.unwrap();
    let codes: Vec<String> = found.iter().filter_map(|a| Some(a.currency?.code().to_owned())).collect();
    assert_eq!(codes, ["GBP", "EUR"]);
    // companyinfo, companies, agreements, and the tenant's only currency for the company that has none
    assert_eq!(adapter.calls(), 4);
}

#[rstest::rstest]
#[case::its_own_text(json!({"id": 9, "name": "Canadian Dollars", "currencyCode": "CAD"}), Some("CAD"))]
#[case::by_the_table(json!({"id": 9, "name": "Canadian Dollars"}), Some("CAD"))]
#[case::of_the_company(json!(null), Some("USD"))]
#[case::not_known(json!({"id": 10, "name": "CA$"}), None)]
#[tokio::test]
async fn a_currency_that_is_named_and_not_known_is_not_the_companys(
    #[case] named: Value,
    #[case] wanted: Option<&str>,
) {
    let server = server().await;
    let companies = r#"[{"id":12,"identifier":"X","name":"X","currency":{"id":8,"name":"USD"}}]"#;
    let rows = r#"[{"id":8,"currencyCode":"USD"},{"id":9,"currencyCode":{"id":3,"name":"CAD"}},{"id":10,"name":"CA$"}]"#;
    for (place, rows) in [("company/companies", companies), ("finance/currencies", rows)] {
        let there = Mock::given(path(format!("{ROOT}/{place}")));
        there.respond_with(answer(200, rows)).mount(&server).await;
    }
    Mock::given(path(format!("{ROOT}/finance/agreements")))
        .respond_with(record_answer(
            200,
            &json!([agreement(40, json!({"currency": named, "billingCycle": null}))]),
        ))
        .mount(&server)
        .await;
    let found = plain(&server).list_agreements(None).await.unwrap();
    assert_eq!(found[0].currency.map(|currency| currency.code()), wanted);
}

#[tokio::test]
async fn companies_and_catalog_items_with_their_states() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/company/companies")))
        .respond_with(answer(200, r#"[{"id":1,"identifier":"A","name":"A","status":{"id":1,"name":"Active"},"deletedFlag":false},
            {"id":2,"identifier":"B","name":"B","status":{"id":2,"name":"Inactive"}},{"id":3,"identifier":"C","name":"C","deletedFlag":true}]"#))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/procurement/catalog")))
        .respond_with(answer(200, r#"[{"id":7,"identifier":"SKU","description":"Mail","price":22.50,"cost":0.0,"productClass":"Bundle"},
            {"id":8,"identifier":"OLD","inactiveFlag":true,"productClass":"Hologram"}]"#))
        .mount(&server)
        .await;
    let adapter = plain(&server);
    let companies = adapter.list_companies(Some(&[CompanyId(1), CompanyId(2), CompanyId(3)])).await.unwrap();
    let states: Vec<CompanyState> = companies.iter().map(|c| c.state).collect();
    assert_eq!(states, [CompanyState::Active, CompanyState::Inactive, CompanyState::Deleted]);
    let items = adapter.list_catalog_items(None).await.unwrap();
    assert!(items[0].bundle && !items[0].inactive && !items[1].bundle && items[1].inactive);
    assert_eq!(items[0].price, Some("22.5".parse().unwrap()));
}

#[tokio::test]
async fn a_catalog_item_is_made_with_the_usual_tables() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/procurement/subcategories/info")))
        .respond_with(answer(200, r#"[{"id":1,"name":"Old","inactiveFlag":true},{"id":2,"name":"A"},{"id":3,"name":"B","defaultFlag":true}]"#))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/procurement/types/info")))
        .respond_with(answer(200, r#"[{"id":5,"name":"T"}]"#))
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/procurement/catalog")))
        .and(body_json(json!({"identifier": "SKU-1", "description": "Mail", "customerDescription": "Mail", "subcategory": {"id": 3}, "type": {"id": 5}, "price": 22, "cost": 17.6})))
        .respond_with(answer(201, r#"{"id":9,"identifier":"SKU-1","description":"Mail"}"#))
        .expect(1)
        .mount(&server)
        .await;
    let wanted = NewItem {
        identifier: "SKU-1".into(),
        description: "Mail".into(),
        price: Some("22.00".parse().unwrap()),
        cost: Some("17.60".parse().unwrap()),
    };
    let item = plain(&server).create_catalog_item(&wanted).await.unwrap();
    assert_eq!(item.id, CatalogItemId(9));
}

#[tokio::test]
async fn a_probe_reports_rights_version_and_marker() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/system/info")))
        .respond_with(answer(200, r#"{"version":"v2026.3.105333","isCloud":true}"#))
        .mount(&server)
        .await;
    Mock::given(method("GET")).respond_with(answer(200, "[]")).mount(&server).await;
    let report = adapter(&server, MarkerPlace::Auto, CancelledDate::LastBilledDay).probe().await.unwrap();
    assert_eq!((report.version.as_deref(), report.cloud), (Some("v2026.3.105333"), Some(true)));
    assert_eq!(report.marker, "serial number");
    assert!(report.rights.iter().any(|r| r.level == "Inquire All" && r.state == "granted"));
    assert!(report.rights.iter().any(|r| r.level == "Delete All" && r.state == "unknown"));
}

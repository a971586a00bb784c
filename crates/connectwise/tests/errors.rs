//! What ConnectWise says, what it means, and what never leaks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails by panicking")]

mod support;

use rstest::rstest;
use rust_decimal::Decimal;
use support::{PRIVATE, ROOT, client, codebase, config, credentials, json, server};
use trueup_connectwise::client::address::{AddressError, AllowedHosts, SiteAddress};
use trueup_connectwise::client::rights::Part;
use trueup_connectwise::client::rights::RightState;
use trueup_connectwise::client::wire::{BillCustomer, ById};
use trueup_connectwise::client::{
    ClientError, ConnectWiseClient, Credentials, NewAddition, Number, PatchOp, Query, WireDate,
};
use wiremock::matchers::{body_string, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn new_addition() -> NewAddition {
    NewAddition {
        product: ById { id: 7 },
        quantity: Number(Decimal::new(5, 0)),
        unit_price: Some(Number(Decimal::new(2200, 2))),
        unit_cost: Some(Number(Decimal::new(1, 7))),
        bill_customer: BillCustomer::Billable,
        effective_date: WireDate(jiff::civil::date(2026, 1, 31)),
        cancelled_date: None,
        taxable_flag: None,
        description: None,
        invoice_description: None,
        serial_number: Some("tu0".to_owned()),
        custom_fields: None,
    }
}

const PERMISSION: &str = "You do not have security permission to perform this action.";

#[rstest]
#[case(400, r#"{"code":"InvalidObject","message":"contact object is invalid","errors":[{"code":"MissingRequiredField","message":"The firstName field is required.","resource":"contact","field":"firstName"}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"x","errors":[{"code":"MissingRequiredField","message":"id or deviceIdentifier is required.","resource":"configuration","field":"id"}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"x","errors":[{"code":"MaxLengthField","message":"The field summary must be a string with a maximum length of 100."}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"x","errors":[{"code":"OutOfRange","message":"The field yearEstablished must be between 1900 and 9999.","resource":"company","field":"yearEstablished"}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"x","errors":[{"code":"NotFound","message":"Service Status 17 not found for Service Board 21","resource":"ticket","field":"status/id"}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"callbackEntry object is invalid","errors":[{"code":"ObjectExists","message":"A matching callback entry already exists","resource":"callbackEntry","field":"objectId"}]}"#, "TU7004")]
#[case(400, r#"{"code":"InvalidObject","message":"addition object is invalid","errors":[{"code":"InvalidField","message":"effectiveDate cannot be less than the agreement billing start date","resource":"addition","field":"effectiveDate"}]}"#, "TU4001")]
#[case(400, r#"{"code":"InvalidObject","message":"addition object is invalid","errors":[{"code":"InvalidField","message":"Since this period has already been invoiced there will not be an invoice generated for additional products for this period. Please prorate the agreement or update the start date to on or after the Next Invoice Date."}]}"#, "TU4002")]
#[case(
    400,
    r#"{"code":"InvalidObject","message":"typeIds can only be used when creating","errors":null}"#,
    "TU7004"
)]
#[case(400, r#"{"code":"InvalidClient","message":"The clientId header is required"}"#, "TU1003")]
#[case(403, r#"{"code":"ClientId","message":"Invalid Client ID"}"#, "TU1003")]
#[case(401, r#"{"code":"Unauthorized","message":"no"}"#, "TU1002")]
#[case(401, r#"{"code":"ConnectWiseApi","message":"UserNotAuthenticated"}"#, "TU1002")]
#[case(401, "Incorrect public/private key", "TU1002")]
#[case(
    403,
    r#"{"code":"Security","message":"You do not have security permission to perform this action."}"#,
    "TU1004"
)]
#[case(403, r#"{"code":"Security","message":"SSL is required.","errors":null}"#, "TU1005")]
#[case(404, r#"{"code":"NotFound","message":"Contact 57919 not found"}"#, "TU7004")]
#[case(404, r#"{"code":"ConnectWiseApi","message":"The endpoint does not exist."}"#, "TU1005")]
#[case(404, "", "TU1002")]
#[case(405, "", "TU7004")]
#[case(
    409,
    r#"{"code":"Conflict","message":"Record possibly in use or another conflict with the record"}"#,
    "TU7004"
)]
#[case(415, "", "TU7004")]
#[case(500, r#"{"code":"ConnectWiseApi","message":"Error converting value \"{timeout}\" to type 'X'. Path '', line 1, position 1."}"#, "TU7003")]
#[case(
    500,
    r#"{ "code": "ConnectWiseApi", "message": "A timeout has occured. Please try again."}"#,
    "TU7003"
)]
#[case(504, "<html><title>504 Gateway Time-out</title></html>", "TU7003")]
#[tokio::test]
async fn a_refused_creation_has_its_code_and_is_sent_once(
    #[case] status: u16,
    #[case] body: &str,
    #[case] code: &str,
) {
    let server = server().await;
    Mock::given(method("POST"))
        .and(path(format!("{ROOT}/finance/agreements/9/additions")))
        .respond_with(json(status, body))
        .expect(1)
        .mount(&server)
        .await;
    let error = client(&server).create_addition(9, &new_addition()).await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(error.certainly_not_done(), status < 500, "{error}");
    assert!(!format!("{error} {error:?} {}", error.fix()).contains(PRIVATE));
    if let Some(api) = error.api()
        && body.starts_with('{')
    {
        assert!(api.is_from_connectwise());
        assert_eq!(api.status, status);
    }
}

#[tokio::test]
async fn the_words_of_every_fault_are_kept() {
    let server = server().await;
    let body = r#"{"code":"InvalidObject","message":"callbackEntry object is invalid","errors":[{"code":"InvalidField","message":"Invalid URL","resource":"callbackEntry","field":"url","details":1},{"code":"InvalidObject","message":"Unrecognized level","resource":null,"field":"level"}]}"#;
    Mock::given(method("POST")).respond_with(json(400, body)).mount(&server).await;
    let error = client(&server).create_addition(9, &new_addition()).await.unwrap_err();
    let api = error.api().unwrap();
    assert_eq!(api.errors.len(), 2);
    assert_eq!((api.errors[0].field.as_str(), api.errors[1].resource.as_str()), ("url", ""));
    assert!(!api.is_duplicate());
    assert!(error.to_string().contains("Unrecognized level (field level)"), "{error}");
}

#[tokio::test]
async fn a_throttled_call_waits_and_a_wait_too_long_is_said() {
    let server = server().await;
    let body = r#"{"error":"ConnectWiseAPI","message":"Too many requests. Please try again in 30 seconds."}"#;
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/finance/agreements")))
        .respond_with(json(429, body).insert_header("retry-after", "30"))
        .mount(&server)
        .await;
    let error = client(&server).list_agreements(&Query::all()).await.unwrap_err();
    assert_eq!(error.code(), "TU1006");
    assert!(error.certainly_not_done());
}

#[tokio::test]
async fn a_database_time_out_is_tried_again_for_reads_only() {
    let server = server().await;
    let body = r#"{ "code": "ConnectWiseApi", "message": "A timeout has occured. Please try again."}"#;
    let url = format!("{ROOT}/finance/agreements");
    Mock::given(path(url.clone())).respond_with(json(500, body)).up_to_n_times(1).mount(&server).await;
    Mock::given(path(url)).respond_with(json(200, "[]")).mount(&server).await;
    assert!(client(&server).list_agreements(&Query::all()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_creation_whose_answer_cannot_be_read_is_in_doubt() {
    for answer in [json(201, "{\"id\":"), json(201, ""), json(200, "<html></html>")] {
        let server = server().await;
        Mock::given(method("POST")).respond_with(answer).expect(1).mount(&server).await;
        let error = client(&server).create_addition(9, &new_addition()).await.unwrap_err();
        assert!(matches!(error, ClientError::InDoubt { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_sent_is_exact() {
    let server = server().await;
    let body = r#"{"product":{"id":7},"quantity":5,"unitPrice":22,"unitCost":0.0000001,"billCustomer":"Billable","effectiveDate":"2026-01-31T00:00:00Z","serialNumber":"tu0"}"#;
    let record = r#"{"id":1,"product":{"id":7}}"#;
    Mock::given(method("POST"))
        .and(body_string(body))
        .respond_with(json(201, record))
        .expect(1)
        .mount(&server)
        .await;
    let patch = r#"[{"op":"replace","path":"quantity","value":8.5}]"#;
    Mock::given(method("PATCH"))
        .and(body_string(patch))
        .respond_with(json(200, record))
        .expect(1)
        .mount(&server)
        .await;
    let client = client(&server);
    client.create_addition(9, &new_addition()).await.unwrap();
    let ops = [PatchOp::replace("quantity", &Number(Decimal::new(850, 2))).unwrap()];
    client.patch_addition(9, 1, &ops).await.unwrap();
}

#[tokio::test]
async fn deleting_what_is_gone_is_done() {
    let server = server().await;
    let gone = r#"{"code":"NotFound","message":"Addition 1 not found"}"#;
    Mock::given(method("DELETE")).respond_with(json(404, gone)).mount(&server).await;
    client(&server).delete_addition(9, 1).await.unwrap();
}

#[tokio::test]
async fn a_deletion_in_doubt_stays_so_until_connectwise_itself_says_that_the_record_is_gone() {
    let gone = r#"{"code":"NotFound","message":"Addition 1 not found"}"#;
    for (body, settled) in [(gone, true), (&gone[..20], false), ("", false)] {
        let server = server().await;
        let unclear = json(500, r#"{"code":"ConnectWiseApi","message":"A timeout has occured."}"#);
        Mock::given(method("DELETE")).respond_with(unclear).up_to_n_times(1).mount(&server).await;
        Mock::given(method("DELETE")).respond_with(json(404, body)).mount(&server).await;
        match client(&server).delete_addition(9, 1).await {
            Ok(()) => assert!(settled, "{body}"),
            Err(error) => {
                assert!(!settled, "{body}: {error}");
                assert!(matches!(error, ClientError::InDoubt { .. }), "{body}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_tenant_that_moves_is_followed_once_even_for_a_creation() {
    let server = MockServer::start().await;
    codebase(&server, "v2025_1/", 1).await;
    codebase(&server, "v2025_2/", u64::MAX).await;
    let missing = r#"{"code":"ConnectWiseApi","message":"The endpoint does not exist."}"#;
    Mock::given(path("/v2025_1/apis/3.0/finance/agreements/9/additions"))
        .respond_with(json(404, missing))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .and(path("/v2025_2/apis/3.0/finance/agreements/9/additions"))
        .respond_with(json(201, r#"{"id":1,"product":{"id":7}}"#))
        .expect(1)
        .mount(&server)
        .await;
    let client = client(&server);
    assert_eq!(client.create_addition(9, &new_addition()).await.unwrap().id, 1);
    assert_eq!(client.codebase().await.unwrap(), "v2025_2");
}

#[tokio::test]
async fn a_path_that_is_not_there_asks_for_the_code_base_once_a_minute() {
    let server = MockServer::start().await;
    codebase(&server, "v2025_1/", u64::MAX).await;
    let client = client(&server);
    for _ in 0..5 {
        assert_eq!(client.get_system_info().await.unwrap_err().code(), "TU1002");
    }
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.iter().filter(|r| r.url.path().starts_with("/login")).count(), 2);
    assert_eq!(requests.len(), 7);
}

#[tokio::test]
async fn companyinfo_decides_the_code_base() {
    for (body, expected) in [
        (r#"{"Codebase":"v2017_3/"}"#, "v2017_3"),
        (r#"{"Codebase":null}"#, "v4_6_release"),
        ("{}", "v4_6_release"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/login/companyinfo/training")).respond_with(json(200, body)).mount(&server).await;
        assert_eq!(client(&server).codebase().await.unwrap(), expected);
    }
    let server = MockServer::start().await;
    assert_eq!(client(&server).codebase().await.unwrap(), "v4_6_release", "a site without the page");
    for (body, code) in [
        ("null", "TU1005"),
        (r#"{"Codebase":"../../login"}"#, "TU1007"),
        (r#"{"Codebase":"v1@evil.test/"}"#, "TU1007"),
        ("<html></html>", "TU1007"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/login/companyinfo/training")).respond_with(json(200, body)).mount(&server).await;
        assert_eq!(client(&server).codebase().await.unwrap_err().code(), code, "{body}");
    }
}

#[rstest]
#[case("https://api-na.myconnectwise.net", "https://api-na.myconnectwise.net")]
#[case(" api-eu.myconnectwise.net ", "https://api-eu.myconnectwise.net")]
#[case("https://api-au.myconnectwise.net/v4_6_release/apis/3.0/", "https://api-au.myconnectwise.net")]
#[case("https://sandbox-na.myconnectwise.net/v2025_1/", "https://sandbox-na.myconnectwise.net")]
#[case("https://api-staging.connectwisedev.com", "https://api-staging.connectwisedev.com")]
#[case("https://psa.example.org:8443/x?y#z", "https://psa.example.org:8443")]
fn mp_05_addresses_as_people_write_them(#[case] given: &str, #[case] root: &str) {
    let allowed = AllowedHosts { hosts: vec!["psa.example.org".to_owned()], ..AllowedHosts::default() };
    assert_eq!(SiteAddress::parse(given, &allowed).unwrap().as_text(), root);
}

#[rstest]
#[case("https://na.myconnectwise.net/", Some("https://api-na.myconnectwise.net"))]
#[case("staging.connectwisedev.com", Some("https://api-staging.connectwisedev.com"))]
#[case("http://api-na.myconnectwise.net", Some("https://api-na.myconnectwise.net"))]
#[case("https://psa.example.org", None)]
#[case("http://127.0.0.1:4080", None)]
#[case("https://user:pw@api-na.myconnectwise.net", None)]
#[case("ftp://api-na.myconnectwise.net", None)]
#[case("not an address", None)]
#[case("", None)]
fn mp_05_addresses_that_cannot_be_used(#[case] given: &str, #[case] proposed: Option<&str>) {
    let error = SiteAddress::parse(given, &AllowedHosts::default()).unwrap_err();
    if let Some(proposed) = proposed {
        assert!(error.to_string().contains(proposed) || error.fix().contains(proposed), "{error}");
    }
    assert!(!error.to_string().contains("pw"), "{error}");
    assert!(!matches!(error, AddressError::UnknownCompany(_)));
}

#[tokio::test]
async fn the_private_key_is_in_no_output() {
    let server = server().await;
    let basic = "dHJhaW5pbmcrcHViOnByMXZhdGUtY2FuYXJ5LWtleQ==";
    let echo = format!(r#"{{"code":"Unauthorized","message":"bad header Basic {basic} with {PRIVATE}"}}"#);
    Mock::given(path(format!("{ROOT}/finance/agreements")))
        .respond_with(json(401, &echo))
        .mount(&server)
        .await;
    let client = client(&server);
    let error = client.list_agreements(&Query::all()).await.unwrap_err();
    let shown = format!("{error} {error:?} {client:?} {:?}", credentials());
    assert!(shown.contains("[redacted]"), "{shown}");
    for secret in [PRIVATE, basic] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn credentials_that_cannot_work_are_named() {
    let spoilers: [fn(&mut Credentials); 5] = [
        |c| c.company.clear(),
        |c| c.public_key = "a:b".to_owned(),
        |c| c.company = "a+b".to_owned(),
        |c| c.client_id = " ".to_owned(),
        |c| c.private_key = "a\nb".into(),
    ];
    for spoil in spoilers {
        let mut bad = config("http://127.0.0.1:1");
        spoil(&mut bad.credentials);
        let error = ConnectWiseClient::new(bad).unwrap_err();
        assert_eq!(error.code(), "TU1002");
        assert!(!error.to_string().contains("a\nb"));
    }
}

#[tokio::test]
async fn rights_are_named_and_nothing_is_written() {
    let server = server().await;
    let denied = format!(r#"{{"code":"Security","message":"{PERMISSION}"}}"#);
    Mock::given(path(format!("{ROOT}/finance/invoices")))
        .respond_with(json(403, &denied))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/system/apiMembers")))
        .respond_with(json(200, r#"[{"id":1,"identifier":"api","securityRole":{"id":63,"name":"API"}}]"#))
        .mount(&server)
        .await;
    Mock::given(path(format!("{ROOT}/system/securityRoles/63/settings")))
        .respond_with(json(200, r#"[
            {"id":1,"moduleName":"Finance","moduleFunctionName":"Agreements","addLevel":"All","editLevel":"My","deleteLevel":"None","inquireLevel":"All"},
            {"id":2,"moduleName":"Companies","moduleFunctionName":"Company Maintenance","inquireLevel":"My"}]"#))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string("[]"))
        .mount(&server)
        .await;
    let checks = client(&server).check_rights(Part::Billing).await.unwrap();
    let shown: Vec<String> = checks
        .iter()
        .map(|c| format!("{} > {} > {}: {:?}", c.module, c.function, c.level, c.state))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    Companies > Company Maintenance > Inquire All: Missing
    Finance > Agreements > Inquire All: Granted
    Finance > Invoicing > Inquire All: Missing
    Procurement > Product Catalog > Inquire All: Granted
    System > Table Setup: Invoicing / Billing Cycle > Inquire All: Granted
    System > Table Setup: Currency > Inquire All: Granted
    System > Table Setup: Custom Fields > Inquire All: Granted
    Finance > Agreements > Add All: Granted
    Finance > Agreements > Edit All: Missing
    Finance > Agreements > Delete All: Missing
    Procurement > Product Catalog > Add All: Unknown
    ");
    let asked = server.received_requests().await.unwrap();
    assert!(asked.iter().all(|r| r.method.as_str() == "GET"));
    // The role alone tells the same as far as it goes, for two calls.
    let by_role = client(&server).check_role(Part::Billing).await.unwrap();
    let missing: Vec<String> = by_role
        .iter()
        .filter(|c| c.state == RightState::Missing)
        .map(|c| format!("{} > {}", c.function, c.level))
        .collect();
    assert_eq!(
        missing,
        ["Company Maintenance > Inquire All", "Agreements > Edit All", "Agreements > Delete All"]
    );
    let calls = server.received_requests().await.unwrap().len() - asked.len();
    assert_eq!(calls, 3, "companyinfo of a new client, the members, the role");
}

//! A list is read whole, or it is an error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper fails by panicking")]

mod support;

use support::{ROOT, bare, client, config, json, server};
use trueup_connectwise::client::{ClientError, Cond, ConnectWiseClient, Query};
use wiremock::matchers::{header, method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

fn agreement(id: i64) -> String {
    format!(
        r#"{{"id":{id},"name":"A{id}","company":{{"id":5,"identifier":"X"}},"billAmount":0.0,"newField":{{"a":[1]}}}}"#
    )
}

fn page(ids: impl Iterator<Item = i64>) -> String {
    format!("[{}]", ids.map(agreement).collect::<Vec<_>>().join(","))
}

async fn mount(server: &MockServer, page_id: Option<&str>, answer: ResponseTemplate) {
    let mock = Mock::given(method("GET")).and(path(format!("{ROOT}/finance/agreements")));
    let mock = match page_id {
        Some(id) => mock.and(query_param("pageId", id)),
        None => mock.and(query_param_is_missing("pageId")),
    };
    mock.respond_with(answer).mount(server).await;
}

async fn small_pages(server: &MockServer) -> ConnectWiseClient {
    let mut config = config(&server.uri());
    config.page_size = 2;
    ConnectWiseClient::new(config).unwrap()
}

async fn ids(client: &ConnectWiseClient) -> Result<Vec<i64>, ClientError> {
    Ok(client.list_agreements(&Query::all()).await?.into_iter().map(|a| a.id).collect())
}

#[tokio::test]
async fn every_call_is_signed_pinned_and_forward_only() {
    let server = server().await;
    Mock::given(method("GET"))
        .and(path(format!("{ROOT}/finance/agreements")))
        .and(header("authorization", "Basic dHJhaW5pbmcrcHViOnByMXZhdGUtY2FuYXJ5LWtleQ=="))
        .and(header("clientid", "00000000-0000-0000-0000-000000000001"))
        .and(header("accept", "application/vnd.connectwise.com+json; version=2025.1"))
        .and(header("pagination-type", "forward-only"))
        .and(query_param("pageSize", "1000"))
        .and(query_param("conditions", "company/id = 5 and name = \"a\\\"&+*\""))
        .respond_with(json(200, &page(1..=3)))
        .expect(1)
        .mount(&server)
        .await;
    let query = Query::filter(Cond::eq("company/id", 5).and(Cond::eq("name", "a\"&+*")));
    let list = client(&server).list_agreements(&query).await.unwrap();
    assert_eq!(list.len(), 3);
}

#[tokio::test]
async fn pages_follow_the_last_id_and_never_the_host_of_the_link() {
    let server = server().await;
    let canary = MockServer::start().await;
    let link = format!("<{}/steal?pageId=99>; rel=\"next\"", canary.uri());
    mount(&server, None, json(200, &page(1..=2)).insert_header("link", link.as_str())).await;
    mount(&server, Some("2"), json(200, &page(3..=4)).insert_header("link", link.as_str())).await;
    mount(&server, Some("4"), json(200, &page(5..=5)).insert_header("link", "")).await;
    assert_eq!(ids(&small_pages(&server).await).await.unwrap(), [1, 2, 3, 4, 5]);
    assert!(canary.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_link_header_a_page_that_is_not_full_is_the_last() {
    let server = server().await;
    mount(&server, None, bare(200, &page(1..=2))).await;
    mount(&server, Some("2"), bare(200, &page(3..=3))).await;
    mount(&server, Some("3"), bare(200, "[]")).await;
    let client = small_pages(&server).await;
    assert_eq!(ids(&client).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.stats().calls, 4, "companyinfo, two pages, and one more to learn the server's habit");
    assert_eq!(ids(&client).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.stats().calls, 6);
}

#[rstest::rstest]
#[case::rows_lost(bare(200, &page(1..=2)))]
#[case::all_rows_lost(bare(200, "[]"))]
#[tokio::test]
async fn a_page_that_lost_its_header_is_not_believed(#[case] cut: ResponseTemplate) {
    let server = server().await;
    let url = format!("{ROOT}/finance/agreements");
    Mock::given(path(format!("{ROOT}/procurement/catalog")))
        .respond_with(json(200, "[]"))
        .mount(&server)
        .await;
    Mock::given(path(url)).respond_with(cut).up_to_n_times(1).mount(&server).await;
    mount(&server, None, json(200, &page(1..=5))).await;
    mount(&server, Some("2"), json(200, &page(3..=5))).await;
    let client = client(&server);
    client.list_catalog(&Query::all()).await.unwrap();
    let before = client.stats().calls;
    assert_eq!(ids(&client).await.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(client.stats().calls - before, 2);
}

#[tokio::test]
async fn a_path_without_any_paging_is_read_once_it_repeats_itself() {
    let server = server().await;
    let url = format!("{ROOT}/finance/agreements");
    Mock::given(path(url)).respond_with(bare(200, &page(1..=2))).mount(&server).await;
    assert_eq!(ids(&client(&server)).await.unwrap(), [1, 2]);
    // A full page that repeats itself may have more behind it.
    assert!(ids(&small_pages(&server).await).await.is_err());
}

#[tokio::test]
async fn a_page_of_the_default_size_may_be_cut() {
    let server = server().await;
    mount(&server, None, bare(200, &page(1..=25))).await;
    mount(&server, Some("25"), json(200, &page(26..=30))).await;
    assert_eq!(ids(&client(&server)).await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_server_that_ignores_page_ids_is_paged_by_a_condition() {
    struct Stubborn;
    impl Respond for Stubborn {
        fn respond(&self, request: &Request) -> ResponseTemplate {
            let conditions =
                request.url.query_pairs().find(|(k, _)| k == "conditions").map(|(_, v)| v.into_owned());
            match conditions.as_deref() {
                None => bare(200, &page(1..=2)),
                Some("id > 2") => bare(200, &page(3..=4)),
                Some("id > 4") => bare(200, &page(5..=5)),
                Some(other) => panic!("{other}"),
            }
        }
    }
    let server = server().await;
    Mock::given(path(format!("{ROOT}/finance/agreements"))).respond_with(Stubborn).mount(&server).await;
    assert_eq!(ids(&small_pages(&server).await).await.unwrap(), [1, 2, 3, 4, 5]);
}

#[rstest::rstest]
#[case::server_error(json(502, ""), "TU1001")]
#[case::html_with_200(ResponseTemplate::new(200).set_body_raw("<html><title>Sign in</title></html>", "text/html"), "TU1007")]
#[case::object(json(200, "{}"), "TU1007")]
#[case::error_body_with_200(
    json(200, r#"{"code":"ConnectWiseApi","message":"A timeout has occured."}"#),
    "TU1007"
)]
#[case::cut(json(200, "[{\"id\":3,\"name\":\"A\""), "TU1007")]
#[case::null(json(200, "null"), "TU1007")]
#[case::empty(json(200, ""), "TU1007")]
#[case::out_of_order(json(200, &page([4, 3].into_iter())), "TU1007")]
#[case::twice_the_same(json(200, &page([3, 3].into_iter())), "TU1007")]
#[case::wrong_type(
    json(200, r#"[{"id":3,"name":"A","company":{"id":5}},{"id":4,"name":7,"company":{"id":5}}]"#),
    "TU1007"
)]
#[case::missing_field(json(200, r#"[{"id":3,"name":"A"}]"#), "TU1007")]
#[case::refused(
    json(
        403,
        r#"{"code":"Security","message":"You do not have security permission to perform this action."}"#
    ),
    "TU1004"
)]
#[tokio::test]
async fn a_second_page_that_fails_fails_the_list(#[case] second: ResponseTemplate, #[case] code: &str) {
    let server = server().await;
    mount(&server, None, bare(200, &page(1..=2))).await;
    mount(&server, Some("2"), second).await;
    let error = ids(&small_pages(&server).await).await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let server = server().await;
    let body =
        r#"[{"id":3,"product":{"id":1},"quantity":1.0},{"id":4,"product":{"id":1},"quantity":"many"}]"#;
    Mock::given(path(format!("{ROOT}/finance/agreements/9/additions")))
        .respond_with(json(200, body))
        .mount(&server)
        .await;
    let error = client(&server).list_additions(9).await.unwrap_err();
    assert_eq!(error.code(), "TU1007");
    assert!(error.to_string().contains("record 4") && error.to_string().contains("many"), "{error}");
}

#[tokio::test]
async fn many_ids_are_split_by_the_length_of_the_address() {
    let server = server().await;
    Mock::given(path(format!("{ROOT}/finance/agreements")))
        .respond_with(json(200, "[]"))
        .mount(&server)
        .await;
    let companies: Vec<i64> = (100_000..101_000).collect();
    client(&server).list_agreements_of(&companies).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let lists: Vec<_> = requests.iter().filter(|r| r.url.path().ends_with("/agreements")).collect();
    assert!((5..=8).contains(&lists.len()), "{}", lists.len());
    assert!(lists.iter().all(|r| r.url.as_str().len() <= 2_000));
    let asked: usize = lists.iter().map(|r| r.url.query().unwrap().matches("%2C").count() + 1).sum();
    assert_eq!(asked, 1_000);
}

#[tokio::test]
async fn an_address_that_would_be_too_long_is_not_sent() {
    let server = server().await;
    let query = Query::filter(Cond::eq("name", "x".repeat(3_000)));
    let error = client(&server).list_agreements(&query).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid(_)), "{error}");
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn decimals_and_dates_arrive_as_written() {
    let server = server().await;
    let body = r#"[{"id":3,"product":{"id":1,"identifier":"SKU"},"quantity":12345678901234.123456,"unitPrice":0.1,
        "unitCost":"22.00","lessIncluded":0.0,"billCustomer":"Sometimes","effectiveDate":"2026-01-31T00:00:00Z",
        "cancelledDate":null,"agreementStatus":"Active","_info":{"lastUpdated":"2026-02-01T10:00:00Z","x_href":"https://a//b"},
        "customFields":[{"id":22,"caption":"trueup key","type":"Text","entryMethod":"EntryField","numberOfDecimals":0,"value":"\u200etu1\u200e"},
                        {"id":23,"caption":"n","value":null},{"id":24,"caption":"m","value":7.50}]}]"#;
    Mock::given(path(format!("{ROOT}/finance/agreements/9/additions")))
        .respond_with(json(200, body))
        .mount(&server)
        .await;
    let list = client(&server).list_additions(9).await.unwrap();
    let addition = &list[0];
    assert_eq!(addition.quantity.unwrap().to_string(), "12345678901234.123456");
    assert_eq!(addition.unit_price.unwrap().to_string(), "0.1");
    assert_eq!(addition.unit_cost.unwrap().to_string(), "22");
    assert_eq!(addition.bill_customer.as_ref().unwrap().as_str(), "Sometimes");
    assert_eq!(addition.effective_date.unwrap().0.to_string(), "2026-01-31");
    assert_eq!(addition.cancelled_date, None);
    let fields = addition.custom_fields.as_ref().unwrap();
    assert_eq!(fields[0].text().as_deref(), Some("tu1"));
    assert_eq!(fields[1].text(), None);
    assert_eq!(fields[2].text().as_deref(), Some("7.50"));
}

/// A navigable page: in the order that was asked for, with what the `Link` header says of the next one, and never its host.
#[tokio::test]
async fn a_page_by_number_says_whether_another_one_follows() {
    let server = server().await;
    let canary = MockServer::start().await;
    let link = format!(
        "<{}/steal?page=2>; rel=\"next\", <{}/steal?page=1>; rel=\"first\"",
        canary.uri(),
        canary.uri()
    );
    let of = |number: &str| {
        Mock::given(method("GET"))
            .and(path(format!("{ROOT}/finance/agreements")))
            .and(query_param("orderBy", "name desc"))
            .and(query_param("pageSize", "2"))
            .and(query_param("page", number))
    };
    of("1")
        .respond_with(json(200, &page([9, 4].into_iter())).insert_header("link", link.as_str()))
        .mount(&server)
        .await;
    of("2").respond_with(json(200, &page([7].into_iter())).insert_header("link", "")).mount(&server).await;
    of("3").respond_with(bare(200, &page([2, 1].into_iter()))).mount(&server).await;
    let client = client(&server);
    let mut seen = Vec::new();
    for number in 1..=3 {
        let page = client
            .page::<trueup_connectwise::client::wire::Agreement>(
                "/finance/agreements",
                &Query::all(),
                "name desc",
                (number, 2),
            )
            .await
            .unwrap();
        seen.push((page.records.iter().map(|a| a.id).collect::<Vec<_>>(), page.has_next));
    }
    assert_eq!(seen, [(vec![9, 4], true), (vec![7], false), (vec![2, 1], true)]);
    assert!(canary.received_requests().await.unwrap().is_empty());
    for wrong in [(0, 2), (1, 0), (1, 1_001)] {
        let refused = client
            .page::<trueup_connectwise::client::wire::Agreement>(
                "/finance/agreements",
                &Query::all(),
                "id asc",
                wrong,
            )
            .await;
        assert!(matches!(refused, Err(ClientError::Invalid(_))), "{wrong:?}");
    }
}

//! A 403 while working names the right that is missing, by the table of the rights check.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use jiff::civil::date;
use support::{client, json as answer, server};
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::rights::Part;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::plan::{Field, FieldChange, OperationKey};
use trueup_domain::psa::{AdditionState, BillFlag};
use trueup_domain::settings::{CancelledDate, MarkerPlace};
use trueup_engine::ports::{Psa, PsaError, WriteError, WriteStyle};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

const DENIED: &str =
    r#"{"code":"Security","message":"You do not have security permission to perform this action."}"#;

async fn refusing() -> (MockServer, PsaAdapter) {
    let server = server().await;
    Mock::given(any()).respond_with(answer(403, DENIED)).with_priority(9).mount(&server).await;
    let style =
        WriteStyle { cancelled_date: CancelledDate::LastBilledDay, marker: MarkerPlace::SerialNumber };
    let adapter = PsaAdapter::new(client(&server), style);
    (server, adapter)
}

fn state() -> AdditionState {
    AdditionState {
        catalog_item: CatalogItemId(7),
        quantity: 5.into(),
        unit_price: 22.into(),
        unit_cost: 17.into(),
        effective: date(2026, 1, 1),
        cancelled: None,
        bill: BillFlag::Billable,
        taxable: Some(true),
        description: None,
        invoice_description: None,
    }
}

fn names(error: &PsaError, right: &str) {
    assert_eq!(error.code, Code::Tu1004, "{error}");
    assert!(error.message.contains(right), "{}", error.message);
    assert!(error.their_words.as_ref().is_some_and(|words| words.contains("security permission")));
}

fn refused(error: WriteError) -> PsaError {
    match error {
        WriteError::Refused(error) => error,
        WriteError::InDoubt(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_refused_write_names_its_right() {
    let (_server, adapter) = refusing().await;
    let key = OperationKey("tu0123456789abcdefghjkmnpqrs".to_owned());
    let (agreement, addition) = (AgreementId(40), AdditionId(311));
    let create = refused(adapter.create_addition(agreement, &state(), &key).await.unwrap_err());
    names(&create, "Finance > Agreements > Add All");
    let fields = [FieldChange { field: Field::Quantity, from: None, to: None }];
    let update = adapter.update_addition(agreement, addition, &state(), &fields).await.unwrap_err();
    names(&refused(update), "Finance > Agreements > Edit All");
    let delete = adapter.delete_addition(agreement, addition).await.unwrap_err();
    names(&refused(delete), "Finance > Agreements > Delete All");
}

#[tokio::test]
async fn a_refused_list_names_its_right() {
    let (_server, adapter) = refusing().await;
    let companies = adapter.list_companies(Some(&[CompanyId(1)])).await.unwrap_err();
    names(&companies, "Companies > Company Maintenance > Inquire All");
    let additions = adapter.list_additions(AgreementId(40)).await.unwrap_err();
    names(&additions, "Finance > Agreements > Inquire All");
    let items = adapter.list_catalog_items(Some(&[CatalogItemId(7)])).await.unwrap_err();
    names(&items, "Procurement > Product Catalog > Inquire All");
}

#[tokio::test]
async fn the_check_of_rights_gives_up_with_the_first_that_gets_no_answer() {
    let asked = async |rights: bool| {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer(503, "{}")).mount(&server).await;
        let client = client(&server);
        let error = match rights {
            true => client.check_rights(Part::Billing).await.unwrap_err(),
            false => client.get_system_info().await.unwrap_err(),
        };
        assert_eq!(error.code(), "TU1001", "{error}");
        server.received_requests().await.unwrap().len()
    };
    let (one, all) = (asked(false).await, asked(true).await);
    assert!(one > 1 && all < 2 * one, "{all} calls for seven rights, {one} for one");
}

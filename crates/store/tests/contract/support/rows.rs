//! Rows to put into a store.

use jiff::civil::{Date, date};
use std::collections::BTreeMap;
use trueup_domain::feed::Record;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, ChangeId, OrganizationId, PlanId, SourceId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin};
use trueup_domain::plan::{AdditionLink, DraftPlan, TaskOutcome};
use trueup_domain::task::{Task, TaskKind, TaskState};
use trueup_engine::records::{
    Connection, IncomingRecord, NewAuditEntry, OperationRow, OperationState, PlanBody, PlanState, SecretText,
    StoredPlan,
};

pub const TODAY: Date = date(2026, 3, 1);

pub fn org(name: &str) -> OrganizationId {
    OrganizationId::from(name)
}

pub fn source() -> SourceId {
    SourceId::from("market")
}

/// A counter with an unknown field whose number must come back as it was written.
pub fn counter(id: &str, value: &str) -> IncomingRecord {
    let text = format!(
        r#"{{"counter":{{"customer":"{id}","product":"p-1","value":"{value}","as_of":"2026-03-01","unit":null,
           "ext":{{"rate":1.10,"big":12345678901234567890.123456}}}}}}"#
    );
    let record: Record = serde_json::from_str(&text).unwrap();
    IncomingRecord { record, id: id.to_owned(), hash: format!("hash-{value}") }
}

pub fn mapping(source_id: &str, psa_id: i64) -> Mapping {
    Mapping {
        kind: MappingKind::Customer,
        source: source(),
        source_id: source_id.to_owned(),
        psa_id: Some(psa_id),
        scope: String::new(),
        options: BTreeMap::new(),
        origin: MappingOrigin::Person,
    }
}

pub fn task(id: &str, subscription: &str, completed_us: i64, state: TaskState) -> Task {
    Task {
        id: id.into(),
        source: source(),
        kind: TaskKind::Sales,
        customer: "c-1".into(),
        subscription: subscription.into(),
        order_id: Some("o-1".into()),
        completed_us,
        state,
        reason: None,
        decided_by: None,
        price_source: None,
        turn: 0,
        amendments: Vec::new(),
        undone: 0,
    }
}

pub fn operation(plan: &str, change: &str, key: &str) -> OperationRow {
    OperationRow {
        plan: PlanId::from(plan),
        change: ChangeId::from(change),
        key: key.to_owned(),
        agreement: AgreementId(40),
        state: OperationState::Intent,
        addition: None,
        fencing: 0,
        attempts: 0,
        sent_at: None,
        absent_at: None,
        calls: 0,
        error: None,
        updated_at: 1,
    }
}

pub fn link(addition: i64) -> AdditionLink {
    let text = format!(
        r#"{{"addition":{addition},"agreement":40,"source":"market","subscription":"s-1","product":"p-1",
           "role":"recurring","order":null,"key":null,"true_period":null,
           "written":{{"catalog_item":7,"quantity":"3","unit_price":"12345678901234.123456","unit_cost":"0.10",
           "effective":"2026-03-01","cancelled":null,"taxable":null,"description":null,"invoice_description":null}},
           "next_invoice_at_write":null}}"#
    );
    serde_json::from_str(&text).unwrap()
}

pub fn finding(code: Code, customer: &str) -> Finding {
    let subject = Subject { customer: Some(customer.into()), ..Subject::default() };
    Finding::new(code, subject, format!("{customer} has a finding"))
}

pub fn entry(action: &str, addition: Option<i64>) -> NewAuditEntry {
    NewAuditEntry {
        at: 1_000,
        actor: "trueup".to_owned(),
        action: action.to_owned(),
        object: "addition/1".to_owned(),
        addition: addition.map(AdditionId),
        detail: r#"{"before":null}"#.to_owned(),
    }
}

pub fn connection(name: &str, private_key: &str) -> Connection {
    Connection {
        name: name.to_owned(),
        url: "https://api-eu.myconnectwise.net".to_owned(),
        company: "acme".to_owned(),
        public_key: "public".to_owned(),
        private_key: SecretText::new(private_key.to_owned()),
        client_id: "client".to_owned(),
        created_at: 5,
    }
}

pub fn plan(id: &str, created_at: i64, task: &str, outcome: TaskOutcome) -> StoredPlan {
    let draft = DraftPlan {
        outcomes: BTreeMap::from([(task.into(), outcome)]),
        today: Some(TODAY),
        ..DraftPlan::default()
    };
    // Only the checker makes a checked plan; its stored form is the plan's own.
    let checked = format!(r#"{{"checked":{}}}"#, serde_json::to_string(&draft).unwrap());
    StoredPlan {
        id: id.into(),
        connection: "main".to_owned(),
        created_at,
        actor: "trueup".to_owned(),
        state: PlanState::Proposed,
        body: serde_json::from_str::<PlanBody>(&checked).unwrap(),
    }
}

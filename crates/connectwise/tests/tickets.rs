//! Tickets through the Psa port, against the sandbox: made, found by key, noted, closed, reopened, moved and deleted by
//! people; what a rule names wrongly, what a role lacks, and what becomes of an answer that was lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use trueup_connectwise::adapter::PsaAdapter;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::{ClientConfig, ConnectWiseClient, Credentials, LimiterConfig, PatchOp};
use trueup_domain::finding::Code;
use trueup_domain::ids::CompanyId;
use trueup_domain::ticket::{
    BoardId, Combination, ItemId, MemberId, NoteDraft, NoteMarker, NotePlace, ObservedTicket, PriorityId,
    StatusId, SubtypeId, Summary, TargetFault, TicketDraft, TicketId, TicketKey, TicketMail, TicketSourceId,
    TicketTarget, TypeId,
};
use trueup_engine::ports::{Psa, PsaError, WriteError, WriteStyle};
use trueup_sandbox::{Sandbox, SandboxConfig};

const ALERTS: BoardId = BoardId(2);
const NEW: StatusId = StatusId(21);
const REOPENED: StatusId = StatusId(23);
const CLOSED: StatusId = StatusId(25);

struct World {
    sandbox: Sandbox,
    psa: PsaAdapter,
    client: ConnectWiseClient,
}

async fn world() -> World {
    let sandbox = trueup_sandbox::start(SandboxConfig::default()).await.unwrap();
    let credentials = Credentials {
        company: sandbox.company().to_owned(),
        public_key: sandbox.public_key().to_owned(),
        private_key: SecretString::from(sandbox.private_key().to_owned()),
        client_id: sandbox.client_id().to_owned(),
    };
    let mut config = ClientConfig::new(sandbox.url(), credentials);
    config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
    config.attempt_timeout = Duration::from_millis(700);
    config.deadline = Duration::from_secs(5);
    config.limiter = LimiterConfig { backoff_base: Duration::from_millis(5), ..LimiterConfig::default() };
    let client = ConnectWiseClient::new(config).unwrap();
    World { psa: PsaAdapter::new(client.clone(), WriteStyle::default()), client, sandbox }
}

fn key(text: &str) -> TicketKey {
    TicketKey::new(text).unwrap()
}

fn draft(text: &str) -> TicketDraft {
    TicketDraft {
        company: CompanyId(1),
        target: TicketTarget::of_board(ALERTS),
        summary: Summary::cut("[trueup] failed_backup: srv1 (Acme)"),
        initial_note: "The backup of srv1 failed.".to_owned(),
        initial_place: NotePlace::Discussion,
        key: key(text),
        parent: None,
        mail: TicketMail::default(),
    }
}

fn note(marker: &str, text: &str) -> NoteDraft {
    NoteDraft { text: text.to_owned(), place: NotePlace::Internal, marker: NoteMarker::new(marker).unwrap() }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, WriteError>) -> PsaError {
    match answer.unwrap_err() {
        WriteError::Refused(error) => error,
        WriteError::InDoubt(error) => panic!("in doubt: {error}"),
    }
}

impl World {
    fn roles(&self, functions: Value) {
        self.sandbox.control().set_roles(json!({"functions": functions})).unwrap();
    }

    async fn made(&self, text: &str) -> ObservedTicket {
        self.psa.create_ticket(&draft(text)).await.unwrap()
    }

    async fn patch(&self, ticket: TicketId, ops: &[PatchOp]) {
        let _: Value = self.client.patch(&format!("/service/tickets/{ticket}"), ops).await.unwrap();
    }
}

#[tokio::test]
async fn the_desk_and_a_board_are_read() {
    let world = world().await;
    let desk = world.psa.load_desk().await.unwrap();
    let boards: Vec<&str> = desk.boards.iter().map(|board| board.name.as_str()).collect();
    assert_eq!(boards, ["Help Desk", "Alerts"]);
    assert_eq!(desk.priorities[0].name, "Priority 1 - Emergency", "the most urgent comes first");
    assert_eq!(desk.sources.len(), 3);
    assert_eq!(desk.members.unwrap()[0].name, "Integration API");
    let board = world.psa.find_board(ALERTS).await.unwrap().unwrap();
    assert_eq!(board.opening_status().unwrap().id, NEW);
    assert_eq!(board.closing_status().unwrap().id, CLOSED);
    let pair = Combination { ticket_type: TypeId(21), subtype: Some(SubtypeId(21)), item: Some(ItemId(22)) };
    assert!(board.combinations.as_ref().unwrap().contains(&pair));
    let wrong = TicketTarget {
        status: Some(StatusId(3)),
        ticket_type: Some(TypeId(22)),
        subtype: Some(SubtypeId(21)),
        ..TicketTarget::of_board(ALERTS)
    };
    let fields: Vec<&str> = board.faults(&wrong).iter().map(TargetFault::field).collect();
    assert_eq!(fields, ["status", "subtype"]);
    assert_eq!(world.psa.find_board(BoardId(99)).await.unwrap(), None);
}

#[tokio::test]
async fn without_the_right_to_members_the_desk_has_none() {
    let world = world().await;
    world.roles(json!({"System/Member Maintenance": {"inquire": "None"}}));
    assert_eq!(world.psa.load_desk().await.unwrap().members, None);
}

#[tokio::test]
async fn a_ticket_carries_all_that_the_draft_names() {
    let world = world().await;
    let mut wanted = draft("tu/a");
    wanted.target = TicketTarget {
        board: ALERTS,
        status: Some(StatusId(22)),
        ticket_type: Some(TypeId(21)),
        subtype: Some(SubtypeId(21)),
        item: Some(ItemId(21)),
        priority: Some(PriorityId(2)),
        source: Some(TicketSourceId(3)),
        owner: Some(MemberId(1)),
    };
    wanted.mail = TicketMail {
        contact: true,
        resources: false,
        copies: vec!["a@x.invalid".into(), "b@x.invalid".into()],
    };
    let made = world.psa.create_ticket(&wanted).await.unwrap();
    assert_eq!(
        (made.company, made.board, made.status),
        (Some(CompanyId(1)), Some(ALERTS), Some(StatusId(22)))
    );
    assert!(!made.closed && made.has_key(&wanted.key));
    let held: Value = world.client.get(&format!("/service/tickets/{}", made.id), "").await.unwrap();
    assert_eq!(held["summary"], "[trueup] failed_backup: srv1 (Acme)");
    for (field, id) in
        [("type", 21), ("subType", 21), ("item", 21), ("priority", 2), ("source", 3), ("owner", 1)]
    {
        assert_eq!(held[field]["id"], id, "{field}");
    }
    assert_eq!(held["automaticEmailContactFlag"], true);
    assert_eq!(held["automaticEmailCc"], "a@x.invalid;b@x.invalid");
    let notes = world.psa.list_ticket_notes(made.id).await.unwrap().unwrap();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].text, "The backup of srv1 failed.");
    assert_eq!(notes[0].by.as_deref(), Some("trueupapi"));
}

#[tokio::test]
async fn tickets_are_found_by_key_open_and_closed() {
    let world = world().await;
    let first = world.made("tu/a").await;
    let second = world.made("tu/a").await;
    let other = world.made("TU/A").await;
    world.psa.set_ticket_status(first.id, CLOSED).await.unwrap();
    let found = world.psa.find_tickets(&[key("tu/a"), key("tu/none")]).await.unwrap();
    let shown: Vec<(TicketId, bool)> = found.iter().map(|ticket| (ticket.id, ticket.closed)).collect();
    assert_eq!(shown, [(first.id, true), (second.id, false)], "a key in other letters is another key");
    assert!(world.psa.find_tickets(&[]).await.unwrap().is_empty());
    let many: Vec<TicketKey> = (0..300).map(|n| key(&format!("tu/{n:0>90}"))).chain([key("TU/A")]).collect();
    assert_eq!(
        world.psa.find_tickets(&many).await.unwrap()[0].id,
        other.id,
        "over as many calls as it takes"
    );
    let listed = world.psa.list_tickets(&[second.id, TicketId(99), first.id]).await.unwrap();
    assert_eq!(listed.iter().map(|t| t.id).collect::<Vec<_>>(), [first.id, second.id]);
}

#[tokio::test]
async fn ax_59_who_closed_a_ticket_is_told_and_a_reopened_one_is_open() {
    let world = world().await;
    let made = world.made("tu/a").await;
    let closed = world.psa.set_ticket_status(made.id, CLOSED).await.unwrap();
    assert_eq!((closed.closed, closed.closed_by.as_deref()), (true, Some("trueupapi")));
    assert!(closed.closed_at.is_some());
    let open = world.psa.set_ticket_status(made.id, REOPENED).await.unwrap();
    assert_eq!((open.closed, open.closed_by, open.status_name.as_deref()), (false, None, Some("Re-Opened")));
    assert_eq!(world.psa.find_ticket(made.id).await.unwrap().unwrap().status, Some(REOPENED));
}

#[tokio::test]
async fn a_note_is_known_by_its_marker() {
    let world = world().await;
    world.sandbox.control().set_rules(json!({"breaks_become_blanks": true})).unwrap();
    let made = world.made("tu/a").await;
    let draft = note("n1", "It failed 3 times\nsince then.");
    let added = world.psa.add_ticket_note(made.id, &draft).await.unwrap();
    let notes = world.psa.list_ticket_notes(made.id).await.unwrap().unwrap();
    let marked: Vec<bool> = notes.iter().map(|note| note.carries(&draft.marker)).collect();
    assert_eq!(marked, [false, true]);
    assert_eq!(notes[1].id, added.id);
    assert!(!notes[1].carries(&NoteMarker::new("n").unwrap()), "a marker is told from a longer one");
}

#[tokio::test]
async fn a_deleted_ticket_is_none_and_refuses_everything() {
    let world = world().await;
    let made = world.made("tu/a").await;
    world.client.delete(&format!("/service/tickets/{}", made.id)).await.unwrap();
    assert_eq!(world.psa.find_ticket(made.id).await.unwrap(), None);
    assert_eq!(world.psa.list_ticket_notes(made.id).await.unwrap(), None);
    assert!(world.psa.find_tickets(&[key("tu/a")]).await.unwrap().is_empty());
    for error in [
        refused(world.psa.set_ticket_status(made.id, CLOSED).await),
        refused(world.psa.add_ticket_note(made.id, &note("n1", "x")).await),
    ] {
        assert_eq!(error.code, Code::Tu9502);
        assert!(error.message.contains("not there any more"), "{error}");
    }
}

#[tokio::test]
async fn what_a_rule_names_wrongly_is_tu9501_with_their_words() {
    let world = world().await;
    let mut wrong = draft("tu/a");
    wrong.target.status = Some(StatusId(3));
    let error = refused(world.psa.create_ticket(&wrong).await);
    assert_eq!(error.code, Code::Tu9501);
    assert!(error.message.contains("Service Status 3 not found for Service Board 2"), "{error}");
    assert!(error.their_words.unwrap().contains("status/id"));
    let mut gone = draft("tu/a");
    gone.target.board = BoardId(99);
    assert_eq!(refused(world.psa.create_ticket(&gone).await).code, Code::Tu9501);
    let made = world.made("tu/b").await;
    assert_eq!(refused(world.psa.set_ticket_status(made.id, StatusId(3)).await).code, Code::Tu9501);
    let mut nobody = draft("tu/c");
    nobody.company = CompanyId(77);
    assert_eq!(refused(world.psa.create_ticket(&nobody).await).code, Code::Tu9502, "no fault of the rule");
}

#[tokio::test]
async fn ax_61_the_right_to_close_is_named_and_the_rest_works_without_it() {
    let world = world().await;
    let none = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "None"});
    world.roles(json!({"Service Desk/Close Service Tickets": none}));
    let made = world.made("tu/a").await;
    world.psa.add_ticket_note(made.id, &note("n1", "cleared")).await.unwrap();
    let error = refused(world.psa.set_ticket_status(made.id, CLOSED).await);
    assert_eq!(error.code, Code::Tu9502);
    assert!(
        error.message.contains("lacks the right Service Desk > Close Service Tickets > Edit All:"),
        "{error}"
    );
    world.roles(json!({}));
    assert!(world.psa.set_ticket_status(made.id, CLOSED).await.unwrap().closed);
}

#[tokio::test]
async fn where_the_role_cannot_be_read_every_right_that_it_may_be_is_named() {
    let world = world().await;
    let none = json!({"edit": "None"});
    world.roles(
        json!({"Service Desk/Close Service Tickets": none, "System/Security Roles": {"inquire": "None"}}),
    );
    let made = world.made("tu/a").await;
    let error = refused(world.psa.set_ticket_status(made.id, CLOSED).await);
    let told = "Service Desk > Service Tickets > Edit All or Service Desk > Close Service Tickets > Edit All";
    assert!(error.message.contains(told), "{error}");
}

#[tokio::test]
async fn ax_02_each_part_has_rights_of_its_own() {
    let world = world().await;
    let none = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "None"});
    let missing = |rights: &[trueup_engine::ports::Right]| -> Vec<String> {
        rights.iter().filter(|right| right.is_missing()).map(ToString::to_string).collect()
    };
    let report = world.psa.probe().await.unwrap();
    assert!(missing(&report.rights).is_empty() && missing(&report.ticket_rights).is_empty());

    world.roles(json!({"Service Desk/Service Tickets": none, "Service Desk/Close Service Tickets": none}));
    let report = world.psa.probe().await.unwrap();
    assert!(
        missing(&report.rights).is_empty(),
        "billing does without tickets: {:?}",
        missing(&report.rights)
    );
    assert_eq!(
        missing(&report.ticket_rights),
        [
            "Service Desk > Service Tickets > Inquire All",
            "Service Desk > Service Tickets > Add All",
            "Service Desk > Service Tickets > Edit All",
            "Service Desk > Close Service Tickets > Edit All",
        ]
    );
    assert_eq!(missing(&world.psa.list_ticket_rights().await.unwrap()).len(), 4);

    world.roles(json!({"Finance/Agreements": none, "Finance/Invoicing": none}));
    let report = world.psa.probe().await.unwrap();
    assert!(missing(&report.ticket_rights).is_empty(), "tickets do without billing");
    assert!(missing(&report.rights).contains(&"Finance > Agreements > Add All".to_owned()));
}

#[tokio::test]
async fn a_lost_answer_is_in_doubt_and_the_key_or_the_marker_tells() {
    let world = world().await;
    let control = world.sandbox.control();
    let lose = |which: &str| {
        let calls = json!({"method": "POST", "path_contains": "/service/tickets"});
        let rule = json!({"match": calls, "action": which});
        control.set_faults(json!({"schedule": [rule]})).unwrap();
    };
    for (which, there) in [("drop_before", false), ("drop_after", true)] {
        let text = format!("tu/{which}");
        lose(which);
        let lost = world.psa.create_ticket(&draft(&text)).await.unwrap_err();
        assert!(matches!(lost, WriteError::InDoubt(_)), "{lost}");
        assert_eq!(world.psa.find_tickets(&[key(&text)]).await.unwrap().len(), usize::from(there));

        let made = world.made(&format!("{text}/note")).await;
        let draft = note(&text, "again");
        lose(which);
        let lost = world.psa.add_ticket_note(made.id, &draft).await.unwrap_err();
        assert!(matches!(lost, WriteError::InDoubt(_)), "{lost}");
        let notes = world.psa.list_ticket_notes(made.id).await.unwrap().unwrap();
        assert_eq!(notes.iter().filter(|note| note.carries(&draft.marker)).count(), usize::from(there));
    }
}

#[tokio::test]
async fn a_ticket_goes_under_its_parent() {
    let world = world().await;
    let parent = world.made("tu/storm").await;
    let child =
        world.psa.create_ticket(&TicketDraft { parent: Some(parent.id), ..draft("tu/a") }).await.unwrap();
    assert_eq!(child.parent, Some(parent.id));
    assert_eq!(world.psa.find_ticket(child.id).await.unwrap().unwrap().parent, Some(parent.id));
    let orphan = TicketDraft { parent: Some(TicketId(99)), ..draft("tu/b") };
    let orphan = world.psa.create_ticket(&orphan).await.unwrap();
    assert_eq!(orphan.parent, None, "the ticket is there, and its parent is not");
    world.psa.attach_ticket(orphan.id, parent.id).await.unwrap();
    world.psa.attach_ticket(orphan.id, parent.id).await.unwrap();
    assert_eq!(world.psa.find_ticket(orphan.id).await.unwrap().unwrap().parent, Some(parent.id));
    assert_eq!(refused(world.psa.attach_ticket(orphan.id, TicketId(99)).await).code, Code::Tu9502);
}

#[tokio::test]
async fn a_ticket_that_people_moved_is_closed_on_its_new_board() {
    let world = world().await;
    let made = world.made("tu/a").await;
    let moved = [
        PatchOp::replace("board", &json!({"id": 1})).unwrap(),
        PatchOp::replace("status", &json!({"id": 3})).unwrap(),
    ];
    world.patch(made.id, &moved).await;
    let seen = world.psa.find_ticket(made.id).await.unwrap().unwrap();
    let board = world.psa.find_board(seen.board.unwrap()).await.unwrap().unwrap();
    assert_eq!(refused(world.psa.set_ticket_status(made.id, CLOSED).await).code, Code::Tu9501);
    let closing = board.closing_status().unwrap().id;
    assert!(world.psa.set_ticket_status(made.id, closing).await.unwrap().closed);
}

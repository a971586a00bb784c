//! The service desk: tickets follow their board, are closed by somebody, noted, bundled, merged and deleted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

mod common;

use common::{Reply, World, expect, messages};
use rstest::rstest;
use serde_json::{Value, json};

fn ticket(world: &World, changes: &Value) -> Reply {
    let mut body = json!({"summary": "Backup failed", "company": {"id": 1}, "board": {"id": 2}});
    body.as_object_mut().unwrap().extend(changes.as_object().cloned().unwrap_or_default());
    world.post("service/tickets", &body)
}

fn to_status(world: &World, id: &Value, status: i64) -> Reply {
    let body = json!([{"op": "replace", "path": "status", "value": {"id": status}}]);
    world.patch(&format!("service/tickets/{id}"), &body)
}

#[test]
fn a_ticket_begins_in_the_default_status_of_its_board() {
    let world = World::new("2026-03-10");
    let made = expect(
        &ticket(&world, &json!({"externalXRef": "tu/1", "initialDescription": "since 3 o'clock"})),
        201,
    );
    assert_eq!(made["status"]["name"], "New");
    assert_eq!(made["status"]["id"], 21);
    assert_eq!(made["board"]["name"], "Alerts");
    assert_eq!(made["priority"]["name"], "Priority 3 - Normal");
    assert_eq!(made["closedFlag"], false);
    assert!(made.get("initialDescription").is_none(), "it is only for a POST");
    assert!(made.get("closedDate").is_none());
    let notes = expect(&world.get(&format!("service/tickets/{}/notes", made["id"])), 200);
    assert_eq!(notes.as_array().unwrap().len(), 1);
    assert_eq!(notes[0]["text"], "since 3 o'clock");
    assert_eq!(notes[0]["detailDescriptionFlag"], true);
    assert_eq!(notes[0]["createdBy"], "trueupapi");
}

#[rstest]
#[case(json!({"status": {"id": 17}}), "Service Status 17 not found", "status/id")]
#[case(json!({"status": {"id": 1}}), "Service Status 1 not found for Service Board 2", "status/id")]
#[case(json!({"type": {"id": 1}}), "Service Type 1 not found for Service Board 2", "type/id")]
#[case(json!({"type": {"id": 22}, "subType": {"id": 21}}), "Service Sub Type 21 not found for Service Type 22", "subType/id")]
#[case(json!({"type": {"id": 21}, "subType": {"id": 22}, "item": {"id": 21}}), "Service Item 21 not found for Service Sub Type 22", "item/id")]
#[case(json!({"board": {"id": 9}}), "Service Board 9 not found", "board/id")]
#[case(json!({"priority": {"id": 9}}), "Priority 9 not found", "priority/id")]
#[case(json!({"source": {"name": "Fax"}}), "Source Fax not found", "source/name")]
#[case(json!({"subType": {"id": 21}}), "The type field is required.", "type")]
#[case(json!({"summary": "x".repeat(101)}), "The field summary must be a string with a maximum length of 100.", "summary")]
#[case(json!({"externalXRef": "x".repeat(101)}), "The field externalXRef must be a string with a maximum length of 100.", "externalXRef")]
fn what_does_not_fit_the_board_is_refused(#[case] changes: Value, #[case] told: &str, #[case] field: &str) {
    let world = World::new("2026-03-10");
    let body = expect(&ticket(&world, &changes), 400);
    assert_eq!(body["message"], "ticket object is invalid");
    assert_eq!(messages(&body), [told]);
    assert_eq!(body["errors"][0]["field"], field);
    assert_eq!(world.get("service/tickets/count").json()["count"], 0);
}

#[test]
fn names_are_those_of_the_board() {
    let world = World::new("2026-03-10");
    let made = expect(
        &ticket(
            &world,
            &json!({"board": {"name": "alerts"}, "status": {"name": "New"}, "type": {"name": "Backup"}, "subType": {"name": "Failed"}, "item": {"name": "Server"}}),
        ),
        201,
    );
    assert_eq!(made["status"]["id"], 21, "the other board has a New as well");
    assert_eq!(made["item"]["id"], 21, "the other board has a Server as well");
}

#[test]
fn a_ticket_that_moves_to_another_board_needs_a_status_of_it() {
    let world = World::new("2026-03-10");
    let id = expect(&ticket(&world, &json!({})), 201)["id"].clone();
    let path = format!("service/tickets/{id}");
    let moved = json!([{"op": "replace", "path": "board", "value": {"id": 1}}]);
    let body = expect(&world.patch(&path, &moved), 400);
    assert_eq!(messages(&body), ["Service Status 21 not found for Service Board 1"]);
    let both = json!([
        {"op": "replace", "path": "board", "value": {"id": 1}},
        {"op": "replace", "path": "status", "value": {"name": "In Progress"}},
    ]);
    assert_eq!(expect(&world.patch(&path, &both), 200)["status"]["id"], 3);
}

#[test]
fn a_closed_status_closes_and_tells_who_did() {
    let world = World::new("2026-03-10");
    let id = expect(&ticket(&world, &json!({})), 201)["id"].clone();
    let path = format!("service/tickets/{id}");
    let closed = expect(&to_status(&world, &id, 25), 200);
    assert_eq!(closed["closedFlag"], true);
    assert_eq!(closed["closedBy"], "trueupapi");
    assert!(closed["closedDate"].as_str().unwrap().starts_with("2026-03-10T"));
    let on = expect(&to_status(&world, &id, 26), 200);
    assert_eq!(on["closedDate"], closed["closedDate"], "it was closed already");
    let again = expect(&to_status(&world, &id, 23), 200);
    assert_eq!(again["closedFlag"], false);
    assert!(again.get("closedBy").is_none() && again.get("closedDate").is_none());
    let body = json!([{"op": "replace", "path": "status/id", "value": 25}]);
    let by_ann = world.try_call("PATCH", &path, Some(&body), &[("x-sandbox-person", "ann")]).unwrap();
    assert_eq!(expect(&by_ann, 200)["closedBy"], "ann");
    let read = expect(&world.get(&path), 200);
    assert_eq!(read["_info"]["updatedBy"], "ann");
    assert_eq!(read["_info"]["enteredBy"], "trueupapi");
}

#[test]
fn tickets_are_found_by_key_and_state() {
    let world = World::new("2026-03-10");
    for (key, status) in [("tu/1", 21), ("tu/1", 25), ("tu/2", 22), ("other", 21)] {
        expect(&ticket(&world, &json!({"externalXRef": key, "status": {"id": status}})), 201);
    }
    let count = |conditions: &str| {
        let found = expect(&world.get(&format!("service/tickets?conditions={conditions}&fields=id")), 200);
        found.as_array().unwrap().len()
    };
    assert_eq!(count("externalXRef=\"tu/1\""), 2);
    assert_eq!(count("externalXRef=\"tu/1\" and closedFlag=false"), 1);
    assert_eq!(count("externalXRef in (\"tu/1\",\"tu/2\")"), 3);
    assert_eq!(count("closedFlag=True"), 1);
    assert_eq!(count("board/id=2 and status/name=\"Acknowledged\""), 1);
    assert_eq!(count("lastUpdated%20%3E%3D%20%5B2026-03-10T00:00:00Z%5D"), 4);
}

#[test]
fn a_note_is_of_one_kind_and_moves_its_ticket() {
    let world = World::new("2026-03-10");
    let id = expect(&ticket(&world, &json!({})), 201)["id"].clone();
    world.control.set_today("2026-03-12").unwrap();
    let notes = format!("service/tickets/{id}/notes");
    let bare = expect(&world.post(&notes, &json!({"text": "again"})), 400);
    assert!(messages(&bare)[0].contains("detailDescriptionFlag"), "{bare}");
    let empty = expect(&world.post(&notes, &json!({"resolutionFlag": true})), 400);
    assert_eq!(messages(&empty), ["The text field is required."]);
    let body = json!({"text": "again", "internalAnalysisFlag": true, "processNotifications": true});
    let made = expect(&world.post(&notes, &body), 201);
    assert_eq!((&made["ticketId"], &made["internalFlag"]), (&id, &json!(true)));
    assert!(made["dateCreated"].as_str().unwrap().starts_with("2026-03-12T"));
    let read = expect(&world.get(&format!("service/tickets/{id}")), 200);
    assert!(read["_info"]["lastUpdated"].as_str().unwrap().starts_with("2026-03-12T"));
    expect(&world.get("service/tickets/99/notes"), 404);
    expect(&world.post("service/tickets/99/notes", &body), 404);
}

#[test]
fn a_deleted_ticket_is_not_found() {
    let world = World::new("2026-03-10");
    let id = expect(&ticket(&world, &json!({"initialDescription": "x"})), 201)["id"].clone();
    let path = format!("service/tickets/{id}");
    expect(&world.delete(&path), 204);
    for reply in [world.get(&path), to_status(&world, &id, 25), world.get(&format!("{path}/notes"))] {
        let body = expect(&reply, 404);
        assert_eq!(
            (&body["code"], &body["message"]),
            (&json!("NotFound"), &json!(format!("Ticket {id} not found")))
        );
    }
    assert_eq!(expect(&world.get("service/tickets"), 200), json!([]));
}

#[test]
fn closing_needs_a_right_of_its_own() {
    let world = World::new("2026-03-10");
    let id = expect(&ticket(&world, &json!({})), 201)["id"].clone();
    let none = json!({"add": "None", "edit": "None", "delete": "None", "inquire": "None"});
    world.control.set_roles(json!({"functions": {"Service Desk/Close Service Tickets": none}})).unwrap();
    let body = expect(&to_status(&world, &id, 25), 403);
    assert_eq!(body["message"], "You do not have security permission to perform this action.");
    expect(&ticket(&world, &json!({"status": {"id": 25}})), 403);
    expect(&to_status(&world, &id, 22), 200);
    let note = json!({"text": "cleared", "detailDescriptionFlag": true});
    expect(&world.post(&format!("service/tickets/{id}/notes"), &note), 201);
    world.control.set_roles(json!({"functions": {"Service Desk/Service Tickets": none}})).unwrap();
    expect(&ticket(&world, &json!({})), 403);
    expect(&world.get("service/tickets"), 403);
    expect(&world.post(&format!("service/tickets/{id}/notes"), &note), 403);
    expect(&world.get("finance/agreements"), 200);
}

#[test]
fn boards_can_be_read_without_the_right_to_the_tables() {
    let world = World::new("2026-03-10");
    let none = json!({"inquire": "None"});
    world.control.set_roles(json!({"functions": {"System/Table Setup": none}})).unwrap();
    expect(&world.get("service/boards"), 403);
    let boards = expect(&world.get("service/info/boards"), 200);
    assert_eq!(boards[1]["name"], "Alerts");
    assert_eq!(expect(&world.get("service/info/boards/2"), 200)["name"], "Alerts");
    assert_eq!(expect(&world.get("service/info/boards/count"), 200)["count"], 2);
    assert_eq!(expect(&world.get("service/sources/info"), 200)[2]["name"], "Monitoring");
}

#[test]
fn subtypes_name_the_types_that_they_stand_below() {
    let world = World::new("2026-03-10");
    let body = json!({"name": "Slow", "typeAssociationIds": [21]});
    let made = expect(&world.post("service/boards/2/subtypes", &body), 201);
    let pairs = || {
        let path =
            format!("service/boards/2/typeSubTypeItemAssociations?conditions=subType/id={}", made["id"]);
        let list = expect(&world.get(&path), 200);
        list.as_array()
            .unwrap()
            .iter()
            .map(|pair| pair["type"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(pairs(), ["Backup"]);
    let wider = json!([{"op": "replace", "path": "typeAssociationIds", "value": [22, 23]}]);
    expect(&world.patch(&format!("service/boards/2/subtypes/{}", made["id"]), &wider), 200);
    assert_eq!(pairs(), ["Device", "Billing"]);
    expect(&ticket(&world, &json!({"type": {"id": 21}, "subType": {"id": made["id"]}})), 400);
    expect(&ticket(&world, &json!({"type": {"id": 22}, "subType": {"id": made["id"]}})), 201);
}

#[test]
fn tickets_are_bundled_under_one_and_merged_into_it() {
    let world = World::new("2026-03-10");
    let ids: Vec<i64> =
        (0..3).map(|_| expect(&ticket(&world, &json!({})), 201)["id"].as_i64().unwrap()).collect();
    let bundle = |parent: i64, children: &[i64]| {
        world.post(&format!("service/tickets/{parent}/attachChildren"), &json!({"childTicketIds": children}))
    };
    expect(&bundle(ids[0], &ids[1..2]), 200);
    expect(&bundle(ids[0], &ids[1..2]), 200);
    let child = expect(&world.get(&format!("service/tickets/{}", ids[1])), 200);
    assert_eq!(child["parentTicketId"], ids[0]);
    expect(&bundle(ids[1], &ids[2..3]), 400);
    expect(&bundle(ids[2], &ids[..1]), 400);
    expect(&bundle(ids[2], &ids[2..]), 400);
    expect(&bundle(ids[0], &[99]), 400);
    expect(&bundle(99, &ids[2..]), 404);
    let merge = json!({"childTicketIds": [ids[2]], "status": {"id": 25}});
    expect(&world.post(&format!("service/tickets/{}/merge", ids[0]), &merge), 200);
    let merged = expect(&world.get(&format!("service/tickets/{}", ids[2])), 200);
    assert_eq!((&merged["mergedParentTicket"]["id"], &merged["closedFlag"]), (&json!(ids[0]), &json!(true)));
    expect(&world.delete(&format!("service/tickets/{}", ids[1])), 204);
}

#[test]
fn a_state_can_be_loaded_again() {
    let world = World::new("2026-03-10");
    let id =
        expect(&ticket(&world, &json!({"initialDescription": "x", "type": {"id": 21}})), 201)["id"].clone();
    expect(&to_status(&world, &id, 25), 200);
    let before = world.control.state();
    let other = World::new("2026-03-10");
    other.control.load(&before).unwrap();
    let path = format!("service/tickets/{id}");
    let (old, new) = (world.get(&path).json(), other.get(&path).json());
    for field in ["status", "type", "closedFlag", "closedBy", "closedDate", "summary"] {
        assert_eq!(
            old[field].to_string().replace('"', "").len(),
            new[field].to_string().replace('"', "").len(),
            "{field}"
        );
        assert_eq!(old[field]["name"], new[field]["name"], "{field}");
    }
    assert_eq!(other.get(&format!("{path}/notes")).json().as_array().unwrap().len(), 1);
}

//! The service desk of the simulated ConnectWise: boards, tickets and notes, which people close, move and delete.

use super::remote::refused;
use std::collections::BTreeMap;
use trueup_domain::finding::Code;
use trueup_domain::ticket::{
    Board, BoardId, BoardName, Desk, NoteDraft, NoteId, ObservedTicket, Status, StatusId, TicketDraft,
    TicketId, TicketNote,
};
use trueup_engine::ports::WriteError;
use trueup_engine::records::Millis;

#[derive(Clone, Debug)]
pub enum TicketWrite {
    Create(TicketDraft),
    Attach { ticket: TicketId, parent: TicketId },
    Status { ticket: TicketId, status: StatusId },
    Note { ticket: TicketId, note: NoteDraft },
}

pub enum TicketAnswer {
    Ticket(ObservedTicket),
    Note(TicketNote),
}

#[derive(Clone, Debug)]
pub struct Tickets {
    pub desk: Desk,
    pub boards: BTreeMap<BoardId, Board>,
    pub tickets: BTreeMap<TicketId, ObservedTicket>,
    pub notes: BTreeMap<TicketId, Vec<TicketNote>>,
    /// Whether the member may make and change tickets.
    pub may_write: bool,
    /// Whether the member may close tickets.
    pub may_close: bool,
    late: Vec<(Millis, TicketWrite)>,
    next_id: i64,
}

impl Default for Tickets {
    fn default() -> Self {
        let boards: BTreeMap<BoardId, Board> =
            [(1, "Help Desk"), (2, "Alerts")].map(|(id, name)| (BoardId(id), board(id, name))).into();
        let names = boards.values().map(|b| BoardName { id: b.id, name: b.name.clone(), inactive: false });
        Self {
            desk: Desk { boards: names.collect(), members: Some(Vec::new()), ..Desk::default() },
            boards,
            tickets: BTreeMap::new(),
            notes: BTreeMap::new(),
            may_write: true,
            may_close: true,
            late: Vec::new(),
            next_id: 500,
        }
    }
}

/// A board whose statuses are New, In Progress and Closed: its number times ten, and one and two more.
fn board(id: i64, name: &str) -> Board {
    let statuses = ["New", "In Progress", "Closed"].iter().zip(0..).map(|(name, place)| Status {
        id: StatusId(id * 10 + place),
        name: (*name).to_owned(),
        closed: *name == "Closed",
        default: *name == "New",
        inactive: false,
    });
    Board {
        id: BoardId(id),
        name: name.to_owned(),
        inactive: false,
        statuses: statuses.collect(),
        types: Vec::new(),
        subtypes: Vec::new(),
        items: Vec::new(),
        combinations: Some(Vec::new()),
    }
}

impl Tickets {
    /// Time goes on; calls that the server still had are carried out.
    pub fn advance(&mut self, to: Millis) {
        while let Some(index) = (0..self.late.len())
            .filter(|index| self.late[*index].0 <= to)
            .min_by_key(|index| self.late[*index].0)
        {
            let (at, write) = self.late.remove(index);
            let _ = self.carry_out(at, &write);
        }
    }

    pub fn put_off(&mut self, at: Millis, write: TicketWrite) {
        self.late.push((at, write));
    }

    pub fn notes_of(&self, ticket: TicketId) -> Option<Vec<TicketNote>> {
        self.tickets.contains_key(&ticket).then(|| self.notes.get(&ticket).cloned().unwrap_or_default())
    }

    /// A person closes a ticket or opens it again.
    pub fn person_moves(&mut self, at: Millis, ticket: TicketId, name: &str) {
        let board = self.tickets[&ticket].board.unwrap();
        let status = self.boards[&board].statuses.iter().find(|status| status.name == name).unwrap().clone();
        self.enter(at, ticket, &status, "ann");
    }

    /// A person deletes a ticket.
    pub fn person_deletes(&mut self, ticket: TicketId) {
        self.tickets.remove(&ticket);
        self.notes.remove(&ticket);
    }

    pub fn carry_out(&mut self, at: Millis, write: &TicketWrite) -> Result<TicketAnswer, WriteError> {
        let denied =
            |right: &str| Err(refused(Code::Tu9502, &format!("the API member lacks the right {right}")));
        if !self.may_write {
            return denied("Service Desk > Service Tickets");
        }
        match write {
            TicketWrite::Create(draft) => {
                let Some(board) = self.boards.get(&draft.target.board) else {
                    return Err(refused(Code::Tu9501, "no such board"));
                };
                if let Some(fault) = board.faults(&draft.target).first() {
                    return Err(refused(Code::Tu9501, &fault.to_string()));
                }
                let status = match draft.target.status {
                    Some(id) => board.status(id).ok().cloned(),
                    None => board.opening_status().cloned(),
                };
                let id = TicketId(self.next());
                let ticket = ObservedTicket {
                    id,
                    company: Some(draft.company),
                    board: Some(draft.target.board),
                    status: None,
                    status_name: None,
                    closed: false,
                    closed_at: None,
                    closed_by: None,
                    key: Some(draft.key.as_str().to_owned()),
                    summary: draft.summary.as_str().to_owned(),
                    parent: draft.parent,
                    merged_into: None,
                    last_updated: None,
                    updated_by: None,
                };
                self.tickets.insert(id, ticket);
                self.enter(at, id, &status.unwrap(), "trueup");
                self.write_note(at, id, draft.initial_note.clone());
                Ok(TicketAnswer::Ticket(self.tickets[&id].clone()))
            }
            TicketWrite::Attach { ticket, parent } => {
                if !self.tickets.contains_key(parent) {
                    return Err(refused(Code::Tu9502, "404: no such ticket"));
                }
                let Some(held) = self.tickets.get_mut(ticket) else {
                    return Err(refused(Code::Tu9502, "404: no such ticket"));
                };
                held.parent = Some(*parent);
                Ok(TicketAnswer::Ticket(held.clone()))
            }
            TicketWrite::Status { ticket, status } => {
                let Some(held) = self.tickets.get(ticket) else {
                    return Err(refused(Code::Tu9502, "404: no such ticket"));
                };
                let board = &self.boards[&held.board.unwrap()];
                let status = match board.status(*status) {
                    Ok(status) => status.clone(),
                    Err(fault) => return Err(refused(Code::Tu9501, &fault.to_string())),
                };
                if status.closed && !held.closed && !self.may_close {
                    return denied("Service Desk > Close Service Tickets");
                }
                self.enter(at, *ticket, &status, "trueup");
                Ok(TicketAnswer::Ticket(self.tickets[ticket].clone()))
            }
            TicketWrite::Note { ticket, note } => {
                if !self.tickets.contains_key(ticket) {
                    return Err(refused(Code::Tu9502, "404: no such ticket"));
                }
                Ok(TicketAnswer::Note(self.write_note(at, *ticket, note.full_text())))
            }
        }
    }

    fn enter(&mut self, at: Millis, ticket: TicketId, status: &Status, by: &str) {
        let held = self.tickets.get_mut(&ticket).unwrap();
        let closes = status.closed && !held.closed;
        if closes || !status.closed {
            held.closed_by = closes.then(|| by.to_owned());
            held.closed_at = closes.then(|| at.to_string());
        }
        held.closed = status.closed;
        held.status = Some(status.id);
        held.status_name = Some(status.name.clone());
        held.last_updated = Some(at.to_string());
        held.updated_by = Some(by.to_owned());
    }

    fn write_note(&mut self, at: Millis, ticket: TicketId, text: String) -> TicketNote {
        let note = TicketNote {
            id: NoteId(self.next()),
            text,
            by: Some("trueup".to_owned()),
            at: Some(at.to_string()),
        };
        self.notes.entry(ticket).or_default().push(note.clone());
        note
    }

    fn next(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }
}

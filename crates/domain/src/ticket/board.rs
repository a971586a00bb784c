//! The service desk as far as a rule can name it: boards with what belongs to each, priorities, sources, members.

use super::{
    BoardId, ItemId, MemberId, PriorityId, StatusId, SubtypeId, TicketSourceId, TicketTarget, TypeId,
};
use crate::finding::Code;
use serde::{Deserialize, Serialize};

/// A board by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardName {
    /// Record id.
    pub id: BoardId,
    /// Name.
    pub name: String,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// A status of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Record id.
    pub id: StatusId,
    /// Name.
    pub name: String,
    /// Whether a ticket in it is closed.
    pub closed: bool,
    /// Whether new tickets get it.
    pub default: bool,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// A type of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketType {
    /// Record id.
    pub id: TypeId,
    /// Name.
    pub name: String,
    /// Whether new tickets get it.
    pub default: bool,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// A subtype of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtype {
    /// Record id.
    pub id: SubtypeId,
    /// Name.
    pub name: String,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// An item of a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Record id.
    pub id: ItemId,
    /// Name.
    pub name: String,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// A type, subtype and item that may stand together on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Combination {
    /// The type.
    #[serde(rename = "type")]
    pub ticket_type: TypeId,
    /// The subtype; none stands for the type alone.
    pub subtype: Option<SubtypeId>,
    /// The item; none stands for type and subtype alone.
    pub item: Option<ItemId>,
}

/// A priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Priority {
    /// Record id.
    pub id: PriorityId,
    /// Name.
    pub name: String,
    /// Its place among the others, the most urgent first.
    pub order: i64,
    /// Whether new tickets get it.
    pub default: bool,
}

/// A ticket source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketSource {
    /// Record id.
    pub id: TicketSourceId,
    /// Name.
    pub name: String,
    /// Whether new tickets get it.
    pub default: bool,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Record id.
    pub id: MemberId,
    /// Short unique text.
    pub identifier: String,
    /// First and last name.
    pub name: String,
    /// Whether it was set inactive.
    pub inactive: bool,
}

/// What is there beside the boards' own tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desk {
    /// The boards, by id.
    pub boards: Vec<BoardName>,
    /// The priorities, the most urgent first.
    pub priorities: Vec<Priority>,
    /// The ticket sources, by id.
    pub sources: Vec<TicketSource>,
    /// The members, by id; none where the API member may not see them.
    pub members: Option<Vec<Member>>,
}

/// One board with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Record id.
    pub id: BoardId,
    /// Name.
    pub name: String,
    /// Whether it was set inactive.
    pub inactive: bool,
    /// Its statuses, in its own order.
    pub statuses: Vec<Status>,
    /// Its types.
    pub types: Vec<TicketType>,
    /// Its subtypes.
    pub subtypes: Vec<Subtype>,
    /// Its items.
    pub items: Vec<Item>,
    /// What may stand together; none where the tenant does not show it, and then only ConnectWise can tell.
    pub combinations: Option<Vec<Combination>>,
}

/// Why a ticket cannot go where a rule says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    /// The board is set inactive.
    #[error("the service board {0} is inactive; choose another, or make it active in ConnectWise")]
    BoardInactive(String),
    /// There is no such board.
    #[error("there is no service board {0}; choose another")]
    BoardGone(BoardId),
    /// Something is gone or belongs to another board.
    #[error("the {what} {id} is not on the service board {board}; choose one of that board")]
    NotOnBoard {
        /// `status`, `type`, `subtype` or `item`.
        what: &'static str,
        /// Its id.
        id: i64,
        /// The board's name.
        board: String,
    },
    /// Something is set inactive.
    #[error("the {what} {name} is inactive; choose another, or make it active in ConnectWise")]
    Inactive {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A priority, source or member that is not there.
    #[error("there is no {what} {id} in ConnectWise any more; choose another")]
    Gone {
        /// `priority`, `source` or `member`.
        what: &'static str,
        /// Its id.
        id: i64,
    },
    /// A subtype needs a type, an item needs a subtype.
    #[error("the {what} needs a {needs} beside it; choose one")]
    Alone {
        /// What stands alone.
        what: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// They may not stand together.
    #[error(
        "the {what} {name} may not stand below {above} on the service board {board}; choose one that may"
    )]
    NotTogether {
        /// `subtype` or `item`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is above it.
        above: String,
        /// The board's name.
        board: String,
    },
}

impl TargetFault {
    /// The exception code.
    pub fn code(&self) -> Code {
        Code::Tu9501
    }

    /// Which field of a target it is about: `board`, `status`, `type`, `subtype`, `item`, `priority`, `source` or
    /// `owner`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::BoardInactive(_) | Self::BoardGone(_) => "board",
            Self::Gone { what: "member", .. } => "owner",
            Self::NotOnBoard { what, .. }
            | Self::Inactive { what, .. }
            | Self::Gone { what, .. }
            | Self::Alone { what, .. }
            | Self::NotTogether { what, .. } => what,
        }
    }
}

impl Board {
    /// A status of the board.
    ///
    /// # Errors
    /// Where it is not on the board, or set inactive.
    pub fn status(&self, id: StatusId) -> Result<&Status, TargetFault> {
        let status = self.statuses.iter().find(|status| status.id == id);
        self.held("status", id.0, status.map(|s| (s, s.inactive, s.name.as_str())))
    }

    /// The status that new tickets get.
    pub fn opening_status(&self) -> Option<&Status> {
        let open = || self.statuses.iter().filter(|status| !status.inactive && !status.closed);
        open().find(|status| status.default).or_else(|| open().next())
    }

    /// The first status that closes a ticket.
    pub fn closing_status(&self) -> Option<&Status> {
        self.statuses.iter().find(|status| status.closed && !status.inactive)
    }

    /// What is wrong with a target on this board; of priorities, sources and members [`Desk::faults`] tells.
    pub fn faults(&self, target: &TicketTarget) -> Vec<TargetFault> {
        let mut faults = Vec::new();
        if self.inactive {
            faults.push(TargetFault::BoardInactive(self.name.clone()));
        }
        faults.extend(target.status.and_then(|id| self.status(id).err()));
        match self.class(target) {
            Ok(()) => {}
            Err(fault) => faults.push(fault),
        }
        faults
    }

    /// Type, subtype and item: each there, and allowed below the one above it.
    fn class(&self, target: &TicketTarget) -> Result<(), TargetFault> {
        let Some(ticket_type) = target.ticket_type else {
            return match (target.subtype, target.item) {
                (Some(_), _) => Err(TargetFault::Alone { what: "subtype", needs: "type" }),
                (None, Some(_)) => Err(TargetFault::Alone { what: "item", needs: "subtype" }),
                (None, None) => Ok(()),
            };
        };
        let own = self.types.iter().find(|known| known.id == ticket_type);
        let own = self.held("type", ticket_type.0, own.map(|t| (t, t.inactive, t.name.as_str())))?;
        let Some(subtype) = target.subtype else {
            return match target.item {
                Some(_) => Err(TargetFault::Alone { what: "item", needs: "subtype" }),
                None => Ok(()),
            };
        };
        let second = self.subtypes.iter().find(|known| known.id == subtype);
        let second = self.held("subtype", subtype.0, second.map(|s| (s, s.inactive, s.name.as_str())))?;
        let below = |c: &&Combination| c.ticket_type == ticket_type && c.subtype == Some(subtype);
        if self.combinations.as_ref().is_some_and(|known| !known.iter().any(|c| below(&c))) {
            return Err(self.apart("subtype", &second.name, own.name.clone()));
        }
        let Some(item) = target.item else { return Ok(()) };
        let third = self.items.iter().find(|known| known.id == item);
        let third = self.held("item", item.0, third.map(|i| (i, i.inactive, i.name.as_str())))?;
        let allowed = |known: &Vec<Combination>| known.iter().filter(below).any(|c| c.item == Some(item));
        if self.combinations.as_ref().is_some_and(|known| !allowed(known)) {
            return Err(self.apart("item", &third.name, format!("{} / {}", own.name, second.name)));
        }
        Ok(())
    }

    fn apart(&self, what: &'static str, name: &str, above: String) -> TargetFault {
        TargetFault::NotTogether { what, name: name.to_owned(), above, board: self.name.clone() }
    }

    fn held<'a, T>(
        &self,
        what: &'static str,
        id: i64,
        found: Option<(&'a T, bool, &str)>,
    ) -> Result<&'a T, TargetFault> {
        match found {
            Some((_, true, name)) => Err(TargetFault::Inactive { what, name: name.to_owned() }),
            Some((held, false, _)) => Ok(held),
            None => Err(TargetFault::NotOnBoard { what, id, board: self.name.clone() }),
        }
    }
}

impl Desk {
    /// What is wrong with board, priority, source and owner of a target; of the rest [`Board::faults`] tells.
    pub fn faults(&self, target: &TicketTarget) -> Vec<TargetFault> {
        let mut faults = Vec::new();
        match self.boards.iter().find(|board| board.id == target.board) {
            None => faults.push(TargetFault::BoardGone(target.board)),
            Some(board) if board.inactive => faults.push(TargetFault::BoardInactive(board.name.clone())),
            Some(_) => {}
        }
        let gone = |what, id| TargetFault::Gone { what, id };
        let priority = target.priority.filter(|id| !self.priorities.iter().any(|known| known.id == *id));
        faults.extend(priority.map(|id| gone("priority", id.0)));
        let source = target.source.filter(|id| !self.sources.iter().any(|known| known.id == *id));
        faults.extend(source.map(|id| gone("source", id.0)));
        if let (Some(owner), Some(members)) = (target.owner, &self.members) {
            match members.iter().find(|known| known.id == owner) {
                None => faults.push(gone("member", owner.0)),
                Some(member) if member.inactive => {
                    faults.push(TargetFault::Inactive { what: "owner", name: member.name.clone() });
                }
                Some(_) => {}
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let status = |id, name: &str, closed, default| Status {
            id: StatusId(id),
            name: name.into(),
            closed,
            default,
            inactive: false,
        };
        Board {
            id: BoardId(1),
            name: "Alerts".into(),
            inactive: false,
            statuses: vec![
                status(1, "New", false, true),
                status(2, "In Progress", false, false),
                status(3, "Closed", true, false),
            ],
            types: vec![TicketType { id: TypeId(1), name: "Backup".into(), default: false, inactive: false }],
            subtypes: vec![
                Subtype { id: SubtypeId(1), name: "Failed".into(), inactive: false },
                Subtype { id: SubtypeId(2), name: "Mail".into(), inactive: false },
                Subtype { id: SubtypeId(3), name: "Old".into(), inactive: true },
            ],
            items: vec![Item { id: ItemId(1), name: "Server".into(), inactive: false }],
            combinations: Some(vec![
                Combination { ticket_type: TypeId(1), subtype: None, item: None },
                Combination { ticket_type: TypeId(1), subtype: Some(SubtypeId(1)), item: None },
            ]),
        }
    }

    fn told(change: impl FnOnce(&mut TicketTarget)) -> Vec<String> {
        let mut target = TicketTarget::of_board(BoardId(1));
        change(&mut target);
        board().faults(&target).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ax_53_what_is_not_on_the_board_is_told() {
        assert!(told(|_| {}).is_empty());
        assert!(told(|t| t.status = Some(StatusId(2))).is_empty());
        assert_eq!(
            told(|t| t.status = Some(StatusId(17))),
            ["the status 17 is not on the service board Alerts; choose one of that board"]
        );
        assert_eq!(
            told(|t| t.subtype = Some(SubtypeId(1))),
            ["the subtype needs a type beside it; choose one"]
        );
    }

    #[test]
    fn what_may_not_stand_together_is_told() {
        let with = |subtype, item| {
            told(|t| {
                t.ticket_type = Some(TypeId(1));
                t.subtype = Some(SubtypeId(subtype));
                t.item = item;
            })
        };
        assert!(with(1, None).is_empty());
        assert_eq!(
            with(2, None),
            ["the subtype Mail may not stand below Backup on the service board Alerts; choose one that may"]
        );
        assert_eq!(
            with(3, None),
            ["the subtype Old is inactive; choose another, or make it active in ConnectWise"]
        );
        assert_eq!(
            with(1, Some(ItemId(1))),
            [
                "the item Server may not stand below Backup / Failed on the service board Alerts; choose one that may"
            ]
        );
    }

    #[test]
    fn a_board_knows_its_first_and_its_closing_status() {
        assert_eq!(board().opening_status().unwrap().name, "New");
        assert_eq!(board().closing_status().unwrap().name, "Closed");
    }

    #[test]
    fn what_is_gone_from_the_desk_is_told() {
        let desk = Desk {
            boards: vec![BoardName { id: BoardId(1), name: "Alerts".into(), inactive: false }],
            ..Desk::default()
        };
        let mut target = TicketTarget::of_board(BoardId(2));
        target.priority = Some(PriorityId(9));
        target.owner = Some(MemberId(4));
        let fields: Vec<&str> = desk.faults(&target).iter().map(TargetFault::field).collect();
        assert_eq!(fields, ["board", "priority"], "members that nobody may see cannot be judged");
    }
}

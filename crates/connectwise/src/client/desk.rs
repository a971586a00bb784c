//! The calls of the service desk, typed.

use super::cond::Cond;
use super::error::ClientError;
use super::page::Query;
use super::patch::PatchOp;
use super::session::ConnectWiseClient;
use super::wire::{
    BoardStatus, BoardSubtype, ById, Member, NewServiceNote, NewTicket, Priority, ServiceBoard, ServiceNote,
    SetupRow, TICKET_FIELDS, Ticket, TicketBundle, TypeAssociation, names, ticket_fields,
};

impl ConnectWiseClient {
    /// The service boards. Without the right to the setup tables the readable copy answers.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_boards(&self) -> Result<Vec<ServiceBoard>, ClientError> {
        match self.list("/service/boards", &Query::all()).await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.list("/service/info/boards", &Query::all()).await
            }
            other => other,
        }
    }

    /// One service board.
    ///
    /// # Errors
    /// Where it is not there or not readable.
    pub async fn get_board(&self, id: i64) -> Result<ServiceBoard, ClientError> {
        match self.get(&format!("/service/boards/{id}"), "").await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.get(&format!("/service/info/boards/{id}"), "").await
            }
            other => other,
        }
    }

    /// The statuses of a board.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_board_statuses(&self, board: i64) -> Result<Vec<BoardStatus>, ClientError> {
        self.list(&format!("/service/boards/{board}/statuses"), &Query::all()).await
    }

    /// The types of a board.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_board_types(&self, board: i64) -> Result<Vec<SetupRow>, ClientError> {
        self.list(&format!("/service/boards/{board}/types"), &Query::all()).await
    }

    /// The subtypes of a board.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_board_subtypes(&self, board: i64) -> Result<Vec<BoardSubtype>, ClientError> {
        self.list(&format!("/service/boards/{board}/subtypes"), &Query::all()).await
    }

    /// The items of a board.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_board_items(&self, board: i64) -> Result<Vec<SetupRow>, ClientError> {
        self.list(&format!("/service/boards/{board}/items"), &Query::all()).await
    }

    /// What may stand together on a board; none where the site does not show it.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_type_associations(
        &self,
        board: i64,
    ) -> Result<Option<Vec<TypeAssociation>>, ClientError> {
        let path = format!("/service/boards/{board}/typeSubTypeItemAssociations");
        match self.list(&path, &Query::all()).await {
            Ok(list) => Ok(Some(list)),
            Err(ClientError::Refused(api)) if (403..=405).contains(&api.status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The priorities of tickets.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_priorities(&self) -> Result<Vec<Priority>, ClientError> {
        self.list("/service/priorities", &Query::all()).await
    }

    /// The sources of tickets. Without the right to the setup tables the readable copy answers.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_ticket_sources(&self) -> Result<Vec<SetupRow>, ClientError> {
        match self.list("/service/sources", &Query::all()).await {
            Err(ClientError::Refused(api)) if api.status == 403 => {
                self.list("/service/sources/info", &Query::all()).await
            }
            other => other,
        }
    }

    /// The members; none where the API member may not see them.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_members(&self) -> Result<Option<Vec<Member>>, ClientError> {
        let query = Query::all().fields("id,identifier,firstName,lastName,inactiveFlag");
        match self.list("/system/members", &query).await {
            Ok(list) => Ok(Some(list)),
            Err(ClientError::Refused(api)) if api.status == 403 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tickets that meet a condition.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_tickets(&self, cond: Cond) -> Result<Vec<Ticket>, ClientError> {
        self.list("/service/tickets", &Query::filter(cond).fields(TICKET_FIELDS)).await
    }

    /// Tickets by id.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_tickets_by_id(&self, ids: &[i64]) -> Result<Vec<Ticket>, ClientError> {
        self.list_in("/service/tickets", names::ID, ids, &Query::all().fields(TICKET_FIELDS)).await
    }

    /// Tickets by the key of another system, open and closed.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_tickets_by_xref(&self, keys: &[&str]) -> Result<Vec<Ticket>, ClientError> {
        let query = Query::all().fields(TICKET_FIELDS);
        self.list_in_texts("/service/tickets", ticket_fields::XREF, keys, &query).await
    }

    /// One ticket.
    ///
    /// # Errors
    /// Where it is not there or not readable.
    pub async fn get_ticket(&self, id: i64) -> Result<Ticket, ClientError> {
        self.get(&format!("/service/tickets/{id}"), "").await
    }

    /// Creates a ticket.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been created.
    pub async fn create_ticket(&self, ticket: &NewTicket) -> Result<Ticket, ClientError> {
        self.post("/service/tickets", ticket).await
    }

    /// Moves a ticket to a status of its board.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been moved.
    pub async fn set_ticket_status(&self, ticket: i64, status: i64) -> Result<Ticket, ClientError> {
        let op = PatchOp::replace(ticket_fields::STATUS, &ById { id: status });
        let op = op.map_err(|error| ClientError::Invalid(error.to_string()))?;
        self.patch(&format!("/service/tickets/{ticket}"), &[op]).await
    }

    /// Bundles tickets under another one.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been done.
    pub async fn bundle_tickets(&self, parent: i64, children: &[i64]) -> Result<(), ClientError> {
        let bundle = TicketBundle { child_ticket_ids: children.to_vec() };
        self.post_plain(&format!("/service/tickets/{parent}/attachChildren"), &bundle).await
    }

    /// The notes of a ticket.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_ticket_notes(&self, ticket: i64) -> Result<Vec<ServiceNote>, ClientError> {
        self.list(&format!("/service/tickets/{ticket}/notes"), &Query::all()).await
    }

    /// Adds a note to a ticket.
    ///
    /// # Errors
    /// [`ClientError::InDoubt`] where it may have been added.
    pub async fn create_ticket_note(
        &self,
        ticket: i64,
        note: &NewServiceNote,
    ) -> Result<ServiceNote, ClientError> {
        self.post(&format!("/service/tickets/{ticket}/notes"), note).await
    }
}

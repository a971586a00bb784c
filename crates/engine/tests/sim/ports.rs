//! The simulated world behind the ports Psa and Clock: every call can be cut off before and after it takes effect.

use super::desk::{TicketAnswer, TicketWrite};
use super::remote::{Remote, Write};
use async_trait::async_trait;
use jiff::civil::{Date, date};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::plan::{FieldChange, OperationKey};
use trueup_domain::psa::{AdditionState, Agreement, CatalogItem, Company, ObservedAddition};
use trueup_domain::ticket::{
    Board, BoardId, Desk, NoteDraft, ObservedTicket, StatusId, TicketDraft, TicketId, TicketKey, TicketNote,
};
use trueup_engine::ports::{Clock, NewAgreement, NewCompany, NewItem, Psa, PsaError, PsaReport, WriteError};
use trueup_engine::records::Millis;

/// Gives the other futures a turn: here the process can die.
pub async fn turn() {
    let mut first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

pub struct SimPsa {
    pub remote: Arc<Mutex<Remote>>,
    /// Keys that the journal holds as `Sending`: a call without one is a violation.
    pub sending: Arc<Mutex<Vec<(AgreementId, String)>>>,
}

fn out_of_reach() -> PsaError {
    super::remote::problem(Code::Tu1001, "out of reach")
}

impl SimPsa {
    async fn send(&self, write: Write) -> Result<Option<ObservedAddition>, WriteError> {
        let entered = self.remote.lock().unwrap().now;
        turn().await;
        // The sender's own deadline: a call that was held up for so long is not sent any more.
        if self.remote.lock().unwrap().now - entered > 1_000 {
            return Err(WriteError::Refused(out_of_reach()));
        }
        {
            let sending = self.sending.lock().unwrap();
            let agreement = write.agreement();
            let known = sending.iter().any(|(lane, key)| match &write {
                Write::Create { key: own, .. } => own == key,
                Write::Update { .. } | Write::Delete { .. } => *lane == agreement,
            });
            if !known {
                let mut remote = self.remote.lock().unwrap();
                remote.violation.get_or_insert(format!("sent without a durable intent: {write:?}"));
            }
        }
        let answer = self.remote.lock().unwrap().send(write);
        turn().await;
        answer
    }
}

impl SimPsa {
    async fn read<T>(&self, look: impl FnOnce(&Remote) -> T + Send) -> Result<T, PsaError> {
        turn().await;
        let answer = {
            let mut remote = self.remote.lock().unwrap();
            remote.reads_ticket().then(|| look(&remote))
        };
        turn().await;
        answer.ok_or_else(out_of_reach)
    }

    async fn send_ticket(&self, write: TicketWrite) -> Result<TicketAnswer, WriteError> {
        turn().await;
        let answer = self.remote.lock().unwrap().send_ticket(&write);
        turn().await;
        answer
    }
}

#[async_trait]
impl Psa for SimPsa {
    async fn probe(&self) -> Result<PsaReport, PsaError> {
        Err(out_of_reach())
    }
    async fn list_companies(&self, _ids: Option<&[CompanyId]>) -> Result<Vec<Company>, PsaError> {
        Ok(Vec::new())
    }
    async fn list_agreements(&self, _companies: Option<&[CompanyId]>) -> Result<Vec<Agreement>, PsaError> {
        turn().await;
        let mut remote = self.remote.lock().unwrap();
        remote.calls += 1;
        Ok(remote.headers.values().cloned().collect())
    }
    async fn list_agreements_changed(&self, _since: Millis) -> Result<Vec<Agreement>, PsaError> {
        Err(out_of_reach())
    }
    async fn list_agreements_by_id(&self, ids: &[AgreementId]) -> Result<Vec<Agreement>, PsaError> {
        self.read(|remote| {
            remote.headers.values().filter(|agreement| ids.contains(&agreement.id)).cloned().collect()
        })
        .await
    }
    async fn list_additions(&self, agreement: AgreementId) -> Result<Vec<ObservedAddition>, PsaError> {
        turn().await;
        let list = self.remote.lock().unwrap().list(agreement).map(<[_]>::to_vec);
        turn().await;
        list.ok_or_else(out_of_reach)
    }
    async fn list_additions_of(
        &self,
        _agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, Vec<ObservedAddition>>, PsaError> {
        Err(out_of_reach())
    }
    async fn list_catalog_items(&self, _ids: Option<&[CatalogItemId]>) -> Result<Vec<CatalogItem>, PsaError> {
        Ok(Vec::new())
    }
    async fn find_agreement(&self, _id: AgreementId) -> Result<Option<Agreement>, PsaError> {
        Err(out_of_reach())
    }
    async fn create_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        let made = self.send(Remote::create(agreement, wanted, key)).await?;
        made.ok_or_else(|| WriteError::InDoubt(out_of_reach()))
    }
    async fn create_counted_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        self.create_addition(agreement, wanted, key).await
    }
    async fn update_addition(
        &self,
        agreement: AgreementId,
        addition: AdditionId,
        wanted: &AdditionState,
        fields: &[FieldChange],
    ) -> Result<ObservedAddition, WriteError> {
        assert!(!fields.is_empty(), "an edit names the fields that it sets");
        let write = Write::Update { agreement, id: addition, wanted: wanted.clone() };
        self.send(write).await?.ok_or_else(|| WriteError::InDoubt(out_of_reach()))
    }
    async fn delete_addition(&self, agreement: AgreementId, addition: AdditionId) -> Result<(), WriteError> {
        self.send(Write::Delete { agreement, id: addition }).await.map(|_| ())
    }
    async fn find_companies(&self, _identifier: &str) -> Result<Vec<Company>, PsaError> {
        Ok(Vec::new())
    }
    async fn find_catalog_items(&self, _identifier: &str) -> Result<Vec<CatalogItem>, PsaError> {
        Ok(Vec::new())
    }
    async fn create_company(&self, _wanted: &NewCompany) -> Result<Company, WriteError> {
        Err(WriteError::Refused(out_of_reach()))
    }
    async fn create_agreement(&self, _wanted: &NewAgreement) -> Result<Agreement, WriteError> {
        Err(WriteError::Refused(out_of_reach()))
    }
    async fn create_catalog_item(&self, _item: &NewItem) -> Result<CatalogItem, WriteError> {
        Err(WriteError::Refused(out_of_reach()))
    }
    async fn load_desk(&self) -> Result<Desk, PsaError> {
        self.read(|remote| remote.tickets.desk.clone()).await
    }
    async fn find_board(&self, id: BoardId) -> Result<Option<Board>, PsaError> {
        self.read(|remote| remote.tickets.boards.get(&id).cloned()).await
    }
    async fn find_tickets(&self, keys: &[TicketKey]) -> Result<Vec<ObservedTicket>, PsaError> {
        self.read(|remote| {
            let own = |ticket: &&ObservedTicket| keys.iter().any(|key| ticket.has_key(key));
            remote.tickets.tickets.values().filter(own).cloned().collect()
        })
        .await
    }
    async fn list_tickets(&self, ids: &[TicketId]) -> Result<Vec<ObservedTicket>, PsaError> {
        self.read(|remote| {
            let named = |ticket: &&ObservedTicket| ids.contains(&ticket.id);
            remote.tickets.tickets.values().filter(named).cloned().collect()
        })
        .await
    }
    async fn find_ticket(&self, id: TicketId) -> Result<Option<ObservedTicket>, PsaError> {
        self.read(|remote| remote.tickets.tickets.get(&id).cloned()).await
    }
    async fn create_ticket(&self, draft: &TicketDraft) -> Result<ObservedTicket, WriteError> {
        match self.send_ticket(TicketWrite::Create(draft.clone())).await? {
            TicketAnswer::Ticket(ticket) => Ok(ticket),
            TicketAnswer::Note(_) => Err(WriteError::InDoubt(out_of_reach())),
        }
    }
    async fn attach_ticket(&self, ticket: TicketId, parent: TicketId) -> Result<(), WriteError> {
        self.send_ticket(TicketWrite::Attach { ticket, parent }).await.map(|_| ())
    }
    async fn set_ticket_status(
        &self,
        ticket: TicketId,
        status: StatusId,
    ) -> Result<ObservedTicket, WriteError> {
        match self.send_ticket(TicketWrite::Status { ticket, status }).await? {
            TicketAnswer::Ticket(ticket) => Ok(ticket),
            TicketAnswer::Note(_) => Err(WriteError::InDoubt(out_of_reach())),
        }
    }
    async fn add_ticket_note(&self, ticket: TicketId, note: &NoteDraft) -> Result<TicketNote, WriteError> {
        match self.send_ticket(TicketWrite::Note { ticket, note: note.clone() }).await? {
            TicketAnswer::Note(note) => Ok(note),
            TicketAnswer::Ticket(_) => Err(WriteError::InDoubt(out_of_reach())),
        }
    }
    async fn list_ticket_notes(&self, ticket: TicketId) -> Result<Option<Vec<TicketNote>>, PsaError> {
        self.read(|remote| remote.tickets.notes_of(ticket)).await
    }
    fn calls(&self) -> u64 {
        self.remote.lock().unwrap().calls
    }
    fn server_time(&self) -> Option<Millis> {
        None
    }
}

pub struct SimClock {
    pub remote: Arc<Mutex<Remote>>,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Millis {
        self.remote.lock().unwrap().now
    }
    fn today(&self) -> Date {
        date(2026, 3, 5)
    }
    fn today_in(&self, _zone: &jiff::tz::TimeZone) -> Date {
        self.today()
    }
    async fn sleep_until(&self, at: Millis) {
        turn().await;
        self.remote.lock().unwrap().advance(at);
        turn().await;
    }
}

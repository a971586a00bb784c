//! The Psa port on its way to the real adapter: counts what is under way, and carries those planted bugs that are a way
//! of using the adapter.

use super::bug::Bug;
use super::wire::Net;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use trueup_connectwise::adapter::PsaAdapter;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::plan::{FieldChange, OperationKey};
use trueup_domain::psa::{AdditionState, Agreement, CatalogItem, Company, ObservedAddition};
use trueup_domain::ticket::{
    Board, BoardId, Desk, NoteDraft, ObservedTicket, StatusId, TicketDraft, TicketId, TicketKey, TicketNote,
};
use trueup_engine::ports::{NewAgreement, NewCompany, NewItem, Psa, PsaError, PsaReport, WriteError};
use trueup_engine::records::Millis;

pub struct StormPsa {
    pub inner: PsaAdapter,
    pub net: Arc<Net>,
    pub bug: Option<Bug>,
}

/// A call under way; time does not pass for others meanwhile, also not when the caller dies.
struct Under<'a>(&'a Net);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.call_ended();
    }
}

impl StormPsa {
    fn under_way(&self) -> Under<'_> {
        self.net.call_began();
        Under(&self.net)
    }

    fn judged<T>(&self, sent: Result<T, WriteError>) -> Result<T, WriteError> {
        if sent.is_err() {
            // Its bytes may still be on their way.
            self.net.unsettle();
        }
        sent
    }

    /// An agreement without additions does not look empty to the engine: the seam at which it would be careful is
    /// passed by, as a client would that takes every answer for the truth.
    fn believed(&self, agreement: AgreementId, mut list: Vec<ObservedAddition>) -> Vec<ObservedAddition> {
        if self.bug == Some(Bug::TrustsEmptyList) && list.is_empty() {
            let state = AdditionState {
                catalog_item: CatalogItemId(999_999),
                quantity: Quantity::ZERO,
                unit_price: Money::ZERO,
                unit_cost: Money::ZERO,
                effective: super::clock::TODAY,
                cancelled: None,
                bill: trueup_domain::psa::BillFlag::Billable,
                taxable: None,
                description: None,
                invoice_description: None,
            };
            list.push(ObservedAddition {
                id: AdditionId(999_999_999),
                agreement,
                state,
                less_included: Quantity::ZERO,
                marker: None,
                last_updated: None,
            });
        }
        list
    }
}

/// Cents as an implementation with floating point would get at them: multiplied and cut.
#[allow(clippy::float_arithmetic, clippy::cast_possible_truncation, reason = "the planted bug is just this")]
fn by_float(price: Money) -> Money {
    let float: f64 = price.decimal().to_string().parse().unwrap();
    let cents = (float * 100.0) as i64;
    Money::new(rust_decimal::Decimal::new(cents, 2))
}

#[async_trait]
impl Psa for StormPsa {
    async fn probe(&self) -> Result<PsaReport, PsaError> {
        self.inner.probe().await
    }
    async fn list_companies(&self, ids: Option<&[CompanyId]>) -> Result<Vec<Company>, PsaError> {
        let _under = self.under_way();
        self.inner.list_companies(ids).await
    }
    async fn list_agreements(&self, companies: Option<&[CompanyId]>) -> Result<Vec<Agreement>, PsaError> {
        let _under = self.under_way();
        self.inner.list_agreements(companies).await
    }
    async fn list_agreements_changed(&self, since: Millis) -> Result<Vec<Agreement>, PsaError> {
        let _under = self.under_way();
        self.inner.list_agreements_changed(since).await
    }
    async fn list_agreements_by_id(&self, ids: &[AgreementId]) -> Result<Vec<Agreement>, PsaError> {
        let _under = self.under_way();
        self.inner.list_agreements_by_id(ids).await
    }
    async fn list_additions(&self, agreement: AgreementId) -> Result<Vec<ObservedAddition>, PsaError> {
        let _under = self.under_way();
        Ok(self.believed(agreement, self.inner.list_additions(agreement).await?))
    }
    async fn list_additions_of(
        &self,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, Vec<ObservedAddition>>, PsaError> {
        let _under = self.under_way();
        self.inner.list_additions_of(agreements).await
    }
    async fn list_catalog_items(&self, ids: Option<&[CatalogItemId]>) -> Result<Vec<CatalogItem>, PsaError> {
        let _under = self.under_way();
        self.inner.list_catalog_items(ids).await
    }
    async fn find_agreement(&self, id: AgreementId) -> Result<Option<Agreement>, PsaError> {
        let _under = self.under_way();
        self.inner.find_agreement(id).await
    }
    async fn create_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        let _under = self.under_way();
        let mut wanted = wanted.clone();
        if self.bug == Some(Bug::FloatMoney) {
            wanted.unit_price = by_float(wanted.unit_price);
            wanted.unit_cost = by_float(wanted.unit_cost);
        }
        let mut sent = self.inner.create_addition(agreement, &wanted, key).await;
        if self.bug == Some(Bug::BlindRetry) && matches!(sent, Err(WriteError::InDoubt(_))) {
            sent = self.inner.create_addition(agreement, &wanted, key).await;
        }
        self.judged(sent)
    }
    async fn create_counted_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.create_counted_addition(agreement, wanted, key).await)
    }
    async fn update_addition(
        &self,
        agreement: AgreementId,
        addition: AdditionId,
        wanted: &AdditionState,
        fields: &[FieldChange],
    ) -> Result<ObservedAddition, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.update_addition(agreement, addition, wanted, fields).await)
    }
    async fn delete_addition(&self, agreement: AgreementId, addition: AdditionId) -> Result<(), WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.delete_addition(agreement, addition).await)
    }
    async fn find_companies(&self, identifier: &str) -> Result<Vec<Company>, PsaError> {
        self.inner.find_companies(identifier).await
    }
    async fn find_catalog_items(&self, identifier: &str) -> Result<Vec<CatalogItem>, PsaError> {
        self.inner.find_catalog_items(identifier).await
    }
    async fn create_company(&self, wanted: &NewCompany) -> Result<Company, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.create_company(wanted).await)
    }
    async fn create_agreement(&self, wanted: &NewAgreement) -> Result<Agreement, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.create_agreement(wanted).await)
    }
    async fn create_catalog_item(&self, item: &NewItem) -> Result<CatalogItem, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.create_catalog_item(item).await)
    }
    async fn load_desk(&self) -> Result<Desk, PsaError> {
        let _under = self.under_way();
        self.inner.load_desk().await
    }
    async fn find_board(&self, id: BoardId) -> Result<Option<Board>, PsaError> {
        let _under = self.under_way();
        self.inner.find_board(id).await
    }
    async fn find_tickets(&self, keys: &[TicketKey]) -> Result<Vec<ObservedTicket>, PsaError> {
        let _under = self.under_way();
        self.inner.find_tickets(keys).await
    }
    async fn list_tickets(&self, ids: &[TicketId]) -> Result<Vec<ObservedTicket>, PsaError> {
        let _under = self.under_way();
        self.inner.list_tickets(ids).await
    }
    async fn find_ticket(&self, id: TicketId) -> Result<Option<ObservedTicket>, PsaError> {
        let _under = self.under_way();
        self.inner.find_ticket(id).await
    }
    async fn create_ticket(&self, draft: &TicketDraft) -> Result<ObservedTicket, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.create_ticket(draft).await)
    }
    async fn attach_ticket(&self, ticket: TicketId, parent: TicketId) -> Result<(), WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.attach_ticket(ticket, parent).await)
    }
    async fn set_ticket_status(
        &self,
        ticket: TicketId,
        status: StatusId,
    ) -> Result<ObservedTicket, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.set_ticket_status(ticket, status).await)
    }
    async fn add_ticket_note(&self, ticket: TicketId, note: &NoteDraft) -> Result<TicketNote, WriteError> {
        let _under = self.under_way();
        self.judged(self.inner.add_ticket_note(ticket, note).await)
    }
    async fn list_ticket_notes(&self, ticket: TicketId) -> Result<Option<Vec<TicketNote>>, PsaError> {
        let _under = self.under_way();
        self.inner.list_ticket_notes(ticket).await
    }
    fn server_time(&self) -> Option<Millis> {
        self.inner.server_time()
    }
    fn calls(&self) -> u64 {
        self.inner.calls()
    }
}

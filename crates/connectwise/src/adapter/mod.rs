//! The Psa port, spoken to ConnectWise.

mod convert;
mod desk;
mod failure;
mod lookups;
mod making;
mod marker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::StreamExt;
use jiff::Timestamp;
use tokio::sync::Mutex;
use trueup_domain::finding::Code;
use trueup_domain::ids::{AdditionId, AgreementId, CatalogItemId, CompanyId};
use trueup_domain::plan::{FieldChange, OperationKey};
use trueup_domain::psa::{AdditionState, Agreement, CatalogItem, Company, ObservedAddition};
use trueup_domain::ticket::{
    Board, BoardId, Desk, NoteDraft, ObservedTicket, StatusId, TicketDraft, TicketId, TicketKey, TicketNote,
};
use trueup_engine::ports::{
    Agreements, AgreementsOf, Lists, NewAgreement, NewCompany, NewItem, Psa, PsaError, PsaReport, Right,
    WriteError, WriteStyle,
};
use trueup_engine::records::Millis;

use crate::client::rights::{self, Part, RightCheck, RightState};
use crate::client::wire::{self, ById, Each, NewCatalogItem, Record, SetupRow};
use crate::client::{ClientError, Cond, ConnectWiseClient, NewAddition, Number, Query};
use convert::{Faulty, Reading};
use desk::Act;
use failure::{not_understood, psa_error, write_error};
use lookups::Lookups;
use marker::Marker;

/// Lists asked for together. The limiter below decides how many are in flight; this bounds what waits for it.
const LISTS_AT_ONCE: usize = 16;

/// So long what a role allows is taken as known: the parts of one run ask one after the other.
const ROLE_HOLDS: Duration = Duration::from_secs(60);

/// The Psa port for one ConnectWise tenant.
#[derive(Debug)]
pub struct PsaAdapter {
    client: ConnectWiseClient,
    style: WriteStyle,
    lookups: Lookups,
    marker: Marker,
    role: Mutex<BTreeMap<Part, (Instant, Vec<Right>)>>,
}

impl PsaAdapter {
    /// An adapter over a client, writing additions the way the tenant wants them.
    #[must_use]
    pub fn new(client: ConnectWiseClient, style: WriteStyle) -> Self {
        let marker = Marker::new(style.marker.clone());
        Self { client, style, lookups: Lookups::default(), marker, role: Mutex::default() }
    }

    /// The client below.
    #[must_use]
    pub fn client(&self) -> &ConnectWiseClient {
        &self.client
    }

    fn reading(&self) -> Reading<'_> {
        Reading { cancelled_date: self.style.cancelled_date, caption: self.marker.caption() }
    }

    /// Turns agreements into ours, with the tables that their cycles and currencies are looked up in.
    async fn agreements(&self, records: Vec<wire::Agreement>) -> Result<Vec<Agreement>, ClientError> {
        let tables = self.lookups.tables(&self.client, &records).await?;
        records.iter().map(|record| convert::agreement(record, &tables).map_err(faulty)).collect()
    }

    /// Agreements with those apart that are not understood, and all whose parent is not.
    async fn each_agreement(&self, of: AgreementsOf<'_>) -> Result<Agreements, ClientError> {
        let by_id = wire::names::ID;
        let mut records = match of {
            AgreementsOf::All => self.client.list_each_agreement(&Query::all()).await?,
            AgreementsOf::Companies(ids) => {
                let ids = numbers(ids, |id| id.0);
                self.client.list_each_agreement_in(wire::names::COMPANY_ID, &ids).await?
            }
            AgreementsOf::ChangedSince(since) => {
                let since = Timestamp::from_millisecond(since)
                    .map_err(|error| unread("its time", error.to_string()))?;
                let query = Query::filter(Cond::ge(wire::names::LAST_UPDATED, since));
                self.client.list_each_agreement(&query).await?
            }
            AgreementsOf::Ids(ids) => {
                self.client.list_each_agreement_in(by_id, &numbers(ids, |id| id.0)).await?
            }
        };
        // Parents that are named and not among the records: their invoices decide about the children's periods.
        let with_parents = matches!(of, AgreementsOf::All | AgreementsOf::Companies(_));
        let missing: Vec<i64> = if with_parents { parents_beside(&records) } else { Vec::new() };
        if !missing.is_empty() {
            records.extend(self.client.list_each_agreement_in(by_id, &missing).await?);
            records.sort_by_key(Record::id);
        }
        self.understood(records).await
    }

    async fn understood(&self, records: Vec<Each<wire::Agreement>>) -> Result<Agreements, ClientError> {
        let (mut known, mut agreements) = (Vec::with_capacity(records.len()), Agreements::default());
        let mut leave = |id: i64, company: Option<i64>, error: ClientError| {
            agreements.unreadable.insert(AgreementId(id), (company.map(CompanyId), psa_error(error)));
        };
        for record in records {
            match record {
                Each::Read(record) => known.push(*record),
                Each::Unread(one) => {
                    leave(one.id, one.company, unread("agreement", format!("{}: {}", one.id, one.why)))
                }
            }
        }
        let tables = self.lookups.tables(&self.client, &known).await?;
        let mut read = Vec::with_capacity(known.len());
        for record in &known {
            match convert::agreement(record, &tables) {
                Ok(agreement) => read.push(agreement),
                Err(fault) => leave(record.id, record.company.id, faulty(fault)),
            }
        }
        // What stands under one that is not understood is invoiced nobody knows how; several may stand one under another.
        while let Some(place) = read.iter().position(|agreement: &Agreement| {
            agreement.parent.is_some_and(|parent| agreements.unreadable.contains_key(&parent))
        }) {
            let child = read.swap_remove(place);
            let of_parent = child
                .parent
                .and_then(|parent| agreements.unreadable.get(&parent))
                .map(|(_, error)| error.clone());
            if let Some(error) = of_parent {
                agreements.unreadable.insert(child.id, (Some(child.company), error));
            }
        }
        read.sort_by_key(|agreement| agreement.id);
        agreements.read = read;
        Ok(agreements)
    }

    /// Agreements that are understood, all of them.
    async fn all_agreements(&self, of: AgreementsOf<'_>) -> Result<Vec<Agreement>, PsaError> {
        let Agreements { read, unreadable } = self.each_agreement(of).await.map_err(psa_error)?;
        match unreadable.into_values().next() {
            Some((_, error)) => Err(error),
            None => Ok(read),
        }
    }

    async fn additions(&self, agreement: AgreementId) -> Result<Vec<ObservedAddition>, ClientError> {
        let records = self.client.list_additions(agreement.0).await?;
        self.marker.notice(&records);
        let reading = self.reading();
        records.iter().map(|record| convert::addition(record, agreement, &reading).map_err(faulty)).collect()
    }

    /// A new addition that carries its key.
    async fn new_addition(
        &self,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<NewAddition, WriteError> {
        let place = self.marker.place(&self.client).await.map_err(WriteError::Refused)?;
        convert::new_addition(wanted, key, &place, self.style.cancelled_date)
            .map_err(|why| WriteError::Refused(not_understood(why)))
    }

    /// What the role alone tells of the rights of a part.
    async fn rights_of(&self, part: Part) -> Result<Vec<Right>, ClientError> {
        let mut role = self.role.lock().await;
        if let Some((asked, known)) = role.get(&part)
            && asked.elapsed() < ROLE_HOLDS
        {
            return Ok(known.clone());
        }
        let rights: Vec<Right> = self.client.check_role(part).await?.into_iter().map(right).collect();
        role.insert(part, (Instant::now(), rights.clone()));
        Ok(rights)
    }

    /// A write of the service desk that failed, in the words of the exception that it is.
    async fn ticket_refused(&self, error: ClientError, act: Act) -> WriteError {
        let denied = Code::from_name(error.code()) == Some(Code::Tu1004);
        // ConnectWise never says which right is missing; the role may.
        let rights =
            if denied { self.rights_of(Part::Tickets).await.unwrap_or_default() } else { Vec::new() };
        desk::write_error(error, act, &rights)
    }

    /// The record after a write. It was written, so what cannot be read leaves the write in doubt.
    fn written(
        &self,
        record: &wire::Addition,
        agreement: AgreementId,
    ) -> Result<ObservedAddition, WriteError> {
        convert::addition(record, agreement, &self.reading())
            .map_err(|fault| WriteError::InDoubt(not_understood(fault.to_string())))
    }
}

fn right(check: RightCheck) -> Right {
    let state = match check.state {
        RightState::Granted => "granted",
        RightState::Missing => "missing",
        RightState::Unknown => "unknown",
    };
    Right {
        module: check.module.to_owned(),
        function: check.function.to_owned(),
        level: check.level.to_owned(),
        state: state.to_owned(),
        purpose: check.purpose.to_owned(),
    }
}

/// Parents that records name and that are not among them.
fn parents_beside(records: &[Each<wire::Agreement>]) -> Vec<i64> {
    let known: BTreeSet<i64> = records.iter().map(Record::id).collect();
    let parent = |record: &Each<wire::Agreement>| match record {
        Each::Read(record) => record.parent_agreement.as_ref()?.id,
        Each::Unread(_) => None,
    };
    let missing: BTreeSet<i64> = records.iter().filter_map(parent).filter(|id| !known.contains(id)).collect();
    missing.into_iter().collect()
}

fn unread(what: &str, why: String) -> ClientError {
    ClientError::NotUnderstood { call: format!("GET /finance/agreements: {what}"), why }
}

fn faulty(fault: Faulty) -> ClientError {
    ClientError::NotUnderstood { call: fault.record, why: fault.why }
}

fn numbers<T: Copy>(ids: &[T], number: impl Fn(T) -> i64) -> Vec<i64> {
    ids.iter().map(|id| number(*id)).collect()
}

#[async_trait]
impl Psa for PsaAdapter {
    async fn probe(&self) -> Result<PsaReport, PsaError> {
        let rights = self.client.check_rights(Part::Billing).await.map_err(psa_error)?;
        // Billing does not fail for what only tickets need.
        let tickets = self.client.check_rights(Part::Tickets).await;
        let ticket_rights = tickets.unwrap_or_else(|_| rights::needed(Part::Tickets).collect());
        // Some sites give these facts to nobody; that is no fault of the connection.
        let info = self.client.get_system_info().await.ok();
        let marker = self.marker.describe(&self.client).await.map_err(psa_error)?;
        Ok(PsaReport {
            version: info.as_ref().and_then(|i| i.version.clone()),
            cloud: info.as_ref().and_then(|i| i.is_cloud),
            rights: rights.into_iter().map(right).collect(),
            ticket_rights: ticket_rights.into_iter().map(right).collect(),
            marker,
        })
    }

    async fn list_rights(&self) -> Result<Vec<Right>, PsaError> {
        self.rights_of(Part::Billing).await.map_err(psa_error)
    }

    async fn list_ticket_rights(&self) -> Result<Vec<Right>, PsaError> {
        self.rights_of(Part::Tickets).await.map_err(psa_error)
    }

    async fn list_companies(&self, ids: Option<&[CompanyId]>) -> Result<Vec<Company>, PsaError> {
        let records = match ids {
            Some(ids) => self.client.list_companies_by_id(&numbers(ids, |id| id.0)).await,
            None => self.client.list_companies(&Query::filter(Cond::eq(wire::names::DELETED, false))).await,
        };
        let records = records.map_err(psa_error)?;
        self.lookups.note_companies(&records).await;
        Ok(records.iter().map(convert::company).collect())
    }

    async fn list_agreements(&self, companies: Option<&[CompanyId]>) -> Result<Vec<Agreement>, PsaError> {
        self.all_agreements(companies.map_or(AgreementsOf::All, AgreementsOf::Companies)).await
    }

    async fn list_agreements_changed(&self, since: Millis) -> Result<Vec<Agreement>, PsaError> {
        self.all_agreements(AgreementsOf::ChangedSince(since)).await
    }

    async fn list_agreements_by_id(&self, ids: &[AgreementId]) -> Result<Vec<Agreement>, PsaError> {
        self.all_agreements(AgreementsOf::Ids(ids)).await
    }

    async fn list_agreements_each(&self, of: AgreementsOf<'_>) -> Result<Agreements, PsaError> {
        self.each_agreement(of).await.map_err(psa_error)
    }

    async fn list_additions(&self, agreement: AgreementId) -> Result<Vec<ObservedAddition>, PsaError> {
        self.additions(agreement).await.map_err(psa_error)
    }

    async fn list_additions_of(
        &self,
        agreements: &[AgreementId],
    ) -> Result<BTreeMap<AgreementId, Vec<ObservedAddition>>, PsaError> {
        let Lists { read, unreadable } = self.list_additions_each(agreements, &|| {}).await?;
        match unreadable.into_values().next() {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }

    async fn list_additions_each(
        &self,
        agreements: &[AgreementId],
        tell: &(dyn Fn() + Send + Sync),
    ) -> Result<Lists, PsaError> {
        let unique: BTreeSet<AgreementId> = agreements.iter().copied().collect();
        let mut lists = Lists::default();
        let mut reading = futures::stream::iter(unique)
            .map(|id| async move { (id, self.additions(id).await) })
            .buffer_unordered(LISTS_AT_ONCE);
        while let Some((id, found)) = reading.next().await {
            match found {
                Ok(additions) => {
                    tell();
                    lists.read.insert(id, additions);
                }
                Err(ClientError::Refused(api)) if api.is_record_missing() => {}
                Err(error @ ClientError::NotUnderstood { .. }) => {
                    lists.unreadable.insert(id, psa_error(error));
                }
                Err(error) => return Err(psa_error(error)),
            }
        }
        Ok(lists)
    }

    async fn list_catalog_items(&self, ids: Option<&[CatalogItemId]>) -> Result<Vec<CatalogItem>, PsaError> {
        let records = match ids {
            Some(ids) => self.client.list_catalog_by_id(&numbers(ids, |id| id.0)).await,
            None => self.client.list_catalog(&Query::all()).await,
        };
        let items: Result<Vec<CatalogItem>, Faulty> =
            records.map_err(psa_error)?.iter().map(convert::catalog_item).collect();
        items.map_err(|fault| psa_error(faulty(fault)))
    }

    async fn find_companies(&self, identifier: &str) -> Result<Vec<Company>, PsaError> {
        let query = Query::filter(Cond::eq(wire::names::IDENTIFIER, identifier));
        let records = self.client.list_companies(&query).await.map_err(psa_error)?;
        Ok(records.iter().map(convert::company).collect())
    }

    async fn find_catalog_items(&self, identifier: &str) -> Result<Vec<CatalogItem>, PsaError> {
        let query = Query::filter(Cond::eq(wire::names::IDENTIFIER, identifier));
        let records = self.client.list_catalog(&query).await.map_err(psa_error)?;
        let items: Result<Vec<CatalogItem>, Faulty> = records.iter().map(convert::catalog_item).collect();
        items.map_err(|fault| psa_error(faulty(fault)))
    }

    async fn create_company(&self, wanted: &NewCompany) -> Result<Company, WriteError> {
        making::company(&self.client, wanted).await
    }

    async fn create_agreement(&self, wanted: &NewAgreement) -> Result<Agreement, WriteError> {
        let record = making::agreement(&self.client, wanted).await?;
        let unread = |why: String| WriteError::InDoubt(not_understood(why));
        let made = self.agreements(vec![record]).await.map_err(|error| unread(error.to_string()))?;
        made.into_iter().next().ok_or_else(|| unread("the new agreement was not shown".into()))
    }

    async fn find_agreement(&self, id: AgreementId) -> Result<Option<Agreement>, PsaError> {
        let record = match self.client.get_agreement(id.0).await {
            Ok(record) => record,
            Err(ClientError::Refused(api)) if api.is_record_missing() => return Ok(None),
            Err(error) => return Err(psa_error(error)),
        };
        let found = self.agreements(vec![record]).await.map_err(psa_error)?;
        Ok(found.into_iter().next())
    }

    async fn create_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        let addition = self.new_addition(wanted, key).await?;
        let record = self.client.create_addition(agreement.0, &addition).await.map_err(write_error)?;
        self.written(&record, agreement)
    }

    async fn create_counted_addition(
        &self,
        agreement: AgreementId,
        wanted: &AdditionState,
        key: &OperationKey,
    ) -> Result<ObservedAddition, WriteError> {
        let addition = convert::priced_by_catalog(self.new_addition(wanted, key).await?);
        let record = self.client.create_addition(agreement.0, &addition).await.map_err(write_error)?;
        self.written(&record, agreement)
    }

    async fn update_addition(
        &self,
        agreement: AgreementId,
        addition: AdditionId,
        wanted: &AdditionState,
        fields: &[FieldChange],
    ) -> Result<ObservedAddition, WriteError> {
        let ops = convert::patch(wanted, fields, self.style.cancelled_date)
            .map_err(|why| WriteError::Refused(not_understood(why)))?;
        let record = if ops.is_empty() {
            // Nothing to set; the caller still wants to see the record.
            self.client.get_addition(agreement.0, addition.0).await
        } else {
            self.client.patch_addition(agreement.0, addition.0, &ops).await
        };
        self.written(&record.map_err(write_error)?, agreement)
    }

    async fn delete_addition(&self, agreement: AgreementId, addition: AdditionId) -> Result<(), WriteError> {
        self.client.delete_addition(agreement.0, addition.0).await.map_err(write_error)
    }

    async fn load_desk(&self) -> Result<Desk, PsaError> {
        desk::load(&self.client).await
    }

    async fn find_board(&self, id: BoardId) -> Result<Option<Board>, PsaError> {
        desk::board(&self.client, id).await
    }

    async fn find_tickets(&self, keys: &[TicketKey]) -> Result<Vec<ObservedTicket>, PsaError> {
        let texts: Vec<&str> = keys.iter().map(TicketKey::as_str).collect();
        let records = self.client.list_tickets_by_xref(&texts).await.map_err(psa_error)?;
        let tickets = records.iter().map(desk::ticket);
        // ConnectWise compares texts without regard to case, and another system's key may differ by nothing else.
        Ok(tickets.filter(|ticket| keys.iter().any(|key| ticket.has_key(key))).collect())
    }

    async fn list_tickets(&self, ids: &[TicketId]) -> Result<Vec<ObservedTicket>, PsaError> {
        let records = self.client.list_tickets_by_id(&numbers(ids, |id| id.0)).await.map_err(psa_error)?;
        Ok(records.iter().map(desk::ticket).collect())
    }

    async fn find_ticket(&self, id: TicketId) -> Result<Option<ObservedTicket>, PsaError> {
        match self.client.get_ticket(id.0).await {
            Ok(record) => Ok(Some(desk::ticket(&record))),
            Err(ClientError::Refused(api)) if api.is_record_missing() => Ok(None),
            Err(error) => Err(psa_error(error)),
        }
    }

    async fn create_ticket(&self, draft: &TicketDraft) -> Result<ObservedTicket, WriteError> {
        let made = self.client.create_ticket(&desk::new_ticket(draft)).await;
        let record = match made {
            Ok(record) => record,
            Err(error) => return Err(self.ticket_refused(error, Act::Make).await),
        };
        let mut ticket = desk::ticket(&record);
        if let Some(parent) = draft.parent.filter(|parent| ticket.parent != Some(*parent)) {
            // The ticket is there whatever becomes of this; the caller sees by the parent whether it worked.
            if self.client.bundle_tickets(parent.0, &[record.id]).await.is_ok() {
                ticket.parent = Some(parent);
            }
        }
        Ok(ticket)
    }

    async fn attach_ticket(&self, ticket: TicketId, parent: TicketId) -> Result<(), WriteError> {
        match self.client.bundle_tickets(parent.0, &[ticket.0]).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.ticket_refused(error, Act::Change).await),
        }
    }

    async fn set_ticket_status(
        &self,
        ticket: TicketId,
        status: StatusId,
    ) -> Result<ObservedTicket, WriteError> {
        match self.client.set_ticket_status(ticket.0, status.0).await {
            Ok(record) => Ok(desk::ticket(&record)),
            Err(error) => Err(self.ticket_refused(error, Act::Close).await),
        }
    }

    async fn add_ticket_note(&self, ticket: TicketId, note: &NoteDraft) -> Result<TicketNote, WriteError> {
        match self.client.create_ticket_note(ticket.0, &desk::new_note(note)).await {
            Ok(record) => Ok(desk::note(&record)),
            Err(error) => Err(self.ticket_refused(error, Act::Note).await),
        }
    }

    async fn list_ticket_notes(&self, ticket: TicketId) -> Result<Option<Vec<TicketNote>>, PsaError> {
        match self.client.list_ticket_notes(ticket.0).await {
            Ok(records) => Ok(Some(records.iter().map(desk::note).collect())),
            Err(ClientError::Refused(api)) if api.is_record_missing() => Ok(None),
            Err(error) => Err(psa_error(error)),
        }
    }

    async fn create_catalog_item(&self, wanted: &NewItem) -> Result<CatalogItem, WriteError> {
        let subcategories = self.client.list_product_subcategories().await.map_err(not_sent)?;
        let types = self.client.list_product_types().await.map_err(not_sent)?;
        let item = NewCatalogItem {
            identifier: cut(&wanted.identifier, 75),
            description: cut(&wanted.description, 60),
            customer_description: cut(&wanted.description, 6_000),
            subcategory: usual(&subcategories, "product subcategory")?,
            product_type: usual(&types, "product type")?,
            price: wanted.price.map(|price| Number(price.decimal())),
            cost: wanted.cost.map(|cost| Number(cost.decimal())),
        };
        let record = self.client.create_catalog_item(&item).await.map_err(write_error)?;
        convert::catalog_item(&record).map_err(|fault| WriteError::InDoubt(not_understood(fault.to_string())))
    }

    fn calls(&self) -> u64 {
        self.client.stats().calls
    }

    fn server_time(&self) -> Option<Millis> {
        self.client.server_time().map(Timestamp::as_millisecond)
    }
}

/// A read that failed before anything was written.
pub(super) fn not_sent(error: ClientError) -> WriteError {
    WriteError::Refused(psa_error(error))
}

/// The row of a setup table that is taken where nothing is said.
pub(super) fn usual(rows: &[SetupRow], kind: &str) -> Result<ById, WriteError> {
    let active = || rows.iter().filter(|row| row.inactive_flag != Some(true));
    active()
        .find(|row| row.default_flag == Some(true))
        .or_else(|| active().next())
        .map(|row| ById { id: row.id })
        .ok_or_else(|| WriteError::Refused(failure::lookup_missing(kind)))
}

pub(super) fn cut(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

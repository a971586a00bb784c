//! Executing the core's effects through the ports.

use super::Boundary;
use super::core::{Answer, Core};
use super::layout::StepKind;
use crate::ports::{
    AgreementsOf, Clock, Lease, OperationOutcome, Psa, PsaError, Store, StoreError, WriteError,
};
use crate::records::{Millis, OperationError, OperationRow};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, CompanyId, OrganizationId};
use trueup_domain::plan::{Change, Role};
use trueup_domain::psa::{Agreement, ObservedAddition};

/// Above so many companies all agreements are read: fewer pages than lists of ids.
const COMPANIES_BY_ID: usize = 200;

/// Who is told of the boundaries of the steps.
pub(super) type Told<'a> = Option<&'a (dyn Fn(usize, Boundary) + Send + Sync)>;

/// The ports of one run.
#[derive(Clone, Copy)]
pub(super) struct Ports<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) psa: &'a dyn Psa,
    pub(super) clock: &'a dyn Clock,
    pub(super) org: &'a OrganizationId,
    pub(super) told: Told<'a>,
}

impl Ports<'_> {
    fn pass(&self, number: usize, boundary: Boundary) {
        if let Some(told) = self.told {
            told(number, boundary);
        }
    }
}

/// A lease with the instant at which it runs out.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) until: Millis,
    pub(super) ttl_ms: Millis,
}

/// Why a lane may not be used.
#[derive(Clone, Debug)]
pub(super) enum LaneError {
    Lost,
    Store(StoreError),
}

/// Agreements by id, and why others could not be understood.
pub(super) type Headers = (BTreeMap<AgreementId, Agreement>, BTreeMap<AgreementId, PsaError>);

/// What an executed effect came to.
pub(super) enum Happened {
    Headers(Result<Headers, PsaError>),
    HeadersAgain(Vec<usize>, Millis, Result<Headers, PsaError>),
    Looked(usize, Millis, Result<Vec<ObservedAddition>, OperationError>, Option<Held>),
    Gone(usize, Millis, Held),
    IntentsSaved(Result<(), StoreError>),
    Begun(usize, Result<(Held, String), BeginError>),
    Answered(usize, Answer),
    Finished(usize, Result<(), StoreError>),
    Woke,
}

/// Why a step was not begun.
pub(super) enum BeginError {
    Lane(LaneError),
    InUse(String),
}

pub(super) fn failure(code: Code, message: impl Into<String>) -> OperationError {
    OperationError { code: code.to_string(), message: message.into(), their_words: None }
}

pub(super) fn of_psa(error: PsaError) -> OperationError {
    OperationError { code: error.code.to_string(), message: error.message, their_words: error.their_words }
}

/// Extends a lease where less than half of it is left.
///
/// A number that grew by more than one means that another worker held the lane in between, so that what this run knows
/// of it is no longer sure.
pub(super) async fn extend(ports: Ports<'_>, held: Held) -> Result<Held, LaneError> {
    let now = ports.clock.now();
    if held.until.saturating_sub(now) > held.ttl_ms / 2 {
        return Ok(held);
    }
    let again =
        ports.store.acquire_lease(ports.org, &held.lease.lane, &held.lease.owner, now, held.ttl_ms).await;
    match again {
        Ok(Some(lease)) if lease.fencing <= held.lease.fencing + 1 => {
            Ok(Held { lease, until: now.saturating_add(held.ttl_ms), ttl_ms: held.ttl_ms })
        }
        Ok(Some(_) | None) => Err(LaneError::Lost),
        Err(error) => Err(LaneError::Store(error)),
    }
}

/// The agreements of the companies, and those others that invoice some of them.
pub(super) fn read_headers<'a>(
    ports: Ports<'a>,
    mut companies: Vec<CompanyId>,
    invoicers: Vec<AgreementId>,
) -> BoxFuture<'a, Happened> {
    companies.sort_unstable();
    companies.dedup();
    Box::pin(async move {
        let wanted = (companies.len() <= COMPANIES_BY_ID).then_some(companies.as_slice());
        Happened::Headers(headers(ports, wanted, invoicers).await)
    })
}

async fn headers(
    ports: Ports<'_>,
    companies: Option<&[CompanyId]>,
    mut missing: Vec<AgreementId>,
) -> Result<Headers, PsaError> {
    let of = companies.map_or(AgreementsOf::All, AgreementsOf::Companies);
    let mut listed = ports.psa.list_agreements_each(of).await?;
    // A parent may belong to another company than its child.
    let known: BTreeSet<AgreementId> =
        listed.read.iter().map(|agreement| agreement.id).chain(listed.unreadable.keys().copied()).collect();
    missing.retain(|id| !known.contains(id));
    if !missing.is_empty() {
        let more = ports.psa.list_agreements_each(AgreementsOf::Ids(&missing)).await?;
        listed.read.extend(more.read);
        listed.unreadable.extend(more.unreadable);
    }
    let unread = listed.unreadable.into_iter().map(|(id, (_, error))| (id, error)).collect();
    Ok((listed.read.into_iter().map(|agreement| (agreement.id, agreement)).collect(), unread))
}

/// Agreements by their ids, with those under which they stand, for the lanes that are named beside them.
pub(super) fn read_again<'a>(
    ports: Ports<'a>,
    lanes: Vec<usize>,
    mut ids: Vec<AgreementId>,
) -> BoxFuture<'a, Happened> {
    ids.sort_unstable();
    ids.dedup();
    Box::pin(async move {
        let at = ports.clock.now();
        Happened::HeadersAgain(lanes, at, headers_by_id(ports, ids).await)
    })
}

async fn headers_by_id(ports: Ports<'_>, mut ids: Vec<AgreementId>) -> Result<Headers, PsaError> {
    let (mut read, mut unread) = Headers::default();
    // As many levels as are followed up to the agreement that invoices.
    for _ in 0..8 {
        let listed = ports.psa.list_agreements_each(AgreementsOf::Ids(&ids)).await?;
        unread.extend(listed.unreadable.into_iter().map(|(id, (_, error))| (id, error)));
        read.extend(listed.read.into_iter().map(|agreement| (agreement.id, agreement)));
        let above: BTreeSet<AgreementId> = read.values().filter_map(|agreement| agreement.parent).collect();
        let missing = above
            .into_iter()
            .filter(|id| !read.contains_key(id) && !unread.contains_key(id) && !ids.contains(id));
        ids = missing.collect();
        if ids.is_empty() {
            break;
        }
    }
    Ok((read, unread))
}

pub(super) fn look<'a>(
    ports: Ports<'a>,
    lane: usize,
    agreement: AgreementId,
    held: Held,
) -> BoxFuture<'a, Happened> {
    Box::pin(async move {
        match extend(ports, held).await {
            Ok(held) => {
                // The instant before the read: what happens during it is not surely in it.
                let at = ports.clock.now();
                let read = match ports.psa.list_additions(agreement).await {
                    // Believed to be gone only where its own record says so too.
                    Err(error) if error.code == Code::Tu7004 => {
                        match ports.psa.find_agreement(agreement).await {
                            Ok(None) => return Happened::Gone(lane, at, held),
                            Ok(Some(_)) => Err(error),
                            Err(other) => Err(other),
                        }
                    }
                    read => read, // open set: read, or every other failure
                };
                Happened::Looked(lane, at, read.map_err(of_psa), Some(held))
            }
            Err(LaneError::Lost) => Happened::Looked(lane, ports.clock.now(), Err(lost(agreement)), None),
            Err(LaneError::Store(error)) => {
                let error = failure(error.code(), error.to_string());
                Happened::Looked(lane, ports.clock.now(), Err(error), None)
            }
        }
    })
}

pub(super) fn lost(agreement: AgreementId) -> OperationError {
    failure(
        Code::Tu7006,
        format!("another worker took over agreement {agreement}; nothing more was sent for it"),
    )
}

pub(super) fn begin<'a>(
    ports: Ports<'a>,
    number: usize,
    held: Held,
    mut row: OperationRow,
    kind: StepKind,
) -> BoxFuture<'a, Happened> {
    Box::pin(async move {
        let held = match extend(ports, held).await {
            Ok(held) => held,
            Err(error) => return Happened::Begun(number, Err(BeginError::Lane(error))),
        };
        row.fencing = held.lease.fencing;
        ports.pass(number, Boundary::Intent);
        let mut begun =
            ports.store.begin_operations(ports.org, &held.lease, std::slice::from_ref(&row)).await;
        if matches!(begun, Err(StoreError::Conflict(_))) && kind != StepKind::Create {
            // The same edit was made by an earlier plan and undone since. It carries no key in ConnectWise and is
            // absolute, so it may be made again under a key of this plan.
            let own = format!("{}@{}", row.key, row.plan);
            if row.key.contains('@') {
                return Happened::Begun(number, Err(BeginError::InUse(row.key)));
            }
            row.key = own;
            begun = ports.store.begin_operations(ports.org, &held.lease, std::slice::from_ref(&row)).await;
        }
        let result = match begun {
            Ok(()) => Ok((held, row.key)),
            Err(StoreError::Fenced) => Err(BeginError::Lane(LaneError::Lost)),
            Err(StoreError::Conflict(what)) => Err(BeginError::InUse(what)),
            Err(error) => Err(BeginError::Lane(LaneError::Store(error))),
        };
        Happened::Begun(number, result)
    })
}

/// Sends the call of a step, unless so much time went by since the instant in the journal that the lease may be another's by now.
pub(super) fn call<'a>(
    ports: Ports<'a>,
    core: &Core<'_>,
    number: usize,
    change: &'a Change,
    sent_at: Millis,
    window_ms: Millis,
) -> BoxFuture<'a, Happened> {
    let target = core.addition_of(number);
    let kind = core.kind_of(number);
    Box::pin(async move {
        if ports.clock.now().saturating_sub(sent_at) > window_ms {
            return Happened::Answered(number, Answer::Withheld);
        }
        ports.pass(number, Boundary::Send);
        let sent = match (kind, target, change.action.after()) {
            // A line of what is only counted never names a price.
            (Some(StepKind::Create), _, Some(wanted)) if change.role == Role::Quantity => {
                ports.psa.create_counted_addition(change.agreement, wanted, &change.key).await.map(Some)
            }
            (Some(StepKind::Create), _, Some(wanted)) => {
                ports.psa.create_addition(change.agreement, wanted, &change.key).await.map(Some)
            }
            (Some(StepKind::Edit), Some(id), Some(wanted)) => {
                let fields = change.fields();
                ports.psa.update_addition(change.agreement, id, wanted, &fields).await.map(Some)
            }
            (Some(StepKind::Delete), Some(id), _) => {
                ports.psa.delete_addition(change.agreement, id).await.map(|()| None)
            }
            (Some(_) | None, _, _) => Err(WriteError::Refused(PsaError {
                code: Code::Tu7001,
                message: "the addition that this change works on is not known: plan again".to_owned(),
                their_words: None,
            })),
        };
        ports.pass(number, Boundary::Commit);
        let answer = match sent {
            Ok(record) => Answer::Done(record.map(Box::new)),
            Err(WriteError::Refused(why)) => Answer::Refused(why),
            Err(WriteError::InDoubt(why)) => Answer::InDoubt(why),
        };
        Happened::Answered(number, answer)
    })
}

pub(super) fn finish<'a>(
    ports: Ports<'a>,
    number: usize,
    lease: Lease,
    outcome: OperationOutcome,
) -> BoxFuture<'a, Happened> {
    Box::pin(async move {
        let saved = ports.store.finish_operations(ports.org, &lease, std::slice::from_ref(&outcome)).await;
        Happened::Finished(number, saved)
    })
}

//! Carrying one step out: written down first, sent once, and looked up where nobody can say what became of it.

use super::book::AlertChange;
use super::run::{DoneStep, Work};
use crate::failure::Failure;
use crate::ports::{PsaError, WriteError};
use crate::records::Millis;
use trueup_domain::alert::{Alert, Hold, Pending, Planned, Rule, Side, Step};
use trueup_domain::finding::Code;
use trueup_domain::ticket::{ObservedTicket, StatusId, TicketDraft, TicketId};

/// Whether the run goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It does.
    On,
    /// ConnectWise does not answer.
    Stopped(PsaError),
}

/// Something in doubt is sent again only after it was missed so often, a settle time apart.
const MISSES: u32 = 2;

/// Codes that say that ConnectWise does not answer at all, whatever is asked.
fn is_out_of_reach(error: &PsaError) -> bool {
    [Code::Tu1001, Code::Tu1002, Code::Tu1003, Code::Tu1005, Code::Tu1006].contains(&error.code)
}

impl Work<'_> {
    /// Carries a step out.
    pub(super) async fn carry(
        &mut self,
        alert: &mut Alert,
        rule: &Rule,
        planned: Planned,
    ) -> Result<Carried, Failure> {
        let step = match self.completed(alert, rule, planned.step).await {
            Ok(step) => step,
            Err(error) => return Ok(self.refused(alert, error)),
        };
        let now = self.clock.now();
        alert.pending = Some(Pending { step: step.clone(), at: now, misses: 0, looked_at: None });
        self.keep(alert, Vec::new()).await?;
        self.send(alert, step, planned.why).await
    }

    /// What a rule leaves to the board is looked up there: the status that closes, the priority by severity.
    async fn completed(&mut self, alert: &Alert, rule: &Rule, step: Step) -> Result<Step, PsaError> {
        match step {
            Step::Make { mut draft, life } => {
                if draft.target.priority.is_none() {
                    let number = format!("Priority {}", alert.severity.priority_number());
                    if self.desk.is_none() {
                        self.desk = Some(self.psa.load_desk().await?);
                    }
                    let known = self.desk.iter().flat_map(|desk| &desk.priorities);
                    let named = |name: &str| {
                        name.strip_prefix(&number)
                            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
                    };
                    draft.target.priority = { known }.find(|p| named(&p.name)).map(|p| p.id);
                }
                Ok(Step::Make { draft, life })
            }
            Step::Turn { to, status } => {
                Ok(Step::Turn { to, status: Some(self.status(alert, rule, to, status).await?) })
            }
            note @ Step::Note { .. } => Ok(note),
        }
    }

    /// The status of the board that the ticket is on now; people move tickets.
    async fn status(
        &mut self,
        alert: &Alert,
        rule: &Rule,
        to: Side,
        wanted: Option<StatusId>,
    ) -> Result<StatusId, PsaError> {
        let thread = alert.thread.as_ref();
        let read = thread.and_then(|thread| self.tickets.get(&thread.ticket)).and_then(|ticket| ticket.board);
        let board = read.or(thread.map(|thread| thread.board));
        if let Some(status) = wanted.filter(|_| board == rule.board) {
            return Ok(status);
        }
        let fault = |message: String| PsaError { code: Code::Tu9501, message, their_words: None };
        let id = board.ok_or_else(|| fault("no board is known of the ticket".to_owned()))?;
        if !self.boards.contains_key(&id) {
            let found = self.psa.find_board(id).await?;
            self.boards.insert(id, found);
        }
        let known = self.boards.get(&id).and_then(Option::as_ref);
        let known = known.ok_or_else(|| fault(format!("the service board {id} is gone; choose another")))?;
        let status = match to {
            Side::Closed => known.closing_status(),
            Side::Open => known.opening_status(),
        };
        let word = match to {
            Side::Closed => "closes",
            Side::Open => "opens",
        };
        status.map(|status| status.id).ok_or_else(|| {
            fault(format!("the service board {} has no status that {word} a ticket", known.name))
        })
    }

    async fn send(&mut self, alert: &mut Alert, step: Step, why: String) -> Result<Carried, Failure> {
        let ticket = alert.thread.as_ref().map(|thread| thread.ticket);
        match (&step, ticket) {
            (Step::Make { draft, life }, _) => match self.psa.create_ticket(draft).await {
                Ok(made) => {
                    let made = self.under_its_parent(made, draft).await;
                    self.made_is(alert, made, draft, *life, why).await
                }
                Err(error) => Ok(self.failed(alert, error)),
            },
            (Step::Note { draft, kind }, Some(ticket)) => match self.psa.add_ticket_note(ticket, draft).await
            {
                Ok(_) => {
                    alert.noted(*kind, self.now);
                    self.done(alert, "noted", draft.text.clone(), why).await
                }
                Err(error) => Ok(self.failed(alert, error)),
            },
            (Step::Turn { to, status: Some(status) }, Some(ticket)) => {
                match self.psa.set_ticket_status(ticket, *status).await {
                    Ok(read) => {
                        self.tickets.insert(ticket, read);
                        self.turned_is(alert, *to, ticket, why).await
                    }
                    Err(error) => Ok(self.failed(alert, error)),
                }
            }
            // Without a ticket or a status there is nothing that could be sent.
            (Step::Note { .. } | Step::Turn { .. }, _) => {
                alert.pending = None;
                Ok(Carried::On)
            }
        }
    }

    /// The new ticket may lack its parent, where only that failed. It is tried once more, and never again: it lies apart then.
    async fn under_its_parent(&self, mut made: ObservedTicket, draft: &TicketDraft) -> ObservedTicket {
        if let Some(parent) = draft.parent.filter(|_| made.parent.is_none())
            && self.psa.attach_ticket(made.id, parent).await.is_ok()
        {
            made.parent = Some(parent);
        }
        made
    }

    async fn made_is(
        &mut self,
        alert: &mut Alert,
        made: ObservedTicket,
        draft: &TicketDraft,
        life: u32,
        why: String,
    ) -> Result<Carried, Failure> {
        alert.made(made.id, draft, life, self.now);
        if !matches!(alert.origin, trueup_domain::alert::Origin::Storm { .. }) {
            self.made.entry(draft.company).or_default().push(self.now);
        }
        self.tickets.insert(made.id, made);
        self.done(alert, "made", draft.summary.to_string(), why).await
    }

    async fn turned_is(
        &mut self,
        alert: &mut Alert,
        to: Side,
        ticket: TicketId,
        why: String,
    ) -> Result<Carried, Failure> {
        alert.turned(to, self.now);
        if let Some(read) = self.tickets.get_mut(&ticket) {
            read.closed = to == Side::Closed;
        }
        let (action, text) = match to {
            Side::Closed => ("closed", "The ticket was closed."),
            Side::Open => ("reopened", "The ticket was opened again."),
        };
        self.done(alert, action, text.to_owned(), why).await
    }

    async fn done(
        &mut self,
        alert: &mut Alert,
        action: &str,
        text: String,
        why: String,
    ) -> Result<Carried, Failure> {
        alert.pending = None;
        alert.hold = None;
        let entry = self.activity(alert, action, text, Some(why.clone()));
        self.keep(alert, vec![entry]).await?;
        self.report.steps.push(DoneStep {
            alert: alert.id.clone(),
            action: action.to_owned(),
            ticket: alert.thread.as_ref().map(|thread| thread.ticket.0),
            why,
        });
        Ok(Carried::On)
    }

    fn failed(&self, alert: &mut Alert, error: WriteError) -> Carried {
        match error {
            WriteError::Refused(error) => {
                alert.pending = None;
                self.refused(alert, error)
            }
            WriteError::InDoubt(error) => {
                alert.hold = Some(Hold::InDoubt);
                if is_out_of_reach(&error) { Carried::Stopped(error) } else { Carried::On }
            }
        }
    }

    fn refused(&self, alert: &mut Alert, error: PsaError) -> Carried {
        if is_out_of_reach(&error) {
            return Carried::Stopped(error);
        }
        let code = if error.code == Code::Tu9501 { Code::Tu9501 } else { Code::Tu9502 };
        let words = match &error.their_words {
            Some(theirs) if !error.message.contains(theirs.as_str()) => {
                format!("{} ({theirs})", error.message)
            }
            Some(_) | None => error.message,
        };
        alert.hold = Some(Hold::Refused { code, words });
        Carried::On
    }

    /// Finds out what became of a step whose answer was lost. Nothing is concluded before the settle time is over.
    pub(super) async fn resolve_doubt(&mut self, alert: &mut Alert) -> Result<Carried, Failure> {
        let Some(pending) = alert.pending.clone() else { return Ok(Carried::On) };
        let ticket = alert.thread.as_ref().map(|thread| thread.ticket);
        let why = "the answer was lost, and it was found to be carried out".to_owned();
        let found = match (&pending.step, ticket) {
            (Step::Make { draft, life }, _) => {
                match self.psa.find_tickets(std::slice::from_ref(&draft.key)).await {
                    Ok(found) => match found.into_iter().find(|ticket| ticket.has_key(&draft.key)) {
                        Some(made) => {
                            let made = self.under_its_parent(made, draft).await;
                            return self.made_is(alert, made, draft, *life, why).await;
                        }
                        None => Ok(()),
                    },
                    Err(error) => Err(error),
                }
            }
            (Step::Note { draft, kind }, Some(ticket)) => match self.psa.list_ticket_notes(ticket).await {
                Ok(notes) => match notes {
                    Some(notes) if notes.iter().any(|note| note.carries(&draft.marker)) => {
                        alert.noted(*kind, self.now);
                        return self.done(alert, "noted", draft.text.clone(), why).await;
                    }
                    Some(_) => Ok(()),
                    None => {
                        // With its ticket the note is gone as well.
                        alert.pending = None;
                        return Ok(Carried::On);
                    }
                },
                Err(error) => Err(error),
            },
            (Step::Turn { to, status }, Some(ticket)) => match self.psa.find_ticket(ticket).await {
                Ok(Some(read)) => {
                    let there = read.status == *status;
                    self.tickets.insert(ticket, read);
                    if there {
                        return self.turned_is(alert, *to, ticket, why).await;
                    }
                    Ok(())
                }
                Ok(None) => {
                    alert.pending = None;
                    return Ok(Carried::On);
                }
                Err(error) => Err(error),
            },
            (Step::Note { .. } | Step::Turn { .. }, None) => {
                alert.pending = None;
                return Ok(Carried::On);
            }
        };
        if let Err(error) = found {
            return Ok(match self.refused(alert, error) {
                Carried::On => {
                    alert.hold = Some(Hold::InDoubt);
                    Carried::On
                }
                stopped @ Carried::Stopped(_) => stopped,
            });
        }
        self.missed(alert, pending);
        Ok(Carried::On)
    }

    /// It was looked for and is not there. It may still come, until it was missed twice, a settle time apart.
    fn missed(&self, alert: &mut Alert, mut pending: Pending) {
        let now = self.clock.now();
        let settled = |since: Millis| now.saturating_sub(since) >= self.request.settle_ms;
        if settled(pending.at) && pending.looked_at.is_none_or(settled) {
            pending.misses = pending.misses.saturating_add(1);
            pending.looked_at = Some(now);
        }
        let needed = match pending.step {
            // A second ticket is worse than a late one; of the others the worst is a note too many.
            Step::Make { .. } => MISSES,
            Step::Note { .. } | Step::Turn { .. } => 1,
        };
        let given_up = pending.misses >= needed;
        alert.pending = (!given_up).then_some(pending);
        alert.hold = if given_up { None } else { Some(Hold::InDoubt) };
    }

    async fn keep(&mut self, alert: &Alert, activity: Vec<super::Activity>) -> Result<(), Failure> {
        self.kept = true;
        let change = AlertChange { save: vec![alert.clone()], activity, ..AlertChange::default() };
        Ok(self.store.alerts().save_alerts(self.request.org, &self.lease, &change).await?)
    }
}

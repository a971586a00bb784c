//! Commits of the journal in groups. On SQLite every commit waits for the disk, and one transaction writes at a time:
//! whoever gets the turn carries out what the others wait with, each in a savepoint, under one commit. PostgreSQL
//! groups commits by itself.

use crate::db;
use crate::store::SqlStore;
use crate::{error, operations};
use sea_orm::{DatabaseTransaction, TransactionTrait};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedMutexGuard, oneshot};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Lease, OperationOutcome, StoreError};
use trueup_engine::records::OperationRow;

/// Commits wait for at most so many.
const LARGEST: usize = 256;

/// One step of the journal.
pub(crate) enum Step {
    Begin(Vec<OperationRow>),
    Finish(Vec<OperationOutcome>),
}

/// A step with what it belongs to.
pub(crate) struct Work {
    pub(crate) org: OrganizationId,
    pub(crate) lease: Lease,
    pub(crate) step: Step,
}

impl Work {
    async fn run(&self, tx: &DatabaseTransaction) -> Result<(), StoreError> {
        match &self.step {
            Step::Begin(rows) => operations::begin_in(tx, &self.org, &self.lease, rows).await,
            Step::Finish(outcomes) => operations::finish_in(tx, &self.org, &self.lease, outcomes).await,
        }
    }
}

type Outcome = Result<(), StoreError>;

struct Job {
    work: Work,
    reply: oneshot::Sender<Outcome>,
}

/// What waits for a turn.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Vec<Job>>);

impl Waiting {
    fn add(&self, job: Job) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    fn take(&self) -> Vec<Job> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = jobs.len().min(LARGEST);
        jobs.drain(..count).collect()
    }
}

/// Carries out a step; durable on return.
pub(crate) async fn carry_out(store: &SqlStore, work: Work) -> Result<(), StoreError> {
    let Some(writers) = &store.writers else {
        let tx = db::write_tx(store).await?;
        work.run(&tx).await?;
        return db::commit(tx).await;
    };
    let (reply, mut answer) = oneshot::channel();
    store.waiting.add(Job { work, reply });
    loop {
        tokio::select! {
            biased;
            done = &mut answer => return done.unwrap_or_else(|_| Err(given_up())),
            turn = Arc::clone(writers).lock_owned() => {
                // The one before may have answered just as the turn came.
                match answer.try_recv() {
                    Ok(done) => return done,
                    Err(oneshot::error::TryRecvError::Closed) => return Err(given_up()),
                    Err(oneshot::error::TryRecvError::Empty) => {}
                }
                lead(store, turn).await;
            }
        }
    }
}

/// The task that carried the step out was itself given up: nothing was committed, or nobody knows.
fn given_up() -> StoreError {
    StoreError::OutOfReach("the write was interrupted before the database answered".to_owned())
}

/// Carries out what waits, for as long as it holds the turn.
async fn lead(store: &SqlStore, _turn: OwnedMutexGuard<()>) {
    let jobs = store.waiting.take();
    match together(store, &jobs).await {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                answer(job, outcome);
            }
        }
        // Each alone, so that one that cannot be carried out stops no other.
        Err(Stopped::Before) => {
            for job in jobs {
                let outcome = alone(store, &job.work).await;
                answer(job, outcome);
            }
        }
        Err(Stopped::AtCommit(error)) => {
            for job in jobs {
                answer(job, Err(error.clone()));
            }
        }
    }
}

fn answer(job: Job, outcome: Outcome) {
    // Nobody listens any more where the asking task was given up.
    let _ = job.reply.send(outcome);
}

/// Where a group came to a stop.
enum Stopped {
    /// Nothing of it is in the database.
    Before,
    /// It must not be run a second time.
    AtCommit(StoreError),
}

/// Each job in its savepoint; an error that is not a refusal of the job itself stops them all.
async fn together(store: &SqlStore, jobs: &[Job]) -> Result<Vec<Outcome>, Stopped> {
    let before = |_| Stopped::Before;
    let tx = db::begin(&store.db).await.map_err(before)?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        let point = tx.begin().await.map_err(|_| Stopped::Before)?;
        let outcome = job.work.run(&point).await;
        let closed = match &outcome {
            Ok(()) => point.commit().await,
            Err(StoreError::Fenced | StoreError::Conflict(_)) => point.rollback().await,
            Err(_) => return Err(Stopped::Before),
        };
        closed.map_err(|_| Stopped::Before)?;
        outcomes.push(outcome);
    }
    tx.commit().await.map_err(|e| Stopped::AtCommit(error::of_db(e)))?;
    Ok(outcomes)
}

async fn alone(store: &SqlStore, work: &Work) -> Outcome {
    let tx = db::begin(&store.db).await?;
    work.run(&tx).await?;
    tx.commit().await.map_err(error::of_db)
}

//! Tasks that touch the same agreements are planned one after the other; what has nothing in common is planned side by
//! side, and put together in the order of the tasks. The plan is the same as that of one thread.

use super::index::{Index, Register};
use super::picture::{change_id, place_of};
use super::run::{self, Part, Step};
use super::{TaskInput, World, sums};
use crate::finding::Finding;
use crate::ids::{AgreementId, ChangeId, CompanyId, OrderId, SourceId, SubscriptionId};
use crate::plan::{Action, Adoption, Change, DraftPlan, Target, TaskOutcome};
use crate::task::Task;
use std::collections::HashMap;
use std::vec::IntoIter;

/// No more threads than this: what is left to gain is less than what the memory can bring.
const MOST: usize = 8;

/// A thread is not worth its start for fewer tasks than this.
const LEAST_EACH: usize = 256;

/// How many threads so many tasks are worth.
pub fn threads_for(tasks: usize) -> usize {
    let worth = (tasks / LEAST_EACH).clamp(1, MOST);
    if worth == 1 {
        return 1;
    }
    worth.min(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get))
}

/// Plans the tasks on at most so many threads.
pub fn plan(world: &World<'_>, tasks: &[TaskInput<'_>], threads: usize) -> DraftPlan {
    let mut ordered: Vec<TaskInput<'_>> = tasks.to_vec();
    ordered.sort_by(|a, b| in_order(a.task).cmp(&in_order(b.task)));
    let (index, register) = look_up(world, &ordered, threads);
    let whole = || run::run(world, &index, &register, ordered.iter().copied());
    let (parts, part_of) = if threads > 1 {
        let division = Division::of(world, &index, &ordered, threads);
        let parts = division.run(world, &index, &register, &ordered);
        if division.was_kept(world, &parts) {
            (parts, division.part_of_task)
        } else {
            (vec![whole()], vec![0; ordered.len()])
        }
    } else {
        (vec![whole()], vec![0; ordered.len()])
    };
    put_together(world, &ordered, parts, &part_of)
}

/// Index and register, beside each other where there is a second thread.
fn look_up<'a>(world: &'a World<'a>, tasks: &[TaskInput<'a>], threads: usize) -> (Index<'a>, Register<'a>) {
    if threads < 2 {
        return (Index::new(world, tasks), Register::new(world));
    }
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().spawn_scoped(scope, || Register::new(world));
        let index = Index::new(world, tasks);
        let register = match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // The system has no thread left: then it is done here.
            Err(_) => Register::new(world),
        };
        (index, register)
    })
}

fn in_order(task: &Task) -> (&SourceId, &SubscriptionId, i64, Option<&OrderId>) {
    (&task.source, &task.subscription, task.completed_us, task.order_id.as_ref())
}

/// Which task is planned in which part.
struct Division {
    part_of_task: Vec<usize>,
    part_of_company: HashMap<CompanyId, usize>,
    parts: usize,
}

impl Division {
    /// Tasks of one company go together, and companies whose agreements hold lines of one subscription.
    fn of(world: &World<'_>, index: &Index<'_>, tasks: &[TaskInput<'_>], parts: usize) -> Self {
        let mut groups = Groups::default();
        let mut of_task = Vec::with_capacity(tasks.len());
        for TaskInput { task, .. } in tasks {
            let homes = index.homes_of(&task.source, &task.subscription).iter();
            let held = homes.filter_map(|id| world.snapshot.agreements.get(id)).map(|a| a.company);
            let billed = world.mappings.company_of(&task.source, &task.customer);
            let mut group = None;
            for company in held.chain(billed) {
                let own = groups.of(company);
                group = Some(group.map_or(own, |group| groups.join(group, own)));
            }
            of_task.push(group);
        }
        // One group after the other, in the order of their first tasks, until a part has its share.
        let mut sizes = vec![0; groups.above.len()];
        for group in of_task.iter().flatten() {
            sizes[groups.top(*group)] += 1;
        }
        let mut part_of_group = vec![None; groups.above.len()];
        let mut given = 0;
        let mut part_of_task = Vec::with_capacity(tasks.len());
        for group in of_task {
            // What has no company comes to nothing, wherever it is planned.
            let Some(top) = group.map(|group| groups.top(group)) else {
                part_of_task.push(0);
                continue;
            };
            let part = *part_of_group[top].get_or_insert_with(|| {
                let part = given * parts / tasks.len().max(1);
                given += sizes[top];
                part
            });
            part_of_task.push(part);
        }
        let companies: Vec<(CompanyId, usize)> =
            groups.of_company.iter().map(|(id, own)| (*id, *own)).collect();
        let part_of_company = companies
            .into_iter()
            .filter_map(|(company, own)| Some((company, part_of_group[groups.top(own)]?)))
            .collect();
        Self { part_of_task, part_of_company, parts }
    }

    /// Plans each part on a thread of its own.
    fn run<'a>(
        &self,
        world: &'a World<'a>,
        index: &'a Index<'a>,
        register: &'a Register<'a>,
        tasks: &[TaskInput<'a>],
    ) -> Vec<Part> {
        let work = |part: usize| {
            let own = tasks.iter().zip(&self.part_of_task).filter(move |(_, of)| **of == part);
            run::run(world, index, register, own.map(|(task, _)| *task))
        };
        let work = &work;
        std::thread::scope(|scope| {
            let started: Vec<_> = (1..self.parts)
                .map(|part| {
                    std::thread::Builder::new().spawn_scoped(scope, move || work(part)).map_err(|_| part)
                })
                .collect();
            let mut parts = vec![work(0)];
            parts.extend(started.into_iter().map(|thread| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // The system has no thread left: then it is done here.
                Err(part) => work(part),
            }));
            parts
        })
    }

    /// Whether no part looked at an agreement of another. A mapping or a key may lead anywhere.
    fn was_kept(&self, world: &World<'_>, parts: &[Part]) -> bool {
        let own = |part: usize, id: &AgreementId| match world.snapshot.agreements.get(id) {
            Some(agreement) => self.part_of_company.get(&agreement.company) == Some(&part),
            None => world.snapshot.additions_of(*id).is_empty(),
        };
        parts.iter().enumerate().all(|(number, part)| part.opened.iter().all(|id| own(number, id)))
    }
}

/// Companies that have tasks in common, each group under one of them.
#[derive(Default)]
struct Groups {
    of_company: HashMap<CompanyId, usize>,
    above: Vec<usize>,
}

impl Groups {
    fn of(&mut self, company: CompanyId) -> usize {
        *self.of_company.entry(company).or_insert_with(|| {
            self.above.push(self.above.len());
            self.above.len() - 1
        })
    }

    fn top(&mut self, mut at: usize) -> usize {
        while self.above[at] != at {
            self.above[at] = self.above[self.above[at]];
            at = self.above[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.top(a), self.top(b));
        self.above[b] = a;
        a
    }
}

/// The parts, task by task, with the changes counted through.
fn put_together(
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    parts: Vec<Part>,
    part_of_task: &[usize],
) -> DraftPlan {
    let mut written = Vec::new();
    let mut ends: Vec<Loose> = Vec::with_capacity(parts.len());
    for part in parts {
        written.extend(part.written);
        ends.push(Loose::new(part.steps, part.draft));
    }
    written.sort_by_key(|w| w.agreement);
    let mut draft = DraftPlan { today: Some(world.today), ..DraftPlan::default() };
    draft.changes.reserve_exact(ends.iter().map(|end| end.changes.len()).sum());
    let mut outcomes = Vec::with_capacity(tasks.len());
    for (TaskInput { task, .. }, part) in tasks.iter().zip(part_of_task) {
        if let Some(outcome) = ends.get_mut(*part).and_then(|end| end.move_to(&mut draft)) {
            outcomes.push((task.id.clone(), outcome));
        }
    }
    draft.outcomes = outcomes.into_iter().collect();
    sums::add_up(&mut draft, written);
    draft
}

/// What of a part is not in the plan yet.
struct Loose {
    steps: IntoIter<Step>,
    changes: IntoIter<Change>,
    findings: IntoIter<Finding>,
    adoptions: IntoIter<Adoption>,
    remembered: IntoIter<(SourceId, SubscriptionId, AgreementId)>,
    /// The places in the plan of the changes that are.
    places: Vec<usize>,
}

impl Loose {
    fn new(steps: Vec<Step>, draft: DraftPlan) -> Self {
        Self {
            steps: steps.into_iter(),
            places: Vec::with_capacity(draft.changes.len()),
            changes: draft.changes.into_iter(),
            findings: draft.findings.into_iter(),
            adoptions: draft.adoptions.into_iter(),
            remembered: draft.remembered.into_iter(),
        }
    }

    /// Moves what the next task gave.
    fn move_to(&mut self, plan: &mut DraftPlan) -> Option<TaskOutcome> {
        let step = self.steps.next()?;
        for mut change in self.changes.by_ref().take(step.changes) {
            let place = plan.changes.len();
            // Where this part's changes come first, their numbers are right already.
            if place != self.places.len() {
                renumber(&mut change, place, &self.places);
            }
            self.places.push(place);
            plan.changes.push(change);
        }
        plan.findings.extend(self.findings.by_ref().take(step.findings));
        plan.adoptions.extend(self.adoptions.by_ref().take(step.adoptions));
        plan.remembered.extend(self.remembered.by_ref().take(step.remembered));
        Some(step.outcome)
    }
}

/// Gives a change the id of its place, and what it names of the changes before it theirs.
fn renumber(change: &mut Change, place: usize, places: &[usize]) {
    let anew = |id: &mut ChangeId| {
        if let Some(place) = place_of(id).and_then(|own| places.get(own)) {
            *id = change_id(*place);
        }
    };
    change.id = change_id(place);
    change.depends_on.iter_mut().for_each(anew);
    match &mut change.action {
        Action::Create { .. } => {}
        Action::Update { target, .. }
        | Action::Cancel { target, .. }
        | Action::Delete { target, .. }
        | Action::Keep { target, .. } => match target {
            Target::CreatedBy(id) => anew(id),
            Target::Existing(_) => {}
        },
    }
}

//! Work cut into ranges, each on a thread of its own. The results come in the order of the ranges, so that how many
//! threads there are shows in nothing but the time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// No more threads than this: what is left to gain is less than what the memory can bring.
const MOST: usize = 8;

/// How many threads so many pieces of work are worth, where a thread is not worth its start for fewer than `least_each`.
pub(crate) fn threads_for(pieces: usize, least_each: usize) -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    let worth = pieces / least_each;
    if worth < 2 {
        return 1;
    }
    let available = AVAILABLE.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get).min(MOST)
    });
    worth.min(*available)
}

/// The places up to `length` in so many ranges of about one size.
pub(crate) fn ranges(length: usize, parts: usize) -> Vec<Range<usize>> {
    let each = length.div_ceil(parts.max(1)).max(1);
    (0..length).step_by(each).map(|start| start..(start + each).min(length)).collect()
}

/// What the work gives for each range.
pub(crate) fn on_each<T: Send>(ranges: &[Range<usize>], work: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let Some((first, others)) = ranges.split_first() else { return Vec::new() };
    let work = &work;
    std::thread::scope(|scope| {
        let started: Vec<_> = others
            .iter()
            .map(|range| {
                std::thread::Builder::new().spawn_scoped(scope, || work(range.clone())).map_err(|_| range)
            })
            .collect();
        let mut results = vec![work(first.clone())];
        results.extend(started.into_iter().map(|thread| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // The system has no thread left: then it is done here.
            Err(range) => work(range.clone()),
        }));
        results
    })
}

/// What the work gives for each of many ranges, which so many threads take one after the other: one that is held up by
/// something else on the machine takes fewer.
pub(crate) fn in_turn<T: Send>(
    threads: usize,
    of_all: &[Range<usize>],
    work: impl Fn(Range<usize>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let takers = threads.min(of_all.len());
    let taken = on_each(&ranges(takers, takers), |_| {
        let mut results = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(range) = of_all.get(place) else { return results };
            results.push((place, work(range.clone())));
        }
    });
    let mut results: Vec<(usize, T)> = taken.into_iter().flatten().collect();
    results.sort_unstable_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Things that threads take one after the other, each once.
pub(crate) struct Shared<I>(Mutex<I>);

impl<I: Iterator> Shared<I> {
    /// All of these.
    pub(crate) fn new(things: I) -> Self {
        Self(Mutex::new(things))
    }

    /// Takes what is left, one after the other.
    pub(crate) fn take(&self) -> impl Iterator<Item = I::Item> {
        std::iter::from_fn(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).next())
    }
}

/// What the work gives, while what is not needed any more is put away on a thread of its own.
pub(crate) fn putting_away<T>(threads: usize, waste: impl Send, work: impl FnOnce() -> T) -> T {
    if threads < 2 {
        drop(waste);
        return work();
    }
    std::thread::scope(|scope| {
        // Where the system has no thread left it is put away with the work that was to do so.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(waste));
        work()
    })
}

/// What both give, the second on a thread of its own where there is more than one.
pub(crate) fn both<A, B: Send>(
    threads: usize,
    first: impl FnOnce() -> A,
    second: impl Fn() -> B + Sync,
) -> (A, B) {
    if threads < 2 {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new().spawn_scoped(scope, &second);
        let first = first();
        let second = match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => second(),
        };
        (first, second)
    })
}

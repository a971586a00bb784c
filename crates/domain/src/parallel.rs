//! Work cut into ranges, each on a thread of its own. The results come in the order of the ranges, so that how many
//! threads there are shows in nothing but the time.

use std::ops::Range;
use std::sync::OnceLock;

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

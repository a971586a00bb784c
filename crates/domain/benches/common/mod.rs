//! What the benchmarks share: numbers that are the same everywhere, and time and memory as they are reported.
#![allow(dead_code, reason = "each benchmark uses its own part of it")]

use mimalloc::MiMalloc;
use std::hint::black_box;
use std::time::Instant;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Knuth's MMIX generator: the same numbers everywhere.
pub struct Lcg(pub u64);

impl Lcg {
    /// A number below the bound.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * bound as u128) >> 64) as usize
    }

    /// The items in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Peak of resident memory so far, in kB; 0 where the system does not tell.
fn peak_kb() -> u64 {
    status_kb("VmHWM:")
}

/// Lets the peak count from here on, and tells what is resident already. Where the system does not allow that the peak
/// goes on from before.
pub fn reset_peak() -> u64 {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status_kb("VmRSS:")
}

/// Time of all processors that the process has had so far, in ms; 0 where the system does not tell.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Hundredths of a second in user mode and in the system.
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10
}

/// How often each measurement is taken.
const RUNS: usize = 5;

/// Median of the runs in microseconds, and the shortest and longest.
pub fn measure<T>(name: &str, mut work: impl FnMut() -> T) -> (u128, u128, u128) {
    let mut times: Vec<u128> = (0..RUNS)
        .map(|_| {
            let cpu = cpu_ms();
            let start = Instant::now();
            let result = black_box(work());
            let taken = start.elapsed().as_micros();
            println!("{name} took {} ms, {} ms on the processors", taken / 1_000, cpu_ms() - cpu);
            drop(result);
            taken
        })
        .collect();
    times.sort_unstable();
    (times[RUNS / 2], times[0], times[RUNS - 1])
}

/// One line for `benches/compare.sh` to read.
pub fn report(name: &str, times: (u128, u128, u128)) {
    report_beside(name, times, 0);
}

/// The same, with the peak less what was resident before the work began.
pub fn report_beside(name: &str, (median, least, most): (u128, u128, u128), before_kb: u64) {
    let peak = peak_kb().saturating_sub(before_kb);
    println!("{name}_us={median} least={least} most={most} peak_kb={peak} beside_kb={before_kb}");
}

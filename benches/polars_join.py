"""The peer of the `compare` benchmark: Polars' full join of the same rows, and the filter for what differs.

    POLARS_MAX_THREADS=2 python polars_join.py ROWS

ROWS is the file that `compare --write` leaves: 48 bytes a row, half of them desired and half observed. Integers only,
as in the kernel, so that neither side gains by floats. The eager join and the lazy one are both timed and the faster
one counts.
"""

import resource
import statistics
import sys
import time

import numpy as np
import polars as pl

RUNS = 5
FIELDS = ["item", "quantity", "unit_price", "unit_cost", "effective", "cancelled"]
ROW = np.dtype([(name, "<i8") for name in ["key", *FIELDS[:4]]] + [(name, "<i4") for name in FIELDS[4:]])


def frame(rows):
    return pl.DataFrame({name: np.ascontiguousarray(rows[name]) for name in ROW.names})


def differs():
    changed = [pl.col(name).ne_missing(pl.col(name + "_there")) for name in FIELDS]
    return pl.any_horizontal(changed)


def eager(desired, there):
    return desired.join(there, on="key", how="full", suffix="_there").filter(differs())


def lazy(desired, there):
    return desired.lazy().join(there.lazy(), on="key", how="full", suffix="_there").filter(differs()).collect()


def best_of(desired, there):
    best = None
    for work in (eager, lazy):
        found = work(desired, there)
        missing = found["key_there"].null_count()
        unclaimed = found["key"].null_count()
        print(f"{work.__name__}: differing={len(found) - missing - unclaimed} {missing=} {unclaimed=}")
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            work(desired, there)
            times.append(int((time.perf_counter() - start) * 1e6))
        median = int(statistics.median(times))
        print(f"{work.__name__}_us={median} least={min(times)} most={max(times)}")
        best = median if best is None else min(best, median)
    return best


def main():
    rows = np.fromfile(sys.argv[1], dtype=ROW)
    half = len(rows) // 2
    desired, there = frame(rows[:half]), frame(rows[half:])
    del rows
    results = [("polars", best_of(desired, there))]
    desired, there = desired.sort("key"), there.sort("key")
    results.append(("polars_in_order", best_of(desired, there)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"polars={pl.__version__} threads={pl.thread_pool_size()}")
    for name, median in results:
        print(f"{name}_us={median} peak_kb={peak}")


main()

"""The peer of the `compare` benchmark: Polars' full join of the same rows, and the filter for what differs.

    POLARS_MAX_THREADS=2 python polars_join.py ROWS

ROWS is the file that `compare --write` leaves: 48 bytes a row, half of them desired and half observed. Integers only,
as in the kernel, so that neither side gains by floats. Both ways are timed and told apart: the eager one makes the
whole table of the full join and filters it then, the lazy one lets Polars filter while it joins, so that the table is
never made.
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


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(order, desired, there):
    for work in (lazy, eager):
        name = f"polars_{work.__name__}{order}"
        found = work(desired, there)
        missing = found["key_there"].null_count()
        unclaimed = found["key"].null_count()
        print(f"{name}: differing={len(found) - missing - unclaimed} {missing=} {unclaimed=}")
        del found
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            work(desired, there)
            times.append(int((time.perf_counter() - start) * 1e6))
        print(f"{name}_us={int(statistics.median(times))} least={min(times)} most={max(times)} peak_kb={peak_kb()}")


def main():
    rows = np.fromfile(sys.argv[1], dtype=ROW)
    half = len(rows) // 2
    desired, there = frame(rows[:half]), frame(rows[half:])
    del rows
    print(f"polars={pl.__version__} threads={pl.thread_pool_size()}")
    measure("", desired, there)
    desired, there = desired.sort("key"), there.sort("key")
    measure("_in_order", desired, there)


main()

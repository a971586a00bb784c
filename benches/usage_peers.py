"""The peers of the `usage` benchmark: the same file, summed by the same keys.

    python usage_peers.py PEER FILE

PEER is `duckdb` (typed DECIMAL, two threads), `duckdb-dedup` (the same, but of each id the last line alone counts, as it
does at trueup), `polars` (two threads, streaming; floats, so not exact) or `python` (csv and Decimal, one thread). Each
runs in a process of its own, so that its peak of memory is its own.
"""

import csv
import resource
import sys
import time
from decimal import Decimal

RUNS = 3
COLUMNS = {
    "id": "VARCHAR",
    "subscription": "VARCHAR",
    "product": "VARCHAR",
    "quantity": "DECIMAL(18,6)",
    "unit": "VARCHAR",
    "unit_price": "DECIMAL(18,6)",
    "currency": "VARCHAR",
    "start": "TIMESTAMP",
    "end": "TIMESTAMP",
}


def duckdb_sums(path, dedup):
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    lines = f"read_csv('{path}', header = true, delim = ',', columns = {COLUMNS!r})"
    if dedup:
        lines = f"(SELECT DISTINCT ON (id) * FROM {lines})"
    return connection.execute(
        f"""
        SELECT count(*), sum(lines), sum(quantity), sum(amount) FROM (
            SELECT count(*) AS lines, sum(quantity) AS quantity, sum(quantity * unit_price) AS amount
            FROM {lines}
            GROUP BY subscription, product, unit, currency, date_trunc('month', start)
        )"""
    ).fetchone()


def polars_sums(path):
    import polars as pl

    keys = ["subscription", "product", "unit", "currency", "month"]
    sums = (
        pl.scan_csv(path)
        .with_columns(pl.col("start").str.head(7).alias("month"), (pl.col("quantity") * pl.col("unit_price")).alias("amount"))
        .group_by(keys)
        .agg(pl.len().alias("lines"), pl.col("quantity").sum(), pl.col("amount").sum())
        .select(pl.len().alias("sums"), pl.col("lines").sum(), pl.col("quantity").sum(), pl.col("amount").sum())
        .collect(engine="streaming")
    )
    return sums.row(0)


def python_sums(path):
    sums = {}
    lines = 0
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["subscription"], row["product"], row["unit"], row["currency"], row["start"][:7])
            quantity = Decimal(row["quantity"])
            before = sums.get(key, (0, 0))
            sums[key] = (before[0] + quantity, before[1] + quantity * Decimal(row["unit_price"]))
            lines += 1
    return len(sums), lines, sum(s[0] for s in sums.values()), sum(s[1] for s in sums.values())


def main():
    peer, path = sys.argv[1:]
    work = {
        "duckdb": lambda: duckdb_sums(path, False),
        "duckdb-dedup": lambda: duckdb_sums(path, True),
        "polars": lambda: polars_sums(path),
        "python": lambda: python_sums(path),
    }[peer]
    times = []
    for _ in range(1 if peer == "python" else RUNS):
        start = time.perf_counter()
        sums, lines, quantity, amount = work()
        times.append(int((time.perf_counter() - start) * 1e6))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times.sort()
    name = peer.replace("-", "_")
    print(f"{name}_us={times[len(times) // 2]} least={times[0]} most={times[-1]} peak_kb={peak}")
    shown = [format(value, "f").rstrip("0") if isinstance(value, Decimal) else value for value in (quantity, amount)]
    print(f"{name}_totals: lines={lines} sums={sums} quantity={shown[0]} EUR={shown[1]}")


if __name__ == "__main__":
    main()

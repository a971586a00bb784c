#!/usr/bin/env bash
# The `usage` benchmark (B5) beside DuckDB and Polars on the same file, in turns: the least time of each round, and the
# median of the rounds' ratios. The totals of trueup and DuckDB must be equal to the last digit.
#
#   benches/usage.sh [ROUNDS [LINES]]     default 3 rounds of 10,000,000 lines; a file of a gigabyte is written
#
# Needs Python 3 with venv; DuckDB and Polars are installed into .tools/bench once. PEERS names others (see usage_peers.py).
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
lines=${2:-10000000}
peers=${PEERS:-duckdb duckdb-dedup polars}
tools=.tools/bench
if ! "$tools/bin/python" -c 'import duckdb, polars' 2>/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet duckdb==2.0.0 polars==2.1.0
fi
file=$(mktemp --suffix=.csv)
results=$(mktemp)
trap 'rm -f "$file" "$results"' EXIT
cargo bench --quiet -p trueup-sources --bench usage -- --lines "$lines" --write "$file"
for round in $(seq "$rounds"); do
    echo "--- round $round, load $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
    {
        cargo bench --quiet -p trueup-sources --bench usage -- --file "$file"
        for peer in $peers; do
            POLARS_MAX_THREADS=2 "$tools/bin/python" benches/usage_peers.py "$peer" "$file"
        done
    } | tee -a "$results"
done
"$tools/bin/python" - "$results" $peers <<'PY'
import re
import statistics
import sys

text = open(sys.argv[1]).read()


def all_of(name, what):
    return [int(value) for value in re.findall(rf"^{name}_us=.*\b{what}=(\d+)", text, re.M)]


def totals(name):
    return set(re.findall(rf"^{name}_totals: (.*)", text, re.M))


print("--- ratios of the least times, median of the rounds and spread; and of the peaks of memory")
ours = all_of("usage", "least")
peak = max(kb + beside for kb, beside in zip(all_of("usage_once", "peak_kb"), all_of("usage_once", "beside_kb")))
for peer in sys.argv[2:]:
    name = peer.replace("-", "_")
    ratios = [a / b for a, b in zip(ours, all_of(name, "least"))]
    memory = peak / max(all_of(name, "peak_kb"))
    print(
        f"usage to {peer}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), memory {memory:.2f}"
        + ("; goals 0.5 and 0.6" if peer == "duckdb" else "")
    )
    if peer.startswith("duckdb") and totals(name) != totals("usage"):
        sys.exit(f"the totals differ: {totals('usage')} and {totals(name)}")
print(f"usage: {min(ours) / 1e6:.2f} s, peak {peak / 1024:.0f} MiB (goal 300)")
PY

#!/usr/bin/env bash
# The `compare` and `planner` benchmarks beside Polars on the same rows, in one go: the least of five runs each, and
# the ratios. The least counts, since whatever else the machine does only adds to a time. What the machine was busy
# with beside is told by its load, and by the time on the processors of each run of the planner.
#
#   benches/compare.sh [ROUNDS]     how often the two take turns (default 3); the median round counts
#
# Needs Python 3 with venv; Polars and numpy are installed into .tools/bench once.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
tools=.tools/bench
if ! "$tools/bin/python" -c 'import numpy, polars' 2>/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet polars==2.1.0 numpy
fi
rows=$(mktemp)
results=$(mktemp)
trap 'rm -f "$rows" "$results"' EXIT
cargo bench --quiet -p trueup-domain --bench compare -- --write "$rows"
for round in $(seq "$rounds"); do
    echo "--- round $round, load $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || echo unknown)"
    {
        cargo bench --quiet -p trueup-domain --bench compare
        POLARS_MAX_THREADS=2 "$tools/bin/python" benches/polars_join.py "$rows"
        cargo bench --quiet -p trueup-domain --bench planner
    } | tee -a "$results"
done
"$tools/bin/python" - "$results" <<'PY'
import re
import statistics
import sys

text = open(sys.argv[1]).read()


def all_of(name, what):
    return [int(value) for value in re.findall(rf"^{name}_us=.*\b{what}=(\d+)", text, re.M)]


print("--- ratios of the least times to Polars on the same rows in the same order, median of the rounds and spread:")
print("    its full join with the filter after it (eager), and the join fused with the filter (lazy)")
pairs = [
    ("kernel", "", "0.25"),
    ("kernel_in_order", "_in_order", "0.25"),
    ("drift", "", "3"),
    ("planner", "", "3"),
]
for name, order, goal in pairs:
    told = []
    for peer in ("eager", "lazy"):
        times = zip(all_of(name, "least"), all_of(f"polars_{peer}{order}", "least"))
        ratios = [ours / theirs for ours, theirs in times]
        told.append(f"{peer} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"{name}: {', '.join(told)}, goal at most {goal}")
took = [int(ms) for ms in re.findall(r"^planner took \d+ ms, (\d+) ms", text, re.M)]
print(f"planner: {min(took)} to {max(took)} ms on the processors")
names = {"kernel": "kernel (goal 200)", "drift": "drift", "planner": "planner beside its scene"}
names["polars_lazy"] = "Polars lazy"
names["polars_eager"] = "Polars eager"
peaks = [f"{shown} {max(all_of(name, 'peak_kb')) / 1024:.0f} MiB" for name, shown in names.items()]
print(f"peak memory: {', '.join(peaks)}")
PY

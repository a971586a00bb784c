#!/usr/bin/env bash
# The `compare` benchmark beside Polars on the same rows, in one go: medians of five runs each, and the ratios.
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
    echo "--- round $round"
    {
        cargo bench --quiet -p trueup-domain --bench compare
        POLARS_MAX_THREADS=2 "$tools/bin/python" benches/polars_join.py "$rows"
    } | tee -a "$results"
done
"$tools/bin/python" - "$results" <<'PY'
import re
import statistics
import sys

text = open(sys.argv[1]).read()


def all_of(name):
    return [int(value) for value in re.findall(rf"^{name}_us=(\d+)", text, re.M)]


def peak(name):
    return max(int(value) for value in re.findall(rf"^{name}_us=.*peak_kb=(\d+)", text, re.M))


print("--- ratios to Polars' full join of the same rows in the same order, median of the rounds")
pairs = [
    ("kernel", "polars", "0.25"),
    ("kernel_in_order", "polars_in_order", "0.25"),
    ("planner", "polars", "3"),
]
for name, peer, goal in pairs:
    ratios = [ours / theirs for ours, theirs in zip(all_of(name), all_of(peer))]
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"{name}: {statistics.median(ratios):.3f} ({spread}), goal at most {goal}")
print(f"memory: kernel {peak('kernel') / 1024:.0f} MiB (goal 200), Polars {peak('polars') / 1024:.0f} MiB")
PY

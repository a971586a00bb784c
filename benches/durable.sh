#!/usr/bin/env bash
# The `durable` benchmark beside graphile-worker, whose jobs do nothing, on the same PostgreSQL.
#
#   benches/durable.sh [--operations N] [--at-once N]
#
# Needs Node, npm and PostgreSQL; the package is installed into .tools/peers once.
set -euo pipefail
cd "$(dirname "$0")/.."
peers=$PWD/.tools/peers
if ! [ -d "$peers/node_modules/graphile-worker" ]; then
    mkdir -p "$peers"
    npm install --prefix "$peers" --no-audit --no-fund --ignore-scripts --loglevel=error graphile-worker@0.17.3
fi
TRUEUP_BENCH_PEERS=$peers cargo bench --quiet -p trueup-server --bench durable -- "$@"

#!/usr/bin/env bash
# One nightly run: the suite on each board, with JUnit, logs and a history of its own kept in one folder.
#
#   ci/nightly.sh [--out DIR] [--bench WHERE] [--boards LIST] [--clusters LIST] [--gate FILE] [-- PYTEST-ARGUMENTS]
#
# WHERE is that of --hil-bench (default: auto), such as labgrid:HOST:PORT.
# LIST is board kinds with commas (default: rp2040). Each of --clusters (default: none) is also tested as 2 and 4 nodes,
# with 200 faults of wires and nodes. With --gate, ci/gate.sh decides at the end. Exit status: the worst of all.
# With auto, on a lab runner the boards are those of the bench; where none is, the virtual boards run, labelled as such.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=nightly-results
bench=auto
boards=rp2040
clusters=
gate=
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
while (($#)); do
  case "$1" in
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --bench) bench=${2:?--bench needs a place}; shift 2 ;;
    --boards) boards=${2:?--boards needs a list}; shift 2 ;;
    --clusters) clusters=${2:?--clusters needs a list}; shift 2 ;;
    --gate) gate=${2:?--gate needs a file}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) echo "nightly.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
  esac
done

mkdir -p "$out" || exit 2
# What an earlier night left here would be gated as tonight's.
rm -f "$out"/history.sqlite* "$out/runs.jsonl"
for old in "$out"/*.log; do
  [ -e "${old%.log}.xml" ] && rm -f "$old" "${old%.log}.xml"
done
hil doctor --json "$out/doctor.json" >"$out/doctor.txt" 2>&1
hil boards --bench "$bench" --json "$out/boards.json" >/dev/null 2>&1

worst=0
note() { (($1 > worst)) && worst=$1; }
# Tonight's runs have a history of their own: what is gated is all of it, and nothing else.
history=$out/history.sqlite
run() { # a name for the results, then pytest's arguments
  local name=$1
  shift
  echo "== $name =="
  python -m pytest --pyargs hil.suite --hil-bench="$bench" --junit-xml="$out/$name.xml" --hil-history="$history" \
    -ra "$@" 2>&1 | tee "$out/$name.log"
  note "${PIPESTATUS[0]}"
  # A run that wrote no JUnit did not run: never a pass.
  if [ ! -s "$out/$name.xml" ]; then
    echo "nightly.sh: no results for $name" >&2
    note 1
  fi
}

IFS=, read -r -a list <<<"$boards"
for board in "${list[@]}"; do
  run "$board" --board="$board" "$@"
done
IFS=, read -r -a list <<<"$clusters"
for board in "${list[@]}"; do
  run "$board-nodes" --board="$board" --hil-nodes=2,4 --hil-fault-runs=200 -k split "$@"
done
if [ -s "$history" ]; then
  hil record export --history "$history" --output "$out/runs.jsonl"
  note $?
fi
echo "results: $out; exit status $worst"
if [ -n "$gate" ]; then
  "$here/gate.sh" --gate "$gate" --out "$out/gate" "$out"
  note $?
fi
exit "$worst"

#!/usr/bin/env bash
# One nightly run: the suite on each board, with JUnit, logs and the profiles as JSON kept in one folder.
#
#   ci/nightly.sh [--out DIR] [--bench WHERE] [--boards LIST] [--clusters LIST] [-- PYTEST-ARGUMENTS]
#
# WHERE is that of --hil-bench (default: auto), such as labgrid:HOST:PORT.
# LIST is board kinds with commas (default: rp2040). Each of --clusters (default: none) is also tested as 2 and 4 nodes,
# with 200 faults of wires and nodes. Exit status: pytest's own, the worst of all runs.
# With auto, on a lab runner the boards are those of the bench; where none is, the virtual boards run, labelled as such.
set -uo pipefail

out=nightly-results
bench=auto
boards=rp2040
clusters=
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
while (($#)); do
  case "$1" in
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --bench) bench=${2:?--bench needs a place}; shift 2 ;;
    --boards) boards=${2:?--boards needs a list}; shift 2 ;;
    --clusters) clusters=${2:?--clusters needs a list}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) echo "nightly.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
  esac
done

mkdir -p "$out" || exit 2
hil doctor --json "$out/doctor.json" >"$out/doctor.txt" 2>&1
hil boards --bench "$bench" --json "$out/boards.json" >/dev/null 2>&1

worst=0
run() { # a name for the results, then pytest's arguments
  local name=$1
  shift
  echo "== $name =="
  python -m pytest --pyargs hil.suite --hil-bench="$bench" --junit-xml="$out/$name.xml" -ra "$@" 2>&1 | tee "$out/$name.log"
  local status=${PIPESTATUS[0]}
  ((status > worst)) && worst=$status
  # A run that wrote no JUnit did not run: never a pass.
  if [ ! -s "$out/$name.xml" ]; then
    echo "nightly.sh: no results for $name" >&2
    ((worst == 0)) && worst=1
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
echo "results: $out; exit status $worst"
exit "$worst"

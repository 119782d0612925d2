#!/usr/bin/env bash
# One nightly run: the suite on each board, with JUnit, logs and the profiles as JSON kept in one folder.
#
#   ci/nightly.sh [--out DIR] [--boards LIST] [-- PYTEST-ARGUMENTS]
#
# LIST is board kinds with commas (default: rp2040). Exit status: pytest's own, the worst of all boards.
# On a lab runner the boards are those of the bench; where none is, the virtual boards run, labelled as such.
set -uo pipefail

out=nightly-results
boards=rp2040
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }
while (($#)); do
  case "$1" in
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --boards) boards=${2:?--boards needs a list}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    --) shift; break ;;
    *) echo "nightly.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
  esac
done

mkdir -p "$out" || exit 2
hil doctor --json "$out/doctor.json" >"$out/doctor.txt" 2>&1
hil boards --json "$out/boards.json" >/dev/null 2>&1

worst=0
IFS=, read -r -a list <<<"$boards"
for board in "${list[@]}"; do
  echo "== $board =="
  python -m pytest --pyargs hil.suite --board="$board" --junit-xml="$out/$board.xml" -ra "$@" 2>&1 | tee "$out/$board.log"
  status=${PIPESTATUS[0]}
  ((status > worst)) && worst=$status
  # A run that wrote no JUnit did not run: never a pass.
  if [ ! -s "$out/$board.xml" ]; then
    echo "nightly.sh: no results for $board" >&2
    ((worst == 0)) && worst=1
  fi
done
echo "results: $out; exit status $worst"
exit "$worst"

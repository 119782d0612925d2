#!/usr/bin/env bash
# One verdict from the results of one or several jobs (folders that ci/nightly.sh filled): gate, JUnit, report, history.
#
#   ci/gate.sh [--gate FILE] [--out DIR] [--baseline WHAT] [--keep HISTORY] RESULTS...
#
# Writes into DIR (default: gate-results) gate.xml, gate.json, gate.md and RUN.html, a page for each run. --keep also
# imports all runs into a history that lives longer than this job. The summary goes to GitHub's job page, if it is there.
# Exit status: that of 'hil gate'; of what fails beside it (report, import) only where the gate is passed.
set -uo pipefail

out=gate-results
options=()
keep=
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
while (($#)); do
  case "$1" in
    --gate) options+=(--gate "${2:?--gate needs a file}"); shift 2 ;;
    --out) out=${2:?--out needs a folder}; shift 2 ;;
    --baseline) options+=(--baseline "${2:?--baseline needs one}"); shift 2 ;;
    --keep) keep=${2:?--keep needs a file}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "gate.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
    *) break ;;
  esac
done
if (($# == 0)); then
  usage >&2
  exit 2
fi

runs=()
tests=()
for folder in "$@"; do
  found=("$folder"/runs.jsonl)
  # A job without results must not look like one that was not asked.
  if [ ! -s "${found[0]}" ]; then
    echo "gate.sh: $folder has no runs.jsonl: its job kept no run" >&2
    exit 1
  fi
  runs+=("${found[0]}")
  for file in "$folder"/*.xml; do
    [ -e "$file" ] && tests+=("$file")
  done
done
((${#tests[@]})) && options+=(--junit-in "${tests[@]}")

mkdir -p "$out" || exit 2
# History first: what a bad night found is kept like what a good one did.
beside=0
if [ -n "$keep" ]; then
  hil record import --history "$keep" "${runs[@]}" || beside=$?
  options+=(--history "$keep")
fi
hil gate "${runs[@]}" "${options[@]}" --junit "$out/gate.xml" --json "$out/gate.json" --markdown "$out/gate.md"
status=$?
# Pages are drawn from a history: tonight's alone, or the one that is kept.
history=${keep:-$out/history.sqlite}
[ -n "$keep" ] || hil record import --history "$history" "${runs[@]}" || beside=$?
page=(hil report --history "$history")
[ -d baselines ] && page+=(--baseline baselines)
ids=$(python -c 'import json, sys; print(*json.load(open(sys.argv[1]))["runs"])' "$out/gate.json") || beside=$?
for id in $ids; do
  "${page[@]}" "$id" --output "$out/$id.html" || beside=$?
done
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -s "$out/gate.md" ]; then
  cat "$out/gate.md" >>"$GITHUB_STEP_SUMMARY"
fi
((status == 0)) && status=$beside
echo "gate: $out; exit status $status"
exit "$status"

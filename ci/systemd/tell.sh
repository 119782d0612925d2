#!/usr/bin/env bash
# Tell people that a unit failed: $NOTIFY gets one line as its last argument and the gate's summary on standard input.
#
#   NOTIFY='mail -s' ci/systemd/tell.sh UNIT       NOTIFY is words, no shell; without it the journal alone knows.
set -euo pipefail

state=${STATE_DIRECTORY:-/var/lib/hil}
summary=$state/nights/last/gate/gate.md
line="$1 failed on $(uname -n)"
echo "$line"
[ -n "${NOTIFY:-}" ] || exit 0
read -r -a words <<<"$NOTIFY"
if [ -s "$summary" ]; then
  "${words[@]}" "$line" <"$summary"
else
  "${words[@]}" "$line" </dev/null
fi

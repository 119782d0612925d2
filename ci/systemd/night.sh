#!/usr/bin/env bash
# What hil-nightly.service does: a night into a folder of its own, all of it kept, the newest under one name.
#
#   BOARDS=rp2040 [STATE_DIRECTORY=/var/lib/hil] [KEEP=30] ci/systemd/night.sh [-- PYTEST-ARGUMENTS]
#
# KEEP is how many nights' folders stay. Their runs stay for ever in history.sqlite. Exit status: the worst of both.
set -uo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
state=${STATE_DIRECTORY:-/var/lib/hil}
night=$state/nights/$(date -u +%Y%m%d-%H%M%S)
[ "${1:-}" = -- ] && shift

mkdir -p "$night" || exit 4
"$here/nightly.sh" --out "$night" --boards "${BOARDS:-rp2040}" -- "$@"
ran=$?
"$here/gate.sh" --gate gate.toml --keep "$state/history.sqlite" --out "$night/gate" "$night"
gated=$?
# One rename, so that a web server that shows nights/last never finds nothing there.
ln -sfn "$night" "$state/nights/last.new" && mv -T "$state/nights/last.new" "$state/nights/last"

find "$state/nights" -mindepth 1 -maxdepth 1 -type d -name '2*' | sort -r | tail -n "+$((${KEEP:-30} + 1))" |
  while IFS= read -r old; do rm -rf -- "$old"; done
exit $((ran > gated ? ran : gated))

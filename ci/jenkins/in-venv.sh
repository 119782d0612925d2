#!/usr/bin/env bash
# Run a command in a virtual environment that has this checkout installed: ci/jenkins/in-venv.sh COMMAND...
set -euo pipefail
cd "$(dirname "$0")/../.."

[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e .
PATH="$PWD/.venv/bin:$PATH" exec "$@"

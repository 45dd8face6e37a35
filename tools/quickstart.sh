#!/usr/bin/env bash
# The main job on made-up data, from nothing: environment, data, training,
# test, pictures, one table. bash tools/quickstart.sh [--seed N] [--work-dir DIR]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/setup_environment.sh"

called_from="$PWD"
setup_environment
cd "$called_from"
exec "$VENV_PYTHON" "$ROOT/tools/quickstart.py" \
    --install-seconds "$SETUP_SECONDS" "$@"

#!/usr/bin/env bash
# The test suite, from nothing: environment, style, tests, coverage.
# bash tools/run_tests.sh [pytest arguments]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/setup_environment.sh"

setup_environment
cd "$ROOT"
"$VENV_PYTHON" -m ruff check . ||
    fail 'Checking the style' 'ruff check --fix . mends most of it.'
"$VENV_PYTHON" -m ruff format --check --quiet . ||
    fail 'Checking the format' 'ruff format . mends it.'
# One thread per process: two processes share the cores better than threads.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$VENV_PYTHON" -m pytest -n 2 --dist loadfile --cov=mmcpm \
    --cov-report=term:skip-covered --cov-fail-under=90 "$@"

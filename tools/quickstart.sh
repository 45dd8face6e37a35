#!/usr/bin/env bash
# The main job on made-up data, from nothing: environment, data, training,
# test, pictures, one table. bash tools/quickstart.sh [--seed N] [--work-dir DIR]
# With --demo, ends with the address of a web page that uses the model.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$here/setup_environment.sh"

called_from="$PWD"
setup_environment
for argument in "$@"; do
    if [ "$argument" = --demo ] &&
        ! "$VENV_PYTHON" -c 'import gradio' 2>/dev/null; then
        # What requirements.txt pins stays as it is.
        step 'Installing Gradio, for the web page' 'Is there a network?' \
            "$VENV_PYTHON" -m pip install --disable-pip-version-check \
            -c "$ROOT/requirements.txt" 'gradio==6.31.0'
    fi
done
cd "$called_from"
exec "$VENV_PYTHON" "$ROOT/tools/quickstart.py" \
    --install-seconds "$SETUP_SECONDS" "$@"

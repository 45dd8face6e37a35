# Sourced by quickstart.sh and run_tests.sh: makes .venv in the root of the
# repository and installs mmcpm with the tested versions, once. Later calls
# re-use it until requirements.txt or setup.py changes.
#
# Sets ROOT and VENV_PYTHON, and SETUP_SECONDS to what it took.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
VENV_PYTHON="$VENV/bin/python"
SETUP_LOG="$ROOT/.venv-setup.log"

# Prints what failed, why, and where to read more; ends the script.
fail() {
    printf '\nFAILED: %s\n' "$1" >&2
    shift
    printf '%s\n' "$@" >&2
    exit 1
}

# step NAME HINT COMMAND...: runs a command, quietly unless it fails.
step() {
    local name="$1" hint="$2"
    shift 2
    printf '%s ... ' "$name"
    if "$@" >>"$SETUP_LOG" 2>&1; then
        echo 'done'
    else
        local code=$?
        echo 'failed'
        fail "$name (exit code $code of: $*)" \
            "$(tail -n 15 "$SETUP_LOG")" "$hint" "Whole log: $SETUP_LOG"
    fi
}

# Finds a Python 3.11 or 3.12; $PYTHON wins if it is set.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys
sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

setup_environment() {
    local started=$SECONDS python stamp wanted
    cd "$ROOT" || fail "Entering $ROOT"
    wanted="$(cat requirements.txt setup.py | cksum)"
    stamp="$VENV/.installed-requirements"
    if [ -x "$VENV_PYTHON" ] && [ -f "$stamp" ] &&
        [ "$(cat "$stamp")" = "$wanted" ]; then
        echo "Environment: re-using $VENV"
        SETUP_SECONDS=$((SECONDS - started))
        return
    fi
    if [ -d "$VENV" ] && ! "$VENV_PYTHON" -c '' 2>/dev/null; then
        fail "$VENV exists, but its Python does not run" \
            'It was made elsewhere or is incomplete: remove it, then try again.'
    fi
    python="$(find_python)" || fail 'Looking for Python 3.11 or 3.12' \
        "Found: $(python3 --version 2>&1 || echo 'no python3')." \
        'Install one of the two, or name it: PYTHON=/path/to/python3.12 bash tools/quickstart.sh'
    local free_kib
    free_kib="$(df -Pk "$ROOT" | awk 'NR == 2 { print $4 }')"
    if [ "${free_kib:-0}" -lt $((8 * 1024 * 1024)) ]; then
        fail "Checking disk space: $((free_kib / 1024 / 1024)) GiB free in $ROOT" \
            'The environment takes 6 GiB and the installation 8 GiB for a while.'
    fi
    : >"$SETUP_LOG" || fail "Writing $SETUP_LOG" 'The folder is not writable.'
    echo "Environment: $("$python" --version) in $VENV (about 3 minutes, 6 GiB)"
    if [ ! -x "$VENV_PYTHON" ]; then
        step 'Creating the environment' \
            'On Debian and Ubuntu, the package python3-venv may be missing.' \
            "$python" -m venv "$VENV"
    fi
    step 'Installing the tested versions' \
        'Is there a network, and room on the disk?' \
        "$VENV_PYTHON" -m pip install --disable-pip-version-check \
        -r requirements.txt
    step 'Installing mmcpm' 'Is there a network?' \
        "$VENV_PYTHON" -m pip install --disable-pip-version-check \
        --no-deps -e .
    step 'Checking the installation' \
        'Some libraries of the system may be missing (opencv: libgl1, libglib2.0-0).' \
        "$VENV_PYTHON" -c 'import mmcpm, mmseg.apis, mmdet.models, soundfile'
    echo "$wanted" >"$stamp"
    SETUP_SECONDS=$((SECONDS - started))
}

#!/usr/bin/env bash
# Test on several GPUs (or, without CUDA, several CPU processes).
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# On one machine a free port is found. More machines: run it on each with the
# same PORT and MASTER_ADDR, with NNODES machines and NODE_RANK 0, 1, ...
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    meeting=(--standalone --local-addr=127.0.0.1)
else
    meeting=(
        --nnodes="${NNODES:-1}"
        --node-rank="${NODE_RANK:-0}"
        --master-addr="${MASTER_ADDR:-127.0.0.1}"
        --master-port="${PORT:-29500}"
    )
fi

exec "${PYTHON:-python}" "$(dirname "$0")/launch.py" \
    "${meeting[@]}" \
    --nproc-per-node="$gpus" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"

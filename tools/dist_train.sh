#!/usr/bin/env bash
# Train on several GPUs (or, without CUDA, several CPU processes).
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On one machine a free port is found. More machines: run it on each with the
# same PORT and MASTER_ADDR, with NNODES machines and NODE_RANK 0, 1, ...
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2

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
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"

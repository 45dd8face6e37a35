#!/usr/bin/env bash
# Everything that wants a GPU, within eight minutes, the most valuable first:
# the CUDA tests; training and inference against stock Mask2Former in bf16,
# then in fp32; a training on sounding scenes.
#   bash tools/gpu_report.sh [DATA_ROOT]
# Uses $PYTHON (default: python), where mmcpm is installed. A step that fails
# or reaches its limit is told and does not stop the others; what a step has
# measured is written to configs/cpm/results when it ends.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
data="${1:-data/sounding_scenes_demo}"
results=configs/cpm/results
started=$SECONDS
failed=0

# step LIMIT NAME COMMAND...: runs a command for at most LIMIT seconds.
step() {
    local limit="$1" name="$2" began=$SECONDS code=0
    shift 2
    printf '\n== %s (at most %s s)\n' "$name" "$limit"
    timeout --kill-after=5 "$limit" "$@" || code=$?
    local word="done"
    if [ "$code" -ne 0 ]; then
        failed=$((failed + 1))
        word="FAILED (exit code $code)"
        [ "$code" -lt 124 ] || word="STOPPED at its limit"
    fi
    printf '== %s: %s after %s s\n' "$name" "$word" "$((SECONDS - began))"
}

# benchmark LIMIT TASK DTYPE SIZE...: cpm_r50_avss against stock Mask2Former.
benchmark() {
    local limit="$1" task="$2" dtype="$3"
    shift 3
    step "$limit" "$task in $dtype" \
        "$python" tools/analysis_tools/benchmark.py \
        configs/cpm/cpm_r50_avss.py --task "$task" --dtype "$dtype" \
        --device cuda --vs stock --repeats 10 "$@" \
        --out "$results/benchmark_cpm_r50_avss_${task}_cuda_$dtype.json"
}

step 90 'CUDA tests' "$python" -m pytest -m cuda -q -p no:cacheprovider
for dtype in bf16 fp32; do
    benchmark 60 train "$dtype" --size 512 512 --batch 16
    benchmark 40 infer "$dtype" --size 736 1280 --batch 1
done
step 30 'Sounding scenes' \
    "$python" tools/dataset_converters/make_sounding_scenes.py "$data"
step 150 'Training' "$python" tools/analysis_tools/study.py \
    configs/cpm/cpm_r18_scenes.py --seeds 0 --data-root "$data" \
    --work-dir work_dirs/gpu_report --out "$results/scenes_cuda.json"

printf '\n%s step(s) failed, %s s in all\n' "$failed" "$((SECONDS - started))"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# All methods on the sounding scenes and in time: configs/README.md#comparison.
# What the records hold is not trained or timed again, so an interrupted
# benchmark goes on where it was; to repeat a run, remove its record.
#   bash tools/benchmark_methods.sh [RUNS AT A TIME]
# Uses $PYTHON (default: python), where mmcpm is installed; $SEEDS (default:
# '10 11 12') are the seeds of the trainings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
jobs="${1:-2}"
seeds="${SEEDS:-10 11 12}"
data=data/sounding_scenes_demo
records=configs/cpm/results
scores="$records/methods_scenes.json"
methods='avmask2former cpm tpavi cavp avsegformer avsegformer_star combo'

scenes=()
full=()
for method in $methods; do
    scenes+=("configs/$method/${method}_r18_scenes.py")
    # The largest size that a method has a config for.
    for size in avss avss_224; do
        config="configs/$method/${method}_r50_$size.py"
        [ ! -f "$config" ] || break
    done
    full+=("$config")
done

# study OPTION...: trains and tests what is missing.
study() {
    # shellcheck disable=SC2086 # Seeds are several words.
    "$python" tools/analysis_tools/study.py "${scenes[@]}" --seeds $seeds \
        --data-root "$data" --jobs "$jobs" --work-dir work_dirs/methods \
        --out "$scores" "$@"
}

"$python" tools/dataset_converters/make_sounding_scenes.py "$data"
study
# As many epochs as take the time of CPM's two.
study --as-long-as cpm_r18_scenes
for task in infer train; do
    out="$records/methods_${task}_512_cpu.json"
    [ -f "$out" ] || "$python" tools/analysis_tools/benchmark_methods.py \
        "${full[@]}" --task "$task" --size 512 512 --batch 2 --repeats 5 \
        --warmup 1 --out "$out"
done

"$python" tools/analysis_tools/study.py --out "$scores" \
    --baseline avmask2former_r18_scenes
"$python" tools/analysis_tools/benchmark_methods.py \
    --table "$records"/methods_{infer,train}_512_cpu.json

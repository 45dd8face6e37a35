#!/usr/bin/env bash
# Everything that wants a GPU, in one go: the tests that need one, training
# and test speed against stock Mask2Former, and a longer training on sounding
# scenes. Results go to configs/cpm/results.
#   bash tools/gpu_report.sh [DATA_ROOT]
# Uses $PYTHON (default: python), where mmcpm is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
data="${1:-data/sounding_scenes_demo}"
results=configs/cpm/results

"$python" -m pytest -m cuda -p no:cacheprovider
for dtype in fp32 bf16; do
    for config in cpm_r50_avss cpm_base_r50_avss; do
        "$python" tools/analysis_tools/benchmark.py "configs/cpm/$config.py" \
            --task train --size 512 512 --batch 16 --repeats 20 \
            --device cuda --dtype "$dtype" --vs stock \
            --out "$results/benchmark_${config}_train_512_cuda_$dtype.json"
    done
    "$python" tools/analysis_tools/benchmark.py configs/cpm/cpm_r50_avss.py \
        --task infer --size 736 1280 --batch 1 --repeats 20 \
        --device cuda --dtype "$dtype" --vs stock \
        --out "$results/benchmark_cpm_r50_avss_infer_736_cuda_$dtype.json"
done
"$python" tools/dataset_converters/make_sounding_scenes.py "$data"
"$python" tools/analysis_tools/study.py \
    configs/cpm/cpm_base_r18_scenes.py configs/cpm/cpm_r18_scenes.py \
    --seeds 0 1 2 --epochs 12 --data-root "$data" \
    --work-dir work_dirs/gpu_report --out "$results/scenes_12_epochs.json"

#!/usr/bin/env bash
# The study of CPM's components in configs/cpm/README.md: scenes, trainings,
# table and plots. What the records hold is not trained again, so an
# interrupted study goes on where it was; to repeat a row, remove its records
# from configs/cpm/results/ablation_scenes.json.
#   bash tools/study.sh [RUNS AT A TIME]
# Uses $PYTHON (default: python), where mmcpm is installed. All runs together
# take two cores three and a half hours.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-python}"
jobs="${1:-2}"
data=data/sounding_scenes_hard
results=configs/cpm/results

# rows SEEDS EPOCHS NAME...: trains and tests what is missing.
rows() {
    local seeds="$1" epochs="$2"
    shift 2
    # shellcheck disable=SC2086 # Seeds and epochs are several words.
    "$python" tools/analysis_tools/study.py \
        "${@/#/configs/cpm/ablations/hard/hard_}" \
        --seeds $seeds $epochs --data-root "$data" --jobs "$jobs" \
        --out "$results/ablation_scenes.json"
}

"$python" tools/dataset_converters/make_sounding_scenes.py "$data" --preset hard
five='10 11 12 13 14' three='10 11 12'
rows "$five" '' base.py full.py
# The time of three epochs of CPM is that of four of the baseline.
rows "$five" '--epochs 4' base.py
rows "$three" '' base_silence.py
rows "$three" '' ccdm.py vcp.py acp.py vcp_acp.py point.py
rows "$three" '' m1.py m5.py m7.py maxpool.py
rows "$three" '' lambda01.py lambda03.py lambda07.py lambda10.py
"$python" tools/analysis_tools/study.py \
    --out "$results/ablation_scenes.json" --plots "$results/plots" \
    --baseline hard_base 'hard_base epochs=4'

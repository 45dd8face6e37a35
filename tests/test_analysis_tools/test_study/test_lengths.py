from pathlib import Path

import pytest

from mmcpm.analysis_tools.study.lengths import equal_time_epochs
from mmcpm.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def run(method, step, seed=0, **other):
    return {
        'config': f'configs/{method}/{method}_r18_scenes.py',
        'seed': seed,
        'epochs': None,
        'iterations': 730,
        'seconds_per_step': step,
        **other,
    }


def test_epochs_that_take_the_time_of_the_reference():
    configs = [
        str(ROOT / f'configs/{name}/{name}_r18_scenes.py')
        for name in ('cpm', 'avmask2former', 'cavp', 'tpavi')
    ]
    records = [
        *(run('cpm', step, seed) for seed, step in enumerate((1.0, 9.0, 1.2))),
        run('avmask2former', 1.0),
        run('cavp', 0.5),
        # Twice the time, in half the steps.
        run('tpavi', 4.8, iterations=365),
        # Not of the config as it is.
        run('cavp', 50.0, epochs=9),
    ]
    # All have two epochs; 2 * 1.2 / 1.0 = 2.4, 2 * 1.2 / 0.5 = 4.8, 1.
    assert equal_time_epochs(configs, records, 'cpm_r18_scenes') == {
        None: configs[:2],
        5: [configs[2]],
        1: [configs[3]],
    }
    with pytest.raises(UsageError, match='no run of tpavi_r18_scenes'):
        equal_time_epochs(configs, records[:5], 'cpm_r18_scenes')

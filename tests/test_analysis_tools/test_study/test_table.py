import math

import pytest

from mmcpm.analysis_tools.study.table import (
    by_variant,
    paired_gain,
    study_table,
    variant,
)


def run(config, mean, seed=0, **other):
    return {
        'config': f'configs/{config}.py',
        'seed': seed,
        'iterations': 12,
        'mIoU': mean,
        'mIoU_silence': 0.1,
        'mIoU_swapped': 0.25,
        'coverage': 0.5,
        'sts': [2.0, 1.0],
        **other,
    }


def test_variants_are_told_by_what_is_learned():
    plain = run('a', 0.5, options=['train_dataloader.num_workers=0'])
    assert variant(plain) == variant(run('a', 0.5, seed=3)) == 'a'
    assert variant(run('a', 0.5, epochs=2)) == 'a epochs=2'
    changed = run('a', 0.5, options=['model.decode_head.cpm_weight=0.1'])
    assert variant(changed) == 'a cpm_weight=0.1'
    assert list(by_variant([changed, plain, changed])) == [
        'a cpm_weight=0.1',
        'a',
    ]


def test_gain_is_paired_by_seed():
    mine = [run('a', m, seed=s) for m, s in ((0.6, 1), (0.9, 2), (0.1, 7))]
    other = [run('b', m, seed=s) for m, s in ((0.8, 2), (0.3, 1), (0.0, 8))]
    # Gains of 0.3 and 0.1: deviation 0.141, error 0.1.
    gain, error, pairs = paired_gain(mine, other)
    assert (gain, error, pairs) == (pytest.approx(0.2), pytest.approx(0.1), 2)
    gain, error, pairs = paired_gain(mine[:1], other)
    assert gain == pytest.approx(0.3) and math.isnan(error) and pairs == 1
    assert paired_gain(mine[2:], other)[2] == 0


def test_table_by_hand():
    records = [
        run('b', 0.5),
        run('a', 0.7, coverage_final=0.75),
        run('b', 0.6, seed=1, sts=[0.5]),
        run('a', 0.7, seed=1, coverage_final=0.25),
        run('c', 0.1, seed=9),
    ]
    lines = study_table(records, ('b',)).splitlines()
    assert lines[0].split(' | ')[4] == 'gain over `b`'
    assert lines[1] == '|' + 9 * '---|'
    assert lines[2:] == [
        '| `b` | 2 | 12 | 55.0 ± 7.1 |  | 10.0 | 25.0 | 50.0 | 0.75 |',
        '| `a` | 2 | 12 | 70.0 ± 0.0 | +15.0 ± 5.0 | 10.0 | 25.0 '
        '| 50.0 → 50.0 | 1.00 |',
        '| `c` | 1 | 12 | 10.0 |  | 10.0 | 25.0 | 50.0 | 1.00 |',
    ]
    with pytest.raises(ValueError, match="'d'.*b, a, c"):
        study_table(records, ('d',))


def test_protocols_and_heads_without_queries():
    scores = {
        'Fbeta': 0.61,
        'avss_legacy_original/mIoU': 0.42,
        'avss_legacy_original/Fbeta': 0.53,
    }
    pixels = run('tpavi', 0.5, coverage=None, sts=[], **scores)
    lines = study_table([pixels, run('cpm', 0.7, **scores)]).splitlines()
    assert lines[0].split(' | ')[3:7] == [
        'mIoU',
        'F-beta',
        'avss_legacy_original/mIoU',
        'avss_legacy_original/Fbeta',
    ]
    assert lines[2:] == [
        '| `tpavi` | 1 | 12 | 50.0 | 61.0 | 42.0 | 53.0 | 10.0 | 25.0 | - '
        '| - |',
        '| `cpm` | 1 | 12 | 70.0 | 61.0 | 42.0 | 53.0 | 10.0 | 25.0 | 50.0 '
        '| 1.00 |',
    ]

import json

from mmcpm.analysis_tools.benchmark.runs import benchmark_table


def test_table_by_hand(tmp_path):
    result = dict(
        config='configs/cpm/cpm_r50_avss.py',
        peer='stock',
        task='train',
        size=[512, 640],
        batch=2,
        device='cpu',
        dtype='fp32',
        median_s=1.236,
        peer_median_s=2.0,
        ratio=0.618,
        peak_mb=900,
        peer_peak_mb=1000,
    )
    file = tmp_path / 'one.json'
    file.write_text(json.dumps(result))
    (line,) = benchmark_table([file]).splitlines()[2:]
    assert line == (
        '| `cpm_r50_avss` | train | 512 x 640, 2 | cpu fp32 | 1.24 '
        '| stock: 2.00 | 0.62 | 0.90 |'
    )

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcpm.analysis_tools.confusion_matrix import (
    Confusion,
    row_shares,
    worst_confusions,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/_base_/datasets/avs_folder.py'
FRAMES = [f'c{n}/{i}' for n in range(4) for i in range(3)] + ['single/0']


def write_maps(folder, value=1, names=FRAMES, size=(24, 32)):
    """Predict one class everywhere."""
    for name in names:
        path = folder / f'{name}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full(size, value, np.uint8))
    return folder


@pytest.fixture
def confusion(monkeypatch, folder_root, tmp_path):
    """Run the tool on a folder of maps; returns the content of its JSON."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'confusion_matrix', raising=False)
    import confusion_matrix as tool

    def run(maps, *options):
        out = tmp_path / 'out'
        arguments = (CONFIG, maps, '--out', out, '--data-root', folder_root)
        tool.main([*map(str, arguments), *options])
        assert cv2.imread(str(out / 'confusion_matrix.png')).std() > 10
        return json.loads((out / 'confusion_matrix.json').read_text())

    return run


def test_pixels_and_shares(confusion, tmp_path, capsys):
    """Labels: 192 pixels of background, 384 of dog, 192 of cell phone."""
    maps = write_maps(tmp_path / 'maps', 1)
    write_maps(maps, 2, ['c0/1'])
    found = confusion(maps)
    assert found['classes'] == ['background', 'dog', 'cell phone']
    assert found['pixels'] == [
        [0, 12 * 192, 192],
        [0, 12 * 384, 384],
        [0, 12 * 192, 192],
    ]
    assert found['shares'] == [[0, 0.923077, 0.076923]] * 3
    assert found['frames'] == 13
    printed = capsys.readouterr().out
    assert 'background -> dog: 92.3 %' in printed


def test_ignored_pixels_and_classes_without_pixels(
    confusion, tmp_path, folder_root
):
    for path in (folder_root / 'test/labels').rglob('*.png'):
        label = cv2.imread(str(path), 0)
        label[label == 2] = 255
        cv2.imwrite(str(path), label)
    found = confusion(write_maps(tmp_path / 'maps', 0))
    expected = [[13 * 192, 0, 0], [13 * 384, 0, 0], [0, 0, 0]]
    assert found['pixels'] == expected
    assert found['shares'][2] == [None] * 3


def test_missing_maps_are_counted_and_left_out_on_request(
    confusion, tmp_path, capsys
):
    maps = write_maps(tmp_path / 'maps', names=FRAMES[:11])
    with pytest.raises(SystemExit):
        confusion(maps)
    error = capsys.readouterr().err
    assert 'no label map of 2 of 13 frames: c3/2, single/0' in error
    assert '--partly' in error
    found = confusion(maps, '--partly')
    assert (found['frames'], found['frames_left_out']) == (11, 2)
    assert np.sum(found['pixels']) == 11 * 24 * 32


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        (lambda maps: maps.mkdir(), 'no label map of 13 of 13 frames'),
        (lambda maps: None, 'no folder of label maps'),
        (lambda maps: write_maps(maps, 3), 'holds the value 3, but the'),
        (lambda maps: write_maps(maps, size=(12, 16)), 'has shape (12, 16)'),
        (
            lambda maps: (write_maps(maps) / 'c1/2.png').write_text('text'),
            'c1/2.png cannot be read',
        ),
    ],
)
def test_bad_input_ends_with_a_message(
    confusion, tmp_path, capsys, fault, message
):
    fault(tmp_path / 'maps')
    with pytest.raises(SystemExit) as ended:
        confusion(tmp_path / 'maps')
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('confusion_matrix.py: error: ') == 1
    assert message in error and 'Traceback' not in error
    assert not list((tmp_path / 'out').glob('*'))


def test_rows_are_labels():
    counts = np.array([[8, 2, 0], [1, 1, 2], [0, 0, 0]])
    shares = row_shares(counts)
    assert np.array_equal(shares[:2], [[0.8, 0.2, 0], [0.25, 0.25, 0.5]])
    assert np.isnan(shares[2]).all()
    texts = worst_confusions(
        Confusion(counts, ['background', 'dog', 'cat'], 1, 0)
    )
    assert texts[0] == 'dog -> cat: 50.0 %' and len(texts) == 3

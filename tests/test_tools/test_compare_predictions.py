import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcpm.analysis_tools import compare_predictions as module
from mmcpm.analysis_tools.compare_predictions import (
    name_folders,
    wrong_share,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/_base_/datasets/avs_folder.py'


@pytest.fixture
def models(folder_root, tmp_path):
    """Label maps of a model that is right, and of one that sees nothing."""
    right, empty = tmp_path / 'right', tmp_path / 'empty'
    shutil.copytree(folder_root / 'test/labels', right)
    shutil.copytree(right, empty)
    for path in empty.rglob('*.png'):
        cv2.imwrite(str(path), np.zeros((24, 32), np.uint8))
    return right, empty


@pytest.fixture
def compare(monkeypatch, folder_root, tmp_path):
    """Run the tool; returns the sheets, and the columns drawn."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'compare_predictions', raising=False)
    import compare_predictions as tool

    drawn = []
    draw = module.draw_sheet
    monkeypatch.setattr(
        module,
        'draw_sheet',
        lambda title, columns, *names: (
            drawn.append((title, columns)) or draw(title, columns, *names)
        ),
    )

    def run(*options):
        out = tmp_path / 'out'
        arguments = (CONFIG, '--out', out, '--data-root', folder_root)
        tool.main([*map(str, arguments), *map(str, options)])
        return {
            path.stem: cv2.imread(str(path)) for path in out.iterdir()
        }, drawn

    return run


def test_models_below_frame_and_label(compare, models):
    right, empty = models
    sheets, drawn = compare(
        *('--predictions', f'CPM={right}', f'nothing={empty}'),
        *('--clips', 'c1', '--max-frames', '2'),
    )
    assert set(sheets) == {'c1'}
    assert sheets['c1'].shape[1] >= 800 and sheets['c1'].std() > 10
    ((title, columns),) = drawn
    assert title == 'c1, test split (the first 2 of 3 frames)'
    assert [column.heading for column in columns] == ['frame 0', 'frame 1']
    for number, column in enumerate(columns):
        assert list(column.pictures) == ['frame', 'label', 'CPM', 'nothing']
        # Frame i of clip 1 is the (3 + i)-th: of gray 10 (3 + i).
        assert (column.pictures['frame'] == 10 * (3 + number)).all()
        assert np.array_equal(column.pictures['CPM'], column.pictures['label'])
        assert np.array_equal(
            column.pictures['nothing'], column.pictures['frame']
        )
        # Labeled are the left half and a quarter.
        assert column.captions == {
            'CPM': '0.0 % of pixels wrong',
            'nothing': '75.0 % of pixels wrong',
        }
        assert column.labels == {1, 2}


def test_share_leaves_ignored_pixels_out():
    label = np.array([[0, 1, 255, 255]])
    prediction = np.array([[0, 2, 1, 1]])
    assert wrong_share(prediction, label, 3, 255) == 0.5
    assert np.isnan(wrong_share(prediction, np.full((1, 4), 255), 3, 255))


def test_folders_name_models():
    assert name_folders(['a b=x/y', 'maps/base']) == {
        'a b': 'x/y',
        'base': 'maps/base',
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['a=right', 'a=empty'], "the name 'a' is taken"),
        (['label=right'], "the name 'label' is taken"),
        (['=right'], 'expected NAME=FOLDER'),
        (['a=absent'], 'no folder of label maps'),
        (['right', 'part'], 'no label map of 1 of 3 frames: c0/2'),
        (['right', '--clips', 'c9'], "no clip 'c9'"),
        (['right', '--max-frames', '0'], 'must be at least 1'),
    ],
)
def test_bad_input_ends_with_a_message(
    compare, models, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    shutil.copytree('right', 'part')
    Path('part/c0/2.png').unlink()
    with pytest.raises(SystemExit) as ended:
        compare('--num', '1', '--predictions', *options)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count('compare_predictions.py: error: ') == 1
    assert message in error and 'Traceback' not in error
    assert not list(tmp_path.glob('out/**/*.png'))

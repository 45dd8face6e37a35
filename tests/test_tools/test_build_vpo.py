import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

import mmcpm
from mmcpm.dataset_converters.checking.check_vpo import check_vpo
from mmcpm.dataset_converters.checking.vpo_rows import VPOCopy
from mmcpm.datasets import VPODataset

TOOL = (
    Path(mmcpm.__file__).parents[1] / 'tools/dataset_converters/build_vpo.py'
)
INPUT = (
    *('vpo', '--annotations', 'coco.json', '--images', 'images'),
    *('--recordings', 'sounds.csv', '--audio', 'sounds'),
    *('--test-share', '0.25', '--subsets', 'ss'),
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on eight pictures of a zebra and four recordings."""
    for name in ('images', 'sounds'):
        (tmp_path / name).mkdir()
    coco = dict(images=[], annotations=[], categories=[])
    coco['categories'].append(dict(id=7, name='zebra'))
    for i in range(1, 9):
        cv2.imwrite(
            str(tmp_path / f'images/{i}.jpg'), np.zeros((20, 40, 3), np.uint8)
        )
        coco['images'].append(
            dict(id=i, file_name=f'{i}.jpg', height=20, width=40)
        )
        square = [i, 4, i + 10, 4, i + 10, 14, i, 14]
        coco['annotations'].append(
            dict(id=i, image_id=i, category_id=7, segmentation=[square])
        )
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    rows = ['file,class,start']
    for i in range(4):
        wave = 0.1 * np.sin(np.arange(64_000) * (i + 1) / 10)
        soundfile.write(tmp_path / f'sounds/{i}.wav', wave, 16000)
        rows.append(f'{i}.wav,zebra braying,0.5')
    (tmp_path / 'sounds.csv').write_text('\n'.join(rows))

    def run_tool(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *arguments])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run_tool


def test_tool_builds_what_the_dataset_reads(run, tmp_path, capsys):
    run(*INPUT, '--dry-run')
    assert '6 samples for training, 2 for the test' in capsys.readouterr().out
    assert not (tmp_path / 'vpo').exists()
    run(*INPUT, '--pictures', 'link', '--min-area', '0.1')
    assert 'Wrote the dataset in vpo' in capsys.readouterr().out
    options = dict(data_root=str(tmp_path / 'vpo'), subset='ss')
    assert len(VPODataset(**options, split='test')) == 2
    train = VPODataset(**options, holdout=0)
    assert len(train) == 6
    assert train.missing_files() == []
    link = next((tmp_path / 'vpo').rglob('*.jpg'))
    assert link.is_symlink()
    assert link.resolve().parent == (tmp_path / 'images').resolve()
    assert link.is_file()
    run(*INPUT, '--pictures', 'link', '--min-area', '0.1')
    assert 'Found the dataset' in capsys.readouterr().out


def test_tool_takes_any_classes(run, tmp_path, capsys, mmseg_scope):
    (tmp_path / 'mine.txt').write_text('okapi 9 8 7\nZebra 1 2 3\n')
    rows = (tmp_path / 'sounds.csv').read_text()
    (tmp_path / 'sounds.csv').write_text(
        rows.replace('zebra braying', 'zebra')
    )
    run(*INPUT, '--classes', 'mine.txt')
    capsys.readouterr()
    options = dict(data_root=str(tmp_path / 'vpo'), subset='ss')
    pipeline = [
        dict(type='LoadFrameFromFile'),
        dict(type='LoadTranslatedAnnotations'),
    ]
    data = VPODataset(**options, split='test', pipeline=pipeline)
    assert data.metainfo['classes'] == ('background', 'okapi', 'Zebra')
    assert data.metainfo['palette'] == [[0, 0, 0], [9, 8, 7], [1, 2, 3]]
    # The square of ten by ten pixels is of the second class.
    label = data[0]['gt_seg_map']
    assert sorted(np.unique(label, return_counts=True)[1]) == [100, 700]
    assert set(np.unique(label)) == {0, 2}
    mask = next((tmp_path / 'vpo/VPO-SS/mask/Zebra').iterdir())
    assert set(np.unique(cv2.imread(str(mask), -1))) == {0, 2}
    # VPO's own classes are as they were.
    assert len(VPODataset.METAINFO['classes']) == 22
    copy = VPOCopy(str(tmp_path / 'vpo'), 'ss')
    report = check_vpo(copy, deep=True, workers=0)
    assert report.num_faults == 0
    with pytest.raises(SystemExit):
        run(*INPUT)  # Without the list it is another dataset.
    assert 'classes mine.txt (wanted: None)' in capsys.readouterr().err
    (tmp_path / 'mine.txt').write_text('../okapi\nzebra\n')
    with pytest.raises(SystemExit):
        run(*INPUT, '--classes', 'mine.txt')
    assert "class '../okapi' cannot be" in capsys.readouterr().err


def test_tool_refuses_bad_input_in_one_message(run, tmp_path, capsys):
    (tmp_path / 'sounds/2.wav').write_bytes(b'')
    with pytest.raises(SystemExit) as ended:
        run(*INPUT)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert 'sounds.csv, line 4' in told
    assert 'the file is empty' in told
    assert 'Traceback' not in told
    with pytest.raises(SystemExit):
        run(*INPUT, '--max-sources', '1')
    assert 'max_sources must be from 2' in capsys.readouterr().err
    assert not (tmp_path / 'vpo').exists()


def test_tool_has_help(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run('--help')
    assert ended.value.code == 0
    assert '--class-map' in capsys.readouterr().out

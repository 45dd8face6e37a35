"""score_masks.py, from files to scores."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image

from mmcpm.dataset_converters.sounding_scenes.writer import (
    write_sounding_scenes,
)
from mmcpm.datasets import AVSBenchSemanticDataset

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/avmask2former/avmask2former_r18_scenes.py'


@pytest.fixture
def score(monkeypatch, tmp_path, capsys):
    """Run the tool; returns the content of its file and what it printed."""
    monkeypatch.syspath_prepend(ROOT / 'tools/analysis_tools')
    monkeypatch.delitem(sys.modules, 'score_masks', raising=False)
    import score_masks as tool

    def run(predictions, dataset, root, *options):
        out = tmp_path / 'scores.json'
        out.unlink(missing_ok=True)
        tool.main(
            [str(predictions), '--dataset', dataset, '--data-root', str(root)]
            + ['--out', str(out), *map(str, options)]
        )
        return json.loads(out.read_text()), capsys.readouterr().out

    return run


def write_labels(root, classes, labels):
    """A folder dataset of one clip, with these label maps."""
    for part in ('frames', 'labels', 'audio'):
        (root / f'test/{part}/a').mkdir(parents=True)
    (root / 'test/audio/a').rmdir()
    (root / 'test/audio/a.wav').write_bytes(b'RIFF')
    for number, label in enumerate(labels):
        frame = np.zeros((*label.shape, 3), np.uint8)
        cv2.imwrite(str(root / f'test/frames/a/{number}.png'), frame)
        cv2.imwrite(
            str(root / f'test/labels/a/{number}.png'), label.astype(np.uint8)
        )
    (root / 'classes.txt').write_text('\n'.join(('background', *classes)))
    return root


def grid(*sizes):
    return np.meshgrid(*map(np.arange, sizes), indexing='ij')


# --- Published numbers ---


def test_golden_of_avsbench(score, tmp_path):
    """Four frames; the third is empty. One clip: one batch of four."""
    n, h, w = grid(4, 4, 4)
    logits = 3 * np.sin(1.7 * n + 0.9 * h - 0.6 * w + 0.35)
    labels = (n != 2) & ((n + 2 * h + 3 * w) % 5 < 2)
    root = write_labels(tmp_path / 'data', ['sounding'], labels)
    folder = tmp_path / 'masks/a'
    folder.mkdir(parents=True)
    for number, logit in enumerate(logits):
        np.save(folder / f'{number}.npy', logit.astype(np.float32))
    content, printed = score(folder.parent, 'folder', root)
    assert content['kind'] == 'scores'
    metrics = content['metrics']
    prefix = 'avsbench_original_anyframes'
    assert metrics[f'{prefix}/J'] == pytest.approx(0.4479396, abs=1e-7)
    assert metrics[f'{prefix}/F'] == pytest.approx(0.4919066, abs=1e-7)
    assert f'{prefix} ' in printed and '44.79 | 49.19' in printed


@pytest.fixture
def golden_of_classes(tmp_path):
    """Data and masks of the example of five classes."""
    n, k, h, w = grid(4, 5, 4, 4)
    logits = 2 * np.sin(0.8 * n + 1.3 * k + 0.7 * h - 0.5 * w) - 5 * (k == 4)
    n, h, w = grid(4, 4, 4)
    labels = np.where(n == 2, 0, (n + h * w + h) % 3)

    def write(labels):
        root = write_labels(tmp_path / 'data', 'abcd', labels)
        folder = tmp_path / 'masks/a'
        folder.mkdir(parents=True)
        for number, frame in enumerate(logits.argmax(1).astype(np.uint8)):
            Image.fromarray(frame).save(folder / f'{number}.png')
        return folder.parent, root

    return write, labels


def test_golden_of_both_camps(score, golden_of_classes):
    write, labels = golden_of_classes
    folder, root = write(labels)
    content, printed = score(folder, 'folder', root)
    metrics = content['metrics']
    for name, expected in {
        'avss_legacy_original/mIoU': 0.0991599,
        'avss_legacy_original/Fbeta': 0.1558784,
        'avss_legacy_original/no_background_as_coded/mIoU': 0.1239498,
        'avss_legacy_original/no_background/Fbeta': 0.0543695,
        'dataset/mIoU': 0.1204083,
        'dataset/mIoU_present': 0.1505102,
        'dataset/Fbeta': 0.2372462,
        'dataset/F1': 0.2279412,
        'dataset/FDR': 0.7528736,
        'dataset/aAcc': 0.390625,
    }.items():
        assert metrics[name] == pytest.approx(expected, abs=2e-7), name
    # The difference of the two, in points: 9.916 - 12.041.
    assert '-2.12' in printed
    classes = content['protocols']['dataset']['classes']
    assert classes['background']['IoU'] == pytest.approx(0.3877551)
    assert classes['a']['Fbeta'] == pytest.approx(0.3421053)
    assert classes['d'] == {'IoU': None, 'Fbeta': None, 'frames': 0}
    legacy = content['protocols']['avss_legacy_original']['classes']
    assert legacy['a']['IoU'] == pytest.approx(0.5555556 / 4)
    assert legacy['a']['frames'] == 4


def test_golden_with_ignored_pixels(score, golden_of_classes):
    write, labels = golden_of_classes
    labels[0, 0] = 255
    content, _ = score(*insert(write(labels)))
    metrics = content['metrics']
    assert metrics['dataset/mIoU'] == pytest.approx(0.1288889, abs=1e-7)
    assert metrics['dataset/Fbeta'] == pytest.approx(0.2457787, abs=1e-7)
    assert metrics['dataset/FDR'] == pytest.approx(0.7479716, abs=1e-7)


def insert(places):
    """Arguments of ``score`` for a folder dataset."""
    return places[0], 'folder', places[1]


# --- The project's own test ---


def test_the_numbers_of_test_py(score, tmp_path, monkeypatch, capsys):
    data = tmp_path / 'data'
    write_sounding_scenes(data, 'demo', clips=(3, 3, 3), size=32, workers=0)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIG).model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / 'w')
    monkeypatch.syspath_prepend(ROOT / 'tools')
    monkeypatch.delitem(sys.modules, 'test', raising=False)
    import test as tool

    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(CONFIG)!r}\n'
        "test_evaluator = [dict(type='DatasetIoUFMetric'), "
        "dict(type='AVSSLegacyMetric', size=None)]\n"
    )
    expected = tool.main(
        [str(config), str(tmp_path / 'w'), '--data-root', str(data)]
        + ['--work-dir', str(tmp_path / 'work')]
        + ['--out', str(tmp_path / 'masks')]
        + ['--cfg-options', 'test_dataloader.num_workers=0']
    )
    content, _ = score(tmp_path / 'masks', 'scenes', data)
    compared = 0
    for name, value in expected.items():
        prefix, *group, key = name.split('/')
        if prefix == 'dataset':
            groups = content['protocols'][prefix]['groups']
            found = groups[group[0] if group else 'all']['scores'][key]
        else:
            found = content['metrics'][name]
        assert found == pytest.approx(value, nan_ok=True), name
        compared += 1
    assert compared > 15
    assert content['layout'] == '<clip>/<frame>'


# --- Real layouts ---


def test_avss_as_the_published_code_saves_it(score, avss_root, tmp_path):
    """Colors, 224 x 224, ten frames of every clip, perfect."""
    palette = np.uint8(AVSBenchSemanticDataset.METAINFO['palette'])
    masks = tmp_path / 'masks'
    clips = ('v1s/test1s_0_5000', 'v1m/test1m_0', 'v2/-test2_0_10000')
    for clip in clips:
        uid = clip.partition('/')[2]
        (masks / uid).mkdir(parents=True)
        for frame in range(10):
            path = avss_root / clip / f'labels_semantic/{frame}.png'
            small = np.zeros((224, 224), np.uint8)
            if path.exists():
                label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                small = cv2.resize(
                    label, (224, 224), interpolation=cv2.INTER_NEAREST
                )
            Image.fromarray(palette[small]).save(
                masks / uid / f'{uid}_{frame}.png'
            )
    content, printed = score(masks, 'avss', avss_root)
    assert content['padding_left_out'] == 10
    assert 'Left out: 10 files' in printed
    assert list(content['protocols']) == [
        'dataset_224',
        'avss_legacy',
        'avss_legacy_padded',
        'avsbench_foreground_anyframes',
    ]
    metrics = content['metrics']
    # Six of 71 classes are in these labels; the others count as 0.
    assert metrics['avss_legacy/mIoU_present'] == pytest.approx(1)
    present = {
        name
        for name, row in content['protocols']['avss_legacy']['classes'].items()
        if row['frames']
    }
    assert metrics['avss_legacy/mIoU'] == pytest.approx(len(present) / 71)
    assert metrics['avsbench_foreground_anyframes/J'] == pytest.approx(1)
    groups = content['protocols']['avss_legacy']['groups']
    assert set(groups) == {'all', 'v1s', 'v1m', 'v2', 'ss', 'ms'}
    assert groups['v2']['frames'] == 10
    # At the size of the labels too, but only if told so.
    content, printed = score(masks, 'avss', avss_root, '--resize')
    assert 'Resized for dataset: 20 predictions.' in printed
    assert 'dataset' in content['protocols']
    assert 'avss_legacy' in content['protocols']


@pytest.fixture
def s4(tmp_path):
    """S4 with one clip of the test split; frame i has i white rows."""
    root = tmp_path / 'Single-source'
    data = root / 's4_data/gt_masks/test/dog_barking/t_x'
    data.mkdir(parents=True)
    for number in range(1, 6):
        mask = np.zeros((224, 224), np.uint8)
        mask[: 40 * (number - 1)] = 255
        cv2.imwrite(str(data / f't_x_{number}.png'), mask)
    (root / 's4_meta_data.csv').write_text(
        'name,start,category,split\nt_x,4,dog_barking,test\n'
    )
    return root


@pytest.mark.parametrize('first', [0, 1])
def test_s4_by_hand(score, s4, tmp_path, first):
    """Every frame is predicted as the one before; the first is empty."""
    folder = tmp_path / 'masks/dog_barking/t_x'
    folder.mkdir(parents=True)
    truth = s4 / 's4_data/gt_masks/test/dog_barking/t_x'
    for number in range(5):
        source = truth / f't_x_{max(number, 1)}.png'
        shutil.copy(source, folder / f't_x_{number + first}.png')
    content, _ = score(tmp_path / 'masks', 's4', s4)
    assert content['first_frame'] == first
    assert content['kind'] == 'mask'
    metrics = content['metrics']
    # IoU of i - 1 of i parts, i = 1..4, after the empty frame's 1.
    expected = (1 + 0 + 1 / 2 + 2 / 3 + 3 / 4) / 5
    assert metrics['avsbench/J'] == pytest.approx(expected, abs=1e-6)
    recalls = [0, 1 / 2, 2 / 3, 3 / 4]
    f = [1.3 * r / (0.3 + r) if r else 0 for r in recalls]
    assert metrics['avsbench/F'] == pytest.approx(sum(f) / 4, abs=1e-6)
    # All frames at once: 6 of 10 parts are hit, none is wrong; the rest of
    # 5 x 224 lines is background.
    silent = 5 * 224 - 400
    iou = (6 / 10 + silent / (silent + 160)) / 2
    assert metrics['dataset/mIoU'] == pytest.approx(iou)


@pytest.fixture
def vpo(tmp_path):
    """Two images of VPO-MS; a column of each is to be ignored."""
    root = tmp_path / 'vpo'
    rows = ['img_Id,ann_Ids,cateName,cateId,vgg_file,audio_pos,split']
    audios = root / 'vggsound_bench/VGGSound/audios'
    audios.mkdir(parents=True)
    (audios / 'x.wav').write_bytes(b'RIFF')
    for part in ('data', 'mask'):
        (root / 'VPO-MS' / part).mkdir(parents=True)
    for number in (1, 2):
        rows.append(f'{number},{number},dog,18,x,0.5,val')
        columns = np.tile(np.uint8([0, 18, 18, 255]), (3, 1))
        name = f'{number:012}'
        cv2.imwrite(str(root / f'VPO-MS/mask/{name}.png'), columns)
        cv2.imwrite(str(root / f'VPO-MS/data/{name}.jpg'), columns)
    (root / 'VPO-MS/vpo_ms_data_stereo.csv').write_text('\n'.join(rows))
    return root


@pytest.mark.parametrize('name', ['{}.png', '{}/0.png'])
def test_vpo_by_hand(score, vpo, tmp_path, name):
    """Class 9 is dog. Half of the first one is found, all of the second."""
    for number, row in ((1, [0, 9, 0, 9]), (2, [0, 9, 9, 9])):
        path = tmp_path / 'masks' / name.format(f'{number:012}')
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.tile(np.uint8(row), (3, 1)))
    content, _ = score(tmp_path / 'masks', 'vpo_ms', vpo)
    classes = content['protocols']['dataset']['classes']
    assert classes['dog']['IoU'] == pytest.approx(9 / 12)
    assert classes['background']['IoU'] == pytest.approx(6 / 9)
    metrics = content['metrics']
    assert metrics['dataset/mIoU'] == pytest.approx((9 / 12 + 6 / 9) / 22)
    legacy = content['protocols']['avss_legacy_original']['classes']
    assert legacy['dog']['IoU'] == pytest.approx((1 / 2 + 1) / 2)
    foreground = 'avsbench_foreground_original_anyframes'
    assert metrics[f'{foreground}/J'] == pytest.approx((1 / 2 + 1) / 2)


# --- Bad input ---


@pytest.fixture
def small(tmp_path):
    """A dataset of four frames, and a copy of its labels as predictions."""
    labels = np.zeros((4, 6, 8), np.uint8)
    labels[:, 2:, 1:] = 1
    labels[:, :, 7] = 2
    root = write_labels(tmp_path / 'data', ['dog', 'cat'], labels)
    shutil.copytree(root / 'test/labels', tmp_path / 'masks')
    return tmp_path / 'masks', root


def refused(score, capsys, tmp_path, *args):
    """Run the tool, which must refuse; returns its message."""
    with pytest.raises(SystemExit) as info:
        score(*args)
    assert info.value.code == 2
    assert not (tmp_path / 'scores.json').exists()
    return capsys.readouterr().err


def test_perfect_masks_score_one(score, small):
    content, _ = score(*insert(small))
    for name, value in content['metrics'].items():
        assert value == pytest.approx(0 if name.endswith('FDR') else 1), name


def test_processes_count_the_same(score, avss_root, tmp_path):
    """Two copies of the clips are enough frames for processes to start."""
    root = shutil.copytree(avss_root, tmp_path / 'avss')
    rows = (root / 'metadata.csv').read_text().splitlines()
    for subset, uid in (
        ('v1s', 'test1s_0_5000'),
        ('v1m', 'test1m_0'),
        ('v2', '-test2_0_10000'),
    ):
        shutil.copytree(root / subset / uid, root / subset / f'x{uid}')
        rows += [r.replace(uid, f'x{uid}') for r in rows if f',{uid},' in r]
    (root / 'metadata.csv').write_text('\n'.join(rows) + '\n')
    masks = tmp_path / 'masks'
    labels = [
        path
        for path in root.glob('v*/*test*/labels_semantic/*.png')
        if path.parts[-3] in ''.join(rows)
    ]
    for number, path in enumerate(labels):
        target = masks / path.parts[-3] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        label[: number % 7] = number % 5
        cv2.imwrite(str(target), label)
    assert len(labels) == 40
    alone, _ = score(masks, 'avss', root, '--workers', 0)
    assert 0 < alone['metrics']['dataset/mIoU_present'] < 1
    assert score(masks, 'avss', root, '--workers', 2)[0] == alone


def test_missing_frames(score, small, capsys, tmp_path):
    masks, root = small
    (masks / 'a/3.png').unlink()
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert '1 x no file for a frame of the 4' in message
    assert 'a/3' in message and '--missing background' in message
    content, printed = score(masks, 'folder', root, '--missing', 'skip')
    assert content['frames_scored'] == 3
    assert content['metrics']['dataset/mIoU'] == 1
    assert 'Missing: 1 frames (skip): a/3.' in printed
    content, _ = score(masks, 'folder', root, '--missing', 'background')
    assert content['frames_scored'] == 4
    # Three of four frames of each object, and what lay beneath the fourth's
    # is background.
    expected = (0.75 * 2 + 4 * 18 / (4 * 18 + 30)) / 3
    assert content['metrics']['dataset/mIoU'] == pytest.approx(expected)


def test_files_of_no_frame(score, small, capsys, tmp_path):
    masks, root = small
    shutil.copy(masks / 'a/0.png', masks / 'a/9.png')
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert '1 x a file of no frame' in message and 'a/9.png' in message
    content, printed = score(masks, 'folder', root, '--unknown', 'ignore')
    assert content['unknown'] == ['a/9.png']
    assert 'Ignored: 1 files' in printed
    assert content['metrics']['dataset/mIoU'] == 1


def test_values_that_are_no_class(score, small, capsys, tmp_path):
    masks, root = small
    for name in ('a/1.png', 'a/2.png'):
        label = cv2.imread(str(masks / name), cv2.IMREAD_UNCHANGED)
        label[0, 0] = 77
        cv2.imwrite(str(masks / name), label)
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert '2 x no labels of 3 classes' in message
    assert 'a/1.png' in message and 'values 77' in message


def test_masks_of_another_size(score, small, capsys, tmp_path):
    masks, root = small
    label = cv2.imread(str(masks / 'a/1.png'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(
        str(masks / 'a/1.png'),
        cv2.resize(label, (16, 12), interpolation=cv2.INTER_NEAREST),
    )
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert '1 x a prediction of another size' in message
    assert 'is 12 x 16, its label 6 x 8' in message and '--resize' in message
    content, printed = score(masks, 'folder', root, '--resize')
    assert 'Resized for dataset: 1 predictions.' in printed
    assert content['metrics']['dataset/mIoU'] == 1
    assert 'avss_legacy' in content['protocols']


def test_unreadable_masks(score, small, capsys, tmp_path):
    masks, root = small
    (masks / 'a/2.png').write_text('no picture')
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert '1 x a prediction cannot be read' in message
    assert 'a/2.png' in message
    whole = (masks / 'a/1.png').read_bytes()
    (masks / 'a/2.png').write_bytes(whole[:-16])
    message = refused(score, capsys, tmp_path, masks, 'folder', root)
    assert 'a/2.png' in message and 'truncated' in message


def test_out_that_cannot_be_written(score, small, capsys, tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SystemExit):
        score(*insert(small), '--out', tmp_path / 'file/x.json')
    assert '--out' in capsys.readouterr().err

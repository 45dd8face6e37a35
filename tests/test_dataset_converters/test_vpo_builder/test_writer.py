import csv
import shutil

import cv2
import numpy as np
import pytest
import soundfile
from PIL import Image

from mmcpm.dataset_converters.common.folders import DatasetFolderError
from mmcpm.dataset_converters.vpo_builder import writer
from mmcpm.dataset_converters.vpo_builder.plan import make_plan
from mmcpm.dataset_converters.vpo_builder.writer import write_vpo
from mmcpm.datasets import VPODataset
from mmcpm.datasets.errors import DatasetNotFoundError, FrameReadError
from mmcpm.datasets.transforms import LoadFrameFromFile

CLASSES = VPODataset.METAINFO['classes']
COCO_ID = {'dog': 18, 'cat': 17}
HEADER = 'img_Id ann_Ids cateName cateId vgg_file vgg_label audio_pos split'
PIPELINE = [
    dict(type='LoadFrameFromFile'),
    dict(type='LoadSoundSources'),
    dict(type='LoadTranslatedAnnotations'),
    dict(type='PackAVSInputs'),
]


def build(out, parts, **options):
    return write_vpo(out, make_plan(parts), parts, **options)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


def rows_of(root, subset):
    folder = root / f'VPO-{subset.upper()}'
    with open(folder / f'vpo_{subset}_data_stereo.csv', newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def dataset(built_from, tmp_path_factory):
    """All three sets, made once; paths of the ingredients are kept."""
    from mmcpm.dataset_converters.vpo_builder.ingredients import Ingredients

    parts = Ingredients(
        built_from / 'coco.json',
        built_from / 'images',
        built_from / 'sounds.csv',
        built_from / 'sounds',
        test_share=0.3,
    )
    root = tmp_path_factory.mktemp('built') / 'vpo'
    marker, written = build(root, parts)
    assert written
    return root, marker, built_from


def expected_sound(row, source):
    """Cut a clip by hand, float64 [48000]."""
    name = row['vgg_file'].split('_')
    wave, rate = soundfile.read(source / 'sounds' / f'{name[0]}.wav')
    # The middle of 5 s is from 1 s to 4 s.
    first = int(name[1]) / 1000 if len(name) > 1 else 1.0
    return wave[round(first * rate) : round((first + 3) * rate)]


@pytest.mark.usefixtures('mmseg_scope')
@pytest.mark.parametrize('subset', ['ss', 'ms', 'msmi'])
def test_dataset_class_reads_what_the_annotations_say(dataset, boxes, subset):
    root, _, source = dataset
    rows = {}
    for row in rows_of(root, subset):
        key = row['ann_Ids'] if subset == 'ss' else row['img_Id']
        rows.setdefault((row['split'], key), []).append(row)
    read = set()
    for split, name in (('train', 'train'), ('test', 'val')):
        data = VPODataset(
            data_root=str(root),
            subset=subset,
            split=split,
            holdout=0,
            pipeline=PIPELINE,
        )
        for index in range(len(data)):
            uid = data.get_data_info(index)['uid']
            read.add((name, str(int(uid.rpartition('_')[2]))))
            chosen = rows[name, str(int(uid.rpartition('_')[2]))]
            label = np.zeros((40, 80), np.uint8)
            sound = np.zeros((2, 48_000))
            for row in chosen:
                number, nth = divmod(int(row['ann_Ids']), 100)
                kind, (x, y, w, h) = boxes[number][nth]
                assert row['img_Id'] == str(number)
                assert row['cateName'] == kind.lower()
                assert row['cateId'] == str(COCO_ID[kind.lower()])
                position = (x + w / 2) / 80
                assert float(row['audio_pos']) == pytest.approx(position)
                label[y : y + h, x : x + w] = CLASSES.index(kind.lower())
                wave = expected_sound(row, source)
                sound += np.outer([1 - position, position], wave)
            item = data[index]
            sample = item['data_samples']
            got = sample.gt_sem_seg.data[0].numpy()
            np.testing.assert_array_equal(got, label)
            np.testing.assert_allclose(sample.audio, sound, atol=2e-4)
            # The picture is the one that was annotated.
            gray = item['inputs'][:, 39, 79].float().mean()
            assert abs(gray - int(chosen[0]['img_Id'])) < 9
    assert read == set(rows)


def test_layout_is_that_of_vpo(dataset):
    root, marker, _ = dataset
    for subset in ('ss', 'ms', 'msmi'):
        more = ['multi_instance'] * (subset == 'msmi')
        assert list(rows_of(root, subset)[0]) == HEADER.split() + more
    assert (root / 'VPO-SS/data/dog/000000000003.jpg').is_file()
    assert (root / 'VPO-SS/mask/dog/000000000003_000000000300.png').is_file()
    mask = cv2.imread(str(root / 'VPO-MS/mask/000000000003.png'), -1)
    assert sorted(np.unique(mask)) == [0, 17, 18]
    # Rows without several instances are those of VPO-MS.
    flat = [r for r in rows_of(root, 'msmi') if r['multi_instance'] == '0']
    for row in flat:
        del row['multi_instance']
    assert flat == rows_of(root, 'ms')
    for row in rows_of(root, 'msmi'):
        folder = 'VPO-MSMI' if row['multi_instance'] == '1' else 'VPO-MS'
        name = f'{int(row["img_Id"]):012}.jpg'
        assert (root / folder / 'data' / name).is_file()
    assert marker['files'] == len(contents(root))
    assert not (root / 'UNFINISHED').exists()


def test_no_recording_and_no_picture_is_in_both_splits(dataset):
    root, _, _ = dataset
    heard, seen = {}, {}
    for subset in ('ss', 'ms', 'msmi'):
        for row in rows_of(root, subset):
            for table, key in (
                (heard, row['vgg_file'].split('_')[0]),
                (seen, row['img_Id']),
            ):
                assert table.setdefault(key, row['split']) == row['split']
    assert set(heard.values()) == set(seen.values()) == {'train', 'val'}


def test_same_seed_gives_the_same_files(ingredients, tmp_path):
    parts = ingredients.make()
    build(tmp_path / 'a', parts)
    assert build(tmp_path / 'b', parts)[1]
    assert contents(tmp_path / 'a') == contents(tmp_path / 'b')
    build(tmp_path / 'c', ingredients.make(seed=1))
    index = 'VPO-MS/vpo_ms_data_stereo.csv'
    assert (tmp_path / 'a' / index).read_text() != (
        tmp_path / 'c' / index
    ).read_text()


def test_second_run_finds_the_dataset_and_writes_nothing(
    ingredients, tmp_path, monkeypatch
):
    out, parts = tmp_path / 'vpo', ingredients.make(subsets=('ss',))
    marker, _ = build(out, parts)
    monkeypatch.setattr(writer, '_write_samples', None)
    assert build(out, parts) == (marker, False)
    with pytest.raises(DatasetFolderError, match='seed 0 .wanted: 1'):
        build(out, ingredients.make(subsets=('ss',), seed=1))
    with pytest.raises(DatasetFolderError, match='pictures that are copies'):
        build(out, parts, link=True)
    monkeypatch.undo()
    assert build(out, ingredients.make(), overwrite=True)[1]
    assert (out / 'VPO-MSMI').is_dir()


def test_turned_pictures_are_named_and_kept(
    ingredients, tmp_path, monkeypatch
):
    """Objects lie where the annotations say in the pixels as stored."""
    path = ingredients.root / 'images/part/1.jpg'
    stored = np.asarray(Image.open(path))
    exif, told = Image.Exif(), []
    exif[0x0112] = 3
    Image.fromarray(stored).save(path, exif=exif, quality=100)
    monkeypatch.setattr(
        writer, 'print_log', lambda text, **_: told.append(text)
    )
    build(tmp_path / 'vpo', ingredients.make(subsets=('ms',)))
    assert len(told) == 1
    assert '1 pictures carry an EXIF orientation' in told[0]
    assert 'images/part/1.jpg (3)' in told[0]
    info = {'img_path': f'{tmp_path}/vpo/VPO-MS/data/000000000001.jpg'}
    found = LoadFrameFromFile()(info)['img'][..., ::-1].astype(int)
    assert np.abs(found - stored).max() < 12


def test_pictures_can_be_links(ingredients, tmp_path):
    parts = ingredients.make(subsets=('ms',))
    build(tmp_path / 'vpo', parts, link=True)
    pictures = sorted((tmp_path / 'vpo/VPO-MS/data').iterdir())
    assert len(pictures) == 12
    for path in pictures:
        assert path.is_symlink()
        name = f'part/{int(path.stem)}.jpg'
        assert path.resolve() == parts.images.resolve() / name
    build(tmp_path / 'vpo', parts, overwrite=True)
    assert not pictures[0].is_symlink()
    assert len(list((parts.images / 'part').iterdir())) == 28


def test_other_formats_become_jpeg_files(ingredients, edit, tmp_path):
    folder = ingredients.root / 'images/part'
    colors = np.zeros((40, 80, 3), np.uint8)
    colors[:] = (200, 100, 20)
    cv2.imwrite(str(folder / '1.png'), colors)
    edit(lambda coco: coco['images'][0].update(file_name='part/1.png'))
    build(tmp_path / 'vpo', ingredients.make(subsets=('ms',)), link=True)
    path = tmp_path / 'vpo/VPO-MS/data/000000000001.jpg'
    assert not path.is_symlink()
    assert path.read_bytes()[:2] == b'\xff\xd8'
    np.testing.assert_allclose(
        cv2.imread(str(path))[5, 5], (200, 100, 20), 0, 3
    )


def test_bad_pictures_are_named_before_anything_is_written(
    ingredients, tmp_path
):
    folder, out = ingredients.root / 'images/part', tmp_path / 'out' / 'vpo'
    path = folder / '2.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 80)).save(folder / '3.jpg', exif=exif)
    with pytest.raises(FrameReadError) as caught:
        build(out, ingredients.make())
    for told in (
        '2 of 24',
        '2.jpg',
        'truncated',
        '80 x 40',
        'EXIF orientation 6',
    ):
        assert told in str(caught.value)
    shutil.rmtree(folder)
    with pytest.raises(DatasetNotFoundError, match='24 of 24 pictures'):
        build(out, ingredients.make())
    assert not out.parent.exists()

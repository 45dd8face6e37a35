import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.fileio import LocalBackend, io

from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.avsbench_semantic import voc_palette
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError

CLASSES = AVSBenchSemanticDataset.METAINFO['classes']


def dataset(root, **kwargs):
    return AVSBenchSemanticDataset(data_root=str(root), **kwargs)


def sample_ids(data):
    return [data.get_data_info(i)['sample_id'] for i in range(len(data))]


# Palette and classes


@pytest.mark.parametrize(
    ('label', 'color'),
    [
        (0, [0, 0, 0]),
        (1, [128, 0, 0]),
        (2, [0, 128, 0]),
        (3, [128, 128, 0]),
        (7, [128, 128, 128]),
        (8, [64, 0, 0]),
        (32, [0, 0, 64]),
        (41, [192, 0, 64]),
        (46, [64, 128, 192]),
        (63, [192, 192, 192]),
        (64, [32, 0, 0]),
        (70, [32, 128, 128]),
    ],
)
def test_palette_is_that_of_labels_rgb(label, color):
    assert AVSBenchSemanticDataset.METAINFO['palette'][label] == color


def test_palette_has_71_distinct_colors():
    assert len({tuple(color) for color in voc_palette(71)}) == 71


def test_classes_are_those_published():
    assert len(CLASSES) == 71
    assert CLASSES[0] == 'background'
    assert list(CLASSES[1:]) == sorted(CLASSES[1:])
    ids = {22: 'emergency-car', 41: 'man', 60: 'train', 70: 'woman'}
    assert {i: CLASSES[i] for i in ids} == ids


# Samples


def test_data_info_of_a_frame(avss_root):
    data = dataset(avss_root, split='test', subset='v2', test_mode=True)
    info = data.get_data_info(3)
    folder = f'{avss_root}/v2/-test2_0_10000'
    assert info == {
        'img_path': f'{folder}/frames/3.jpg',
        'seg_map_path': f'{folder}/labels_semantic/3.png',
        'audio_path': f'{folder}/audio.wav',
        'sample_id': '-test2_0_10000/3',
        'uid': '-test2_0_10000',
        'frame_index': 3,
        'subset': 'v2',
        'sources': 'ms',
        'sound_sources': ('violin', 'piano', '-test2'),
        'num_label_values': 71,
        'label_map': None,
        'reduce_zero_label': False,
        'seg_fields': [],
        'sample_idx': 3,
    }


def test_all_frames_come_in_order(avss_root):
    data = dataset(avss_root, split='val')
    assert sample_ids(data) == (
        [f'val1s_0_5000/{i}' for i in range(5)]
        + [f'val1m_0/{i}' for i in range(5)]
        + [f'val2_0_10000/{i}' for i in range(10)]
    )


def test_only_first_frame_of_v1s_training_clips_is_labeled(avss_root):
    data = dataset(avss_root, subset='v1s', frame_sampling='all')
    assert sample_ids(data) == [
        '__GOGlHL23s_4000_9000/0',
        'zVfLHhs9uv8_3000_8000/0',
    ]
    drawn = dataset(avss_root, subset='v1s')
    for _ in range(20):
        assert sample_ids(drawn) == sample_ids(data)


def test_odd_names_in_a_obj_keep_their_clips(avss_root):
    data = dataset(avss_root, subset=('v1m', 'v2'))
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert {info['uid']: info['sources'] for info in infos} == {
        'm1_0': 'ms',
        'm2_1': 'ss',
        '-apT0tfo6U_16000_26000': 'ss',
        '_offscreen_0_10000': 'ms',
    }


def test_every_frame_is_drawn_at_some_visit(avss_root):
    data = dataset(avss_root, subset='v2')
    torch.manual_seed(0)
    seen = {data.get_data_info(0)['frame_index'] for _ in range(80)}
    assert seen == set(range(10))


def test_negative_index_counts_from_the_end(avss_root):
    data = dataset(avss_root, split='test')
    assert data.get_data_info(-1)['sample_id'] == '-test2_0_10000/9'
    assert data.get_data_info(-1)['sample_idx'] == len(data) - 1


@pytest.mark.parametrize('serialize_data', [True, False])
def test_arguments_of_mmengine_datasets_work(avss_root, serialize_data):
    data = dataset(
        avss_root,
        split='test',
        indices=7,
        lazy_init=True,
        serialize_data=serialize_data,
    )
    data.full_init()
    assert len(data) == 7
    assert sample_ids(data.get_subset([6, 0])) == [
        'test1m_0/1',
        'test1s_0_5000/0',
    ]


def test_lazy_dataset_does_not_look_for_files(tmp_path):
    data = dataset(tmp_path / 'absent', lazy_init=True)
    assert data.metainfo['classes'] == CLASSES
    with pytest.raises(DatasetNotFoundError):
        data.full_init()


def test_fewer_classes_can_be_chosen(avss_root):
    data = dataset(
        avss_root, metainfo={'classes': ['background', 'woman', 'dog']}
    )
    info = data.get_data_info(0)
    assert data.metainfo['palette'] == [
        [0, 0, 0],
        voc_palette(71)[70],
        voc_palette(71)[17],
    ]
    assert info['label_map'][70] == 1
    assert info['label_map'][17] == 2
    assert info['label_map'][1] == 255
    assert info['num_label_values'] == 71


def test_subclass_brings_its_own_classes(avss_copy, avss_writers):
    class Pets(AVSBenchSemanticDataset):
        METAINFO = {
            'classes': ('background', 'dog', 'cat'),
            'palette': [[0, 0, 0], [1, 1, 1], [2, 2, 2]],
        }

    with pytest.raises(DatasetIndexError, match='Pets has 3'):
        Pets(data_root=str(avss_copy))
    avss_writers[1](avss_copy, Pets.METAINFO['classes'])
    data = Pets(data_root=str(avss_copy))
    assert data.metainfo['classes'] == ('background', 'dog', 'cat')
    assert data.get_data_info(0)['num_label_values'] == 3


# Arguments that cannot be meant


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        ({'split': 'valid'}, "split must be one of .* got 'valid'"),
        ({'subset': 's4'}, "subset must be None, one of .*'ms'.* got 's4'"),
        ({'subset': ['v1s', 's4']}, 'subset must be None'),
        ({'subset': ()}, r'subset must be None.* got \(\)'),
        ({'frame_sampling': 'first'}, "frame_sampling='first'"),
        (
            {'split': 'val', 'frame_sampling': 'random'},
            "frame_sampling='random' with split='val'",
        ),
        (
            {'test_mode': True, 'frame_sampling': 'random'},
            "'all' for every evaluation",
        ),
        ({'reduce_zero_label': True}, 'background'),
    ],
)
def test_bad_arguments_are_refused(avss_root, arguments, match):
    with pytest.raises(ValueError, match=match):
        dataset(avss_root, **arguments)


def test_training_split_in_test_mode_has_all_frames(avss_root):
    assert dataset(avss_root, test_mode=True).frame_sampling == 'all'
    assert dataset(avss_root, split='val').frame_sampling == 'all'
    assert dataset(avss_root).frame_sampling == 'random'


# Folders and index files that are not as expected


def test_missing_root(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=f'{tmp_path}/absent'):
        dataset(tmp_path / 'absent')


@pytest.mark.parametrize('name', ['metadata.csv', 'label2idx.json'])
def test_missing_index_file(avss_copy, name):
    (avss_copy / name).unlink()
    with pytest.raises(DatasetNotFoundError, match=f'No file .*/{name}'):
        dataset(avss_copy)


def test_label_index_check_can_be_left_out(avss_copy):
    (avss_copy / 'label2idx.json').unlink()
    assert len(dataset(avss_copy, label_index_file=None)) == 6


def test_label_index_of_70_classes(avss_copy, avss_writers):
    avss_writers[1](avss_copy, [c for c in CLASSES if c != 'utv'])
    with pytest.raises(DatasetIndexError) as error:
        dataset(avss_copy)
    message = str(error.value)
    assert str(avss_copy / 'label2idx.json') in message
    assert 'lists 70 classes, AVSBenchSemanticDataset has 71' in message
    assert 'Not in the file: utv;' in message


def test_missing_clip_is_named_before_training(avss_copy):
    shutil.rmtree(avss_copy / 'v2' / '_offscreen_0_10000')
    with pytest.raises(
        DatasetNotFoundError, match='1 of 6 clip .*v2/_offscreen_0_10000'
    ):
        dataset(avss_copy)
    # Other splits do not need it.
    assert len(dataset(avss_copy, split='val')) == 20


def test_subset_that_is_not_unpacked_can_be_left_out(avss_copy):
    shutil.rmtree(avss_copy / 'v2')
    with pytest.raises(DatasetNotFoundError, match='No folder .*/v2'):
        dataset(avss_copy)
    assert len(dataset(avss_copy, subset=['v1s', 'v1m'])) == 4


def test_empty_selection(avss_root):
    with pytest.raises(DatasetIndexError, match=r'val/v1m/ms: 1'):
        dataset(avss_root, split='val', subset=['v1m', 'ss'])


def test_repeated_clip(avss_copy):
    with open(avss_copy / 'metadata.csv', 'a') as file:
        file.write('x,m1_0,0,0,dog,train,v2\n')
    with pytest.raises(DatasetIndexError, match='uid: m1_0. Remove'):
        dataset(avss_copy)


def test_other_names_of_the_index_files(avss_copy):
    (avss_copy / 'metadata.csv').rename(avss_copy / 'm.csv')
    (avss_copy / 'label2idx.json').rename(avss_copy / 'l.json')
    data = dataset(avss_copy, metadata_file='m.csv', label_index_file='l.json')
    assert len(data) == 6


def test_other_storage_is_read_through_its_backend(avss_root, monkeypatch):
    class Store(LocalBackend):
        """Serves avss_root under another address; has no folders to list."""

        def get(self, filepath):
            return super().get(self._local(filepath))

        def get_text(self, filepath, encoding='utf-8'):
            return super().get_text(self._local(filepath), encoding)

        def join_path(self, filepath, *filepaths):
            return '/'.join((filepath, *filepaths))

        @staticmethod
        def _local(filepath):
            return filepath.replace('store://bucket', str(avss_root))

    monkeypatch.setitem(io.backends, 'avss_store', Store)
    monkeypatch.setitem(io.prefix_to_backends, 'store', Store)
    data = dataset('store://bucket', backend_args={'backend': 'avss_store'})
    assert len(data) == 6
    assert data.get_data_info(0)['audio_path'] == (
        'store://bucket/v1s/__GOGlHL23s_4000_9000/audio.wav'
    )


# The fixture itself


def test_fixture_follows_the_layout(avss_root, avss_clips):
    index = json.loads((avss_root / 'label2idx.json').read_text())
    assert (index['background'], index['woman']) == (1, 71)
    assert len(avss_clips) == 12
    label_map = cv2.imread(
        str(avss_root / 'v1m' / 'm2_1' / 'labels_semantic' / '4.png'),
        cv2.IMREAD_UNCHANGED,
    )
    assert label_map.shape == (48, 64)
    assert sorted(np.unique(label_map)) == [0, 4, 5]

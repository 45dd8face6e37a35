"""The published numbers of clips and frames, on generated metadata."""

import pytest

from mmcpm.datasets import AVSBenchSemanticDataset

# (split, folder): number of clips with one and with several sounding
# classes. The folders' sums are the published ones; so are the sums over the
# folders, and the split of the test clips (CPM paper, Table 2).
FULL_SIZE = {
    ('train', 'v1s'): (3452, 0),
    ('train', 'v1m'): (0, 296),
    ('train', 'v2'): (3228, 1522),
    ('val', 'v1s'): (740, 0),
    ('val', 'v1m'): (0, 64),
    ('val', 'v2'): (393, 107),
    ('test', 'v1s'): (740, 0),
    ('test', 'v1m'): (33, 31),
    ('test', 'v2'): (505, 245),
}


def dataset(root, **kwargs):
    return AVSBenchSemanticDataset(data_root=str(root), **kwargs)


def sample_ids(data):
    return [data.get_data_info(i)['sample_id'] for i in range(len(data))]


@pytest.fixture(scope='module')
def full_root(tmp_path_factory, avss_writers):
    """Metadata and empty clip folders at the published size."""
    root = tmp_path_factory.mktemp('full')
    write_metadata, write_label_index = avss_writers
    clips = [
        (f'-{split}_{folder}_{a_obj}_{i}', a_obj, split, folder)
        for (split, folder), numbers in FULL_SIZE.items()
        for a_obj, number in zip(('man', 'man_dog'), numbers, strict=True)
        for i in range(number)
    ]
    write_metadata(root, clips)
    write_label_index(root, AVSBenchSemanticDataset.METAINFO['classes'])
    for uid, _, _, folder in clips:
        (root / folder / uid).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ('split', 'clips', 'frames'),
    [
        ('train', 8498, 52432),
        ('val', 1304, 9020),
        ('test', 1554, 11520),
    ],
)
def test_published_counts(full_root, split, clips, frames):
    data = dataset(full_root, split=split, frame_sampling='all')
    assert len(data) == frames
    assert len({i.split('/')[0] for i in sample_ids(data)}) == clips
    assert len(set(sample_ids(data))) == frames


def test_random_sampling_has_one_sample_per_training_clip(full_root):
    assert len(dataset(full_root)) == 8498


@pytest.mark.parametrize(
    ('subset', 'clips', 'frames'),
    [
        ('ss', 1278, 8915),
        ('ms', 276, 2605),
        ('v1s', 740, 3700),
        ('v1m', 64, 320),
        ('v2', 750, 7500),
        (['v1m', 'ss'], 33, 165),
        (['v2', 'ms'], 245, 2450),
        (('v1s', 'v1m', 'ss'), 773, 3865),
        (['ss', 'ms'], 1554, 11520),
    ],
)
def test_published_counts_of_test_subsets(full_root, subset, clips, frames):
    data = dataset(full_root, split='test', subset=subset, test_mode=True)
    ids = sample_ids(data)
    assert (len({i.split('/')[0] for i in ids}), len(ids)) == (clips, frames)

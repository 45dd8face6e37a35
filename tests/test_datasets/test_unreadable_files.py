import pickle

import pytest
from mmengine.dataset import RepeatDataset, pseudo_collate
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from mmcpm.apis.sanity_checks import (
    check_files,
    name_settings,
)
from mmcpm.datasets import AVSBenchSemanticDataset
from mmcpm.datasets.errors import SampleReadError
from mmcpm.utils.errors import UsageError

PIPELINE = [
    {'type': 'LoadFrameFromFile'},
    {'type': 'LoadAudioFromFile'},
    {'type': 'CutAudioToFrame'},
    {'type': 'LoadAVSAnnotations'},
    {'type': 'RecordSoundingClasses'},
    {'type': 'PackAVSInputs'},
]

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def dataset(root, **kwargs):
    kwargs.setdefault('pipeline', PIPELINE)
    return AVSBenchSemanticDataset(data_root=str(root), **kwargs)


def sample_id(sample):
    return sample['data_samples'].sample_id


def damage(root, *uids):
    """Remove the sounds of clips."""
    for uid in uids:
        (next(root.glob(f'v*/{uid}')) / 'audio.wav').unlink()


def test_unreadable_file_ends_training(avss_copy):
    damage(avss_copy, 'm1_0')
    with pytest.raises(SampleReadError) as error:
        dataset(avss_copy, subset='v1m')[0]
    message = str(error.value)
    assert message.startswith('Sample m1_0/')
    assert f'{avss_copy}/v1m/m1_0/audio.wav' in message
    assert 'train_dataloader.dataset.skip_unreadable=N' in message
    assert error.value.path == f'{avss_copy}/v1m/m1_0/audio.wav'


def test_unreadable_file_ends_a_test(avss_copy):
    damage(avss_copy, 'test1m_0')
    data = dataset(avss_copy, split='test', test_mode=True)
    with pytest.raises(SampleReadError, match='Sample test1m_0/2') as error:
        data[7]
    # There is nothing to skip in a test.
    assert 'skip_unreadable' not in str(error.value)


LABEL = 'labels_semantic/0.png'


@pytest.mark.parametrize(
    ('kind', 'name', 'transform', 'fault'),
    [
        (kind, name, transform, fault)
        for kind, name, transform in (
            ('frame', 'frames/0.jpg', 'LoadImageFromFile'),
            ('frame', 'frames/0.jpg', 'LoadFrameFromFile'),
            ('label file', LABEL, 'LoadAnnotations'),
            ('label file', LABEL, 'LoadAVSAnnotations'),
            ('audio file', 'audio.wav', 'LoadAudioFromFile'),
        )
        for fault in ('missing', 'empty', 'cut')
        # OpenCV 4 fills the missing rows with gray.
        if (transform, fault) != ('LoadImageFromFile', 'cut')
    ],
)
def test_sample_file_and_remedy_are_named(
    avss_copy, kind, name, transform, fault
):
    file = avss_copy / 'v1s' / 'val1s_0_5000' / name
    content = file.read_bytes()
    if fault == 'missing':
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2 * (fault == 'cut')])
    # The sound is read where it is cut.
    steps = [{'type': transform}, {'type': 'CutAudioToFrame'}]
    steps = steps[: 1 + (kind == 'audio file')]
    data = dataset(avss_copy, split='val', pipeline=steps)
    with pytest.raises(SampleReadError) as error:
        data[0]
    message = str(error.value)
    assert message.startswith('Sample val1s_0_5000/0: Cannot ')
    assert f'the {kind} {file}' in message
    assert 'archive' in message or 'labels_semantic, not' in message


def test_faults_of_other_transforms_are_not_hidden(avss_root):
    def broken(results):
        raise ZeroDivisionError('mine')

    data = dataset(avss_root, pipeline=[broken], skip_unreadable=100)
    with pytest.raises(ZeroDivisionError, match='mine'):
        data[0]


def test_transform_may_ask_for_another_sample(avss_root):
    asked = []

    def refuse_three(results):
        asked.append(results['sample_id'])
        return results if len(asked) > 3 else None

    data = dataset(avss_root, pipeline=[refuse_three])
    assert data[0]['sample_id'] == asked[-1]
    assert len(asked) == 4


def test_lack_of_memory_is_not_the_fault_of_a_file(avss_root, monkeypatch):
    data = dataset(avss_root, skip_unreadable=100)

    def full(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr('mmengine.fileio.get', full)
    with pytest.raises(MemoryError):
        data[0]


def test_unreadable_sample_is_replaced_by_the_next(avss_copy):
    damage(avss_copy, 'm1_0')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    assert sample_id(data[0]).startswith('m2_1/')
    assert sample_id(data[0]).startswith('m2_1/')
    assert sample_id(data[1]).startswith('m2_1/')


def test_each_unreadable_file_is_logged_once(avss_copy, monkeypatch):
    damage(avss_copy, 'm1_0')
    data = dataset(
        avss_copy, subset='v1m', frame_sampling='all', skip_unreadable=1
    )
    lines = []
    monkeypatch.setattr(
        'mmcpm.datasets.unreadable_files.print_log',
        lambda message, **kwargs: lines.append(message),
    )
    assert [sample_id(data[i]) for i in range(5)] == ['m2_1/0'] * 5
    assert len(lines) == 1
    assert f'{avss_copy}/v1m/m1_0/audio.wav' in lines[0]
    assert 'unreadable file 1 of at most 1' in lines[0]


def test_last_sample_is_replaced_by_the_first(avss_copy):
    damage(avss_copy, 'm2_1')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    assert sample_id(data[1]).startswith('m1_0/')


def test_one_file_too_many_lists_them_all(avss_copy):
    damage(avss_copy, 'm1_0', '-apT0tfo6U_16000_26000')
    data = dataset(avss_copy, subset=['v1m', 'v2'], skip_unreadable=1)
    data[0]
    with pytest.raises(SampleReadError) as error:
        data[2]
    message = str(error.value)
    assert 'More than skip_unreadable=1 files' in message
    assert 'v1m/m1_0/audio.wav' in message
    assert 'v2/-apT0tfo6U_16000_26000/audio.wav' in message


def test_nothing_readable_ends_the_run(avss_copy):
    damage(avss_copy, 'm1_0', 'm2_1')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=9)
    with pytest.raises(SampleReadError, match='No sample can be read'):
        data[0]


@pytest.mark.parametrize(
    'arguments',
    [
        {'skip_unreadable': 1, 'test_mode': True},
        {'skip_unreadable': -1},
    ],
)
def test_tests_cannot_skip_samples(avss_root, arguments):
    with pytest.raises(ValueError, match='a score over fewer samples'):
        dataset(avss_root, **arguments)


def test_message_survives_a_worker(avss_copy):
    damage(avss_copy, 'm1_0')
    try:
        dataset(avss_copy, subset='v1m')[0]
    except SampleReadError:
        # How a DataLoader hands an error of a worker on.
        carrier = ExceptionWrapper(where='in DataLoader worker process 0')
    with pytest.raises(SampleReadError, match='Sample m1_0/.*audio.wav'):
        pickle.loads(pickle.dumps(carrier)).reraise()


def test_workers_count_for_themselves(avss_copy):
    damage(avss_copy, 'm1_0', '-apT0tfo6U_16000_26000')
    data = dataset(avss_copy, subset=['v1m', 'v2'], skip_unreadable=1)

    order = [0, 1, 3, 2]
    loader = DataLoader(
        data, sampler=order, num_workers=2, collate_fn=pseudo_collate
    )
    # Clips 0 and 2 are damaged; each of two workers meets one of them.
    assert len(list(loader)) == 4
    with pytest.raises(SampleReadError, match='More than'):
        [data[i] for i in order]


def test_replaced_sample_tells_what_it_stands_for(avss_copy):
    damage(avss_copy, 'm1_0')
    data = dataset(avss_copy, subset='v1m', skip_unreadable=1)
    (skipped,) = data[0]['data_samples'].skipped
    assert skipped[0].startswith('m1_0/')
    assert skipped[1] == f'{avss_copy}/v1m/m1_0/audio.wav'
    assert 'skipped' not in data[1]['data_samples']


def test_hint_names_the_setting_within_a_wrapper(avss_copy):
    inner = dataset(avss_copy, subset='v1m')
    joined = {'type': 'ConcatDataset', 'datasets': [inner]}
    wrapped = RepeatDataset(joined, 2)
    name_settings(wrapped, 'train_dataloader.dataset')
    (avss_copy / 'v1m/m1_0/audio.wav').unlink()
    with pytest.raises(SampleReadError) as error:
        inner[0]
    option = 'train_dataloader.dataset.dataset.datasets.0.skip_unreadable'
    assert f'--cfg-options {option}=N' in str(error.value)
    with pytest.raises(UsageError, match=f'--cfg-options {option}=1'):
        check_files(inner)

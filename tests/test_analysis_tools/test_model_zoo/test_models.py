from pathlib import Path

import pytest

from mmcpm.analysis_tools.model_zoo.models import read_model

ROOT = Path(__file__).resolve().parents[3]


def read(tmp_path, base, text=''):
    """A config that inherits one of the repository's."""
    path = tmp_path / 'configs/toy/toy.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"_base_ = '{ROOT / 'configs' / base}'\n{text}")
    return read_model(path, 'Toy')


def test_of_the_papers_model_on_vpo(tmp_path):
    # Appendix A of the paper: batch 16, 100 epochs, crops of 512 x 512.
    assert read(tmp_path, 'cpm/cpm_r50_vpo_msmi.py') == {
        'Name': 'toy',
        'In Collection': 'Toy',
        'Config': 'configs/toy/toy.py',
        'Metadata': {
            'Training Data': 'VPO',
            'Test Data': 'VPO (MSMI)',
            'Batch Size': 16,
            'Batch Unit': 'frames',
            'Epochs': 100,
            'Image Size': '512 x 512',
            'Architecture': ['R-50', 'ResNet', 'Mask2Former'],
        },
        'Code': 'mmcpm/models/decode_heads/cpm_head.py',
        'Framework': 'PyTorch',
    }


@pytest.mark.parametrize(
    'config, data',
    [
        ('cpm/cpm_r50_s4.py', 'AVSBench-Object (S4)'),
        ('cpm/cpm_r50_avss_224.py', 'AVSBench-Semantic'),
        ('cpm/cpm_r50_folder.py', 'Own data'),
        ('cpm/cpm_r18_scenes.py', 'Sounding scenes'),
        ('cpm/cpm_r18_scenes_hard.py', 'Sounding scenes (hard)'),
        ('cpm/cpm_r18_scenes_ms3.py', 'Sounding scenes (MS3)'),
        ('cpm/cpm_r18_scenes_vpo_ss.py', 'Sounding scenes (VPO-SS)'),
    ],
)
def test_data_are_named_with_their_part(tmp_path, config, data):
    assert read(tmp_path, config)['Metadata']['Test Data'] == data


def test_clips_iterations_and_a_transformer(tmp_path):
    text = """
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=90000)
clips = dict(_delete_=True, type='ClipDataset', clip_length=5, dataset=dict(
    type='AVSBenchObjectDataset', subset='ms3', data_root='data/MS3'))
train_dataloader = dict(batch_size=8, dataset=clips)
model = dict(
    backbone=dict(_delete_=True, type='mmdet.PyramidVisionTransformerV2'),
    decode_head=dict(_delete_=True, type='FCNHead'))
"""
    metadata = read(tmp_path, 'cpm/cpm_r50_ms3.py', text)['Metadata']
    assert (metadata['Batch Size'], metadata['Batch Unit']) == (
        8,
        'clips of 5',
    )
    assert metadata['Iterations'] == 90000
    assert 'Epochs' not in metadata
    assert metadata['Test Data'] == 'AVSBench-Object (MS3)'
    # A head that is no Mask2Former is the method's own.
    assert metadata['Architecture'] == ['PVTV2', 'VGGish', 'Toy']
